package traceql

import "github.com/hune-io/hune/internal/traces"

// need is what a trace must have for a query to find anything in it: all of all, and one of any
// (if there are any). It is never stricter than the query.
type need struct {
	all, any []traces.Condition
	id       string // text of the trace ID, if the query names one

	// Of the query as a whole: what it looks at, and which traces that stand in columns it wants.
	needs  *traces.Needs
	groups traces.GroupFilter
	fold   bool // groups counts
	alone  bool // each span counts for itself
	whole  *traces.Range
}

// and joins needs that must both hold. Only one list of alternatives can be kept.
func (n need) and(m need) need {
	out := need{all: append(append([]traces.Condition(nil), n.all...), m.all...), any: n.any, id: n.id}
	if len(out.any) == 0 {
		out.any = m.any
	}
	if out.id == "" {
		out.id = m.id
	}
	return out
}

// or joins needs of which one must hold.
func (n need) or(m need) need {
	l, r := n.oneOf(), m.oneOf()
	if len(l) == 0 || len(r) == 0 {
		return need{}
	}
	return need{any: append(append([]traces.Condition(nil), l...), r...)}
}

func (n need) oneOf() []traces.Condition {
	if len(n.all) > 0 {
		return n.all[:1]
	}
	return n.any
}

// selection returns what to ask a source for.
func (n need) selection(start, end uint64) traces.Select {
	s := traces.Select{Start: start, End: end, Needs: n.needs, Groups: n.groups, Fold: n.fold, Alone: n.alone, Whole: n.whole}
	if len(n.all) > 0 {
		s.Conditions, s.AllConditions = n.all, true
	} else {
		s.Conditions = n.any
	}
	return s
}

func needOfPipeline(p Pipeline, opened openedKeys) need {
	var n need
	for _, s := range p {
		n = n.and(needOfStage(s, opened))
	}
	return n
}

func needOfStage(s Stage, opened openedKeys) need {
	switch s := s.(type) {
	case *Filter:
		if s.Expr != nil {
			return needOfExpr(s.Expr, opened)
		}
	case *SetOp:
		l, r := needOfStage(s.L, opened), needOfStage(s.R, opened)
		switch {
		case s.Op == "||":
			return l.or(r)
		case s.Op[0] == '!':
			return r // the right side alone can be an answer
		}
		return l.and(r)
	case *Wrapped:
		return needOfPipeline(s.Pipeline, opened)
	}
	return need{}
}

func needOfExpr(e Expr, opened openedKeys) need {
	switch e := e.(type) {
	case *Binary:
		switch e.Op {
		case "&&":
			return needOfExpr(e.L, opened).and(needOfExpr(e.R, opened))
		case "||":
			return needOfExpr(e.L, opened).or(needOfExpr(e.R, opened))
		}
		if u, ok := comparison(e); ok {
			return needOfUsage(u, opened)
		}
	case *Attribute:
		return needOfUsage(usage{attr: e, op: "=", value: boolValue(true)}, opened)
	}
	return need{}
}

func needOfUsage(u usage, opened openedKeys) need {
	a := u.attr
	if a.Intrinsic == IntrinsicTraceID && u.op == "=" && u.value.Kind == KindString {
		return need{id: u.value.s}
	}
	c := traces.Condition{Op: u.op}
	switch a.Intrinsic {
	case IntrinsicNone:
		c.Scope, c.Key = scopeNames[a.Scope], a.Name
	case IntrinsicName, IntrinsicStatus, IntrinsicKind, IntrinsicDuration:
		c.Scope, c.Key = "intrinsic", intrinsics[a.Intrinsic].name
	default:
		return need{}
	}
	if a.Name == "service.name" && a.Scope <= ScopeResource && a.Scope != ScopeSpan && meetsEmpty(u) {
		return need{} // a span without the attribute has it, empty
	}
	switch u.value.Kind {
	case KindNil:
		if u.op != "!=" {
			return need{}
		}
		c.Op = "exists"
		return need{all: []traces.Condition{c}}
	case KindInt, KindFloat:
		if ints, floats := opened.allows(a, u.value.Kind); a.Intrinsic == IntrinsicNone && ints && floats {
			return need{} // any number may match, which a condition can't say
		}
		if a.Intrinsic != IntrinsicNone && u.value.Kind == KindFloat {
			return need{}
		}
	case KindDuration:
		if a.Intrinsic == IntrinsicNone {
			return need{}
		}
		c.Operand = traces.Attribute{Type: traces.TypeInt, Int: u.value.n}
		return need{all: []traces.Condition{c}}
	case KindStatus, KindSpanKind:
		if a.Intrinsic == IntrinsicNone {
			return need{}
		}
		c.Operand = traces.Attribute{Type: traces.TypeInt, Int: u.value.n}
		return need{all: []traces.Condition{c}}
	}
	c.Operand = u.value.attribute("")
	return need{all: []traces.Condition{c}}
}

// meetsEmpty reports whether the empty text passes u.
func meetsEmpty(u usage) bool {
	if u.value.Kind == KindNil {
		return true
	}
	if u.op == "=~" || u.op == "!~" {
		re, err := compileRegex(u.value.s)
		return err != nil || re.MatchString("") == (u.op == "=~")
	}
	return compare(u.op, stringValue(""), u.value)
}
