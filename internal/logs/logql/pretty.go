package logql

import (
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// prettyWidth is how long an expression may be to stay on one line, in bytes.
const prettyWidth = 100

// Pretty prints e over several lines where one would be too long, in the form that format_query answers.
func Pretty(e Expr) string {
	var b strings.Builder
	pretty(&b, e, 0)
	return b.String()
}

func indent(level int) string { return strings.Repeat("  ", level) }

func pretty(b *strings.Builder, e Expr, level int) {
	in := indent(level)
	if one := e.String(); len(one) <= prettyWidth {
		b.WriteString(in + one)
		return
	}
	switch e := e.(type) {
	case *LogQuery:
		prettyQuery(b, e, level)
	case *RangeAgg:
		b.WriteString(in + e.Op + "(\n")
		if e.Param != nil {
			b.WriteString(indent(level+1) + formatFloat(*e.Param) + ",\n")
		}
		prettyRange(b, e.Range, level+1)
		b.WriteString("\n" + in + ")" + e.Grouping.join(", "))
	case *VectorAgg:
		b.WriteString(in + e.Op + e.grouping(", ") + "(\n")
		if p := e.param(); p != "" {
			b.WriteString(indent(level+1) + p + "\n")
		}
		pretty(b, e.Expr, level+1)
		b.WriteString("\n" + in + ")")
	case *BinOp:
		prettySide(b, e, e.Left, level+1)
		b.WriteString("\n" + in + e.operator(", ") + "\n")
		prettySide(b, e, e.Right, level+1)
	case *LabelReplace:
		b.WriteString(in + "label_replace(\n")
		pretty(b, e.Expr, level+1)
		b.WriteString(e.args(",\n"+indent(level+1)) + "\n" + in + ")")
	case *Variants:
		b.WriteString(in + "variants(\n")
		for i, v := range e.Variants {
			if i > 0 {
				b.WriteString(",\n")
			}
			pretty(b, v, level+1)
		}
		b.WriteString("\n" + in + ") of (\n")
		prettyRange(b, e.Of, level+1)
		b.WriteString("\n" + in + ")")
	default:
		b.WriteString(in + e.String())
	}
}

// prettySide prints a side of op. A side that takes several lines stands in parentheses where it would be read as
// something else without; Loki leaves these out, which changes what the query means.
func prettySide(b *strings.Builder, op *BinOp, side Expr, level int) {
	inner, ok := side.(*BinOp)
	if !ok || len(side.String()) <= prettyWidth || !needsParentheses(op, inner, side == op.Right) {
		pretty(b, side, level)
		return
	}
	b.WriteString(indent(level) + "(\n")
	pretty(b, side, level+1)
	b.WriteString("\n" + indent(level) + ")")
}

func needsParentheses(op, inner *BinOp, right bool) bool {
	outside, inside := binaryOps[op.Op], binaryOps[inner.Op]
	return inside < outside || inside == outside && right != (op.Op == "^")
}

// prettyRange prints the query, an unwrap on a line of its own, and the window behind both.
func prettyRange(b *strings.Builder, r LogRange, level int) {
	pretty(b, r.Query, level)
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
}

// prettyOffset leaves out units that are zero where that can be read again.
func prettyOffset(d time.Duration) string {
	if d > 0 && d%time.Millisecond == 0 {
		return model.Duration(d).String()
	}
	return d.String()
}

// prettyQuery prints each stage on a line. Line filters that follow each other share one if they fit.
func prettyQuery(b *strings.Builder, q *LogQuery, level int) {
	b.WriteString(indent(level))
	writeMatchers(b, q.Matchers)
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
		b.WriteByte('\n')
		prettyFilters(b, q.Stages[i:i+n], level+1)
		i += n
	}
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
func prettyFilters(b *strings.Builder, filters []Stage, level int) {
	first := filters[0].String()
	b.WriteString(indent(level) + first)
	width, fits := len(first), true
	for _, f := range filters[1:] {
		text := f.String()
		width += 1 + len(text)
		if fits = fits && width <= prettyWidth; fits {
			b.WriteString(" " + text)
		} else {
			b.WriteString("\n" + indent(level) + text)
		}
	}
}
