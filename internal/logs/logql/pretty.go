package logql

import (
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// prettyWidth is how long an expression may be to stay on one line, in bytes.
const prettyWidth = 100

// Pretty prints e over several lines where one would be too long, in the form that format_query answers.
func Pretty(e Expr) string { return pretty(e, 0) }

func indent(level int) string { return strings.Repeat("  ", level) }

func pretty(e Expr, level int) string {
	if len(e.String()) <= prettyWidth {
		return indent(level) + e.String()
	}
	in := indent(level)
	switch e := e.(type) {
	case *LogQuery:
		return prettyQuery(e, level)
	case *RangeAgg:
		s := in + e.Op + "(\n"
		if e.Param != nil {
			s += indent(level+1) + formatFloat(*e.Param) + ",\n"
		}
		return s + prettyRange(e.Range, level+1) + "\n" + in + ")" + e.Grouping.join(", ")
	case *VectorAgg:
		s := in + e.Op + e.grouping(", ") + "(\n"
		if p := e.param(); p != "" {
			s += indent(level+1) + p + "\n"
		}
		return s + pretty(e.Expr, level+1) + "\n" + in + ")"
	case *BinOp:
		return prettySide(e, e.Left, level+1) + "\n" + in + e.operator(", ") + "\n" + prettySide(e, e.Right, level+1)
	case *LabelReplace:
		return in + "label_replace(\n" + pretty(e.Expr, level+1) + e.args(",\n"+indent(level+1)) + "\n" + in + ")"
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
	return in + e.String()
}

// prettySide prints a side of op. A side that takes several lines stands in parentheses where it would be read as
// something else without; Loki leaves these out, which changes what the query means.
func prettySide(op *BinOp, side Expr, level int) string {
	inner, ok := side.(*BinOp)
	if !ok || len(side.String()) <= prettyWidth || !needsParentheses(op, inner, side == op.Right) {
		return pretty(side, level)
	}
	in := indent(level)
	return in + "(\n" + pretty(side, level+1) + "\n" + in + ")"
}

func needsParentheses(op, inner *BinOp, right bool) bool {
	outside, inside := binaryOps[op.Op], binaryOps[inner.Op]
	return inside < outside || inside == outside && right != (op.Op == "^")
}

// prettyRange prints the query, an unwrap on a line of its own, and the window behind both.
func prettyRange(r LogRange, level int) string {
	var b strings.Builder
	b.WriteString(pretty(r.Query, level))
	if u := r.Unwrap; u != nil {
		in := "\n" + indent(level+1)
		b.WriteString(in + (&Unwrap{Label: u.Label, Conversion: u.Conversion}).String())
		for _, f := range u.Filters {
			b.WriteString(in + f.String())
		}
	}
	b.WriteString(" [" + model.Duration(r.Interval).String() + "]")
	if r.Offset != 0 {
		b.WriteString(" offset " + prettyOffset(r.Offset))
	}
	return b.String()
}

// prettyOffset leaves out units that are zero where that can be read again.
func prettyOffset(d time.Duration) string {
	if d > 0 && d%time.Millisecond == 0 {
		return model.Duration(d).String()
	}
	return d.String()
}

// prettyQuery prints each stage on a line. Line filters that follow each other share one if they fit.
func prettyQuery(q *LogQuery, level int) string {
	var b strings.Builder
	b.WriteString(indent(level))
	writeMatchers(&b, q.Matchers)
	for i := 0; i < len(q.Stages); {
		n := lineFilters(q.Stages[i:])
		if n == 0 {
			in := indent(level + 1)
			if _, ok := q.Stages[i].(*Decolorize); ok {
				in = "" // as Loki has it
			}
			b.WriteString("\n" + in + q.Stages[i].String())
			i++
			continue
		}
		b.WriteString("\n" + prettyFilters(q.Stages[i:i+n], level+1))
		i += n
	}
	return b.String()
}

// lineFilters returns how many stages from the first on are line filters.
func lineFilters(stages []Stage) int {
	for i, s := range stages {
		if _, ok := s.(*LineFilter); !ok {
			return i
		}
	}
	return len(stages)
}

// prettyFilters prints line filters: as many of the first as fit on one line, each of the others on its own.
func prettyFilters(filters []Stage, level int) string {
	var b strings.Builder
	b.WriteString(indent(level) + filters[0].String())
	width, fits := b.Len()-len(indent(level)), true
	for _, f := range filters[1:] {
		text := f.String()
		width += 1 + len(text)
		if fits = fits && width <= prettyWidth; fits {
			b.WriteString(" " + text)
		} else {
			b.WriteString("\n" + indent(level) + text)
		}
	}
	return b.String()
}
