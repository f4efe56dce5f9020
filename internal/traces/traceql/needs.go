package traceql

import "github.com/hune-io/hune/internal/traces"

// needs gathers what a query looks at in spans.
type needs struct {
	traces.Needs
	all bool // everything
}

// needsOf returns what a query looks at in spans; nil is everything, which is also the answer for what this
// doesn't know. more are attributes beside those that the query names.
func needsOf(q *Query, more ...*Attribute) *traces.Needs {
	n := &needs{Needs: traces.Needs{Attributes: map[traces.NeedKey]struct{}{}}}
	n.pipeline(q.Pipeline)
	if m := q.Metrics; m != nil {
		n.all = n.all || m.Fn == "compare" // it counts all that there is
		n.attribute(m.Attr)
		for _, a := range m.By {
			n.attribute(a)
		}
	}
	for _, a := range more {
		n.attribute(a)
	}
	if n.all {
		return nil
	}
	return &n.Needs
}

func (n *needs) pipeline(p Pipeline) {
	for _, s := range p {
		n.stage(s)
	}
}

func (n *needs) stage(s Stage) {
	switch s := s.(type) {
	case *Filter:
		if s.Expr != nil {
			n.expr(s.Expr)
		}
	case *SetOp:
		n.stage(s.L)
		n.stage(s.R)
	case *Wrapped:
		n.pipeline(s.Pipeline)
	case *GroupBy:
		n.expr(s.Expr)
	case *Coalesce:
	case *Select:
		for _, e := range s.Attrs {
			n.expr(e)
		}
	case *ScalarFilter:
		n.scalar(s.L)
		n.scalar(s.R)
	default:
		n.all = true
	}
}

func (n *needs) scalar(s Scalar) {
	switch s := s.(type) {
	case *Aggregate:
		if s.Arg != nil {
			n.expr(s.Arg)
		}
	case *ScalarLiteral:
	case *ScalarOp:
		n.scalar(s.L)
		n.scalar(s.R)
	case *ScalarPipeline:
		n.pipeline(s.Pipeline)
		n.scalar(s.Scalar)
	default:
		n.all = true
	}
}

func (n *needs) expr(e Expr) {
	switch e := e.(type) {
	case *Binary:
		n.expr(e.L)
		n.expr(e.R)
	case *Unary:
		n.expr(e.X)
	case *Literal:
	case *Attribute:
		n.attribute(e)
	default:
		n.all = true
	}
}

func (n *needs) attribute(a *Attribute) {
	if a == nil {
		return
	}
	switch a.Intrinsic {
	case IntrinsicNone:
	case IntrinsicStatusMessage:
		n.Texts = true
		return
	case IntrinsicEventName, IntrinsicEventTimeSinceStart:
		n.Events = true
		return
	case IntrinsicLinkTraceID, IntrinsicLinkSpanID:
		n.Links = true
		return
	default:
		return
	}
	switch a.Scope {
	case ScopeNone, ScopeSpan:
		n.key(traces.ScopeSpan, a.Name)
	case ScopeEvent:
		n.Events = true
		n.key(traces.ScopeEvent, a.Name)
	case ScopeLink:
		n.Links = true
		n.key(traces.ScopeLink, a.Name)
	}
}

func (n *needs) key(scope traces.TagScope, key string) {
	n.Attributes[traces.NeedKey{Scope: scope, Key: key}] = struct{}{}
}
