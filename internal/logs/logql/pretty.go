package logql

import "strings"

// prettyWidth is how long an expression may be to stay on one line, in bytes.
const prettyWidth = 100

// Pretty prints e over several lines where one would be too long.
func Pretty(e Expr) string { return pretty(e, 0) }

func indent(level int) string { return strings.Repeat("  ", level) }

func pretty(e Expr, level int) string {
	one := indent(level) + e.String()
	if len(one) <= prettyWidth {
		return one
	}
	in := indent(level)
	switch e := e.(type) {
	case *LogQuery:
		return prettyQuery(e, nil, level)
	case *RangeAgg:
		s := in + e.Op + "(\n"
		if e.Param != nil {
			s += indent(level+1) + e.param() + "\n"
		}
		return s + prettyRange(e.Range, level+1) + "\n" + in + ")" + e.Grouping.String()
	case *VectorAgg:
		s := in + e.Op + e.Grouping.String() + "(\n"
		if p := e.param(); p != "" {
			s += indent(level+1) + p + "\n"
		}
		return s + pretty(e.Expr, level+1) + "\n" + in + ")"
	case *BinOp:
		return in + "(\n" + pretty(e.Left, level+1) + "\n" + in + e.operator() + "\n" + pretty(e.Right, level+1) + "\n" + in + ")"
	case *LabelReplace:
		return in + "label_replace(\n" + pretty(e.Expr, level+1) + e.args() + "\n" + in + ")"
	case *Variants:
		s := in + "variants(\n"
		for i, v := range e.Variants {
			s += pretty(v, level+1)
			if i < len(e.Variants)-1 {
				s += ","
			}
			s += "\n"
		}
		return s + in + ") of (\n" + prettyRange(e.Of, level+1) + "\n" + in + ")"
	}
	return one
}

func prettyRange(r LogRange, level int) string {
	if one := indent(level) + r.String(); len(one) <= prettyWidth {
		return one
	}
	return prettyQuery(r.Query, r.Unwrap, level) + " " + r.suffix()
}

func prettyQuery(q *LogQuery, u *Unwrap, level int) string {
	var b strings.Builder
	b.WriteString(indent(level))
	writeMatchers(&b, q.Matchers)
	line := func(s string) { b.WriteString("\n" + indent(level+1) + s) }
	for _, s := range q.Stages {
		line(s.String())
	}
	if u != nil {
		line((&Unwrap{Label: u.Label, Conversion: u.Conversion}).String())
		for _, f := range u.Filters {
			line(f.String())
		}
	}
	return b.String()
}
