package ruler

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	promrules "github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/traces/traceql"
)

// Check reports why an expression of a signal can't be a rule's.
func Check(s signal.Signal, expr string) error {
	switch s {
	case signal.Metrics:
		e, err := parser.ParseExpr(expr)
		if err != nil {
			return err
		}
		if t := e.Type(); t != parser.ValueTypeVector && t != parser.ValueTypeScalar {
			return fmt.Errorf("invalid expression type %q, must be instant vector or scalar", parser.DocumentedType(t))
		}
		return nil
	case signal.Logs:
		e, err := logql.Parse(expr)
		if err != nil {
			return err
		}
		if _, isLog := e.(*logql.LogQuery); isLog {
			return errors.New("rule result is not a vector or scalar: the query answers with lines")
		}
		return nil
	case signal.Traces:
		q, err := traceql.Parse(expr)
		if err != nil {
			return err
		}
		if q.Metrics == nil {
			return errors.New("the query answers with traces: a rule needs a metrics function, such as rate()")
		}
		return nil
	}
	return fmt.Errorf("unknown signal %q", s)
}

// Query returns what evaluates expressions of a signal for a tenant. Traces are asked about the interval
// before the time of evaluation, so that of consecutive evaluations each span counts once.
func Query(runner job.Runner, id string, s signal.Signal, interval, timeout time.Duration) promrules.QueryFunc {
	ask := map[signal.Signal]func(string, time.Time) (job.Job, func(job.Result) (promql.Vector, error)){
		signal.Metrics: func(expr string, at time.Time) (job.Job, func(job.Result) (promql.Vector, error)) {
			t := at.UnixMilli()
			return job.Job{Metrics: &metrics.Query{Kind: metrics.Instant, Expr: expr, Start: t, End: t}}, vectorOfMetrics
		},
		signal.Logs: func(expr string, at time.Time) (job.Job, func(job.Result) (promql.Vector, error)) {
			t := at.UnixNano()
			return job.Job{Logs: &logs.Query{Kind: logs.Instant, Expr: expr, Start: t, End: t, Direction: logs.Forward, Tags: "source=ruler"}}, vectorOfLogs(at)
		},
		signal.Traces: func(expr string, at time.Time) (job.Job, func(job.Result) (promql.Vector, error)) {
			start := at.Add(-interval)
			return job.Job{Traces: &traces.Query{Kind: traces.MetricsInstant, Expr: expr, Start: uint64(start.UnixNano()), End: uint64(at.UnixNano()), Step: uint64(interval)}},
				vectorOfTraces(at)
		},
	}[s]
	return func(ctx context.Context, expr string, at time.Time) (promql.Vector, error) {
		ctx, cancel := context.WithTimeout(tenant.NewContext(ctx, id), timeout)
		defer cancel()
		j, vector := ask(expr, at)
		j.Tenant = id
		res, err := runner.Run(ctx, j)
		if err != nil {
			return nil, err
		}
		return vector(res)
	}
}

// Near answers instant queries about metrics at once where it knows the answer, times in milliseconds. What it
// returns is that of the frontend, and the caller's.
type Near interface {
	Instant(ctx context.Context, tenant, expr string, at int64) (promql.Vector, bool)
}

// nearOr asks near before far.
func nearOr(near Near, id string, far promrules.QueryFunc) promrules.QueryFunc {
	return func(ctx context.Context, expr string, at time.Time) (promql.Vector, error) {
		if v, ok := near.Instant(ctx, id, expr, at.UnixMilli()); ok {
			return v, nil
		}
		return far(ctx, expr, at)
	}
}

func vectorOfMetrics(res job.Result) (promql.Vector, error) {
	switch v := res.Metrics.Value.(type) {
	case promql.Vector:
		return v, nil
	case promql.Scalar:
		return promql.Vector{promql.Sample{T: v.T, F: v.V, Metric: labels.EmptyLabels()}}, nil
	}
	return nil, errors.New("rule result is not a vector or scalar")
}

func vectorOfLogs(at time.Time) func(job.Result) (promql.Vector, error) {
	return func(res job.Result) (promql.Vector, error) {
		if p := res.Logs.Scalar; p != nil {
			return promql.Vector{promql.Sample{T: at.UnixMilli(), F: p.V, Metric: labels.EmptyLabels()}}, nil
		}
		out := make(promql.Vector, len(res.Logs.Vector))
		for i, s := range res.Logs.Vector {
			out[i] = promql.Sample{T: at.UnixMilli(), F: s.V, Metric: s.Labels}
		}
		return out, nil
	}
}

func vectorOfTraces(at time.Time) func(job.Result) (promql.Vector, error) {
	return func(res job.Result) (promql.Vector, error) {
		var out promql.Vector
		b := labels.NewScratchBuilder(4)
		for _, s := range res.Traces.Series {
			if len(s.Samples) == 0 || s.Samples[0].Missing || math.IsNaN(s.Samples[0].V) {
				continue
			}
			b.Reset()
			for i := range s.Labels {
				b.Add(labelName(s.Labels[i].Key), traceql.LabelValue(&s.Labels[i]))
			}
			b.Sort()
			out = append(out, promql.Sample{T: at.UnixMilli(), F: s.Samples[0].V, Metric: b.Labels()})
		}
		return out, nil
	}
}

// labelName makes the name of an attribute one of Prometheus's old rules, for which alerts are written:
// resource.service.name becomes resource_service_name.
func labelName(name string) string {
	out := []byte(name)
	for i, c := range out {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' && (c < '0' || c > '9' || i == 0) {
			out[i] = '_'
		}
	}
	return string(out)
}

// expression is a rule's query in a language that is not PromQL. To the rule manager it is text alone: it
// answers with a vector and selects nothing that other rules write.
type expression struct {
	*parser.StringLiteral
	text string
}

// String implements parser.Node.
func (e *expression) String() string { return e.text }

// Pretty implements parser.Node.
func (e *expression) Pretty(int) string { return e.text }

// Type implements parser.Expr.
func (*expression) Type() parser.ValueType { return parser.ValueTypeVector }

// queryable finds the series ALERTS_FOR_STATE from which the state of `for` is restored.
type queryable struct {
	r      *Ruler
	tenant string
}

// Querier implements storage.Queryable. Times are milliseconds.
func (q queryable) Querier(start, end int64) (storage.Querier, error) {
	return querier{q, start, end}, nil
}

type querier struct {
	queryable
	start, end int64
}

// Select implements storage.Querier.
func (q querier) Select(ctx context.Context, _ bool, _ *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	text := "{"
	for i, m := range ms {
		if i > 0 {
			text += ","
		}
		text += m.String()
	}
	// A range is open at its start.
	text += fmt.Sprintf("}[%dms]", q.end-q.start+1)
	res, err := q.r.o.Runner.Run(tenant.NewContext(ctx, q.tenant), job.Job{Tenant: q.tenant, Metrics: &metrics.Query{Kind: metrics.Instant, Expr: text, Start: q.end, End: q.end}})
	if err != nil {
		return storage.ErrSeriesSet(err)
	}
	m, ok := res.Metrics.Value.(promql.Matrix)
	if !ok {
		return storage.ErrSeriesSet(fmt.Errorf("a range of %s is a %T", text, res.Metrics.Value))
	}
	return &seriesSet{series: merge(m, q.r.heard.forState(q.tenant, q.start, q.end, ms)), at: -1}
}

// LabelValues implements storage.Querier; the rule manager doesn't ask.
func (querier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, errors.New("the state of rules has no label values")
}

// LabelNames implements storage.Querier; the rule manager doesn't ask.
func (querier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, errors.New("the state of rules has no label names")
}

// Close implements storage.Querier.
func (querier) Close() error { return nil }

// seriesSet is a matrix as what storage answers with.
type seriesSet struct {
	series promql.Matrix
	at     int
}

// Next implements storage.SeriesSet.
func (s *seriesSet) Next() bool { s.at++; return s.at < len(s.series) }

// Err implements storage.SeriesSet.
func (*seriesSet) Err() error { return nil }

// Warnings implements storage.SeriesSet.
func (*seriesSet) Warnings() annotations.Annotations { return nil }

// At implements storage.SeriesSet.
func (s *seriesSet) At() storage.Series {
	one := s.series[s.at]
	return &storage.SeriesEntry{Lset: one.Metric, SampleIteratorFn: func(it chunkenc.Iterator) chunkenc.Iterator {
		return storage.NewListSeriesIterator(points(one.Floats))
	}}
}

type points []promql.FPoint

// Get implements storage.Samples.
func (p points) Get(i int) chunks.Sample { return point{p[i].T, p[i].F} }

// Len implements storage.Samples.
func (p points) Len() int { return len(p) }

// point is a float sample.
type point struct {
	t int64
	v float64
}

// T implements chunks.Sample.
func (p point) T() int64 { return p.t }

// F implements chunks.Sample.
func (p point) F() float64 { return p.v }

// H implements chunks.Sample.
func (point) H() *histogram.Histogram { return nil }

// FH implements chunks.Sample.
func (point) FH() *histogram.FloatHistogram { return nil }

// Type implements chunks.Sample.
func (point) Type() chunkenc.ValueType { return chunkenc.ValFloat }

// Copy implements chunks.Sample.
func (p point) Copy() chunks.Sample { return p }
