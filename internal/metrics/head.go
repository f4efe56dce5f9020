package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/oklog/ulid/v2"
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
	metadataFile    = "metadata.json"
	shippedFile     = "shipped.json"
)

// head is the database of one tenant.
type head struct {
	tenant  string
	dir     string
	opts    HeadOptions
	logger  *slog.Logger
	metrics *headMetrics
	db      *tsdb.DB
	reg     *watchedRegistry // the TSDB's own metrics, read by gauge
	syncer  *syncer
	meta    *metadataStore
	shipped *shipLog

	// gate is held for reading while a batch is appended and for writing while a flush cuts the
	// head: the TSDB may drop samples appended into the very range that is being cut.
	gate sync.RWMutex
	// maintenance is held while blocks are cut on request or shipped.
	maintenance sync.Mutex
	pending     int64 // bytes of blocks that are not in the bucket; guarded by maintenance

	hiddenExemplars hiddenExemplars
	exemplars       keptExemplars
	room            exemplarRoom

	users      atomic.Int64 // who holds the head open; only rises with Heads.mu held for reading
	dirty      atomic.Bool  // committed but not synced (interval mode)
	failure    atomic.Pointer[error]
	lastAppend atomic.Int64 // Unix milliseconds of the clock
	lastIdle   atomic.Int64 // when the head was cut for idleness, likewise
}

func openHead(opts HeadOptions, m *headMetrics, id string) (*head, error) {
	dir := filepath.Join(opts.Dir, id)
	t := &head{tenant: id, dir: dir, opts: opts, logger: opts.Logger.With("tenant", id), metrics: m}
	if err := reopen(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "wal"), 0o755); err != nil {
		return nil, err
	}
	var err error
	if t.shipped, err = openShipLog(dir); err != nil {
		return nil, err
	}
	t.exemplars.path, t.exemplars.max, t.exemplars.logger = filepath.Join(dir, exemplarsFile), opts.Config.MaxExemplars, t.logger
	if err := t.openDB(); err != nil {
		return nil, err
	}
	t.exemplars.db.Store(t.db)
	t.fitExemplars()
	t.meta = openMetadataStore(filepath.Join(dir, metadataFile), opts.Config.MaxMetadata, t.logger)
	t.syncer = newSyncer(filepath.Join(dir, "wal"), filepath.Join(dir, wlog.WblDirName), m.syncSeconds)
	t.lastAppend.Store(opts.Now().UnixMilli())
	// The folders themselves must survive a power cut before anything in them is acknowledged.
	if err := errors.Join(syncDir(opts.Dir), syncDir(dir)); err != nil {
		return nil, errors.Join(fmt.Errorf("sync folder: %w", err), t.close())
	}
	return t, nil
}

// openDB opens the TSDB. Damage of the log is repaired by the TSDB, which drops what is behind
// it: that is counted and reported. Blocks that can't be opened are set aside first: the TSDB
// refuses to work beside them.
func (t *head) openDB() error {
	t.quarantineBlocks()
	began := time.Now()
	watch := &repairWatch{Handler: t.logger.Handler(), before: logSizes(t.dir)}
	if err := t.openTSDB(slog.New(watch)); err != nil {
		return err
	}
	if n := t.db.Head().NumSeries(); n > 0 {
		t.logger.Info("metrics replayed", "series", n, "seconds", time.Since(began).Seconds())
	}
	if n := t.gauge("prometheus_tsdb_wal_corruptions_total"); n > 0 {
		watch.mu.Lock()
		defer watch.mu.Unlock()
		t.metrics.corruptions.Add(n)
		t.metrics.lostBytes.Add(float64(watch.lost))
		t.logger.Error("write-ahead log was damaged and has been repaired: what stood behind the damage is lost",
			"damages", int(n), "where", watch.where, "dropped_bytes", watch.lost, "series_kept", t.db.Head().NumSeries())
	}
	return nil
}

func (t *head) openTSDB(logger *slog.Logger) (err error) {
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
	if t.opts.MaxSeries != nil {
		limit := &seriesLimit{max: t.opts.MaxSeries, tenant: t.tenant}
		o.SeriesLifecycleCallback = limit
		defer limit.enforced.Store(true)
	}
	t.reg = newWatchedRegistry()
	t.db, err = tsdb.Open(t.dir, logger, t.reg, o, nil)
	return err
}

// quarantineBlocks moves local blocks that can't be opened out of the way.
func (t *head) quarantineBlocks() {
	entries, err := os.ReadDir(t.dir)
	if err != nil {
		return // opening the database will say why
	}
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
		if lacking(err) {
			continue // it is not the block: opening the database will say so
		}
		to := filepath.Join(t.dir, quarantineDir, e.Name())
		moved := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.Rename(from, to))
		t.logger.Error("local block can't be opened and was set aside", "block", e.Name(), "err", err, "to", to, "move_err", moved)
		if moved == nil {
			t.metrics.badBlocks.Inc()
		}
	}
}

// lacking reports whether err says something of this process, and not of the files.
func lacking(err error) bool {
	for _, reason := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EACCES, syscall.EPERM} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
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

// broken is fail for a log that can't be written or synced any more. The senders are told to try again:
// the fault is this process's.
func (t *head) broken(err error) error {
	err = &fault.Error{Class: fault.Unavailable, Reason: "wal_failed", RetryAfter: 30 * time.Second, Err: err}
	if t.failure.CompareAndSwap(nil, &err) {
		t.logger.Error("write-ahead log can't be written, the tenant is refused until a restart", "err", err)
	}
	return err
}

func (t *head) close() error {
	// An upload or flush under way ends first: it uses the database.
	t.maintenance.Lock()
	defer t.maintenance.Unlock()
	t.gate.Lock()
	defer t.gate.Unlock()
	t.fail(fault.Errorf(fault.Unavailable, "the metrics store is shutting down"))
	t.metrics.pendingBytes.Add(-t.pending)
	t.pending = 0
	return errors.Join(t.syncer.sync(), t.db.Close(), t.syncer.close(), t.meta.save())
}

// repairWatch sees in the TSDB's log messages which damage it repairs: it tells nobody else.
type repairWatch struct {
	slog.Handler
	before map[string]int64 // sizes of the segments by path

	mu    sync.Mutex
	where string
	lost  int64
}

// Handle implements slog.Handler.
func (w *repairWatch) Handle(ctx context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		var damage *wlog.CorruptionErr
		if err, ok := a.Value.Any().(error); ok && errors.As(err, &damage) {
			w.note(damage)
		}
		return true
	})
	if !w.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return w.Handler.Handle(ctx, r)
}

// Enabled implements slog.Handler: the message must be seen, whatever the level.
func (w *repairWatch) Enabled(context.Context, slog.Level) bool { return true }

func (w *repairWatch) note(damage *wlog.CorruptionErr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.where = damage.Error()
	for path, size := range w.before {
		n, err := strconv.Atoi(filepath.Base(path))
		if err != nil || damage.Dir != "" && filepath.Dir(path) != filepath.Clean(damage.Dir) {
			continue
		}
		switch {
		case n > damage.Segment:
			w.lost += size
		case n == damage.Segment:
			w.lost += max(0, size-damage.Offset)
		}
	}
}

// logSizes returns the sizes of the segments of both logs by path.
func logSizes(dir string) map[string]int64 {
	sizes := map[string]int64{}
	for _, sub := range []string{"wal", wlog.WblDirName} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil {
			continue // none yet
		}
		for _, e := range entries {
			if info, err := e.Info(); err == nil && !e.IsDir() {
				sizes[filepath.Join(dir, sub, e.Name())] = info.Size()
			}
		}
	}
	return sizes
}

// seriesLimit refuses new series beyond a number. It sees every creation and deletion.
type seriesLimit struct {
	max    func(tenant string) int
	tenant string
	n      atomic.Int64
	// enforced is set after the replay: to the TSDB, a series of the log that can't be created is a
	// damage of the log, and it would drop everything behind it.
	enforced atomic.Bool
}

// errSeriesLimit is the cause of rejections by seriesLimit.
var errSeriesLimit = errors.New("per-user series limit")

// PreCreation implements tsdb.SeriesLifecycleCallback.
func (s *seriesLimit) PreCreation(labels.Labels) error {
	if limit := s.max(s.tenant); limit > 0 && s.n.Load() >= int64(limit) && s.enforced.Load() {
		return fmt.Errorf("%w of %d exceeded for tenant %s (limits.metrics.max_series_per_tenant)", errSeriesLimit, limit, s.tenant)
	}
	return nil
}

// PostCreation implements tsdb.SeriesLifecycleCallback.
func (s *seriesLimit) PostCreation(labels.Labels) { s.n.Add(1) }

// PostDeletion implements tsdb.SeriesLifecycleCallback.
func (s *seriesLimit) PostDeletion(gone map[chunks.HeadSeriesRef]labels.Labels) {
	s.n.Add(-int64(len(gone)))
}
