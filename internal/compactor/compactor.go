// Package compactor is the compactor role: it keeps the bucket in order.
//
// Blocks of metrics it merges and downsamples, see metrics.Compactor.
//
// It applies retention by age, for each signal and tenant: a block goes when its newest row is older
// than the retention, so data is kept at least that long and at most one block's length more.
//
// Blocks of logs and traces it also compacts: small ones of neighbouring times become larger ones, and
// rows that replicas brought twice are dropped; the pieces of a trace become one. Of logs, rows of streams
// past a shorter retention are dropped, too, and those that a user has asked to delete; of traces whole ones. A new block names
// what it was made of, and readers leave those out from the moment it is there; they are deleted after a
// delay, so that queries under way find what they began with. Nothing depends on a process ending in
// order: a job that was killed is done again. A block that is damaged is set aside with a mark and never
// stops the others.
//
// Where several processes with this role work on a bucket, a ring says whose each signal of a tenant is: see share.go.
// Without one there may be one process alone.
package compactor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/common/model"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/deletes"
	"github.com/hune-io/hune/internal/metrics"
	metricdeletes "github.com/hune-io/hune/internal/metrics/deletes"
	"github.com/hune-io/hune/internal/signal"
	tracedeletes "github.com/hune-io/hune/internal/traces/deletes"
)

// Config is the user's settings of the compactor.
type Config struct {
	// Interval is the time between two rounds. Default 10m.
	Interval model.Duration `yaml:"interval"`
	// DeleteDelay is how long blocks of logs and traces that were merged into others stay in the bucket, for the queries
	// that still read them. At least twice the store's poll interval. Default 10m.
	DeleteDelay model.Duration `yaml:"delete_delay"`
	// MetricsDeleteDelay is how long blocks of metrics stay in the bucket after they were marked for deletion,
	// because they were merged into others or are past their retention. Default 48h, as Thanos has it: until
	// then a mark can be taken back by hand, and other readers of the bucket can follow.
	MetricsDeleteDelay model.Duration `yaml:"metrics_delete_delay"`
	// MetricsReplicaLabels are the external labels by which replicas differ that scrape on their own, such
	// as a pair of Prometheus servers with Thanos sidecars: blocks of metrics that differ in nothing else
	// are deduplicated when they are merged. Default: none.
	MetricsReplicaLabels []string `yaml:"metrics_replica_labels"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{Interval: model.Duration(10 * time.Minute), DeleteDelay: model.Duration(10 * time.Minute), MetricsDeleteDelay: model.Duration(48 * time.Hour)}
}

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	if c.Interval <= 0 {
		return fmt.Errorf("interval: %s must be positive", c.Interval)
	}
	if c.DeleteDelay < 0 {
		return fmt.Errorf("delete_delay: %s must not be negative", c.DeleteDelay)
	}
	if c.MetricsDeleteDelay < 0 {
		return fmt.Errorf("metrics_delete_delay: %s must not be negative", c.MetricsDeleteDelay)
	}
	return nil
}

// Retention is how long data is kept, by the age of its newest row. 0 keeps for ever.
type Retention struct {
	// Metrics is how long metrics are kept. Default 30d; 0 keeps for ever.
	Metrics model.Duration `yaml:"metrics"`
	// Metrics5m is how long metrics downsampled to 5 minutes are kept. Default 90d; 0 keeps for ever.
	Metrics5m model.Duration `yaml:"metrics_5m"`
	// Metrics1h is how long metrics downsampled to an hour are kept. Default 365d; 0 keeps for ever.
	Metrics1h model.Duration `yaml:"metrics_1h"`
	// Logs is how long logs are kept. Default 30d; 0 keeps for ever.
	Logs model.Duration `yaml:"logs"`
	// Traces is how long traces are kept. Default 30d; 0 keeps for ever.
	Traces model.Duration `yaml:"traces"`
}

// DefaultRetention returns the defaults.
func DefaultRetention() Retention {
	month := model.Duration(30 * 24 * time.Hour)
	return Retention{Metrics: month, Metrics5m: 3 * month, Metrics1h: model.Duration(365 * 24 * time.Hour), Logs: month, Traces: month}
}

// Validate reports what is wrong with r.
func (r Retention) Validate() error {
	if r.Metrics < 0 || r.Metrics5m < 0 || r.Metrics1h < 0 || r.Logs < 0 || r.Traces < 0 {
		return errors.New("retention must not be negative")
	}
	return nil
}

// Options are what the program gives a compactor.
type Options struct {
	Config    Config
	Retention Retention
	// LogRetention is how long the logs of a tenant are kept, the same pointer as long as that doesn't
	// change. Nil: Retention.Logs for all.
	LogRetention func(tenant string) *logs.Retention
	// TraceRetention is how long the traces of a tenant are kept, the same pointer as long as that doesn't
	// change. Nil: Retention.Traces for all.
	TraceRetention func(tenant string) *TraceRules
	// MetricsRetention is how long the metrics of a tenant of a resolution, in milliseconds, are kept; 0 is
	// for ever. Nil: Retention for all.
	MetricsRetention func(tenant string, resolution int64) time.Duration
	// Owns reports whether this process is to work on a signal of a tenant. Nil: on all of all.
	Owns func(tenant string, s signal.Signal) bool
	// Deletes are the requests to delete logs. Nil: there are none.
	Deletes *deletes.Book
	// MetricsDeletes are the requests to delete samples. Nil: there are none.
	MetricsDeletes *metricdeletes.Book
	// MetricsSettled reports whether all samples of a tenant up to a time, in milliseconds, are in the bucket
	// and answered from there alone. Nil: they always are.
	MetricsSettled func(tenant string, end int64) bool
	// Settled reports whether all logs of a tenant that were acknowledged before a time are in the bucket
	// and answered from there alone. Nil: they are after two hours.
	Settled func(tenant string, before time.Time) bool
	// TraceDeletes are the requests to delete traces. Nil: there are none.
	TraceDeletes *tracedeletes.Book
	// TracesSettled is Settled for traces.
	TracesSettled func(tenant string, before time.Time) bool
	// Dir is a folder for the blocks at work, emptied at the start. It takes about twice the largest
	// job: 1 GiB of lines, compressed. Default: folders in that of the system for temporary files.
	Dir        string
	Bucket     objstore.Bucket
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
	// Added is told of each block that was made, as soon as it is in the bucket. Optional.
	Added func(m block.Meta)
	// Changed is called after a round that changed which blocks there are. Optional.
	Changed func(ctx context.Context)
}

// Compactor is the role.
type Compactor struct {
	services.Service
	opts       Options
	uniform    *logs.Retention // where there is no LogRetention
	traceRules *TraceRules     // where there is no TraceRetention
	deleted    *prometheus.CounterVec
	rounds     *prometheus.CounterVec
	last       prometheus.Gauge
	metrics    *jobMetrics
	series     *metrics.Compactor

	// What rounds remember of blocks of logs and traces. One round runs at a time.
	metas     map[shelf]map[ulid.ULID]block.Meta
	made      map[ulid.ULID]time.Time       // when the upload of a block of ours was done
	clean     map[ulid.ULID]map[string]bool // the requests to delete of which a block holds no row
	expires   map[ulid.ULID]expiry
	traces    map[ulid.ULID]tracesKnown // of blocks of traces
	unusable  map[ulid.ULID]bool        // blocks of later versions
	goneSince map[string]time.Time      // by tenant/signal/request: when its rows were first found to be gone

	ours   map[shelf]bool // as this round found it, where Owns is set
	before map[shelf]bool // as the round before did

	workMu   sync.Mutex
	work     shelf // that the round is at
	stopWork context.CancelCauseFunc

	suspectMu sync.Mutex
	suspects  map[string]bool // data files that a query found to be corrupt
}

// Suspect makes the next round read a block of logs or traces whose data file a query found to be corrupt:
// it is written anew, or set aside if it is so in the bucket and not only on the way from there. What is no
// such block is left alone. Safe for concurrent use.
func (c *Compactor) Suspect(object string) {
	c.suspectMu.Lock()
	defer c.suspectMu.Unlock()
	if len(c.suspects) < maxSuspects {
		c.suspects[object] = true
	}
}

// maxSuspects bounds what is remembered between two rounds.
const maxSuspects = 1000

// takeSuspects returns what there is to look at of a signal of a tenant and forgets it.
func (c *Compactor) takeSuspects(s shelf) map[string]bool {
	c.suspectMu.Lock()
	defer c.suspectMu.Unlock()
	out := map[string]bool{}
	for object := range c.suspects {
		if strings.HasPrefix(object, path.Join(s.tenant, string(s.signal))+"/") {
			out[object] = true
			delete(c.suspects, object)
		}
	}
	return out
}

// jobMetrics count what compaction does.
type jobMetrics struct {
	jobs, rows    *prometheus.CounterVec
	read, written prometheus.Counter
	quarantined   prometheus.Counter
}

func newJobMetrics(f promauto.Factory) *jobMetrics {
	return &jobMetrics{
		jobs:        f.NewCounterVec(prometheus.CounterOpts{Name: "hune_compactor_compactions_total", Help: "Compactions of blocks of logs and traces, by outcome."}, []string{"outcome"}),
		rows:        f.NewCounterVec(prometheus.CounterOpts{Name: "hune_compactor_rows_dropped_total", Help: "Log entries and spans that compactions left out, by reason: duplicate, deleted or expired."}, []string{"reason"}),
		read:        f.NewCounter(prometheus.CounterOpts{Name: "hune_compactor_read_bytes_total", Help: "Bytes of blocks that compactions replaced."}),
		written:     f.NewCounter(prometheus.CounterOpts{Name: "hune_compactor_written_bytes_total", Help: "Bytes of blocks that compactions made."}),
		quarantined: f.NewCounter(prometheus.CounterOpts{Name: "hune_compactor_blocks_quarantined_total", Help: "Blocks found damaged and set aside: queries go on without them."}),
	}
}

// New returns a compactor; starting it as a service starts its rounds.
func New(opts Options) *Compactor {
	f := promauto.With(opts.Registerer)
	c := &Compactor{opts: opts, metrics: newJobMetrics(f), metas: map[shelf]map[ulid.ULID]block.Meta{}, made: map[ulid.ULID]time.Time{},
		clean: map[ulid.ULID]map[string]bool{}, expires: map[ulid.ULID]expiry{}, traces: map[ulid.ULID]tracesKnown{}, unusable: map[ulid.ULID]bool{}, goneSince: map[string]time.Time{}, ours: map[shelf]bool{}, suspects: map[string]bool{},
		deleted: f.NewCounterVec(prometheus.CounterOpts{Name: "hune_compactor_blocks_deleted_total", Help: "Blocks deleted, by signal and reason."}, []string{"signal", "reason"}),
		rounds:  f.NewCounterVec(prometheus.CounterOpts{Name: "hune_compactor_rounds_total", Help: "Rounds over the bucket, by outcome."}, []string{"outcome"}),
		last:    f.NewGauge(prometheus.GaugeOpts{Name: "hune_compactor_last_success_timestamp_seconds", Help: "When the last round without an error ended."}),
	}
	c.uniform, _ = logs.NewRetention(time.Duration(opts.Retention.Logs)) // without rules there is nothing to be wrong
	c.traceRules = &TraceRules{period: time.Duration(opts.Retention.Traces)}
	if opts.MetricsRetention == nil {
		c.opts.MetricsRetention = func(_ string, resolution int64) time.Duration { return opts.Retention.OfMetrics(resolution) }
	}
	c.series = c.newSeries()
	c.Service = services.NewTimerService(time.Duration(opts.Config.Interval), c.start, c.round, nil).WithName("compactor")
	return c
}

// start empties the folder of what a process that was killed has left there.
func (c *Compactor) start(context.Context) error {
	if c.opts.Dir == "" {
		return nil
	}
	if err := os.RemoveAll(c.opts.Dir); err != nil {
		return fmt.Errorf("empty the compactor's folder: %w", err)
	}
	return os.MkdirAll(c.opts.Dir, 0o750)
}

func (c *Compactor) retention(tenant string) *logs.Retention {
	if c.opts.LogRetention == nil {
		return c.uniform
	}
	return c.opts.LogRetention(tenant)
}

func (c *Compactor) retentionOfTraces(tenant string) *TraceRules {
	if c.opts.TraceRetention == nil {
		return c.traceRules
	}
	return c.opts.TraceRetention(tenant)
}

func (c *Compactor) round(ctx context.Context) error {
	if err := c.Round(ctx); err != nil && ctx.Err() == nil {
		c.opts.Logger.Error("compactor round failed, will be tried again", "err", err)
	}
	return nil
}

// Round goes over the bucket once. A tenant or block that fails does not stop the others.
func (c *Compactor) Round(ctx context.Context) error {
	tenants, err := block.Tenants(ctx, c.opts.Bucket)
	if err != nil {
		c.rounds.WithLabelValues("error").Inc()
		return fmt.Errorf("list tenants: %w", err)
	}
	var errs []error
	if c.opts.Deletes != nil {
		if err := c.opts.Deletes.Refresh(ctx, tenants); err != nil {
			errs = append(errs, fmt.Errorf("read delete requests: %w", err))
		}
	}
	if c.opts.TraceDeletes != nil {
		if err := c.opts.TraceDeletes.Refresh(ctx, tenants); err != nil {
			errs = append(errs, fmt.Errorf("read requests to delete traces: %w", err))
		}
	}
	if c.opts.MetricsDeletes != nil {
		if err := c.opts.MetricsDeletes.Refresh(ctx, tenants); err != nil {
			errs = append(errs, fmt.Errorf("read requests to delete samples: %w", err))
		}
	}
	changed := false
	c.before, c.ours = c.ours, map[shelf]bool{}
	for _, tenant := range tenants {
		for _, s := range signal.All {
			did, err := c.tidy(ctx, shelf{tenant, s})
			changed = changed || did
			if err != nil {
				errs = append(errs, err)
			}
		}
	}
	if changed && c.opts.Changed != nil {
		c.opts.Changed(ctx)
	}
	if err := errors.Join(errs...); err != nil {
		c.rounds.WithLabelValues("error").Inc()
		return err
	}
	c.rounds.WithLabelValues("success").Inc()
	c.last.Set(float64(c.opts.Now().Unix()))
	return nil
}

func (c *Compactor) tidyMetrics(ctx context.Context, tenant string) (changed bool, err error) {
	changed, err = c.series.Round(ctx, tenant)
	if err != nil {
		err = fmt.Errorf("compaction of metrics of tenant %s: %w", tenant, err)
	}
	return changed, err
}

// tidyRows applies retention to blocks of logs or traces and compacts them. One that fails doesn't stop the other.
func (c *Compactor) tidyRows(ctx context.Context, s shelf) (changed bool, err error) {
	n, err := c.retain(ctx, s.tenant, s.signal)
	if err != nil {
		err = fmt.Errorf("retention of %s of tenant %s: %w", s.signal, s.tenant, err)
	}
	did, failed := c.compactShelf(ctx, s)
	if failed != nil {
		err = errors.Join(err, fmt.Errorf("compaction of %s of tenant %s: %w", s.signal, s.tenant, failed))
	}
	return n > 0 || did, err
}

// retain deletes what is too old and returns how many blocks went.
func (c *Compactor) retain(ctx context.Context, tenant string, s signal.Signal) (int, error) {
	keep := c.retentionOfTraces(tenant).longest()
	if s == signal.Logs {
		keep = c.retention(tenant).Longest()
	}
	if keep == 0 {
		return 0, nil
	}
	before := c.opts.Now().Add(-keep)
	n, err := c.deleteOlder(ctx, tenant, s, before)
	c.deleted.WithLabelValues(string(s), "retention").Add(float64(n))
	return n, err
}

func (c *Compactor) deleteOlder(ctx context.Context, tenant string, s signal.Signal, before time.Time) (int, error) {
	ids, err := block.IDs(ctx, c.opts.Bucket, tenant, s)
	if err != nil {
		return 0, err
	}
	n := 0
	var errs []error
	for _, id := range ids {
		newest, known, err := c.newest(ctx, tenant, s, id)
		if err != nil {
			errs = append(errs, err)
		}
		if !known || !newest.Before(before) {
			continue
		}
		err = errors.Join(block.Delete(ctx, c.opts.Bucket, tenant, s, id), block.Readmit(ctx, c.opts.Bucket, tenant, s, id))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		n++
		c.opts.Logger.Info("block deleted, past its retention", "tenant", tenant, "signal", s, "block", id, "newest", newest.UTC())
	}
	return n, errors.Join(errs...)
}

// newest returns the time of a block's newest row, if it can be known: a block whose meta file can't
// be read is never deleted, the store complains about it. One without a meta file is being uploaded
// or left by a deletion that was interrupted; its rows are not newer than its name.
func (c *Compactor) newest(ctx context.Context, tenant string, s signal.Signal, id ulid.ULID) (newest time.Time, known bool, err error) {
	m, err := block.ReadMeta(ctx, c.opts.Bucket, tenant, s, id)
	switch {
	case err == nil:
		return time.Unix(0, m.MaxTime), true, nil
	case errors.Is(err, block.ErrPartial):
		return ulid.Time(id.Time()), true, nil
	case block.IsCorruption(err):
		return time.Time{}, false, nil
	default:
		return time.Time{}, false, fmt.Errorf("read meta of block %s: %w", id, err)
	}
}
