package traceql

import (
	"slices"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/traces"
)

func newRows(g *traces.RowGroup) *block.Bitmap { return block.NewBitmap(g.Rows()) }

// expr returns which of the spans in among the condition is true for.
func (p *pusher) expr(n evalNode, among traces.RowSet) (bound, error) {
	if l, ok := n.(*logicNode); ok {
		if l.and {
			return p.all(l, among)
		}
		return p.any(l, among)
	}
	b, err := p.test(n, among)
	if err == nil && !ofDuration(n) {
		b.rows, err = p.g.And(p.ctx, b.rows, among)
	}
	b.exact = b.exact || b.rows.IsNone()
	return b, err
}

// ofDuration reports whether a condition is tested only for the spans that it is asked for: durations are.
func ofDuration(n evalNode) bool {
	var x evalNode
	switch n := n.(type) {
	case *literalNode:
		x = n.x
	case *regexNode:
		x = n.x
	case *noneNode:
		x = n.x
	}
	return x == evalNode(intrinsicNode(IntrinsicDuration))
}

// all evaluates conditions that must all be true, the cheap ones first.
func (p *pusher) all(l *logicNode, among traces.RowSet) (bound, error) {
	list := conjuncts(nil, l)
	slices.SortStableFunc(list, func(a, b evalNode) int { return cost(a) - cost(b) })
	out := bound{among, true}
	for _, n := range list {
		b, err := p.expr(n, out.rows)
		if err != nil || b.rows.IsNone() {
			return nothing, err
		}
		out = bound{b.rows, out.exact && b.exact}
	}
	return out, nil
}

func conjuncts(list []evalNode, n evalNode) []evalNode {
	if l, ok := n.(*logicNode); ok && l.and {
		return conjuncts(conjuncts(list, l.l), l.r)
	}
	return append(list, n)
}

func (p *pusher) any(l *logicNode, among traces.RowSet) (bound, error) {
	left, err := p.expr(l.l, among)
	if err != nil {
		return nothing, err
	}
	right, err := p.expr(l.r, among)
	if err != nil {
		return nothing, err
	}
	rows, err := p.g.Or(p.ctx, left.rows, right.rows)
	return bound{rows, left.exact && right.exact}, err
}

// cost orders conditions by what it takes to evaluate them.
func cost(n evalNode) int {
	switch n := n.(type) {
	case *literalNode:
		return costOf(n.x)
	case *regexNode:
		return 1 + costOf(n.x)
	case *noneNode:
		return 1 + costOf(n.x)
	case *nilNode:
		return costOf(n.x)
	case *logicNode:
		return 1 + max(cost(n.l), cost(n.r))
	}
	return 9
}

func costOf(x evalNode) int {
	switch x := x.(type) {
	case serviceNode:
		return 0
	case intrinsicNode:
		switch Intrinsic(x) {
		case IntrinsicStatus, IntrinsicKind, IntrinsicName:
			return 0
		case IntrinsicDuration:
			return 5
		}
		return 3
	case *attrNode:
		if x.scope == ScopeResource {
			return 1
		}
		return 2
	}
	return 9
}

// test evaluates a condition that is neither && nor ||.
func (p *pusher) test(n evalNode, among traces.RowSet) (bound, error) {
	switch n := n.(type) {
	case constNode:
		if n.v.isTrue() {
			return everything, nil
		}
		return nothing, nil
	case *literalNode:
		return p.compared(n.x, among, valueTest{
			pass: func(v Value) bool { return n.testAny(&v) },
			text: n.v.Kind == KindString,
			ints: n.ints && n.v.isNumber(), floats: n.floats && n.v.isNumber(),
			bools: n.v.Kind == KindBool, equal: n.equal(), monotonic: n.op == "<" || n.op == "<=" || n.op == ">" || n.op == ">=",
		})
	case *regexNode:
		return p.compared(n.x, among, valueTest{text: true, pass: func(v Value) bool {
			return anyPair(v, Value{}, func(a, _ Value) bool { return a.Kind == KindString && n.re.MatchString(a.s) != n.not })
		}})
	case *noneNode:
		return p.compared(n.x, among, valueTest{text: true, ints: true, floats: true, bools: true, pass: n.passes})
	case *nilNode:
		return p.present(n)
	case *attrNode: // a boolean by itself; an array of them is not true
		b, err := p.compared(n, among, valueTest{bools: true, pass: Value.isTrue})
		b.exact = false
		return b, err
	}
	return anything, nil
}

// equal returns the text that alone passes, if there is one.
func (n *literalNode) equal() *string {
	if n.op == "=" && n.v.Kind == KindString {
		return &n.v.s
	}
	return nil
}

// valueTest is a comparison of an operand with a constant. The flags say which types can pass.
type valueTest struct {
	pass                      func(Value) bool
	text, ints, floats, bools bool
	equal                     *string
	monotonic                 bool // all numbers beyond some pass, or all up to some
}

// stored is the test for attributes in columns.
func (v *valueTest) stored() *traces.ValueTest {
	out := &traces.ValueTest{Equal: v.equal}
	if v.text {
		out.Text = func(s string) bool { return v.pass(stringValue(s)) }
	}
	if v.ints {
		out.Int = func(n int64) bool { return v.pass(intValue(n)) }
	}
	if v.floats {
		out.Float = func(f float64) bool { return v.pass(floatValue(f)) }
	}
	if v.bools {
		out.Bool = func(n int64) bool { return v.pass(Value{Kind: KindBool, n: n}) }
	}
	return out
}

func (p *pusher) compared(x evalNode, among traces.RowSet, v valueTest) (bound, error) {
	switch x := x.(type) {
	case serviceNode:
		return p.classes(func(c traces.Class) bool { return v.pass(stringValue(c.Service)) }), nil
	case intrinsicNode:
		return p.intrinsic(Intrinsic(x), among, v)
	case *attrNode:
		return p.attribute(x, v)
	}
	return anything, nil
}

func (p *pusher) classes(test func(traces.Class) bool) bound {
	return bound{p.g.MatchClasses(test), true}
}

func (p *pusher) attribute(a *attrNode, v valueTest) (bound, error) {
	switch a.scope {
	case ScopeResource:
		return p.resources(a.name, v)
	case ScopeInstrumentation:
		rows, err := p.g.MatchScopes(p.ctx, func(s *traces.Scope) bool { return v.pass(lookup(s.Attributes, a.name)) })
		return bound{rows, true}, err
	case ScopeNone:
		return p.unscoped(a.name, v)
	}
	rows, err := p.g.Match(p.ctx, a.scope.tagScope(), a.name, v.stored())
	return bound{rows, !p.g.Repeats()}, err
}

func (p *pusher) resources(name string, v valueTest) (bound, error) {
	rows, err := p.g.MatchResources(p.ctx, func(r *traces.Resource) bool {
		return v.pass(lookup(r.Attributes, name))
	})
	return bound{rows, true}, err
}

// unscoped is .name: the span's attribute, else the resource's.
func (p *pusher) unscoped(name string, v valueTest) (bound, error) {
	of := func() (bound, error) { return p.resources(name, v) }
	if name == "service.name" {
		of = func() (bound, error) {
			return p.classes(func(c traces.Class) bool { return v.pass(stringValue(c.Service)) }), nil
		}
	}
	resource, err := of()
	if err != nil || !p.g.HasKey(name) {
		return resource, err
	}
	rows, err := p.g.Match(p.ctx, traces.ScopeSpan, name, v.stored())
	if err != nil {
		return nothing, err
	}
	exact := !p.g.Repeats()
	if exact {
		has, err := p.g.Match(p.ctx, traces.ScopeSpan, name, &traces.ValueTest{Exists: true})
		if err != nil {
			return nothing, err
		}
		if resource.rows, err = p.g.AndNot(p.ctx, resource.rows, has); err != nil {
			return nothing, err
		}
	}
	rows, err = p.g.Or(p.ctx, rows, resource.rows)
	return bound{rows, exact}, err
}

// present is a comparison with nil.
func (p *pusher) present(n *nilNode) (bound, error) {
	a, ok := n.x.(*attrNode)
	if !ok {
		return anything, nil
	}
	var has bound
	var err error
	switch a.scope {
	case ScopeResource, ScopeInstrumentation:
		has, err = p.attribute(a, valueTest{pass: func(v Value) bool { return v.Kind != KindNil }})
	case ScopeNone:
		if a.name == "service.name" {
			has = everything
			break
		}
		if has, err = p.resources(a.name, valueTest{pass: func(v Value) bool { return v.Kind != KindNil }}); err == nil {
			var rows traces.RowSet
			if rows, err = p.g.Match(p.ctx, traces.ScopeSpan, a.name, &traces.ValueTest{Exists: true}); err == nil {
				has.exact = !p.g.Repeats()
				has.rows, err = p.g.Or(p.ctx, has.rows, rows)
			}
		}
	default:
		has.rows, err = p.g.Match(p.ctx, a.scope.tagScope(), a.name, &traces.ValueTest{Exists: true})
		has.exact = !p.g.Repeats()
	}
	if err != nil || n.not {
		return has, err
	}
	if !has.exact {
		return anything, nil
	}
	rows, err := p.g.AndNot(p.ctx, traces.AllRows, has.rows)
	return bound{rows, true}, err
}

func (p *pusher) intrinsic(n Intrinsic, among traces.RowSet, v valueTest) (bound, error) {
	text := func(s string) bool { return v.pass(stringValue(s)) }
	var rows traces.RowSet
	var err error
	switch n {
	case IntrinsicName:
		rows, err = p.g.MatchNames(p.ctx, text)
	case IntrinsicStatus:
		return p.classes(func(c traces.Class) bool { return v.pass(statusValue(c.Status)) }), nil
	case IntrinsicKind:
		return p.classes(func(c traces.Class) bool { return v.pass(spanKindValue(c.Kind)) }), nil
	case IntrinsicDuration:
		rows, err = p.g.MatchDurations(p.ctx, among, v.monotonic, func(ns int64) bool { return v.pass(durationValue(ns)) })
	case IntrinsicStatusMessage:
		rows, err = p.g.MatchMessages(p.ctx, text)
	case IntrinsicTraceDuration:
		rows, err = p.g.MatchTraces(p.ctx, func(start, end uint64) bool { return v.pass(durationValue(int64(end - start))) })
	case IntrinsicRootName, IntrinsicRootService:
		var ok bool
		rows, ok, err = p.g.MatchRoots(p.ctx, func(name, service string, _ bool) bool {
			if n == IntrinsicRootName {
				return text(name)
			}
			return text(service)
		})
		return bound{rows, ok}, err
	case IntrinsicEventName:
		rows, err = p.g.MatchEventNames(p.ctx, text)
	case IntrinsicInstrumentationName, IntrinsicInstrumentationVersion:
		rows, err = p.g.MatchScopes(p.ctx, func(s *traces.Scope) bool {
			if n == IntrinsicInstrumentationName {
				return text(s.Name)
			}
			return text(s.Version)
		})
	case IntrinsicNestedSetLeft, IntrinsicNestedSetRight, IntrinsicNestedSetParent:
		return p.nestedSet(n, v)
	default:
		return anything, nil
	}
	return bound{rows, true}, err
}
