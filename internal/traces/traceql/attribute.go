package traceql

import "github.com/hune-io/hune/internal/traces"

// compileAttribute returns the node that reads a.
func compileAttribute(a *Attribute) evalNode {
	if a.Intrinsic != IntrinsicNone {
		return intrinsicNode(a.Intrinsic)
	}
	if a.Parent {
		own := *a
		own.Parent = false
		return &parentNode{compileAttribute(&own)}
	}
	if a.isServiceName() {
		return serviceNode{}
	}
	return &attrNode{a.Scope, a.Name}
}

// parentNode reads an attribute of the span's parent. There is none if the span is a root or its
// parent has not arrived.
type parentNode struct{ own evalNode }

func (n *parentNode) eval(e *spanEnv) Value {
	i := e.i
	up := e.view.getTree().up[i]
	if up < 0 {
		return Value{}
	}
	e.set(e.view, int(up))
	v := n.own.eval(e)
	e.set(e.view, i)
	return v
}

// serviceNode is resource.service.name: empty, not nil, where it is missing.
type serviceNode struct{}

func (serviceNode) eval(e *spanEnv) Value { return stringValue(serviceName(e.span)) }

func serviceName(s *traces.Span) string {
	if s.Resource == nil {
		return ""
	}
	return s.Resource.ServiceName
}

type attrNode struct {
	scope Scope
	name  string
}

func (n *attrNode) eval(e *spanEnv) Value {
	switch n.scope {
	case ScopeSpan:
		return lookup(e.span.Attributes, n.name)
	case ScopeResource:
		if e.span.Resource != nil {
			return lookup(e.span.Resource.Attributes, n.name)
		}
	case ScopeInstrumentation:
		if e.span.Scope != nil {
			return lookup(e.span.Scope.Attributes, n.name)
		}
	case ScopeEvent:
		return n.ofEvents(e.span)
	case ScopeLink:
		return n.ofLinks(e.span)
	case ScopeNone:
		if v := lookup(e.span.Attributes, n.name); v.Kind != KindNil {
			return v
		}
		if n.name == "service.name" {
			return stringValue(serviceName(e.span))
		}
		if e.span.Resource != nil {
			return lookup(e.span.Resource.Attributes, n.name)
		}
	}
	return Value{}
}

// lookup returns the value of key. A key that occurs twice has its first value.
func lookup(attrs []traces.Attribute, key string) Value {
	for i := range attrs {
		if attrs[i].Key == key {
			return fromAttribute(&attrs[i])
		}
	}
	return Value{}
}

func (n *attrNode) ofEvents(s *traces.Span) Value {
	var m multi
	for i := range s.Events {
		m.add(lookup(s.Events[i].Attributes, n.name))
	}
	return m.value()
}

func (n *attrNode) ofLinks(s *traces.Span) Value {
	var m multi
	for i := range s.Links {
		m.add(lookup(s.Links[i].Attributes, n.name))
	}
	return m.value()
}

// multi gathers the values of several events or links.
type multi struct {
	one  Value
	many []Value
}

func (m *multi) add(v Value) {
	switch {
	case v.Kind == KindNil:
	case m.one.Kind == KindNil:
		m.one = v
	case m.many == nil:
		m.many = []Value{m.one, v}
	default:
		m.many = append(m.many, v)
	}
}

func (m *multi) value() Value {
	if m.many == nil {
		return m.one
	}
	return Value{Kind: KindArray, arr: m.many, multi: true}
}

type intrinsicNode Intrinsic

func (n intrinsicNode) eval(e *spanEnv) Value {
	s := e.span
	switch Intrinsic(n) {
	case IntrinsicName:
		return stringValue(s.Name)
	case IntrinsicStatus:
		return statusValue(s.Status)
	case IntrinsicStatusMessage:
		return stringValue(s.StatusMessage)
	case IntrinsicKind:
		return spanKindValue(s.Kind)
	case IntrinsicDuration:
		return durationValue(spanDuration(s))
	case IntrinsicSpanID:
		return stringValue(s.ID.String())
	case IntrinsicParentID:
		return stringValue(s.ParentID.String())
	case IntrinsicParent:
		if s.ParentID == (traces.SpanID{}) {
			return Value{}
		}
		return stringValue(s.ParentID.String())
	case IntrinsicInstrumentationName:
		if s.Scope == nil {
			return stringValue("")
		}
		return stringValue(s.Scope.Name)
	case IntrinsicInstrumentationVersion:
		if s.Scope == nil {
			return stringValue("")
		}
		return stringValue(s.Scope.Version)
	case IntrinsicEventName, IntrinsicEventTimeSinceStart, IntrinsicLinkTraceID, IntrinsicLinkSpanID:
		return ofChildren(Intrinsic(n), s)
	}
	return ofTrace(Intrinsic(n), e)
}

// spanDuration is end - start, zero for a span that ends before it starts.
func spanDuration(s *traces.Span) int64 {
	if s.End < s.Start {
		return 0
	}
	return int64(min(s.End-s.Start, maxInt))
}

func ofChildren(n Intrinsic, s *traces.Span) Value {
	var m multi
	switch n {
	case IntrinsicEventName:
		for i := range s.Events {
			m.add(stringValue(s.Events[i].Name))
		}
	case IntrinsicEventTimeSinceStart:
		for i := range s.Events {
			m.add(durationValue(int64(s.Events[i].Time - s.Start)))
		}
	case IntrinsicLinkTraceID:
		for i := range s.Links {
			m.add(stringValue(trimID(s.Links[i].TraceID.String())))
		}
	case IntrinsicLinkSpanID:
		for i := range s.Links {
			m.add(stringValue(s.Links[i].SpanID.String()))
		}
	}
	return m.value()
}

func ofTrace(n Intrinsic, e *spanEnv) Value {
	v := e.view
	switch n {
	case IntrinsicTraceID:
		if v.idText == "" {
			v.idText = trimID(v.trace.ID.String())
		}
		return stringValue(v.idText)
	case IntrinsicTraceDuration:
		return durationValue(int64(v.duration()))
	case IntrinsicRootName:
		return stringValue(v.rootName)
	case IntrinsicRootService:
		return stringValue(v.rootService)
	case IntrinsicNestedSetLeft:
		return intValue(int64(v.getTree().left[e.i]))
	case IntrinsicNestedSetRight:
		return intValue(int64(v.getTree().right[e.i]))
	case IntrinsicNestedSetParent:
		return intValue(v.getTree().parentLeft(e.i))
	case IntrinsicChildCount:
		return intValue(int64(v.getTree().children[e.i]))
	}
	return Value{}
}
