package logql

import (
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/logs"
)

func (e *LogQuery) String() string     { return exprString(e) }
func (e *RangeAgg) String() string     { return exprString(e) }
func (e *VectorAgg) String() string    { return exprString(e) }
func (e *BinOp) String() string        { return exprString(e) }
func (e *Literal) String() string      { return exprString(e) }
func (e *Vector) String() string       { return exprString(e) }
func (e *LabelReplace) String() string { return exprString(e) }
func (e *Variants) String() string     { return exprString(e) }

func exprString(e Expr) string {
	var b strings.Builder
	writeExpr(&b, e)
	return b.String()
}

// writeExpr prints e into one builder for all of it: a long chain of operators is deeply nested.
func writeExpr(b *strings.Builder, e Expr) {
	switch e := e.(type) {
	case *LogQuery:
		writeQuery(b, e)
	case *RangeAgg:
		b.WriteString(e.Op + "(" + e.param())
		writeRange(b, e.Range)
		b.WriteString(")" + e.Grouping.join(","))
	case *VectorAgg:
		b.WriteString(e.Op + e.grouping(",") + "(" + e.param())
		writeExpr(b, e.Expr)
		b.WriteByte(')')
	case *BinOp:
		b.WriteByte('(')
		writeExpr(b, e.Left)
		b.WriteString(" " + e.operator(",") + " ")
		writeExpr(b, e.Right)
		b.WriteByte(')')
	case *Literal:
		b.WriteString(formatFloat(e.Value))
	case *Vector:
		b.WriteString("vector(" + formatFloat(e.Value) + ")")
	case *LabelReplace:
		b.WriteString("label_replace(")
		writeExpr(b, e.Expr)
		b.WriteString(e.args(",") + ")")
	case *Variants:
		b.WriteString("variants(")
		for i, v := range e.Variants {
			if i > 0 {
				b.WriteString(", ")
			}
			writeExpr(b, v)
		}
		b.WriteString(") of (")
		writeRange(b, e.Of)
		b.WriteByte(')')
	}
}

func writeQuery(b *strings.Builder, q *LogQuery) {
	writeMatchers(b, q.Matchers)
	for _, s := range q.Stages {
		b.WriteString(" " + s.String())
	}
}

func writeRange(b *strings.Builder, r LogRange) {
	writeQuery(b, r.Query)
	if r.Unwrap != nil {
		b.WriteString(" " + r.Unwrap.String())
	}
	b.WriteString(r.suffix())
}

func writeMatchers(b *strings.Builder, ms []logs.Matcher) {
	b.WriteByte('{')
	for i, m := range ms {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(matcherString(m))
	}
	b.WriteByte('}')
}

func matcherString(m logs.Matcher) string { return m.Name + m.Type.String() + strconv.Quote(m.Value) }

func (g *Grouping) String() string { return g.join(",") }

// join prints the clause with sep between the labels.
func (g *Grouping) join(sep string) string {
	if g == nil {
		return ""
	}
	word := "by"
	if g.Without {
		word = "without"
	}
	return " " + word + " (" + strings.Join(g.Labels, sep) + ")"
}

func (e *RangeAgg) param() string {
	if e.Param == nil {
		return ""
	}
	return formatDecimal(*e.Param) + ","
}

// String prints the query with its window.
func (r LogRange) String() string {
	var b strings.Builder
	writeRange(&b, r)
	return b.String()
}

// suffix is the window and the offset.
func (r LogRange) suffix() string {
	s := "[" + model.Duration(r.Interval).String() + "]"
	if r.Offset != 0 {
		s += " offset " + r.Offset.String()
	}
	return s
}

func (u *Unwrap) String() string {
	var b strings.Builder
	b.WriteString("| unwrap ")
	if u.Conversion != "" {
		b.WriteString(u.Conversion + "(" + u.Label + ")")
	} else {
		b.WriteString(u.Label)
	}
	for _, f := range u.Filters {
		b.WriteString(" " + f.String())
	}
	return b.String()
}

// formatFloat prints large and small numbers with an exponent, formatDecimal never does. Which is used where is
// Loki's choice.
func formatFloat(f float64) string   { return strconv.FormatFloat(f, 'g', -1, 64) }
func formatDecimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// grouping prints the clause, or nothing where it is by (), which is what no clause means here.
func (e *VectorAgg) grouping(sep string) string {
	if e.Grouping != nil && !e.Grouping.Without && len(e.Grouping.Labels) == 0 {
		return ""
	}
	return e.Grouping.join(sep)
}

func (e *VectorAgg) param() string {
	if !takesParam(e.Op) {
		return ""
	}
	return strconv.Itoa(e.Param) + ","
}

// operator prints the operator with its modifiers, and sep between labels. A matching without group_left and
// group_right ends in a blank, as with Loki; ignoring () is what no matching means.
func (e *BinOp) operator(sep string) string {
	s := e.Op
	if e.Bool {
		s += " bool"
	}
	m := e.Matching
	if m == nil || !m.On && len(m.Labels) == 0 && m.Card == OneToOne {
		return s
	}
	word := " ignoring ("
	if m.On {
		word = " on ("
	}
	s += word + strings.Join(m.Labels, sep) + ") "
	switch m.Card {
	case ManyToOne:
		s += "group_left"
	case OneToMany:
		s += "group_right"
	}
	// A side in parentheses would be taken for the labels.
	if _, inParentheses := e.Right.(*BinOp); len(m.Include) > 0 || m.Card != OneToOne && inParentheses {
		s += " (" + strings.Join(m.Include, sep) + ")"
	}
	return s
}

// args prints the texts, each behind sep.
func (e *LabelReplace) args(sep string) string {
	s := ""
	for _, a := range [...]string{e.Dst, e.Replacement, e.Src, e.Regex} {
		s += sep + strconv.Quote(a)
	}
	return s
}

var lineOperators = [...]string{"|=", "!=", "|~", "!~", "|>", "!>"}

// String returns the operator.
func (m LineMatch) String() string { return lineOperators[m] }

// String prints a positive filter with its terms joined by or; the terms of a negative one stand one behind the
// other, which is the same.
func (s *LineFilter) String() string {
	joint := " or "
	if s.Match.Negative() {
		joint = " " + s.Match.String() + " "
	}
	var b strings.Builder
	b.WriteString(s.Match.String() + " ")
	for i, t := range s.Terms {
		if i > 0 {
			b.WriteString(joint)
		}
		if t.IP {
			b.WriteString("ip(" + strconv.Quote(t.Text) + ")")
		} else {
			b.WriteString(strconv.Quote(t.Text))
		}
	}
	return b.String()
}

func (s *Parser) String() string {
	var b strings.Builder
	b.WriteString("| " + string(s.Kind))
	if s.Kind == ParseRegexp || s.Kind == ParsePattern {
		b.WriteString(" " + strconv.Quote(s.Text))
	}
	if s.Strict {
		b.WriteString(" --strict")
	}
	if s.KeepEmpty {
		b.WriteString(" --keep-empty")
	}
	for i, e := range s.Exprs {
		if i == 0 {
			b.WriteByte(' ')
		} else {
			b.WriteByte(',')
		}
		b.WriteString(e.Label + "=" + strconv.Quote(e.Path))
	}
	return b.String()
}

func (f *StringFilter) String() string   { return filterString(f) }
func (f *NumberFilter) String() string   { return filterString(f) }
func (f *DurationFilter) String() string { return filterString(f) }
func (f *BytesFilter) String() string    { return filterString(f) }
func (f *IPFilter) String() string       { return filterString(f) }
func (f *BinaryFilter) String() string   { return filterString(f) }

func filterString(f LabelFilter) string {
	var b strings.Builder
	b.WriteString("| ")
	writeFilter(&b, f)
	return b.String()
}

// writeFilter prints f without the pipe.
func writeFilter(b *strings.Builder, f LabelFilter) {
	switch f := f.(type) {
	case *StringFilter:
		if f.Type == labels.MatchRegexp && !strings.Contains(f.Value, "`") && printsAsWritten(f.Value) {
			b.WriteString(f.Name + "=~`" + f.Value + "`")
			return
		}
		b.WriteString(matcherString(f.Matcher))
	case *NumberFilter:
		b.WriteString(f.Label + f.Op + formatDecimal(f.Value))
	case *DurationFilter:
		b.WriteString(f.Label + f.Op + formatDuration(f.Value))
	case *BytesFilter:
		b.WriteString(f.Label + f.Op + formatBytes(f.Value))
	case *IPFilter:
		op := "="
		if f.Negate {
			op = "!="
		}
		b.WriteString(f.Label + op + "ip(" + strconv.Quote(f.Pattern) + ")")
	case *BinaryFilter:
		b.WriteString("( ")
		writeFilter(b, f.Left)
		if f.Or {
			b.WriteString(" or ")
		} else {
			b.WriteString(" , ")
		}
		writeFilter(b, f.Right)
		b.WriteString(" )")
	}
}

func formatDuration(d time.Duration) string { return d.String() }

// formatBytes prints n with two digits, as Loki does.
func formatBytes(n uint64) string { return strings.ReplaceAll(humanize.Bytes(n), " ", "") }

// roundBytes is n as it is read from what formatBytes prints. Loki's processes hand queries on as text, so it is
// this that sizes are compared with there.
func roundBytes(n uint64) uint64 {
	if back, err := humanize.ParseBytes(formatBytes(n)); err == nil {
		return back
	}
	return n
}

func (s *LineFormat) String() string { return "| line_format " + strconv.Quote(s.Template) }

func (s *LabelFormat) String() string {
	var b strings.Builder
	b.WriteString("| label_format ")
	for i, f := range s.Formats {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(f.Dst + "=")
		if f.Rename {
			b.WriteString(f.Value)
		} else {
			b.WriteString(strconv.Quote(f.Value))
		}
	}
	return b.String()
}

func (s *DropKeep) String() string {
	var b strings.Builder
	b.WriteString("| drop ")
	if s.Keep {
		b.Reset()
		b.WriteString("| keep ")
	}
	for i, n := range s.Names {
		if i > 0 {
			b.WriteByte(',')
		}
		if n.HasValue {
			b.WriteString(matcherString(n.Matcher))
		} else {
			b.WriteString(n.Name)
		}
	}
	return b.String()
}

func (*Decolorize) String() string { return "| decolorize" }

func (s *Distinct) String() string { return "| distinct " + strings.Join(s.Labels, ",") }
