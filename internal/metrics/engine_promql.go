package metrics

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	thanos "github.com/thanos-io/promql-engine/engine"
	"github.com/thanos-io/promql-engine/extlabels"
	"github.com/thanos-io/promql-engine/logicalplan"
	thanosquery "github.com/thanos-io/promql-engine/query"
	"github.com/thanos-io/thanos/pkg/compact/downsample"

	"github.com/hune-io/hune/internal/fault"
)

// EngineOptions are what the program gives NewEngine.
type EngineOptions struct {
	Config     QueryConfig
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Engine answers queries from sources. It keeps no data and is safe for concurrent use.
//
// PromQL is run by the multi-threaded engine of Thanos, and by Prometheus's where that one lacks something, see
// engine_choice.go. Both have the same limits and give the same answers.
type Engine struct {
	cfg        QueryConfig
	features   features
	maxCells   int // of fused operators
	prometheus *promql.Engine
	thanos     *thanos.Engine
	counted    *thanos.Engine // the same, counting the samples of each operator
	queries    *prometheus.CounterVec
	fallbacks  *prometheus.CounterVec
}

// NewEngine returns an engine. PromQL has the @ modifier and negative offsets.
func NewEngine(opts EngineOptions) *Engine {
	common := promql.EngineOpts{
		Logger:                   opts.Logger,
		MaxSamples:               opts.Config.MaxSamples,
		Timeout:                  time.Duration(opts.Config.Timeout),
		LookbackDelta:            time.Duration(opts.Config.LookbackDelta),
		EnableAtModifier:         true,
		EnableNegativeOffset:     true,
		EnablePerStepStats:       true,
		EnableDelayedNameRemoval: slices.Contains(opts.Config.Features, featureDelayedNameRemoval),
		// The interval of subqueries without one: Prometheus's default evaluation interval.
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
	}
	f := promauto.With(opts.Registerer)
	e := &Engine{cfg: opts.Config, maxCells: maxCells, features: newFeatures(opts.Config.Features), thanos: newThanosEngine(common, false), counted: newThanosEngine(common, true),
		queries: f.NewCounterVec(prometheus.CounterOpts{Name: "hune_metrics_engine_queries_total",
			Help: "PromQL queries by the engine that answered them."}, []string{"engine"}),
		fallbacks: f.NewCounterVec(prometheus.CounterOpts{Name: "hune_metrics_engine_fallbacks_total",
			Help: "PromQL queries given to Prometheus's engine because Thanos's lacks something, by what it lacks."}, []string{"reason"})}
	common.Reg = opts.Registerer
	e.prometheus = promql.NewEngine(common)
	return e
}

func newThanosEngine(opts promql.EngineOpts, count bool) *thanos.Engine {
	opts.EnablePerStepStats = false // asked for by the query
	return thanos.New(thanos.Opts{EngineOpts: opts, EnableAnalysis: count, DecodingConcurrency: runtime.GOMAXPROCS(0)})
}

// eval runs PromQL.
func (e *Engine) eval(ctx context.Context, q *Query, run *querier) (*Result, error) {
	if q.Kind == Range && q.Step <= 0 {
		return nil, fault.Invalidf("the step of a range query must be positive, not %d ms", q.Step)
	}
	expr, err := ParseQuery(q.Expr)
	if err != nil {
		return nil, err
	}
	if err := e.features.check(expr); err != nil {
		return nil, fault.New(fault.Invalid, err)
	}
	chosen, err := e.choose(q, expr)
	if err != nil {
		return nil, err
	}
	query, err := e.newQuery(ctx, chosen, q, run)
	if err != nil {
		return nil, err
	}
	res := query.Exec(ctx)
	if res.Err != nil {
		return nil, classify(ctx, res.Err)
	}
	stats := query.Stats().Samples
	return &Result{Value: truncate(res.Value, q.Limit), Warnings: res.Warnings, Stats: QueryStats{
		Samples: stats.TotalSamples, PeakSamples: int64(stats.PeakSamples), PerStep: slices.Clone(stats.TotalSamplesPerStep),
	}}, nil
}

// newQuery returns a query for the chosen engine. It is not to be closed: closing would give the points of the
// result back to a pool of Prometheus's engine, and nothing else is held once it has been executed.
func (e *Engine) newQuery(ctx context.Context, chosen string, q *Query, run *querier) (promql.Query, error) {
	prometheus := func() (promql.Query, error) {
		e.queries.WithLabelValues(PrometheusEngine).Inc()
		query, err := makeQuery(ctx, e.prometheus, q, e.lookback(q), run.again())
		if err != nil {
			err = fault.New(fault.Invalid, err)
		}
		return query, err
	}
	if chosen == PrometheusEngine {
		return prometheus()
	}
	engine := e.thanos
	if q.PerStepStats || q.EnableStats {
		engine = e.counted
	}
	run.floatRanges = q.Engine != ThanosEngine // else there is nothing to fall back on
	query, err := makeQuery(ctx, planned{engine, q, e.lookback(q), run, e.maxCells}, q, e.lookback(q), run)
	switch {
	case err == nil:
		e.queries.WithLabelValues(ThanosEngine).Inc()
		if q.Engine == ThanosEngine {
			break
		}
		query = &eitherQuery{Query: query, e: e, again: prometheus}
	case !thanos.IsUnimplemented(err):
		err = fault.New(fault.Invalid, err)
	case q.Engine == ThanosEngine:
		err = fault.New(fault.Unprocessable, err)
	default:
		e.fallbacks.WithLabelValues("unimplemented").Inc()
		query, err = prometheus()
	}
	return query, err
}

func makeQuery(ctx context.Context, engine promql.QueryEngine, q *Query, lookback time.Duration, run storage.Queryable) (promql.Query, error) {
	opts := promql.NewPrometheusQueryOpts(q.PerStepStats, lookback)
	if q.Kind == Instant {
		return engine.NewInstantQuery(ctx, run, opts, q.Expr, time.UnixMilli(q.Start))
	}
	return engine.NewRangeQuery(ctx, run, opts, q.Expr, time.UnixMilli(q.Start), time.UnixMilli(q.End), time.Duration(q.Step)*time.Millisecond)
}

// eitherQuery is a query of Thanos's engine that is run by Prometheus's where the first one can't tell.
type eitherQuery struct {
	promql.Query
	e     *Engine
	again func() (promql.Query, error)
}

func (q *eitherQuery) Exec(ctx context.Context) *promql.Result {
	res := q.Query.Exec(ctx)
	reason := ""
	switch {
	case errors.Is(res.Err, errNativeHistograms):
		// Rates of histograms with resets come out different when the steps of a query share samples.
		reason = "native_histograms"
	case thanos.IsUnimplemented(res.Err):
		reason = "unimplemented"
	case errors.Is(res.Err, extlabels.ErrDuplicateLabelSet):
		// Series that get the same labels are one series to Prometheus if they have no samples at the same time,
		// as those of pods that follow each other.
		reason = "duplicate_labels"
	}
	if reason == "" {
		return res
	}
	q.e.fallbacks.WithLabelValues(reason).Inc()
	query, err := q.again()
	if err != nil {
		return &promql.Result{Err: err}
	}
	q.Query.Close()
	q.Query = query
	return query.Exec(ctx)
}

// planned is Thanos's engine with the optimizers of one query.
type planned struct {
	engine   *thanos.Engine
	q        *Query
	lookback time.Duration
	run      *querier
	maxCells int
}

func (p planned) opts() *thanos.QueryOpts {
	optimizers := slices.Clone(logicalplan.DefaultOptimizers)
	// A fused operator doesn't count samples, doesn't know native histograms and doesn't merge replicas.
	if p.run.floatRanges && !p.q.EnableStats && !p.q.PerStepStats && len(p.run.replicas) == 0 {
		optimizers = append(optimizers, fuse{p.run, p.maxCells})
	}
	return &thanos.QueryOpts{LookbackDeltaParam: p.lookback, EnablePerStepStatsParam: p.q.PerStepStats, LogicalOptimizers: optimizers}
}

func (p planned) NewInstantQuery(ctx context.Context, s storage.Queryable, _ promql.QueryOpts, qs string, ts time.Time) (promql.Query, error) {
	return p.engine.MakeInstantQuery(ctx, s, p.opts(), qs, ts)
}

func (p planned) NewRangeQuery(ctx context.Context, s storage.Queryable, _ promql.QueryOpts, qs string, start, end time.Time, step time.Duration) (promql.Query, error) {
	return p.engine.MakeRangeQuery(ctx, s, p.opts(), qs, start, end, step)
}

// lookback is how long a sample counts as current: where downsampled data may answer, long enough that
// there is always one.
func (e *Engine) lookback(q *Query) time.Duration {
	if q.LookbackDelta > 0 || q.MaxResolution < downsample.ResLevel1 {
		return time.Duration(q.LookbackDelta) * time.Millisecond
	}
	resolution := downsample.ResLevel1
	if q.MaxResolution >= downsample.ResLevel2 {
		resolution = downsample.ResLevel2
	}
	return max(time.Duration(e.cfg.LookbackDelta), 2*time.Duration(resolution)*time.Millisecond)
}

// truncate keeps limit series of a result (0: all).
func truncate(v parser.Value, limit int) parser.Value {
	switch v := v.(type) {
	case promql.Vector:
		if limit > 0 && len(v) > limit {
			return v[:limit]
		}
	case promql.Matrix:
		if limit > 0 && len(v) > limit {
			return v[:limit]
		}
	}
	return v
}

// classify gives errors of the PromQL engines their class. What Thanos's engine says in words of its own is put
// in Prometheus's.
func classify(ctx context.Context, err error) error {
	var (
		canceled promql.ErrQueryCanceled
		timeout  promql.ErrQueryTimeout
		store    promql.ErrStorage
		samples  thanosquery.ErrMaxSamplesExceeded
		classed  *fault.Error
	)
	switch {
	case errors.As(err, &timeout):
		return fault.New(fault.Timeout, err)
	case errors.As(err, &canceled):
		return fault.New(fault.Canceled, err)
	case errors.As(err, &store):
		// The engine hides what the sources said behind a type without Unwrap.
		return store.Err
	case errors.As(err, &samples):
		return fault.New(fault.Unprocessable, promql.ErrTooManySamples("query execution"))
	case errors.As(err, &classed):
		return err
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		// The engine's own time ran out, not that of who asked.
		return fault.New(fault.Timeout, promql.ErrQueryTimeout("query execution"))
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return fault.New(fault.Unprocessable, err)
}

// ParseQuery reports what is wrong with a PromQL expression, as an Invalid error.
func ParseQuery(expr string) (parser.Expr, error) {
	e, err := parser.ParseExpr(expr)
	if err != nil {
		return nil, fault.New(fault.Invalid, err)
	}
	return e, nil
}

// ParseSelector reads a PromQL series selector. What is wrong with it is an Invalid error.
func ParseSelector(selector string) ([]*labels.Matcher, error) {
	ms, err := parser.ParseMetricSelector(selector)
	if err != nil {
		return nil, fault.New(fault.Invalid, err)
	}
	return ms, nil
}
