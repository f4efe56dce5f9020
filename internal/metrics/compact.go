package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/block/metadata"
)

// CompactorOptions are what the program gives NewCompactor.
type CompactorOptions struct {
	Dir         string          // for blocks at work
	Bucket      objstore.Bucket // the root of the bucket
	DeleteDelay time.Duration   // from the mark of a block that was merged or is too old to its deletion
	// Keep is how long data of a resolution are kept, 0: for ever.
	Keep func(tenant string, resolution int64) time.Duration
	// ReplicaLabels are the external labels by which replicas differ that scrape on their own, such as
	// those of a pair of Prometheus servers. Their blocks are deduplicated.
	ReplicaLabels []string
	// Deletes are the requests to delete samples. Nil: there are none.
	Deletes Deletes
	// Settled reports whether all samples of a tenant up to a time are in the bucket and answered from there
	// alone. Nil: they always are.
	Settled    func(tenant string, end int64) bool
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// Compactor merges the blocks of metrics in the bucket to longer ones and downsamples them.
//
// The output of a job has a name that follows from its inputs, so that a job that was killed is done
// again under the same name. Readers leave the inputs out as soon as the output is there; the compactor
// marks them (Thanos's deletion-mark.json) and deletes them after a delay. A block that is damaged is
// marked with the reason (no-compact-mark.json) and stays where it is. It is safe for concurrent use: one
// tenant is worked on at a time.
type Compactor struct {
	opts    CompactorOptions
	metrics *compactorMetrics

	mu        sync.Mutex
	metas     map[blockKey]*metadata.Meta  // read in earlier rounds
	marks     map[blockKey]time.Time       // since when blocks are marked for deletion, as far as that was read
	clean     map[blockKey]map[string]bool // the requests to delete of which a block holds nothing
	goneSince map[string]time.Time         // by tenant/request: when its samples were first found to be gone
}

// Deletes are the requests to delete samples.
type Deletes interface {
	// Active returns what is to be deleted of a tenant's samples; nil if nothing is.
	Active(tenant string) *Deletions
	// Finish notes that nothing of these requests is stored any more.
	Finish(ctx context.Context, tenant string, ids []string) error
}

type compactorMetrics struct {
	jobs           *prometheus.CounterVec
	pending        *prometheus.GaugeVec
	pendingBlocks  *prometheus.GaugeVec
	waiting        *prometheus.GaugeVec
	lastJob        prometheus.Gauge
	read, written  prometheus.Counter
	quarantined    prometheus.Counter
	marked         *prometheus.CounterVec
	deleted        prometheus.Counter
	partial        prometheus.Counter
	deletedSamples prometheus.Counter
}

func newCompactorMetrics(reg prometheus.Registerer) *compactorMetrics {
	f := promauto.With(reg)
	return &compactorMetrics{
		jobs: f.NewCounterVec(prometheus.CounterOpts{Name: "hune_metrics_compactor_jobs_total",
			Help: "Jobs on blocks of metrics, by kind (compact, rewrite, downsample) and outcome."}, []string{"kind", "outcome"}),
		pending: f.NewGaugeVec(prometheus.GaugeOpts{Name: "hune_metrics_compactor_pending_jobs",
			Help: "Jobs that the last look at each tenant's blocks of metrics has found and that are not done yet."}, []string{"tenant", "kind"}),
		pendingBlocks: f.NewGaugeVec(prometheus.GaugeOpts{Name: "hune_metrics_compactor_pending_blocks",
			Help: "Blocks that the pending jobs read."}, []string{"tenant", "kind"}),
		waiting: f.NewGaugeVec(prometheus.GaugeOpts{Name: "hune_metrics_compactor_waiting_blocks",
			Help: "Blocks of metrics that wait for their deletion: marked, or partial uploads."}, []string{"tenant", "state"}),
		lastJob:     f.NewGauge(prometheus.GaugeOpts{Name: "hune_metrics_compactor_last_job_timestamp_seconds", Help: "When the last job on blocks of metrics ended well."}),
		read:        f.NewCounter(prometheus.CounterOpts{Name: "hune_metrics_compactor_read_bytes_total", Help: "Bytes of blocks of metrics that jobs have downloaded."}),
		written:     f.NewCounter(prometheus.CounterOpts{Name: "hune_metrics_compactor_written_bytes_total", Help: "Bytes of blocks of metrics that jobs have made."}),
		quarantined: f.NewCounter(prometheus.CounterOpts{Name: "hune_metrics_compactor_blocks_quarantined_total", Help: "Blocks of metrics found damaged and marked."}),
		marked: f.NewCounterVec(prometheus.CounterOpts{Name: "hune_metrics_compactor_blocks_marked_total",
			Help: "Blocks of metrics marked for deletion, by reason: replaced, retention or empty."}, []string{"reason"}),
		deleted: f.NewCounter(prometheus.CounterOpts{Name: "hune_metrics_compactor_blocks_deleted_total", Help: "Blocks of metrics deleted after their marks."}),
		partial: f.NewCounter(prometheus.CounterOpts{Name: "hune_metrics_compactor_partial_uploads_deleted_total",
			Help: "Remains of uploads of blocks of metrics that never ended, deleted."}),
		deletedSamples: f.NewCounter(prometheus.CounterOpts{Name: "hune_metrics_compactor_samples_deleted_total",
			Help: "Samples, and aggregates of downsampled data, that were left out because a user asked to delete them."}),
	}
}

// NewCompactor returns a compactor.
func NewCompactor(opts CompactorOptions) *Compactor {
	return &Compactor{opts: opts, metrics: newCompactorMetrics(opts.Registerer), metas: map[blockKey]*metadata.Meta{}, marks: map[blockKey]time.Time{},
		clean: map[blockKey]map[string]bool{}, goneSince: map[string]time.Time{}}
}

// maxCompactPasses bounds how often a round plans anew for one tenant, so that the others get their turn.
const maxCompactPasses = 8

// tenantMetrics are the blocks of a tenant as the bucket has them.
type tenantMetrics struct {
	id    string
	bkt   objstore.Bucket
	metas []*metadata.Meta // that can be read
	files map[ulid.ULID]map[string]bool
}

// locked reports whether a block is not to be replaced.
func (t *tenantMetrics) locked(m *metadata.Meta) bool {
	return t.has(m.ULID, metadata.NoCompactMarkFilename) || t.has(m.ULID, metadata.DeletionMarkFilename)
}

func (t *tenantMetrics) has(id ulid.ULID, file string) bool { return t.files[id][file] }

// Round brings the blocks of a tenant into shape, as far as one round goes, and reports whether anything
// has changed. A job that fails stops no other.
func (c *Compactor) Round(ctx context.Context, tenant string) (changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	failed := map[string]bool{} // jobs of this round, by output
	for range maxCompactPasses {
		t, err := c.list(ctx, tenant)
		if err != nil {
			return changed, errors.Join(append(errs, err)...)
		}
		n, err := c.sweep(ctx, t)
		changed = changed || n > 0
		if err != nil {
			errs = append(errs, err)
		}
		jobs, err := c.withDeletes(ctx, t, c.plan(t))
		if err != nil {
			errs = append(errs, err)
		}
		jobs = slices.DeleteFunc(jobs, func(j compaction) bool { return failed[outputName(j).String()] })
		c.count(tenant, jobs)
		done := 0
		for i, j := range jobs {
			if ctx.Err() != nil {
				return changed, errors.Join(append(errs, context.Cause(ctx))...)
			}
			if err := c.do(ctx, t, j); err != nil {
				failed[outputName(j).String()] = true
				errs = append(errs, err)
				continue
			}
			done++
			changed = true
			c.count(tenant, jobs[i+1:])
		}
		if done > 0 {
			continue
		}
		if err := c.finishDeletes(ctx, t); err != nil {
			errs = append(errs, err)
		}
		break
	}
	return changed, errors.Join(errs...)
}

func (c *Compactor) count(tenant string, jobs []compaction) {
	for _, kind := range []string{"compact", "rewrite", "downsample"} {
		n, blocks := 0, 0
		for _, j := range jobs {
			if j.kind() == kind {
				n++
				blocks += len(j.inputs)
			}
		}
		c.metrics.pending.WithLabelValues(tenant, kind).Set(float64(n))
		c.metrics.pendingBlocks.WithLabelValues(tenant, kind).Set(float64(blocks))
	}
}

// plan leaves marked blocks out of what their marks are about, except that what is downsampled already is known from all.
func (c *Compactor) plan(t *tenantMetrics) []compaction {
	marked := func(file string) func(*metadata.Meta) bool {
		return func(m *metadata.Meta) bool { return t.has(m.ULID, file) }
	}
	p := planner{now: c.opts.Now(), replicas: c.opts.ReplicaLabels,
		apart: marked(metadata.NoCompactMarkFilename), whole: marked(metadata.NoDownsampleMarkFilename),
		keep: func(resolution int64) time.Duration { return c.opts.Keep(t.id, resolution) }}
	return p.plan(slices.DeleteFunc(current(t.metas), marked(metadata.DeletionMarkFilename)), t.metas)
}

// list reads which blocks there are, what files they have, and the meta.json that are new.
func (c *Compactor) list(ctx context.Context, tenant string) (*tenantMetrics, error) {
	t := &tenantMetrics{id: tenant, bkt: tenantBucket(c.opts.Bucket, tenant)}
	var err error
	if t.files, err = blockFilesIn(ctx, t.bkt); err != nil {
		return nil, fmt.Errorf("list metric blocks of tenant %s: %w", tenant, err)
	}
	for id, files := range t.files {
		key := blockKey{tenant, id}
		if !files[metadata.MetaFilename] {
			continue
		}
		m := c.metas[key]
		if m == nil {
			m, err = readMeta(ctx, t.bkt, id)
			switch {
			case err == nil:
			case t.bkt.IsObjNotFoundErr(err):
				continue
			case errors.Is(err, errDamaged):
				if err := c.quarantine(ctx, t, id, err); err != nil {
					return nil, err
				}
				continue
			default:
				return nil, fmt.Errorf("read meta.json of block %s: %w", id, err)
			}
			c.metas[key] = m
		}
		t.metas = append(t.metas, m)
	}
	for key := range c.metas {
		if key.tenant == tenant && !t.has(key.id, metadata.MetaFilename) {
			delete(c.metas, key)
			delete(c.clean, key)
		}
	}
	for key := range c.marks {
		if key.tenant == tenant && !t.has(key.id, metadata.DeletionMarkFilename) {
			delete(c.marks, key) // somebody took it back
		}
	}
	slices.SortFunc(t.metas, func(a, b *metadata.Meta) int { return a.ULID.Compare(b.ULID) })
	return t, nil
}
