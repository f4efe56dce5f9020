package traceql

import (
	"context"
	"errors"
	"fmt"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/traces"
)

// Options bound what one query may cost. Zero means the default.
type Options struct {
	MaxSeries    int   // of a metrics answer, before topk; default 10,000
	MaxTagValues int   // of a tag values answer; default 10,000
	MaxSpansRead int64 // spans that one query may look at; default 0, no limit
}

// Limits of the API that the engine also keeps.
const (
	DefaultLimit = 20 // traces of a search
	DefaultSpans = 3  // spans shown per span set
	maxSteps     = 11_000
)

// Engine answers traces queries from a source. It keeps no state between queries and is safe for
// concurrent use.
type Engine struct{ opts Options }

// NewEngine returns an engine.
func NewEngine(o Options) *Engine {
	if o.MaxSeries <= 0 {
		o.MaxSeries = 10_000
	}
	if o.MaxTagValues <= 0 {
		o.MaxTagValues = 10_000
	}
	return &Engine{o}
}

// Run answers q from src. Errors of the query are fault.Invalid, of its size fault.Unprocessable,
// of what Hune lacks fault.NotYet; errors of the source are returned as they are. ctx is looked at
// between traces.
func (e *Engine) Run(ctx context.Context, tenant string, q *traces.Query, src traces.Source) (*traces.Result, error) {
	if q.Explain {
		return e.explain(ctx, tenant, q, src)
	}
	if q.CutAbove != 0 {
		if estimate, err := e.estimate(ctx, tenant, q, src); err != nil || estimate.Spans > q.CutAbove {
			return &traces.Result{Estimate: &estimate}, err
		}
	}
	switch q.Kind {
	case traces.ByID:
		return e.byID(ctx, tenant, q, src)
	case traces.Search:
		return e.search(ctx, tenant, q, src)
	case traces.SearchIDs:
		return e.searchIDs(ctx, tenant, q, src)
	case traces.Tags:
		return e.tags(ctx, tenant, q, src)
	case traces.TagValues:
		return e.tagValues(ctx, tenant, q, src)
	case traces.MetricsRange, traces.MetricsInstant:
		return e.metrics(ctx, tenant, q, src)
	}
	return nil, fault.Invalidf("unknown kind of traces query %q", q.Kind)
}

func (e *Engine) byID(ctx context.Context, tenant string, q *traces.Query, src traces.Source) (*traces.Result, error) {
	t, err := src.TraceByID(ctx, tenant, q.ID, q.Start, q.End)
	if err != nil {
		return nil, err
	}
	r := &traces.Result{Trace: t}
	if t != nil {
		r.Inspected = traces.Inspected{Traces: 1, Spans: int64(len(t.Spans))}
	}
	return r, nil
}

// invalid classes an error of the query's text, unless it has a class.
func invalid(err error) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) {
		return err
	}
	return fault.New(fault.Invalid, err)
}

func parseProgram(expr string) (*program, error) {
	q, err := Parse(expr)
	if err != nil {
		return nil, invalid(err)
	}
	p, err := compile(q)
	return p, invalid(err)
}

// scan calls visit for every trace in the range that may meet n. The view is valid until visit
// returns; visit returns false to stop.
func (e *Engine) scan(ctx context.Context, tenant string, src traces.Source, n need, start, end uint64,
	seen *traces.Inspected, visit func(*traceView) (bool, error)) error {
	v := &traceView{}
	one := func(t *traces.Trace) (bool, error) {
		seen.Traces++
		if seen.Spans += int64(len(t.Spans)); t.Extract != nil {
			seen.Spans += int64(t.Extract.Spans - len(t.Spans))
		}
		if err := e.tooMany(seen); err != nil {
			return false, err
		}
		if err := context.Cause(ctx); err != nil {
			return false, err
		}
		if len(t.Spans) == 0 {
			return true, nil
		}
		v.reset(t)
		if !v.overlaps(start, end) {
			return true, nil
		}
		return visit(v)
	}
	if n.id != "" {
		return scanOne(ctx, tenant, src, n.id, start, end, one)
	}
	for t, err := range src.SelectTraces(ctx, tenant, n.selection(start, end)) {
		if err != nil {
			return err
		}
		if more, err := one(t); err != nil || !more {
			return err
		}
	}
	return context.Cause(ctx)
}

// tooMany refuses a query that has looked at too much.
func (e *Engine) tooMany(seen *traces.Inspected) error {
	if e.opts.MaxSpansRead > 0 && seen.Spans > e.opts.MaxSpansRead {
		return fault.Errorf(fault.Unprocessable, "query looks at more than %d spans: narrow its time range or its conditions", e.opts.MaxSpansRead)
	}
	return nil
}

// scanOne looks up the only trace that can match. A text that is no ID finds nothing.
func scanOne(ctx context.Context, tenant string, src traces.Source, text string, start, end uint64, one func(*traces.Trace) (bool, error)) error {
	id, err := traces.ParseID(text)
	if err != nil {
		return nil
	}
	t, err := src.TraceByID(ctx, tenant, id, start, end)
	if err != nil || t == nil {
		return err
	}
	_, err = one(t)
	return err
}

// evalError classes what went wrong while evaluating.
func evalError(err error) error {
	if errors.Is(err, errDivisionByZero) || errors.Is(err, errModuloByZero) {
		// The reference answers 500; the query is at fault, but clients know that status.
		return err
	}
	return fmt.Errorf("evaluate query: %w", err)
}
