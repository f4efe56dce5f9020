// Package frontend is the query frontend role: what every read goes through before it becomes jobs.
// It bounds each query in time, counts and logs it, and hands it to the scheduler. Splitting by time and
// shard and caching of results stand here too when the engines can use them: the callers see no
// difference.
package frontend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/common/model"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/signal"
)

// Config is the user's settings of the frontend.
type Config struct {
	// Timeout ends a query that has not been answered. Default 2m; 0 means no limit.
	Timeout model.Duration `yaml:"timeout"`
	// SlowQuery logs queries that took at least this long, with what they read. Default 10s; 0 logs none.
	SlowQuery model.Duration `yaml:"slow_query"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{Timeout: model.Duration(2 * time.Minute), SlowQuery: model.Duration(10 * time.Second)}
}

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	if c.Timeout < 0 || c.SlowQuery < 0 {
		return errors.New("timeout and slow_query must not be negative")
	}
	return nil
}

// Frontend runs queries. It implements job.Runner for the APIs and the ruler.
type Frontend struct {
	cfg      Config
	next     job.Runner
	logger   *slog.Logger
	duration *prometheus.HistogramVec
}

// New returns a frontend that hands its jobs to next.
func New(cfg Config, next job.Runner, logger *slog.Logger, reg prometheus.Registerer) *Frontend {
	return &Frontend{cfg: cfg, next: next, logger: logger,
		duration: promauto.With(reg).NewHistogramVec(prometheus.HistogramOpts{
			Name: "hune_query_duration_seconds", Help: "Time to answer queries, by signal, kind and outcome.",
			NativeHistogramBucketFactor: 1.1, Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}, []string{"signal", "kind", "outcome"})}
}

// Run implements job.Runner.
func (f *Frontend) Run(ctx context.Context, j job.Job) (job.Result, error) {
	d, err := describe(j)
	if err != nil {
		return job.Result{}, err
	}
	if f.cfg.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(f.cfg.Timeout),
			fault.Errorf(fault.Timeout, "the query took longer than the limit of %s", f.cfg.Timeout))
		defer cancel()
	}
	started := time.Now()
	r, err := f.next.Run(ctx, j)
	took := time.Since(started)
	if err != nil && ctx.Err() != nil {
		// Say why the context ended rather than how the deepest layer noticed.
		err = context.Cause(ctx)
	}
	f.duration.WithLabelValues(string(d.signal), d.kind, outcome(err)).Observe(took.Seconds())
	if f.cfg.SlowQuery > 0 && took >= time.Duration(f.cfg.SlowQuery) {
		f.logger.Warn("slow query", "tenant", j.Tenant, "signal", d.signal, "kind", d.kind, "query", d.expr,
			"start", d.start, "end", d.end, "duration", took, "err", err)
	}
	return r, err
}

type description struct {
	signal     signal.Signal
	kind, expr string
	start, end time.Time
}

func describe(j job.Job) (description, error) {
	switch {
	case j.Metrics != nil && j.Logs == nil && j.Traces == nil:
		q := j.Metrics
		return description{signal.Metrics, string(q.Kind), q.Expr, time.UnixMilli(q.Start), time.UnixMilli(q.End)}, nil
	case j.Logs != nil && j.Metrics == nil && j.Traces == nil:
		q := j.Logs
		return description{signal.Logs, string(q.Kind), q.Expr, time.Unix(0, q.Start), time.Unix(0, q.End)}, nil
	case j.Traces != nil && j.Metrics == nil && j.Logs == nil:
		q := j.Traces
		return description{signal.Traces, string(q.Kind), q.Expr, time.Unix(0, int64(q.Start)), time.Unix(0, int64(q.End))}, nil
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
