package traceql

import (
	"context"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/traces"
)

// oracle answers span set expressions word by word from their definition: every pair of spans is
// looked at, relations are found by walking from parent to parent. It shares the evaluation of
// single conditions with the engine, nothing else.
type oracle struct {
	spans []*traces.Span
	match map[*Filter]map[int]bool
}

// parentOf returns the index of the span that i names as its parent, -1 for roots and orphans.
func (o *oracle) parentOf(i int) int {
	id := o.spans[i].ParentID
	if id == (traces.SpanID{}) {
		return -1
	}
	return slices.IndexFunc(o.spans, func(s *traces.Span) bool { return s.ID == id })
}

// placed reports whether a chain of parents leads to a root.
func (o *oracle) placed(i int) bool {
	for o.spans[i].ParentID != (traces.SpanID{}) {
		if i = o.parentOf(i); i < 0 {
			return false
		}
	}
	return true
}

func (o *oracle) below(i, j int) bool { // j is a descendant of i
	for p := o.parentOf(j); p >= 0; p = o.parentOf(p) {
		if p == i {
			return true
		}
	}
	return false
}

// related is the relation of i on the left and j on the right as the documentation words it.
func (o *oracle) related(relation string, i, j int) bool {
	if !o.placed(i) || !o.placed(j) {
		return false
	}
	switch relation {
	case ">":
		return o.parentOf(j) == i
	case "<":
		return o.parentOf(i) == j
	case ">>":
		return o.below(i, j)
	case "<<":
		return o.below(j, i)
	}
	return i != j && o.parentOf(i) == o.parentOf(j)
}

// set returns the spans that are left of s.
func (o *oracle) set(s Stage) map[int]bool {
	if f, ok := s.(*Filter); ok {
		return o.match[f]
	}
	op := s.(*SetOp)
	l, r := o.set(op.L), o.set(op.R)
	out := map[int]bool{}
	switch {
	case op.Op == "&&" && (len(l) == 0 || len(r) == 0):
	case op.Op == "&&" || op.Op == "||":
		for i := range o.spans {
			if l[i] || r[i] {
				out[i] = true
			}
		}
	case op.Op[0] == '!':
		for j := range r {
			if !slices.ContainsFunc(keysOf(l), func(i int) bool { return o.related(op.Op[1:], i, j) }) {
				out[j] = true
			}
		}
	default:
		both := op.Op[0] == '&'
		relation := op.Op
		if both {
			relation = op.Op[1:]
		}
		for i := range l {
			for j := range r {
				if o.related(relation, i, j) {
					out[j] = true
					if both {
						out[i] = true
					}
				}
			}
		}
	}
	return out
}

func keysOf(m map[int]bool) []int {
	var out []int
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func filtersOf(s Stage, visit func(*Filter)) {
	switch s := s.(type) {
	case *Filter:
		visit(s)
	case *SetOp:
		filtersOf(s.L, visit)
		filtersOf(s.R, visit)
	}
}

// genStructure draws an expression of every operator over filters that match often.
func genStructure(t *rapid.T, depth int) string {
	if depth == 0 || rapid.IntRange(0, 2).Draw(t, "leaf") == 0 {
		return rapid.SampledFrom([]string{
			"{ }", `{ name = "x" }`, `{ name = "y" }`, "{ span.a = 1 }", "{ status = error }", "{ kind != server }", "{ false }",
			`{ parent.span.a != nil }`, `{ resource.service.name = "x" }`, "{ nestedSetParent < 0 }",
		}).Draw(t, "filter")
	}
	op := rapid.SampledFrom([]string{
		"&&", "||", ">", "<", ">>", "<<", "~", "!>", "!<", "!>>", "!<<", "!~", "&>", "&<", "&>>", "&<<", "&~",
	}).Draw(t, "op")
	return "(" + genStructure(t, depth-1) + " " + op + " " + genStructure(t, depth-1) + ")"
}

// TestOracle: the engine's set operations, which walk the tree once, find what their definitions say.
func TestOracle(t *testing.T) {
	engine := NewEngine(Options{})
	rapid.Check(t, func(rt *rapid.T) {
		text := genTrace(rt, "a")
		source := loadTraces(t, text)
		spans := source.list[0].Spans
		for range 10 {
			expr := genStructure(rt, 3)
			q, err := Parse(expr)
			if err != nil {
				rt.Fatalf("%s: %v", expr, err)
			}
			o := &oracle{spans: spans, match: map[*Filter]map[int]bool{}}
			filtersOf(q.Pipeline[0], func(f *Filter) { o.match[f] = matched(rt, engine, f.String(), source) })
			want := o.set(q.Pipeline[0])
			if got := matched(rt, engine, expr, source); !reflect.DeepEqual(got, want) {
				rt.Fatalf("%s over\n%s\nfinds %v, by definition %v", expr, text, keysOf(got), keysOf(want))
			}
		}
	})
}

// matched runs a search and returns the positions of the spans that it finds.
func matched(t *rapid.T, engine *Engine, expr string, source *memory) map[int]bool {
	res, err := engine.Run(context.Background(), "t", &traces.Query{Kind: traces.Search, Expr: expr, SpansPerSpanSet: 100}, source)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	out := map[int]bool{}
	for _, f := range res.Found {
		for _, set := range f.SpanSets {
			for _, s := range set.Spans {
				out[slices.IndexFunc(source.list[0].Spans, func(x *traces.Span) bool { return x.ID == s.ID })] = true
			}
		}
	}
	return out
}
