package traceql

import (
	"context"

	"github.com/hune-io/hune/internal/traces"
)

// foldGroups is the traces.GroupFilter of metrics queries. Row groups whose spans can be told apart by their
// columns are counted here, class by class; of the others the traces that may count are built.
type foldGroups struct {
	stages []execStage
	acc    *grouped
	w      window
	seen   *traces.Inspected
	check  func() error // the query has looked at seen
}

// newFold returns the filter for a query, or nil if its function needs whole spans.
func newFold(p *program, acc accumulator, w window, seen *traces.Inspected, check func() error) *foldGroups {
	g, ok := acc.(*grouped)
	if !ok || g.attr != nil && g.attr != evalNode(intrinsicNode(IntrinsicDuration)) {
		return nil
	}
	return &foldGroups{p.stages, g, w, seen, check}
}

func (f *foldGroups) Group(ctx context.Context, g *traces.RowGroup) (none traces.Chosen, err error) {
	p := pusher{ctx: ctx, g: g}
	b, err := p.stages(f.stages, everything)
	if err != nil || b.rows.IsNone() {
		return none, err
	}
	labels, ok, err := f.labels(&p)
	if err != nil {
		return none, err
	}
	if !ok || !b.exact {
		return chooseTraces(ctx, g, b)
	}
	one := groupFold{foldGroups: f, pusher: &p, rows: b.rows, labels: labels}
	if err := one.run(); err != nil {
		return none, err
	}
	return none, f.check()
}

// classLabels are the values of the `by` attributes of each class, and of each resource that its spans may have.
type classLabels struct {
	byRank bool // resources tell
	values func(class, rank int) []Value
}

// labels returns how classes tell the groups of spans. ok is false where they don't.
func (f *foldGroups) labels(p *pusher) (l classLabels, ok bool, err error) {
	parts := make([]func(class int, r *traces.Resource) Value, len(f.acc.by))
	for i, n := range f.acc.by {
		var ranked bool
		if parts[i], ranked, err = f.label(p, n); err != nil || parts[i] == nil {
			return l, false, err
		}
		l.byRank = l.byRank || ranked
	}
	l.values = func(class, rank int) []Value {
		var r *traces.Resource
		if list := p.g.Resources(class); rank < len(list) {
			r = list[rank]
		}
		out := make([]Value, len(parts))
		for i, part := range parts {
			out[i] = part(class, r).single()
		}
		return out
	}
	return l, true, nil
}

// label returns the value of one attribute; nil if classes don't tell it.
func (f *foldGroups) label(p *pusher, n evalNode) (value func(int, *traces.Resource) Value, byRank bool, err error) {
	ofClass := func(get func(traces.Class) Value) func(int, *traces.Resource) Value {
		return func(class int, _ *traces.Resource) Value { return get(p.g.Class(class)) }
	}
	service := ofClass(func(c traces.Class) Value { return stringValue(c.Service) })
	switch n := n.(type) {
	case serviceNode:
		return service, false, nil
	case intrinsicNode:
		switch Intrinsic(n) {
		case IntrinsicName:
			if !p.g.Class(0).Named {
				return nil, false, nil
			}
			return ofClass(func(c traces.Class) Value { return stringValue(c.Name) }), false, nil
		case IntrinsicStatus:
			return ofClass(func(c traces.Class) Value { return statusValue(c.Status) }), false, nil
		case IntrinsicKind:
			return ofClass(func(c traces.Class) Value { return spanKindValue(c.Kind) }), false, nil
		}
	case *attrNode:
		resource := func(_ int, r *traces.Resource) Value { return lookup(r.Attributes, n.name) }
		switch {
		case n.scope == ScopeResource:
			return resource, true, nil
		case n.scope == ScopeNone && n.name == "service.name":
			resource, byRank = service, false
		case n.scope == ScopeNone:
			byRank = true
		case n.scope != ScopeSpan:
			return nil, false, nil
		}
		values, ok, err := p.g.ClassValues(p.ctx, n.name)
		if err != nil || !ok {
			return nil, false, err
		}
		return func(class int, r *traces.Resource) Value {
			if values[class] != nil {
				if v := fromAttribute(values[class]); v.Kind != KindNil || n.scope == ScopeSpan {
					return v
				}
			}
			if n.scope == ScopeSpan {
				return Value{}
			}
			return resource(class, r)
		}, byRank, nil
	}
	return nil, false, nil
}

// groupFold counts the spans of one row group.
type groupFold struct {
	*foldGroups
	*pusher
	rows   traces.RowSet
	labels classLabels

	first   []int
	classes []int64
	ranks   []int64
	has     func(row int) bool
	groups  [][]*group // by class and rank
}

func (f *groupFold) run() (err error) {
	if f.first, err = f.g.First(f.ctx); err != nil {
		return err
	}
	if f.classes, err = f.g.Classes(f.ctx); err != nil {
		return err
	}
	if f.labels.byRank {
		if f.ranks, err = f.g.Ranks(f.ctx); err != nil {
			return err
		}
	}
	if err := f.membership(); err != nil {
		return err
	}
	f.groups = make([][]*group, f.g.ClassCount())
	starts, ends, err := f.g.TraceTimes(f.ctx)
	if err != nil {
		return err
	}
	var timed []int
	for t := range f.g.Traces() {
		if ends[t] <= f.w.from() || starts[t] > f.w.to() || f.g.Apart(t) {
			continue
		}
		f.seen.Traces++
		f.seen.Spans += int64(f.first[t+1] - f.first[t])
		// Fast path: the whole trace lies in one step, so that its spans' own times don't matter.
		step := f.w.at(starts[t])
		if !f.acc.isCount() || f.acc.exemplars.left > 0 || step < 0 || step != f.w.at(ends[t]) {
			timed = append(timed, t)
			continue
		}
		for row := f.first[t]; row < f.first[t+1]; row++ {
			if !f.has(row) {
				continue
			}
			gr, err := f.group(row)
			if err != nil {
				return err
			}
			gr.sums[step]++
		}
	}
	return f.timed(timed)
}

// membership sets has.
func (f *groupFold) membership() error {
	if f.rows.IsAll() {
		f.has = func(int) bool { return true }
		return nil
	}
	if mask := f.rows.ClassMask(); mask != nil {
		f.has = func(row int) bool { return mask[f.classes[row]] }
		return nil
	}
	bits, err := f.g.Bits(f.ctx, f.rows)
	f.has = bits.Get
	return err
}

// group returns the group of a span.
func (f *groupFold) group(row int) (*group, error) {
	class, rank := f.classes[row], int64(0)
	if f.ranks != nil {
		rank = f.ranks[row]
	}
	list := f.groups[class]
	if int(rank) < len(list) && list[rank] != nil {
		return list[rank], nil
	}
	for int(rank) >= len(list) {
		list = append(list, nil)
	}
	f.groups[class] = list
	gr, err := f.acc.group(f.labels.values(int(class), int(rank)))
	list[rank] = gr
	return gr, err
}

// timed counts the spans of traces, each in the step that it starts in.
func (f *groupFold) timed(list []int) error {
	var failed error
	isHistogram, isCount := f.acc.isHistogram(), f.acc.isCount()
	err := f.g.SpanTimes(f.ctx, list, !isCount, func(row int, start uint64, ns int64) {
		step := f.w.at(start)
		if step < 0 || failed != nil || !f.has(row) {
			return
		}
		bucket := -1
		if isHistogram {
			if bucket = log2Bucket(durationValue(ns)); bucket < 0 {
				return
			}
		}
		gr, err := f.group(row)
		if err != nil {
			failed = err
			return
		}
		value := 0.0
		switch {
		case isCount:
			gr.sums[step]++
		case bucket >= 0:
			if gr.hist[step] == nil {
				gr.hist[step] = &histogram{}
			}
			gr.hist[step][bucket]++
			value = metricValue(durationValue(ns))
		default:
			value = metricValue(durationValue(ns))
			gr.observe(f.acc.fn, step, value)
		}
		f.acc.seconds = f.acc.seconds || !isCount
		failed = f.exemplar(gr, row, step, start, value)
	})
	if err != nil {
		return err
	}
	return failed
}

// exemplar offers a span.
func (f *groupFold) exemplar(gr *group, row, step int, start uint64, value float64) error {
	x := f.acc.exemplars
	if x.left <= 0 || x.perStep[step] <= 0 {
		return nil
	}
	trace, span, err := f.g.SpanID(f.ctx, row)
	if err != nil {
		return err
	}
	x.offer(gr, &spanEnv{view: &traceView{trace: &traces.Trace{ID: trace}}, span: &traces.Span{ID: span, Start: start}}, step, value)
	return nil
}
