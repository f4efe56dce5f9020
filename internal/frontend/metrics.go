package frontend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"
	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/frontend/resultcache"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/metrics/split"
)

// MetricsConfig says how metrics queries are taken apart and what of their answers is kept.
type MetricsConfig struct {
	// SplitInterval is how long a range of time one job is asked for; longer ones are cut at its multiples. Default
	// 24h; 0 cuts no query.
	SplitInterval model.Duration `yaml:"split_interval"`
	// MaxShards is into how many shares of the series an aggregation is divided that can be computed so. Default 1:
	// in one process a job uses all processors by itself.
	MaxShards int `yaml:"max_shards"`
	// MaxJobs is how many jobs of one query run at once. Default 4.
	MaxJobs int `yaml:"max_jobs"`
	// AlignStep moves the steps of range queries to multiples of the step, back in time, so that answers can be
	// used again. Default false: steps are where the client wants them.
	AlignStep bool `yaml:"align_queries_with_step"`
	// CacheSize is the memory for answers to range queries. Default 64MiB; 0 keeps none.
	CacheSize units.Base2Bytes `yaml:"cache_size"`
	// CacheFreshness is how old an answer must be at least to be kept; it is never less than
	// metrics.out_of_order_window. Default 10m.
	CacheFreshness model.Duration `yaml:"cache_freshness"`
}

func defaultMetricsConfig() MetricsConfig {
	return MetricsConfig{SplitInterval: model.Duration(24 * time.Hour), MaxShards: 1, MaxJobs: 4, CacheSize: 64 * units.MiB, CacheFreshness: model.Duration(10 * time.Minute)}
}

func (c MetricsConfig) validate() error {
	if c.SplitInterval < 0 || c.CacheSize < 0 || c.CacheFreshness < 0 || c.MaxShards <= 0 || c.MaxJobs <= 0 {
		return errors.New("split_interval, cache_size and cache_freshness must not be negative, max_shards and max_jobs must be positive")
	}
	return nil
}

// metricsFrontend answers metrics queries by jobs, and keeps what of the answers is settled.
type metricsFrontend struct {
	f       *Frontend
	cfg     MetricsConfig
	fresh   time.Duration                       // how old what is kept is at least
	deleted func(tenant string) uint64          // nil: answers are not shared
	cache   *resultcache.Cache[*metrics.Result] // nil: none
	changes resultcache.Changes
	flights resultcache.Flights[*metrics.Result]
	jobs    *prometheus.CounterVec
	joined  prometheus.Counter
}

func newMetricsFrontend(f *Frontend, o Options) *metricsFrontend {
	factory := promauto.With(o.Registerer)
	m := &metricsFrontend{f: f, cfg: o.Config.Metrics, fresh: o.Config.Metrics.Settled(o.MetricsWindow), deleted: o.MetricsDeleted,
		jobs: factory.NewCounterVec(prometheus.CounterOpts{Name: "hune_frontend_metrics_jobs_total",
			Help: "Jobs that metrics queries became, by how they were cut: whole, time or series."}, []string{"cut"}),
		joined: factory.NewCounter(prometheus.CounterOpts{Name: "hune_frontend_metrics_joined_total",
			Help: "Metrics queries that waited for the answer to an equal one that was under way."})}
	if m.cfg.CacheSize > 0 {
		m.cache = resultcache.New(resultcache.Options[*metrics.Result]{Size: int64(m.cfg.CacheSize), Changes: &m.changes, Name: "metrics", Registerer: o.Registerer,
			Shared: o.MetricsResults, Codec: resultcache.Codec[*metrics.Result]{Cut: split.Cut, Join: split.Join, Size: split.Size, Append: split.Append, Decode: split.Decode}})
	}
	return m
}

// Settled is how old an answer is at least to be kept, where samples may come so long after later ones as window says.
func (c MetricsConfig) Settled(window time.Duration) time.Duration {
	return max(time.Duration(c.CacheFreshness), window)
}

// settled is the last time, in milliseconds, whose answers are kept.
func (m *metricsFrontend) settled() int64 { return m.f.now().Add(-m.fresh).UnixMilli() }

// MetricsChanged tells the frontend that samples from a time in milliseconds on were written or deleted, which
// queries see by now. It must return before the write, or the request to delete, is acknowledged.
func (f *Frontend) MetricsChanged(tenant string, from int64) {
	// The clock is read after the write: a query that has not seen it began earlier, and keeps nothing later than this.
	if from <= f.metrics.settled() {
		f.metrics.changes.Note(tenant, from)
	}
}

// run answers a metrics query. Who asks what is being answered waits for that answer.
func (m *metricsFrontend) run(ctx context.Context, j job.Job) (*metrics.Result, error) {
	q := *j.Metrics
	if q.Kind == metrics.Range && m.cfg.AlignStep && q.Step > 0 {
		q.Start -= q.Start % q.Step
		q.End -= q.End % q.Step
	}
	if q.Start > q.End { // all of it is further back than the tenant may look
		return nothing(q.Kind), nil
	}
	j.Metrics = &q
	res, joined, err := m.flights.Do(ctx, fmt.Sprintf("%q %#v", j.Tenant, q), func(ctx context.Context) (*metrics.Result, error) {
		return m.answer(ctx, j)
	})
	if joined {
		m.joined.Inc()
	}
	if err != nil || res == nil {
		return res, err
	}
	// Callers add warnings of their own.
	own := *res
	own.Warnings = maps.Clone(res.Warnings)
	return &own, nil
}

// nothing is the answer to a question about no time at all.
func nothing(kind metrics.QueryKind) *metrics.Result {
	switch kind {
	case metrics.Range:
		return &metrics.Result{Value: promql.Matrix{}}
	case metrics.Instant:
		return &metrics.Result{Value: promql.Vector{}}
	}
	return &metrics.Result{}
}

// answer answers a query from what is kept, and keeps what it had to compute.
func (m *metricsFrontend) answer(ctx context.Context, j job.Job) (*metrics.Result, error) {
	q := j.Metrics
	if q.Kind != metrics.Range || q.Step <= 0 {
		return m.one(ctx, j, "whole")
	}
	plan, err := split.New(q)
	if err != nil {
		// What is wrong with it, if anything, the engine says.
		return m.one(ctx, j, "whole")
	}
	if m.cache == nil || plan.Fixed || q.EnableStats || q.PerStepStats {
		return m.parts(ctx, j.Tenant, plan, q.Start, q.End)
	}
	ahead := plan.Ahead.Milliseconds()
	r := resultcache.Request{Tenant: j.Tenant, Key: plan.Key(), Start: q.Start, End: q.Start + (q.End-q.Start)/q.Step*q.Step, Step: q.Step,
		Fresh: m.settled() - ahead, Ahead: ahead}
	if m.deleted != nil {
		// Other members hear of a request to delete when they next look, and may keep what they answered until then.
		r.Token = m.deleted(j.Tenant)
	}
	res, _, err := m.cache.Get(ctx, r, func(ctx context.Context, start, end int64) (*metrics.Result, error) {
		res, err := m.parts(ctx, j.Tenant, plan, start, end)
		if err == nil && res.Partial {
			err = errPartial
		}
		return res, err
	})
	if errors.Is(err, errPartial) {
		// It must not be kept. It is rare, so that asking for all of it does no harm.
		return m.parts(ctx, j.Tenant, plan, q.Start, q.End)
	}
	return res, err
}

var errPartial = errors.New("a part of the data can't be had")

// parts answers the steps start … end of a plan by jobs.
func (m *metricsFrontend) parts(ctx context.Context, tenant string, plan *split.Plan, start, end int64) (*metrics.Result, error) {
	intervals := plan.Intervals(start, end, time.Duration(m.cfg.SplitInterval))
	out := make([]*metrics.Result, len(intervals))
	err := m.each(ctx, len(intervals), func(ctx context.Context, i int) (err error) {
		out[i], err = m.shards(ctx, tenant, plan, plan.Part(intervals[i].Start, intervals[i].End), len(intervals) > 1)
		return err
	})
	if err != nil {
		return nil, err
	}
	return split.Join(out), nil
}

// shards answers a query by shares of the series, if that is possible.
func (m *metricsFrontend) shards(ctx context.Context, tenant string, plan *split.Plan, q *metrics.Query, part bool) (*metrics.Result, error) {
	whole := func() (*metrics.Result, error) {
		if part {
			return m.one(ctx, job.Job{Tenant: tenant, Metrics: q}, "time")
		}
		return m.one(ctx, job.Job{Tenant: tenant, Metrics: q}, "whole")
	}
	count := m.cfg.MaxShards
	if count <= 1 || !plan.Shardable {
		return whole()
	}
	out := make([]*metrics.Result, count)
	err := m.each(ctx, count, func(ctx context.Context, i int) (err error) {
		out[i], err = m.one(ctx, job.Job{Tenant: tenant, Metrics: plan.Shard(q, i, count)}, "series")
		return err
	})
	if err != nil {
		return nil, err
	}
	merged, ok, err := plan.Merge(out)
	if err != nil || ok {
		return merged, err
	}
	return whole()
}

// each does the parts of a query, so many at once as are allowed.
func (m *metricsFrontend) each(ctx context.Context, n int, do func(context.Context, int) error) error {
	if n == 1 {
		return do(ctx, 0)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(m.cfg.MaxJobs)
	for i := range n {
		g.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return do(ctx, i)
		})
	}
	return g.Wait()
}

func (m *metricsFrontend) one(ctx context.Context, j job.Job, cut string) (*metrics.Result, error) {
	m.jobs.WithLabelValues(cut).Inc()
	r, err := m.f.ask(ctx, j, cut != "whole")
	return r.Metrics, err
}

// millis is how long a range is, if that can be said: questions about all of time have ends that don't fit into a
// duration.
func millis(start, end int64) (length time.Duration, bounded bool) {
	const most = int64(math.MaxInt64) / int64(time.Millisecond)
	if d := end - start; d >= 0 && d < most {
		return time.Duration(d) * time.Millisecond, true
	}
	return math.MaxInt64, false
}

// notBefore returns the start of a query that looks no further back than oldest; the steps stay where they are.
func notBefore(q *metrics.Query, oldest int64) int64 {
	if q.Start >= oldest {
		return q.Start
	}
	if q.Kind == metrics.Range && q.Step > 0 {
		return q.Start + (oldest-q.Start+q.Step-1)/q.Step*q.Step
	}
	return oldest
}
