package logql

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/logs"
)

// Expr is a query: a *LogQuery, or an expression that yields samples. String prints it in one line,
// as Parse reads it.
type Expr interface {
	String() string
	isExpr()
}

// LogQuery selects streams and runs their lines through stages: {app="a"} |= "x" | json.
type LogQuery struct {
	Matchers []logs.Matcher
	Stages   []Stage
}

// Range operations.
const (
	OpRate        = "rate"
	OpRateCounter = "rate_counter"
	OpCount       = "count_over_time"
	OpBytes       = "bytes_over_time"
	OpBytesRate   = "bytes_rate"
	OpAvg         = "avg_over_time"
	OpSum         = "sum_over_time"
	OpMin         = "min_over_time"
	OpMax         = "max_over_time"
	OpStdvar      = "stdvar_over_time"
	OpStddev      = "stddev_over_time"
	OpQuantile    = "quantile_over_time"
	OpFirst       = "first_over_time"
	OpLast        = "last_over_time"
	OpAbsent      = "absent_over_time"
)

var rangeOps = []string{
	OpRate, OpRateCounter, OpCount, OpBytes, OpBytesRate, OpAvg, OpSum, OpMin, OpMax, OpStdvar, OpStddev,
	OpQuantile, OpFirst, OpLast, OpAbsent,
}

// Vector operations.
const (
	AggSum        = "sum"
	AggAvg        = "avg"
	AggMin        = "min"
	AggMax        = "max"
	AggCount      = "count"
	AggStddev     = "stddev"
	AggStdvar     = "stdvar"
	AggTopK       = "topk"
	AggBottomK    = "bottomk"
	AggApproxTopK = "approx_topk"
	AggSort       = "sort"
	AggSortDesc   = "sort_desc"
)

var vectorOps = []string{
	AggSum, AggAvg, AggMin, AggMax, AggCount, AggStddev, AggStdvar, AggTopK, AggBottomK, AggApproxTopK, AggSort, AggSortDesc,
}

// Grouping is a by or without clause. A nil *Grouping is no clause.
type Grouping struct {
	Without bool
	Labels  []string
}

// RangeAgg folds the lines, or unwrapped values, of a time window into a sample for each series.
type RangeAgg struct {
	Op       string
	Param    *float64 // quantile_over_time
	Range    LogRange
	Grouping *Grouping
}

// LogRange is a log query with a window before each evaluation time.
type LogRange struct {
	Query    *LogQuery
	Unwrap   *Unwrap
	Interval time.Duration
	Offset   time.Duration
}

// Unwrap takes sample values from a label. Conversion is "", bytes, duration or duration_seconds.
// Filters run after the conversion.
type Unwrap struct {
	Label      string
	Conversion string
	Filters    []LabelFilter
}

// VectorAgg folds the series of each instant. Param is 0 where the operation takes none.
type VectorAgg struct {
	Op       string
	Param    int
	Expr     Expr
	Grouping *Grouping
}

// BinOp joins two sides. Op is one of or and unless == != > >= < <= + - * / % ^.
type BinOp struct {
	Op       string
	Bool     bool
	Matching *Matching // nil: all labels
	Left     Expr
	Right    Expr
}

// Cardinality says how many series of each side may match.
type Cardinality uint8

// The cardinalities.
const (
	OneToOne Cardinality = iota
	ManyToOne
	OneToMany
)

// Matching is an on or ignoring clause with its group_left or group_right.
type Matching struct {
	On      bool
	Labels  []string
	Card    Cardinality
	Include []string
}

// Literal is a number, Vector a number as a vector without labels.
type (
	Literal struct{ Value float64 }
	Vector  struct{ Value float64 }
)

// LabelReplace is label_replace(expr, dst, replacement, src, regex).
type LabelReplace struct {
	Expr                         Expr
	Dst, Replacement, Src, Regex string
}

// Variants evaluates several sample expressions over one pass of a range.
type Variants struct {
	Of       LogRange
	Variants []Expr
}

func (*LogQuery) isExpr()     {}
func (*RangeAgg) isExpr()     {}
func (*VectorAgg) isExpr()    {}
func (*BinOp) isExpr()        {}
func (*Literal) isExpr()      {}
func (*Vector) isExpr()       {}
func (*LabelReplace) isExpr() {}
func (*Variants) isExpr()     {}

// Stage is a step of a pipeline. String prints it without a leading space.
type Stage interface {
	String() string
	isStage()
}

// LineMatch is what a line filter does with its texts.
type LineMatch uint8

// The line matches, in the order of their operators |= != |~ !~ |> !>.
const (
	LineContains LineMatch = iota
	LineNotContains
	LineRegexp
	LineNotRegexp
	LinePattern
	LineNotPattern
)

// Negative reports whether m keeps the lines that don't match.
func (m LineMatch) Negative() bool { return m&1 == 1 }

// LineFilter is |= "a" or "b" and its kin. A positive filter keeps lines that match any term, a
// negative one lines that match none.
type LineFilter struct {
	Match LineMatch
	Terms []LineTerm
}

// LineTerm is a text of a line filter; IP makes it an address, a range or a network.
type LineTerm struct {
	Text string
	IP   bool
}

// ParserKind names a parser stage.
type ParserKind string

// The parsers.
const (
	ParseJSON    ParserKind = "json"
	ParseLogfmt  ParserKind = "logfmt"
	ParseRegexp  ParserKind = "regexp"
	ParsePattern ParserKind = "pattern"
	ParseUnpack  ParserKind = "unpack"

	parseAuto ParserKind = "auto" // WithAutoFields puts it in; no text is read as it
)

// Parser takes labels out of lines. Text belongs to regexp and pattern, Exprs to json and logfmt,
// Strict and KeepEmpty to logfmt.
type Parser struct {
	Kind              ParserKind
	Text              string
	Exprs             []Extraction
	Strict, KeepEmpty bool
}

// Extraction is a label and where its value is found.
type Extraction struct{ Label, Path string }

// LabelFilter is a stage that keeps entries by their labels.
type LabelFilter interface {
	Stage
	isLabelFilter()
}

// The label filters: by string, number, duration, bytes and address, and two of them joined.
type (
	StringFilter struct{ logs.Matcher }
	// NumberFilter compares as a float. Op is one of == != > >= < <=, as in the two below.
	NumberFilter struct {
		Label, Op string
		Value     float64
	}
	DurationFilter struct {
		Label, Op string
		Value     time.Duration
	}
	BytesFilter struct {
		Label, Op string
		Value     uint64
	}
	IPFilter struct {
		Label   string
		Negate  bool
		Pattern string
	}
	BinaryFilter struct {
		Or          bool
		Left, Right LabelFilter
	}
)

// LineFormat replaces the line by what a template prints.
type LineFormat struct{ Template string }

// LabelFormat renames and sets labels.
type LabelFormat struct{ Formats []Format }

// Format is one assignment of label_format: Dst=Value, where Value is a label to rename, or a template.
type Format struct {
	Dst, Value string
	Rename     bool
}

// DropKeep removes labels (or all others, with Keep), by name or by matcher.
type DropKeep struct {
	Keep  bool
	Names []NamedMatcher
}

// NamedMatcher is a label name or, with Value meant, a matcher.
type NamedMatcher struct {
	logs.Matcher
	HasValue bool
}

// Decolorize removes ANSI escapes from lines.
type Decolorize struct{}

// Distinct keeps the first entry of each combination of values. It is Hune's own.
type Distinct struct{ Labels []string }

func (*LineFilter) isStage()     {}
func (*Parser) isStage()         {}
func (*StringFilter) isStage()   {}
func (*NumberFilter) isStage()   {}
func (*DurationFilter) isStage() {}
func (*BytesFilter) isStage()    {}
func (*IPFilter) isStage()       {}
func (*BinaryFilter) isStage()   {}
func (*LineFormat) isStage()     {}
func (*LabelFormat) isStage()    {}
func (*DropKeep) isStage()       {}
func (*Decolorize) isStage()     {}
func (*Distinct) isStage()       {}

func (*StringFilter) isLabelFilter()   {}
func (*NumberFilter) isLabelFilter()   {}
func (*DurationFilter) isLabelFilter() {}
func (*BytesFilter) isLabelFilter()    {}
func (*IPFilter) isLabelFilter()       {}
func (*BinaryFilter) isLabelFilter()   {}

// emptyCompatible reports whether m matches the empty string.
func emptyCompatible(m logs.Matcher) bool {
	switch m.Type {
	case labels.MatchEqual:
		return m.Value == ""
	case labels.MatchNotEqual:
		return m.Value != ""
	}
	lm, err := labels.NewMatcher(m.Type, m.Name, m.Value)
	return err == nil && lm.Matches("")
}
