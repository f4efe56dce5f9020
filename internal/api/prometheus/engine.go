package prometheus

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/stats"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/tenant"
)

// run sends a query of the context's tenant to the frontend.
func (a *API) run(ctx context.Context, q *metrics.Query) (*metrics.Result, error) {
	id, err := tenant.FromContext(ctx)
	if err != nil {
		return nil, fault.New(fault.Invalid, err)
	}
	q.WholeAnswer = a.opts.WholeAnswers
	if partial := optionsFrom(ctx).partial; partial != nil {
		q.WholeAnswer = !*partial
	}
	res, err := a.opts.Runner.Run(ctx, job.Job{Tenant: id, Metrics: q})
	if err != nil {
		return nil, asPromQL(err)
	}
	if res.Metrics == nil {
		return nil, promql.ErrStorage{Err: errors.New("the answer to a metrics query has no metrics")}
	}
	return res.Metrics, nil
}

// asPromQL gives an error the type by which Prometheus's API chooses errorType. The status follows
// from the class, see overrideStatus.
func asPromQL(err error) error {
	switch fault.ClassOf(err) {
	case fault.Timeout:
		return promql.ErrQueryTimeout("query execution")
	case fault.Canceled:
		return promql.ErrQueryCanceled("query execution")
	case fault.Internal:
		return promql.ErrStorage{Err: err}
	case fault.Unavailable:
		return unavailable{err}
	}
	return err
}

// unavailable makes Prometheus's API say "unavailable".
type unavailable struct{ error }

func (u unavailable) Unwrap() []error { return []error{u.error, tsdb.ErrNotReady} }

// engine implements promql.QueryEngine by running every query as a job.
type engine struct{ api *API }

func (e engine) NewInstantQuery(ctx context.Context, _ storage.Queryable, opts promql.QueryOpts, qs string, ts time.Time) (promql.Query, error) {
	return e.query(ctx, metrics.Instant, opts, qs, ts, ts, 0)
}

func (e engine) NewRangeQuery(ctx context.Context, _ storage.Queryable, opts promql.QueryOpts, qs string, start, end time.Time, step time.Duration) (promql.Query, error) {
	return e.query(ctx, metrics.Range, opts, qs, start, end, step)
}

func (e engine) query(ctx context.Context, kind metrics.QueryKind, opts promql.QueryOpts, qs string, start, end time.Time, step time.Duration) (promql.Query, error) {
	expr, err := metrics.ParseQuery(qs)
	if err != nil {
		return nil, err
	}
	if kind == metrics.Range && expr.Type() != parser.ValueTypeVector && expr.Type() != parser.ValueTypeScalar {
		return nil, errors.New("invalid expression type \"" + parser.DocumentedType(expr.Type()) + "\" for range query, must be Scalar or instant Vector")
	}
	q := &metrics.Query{Kind: kind, Expr: qs, Start: start.UnixMilli(), End: end.UnixMilli(), Step: step.Milliseconds()}
	if kind == metrics.Range && q.Step == 0 {
		return nil, errors.New("query resolution step is shorter than a millisecond")
	}
	o := optionsFrom(ctx)
	o.apply(q)
	q.Engine, q.EnableStats, q.MaxResolution = o.engine, o.stats, o.resolution.of(step).Milliseconds()
	if opts != nil {
		q.PerStepStats = opts.EnablePerStepStats()
		q.LookbackDelta = opts.LookbackDelta().Milliseconds()
	}
	return &query{api: e.api, q: q, expr: expr, stats: &stats.Statistics{
		Timers: stats.NewQueryTimers(), Samples: stats.NewQuerySamples(q.PerStepStats)}}, nil
}

// query implements promql.Query.
type query struct {
	api    *API
	q      *metrics.Query
	expr   parser.Expr
	stats  *stats.Statistics
	cancel context.CancelFunc
}

func (q *query) Exec(ctx context.Context) *promql.Result {
	ctx, q.cancel = context.WithCancel(ctx)
	defer q.cancel()
	total, ctx := q.stats.Timers.GetSpanTimer(ctx, stats.ExecTotalTime)
	eval, ctx := q.stats.Timers.GetSpanTimer(ctx, stats.EvalTotalTime)
	res, err := q.api.run(ctx, q.q)
	eval.Finish()
	total.Finish()
	if err != nil {
		return &promql.Result{Err: err}
	}
	q.keepStats(res.Stats)
	return &promql.Result{Value: res.Value, Warnings: res.Warnings}
}

func (q *query) keepStats(s metrics.QueryStats) {
	samples := q.stats.Samples
	samples.TotalSamples, samples.PeakSamples = s.Samples, int(s.PeakSamples)
	if q.q.PerStepStats {
		samples.InitStepTracking(q.q.Start, q.q.End, max(q.q.Step, 1))
		if len(s.PerStep) == len(samples.TotalSamplesPerStep) {
			samples.TotalSamplesPerStep = s.PerStep
		}
	}
}

func (q *query) Close() {}

func (q *query) Cancel() {
	if q.cancel != nil {
		q.cancel()
	}
}

func (q *query) Statement() parser.Statement {
	return &parser.EvalStmt{Expr: q.expr, Start: time.UnixMilli(q.q.Start), End: time.UnixMilli(q.q.End),
		Interval: time.Duration(q.q.Step) * time.Millisecond, LookbackDelta: time.Duration(q.q.LookbackDelta) * time.Millisecond}
}

func (q *query) Stats() *stats.Statistics { return q.stats }

func (q *query) String() string { return q.q.Expr }
