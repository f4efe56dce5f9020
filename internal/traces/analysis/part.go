package analysis

import "github.com/hune-io/hune/internal/traces"

// Around says how much of a trace is kept around the spans that a reader looks for. -1 is all.
type Around struct {
	Ancestors   int // levels above
	Descendants int // levels below
}

// Part returns the part of t that is keep and what Around asks for, in the order of t.
func Part(t *traces.Trace, keep []*traces.Span, a Around) *traces.Trace {
	tr := newTree(t)
	at := make(map[*traces.Span]int, len(tr.spans))
	for i, s := range tr.spans {
		at[s] = i
	}
	kept := make([]bool, len(tr.spans))
	// left is how many more levels a span was entered with: coming again with no more is in vain.
	left := make([]int, len(tr.spans))
	for i := range left {
		left[i] = -2
	}
	for _, s := range keep {
		i := at[s]
		kept[i] = true
		for p, n := tr.parent[i], a.Ancestors; p >= 0 && n != 0; p, n = tr.parent[p], n-1 {
			kept[p] = true
		}
		tr.descend(i, a.Descendants, kept, left)
	}
	out := &traces.Trace{ID: t.ID}
	for i, s := range tr.spans {
		if kept[i] {
			out.Spans = append(out.Spans, s)
		}
	}
	return out
}

// descend keeps levels of descendants of span i, -1 for all.
func (t *tree) descend(i, levels int, kept []bool, left []int) {
	type visit struct{ span, levels int }
	stack := []visit{{i, levels}}
	for len(stack) > 0 {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if left[v.span] == -1 || left[v.span] >= v.levels && v.levels >= 0 {
			continue
		}
		left[v.span] = v.levels
		if v.levels == 0 {
			continue
		}
		for _, k := range t.children[v.span] {
			kept[k] = true
			next := v.levels
			if next > 0 {
				next--
			}
			stack = append(stack, visit{k, next})
		}
	}
}
