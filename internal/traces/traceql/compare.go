package traceql

import (
	"bytes"
	"sort"

	"github.com/hune-io/hune/internal/traces"
)

// maxCompareValues bounds the distinct values that one compare() counts. Values that come later
// are in the totals only.
const maxCompareValues = 50_000

// comparisonRun is compare(): per attribute, how often the spans of the selection and the others
// (the baseline) have which value.
type comparisonRun struct {
	w          window
	selection  execStage
	start, end int64
	top        int
	sides      [2]map[string]*comparedAttr // baseline, selection; by label
	values     int
}

type comparedAttr struct {
	total  []float64
	values map[identity]*comparedValue
}

type comparedValue struct {
	value  Value
	sum    float64
	counts []float64
}

func newComparison(p *program, w window) (accumulator, error) {
	m := p.query.Metrics
	c := &comparisonRun{w: w, start: m.Start, end: m.End, top: m.Top}
	for i := range c.sides {
		c.sides[i] = map[string]*comparedAttr{}
	}
	var err error
	c.selection, err = compileStage(m.Selection, p.opened)
	return c, err
}

func (c *comparisonRun) add(e *spanEnv, step int) error {
	side := 0
	i, view := e.i, e.view
	if c.start == 0 && c.end == 0 || int64(e.span.Start) > c.start && int64(e.span.Start) <= c.end {
		if len(c.selection.run(e, []spanSet{{spans: []int{i}}})) > 0 {
			side = 1
		}
	}
	e.set(view, i)
	c.count(c.sides[side], e, step)
	return nil
}

// comparedIntrinsics are the intrinsics that compare() looks at.
var comparedIntrinsics = []Intrinsic{
	IntrinsicName, IntrinsicKind, IntrinsicStatus, IntrinsicStatusMessage, IntrinsicRootName, IntrinsicRootService,
	IntrinsicInstrumentationName, IntrinsicInstrumentationVersion,
}

func (c *comparisonRun) count(side map[string]*comparedAttr, e *spanEnv, step int) {
	for _, n := range comparedIntrinsics {
		c.one(side, intrinsics[n].name, intrinsicNode(n).eval(e), step)
	}
	c.all(side, ScopeSpan, e.span.Attributes, step)
	if e.span.Resource != nil {
		c.all(side, ScopeResource, e.span.Resource.Attributes, step)
	}
	if e.span.Scope != nil {
		c.all(side, ScopeInstrumentation, e.span.Scope.Attributes, step)
	}
}

func (c *comparisonRun) all(side map[string]*comparedAttr, scope Scope, attrs []traces.Attribute, step int) {
	for i := range attrs {
		a := Attribute{Scope: scope, Name: attrs[i].Key}
		c.one(side, a.label(), fromAttribute(&attrs[i]).single(), step)
	}
}

func (c *comparisonRun) one(side map[string]*comparedAttr, label string, v Value, step int) {
	a := side[label]
	if a == nil {
		a = &comparedAttr{total: make([]float64, c.w.n), values: map[identity]*comparedValue{}}
		side[label] = a
	}
	a.total[step]++
	x := a.values[v.identity()]
	if x == nil {
		if c.values >= min(maxCompareValues, maxSamples/c.w.n) {
			return
		}
		c.values++
		x = &comparedValue{value: v, counts: make([]float64, c.w.n)}
		a.values[v.identity()] = x
	}
	x.sum++
	x.counts[step]++
}

func (c *comparisonRun) series() []traces.SampleSeries {
	var out []traces.SampleSeries
	for i, meta := range []string{"baseline", "selection"} {
		for label, a := range c.sides[i] {
			out = append(out, c.line(meta+"_total", label, Value{}, a.total))
			for _, x := range a.topValues(c.top) {
				out = append(out, c.line(meta, label, x.value, x.counts))
			}
		}
	}
	sortSeries(out)
	return out
}

func (a *comparedAttr) topValues(n int) []*comparedValue {
	all := make([]*comparedValue, 0, len(a.values))
	for _, x := range a.values {
		all = append(all, x)
	}
	sort.Slice(all, func(i, j int) bool {
		if all[i].sum != all[j].sum {
			return all[i].sum > all[j].sum
		}
		return bytes.Compare(appendIdentity(nil, all[i].value), appendIdentity(nil, all[j].value)) < 0
	})
	return all[:min(n, len(all))]
}

func (c *comparisonRun) line(meta, label string, v Value, counts []float64) traces.SampleSeries {
	s := traces.SampleSeries{Labels: []traces.Attribute{
		stringValue(meta).attribute("__meta_type"), v.attribute(label),
	}}
	for i, n := range counts {
		s.Samples = append(s.Samples, traces.Sample{T: c.w.millis(i), V: n})
	}
	return s
}
