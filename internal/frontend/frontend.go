// Package frontend is the query frontend role: what every read goes through before it becomes jobs.
// It applies the tenant's limits of time and range, counts and logs the query, and hands it to the scheduler.
//
// A logs query that has much to look at is cut into jobs by time and by streams, and their answers are
// merged here (split.go); how is the engine's business. Answers to metric queries of logs are kept, so that the next
// one computes only what is new (results.go). PromQL over a range is cut by days, and if wanted by series, and what of it
// is settled is kept for the next question (metrics.go). Searches, metrics and tags of many traces are cut by
// time.
package frontend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/common/model"

	"github.com/hune-io/hune/internal/cache"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/signal"
)

// Config is the user's settings of the frontend.
type Config struct {
	// SlowQuery logs queries that took at least this long, with what they read. Default 10s; 0 logs none.
	SlowQuery model.Duration `yaml:"slow_query"`
	// Logs says into how many jobs logs queries are cut.
	Logs LogsConfig `yaml:"logs"`
	// Traces says into how many jobs traces queries are cut.
	Traces TracesConfig `yaml:"traces"`
	// ResultsCache says what answers are kept for queries to come.
	ResultsCache ResultsConfig `yaml:"results_cache"`
	// Metrics says how metrics queries are taken apart and what of their answers is kept.
	Metrics MetricsConfig `yaml:"metrics"`
}

// LogsConfig says into how many jobs logs queries are cut.
type LogsConfig struct {
	// JobSize is how many bytes of lines a job is to look at, about, as far as the index tells. A query of less
	// is one job. Default 1GiB; 0 cuts no query.
	JobSize units.Base2Bytes `yaml:"job_size"`
	// MaxShards bounds by how many shares of the streams a piece of time is divided, where pieces of time alone
	// are too few. Default 16.
	MaxShards int `yaml:"max_shards"`
	// MaxJobs is how many jobs of one query run at once. Default 16.
	MaxJobs int `yaml:"max_jobs"`
}

// TracesConfig says into how many jobs traces queries are cut.
type TracesConfig struct {
	// JobSpans is how many spans a job is to look at, about, as far as the indexes tell. A query of less is one job.
	// Default 2000000; 0 cuts no query.
	JobSpans int64 `yaml:"job_spans"`
	// MaxJobs is how many jobs of one query run at once. Default 16.
	MaxJobs int `yaml:"max_jobs"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{SlowQuery: model.Duration(10 * time.Second), Logs: LogsConfig{JobSize: units.GiB, MaxShards: 16, MaxJobs: 16},
		Traces:       TracesConfig{JobSpans: 2_000_000, MaxJobs: 16},
		ResultsCache: ResultsConfig{Size: 64 * units.MiB, MaxFreshness: model.Duration(10 * time.Minute)}, Metrics: defaultMetricsConfig()}
}

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	if c.SlowQuery < 0 {
		return fmt.Errorf("slow_query: %s must not be negative", c.SlowQuery)
	}
	if c.Logs.JobSize < 0 || c.Logs.MaxShards <= 0 || c.Logs.MaxJobs <= 0 {
		return errors.New("logs: job_size must not be negative, max_shards and max_jobs must be positive")
	}
	if c.Traces.JobSpans < 0 || c.Traces.MaxJobs <= 0 {
		return errors.New("traces: job_spans must not be negative, max_jobs must be positive")
	}
	if err := c.Metrics.validate(); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return c.ResultsCache.validate()
}

// Frontend runs queries. It implements job.Runner for the APIs and the ruler.
type Frontend struct {
	cfg      Config
	next     job.Runner
	logs     LogsCoordinator
	traces   TracesCoordinator
	metrics  *metricsFrontend
	slots    slots
	limits   *limits.Overrides
	logger   *slog.Logger
	now      func() time.Time
	duration *prometheus.HistogramVec
	retries  prometheus.Counter
	joined   prometheus.Counter
	results  *logsResults
	deleted  func(tenant string) uint64
}

// Options are what the program gives a frontend; all but Deleted are required.
type Options struct {
	Config     Config
	Next       job.Runner // takes the jobs: the scheduler
	Logs       LogsCoordinator
	Traces     TracesCoordinator
	Limits     *limits.Overrides
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
	// Deleted returns a number that changes whenever what is deleted of a tenant's logs does. Nil: nothing ever is.
	Deleted func(tenant string) uint64

	// MetricsWindow is how far behind the newest sample another one may come. Answers that are younger are not
	// kept.
	MetricsWindow time.Duration
	// MetricsResults is where the members of a cluster leave answers for each other. Nil: they don't.
	MetricsResults *cache.Results
	// MetricsDeleted returns a number that is the same in all processes that know the same requests to delete metrics of
	// a tenant. Required with MetricsResults.
	MetricsDeleted func(tenant string) uint64
}

// New returns a frontend.
func New(o Options) *Frontend {
	factory := promauto.With(o.Registerer)
	if o.Deleted == nil {
		o.Deleted = func(string) uint64 { return 0 }
	}
	f := &Frontend{results: newLogsResults(&o), deleted: o.Deleted,
		joined: factory.NewCounter(prometheus.CounterOpts{Name: "hune_frontend_joined_total", Help: "Queries that waited for the answer to an equal one."}),
		cfg:    o.Config, next: o.Next, logs: o.Logs, traces: o.Traces, slots: slots{most: jobsOfTenant}, limits: o.Limits, logger: o.Logger, now: o.Now,
		retries: factory.NewCounter(prometheus.CounterOpts{Name: "hune_frontend_retries_total", Help: "Query jobs that failed and were done once more."}),
		duration: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name: "hune_query_duration_seconds", Help: "Time to answer queries, by signal, kind and outcome.",
			NativeHistogramBucketFactor: 1.1, Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}, []string{"signal", "kind", "outcome"})}
	f.metrics = newMetricsFrontend(f, o)
	return f
}

// Run implements job.Runner.
func (f *Frontend) Run(ctx context.Context, j job.Job) (job.Result, error) {
	d, err := describe(j)
	if err != nil {
		return job.Result{}, err
	}
	limits := f.limits.For(j.Tenant).Queries
	if j, err = f.bound(j, limits); err != nil {
		return job.Result{}, err
	}
	if limits.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(limits.Timeout), tookTooLong(d.signal, limits.Timeout))
		defer cancel()
	}
	started := time.Now()
	r, err := f.run(ctx, j)
	took := time.Since(started)
	if err != nil && ctx.Err() != nil {
		// Say why the context ended rather than how the deepest layer noticed.
		err = context.Cause(ctx)
	}
	f.duration.WithLabelValues(string(d.signal), d.kind, outcome(err)).Observe(took.Seconds())
	if f.cfg.SlowQuery > 0 && took >= time.Duration(f.cfg.SlowQuery) {
		f.logger.Warn("slow query", "tenant", j.Tenant, "signal", d.signal, "kind", d.kind, "query", d.expr,
			"start", d.start, "end", d.end, "tags", d.tags, "duration", took, "err", err)
	}
	return r, err
}

// tookTooLong is why the time budget of a query ended it; for logs in Loki's words.
func tookTooLong(s signal.Signal, limit model.Duration) error {
	if s == signal.Logs {
		return fault.Errorf(fault.Timeout, "Request timed out, decrease the duration of the request or add more label matchers (prefer exact match over regex match) "+
			"to reduce the amount of data processed. The query took longer than the limit of %s.", limit)
	}
	return fault.Errorf(fault.Timeout, "the query took longer than the limit of %s", limit)
}

type description struct {
	signal     signal.Signal
	kind, expr string
	start, end time.Time
	tags       string // what the client says of itself
}

func describe(j job.Job) (description, error) {
	switch {
	case j.Metrics != nil && j.Logs == nil && j.Traces == nil:
		q := j.Metrics
		return description{signal.Metrics, string(q.Kind), q.Expr, time.UnixMilli(q.Start), time.UnixMilli(q.End), ""}, nil
	case j.Logs != nil && j.Metrics == nil && j.Traces == nil:
		q := j.Logs
		return description{signal.Logs, string(q.Kind), q.Expr, time.Unix(0, q.Start), time.Unix(0, q.End), q.Tags}, nil
	case j.Traces != nil && j.Metrics == nil && j.Logs == nil:
		q := j.Traces
		return description{signal.Traces, string(q.Kind), q.Expr, time.Unix(0, int64(q.Start)), time.Unix(0, int64(q.End)), ""}, nil
	}
	return description{}, fmt.Errorf("a query job must be of exactly one signal")
}

func outcome(err error) string {
	switch c := fault.ClassOf(err); {
	case err == nil:
		return "success"
	case c == fault.Canceled:
		return "canceled"
	case fault.Permanent(err):
		return "user_error"
	}
	return "error"
}

// bound applies the tenant's limits on the range of a query: too long is refused, what is further back than the
// lookback is left out.
func (f *Frontend) bound(j job.Job, l limits.QueryLimits) (job.Job, error) {
	oldest := time.Time{}
	if l.MaxLookback > 0 {
		oldest = f.now().Add(-time.Duration(l.MaxLookback))
	}
	switch {
	case j.Metrics != nil:
		q := *j.Metrics
		if length, bounded := millis(q.Start, q.End); bounded || q.Kind == metrics.Range {
			if err := tooLong(length, l); err != nil {
				return j, err
			}
		}
		if !oldest.IsZero() {
			q.Start = notBefore(&q, oldest.UnixMilli())
		}
		j.Metrics = &q
	case j.Logs != nil:
		// The length is checked by the engine, in Loki's words.
		q := *j.Logs
		if !oldest.IsZero() {
			q.Start = max(q.Start, oldest.UnixNano())
			q.End = max(q.End, q.Start)
		}
		j.Logs = &q
	case j.Traces != nil:
		q := *j.Traces
		ranged := q.Start != 0 || q.End != 0
		if ranged && q.End > q.Start {
			if err := tooLong(time.Duration(min(q.End-q.Start, math.MaxInt64)), l); err != nil {
				return j, err
			}
		}
		if ranged && !oldest.IsZero() {
			q.Start = max(q.Start, uint64(oldest.UnixNano()))
			q.End = max(q.End, q.Start)
		}
		j.Traces = &q
	}
	return j, nil
}

func tooLong(d time.Duration, l limits.QueryLimits) error {
	if l.MaxLength > 0 && d > time.Duration(l.MaxLength) {
		return fault.Errorf(fault.Unprocessable, "the query time range exceeds the limit (query length: %s, limit: %s)", d, l.MaxLength)
	}
	return nil
}
