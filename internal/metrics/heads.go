package metrics

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/thanos-io/objstore"
	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/tenant"
)

// HeadOptions are what the program gives OpenHeads.
type HeadOptions struct {
	Dir    string // one folder for each tenant below
	Config Config
	// Bucket is the root of the bucket: blocks go to TENANT/metrics/ULID. Nil keeps them on disk.
	Bucket     objstore.Bucket
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time // nil: time.Now

	// SyncAlways makes Append wait for an fsync (group commit). Otherwise the log is synced every
	// SyncInterval (default 1s) and a power cut can take what was acknowledged since.
	SyncAlways   bool
	SyncInterval time.Duration
	// MaxSeries says how many series a tenant may have in its head, 0 for any number. Nil: any number.
	MaxSeries func(tenant string) int
	// Deleted returns what of a tenant's samples is stored and must not be seen. Nil: nothing is.
	Deleted func(tenant string) *Deletions
	// Replica names this process in the labels of its blocks. Default "0".
	Replica string
}

// Heads keeps the newest metrics of all tenants: for each a Prometheus TSDB with its write-ahead
// log, which cuts blocks that Heads ships to the bucket. It is safe for concurrent use.
type Heads struct {
	opts    HeadOptions
	logger  *slog.Logger
	metrics *headMetrics

	mu      sync.RWMutex
	tenants map[string]*head
	failed  map[string]error         // tenants found at the start whose database can't be opened
	moving  map[string]chan struct{} // closes when the tenant's database is open, or closed
	started bool                     // those found at the start are open
	closed  bool

	stop    context.CancelFunc
	stopped sync.WaitGroup
}

type headMetrics struct {
	appended     *prometheus.CounterVec
	rejected     *prometheus.CounterVec
	syncSeconds  prometheus.Histogram
	corruptions  prometheus.Counter
	lostBytes    prometheus.Counter
	shipped      prometheus.Counter
	shipFailures prometheus.Counter
	flushes      prometheus.Counter
	badBlocks    prometheus.Counter
	idleClosed   prometheus.Counter
	pendingBytes atomic.Int64 // of blocks of all tenants that are not in the bucket
}

func newHeadMetrics(reg prometheus.Registerer) *headMetrics {
	f := promauto.With(reg)
	return &headMetrics{
		appended: f.NewCounterVec(prometheus.CounterOpts{Name: "hune_metrics_head_appended_total",
			Help: "What was stored in heads, by kind: sample, histogram or exemplar."}, []string{"kind"}),
		rejected: f.NewCounterVec(prometheus.CounterOpts{Name: "hune_metrics_head_rejected_total",
			Help: "Samples, histograms and exemplars that heads refused, by reason."}, []string{"reason"}),
		syncSeconds: f.NewHistogram(prometheus.HistogramOpts{Name: "hune_metrics_wal_sync_seconds",
			Help: "How long syncs of the write-ahead log took.", Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8)}),
		corruptions: f.NewCounter(prometheus.CounterOpts{Name: "hune_metrics_wal_corruptions_total",
			Help: "Damaged write-ahead logs found and repaired at start."}),
		lostBytes: f.NewCounter(prometheus.CounterOpts{Name: "hune_metrics_wal_dropped_bytes_total",
			Help: "Bytes of write-ahead log dropped by repairs."}),
		shipped: f.NewCounter(prometheus.CounterOpts{Name: "hune_metrics_blocks_shipped_total",
			Help: "Blocks uploaded to the bucket and verified."}),
		shipFailures: f.NewCounter(prometheus.CounterOpts{Name: "hune_metrics_block_ship_failures_total",
			Help: "Uploads of blocks that failed and will be tried again."}),
		flushes: f.NewCounter(prometheus.CounterOpts{Name: "hune_metrics_head_flushes_total",
			Help: "Heads cut before their time, by request or because they were idle."}),
		badBlocks: f.NewCounter(prometheus.CounterOpts{Name: "hune_metrics_local_blocks_quarantined_total",
			Help: "Local blocks set aside at start because they can't be opened."}),
		idleClosed: f.NewCounter(prometheus.CounterOpts{Name: "hune_metrics_head_idle_closed_total",
			Help: "Databases of tenants closed because they were idle."}),
	}
}

// OpenHeads opens the databases of all tenants found in the folder, replaying their logs, but those that were closed
// for idleness. A tenant whose database can't be opened is reported and refused; the others work.
func OpenHeads(ctx context.Context, opts HeadOptions) (*Heads, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.SyncInterval <= 0 {
		opts.SyncInterval = time.Second
	}
	if opts.Replica == "" {
		opts.Replica = DefaultReplica
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(opts.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("create metrics folder: %w", err)
	}
	h := &Heads{opts: opts, logger: opts.Logger, metrics: newHeadMetrics(opts.Registerer),
		tenants: map[string]*head{}, failed: map[string]error{}, moving: map[string]chan struct{}{}}
	if opts.Registerer != nil {
		if err := opts.Registerer.Register(headCollector{h}); err != nil {
			return nil, fmt.Errorf("register metrics of heads: %w", err)
		}
	}
	if err := h.openFound(ctx); err != nil {
		return nil, errors.Join(err, h.closeTenants())
	}
	h.started = true
	background, stop := context.WithCancel(context.Background())
	h.stop = stop
	h.stopped.Go(func() { h.maintain(background) })
	if !opts.SyncAlways {
		h.stopped.Go(func() { h.syncPeriodically(background) })
	}
	return h, nil
}

// openFound opens every tenant of an earlier run, two at a time: replay is bound by the processor.
func (h *Heads) openFound(ctx context.Context) error {
	entries, err := os.ReadDir(h.opts.Dir)
	if err != nil {
		return fmt.Errorf("list metrics folder: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	for _, e := range entries {
		name := e.Name()
		if !e.IsDir() || tenant.Validate(name) != nil {
			continue
		}
		dir := filepath.Join(h.opts.Dir, name)
		if shut, _ := isShut(dir); shut { // an error comes again when it is opened
			if err := removeShut(dir); err != nil {
				h.logger.Error("rest of a closed metrics database can't be removed, the next write tries again", "tenant", name, "err", err)
			}
			continue
		}
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			t, _ := h.head(name, true) // a failure is kept in h.failed and has been logged
			t.release()
			return nil
		})
	}
	return g.Wait()
}

// head returns the tenant's head, which stays open until the caller releases it. Without create, a tenant that never
// wrote gives nil and no error, and so does one whose database is closed: all that it had is in the bucket.
func (h *Heads) head(id string, create bool) (*head, error) {
	for {
		h.mu.RLock()
		t, err, closed := h.tenants[id], h.failed[id], h.closed
		if t != nil && !closed {
			t.users.Add(1)
		}
		h.mu.RUnlock()
		switch {
		case closed:
			return nil, fault.Errorf(fault.Unavailable, "the metrics store is shutting down")
		case t != nil:
			return t, nil
		case err != nil:
			return nil, fault.New(fault.Unavailable, err)
		case !create:
			return nil, nil
		}
		if err := tenant.Validate(id); err != nil {
			return nil, fault.New(fault.Invalid, err)
		}
		wait, err := h.open(id)
		if err != nil {
			return nil, fault.New(fault.Unavailable, err)
		}
		if wait != nil {
			<-wait
		}
	}
}

// open opens one tenant, or returns a channel that closes when another caller has done so, or has closed the tenant.
//
// What can't be opened at the start has samples that queries would miss: it stays refused. Later it is a tenant that is
// new, or was closed with all in the bucket: queries go on, and the next write tries again.
func (h *Heads) open(id string) (<-chan struct{}, error) {
	h.mu.Lock()
	if wait := h.moving[id]; wait != nil || h.tenants[id] != nil || h.failed[id] != nil || h.closed {
		h.mu.Unlock()
		return wait, nil
	}
	done := make(chan struct{})
	h.moving[id] = done
	h.mu.Unlock()

	t, err := openHead(h.opts, h.metrics, id)

	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.moving, id)
	close(done)
	switch {
	case err != nil && h.started:
		h.logger.Error("metrics database can't be opened, the next write tries again", "tenant", id, "err", err)
		return nil, fmt.Errorf("open metrics database of tenant %s: %w", id, err)
	case err != nil:
		h.logger.Error("metrics database can't be opened, the tenant is refused until a restart", "tenant", id, "err", err)
		h.failed[id] = fmt.Errorf("open metrics database of tenant %s: %w", id, err)
	case h.closed:
		if err := t.close(); err != nil {
			h.logger.Error("close metrics database", "tenant", id, "err", err)
		}
	default:
		h.tenants[id] = t
	}
	return nil, nil
}

// all goes through the open heads in the order of their tenants. Each is held while it is looked at.
func (h *Heads) all() iter.Seq[*head] {
	return func(yield func(*head) bool) {
		for _, t := range h.opened() {
			if !h.hold(t) {
				continue // closed meanwhile
			}
			more := yield(t)
			t.release()
			if !more {
				return
			}
		}
	}
}

// hold keeps an open head open until it is released; false: it isn't open any more.
func (h *Heads) hold(t *head) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.tenants[t.tenant] != t {
		return false
	}
	t.users.Add(1)
	return true
}

// opened lists the open heads by tenant, holding none.
func (h *Heads) opened() []*head {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.SortedFunc(maps.Values(h.tenants), func(a, b *head) int { return strings.Compare(a.tenant, b.tenant) })
}

// Append stores a batch. It returns when the log that holds it is synced (SyncAlways). Samples
// that can't be stored are in the result, each group with its reason; an error means that nothing
// may be taken for stored, and that the batch can be sent again.
func (h *Heads) Append(ctx context.Context, id string, b *Batch) (PushResult, error) {
	if err := ctx.Err(); err != nil {
		return PushResult{}, err
	}
	if err := h.uploadsBehind(); err != nil {
		return PushResult{}, err
	}
	t, err := h.head(id, true)
	if err != nil {
		return PushResult{}, err
	}
	defer t.release()
	result, err := t.append(ctx, b)
	if err != nil {
		return PushResult{}, err
	}
	if h.opts.SyncAlways {
		if err := t.syncer.sync(); err != nil {
			return PushResult{}, t.broken(fmt.Errorf("metrics of tenant %s: %w", id, err))
		}
	} else {
		t.dirty.Store(true)
	}
	h.metrics.appended.WithLabelValues("sample").Add(float64(result.Samples))
	h.metrics.appended.WithLabelValues("histogram").Add(float64(result.Histograms))
	h.metrics.appended.WithLabelValues("exemplar").Add(float64(result.Exemplars))
	for _, r := range result.Rejected {
		h.metrics.rejected.WithLabelValues(r.Reason).Add(float64(r.Count))
	}
	return result, nil
}

// uploadsBehind refuses writes while too much waits for the bucket: a full disk would be worse.
func (h *Heads) uploadsBehind() error {
	pending, limit := h.metrics.pendingBytes.Load(), int64(h.opts.Config.MaxPendingBytes)
	if pending <= limit {
		return nil
	}
	return &fault.Error{Class: fault.Unavailable, Reason: "uploads_behind", RetryAfter: 10 * time.Second,
		Err: fmt.Errorf("%d bytes of blocks of metrics wait to be uploaded, more than the limit of %d: the bucket can't be reached or is too slow", pending, limit)}
}

// Flush cuts the heads of the tenants, or without any those of all, to blocks, out-of-order data included, and
// returns when their blocks are in the bucket and verified. Writers of a tenant wait while its head is cut.
func (h *Heads) Flush(ctx context.Context, tenants ...string) error {
	var errs []error
	for t := range h.all() {
		if len(tenants) > 0 && !slices.Contains(tenants, t.tenant) {
			continue
		}
		if err := t.flush(ctx); err != nil {
			errs = append(errs, fmt.Errorf("flush metrics of tenant %s: %w", t.tenant, err))
			continue
		}
		if err := t.ship(ctx); err != nil {
			errs = append(errs, fmt.Errorf("ship metrics of tenant %s: %w", t.tenant, err))
		}
	}
	return errors.Join(errs...)
}

// maintain does the periodic work until ctx is done.
func (h *Heads) maintain(ctx context.Context) {
	ticker := time.NewTicker(time.Duration(h.opts.Config.ShipInterval))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		h.maintainAll(ctx)
	}
}

// maintainAll ships blocks that the TSDB has cut, cuts the heads of idle tenants and closes those that hold nothing.
func (h *Heads) maintainAll(ctx context.Context) {
	for t := range h.all() {
		if err := t.maintain(ctx); err != nil && ctx.Err() == nil {
			h.logger.Error("shipping of metric blocks failed, will be tried again", "tenant", t.tenant, "err", err)
		}
		if err := h.rememberDeletions(ctx, t); err != nil && ctx.Err() == nil {
			h.logger.Error("deleted exemplars are looked for", "tenant", t.tenant, "err", err)
		}
	}
	if err := h.purgeShut(ctx); err != nil && ctx.Err() == nil {
		h.logger.Error("deleted exemplars can't be removed from files", "err", err)
	}
	h.closeIdle(ctx)
}

func (h *Heads) syncPeriodically(ctx context.Context) {
	ticker := time.NewTicker(h.opts.SyncInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for t := range h.all() {
			if !t.dirty.Swap(false) {
				continue
			}
			if err := t.syncer.sync(); err != nil {
				_ = t.broken(fmt.Errorf("metrics of tenant %s: %w", t.tenant, err)) // logs it; there is no writer to tell
			}
		}
	}
}

// Close stops the background work, syncs and closes every database. It is safe to call twice.
func (h *Heads) Close() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	h.mu.Unlock()
	h.stop()
	h.stopped.Wait()
	return h.closeTenants()
}

func (h *Heads) closeTenants() error {
	h.mu.Lock()
	heads := h.tenants
	h.tenants = map[string]*head{}
	h.mu.Unlock()
	var errs []error
	for id, t := range heads {
		if err := t.close(); err != nil {
			errs = append(errs, fmt.Errorf("close metrics of tenant %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

// Tenants lists the tenants with an open database, sorted.
func (h *Heads) Tenants() []string {
	var ids []string
	for _, t := range h.opened() {
		ids = append(ids, t.tenant)
	}
	return ids
}

// Stats returns what Prometheus's /api/v1/status/tsdb shows of the tenant's head: the limit
// largest cardinalities, by the values of the label named byLabel among others.
func (h *Heads) Stats(id, byLabel string, limit int) (*tsdb.Stats, int64, error) {
	t, err := h.head(id, false)
	if err != nil {
		return nil, 0, err
	}
	if t == nil {
		return nil, 0, nil
	}
	defer t.release()
	return t.db.Head().Stats(byLabel, limit), int64(t.gauge("prometheus_tsdb_head_chunks")), nil
}

// BlockMetas lists the blocks of the tenant on the local disk, oldest first.
func (h *Heads) BlockMetas(id string) ([]tsdb.BlockMeta, error) {
	t, err := h.head(id, false)
	if err != nil || t == nil {
		return nil, err
	}
	defer t.release()
	return t.db.BlockMetas(), nil
}

// MinTime returns the time of the oldest sample of all tenants, in milliseconds; false: there is none.
func (h *Heads) MinTime() (oldest int64, ok bool) {
	oldest = math.MaxInt64
	for t := range h.all() {
		if first, some := oldestOf(t.db.Head()); some {
			oldest, ok = min(oldest, first), true
		}
		for _, b := range t.db.Blocks() {
			oldest, ok = min(oldest, b.MinTime()), true
		}
	}
	return oldest, ok
}

// headCollector exports gauges over all tenants; a gauge for each tenant would not scale.
type headCollector struct{ h *Heads }

var (
	seriesDesc  = prometheus.NewDesc("hune_metrics_head_series", "Series in the heads of all tenants.", nil, nil)
	tenantsDesc = prometheus.NewDesc("hune_metrics_head_tenants", "Tenants with an open database.", nil, nil)
	failedDesc  = prometheus.NewDesc("hune_metrics_head_failed_tenants", "Tenants whose database can't be opened.", nil, nil)
	blocksDesc  = prometheus.NewDesc("hune_metrics_head_local_blocks", "Blocks on the local disk.", nil, nil)
)

func (headCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{seriesDesc, tenantsDesc, failedDesc, blocksDesc} {
		ch <- d
	}
}

func (c headCollector) Collect(ch chan<- prometheus.Metric) {
	var tenants, series, blocks int
	for t := range c.h.all() {
		tenants++
		series += int(t.db.Head().NumSeries())
		blocks += len(t.db.Blocks())
	}
	c.h.mu.RLock()
	failed := len(c.h.failed)
	c.h.mu.RUnlock()
	gauge := func(d *prometheus.Desc, v int) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v))
	}
	gauge(seriesDesc, series)
	gauge(tenantsDesc, tenants)
	gauge(failedDesc, failed)
	gauge(blocksDesc, blocks)
}
