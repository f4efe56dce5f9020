package traceql

// spansAlone reports whether a metrics query says of each span whether and how it counts by looking at that span and its
// resource alone. Then it doesn't matter which spans of a trace are seen together. What this doesn't know isn't alone.
func spansAlone(q *Query) bool {
	m := q.Metrics
	if m == nil || m.Fn == "compare" || m.Attr != nil && !attributeAlone(m.Attr) {
		return false
	}
	for _, a := range m.By {
		if !attributeAlone(a) {
			return false
		}
	}
	return pipelineAlone(q.Pipeline)
}

func pipelineAlone(p Pipeline) bool {
	for _, s := range p {
		if !stageAlone(s) {
			return false
		}
	}
	return true
}

func stageAlone(s Stage) bool {
	switch s := s.(type) {
	case *Filter:
		return s.Expr == nil || exprAlone(s.Expr)
	case *SetOp:
		return s.Op == "||" && stageAlone(s.L) && stageAlone(s.R)
	case *Wrapped:
		return pipelineAlone(s.Pipeline)
	case *Select:
		return true // changes what is shown, of which a metrics query has nothing
	}
	return false
}

func exprAlone(e Expr) bool {
	switch e := e.(type) {
	case *Binary:
		return exprAlone(e.L) && exprAlone(e.R)
	case *Unary:
		return exprAlone(e.X)
	case *Literal:
		return true
	case *Attribute:
		return attributeAlone(e)
	}
	return false
}

func attributeAlone(a *Attribute) bool {
	if a.Parent {
		return false
	}
	switch a.Intrinsic {
	case IntrinsicNone:
		switch a.Scope {
		case ScopeNone, ScopeSpan, ScopeResource, ScopeEvent, ScopeLink, ScopeInstrumentation:
			return true
		}
	case IntrinsicName, IntrinsicStatus, IntrinsicStatusMessage, IntrinsicKind, IntrinsicDuration, IntrinsicSpanID, IntrinsicParentID,
		IntrinsicInstrumentationName, IntrinsicInstrumentationVersion, IntrinsicEventName, IntrinsicEventTimeSinceStart,
		IntrinsicLinkTraceID, IntrinsicLinkSpanID:
		return true
	}
	return false
}
