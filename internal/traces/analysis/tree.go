// Package analysis looks at whole traces: which spans a trace waited for, where its time was spent,
// how two traces differ, and which part of one a reader wants to see.
//
// A trace may be in any state: without a root, with several, with parents that have not arrived,
// with spans that end before they start or outlive their parent. Every function takes all of these;
// none changes the trace.
package analysis

import (
	"cmp"
	"slices"

	"github.com/hune-io/hune/internal/traces"
)

// tree is the spans of a trace by parent. A span whose parent is not there, or is itself, is a
// root; of several spans with one ID the first is the parent of those that name it. Spans that
// are their own ancestors hang under no root: the first of them counts as one.
type tree struct {
	spans    []*traces.Span
	parent   []int // -1 for roots
	children [][]int
	roots    []int // by start
}

func newTree(t *traces.Trace) *tree {
	n := len(t.Spans)
	out := &tree{spans: t.Spans, parent: make([]int, n), children: make([][]int, n)}
	byID := make(map[traces.SpanID]int, n)
	for i := n - 1; i >= 0; i-- {
		byID[t.Spans[i].ID] = i
	}
	for i, s := range t.Spans {
		p, ok := byID[s.ParentID]
		if !ok || p == i || s.ParentID == (traces.SpanID{}) || s.ParentID == s.ID {
			p = -1
		}
		out.parent[i] = p
	}
	out.cutCycles()
	for i, p := range out.parent {
		if p < 0 {
			out.roots = append(out.roots, i)
		} else {
			out.children[p] = append(out.children[p], i)
		}
	}
	byStart := func(a, b int) int { return cmp.Compare(out.spans[a].Start, out.spans[b].Start) }
	slices.SortStableFunc(out.roots, byStart)
	for i := range out.children {
		slices.SortStableFunc(out.children[i], byStart)
	}
	return out
}

// cutCycles makes one span of every cycle of parents a root.
func (t *tree) cutCycles() {
	const under, done = 1, 2 // 0: not looked at
	state := make([]uint8, len(t.parent))
	var path []int
	for i := range t.parent {
		path = path[:0]
		for at := i; at >= 0 && state[at] != done; at = t.parent[at] {
			if state[at] == under {
				t.parent[at] = -1
				break
			}
			state[at] = under
			path = append(path, at)
		}
		for _, at := range path {
			state[at] = done
		}
	}
}

// main returns the root that a reader takes for the trace's: the earliest that has no parent at all,
// else the earliest; -1 in a trace without spans.
func (t *tree) main() int {
	for _, r := range t.roots {
		if t.spans[r].ParentID == (traces.SpanID{}) {
			return r
		}
	}
	if len(t.roots) > 0 {
		return t.roots[0]
	}
	return -1
}

// end is the end of a span, its start if that is later.
func end(s *traces.Span) uint64 { return max(s.Start, s.End) }

// Service is the name of the service that s is of, "" if it names none.
func Service(s *traces.Span) string {
	if s.Resource == nil {
		return ""
	}
	return s.Resource.ServiceName
}
