package traceql

import "github.com/hune-io/hune/internal/traces"

// shown decides which attributes of a matched span an answer carries: those that the query
// mentions. A value (an element, if it is an array) is shown if some comparison of the query asks
// for it; within one scope all comparisons count for all attributes, as the reference reads them
// together. A mention that is no comparison (arithmetic, by, select, != nil) shows everything.
type shown struct {
	name  bool // FoundSpan.Name
	attrs []shownAttr
	byKey map[key]int

	// For what is found. The spans that a query finds are mostly alike in what it names: what the last one showed is
	// shown of the next one too, if its values are the same.
	values   []Value // of the last span, of each of attrs
	lastName string
	last     []traces.Attribute
	scratch  []traces.Attribute
	room     cutter[traces.Attribute]
}

type shownAttr struct {
	key    string // in the answer
	node   evalNode
	group  *shownGroup
	absent bool // `= nil` was asked: show nil for a missing value
	own    bool // an attribute that the reference has a column for: nil is shown if all is set
}

// shownGroup is what the comparisons of one scope (or of one intrinsic) ask for.
type shownGroup struct {
	all   bool
	tests []evalTest
}

// evalTest reports whether a single value passes a comparison; kinds must be equal.
type evalTest func(v Value) bool

func (g *shownGroup) shows(v Value) bool {
	if g.all {
		return true
	}
	for _, t := range g.tests {
		if t(v) {
			return true
		}
	}
	return false
}

// shownOf collects the mentions in q's pipeline.
func shownOf(q *Query) *shown {
	s := &shown{byKey: map[key]int{}}
	groups := map[key]*shownGroup{}
	walkStages(q.Pipeline, func(st Stage) {
		for _, e := range exprsOf(st) {
			usages(e, func(u usage) { s.mention(u, groups) })
		}
		if op, ok := st.(*SetOp); ok && structural(op.Op) {
			// The tree's numbers are read for every span then.
			for _, n := range []Intrinsic{IntrinsicNestedSetLeft, IntrinsicNestedSetRight, IntrinsicNestedSetParent} {
				groupOf(groups, key{name: intrinsics[n].name}).all = true
			}
		}
	})
	return s
}

func groupOf(groups map[key]*shownGroup, k key) *shownGroup {
	g := groups[k]
	if g == nil {
		g = &shownGroup{}
		groups[k] = g
	}
	return g
}

func (s *shown) mention(u usage, groups map[key]*shownGroup) {
	a := u.attr
	if a.Intrinsic == IntrinsicNone && a.Scope == ScopeNone {
		for _, scope := range []Scope{ScopeSpan, ScopeResource} {
			scoped := u
			scoped.attr, scoped.second = &Attribute{Scope: scope, Name: a.Name, Parent: a.Parent}, scope == ScopeResource
			s.mention(scoped, groups)
		}
		return
	}
	var g *shownGroup
	own := false
	switch {
	case a.Intrinsic != IntrinsicNone:
		g = groupOf(groups, key{name: intrinsics[a.Intrinsic].name})
	case a.isServiceName():
		g = groupOf(groups, keyOf(a))
	case ownColumns[keyOf(a)]:
		own = true
		g = groupOf(groups, keyOf(a))
	default:
		g = groupOf(groups, key{scope: a.Scope, parent: a.Parent})
	}
	g.ask(u)
	s.add(a, g, own, u)
}

func (s *shown) add(a *Attribute, g *shownGroup, own bool, u usage) {
	k, name := keyOf(a), a.Name
	if a.Parent {
		name = "parent." + name
	}
	switch a.Intrinsic {
	case IntrinsicNone:
	case IntrinsicName:
		s.name = true
		k, name = key{name: "name"}, "name"
	case IntrinsicDuration, IntrinsicTraceDuration, IntrinsicRootName, IntrinsicRootService, IntrinsicSpanID, IntrinsicTraceID:
		return // the answer has them anyway
	default:
		name = intrinsics[a.Intrinsic].name
		k = key{name: name}
	}
	i, ok := s.byKey[k]
	if !ok {
		i = len(s.attrs)
		s.byKey[k] = i
		s.attrs = append(s.attrs, shownAttr{key: name, node: compileAttribute(a), group: g, own: own})
	}
	if u.op == "=" && u.value.Kind == KindNil && !u.second {
		s.attrs[i].absent = true
	}
}

func (g *shownGroup) ask(u usage) {
	switch {
	case u.op == "", u.op == "!=" && u.value.Kind == KindNil:
		g.all = true
	case u.value.Kind == KindNil:
	default:
		tests := []evalTest{u.test(u.value)}
		for _, v := range u.also {
			tests = append(tests, u.test(v))
		}
		g.tests = append(g.tests, func(v Value) bool {
			for _, t := range tests {
				if !t(v) {
					return false
				}
			}
			return true
		})
	}
}

// test returns the comparison of u with one value.
func (u usage) test(value Value) evalTest {
	if u.op == "=~" || u.op == "!~" {
		re, err := compileRegex(value.s)
		if err != nil {
			return func(Value) bool { return false }
		}
		want := u.op == "=~"
		return func(v Value) bool { return v.Kind == KindString && re.MatchString(v.s) == want }
	}
	if u.attr.Intrinsic == IntrinsicLinkTraceID {
		value = stringValue(trimID(value.s))
	}
	op, intrinsic := u.op, u.attr.Intrinsic != IntrinsicNone
	return func(v Value) bool { return (intrinsic || v.Kind == value.Kind) && compare(op, v, value) }
}

// found describes the span in e for an answer. Spans may share their attributes.
func (s *shown) found(e *spanEnv) traces.FoundSpan {
	sp := e.span
	same := s.values != nil
	if !same {
		s.values = make([]Value, len(s.attrs))
	}
	for i := range s.attrs {
		v := s.attrs[i].node.eval(e)
		same = same && v.Kind != KindArray && v.identity() == s.values[i].identity()
		s.values[i] = v
	}
	if !same {
		s.describe()
	}
	return traces.FoundSpan{ID: sp.ID, Name: s.lastName, Start: sp.Start, Duration: uint64(spanDuration(sp)), Attributes: s.last}
}

// describe sets last to what is shown of values.
func (s *shown) describe() {
	s.scratch, s.lastName, s.last = s.scratch[:0], "", nil
	for i := range s.attrs {
		a := &s.attrs[i]
		v := a.group.filter(s.values[i])
		switch {
		case v.Kind == KindNil && !a.absent && !(a.own && a.group.all):
		case v.Kind == KindNil && s.values[i].Kind != KindNil: // there, but not asked for
		case a.key == "name" && s.name && a.node == evalNode(intrinsicNode(IntrinsicName)):
			s.lastName = v.s
		default:
			s.scratch = append(s.scratch, v.attribute(a.key))
		}
	}
	if n := len(s.scratch); n > 0 {
		s.last = s.room.cut(n)
		copy(s.last, s.scratch)
	}
}

// filter reduces v to what the group shows. Of several events or links the last one stays.
func (g *shownGroup) filter(v Value) Value {
	if v.Kind != KindArray {
		if v.Kind != KindNil && !g.shows(v) {
			return Value{}
		}
		return v
	}
	kept := make([]Value, 0, len(v.arr))
	for _, e := range v.arr {
		if e = g.filter(e); e.Kind != KindNil {
			kept = append(kept, e)
		}
	}
	switch {
	case len(kept) == 0:
		return Value{}
	case len(kept) == 1 || v.multi:
		return kept[len(kept)-1]
	}
	return Value{Kind: KindArray, arr: kept}
}

// ownColumns are the attributes that the reference keeps in columns of their own, where a missing
// value is a value: answers to select and by show it as nil.
var ownColumns = map[key]bool{
	{scope: ScopeSpan, name: "http.method"}: true, {scope: ScopeSpan, name: "http.url"}: true, {scope: ScopeSpan, name: "http.status_code"}: true,
	{scope: ScopeSpan, name: "http.request.method"}: true, {scope: ScopeSpan, name: "http.response.status_code"}: true,
	{scope: ScopeSpan, name: "http.route"}: true, {scope: ScopeSpan, name: "url.path"}: true, {scope: ScopeSpan, name: "url.route"}: true,
	{scope: ScopeSpan, name: "server.address"}:       true,
	{scope: ScopeResource, name: "k8s.cluster.name"}: true, {scope: ScopeResource, name: "k8s.namespace.name"}: true,
	{scope: ScopeResource, name: "k8s.pod.name"}: true, {scope: ScopeResource, name: "k8s.container.name"}: true,
	{scope: ScopeResource, name: "cluster"}: true, {scope: ScopeResource, name: "namespace"}: true,
	{scope: ScopeResource, name: "pod"}: true, {scope: ScopeResource, name: "container"}: true,
}
