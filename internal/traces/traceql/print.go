package traceql

import (
	"strconv"
	"strings"
)

func (q *Query) String() string {
	var b strings.Builder
	b.WriteString(q.Pipeline.String())
	if q.Metrics != nil {
		b.WriteString(" | " + q.Metrics.String())
	}
	for _, s := range q.Second {
		b.WriteString(s.String())
	}
	if len(q.Hints) > 0 {
		b.WriteString(" with(")
		for i, h := range q.Hints {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(h.Name + "=" + h.Value.String())
		}
		b.WriteString(")")
	}
	return b.String()
}

func (p Pipeline) String() string {
	parts := make([]string, len(p))
	for i, s := range p {
		parts[i] = s.String()
	}
	return strings.Join(parts, " | ")
}

func (f *Filter) String() string {
	if f.Expr == nil {
		return "{ }"
	}
	return "{ " + f.Expr.String() + " }"
}

func (o *SetOp) String() string { return operand(o.L) + " " + o.Op + " " + operand(o.R) }

func operand(s Stage) string {
	if _, ok := s.(*SetOp); ok {
		return "(" + s.String() + ")"
	}
	return s.String()
}

func (w *Wrapped) String() string { return "(" + w.Pipeline.String() + ")" }
func (g *GroupBy) String() string { return "by(" + g.Expr.String() + ")" }
func (*Coalesce) String() string  { return "coalesce()" }

func (s *Select) String() string {
	parts := make([]string, len(s.Attrs))
	for i, a := range s.Attrs {
		parts[i] = a.String()
	}
	return "select(" + strings.Join(parts, ", ") + ")"
}

func (f *ScalarFilter) String() string {
	return wrapScalar(f.L) + " " + f.Op + " " + wrapScalar(f.R)
}

func (a *Aggregate) String() string {
	if a.Arg == nil {
		return a.Fn + "()"
	}
	return a.Fn + "(" + a.Arg.String() + ")"
}

func (l *ScalarLiteral) String() string { return l.Value.String() }
func (o *ScalarOp) String() string      { return wrapScalar(o.L) + " " + o.Op + " " + wrapScalar(o.R) }

func (p *ScalarPipeline) String() string {
	return "(" + p.Pipeline.String() + " | " + p.Scalar.String() + ")"
}

func wrapScalar(s Scalar) string {
	if _, ok := s.(*ScalarOp); ok {
		return "(" + s.String() + ")"
	}
	return s.String()
}

func (b *Binary) String() string {
	r := wrapExpr(b.R)
	if u, ok := b.R.(*Unary); ok && u.Op == "-" {
		if _, ok := u.X.(*Literal); ok {
			r = u.String() // a negative number; on the left the parentheses matter: (-2) ^ 2
		}
	}
	return wrapExpr(b.L) + " " + b.Op + " " + r
}

func (u *Unary) String() string { return u.Op + wrapExpr(u.X) }

func wrapExpr(e Expr) string {
	switch e.(type) {
	case *Binary, *Unary:
		return "(" + e.String() + ")"
	}
	return e.String()
}

func (l *Literal) String() string {
	if l.Value.Kind == KindInt {
		switch l.Value.n {
		case maxInt:
			return "maxInt"
		case minInt:
			return "minInt"
		}
	}
	return l.Value.String()
}

const (
	maxInt = 1<<63 - 1
	minInt = -1 << 63
)

func (a *Attribute) String() string {
	prefix := ""
	if a.Parent {
		prefix = "parent."
	}
	if a.Intrinsic != IntrinsicNone {
		return prefix + intrinsics[a.Intrinsic].name
	}
	switch a.Scope {
	case ScopeNone:
		if prefix == "" {
			prefix = "."
		}
	default:
		prefix += scopeNames[a.Scope] + "."
	}
	name := quoteName(a.Name)
	if ambiguousName(a, name) {
		name = `"` + name + `"`
	}
	return prefix + name
}

// ambiguousName reports whether an unquoted name would be read as something else: .5x is a number,
// parent.span.x an attribute in a scope.
func ambiguousName(a *Attribute, name string) bool {
	if a.Scope != ScopeNone {
		return false
	}
	if a.Parent {
		return strings.HasPrefix(name, "span.") || strings.HasPrefix(name, "resource.")
	}
	return isDigit(name[0])
}

// label prints a the way series labels do: like String, but quotes inside a name stay bare.
func (a *Attribute) label() string {
	if a.Intrinsic != IntrinsicNone || !strings.ContainsAny(a.Name, `"\`) {
		return a.String()
	}
	name := a.Name
	for _, r := range name {
		if !attributeRune(r) && r != '"' {
			name = `"` + name + `"`
			break
		}
	}
	return scopeNames[a.Scope] + "." + name
}

func (m *Metrics) String() string {
	var b strings.Builder
	b.WriteString(m.Fn + "(")
	switch {
	case m.Selection != nil:
		b.WriteString(m.Selection.String())
		if m.Top != defaultCompareTop || m.Start != 0 || m.End != 0 {
			b.WriteString(", " + strconv.Itoa(m.Top))
		}
		if m.Start != 0 || m.End != 0 {
			b.WriteString(", " + strconv.FormatInt(m.Start, 10) + ", " + strconv.FormatInt(m.End, 10))
		}
	case m.Attr != nil:
		b.WriteString(m.Attr.String())
		for _, q := range m.Quantiles {
			b.WriteString(", " + formatFloat(q))
		}
	}
	b.WriteString(")")
	if len(m.By) > 0 {
		b.WriteString(" by (")
		for i, a := range m.By {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(a.String())
		}
		b.WriteString(")")
	}
	return b.String()
}

func (s SecondStage) String() string {
	if s.N > 0 || s.Op == "topk" || s.Op == "bottomk" {
		return " | " + s.Op + "(" + strconv.Itoa(s.N) + ")"
	}
	return " " + s.Op + " " + s.Value.String()
}
