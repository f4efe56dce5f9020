package metrics

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strings"
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
	DeleteDelay time.Duration   // from the mark of a block that was merged to its deletion
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
	jobs          *prometheus.CounterVec
	pending       *prometheus.GaugeVec
	read, written prometheus.Counter
	quarantined   prometheus.Counter
	deleted       prometheus.Counter

	deletedSamples prometheus.Counter
}

// NewCompactor returns a compactor.
func NewCompactor(opts CompactorOptions) *Compactor {
	f := promauto.With(opts.Registerer)
	return &Compactor{opts: opts, metas: map[blockKey]*metadata.Meta{}, clean: map[blockKey]map[string]bool{}, goneSince: map[string]time.Time{}, metrics: &compactorMetrics{
		jobs: f.NewCounterVec(prometheus.CounterOpts{Name: "hune_metrics_compactor_jobs_total",
			Help: "Jobs on blocks of metrics, by kind (compact, rewrite, downsample) and outcome."}, []string{"kind", "outcome"}),
		pending: f.NewGaugeVec(prometheus.GaugeOpts{Name: "hune_metrics_compactor_pending_jobs",
			Help: "Jobs that the last look at each tenant's blocks of metrics has found and that are not done yet."}, []string{"tenant", "kind"}),
		read:           f.NewCounter(prometheus.CounterOpts{Name: "hune_metrics_compactor_read_bytes_total", Help: "Bytes of blocks of metrics that jobs have downloaded."}),
		written:        f.NewCounter(prometheus.CounterOpts{Name: "hune_metrics_compactor_written_bytes_total", Help: "Bytes of blocks of metrics that jobs have made."}),
		quarantined:    f.NewCounter(prometheus.CounterOpts{Name: "hune_metrics_compactor_blocks_quarantined_total", Help: "Blocks of metrics found damaged and marked."}),
		deleted:        f.NewCounter(prometheus.CounterOpts{Name: "hune_metrics_compactor_blocks_deleted_total", Help: "Blocks of metrics deleted after their marks."}),
		deletedSamples: f.NewCounter(prometheus.CounterOpts{Name: "hune_metrics_compactor_samples_deleted_total", Help: "Samples, and aggregates of downsampled data, that were left out because a user asked to delete them."}),
	}}
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

// locked reports whether a block is to be left alone.
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
	n := map[string]int{"compact": 0, "rewrite": 0, "downsample": 0}
	for _, j := range jobs {
		n[j.kind()]++
	}
	for kind, n := range n {
		c.metrics.pending.WithLabelValues(tenant, kind).Set(float64(n))
	}
}

// plan leaves marked blocks out, except that what is downsampled already is known from them, too.
func (c *Compactor) plan(t *tenantMetrics) []compaction {
	free := slices.DeleteFunc(current(t.metas), t.locked)
	p := planner{now: c.opts.Now(), replicas: c.opts.ReplicaLabels,
		keep: func(resolution int64) time.Duration { return c.opts.Keep(t.id, resolution) }}
	return p.plan(free, t.metas)
}

// list reads which blocks there are, what files they have, and the meta.json that are new.
func (c *Compactor) list(ctx context.Context, tenant string) (*tenantMetrics, error) {
	t := &tenantMetrics{id: tenant, bkt: tenantBucket(c.opts.Bucket, tenant), files: map[ulid.ULID]map[string]bool{}}
	err := t.bkt.Iter(ctx, "", func(name string) error {
		dir, file, _ := strings.Cut(name, "/")
		id, err := ulid.ParseStrict(dir)
		if err != nil {
			return nil //nolint:nilerr // not a block
		}
		if t.files[id] == nil {
			t.files[id] = map[string]bool{}
		}
		t.files[id][file] = true
		return nil
	}, objstore.WithRecursiveIter())
	if err != nil {
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
	slices.SortFunc(t.metas, func(a, b *metadata.Meta) int { return a.ULID.Compare(b.ULID) })
	return t, nil
}

// sweep marks blocks that others have replaced, and deletes those whose mark is old enough. It returns how
// many were deleted.
func (c *Compactor) sweep(ctx context.Context, t *tenantMetrics) (n int, err error) {
	var errs []error
	for _, m := range t.metas {
		if by := replacement(m, t.metas); by != nil && !t.has(m.ULID, metadata.DeletionMarkFilename) {
			if err := c.mark(ctx, t, m.ULID, "replaced by block "+by.ULID.String()); err != nil {
				errs = append(errs, err)
			}
		}
	}
	for id, files := range t.files {
		if !files[metadata.DeletionMarkFilename] {
			continue
		}
		since, err := c.markedSince(ctx, t, id)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if c.opts.Now().Sub(since) < c.opts.DeleteDelay {
			continue
		}
		if err := deleteBlock(ctx, t.bkt, id); err != nil {
			errs = append(errs, fmt.Errorf("delete block %s: %w", id, err))
			continue
		}
		c.opts.Logger.Info("metric block deleted after its mark", "tenant", t.id, "block", id, "marked", since)
		c.metrics.deleted.Inc()
		delete(c.metas, blockKey{t.id, id})
		delete(t.files, id)
		t.metas = slices.DeleteFunc(t.metas, func(m *metadata.Meta) bool { return m.ULID == id })
		n++
	}
	return n, errors.Join(errs...)
}

// mark says that a block is to be deleted.
func (c *Compactor) mark(ctx context.Context, t *tenantMetrics, id ulid.ULID, why string) error {
	err := writeMark(ctx, t.bkt, path.Join(id.String(), metadata.DeletionMarkFilename),
		metadata.DeletionMark{ID: id, Version: metadata.DeletionMarkVersion1, Details: why, DeletionTime: c.opts.Now().Unix()})
	if err != nil {
		return fmt.Errorf("mark block %s for deletion: %w", id, err)
	}
	t.files[id][metadata.DeletionMarkFilename] = true
	return nil
}

func (c *Compactor) markedSince(ctx context.Context, t *tenantMetrics, id ulid.ULID) (time.Time, error) {
	name := path.Join(id.String(), metadata.DeletionMarkFilename)
	data, err := readObject(ctx, t.bkt, name, maxMetaSize)
	if err != nil {
		return time.Time{}, fmt.Errorf("read %s: %w", name, err)
	}
	var m metadata.DeletionMark
	if err := json.Unmarshal(data, &m); err != nil {
		return time.Time{}, fmt.Errorf("read %s: %w", name, err)
	}
	return time.Unix(m.DeletionTime, 0), nil
}

// quarantine marks a damaged block, so that it is left alone by every compactor and can be looked at.
func (c *Compactor) quarantine(ctx context.Context, t *tenantMetrics, id ulid.ULID, cause error) error {
	if t.has(id, metadata.NoCompactMarkFilename) {
		return nil
	}
	err := writeMark(ctx, t.bkt, path.Join(id.String(), metadata.NoCompactMarkFilename), metadata.NoCompactMark{
		ID: id, Version: metadata.NoCompactMarkVersion1, Details: cause.Error(), NoCompactTime: c.opts.Now().Unix(), Reason: metadata.ManualNoCompactReason})
	if err != nil {
		return fmt.Errorf("mark damaged block %s: %w", id, err)
	}
	t.files[id][metadata.NoCompactMarkFilename] = true
	c.metrics.quarantined.Inc()
	c.opts.Logger.Error("damaged metric block marked, compaction goes on without it", "tenant", t.id, "block", id, "err", cause)
	return nil
}

func writeMark(ctx context.Context, bkt objstore.Bucket, name string, mark any) error {
	data, err := json.Marshal(mark)
	if err != nil {
		return err
	}
	return bkt.Upload(ctx, name, bytes.NewReader(data))
}
