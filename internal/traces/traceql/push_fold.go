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
	if err := one.fold(); err != nil {
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
