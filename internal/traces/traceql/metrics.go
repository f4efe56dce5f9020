package traceql

import (
	"context"
	"sort"
	"strconv"

	"github.com/hune-io/hune/internal/traces"
)

// maxSamples bounds the samples that one metrics query holds: 64 MiB of numbers. With many steps
// fewer series are allowed.
const maxSamples = 8 << 20

// metrics answers a metrics query. A span counts by its own start.
func (e *Engine) metrics(ctx context.Context, tenant string, q *traces.Query, src traces.Source) (*traces.Result, error) {
	p, err := parseProgram(q.Expr)
	if err != nil {
		return nil, err
	}
	w, err := windowOf(p, q)
	if err != nil {
		return nil, err
	}
	acc, err := newAccumulator(p, w, e.opts.MaxSeries, exemplarBudget(p.query, q.Exemplars))
	if err != nil {
		return nil, err
	}
	result := &traces.Result{}
	env := &spanEnv{}
	if f := newFold(p, acc, w, &result.Inspected, func() error { return e.tooMany(&result.Inspected) }); f != nil {
		p.need.groups, p.need.fold, p.need.alone = f, true, spansAlone(p.query)
	}
	p.need.whole = q.Whole
	err = e.scan(ctx, tenant, src, p.need, w.from()+1, w.to(), &result.Inspected, func(v *traceView) (bool, error) {
		sets, err := p.run(env, v)
		if err != nil {
			return false, evalError(err)
		}
		for _, i := range flatten(sets) {
			if at := w.at(v.spans[i].Start); at >= 0 {
				env.set(v, i)
				if err := acc.add(env, at); err != nil {
					return false, err
				}
			}
		}
		if env.err != nil {
			return false, evalError(env.err)
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	result.Series = secondStages(acc.series(), p.query.Second)
	return result, nil
}

// windowOf returns the time axis of a metrics query.
func windowOf(p *program, q *traces.Query) (window, error) {
	if err := p.query.CheckMetrics(); err != nil {
		return window{}, invalid(err)
	}
	if q.Kind == traces.MetricsInstant {
		return instantWindow(q.Start, q.End)
	}
	return rangeWindow(q.Start, q.End, q.Step)
}

// exemplarBudget is how many exemplars a query wants: its own hint before the request.
func exemplarBudget(q *Query, n int) int {
	switch v := q.Hint("exemplars"); v.Kind {
	case KindBool:
		if v.n == 0 {
			return 0
		}
	case KindInt:
		n = int(min(max(v.n, 0), 1000))
	}
	return n
}

// accumulator gathers spans into series.
type accumulator interface {
	add(e *spanEnv, step int) error
	series() []traces.SampleSeries
}

func newAccumulator(p *program, w window, maxSeries, exemplars int) (accumulator, error) {
	m := p.query.Metrics
	if m.Fn == "compare" {
		return newComparison(p, w)
	}
	g := &grouped{
		fn: m.Fn, w: w, quantiles: m.Quantiles, groups: map[string]*group{},
		maxSeries: min(maxSeries, maxSamples/w.n), exemplars: newExemplars(exemplars, w.n),
	}
	for _, a := range m.By {
		g.by = append(g.by, compileAttribute(a))
		g.labels = append(g.labels, a.label())
	}
	if m.Attr != nil {
		g.attr = compileAttribute(m.Attr)
	}
	if len(g.by) == 0 && (m.Fn == "rate" || m.Fn == "count_over_time") {
		if _, err := g.group(nil); err != nil { // zeros, even without spans
			return nil, err
		}
	}
	return g, nil
}

// sortSeries orders series by their labels.
func sortSeries(s []traces.SampleSeries) {
	keys := make([]string, len(s))
	order := make([]int, len(s))
	for i := range s {
		keys[i], order[i] = LabelText(s[i].Labels), i
	}
	sort.Slice(order, func(a, b int) bool { return keys[order[a]] < keys[order[b]] })
	sorted := make([]traces.SampleSeries, len(s))
	for k, i := range order {
		sorted[k] = s[i]
	}
	copy(s, sorted)
}

// LabelText prints labels as Prometheus does: {name="value", …}, sorted by name. Names that
// Prometheus would not take unquoted are quoted.
func LabelText(labels []traces.Attribute) string {
	order := make([]*traces.Attribute, len(labels))
	for i := range labels {
		order[i] = &labels[i]
	}
	sort.SliceStable(order, func(i, j int) bool { return order[i].Key < order[j].Key })
	buf := []byte{'{'}
	for i, a := range order {
		if i > 0 {
			buf = append(buf, ", "...)
		}
		if plainLabel(a.Key) {
			buf = append(buf, a.Key...)
		} else {
			buf = strconv.AppendQuote(buf, a.Key)
		}
		buf = append(buf, '=')
		buf = strconv.AppendQuote(buf, LabelValue(a))
	}
	return string(append(buf, '}'))
}

// LabelValue is a label's value as a label of Prometheus has it: text without quotes.
func LabelValue(a *traces.Attribute) string {
	switch v := fromAttribute(a); v.Kind {
	case KindString:
		return v.s
	case KindFloat:
		return strconv.FormatFloat(v.float(), 'g', -1, 64)
	default:
		return v.String()
	}
}

func plainLabel(s string) bool {
	for i, r := range s {
		if r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}
