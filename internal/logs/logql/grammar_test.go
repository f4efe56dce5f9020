package logql

import (
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
)

// grammar draws queries of the whole language. Names and texts come from its generators.
type grammar struct {
	t        *rapid.T
	name     *rapid.Generator[string]
	text     *rapid.Generator[string]
	selector []logs.Matcher // what every selector begins with
	distinct bool           // the stage may be drawn
}

// anyGrammar draws names and texts of every kind.
func anyGrammar(t *rapid.T) *grammar {
	return &grammar{t: t, name: genName, text: rapid.String().Filter(func(s string) bool { return !strings.Contains(s, "�") }),
		selector: []logs.Matcher{{Name: "app", Value: "x"}}, distinct: true}
}

// dataGrammar draws names and texts that the rows of dice have.
func dataGrammar(t *rapid.T) *grammar {
	return &grammar{t: t, name: rapid.SampledFrom(askedLabels), text: rapid.SampledFrom(askedTexts),
		selector: []logs.Matcher{{Type: labels.MatchRegexp, Name: "app", Value: ".+"}}}
}

func (g *grammar) names(least int) []string {
	return rapid.SliceOfNDistinct(g.name, least, 3, rapid.ID[string]).Draw(g.t, "names")
}

func (g *grammar) one(n int) int         { return rapid.IntRange(0, n-1).Draw(g.t, "choice") }
func (g *grammar) maybe() bool           { return rapid.Bool().Draw(g.t, "maybe") }
func (g *grammar) of(s ...string) string { return rapid.SampledFrom(s).Draw(g.t, "of") }
func (g *grammar) aName() string         { return g.name.Draw(g.t, "name") }
func (g *grammar) aText() string         { return g.text.Draw(g.t, "text") }
func (g *grammar) window() time.Duration { return time.Duration(1+g.one(100_000)) * time.Millisecond }
func (g *grammar) comparison() string    { return g.of("==", "!=", ">", ">=", "<", "<=") }
func (g *grammar) number() float64       { return rapid.Float64Range(-1e12, 1e12).Draw(g.t, "number") }
func (g *grammar) regexp() string {
	return g.of("", ".*", ".+", "a|b", "err.*", "5..", "[0-9]+", "(?i)x", "a`b", "warn|warning")
}
func (g *grammar) matchType() labels.MatchType {
	return rapid.SampledFrom([]labels.MatchType{labels.MatchEqual, labels.MatchNotEqual, labels.MatchRegexp, labels.MatchNotRegexp}).Draw(g.t, "match")
}

func (g *grammar) matcher() logs.Matcher {
	m := logs.Matcher{Type: g.matchType(), Name: g.aName()}
	if m.Type == labels.MatchRegexp || m.Type == labels.MatchNotRegexp {
		m.Value = g.regexp()
	} else {
		m.Value = g.aText()
	}
	return m
}

func (g *grammar) query() *LogQuery {
	q := &LogQuery{Matchers: slices.Clone(g.selector)}
	if g.maybe() {
		q.Matchers = append(q.Matchers, g.matcher())
	}
	for range g.one(4) {
		st := g.stage()
		if n := len(q.Stages); n > 0 && readsOn(q.Stages[n-1], st) {
			continue
		}
		q.Stages = append(q.Stages, st)
	}
	return q
}

// readsOn reports whether st would be read as a part of the stage before it: drop a != "x" is one stage.
func readsOn(before, st Stage) bool {
	names, isDrop := before.(*DropKeep)
	filter, isFilter := st.(*LineFilter)
	return isDrop && isFilter && !names.Names[len(names.Names)-1].HasValue && (filter.Match == LineNotContains || filter.Match == LineNotRegexp)
}

func (g *grammar) stage() Stage {
	switch g.one(9) {
	case 0:
		return g.lineFilter()
	case 1, 2:
		return g.parser()
	case 3:
		return &LineFormat{Template: g.of("", "{{.a}}", "{{.a}} {{__line__ | upper}}", "{{ if .level }}x{{ end }}", "`\"\\")}
	case 4:
		return g.labelFormat()
	case 5:
		return g.dropKeep()
	case 6:
		return &Decolorize{}
	case 7:
		if g.distinct {
			return &Distinct{Labels: g.names(1)}
		}
	}
	return g.labelFilter(0)
}

func (g *grammar) lineFilter() Stage {
	f := &LineFilter{Match: LineMatch(g.one(6))}
	for range 1 + g.one(3) {
		term := LineTerm{Text: g.aText()}
		switch f.Match {
		case LineContains, LineNotContains:
			if term.IP = g.one(4) == 0; term.IP {
				term.Text = g.of("10.0.0.0/8", "10.0.0.1-10.0.0.9", "::1", "fe80::/10")
			}
		case LineRegexp, LineNotRegexp:
			term.Text = g.regexp()
		default:
			term.Text = g.of("<_>a<_>", "a", "<_>", "", "<_> \"x\"")
		}
		f.Terms = append(f.Terms, term)
	}
	return f
}

func (g *grammar) parser() Stage {
	s := &Parser{Kind: rapid.SampledFrom([]ParserKind{ParseJSON, ParseLogfmt, ParseRegexp, ParsePattern, ParseUnpack}).Draw(g.t, "parser")}
	switch s.Kind {
	case ParseRegexp:
		s.Text = g.of(`(?P<a>.*)`, `a=(?P<a>\S+) (?P<b>x|y)`, `(?P<level>"[a-z]+")`)
	case ParsePattern:
		s.Text = g.of("<a>", "<a> <_>", `<_>"<a>":<b>`)
	case ParseJSON, ParseLogfmt:
		for _, name := range g.names(0) {
			s.Exprs = append(s.Exprs, Extraction{name, g.of("a", "lat", "status", "level")})
		}
	}
	if s.Kind == ParseLogfmt {
		s.Strict, s.KeepEmpty = g.maybe(), g.maybe()
	}
	return s
}

func (g *grammar) labelFormat() Stage {
	s := &LabelFormat{}
	for _, name := range g.names(1) {
		if g.maybe() {
			s.Formats = append(s.Formats, Format{Dst: name, Value: g.aName(), Rename: true})
		} else {
			s.Formats = append(s.Formats, Format{Dst: name, Value: g.of("", "{{.a}}", "{{.lat}}-{{.level | lower}}")})
		}
	}
	return s
}

func (g *grammar) dropKeep() Stage {
	s := &DropKeep{Keep: g.maybe()}
	for range 1 + g.one(3) {
		if g.maybe() {
			s.Names = append(s.Names, NamedMatcher{Matcher: logs.Matcher{Name: g.aName()}})
		} else {
			s.Names = append(s.Names, NamedMatcher{Matcher: g.matcher(), HasValue: true})
		}
	}
	return s
}

func (g *grammar) labelFilter(depth int) LabelFilter {
	switch g.one(8) {
	case 0, 1:
		return &StringFilter{g.matcher()}
	case 2:
		return &NumberFilter{g.aName(), g.comparison(), g.number()}
	case 3:
		return &DurationFilter{g.aName(), g.comparison(), g.window()}
	case 4:
		return &BytesFilter{g.aName(), g.comparison(), rapid.Uint64Range(0, 1<<50).Draw(g.t, "bytes")}
	case 5:
		return &IPFilter{Label: g.aName(), Negate: g.maybe(), Pattern: g.of("10.0.0.0/8", "::1")}
	}
	if depth > 2 {
		return &StringFilter{g.matcher()}
	}
	return &BinaryFilter{Or: g.maybe(), Left: g.labelFilter(depth + 1), Right: g.labelFilter(depth + 1)}
}

func (g *grammar) grouping() *Grouping {
	switch g.one(3) {
	case 0:
		return &Grouping{Labels: g.names(0)}
	case 1:
		return &Grouping{Without: true, Labels: g.names(0)}
	}
	return nil
}

func (g *grammar) logRange() LogRange {
	r := LogRange{Query: g.query(), Interval: g.window()}
	if g.one(4) == 0 {
		r.Offset = g.window()
		if g.maybe() {
			r.Offset = -r.Offset
		}
	}
	return r
}

func (g *grammar) rangeAgg() Expr {
	e := &RangeAgg{Range: g.logRange()}
	if g.maybe() {
		e.Op = g.of(opsWithoutUnwrap...)
		return e
	}
	e.Op = g.of(opsWithUnwrap...)
	u := &Unwrap{Label: g.aName(), Conversion: g.of("", "", "bytes", "duration", "duration_seconds")}
	for range g.one(3) {
		u.Filters = append(u.Filters, g.labelFilter(1))
	}
	e.Range.Unwrap = u
	if e.Op == OpQuantile {
		q := rapid.Float64Range(0, 1.5).Draw(g.t, "quantile")
		e.Param = &q
	}
	if slices.Contains(opsWithGrouping, e.Op) {
		e.Grouping = g.grouping()
	}
	return e
}

// metric draws an expression of samples; scalar says that it may be a number.
func (g *grammar) metric(depth int, scalar bool) Expr {
	if depth > 3 {
		return g.rangeAgg()
	}
	switch g.one(8) {
	case 0, 1:
		return g.vectorAgg(depth)
	case 2, 3:
		return g.binOp(depth)
	case 4:
		return &LabelReplace{Expr: g.metric(depth+1, false), Dst: g.aName(), Replacement: g.of("", "$1", "x-${1}"), Src: g.aName(), Regex: g.of("", "(.*)", "(a|b)")}
	case 5:
		if scalar {
			return &Literal{g.number()}
		}
		return &Vector{rapid.Float64Range(0, 1e9).Draw(g.t, "vector")}
	}
	return g.rangeAgg()
}

func (g *grammar) vectorAgg(depth int) Expr {
	e := &VectorAgg{Op: g.of(vectorOps...), Expr: g.metric(depth+1, false)}
	switch {
	case e.Op == AggApproxTopK:
		e.Param = 1 + g.one(5)
	case takesParam(e.Op):
		e.Param, e.Grouping = 1+g.one(5), g.grouping()
	case e.Op != AggSort && e.Op != AggSortDesc:
		e.Grouping = g.grouping()
	}
	return e
}

func (g *grammar) binOp(depth int) Expr {
	e := &BinOp{Op: g.of(binaryWords...)}
	e.Left = g.metric(depth+1, !isSetOp(e.Op))
	_, number := e.Left.(*Literal)
	e.Right = g.metric(depth+1, !isSetOp(e.Op) && !number)
	e.Bool = isComparison(e.Op) && g.maybe()
	if g.maybe() {
		m := &Matching{On: g.maybe(), Labels: g.names(0)}
		if !isSetOp(e.Op) {
			m.Card = Cardinality(g.one(3))
		}
		if m.Card != OneToOne && g.maybe() {
			m.Include = g.names(1)
		}
		e.Matching = m
	}
	return e
}

func (g *grammar) expr() Expr {
	switch g.one(8) {
	case 0, 1, 2:
		return g.query()
	case 3:
		e := &Variants{Of: g.logRange()}
		for range 1 + g.one(2) {
			e.Variants = append(e.Variants, g.rangeAgg())
		}
		return e
	}
	return g.metric(0, true)
}

// TestPrintParse: parsing what a tree prints, in one line and in several, gives a tree that prints the same.
func TestPrintParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyGrammar(t).expr()
		text := e.String()
		for _, form := range []string{text, Pretty(e), strings.ReplaceAll(text, "\n", " ") + " # end"} {
			again, err := Parse(form)
			if err != nil {
				t.Fatalf("parse %s: %v", form, err)
			}
			if again.String() != text {
				t.Fatalf("%s\nparses to\n%s\nnot\n%s", form, again, text)
			}
		}
	})
}

// TestDraftOfWhole: a query without faults is read as Parse does, and none of its beginnings is too much.
func TestDraftOfWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := anyGrammar(t).expr().String()
		cut := rapid.IntRange(0, len(text)).Draw(t, "cursor")
		d := ParseTolerant(text, cut)
		require.Empty(t, d.Faults, text)
		require.Equal(t, text, d.Expr.String())
		ParseTolerant(text[:cut], cut)
	})
}

// TestGrammarOnColumns runs queries of the whole language on stored rows: columns answer what the stages do, and no
// query is the engine's fault.
func TestGrammarOnColumns(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		rows := dice{rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))}.rows(true)
		at, err := os.MkdirTemp(dir, "")
		require.NoError(t, err)
		defer os.RemoveAll(at)
		src := sourceOf(partsOf(t, at, rows)...)
		for range 8 {
			q := &logs.Query{Kind: logs.Range, End: 100e9, Step: 10e9, Limit: 50, Direction: logs.Forward, Expr: dataGrammar(t).expr().String()}
			if rapid.Bool().Draw(t, "instant") {
				q.Kind, q.Start = logs.Instant, q.End
			}
			compareAnswers(t, q, src, rows)
			if _, err := NewEngine(Options{}).Run(t.Context(), "t", q, src); err != nil {
				requireExplained(t, q.Expr, err)
			}
		}
	})
}

// requireExplained: an error is the user's, or one that Loki answers as its own.
func requireExplained(t *rapid.T, query string, err error) {
	if fault.ClassOf(err) != fault.Internal {
		return
	}
	for _, known := range []string{"matching", "multiple matches", "count min sketches"} {
		if strings.Contains(err.Error(), known) {
			return
		}
	}
	t.Fatalf("%s: %v", query, err)
}
