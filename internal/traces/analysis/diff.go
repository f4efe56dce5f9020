package analysis

import (
	"cmp"
	"slices"

	"github.com/hune-io/hune/internal/traces"
)

// SpanChange is one row of the difference of two traces: a span of both, or of one of them.
type SpanChange struct {
	Depth         int
	Base, Compare *traces.Span // nil: not there
	Attributes    []AttributeChange
}

// AttributeChange is an attribute whose value differs. Scope is "span" or "resource".
type AttributeChange struct {
	Scope, Key    string
	Base, Compare *traces.Attribute // nil: not there
}

// Diff lays two traces side by side, as a tree in depth-first order. Spans are the same if their
// parents are and they have the same service, name and kind; of several such siblings the first is
// compared with the first, the second with the second. IDs and times are no part of it: two runs of
// one operation differ in them always.
func Diff(base, compare *traces.Trace) []SpanChange {
	b, c := newTree(base), newTree(compare)
	var out []SpanChange
	type pair struct{ base, compare, depth int }
	var stack []pair
	push := func(left, right []int, depth int) {
		pairs := match(b, c, left, right)
		for i := len(pairs) - 1; i >= 0; i-- {
			stack = append(stack, pair{pairs[i][0], pairs[i][1], depth})
		}
	}
	push(b.roots, c.roots, 0)
	for len(stack) > 0 {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		row := SpanChange{Depth: p.depth}
		var left, right []int
		if p.base >= 0 {
			row.Base, left = b.spans[p.base], b.children[p.base]
		}
		if p.compare >= 0 {
			row.Compare, right = c.spans[p.compare], c.children[p.compare]
		}
		if row.Base != nil && row.Compare != nil {
			row.Attributes = attributeChanges(row.Base, row.Compare)
		}
		out = append(out, row)
		push(left, right, p.depth+1)
	}
	return out
}

type operation struct {
	service, name string
	kind          traces.Kind
}

func operationOf(s *traces.Span) operation { return operation{Service(s), s.Name, s.Kind} }

// match pairs siblings of one operation in their order; -1 stands for a missing one. The pairs are
// in the order of base, what is only in compare stands behind what it follows there.
func match(b, c *tree, left, right []int) [][2]int {
	waiting := map[operation][]int{}
	for _, i := range right {
		op := operationOf(c.spans[i])
		waiting[op] = append(waiting[op], i)
	}
	place := map[int]int{} // of compare's spans: the row
	var rows [][2]int
	for _, i := range left {
		op := operationOf(b.spans[i])
		other := -1
		if w := waiting[op]; len(w) > 0 {
			other, waiting[op] = w[0], w[1:]
			place[other] = len(rows)
		}
		rows = append(rows, [2]int{i, other})
	}
	// Insert what is new behind its predecessor.
	after := make([][]int, len(rows)+1)
	last := 0 // rows before this are passed
	for _, i := range right {
		if at, ok := place[i]; ok {
			last = at + 1
			continue
		}
		after[last] = append(after[last], i)
	}
	var out [][2]int
	for i := range after {
		for _, x := range after[i] {
			out = append(out, [2]int{-1, x})
		}
		if i < len(rows) {
			out = append(out, rows[i])
		}
	}
	return out
}

func attributeChanges(a, b *traces.Span) []AttributeChange {
	out := compareAttributes("span", a.Attributes, b.Attributes)
	if a.Resource != b.Resource && a.Resource != nil && b.Resource != nil {
		out = append(out, compareAttributes("resource", a.Resource.Attributes, b.Resource.Attributes)...)
	}
	return out
}

func compareAttributes(scope string, a, b []traces.Attribute) []AttributeChange {
	by := map[string]*AttributeChange{}
	for i := range a {
		if by[a[i].Key] == nil {
			by[a[i].Key] = &AttributeChange{Scope: scope, Key: a[i].Key, Base: &a[i]}
		}
	}
	for i := range b {
		c := by[b[i].Key]
		switch {
		case c == nil:
			by[b[i].Key] = &AttributeChange{Scope: scope, Key: b[i].Key, Compare: &b[i]}
		case c.Compare == nil:
			c.Compare = &b[i]
		}
	}
	var out []AttributeChange
	for _, c := range by {
		if c.Base == nil || c.Compare == nil || !sameValue(c.Base, c.Compare) {
			out = append(out, *c)
		}
	}
	slices.SortFunc(out, func(x, y AttributeChange) int { return cmp.Compare(x.Key, y.Key) })
	return out
}

func sameValue(a, b *traces.Attribute) bool {
	if a.Type != b.Type || a.Str != b.Str || a.Int != b.Int || string(a.Raw) != string(b.Raw) || len(a.Array) != len(b.Array) {
		return false
	}
	if a.Float != b.Float && (a.Float == a.Float || b.Float == b.Float) {
		return false
	}
	for i := range a.Array {
		if !sameValue(&a.Array[i], &b.Array[i]) {
			return false
		}
	}
	return true
}
