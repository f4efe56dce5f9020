package logql

import (
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/prometheus/common/model"

	"github.com/hune-io/hune/internal/logs"
)

func (e *LogQuery) String() string {
	var b strings.Builder
	writeMatchers(&b, e.Matchers)
	for _, s := range e.Stages {
		b.WriteByte(' ')
		b.WriteString(s.String())
	}
	return b.String()
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

func (g *Grouping) String() string {
	if g == nil {
		return ""
	}
	word := "by"
	if g.Without {
		word = "without"
	}
	return " " + word + " (" + strings.Join(g.Labels, ",") + ")"
}

func (e *RangeAgg) String() string {
	return e.Op + "(" + e.param() + e.Range.String() + ")" + e.Grouping.String()
}

func (e *RangeAgg) param() string {
	if e.Param == nil {
		return ""
	}
	return formatFloat(*e.Param) + ","
}

func (r LogRange) String() string {
	s := r.Query.String()
	if r.Unwrap != nil {
		s += " " + r.Unwrap.String()
	}
	return s + r.suffix()
}

// suffix is the window and the offset.
func (r LogRange) suffix() string {
	s := "[" + formatInterval(r.Interval) + "]"
	if r.Offset != 0 {
		s += " offset " + r.Offset.String()
	}
	return s
}

func (u *Unwrap) String() string {
	s := "| unwrap " + u.Label
	if u.Conversion != "" {
		s = "| unwrap " + u.Conversion + "(" + u.Label + ")"
	}
	for _, f := range u.Filters {
		s += " " + f.String()
	}
	return s
}

func formatInterval(d time.Duration) string {
	if d%time.Millisecond != 0 {
		return d.String()
	}
	return model.Duration(d).String()
}

func formatFloat(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

func (e *VectorAgg) String() string {
	return e.Op + e.Grouping.String() + "(" + e.param() + e.Expr.String() + ")"
}

func (e *VectorAgg) param() string {
	if !takesParam(e.Op) {
		return ""
	}
	return strconv.Itoa(e.Param) + ","
}

func (e *BinOp) String() string {
	return "(" + e.Left.String() + " " + e.operator() + " " + e.Right.String() + ")"
}

// operator prints the operator with its modifiers.
func (e *BinOp) operator() string {
	s := e.Op
	if e.Bool {
		s += " bool"
	}
	m := e.Matching
	if m == nil {
		return s
	}
	word := " ignoring ("
	if m.On {
		word = " on ("
	}
	s += word + strings.Join(m.Labels, ",") + ")"
	switch m.Card {
	case ManyToOne:
		s += " group_left (" + strings.Join(m.Include, ",") + ")"
	case OneToMany:
		s += " group_right (" + strings.Join(m.Include, ",") + ")"
	}
	return s
}

func (e *Literal) String() string { return formatFloat(e.Value) }
func (e *Vector) String() string  { return "vector(" + formatFloat(e.Value) + ")" }

func (e *LabelReplace) String() string { return "label_replace(" + e.Expr.String() + e.args() + ")" }

func (e *LabelReplace) args() string {
	s := ""
	for _, a := range [...]string{e.Dst, e.Replacement, e.Src, e.Regex} {
		s += "," + strconv.Quote(a)
	}
	return s
}

func (e *Variants) String() string {
	var b strings.Builder
	b.WriteString("variants(")
	for i, v := range e.Variants {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(v.String())
	}
	b.WriteString(") of (" + e.Of.String() + ")")
	return b.String()
}

var lineOperators = [...]string{"|=", "!=", "|~", "!~", "|>", "!>"}

// String returns the operator.
func (m LineMatch) String() string { return lineOperators[m] }

func (s *LineFilter) String() string {
	var b strings.Builder
	b.WriteString(s.Match.String())
	for i, t := range s.Terms {
		if i > 0 {
			b.WriteString(" or")
		}
		b.WriteByte(' ')
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

func (f *StringFilter) String() string   { return "| " + filterString(f) }
func (f *NumberFilter) String() string   { return "| " + filterString(f) }
func (f *DurationFilter) String() string { return "| " + filterString(f) }
func (f *BytesFilter) String() string    { return "| " + filterString(f) }
func (f *IPFilter) String() string       { return "| " + filterString(f) }
func (f *BinaryFilter) String() string   { return "| " + filterString(f) }

// filterString prints f without the pipe.
func filterString(f LabelFilter) string {
	switch f := f.(type) {
	case *StringFilter:
		return matcherString(f.Matcher)
	case *NumberFilter:
		return f.Label + f.Op + formatFloat(f.Value)
	case *DurationFilter:
		return f.Label + f.Op + formatDuration(f.Value)
	case *BytesFilter:
		return f.Label + f.Op + formatBytes(f.Value)
	case *IPFilter:
		op := "="
		if f.Negate {
			op = "!="
		}
		return f.Label + op + "ip(" + strconv.Quote(f.Pattern) + ")"
	case *BinaryFilter:
		op := " , "
		if f.Or {
			op = " or "
		}
		return "( " + filterString(f.Left) + op + filterString(f.Right) + " )"
	}
	panic("unknown label filter")
}

func formatDuration(d time.Duration) string { return d.String() }

// formatBytes prints the rounded form where it means the same number, as Loki prints it always.
func formatBytes(n uint64) string {
	s := strings.ReplaceAll(humanize.Bytes(n), " ", "")
	if back, err := humanize.ParseBytes(s); err == nil && back == n {
		return s
	}
	return strconv.FormatUint(n, 10) + "B"
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
