package metrics

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/prometheus/prometheus/util/compression"

	"github.com/hune-io/hune/internal/fault"
)

const (
	// stripes is the size of the hash tables of series and of their locks. Prometheus's 16384 cost
	// 3 MB for each tenant before the first sample; the maps in the stripes grow by themselves.
	stripes = 512
	// headChunkBuffer is the write buffer of memory-mapped head chunks, the smallest that the TSDB
	// takes (its default is 4 MB, for each tenant).
	headChunkBuffer = 64 << 10
	quarantineDir   = "quarantine"
)

// head is the database of one tenant.
type head struct {
	tenant  string
	dir     string
	opts    HeadOptions
	logger  *slog.Logger
	metrics *headMetrics
	db      *tsdb.DB
	reg     *prometheus.Registry // the TSDB's own metrics, read by gauge
	syncer  *syncer
	meta    *metadataStore
	shipped *shipLog

	// gate is held for reading while a batch is appended and for writing while a flush cuts the
	// head: the TSDB may drop samples appended into the very range that is being cut.
	gate sync.RWMutex
	// maintenance is held while blocks are cut on request or shipped.
	maintenance sync.Mutex

	dirty      atomic.Bool // committed but not synced (interval mode)
	failure    atomic.Pointer[error]
	lastAppend atomic.Int64 // Unix milliseconds of the clock
}

func openHead(opts HeadOptions, m *headMetrics, id string) (*head, error) {
	dir := tenantDir(opts.Dir, id)
	t := &head{tenant: id, dir: dir, opts: opts, logger: opts.Logger.With("tenant", id), metrics: m}
	if err := os.MkdirAll(filepath.Join(dir, "wal"), 0o755); err != nil {
		return nil, err
	}
	var err error
	if t.shipped, err = openShipLog(dir); err != nil {
		return nil, err
	}
	if err := t.openDB(); err != nil {
		return nil, err
	}
	t.meta = openMetadataStore(filepath.Join(dir, "metadata.json"), opts.Config.MaxMetadata, t.logger)
	t.syncer = newSyncer(filepath.Join(dir, "wal"), filepath.Join(dir, wlog.WblDirName), m.syncSeconds)
	t.lastAppend.Store(opts.Now().UnixMilli())
	// The folders themselves must survive a power cut before anything in them is acknowledged.
	if err := errors.Join(syncDir(opts.Dir), syncDir(dir)); err != nil {
		return nil, errors.Join(fmt.Errorf("sync folder: %w", err), t.close())
	}
	return t, nil
}

// openDB opens the TSDB. Damage of the log is repaired by the TSDB, which drops what is behind
// it: that is counted and reported. Blocks that can't be opened are set aside.
func (t *head) openDB() error {
	before := logSize(t.dir)
	db, reg, err := t.tryOpen()
	if err != nil {
		if n := t.quarantineBlocks(); n == 0 {
			return err
		}
		if db, reg, err = t.tryOpen(); err != nil {
			return err
		}
	}
	t.db, t.reg = db, reg
	if n := t.gauge("prometheus_tsdb_wal_corruptions_total"); n > 0 {
		lost := max(0, before-logSize(t.dir))
		t.metrics.corruptions.Add(n)
		t.metrics.lostBytes.Add(float64(lost))
		t.logger.Error("write-ahead log was damaged and has been repaired: what stood behind the damage is lost",
			"damages", int(n), "dropped_bytes", lost, "kept_bytes", logSize(t.dir), "series", db.Head().NumSeries())
	}
	return nil
}

func (t *head) tryOpen() (*tsdb.DB, *prometheus.Registry, error) {
	c := t.opts.Config
	blockRange := time.Duration(c.BlockRange).Milliseconds()
	o := tsdb.DefaultOptions()
	o.MinBlockDuration, o.MaxBlockDuration = blockRange, blockRange // larger blocks are the compactor's
	o.EnableOverlappingCompaction = false
	o.RetentionDuration, o.MaxBytes = 0, 0
	o.NoLockfile = false
	o.WALCompression = compression.Snappy
	o.StripeSize = stripes
	o.HeadChunksWriteBufferSize = headChunkBuffer
	o.OutOfOrderTimeWindow = time.Duration(c.OutOfOrderWindow).Milliseconds()
	o.EnableExemplarStorage, o.MaxExemplars = c.MaxExemplars > 0, int64(c.MaxExemplars)
	o.BlocksToDelete = t.blocksToDelete
	if c.MaxSeries > 0 {
		o.SeriesLifecycleCallback = &seriesLimit{max: int64(c.MaxSeries), tenant: t.tenant}
	}
	reg := prometheus.NewRegistry()
	db, err := tsdb.Open(t.dir, t.logger, reg, o, nil)
	if err != nil {
		return nil, nil, err
	}
	return db, reg, nil
}

// quarantineBlocks moves local blocks that can't be opened out of the way and counts them.
func (t *head) quarantineBlocks() int {
	entries, err := os.ReadDir(t.dir)
	if err != nil {
		return 0
	}
	n := 0
	for _, e := range entries {
		if _, err := ulid.ParseStrict(e.Name()); err != nil || !e.IsDir() {
			continue
		}
		from := filepath.Join(t.dir, e.Name())
		b, err := tsdb.OpenBlock(t.logger, from, nil, nil)
		if err == nil {
			_ = b.Close()
			continue
		}
		to := filepath.Join(t.dir, quarantineDir, e.Name())
		moved := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.Rename(from, to))
		t.logger.Error("local block can't be opened and was set aside", "block", e.Name(), "err", err, "to", to, "move_err", moved)
		if moved == nil {
			t.metrics.badBlocks.Inc()
			n++
		}
	}
	return n
}

// gauge reads a metric of the TSDB by name; 0 when there is none.
func (t *head) gauge(name string) float64 {
	families, err := t.reg.Gather()
	if err != nil {
		return 0
	}
	for _, f := range families {
		if f.GetName() == name && len(f.GetMetric()) > 0 {
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return 0
}

// fail makes every later append fail with err.
func (t *head) fail(err error) { t.failure.CompareAndSwap(nil, &err) }

func (t *head) close() error {
	// An upload or flush under way ends first: it uses the database.
	t.maintenance.Lock()
	defer t.maintenance.Unlock()
	t.gate.Lock()
	defer t.gate.Unlock()
	t.fail(fault.Errorf(fault.Unavailable, "the metrics store is shutting down"))
	return errors.Join(t.syncer.sync(), t.db.Close(), t.syncer.close(), t.meta.save())
}

// logSize is the size of the segments of both logs in bytes.
func logSize(dir string) int64 {
	var n int64
	for _, sub := range []string{"wal", wlog.WblDirName} {
		_ = filepath.WalkDir(filepath.Join(dir, sub), func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return nil //nolint:nilerr // a missing folder counts as empty
			}
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
			return nil
		})
	}
	return n
}

// seriesLimit refuses new series beyond a number. It sees every creation and deletion.
type seriesLimit struct {
	max    int64
	tenant string
	n      atomic.Int64
}

// errSeriesLimit is the cause of rejections by seriesLimit.
var errSeriesLimit = errors.New("per-user series limit")

// PreCreation implements tsdb.SeriesLifecycleCallback.
func (s *seriesLimit) PreCreation(labels.Labels) error {
	if s.n.Load() >= s.max {
		return fmt.Errorf("%w of %d exceeded (tenant %s, metrics.max_series)", errSeriesLimit, s.max, s.tenant)
	}
	return nil
}

// PostCreation implements tsdb.SeriesLifecycleCallback.
func (s *seriesLimit) PostCreation(labels.Labels) { s.n.Add(1) }

// PostDeletion implements tsdb.SeriesLifecycleCallback.
func (s *seriesLimit) PostDeletion(gone map[chunks.HeadSeriesRef]labels.Labels) {
	s.n.Add(-int64(len(gone)))
}
