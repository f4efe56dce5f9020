package traceql

import (
	"sort"

	"github.com/hune-io/hune/internal/traces"
)

// RootNotReceived stands for the root's service in answers about a trace without a root, or whose
// root names no service.
const RootNotReceived = "<root span not yet received>"

// traceView is one trace with what the language can ask about it as a whole. The tree is built on
// first use; most queries don't need it.
type traceView struct {
	trace       *traces.Trace
	spans       []*traces.Span // in order of arrival
	start, end  uint64         // earliest start and latest end
	root        *traces.Span   // the last root that arrived, nil without one
	tree        *tree
	idText      string // lower-case hex without leading zeros
	ordinal     []int  // positions 0…n-1, the first span set
	rootService string
	rootName    string
}

// reset makes v the view of another trace. What was handed out before is no longer valid.
func (v *traceView) reset(t *traces.Trace) {
	*v = traceView{trace: t, spans: t.Spans, ordinal: v.ordinal[:0]}
	if x := t.Extract; x != nil {
		v.start, v.end, v.rootName, v.rootService = x.Start, x.End, x.RootName, x.RootService
		return
	}
	if !arrived(v.spans) {
		v.spans = append([]*traces.Span(nil), t.Spans...)
		sort.SliceStable(v.spans, func(i, j int) bool { return v.spans[i].Order < v.spans[j].Order })
	}
	for i, s := range v.spans {
		v.ordinal = append(v.ordinal, i)
		if i == 0 || s.Start < v.start {
			v.start = s.Start
		}
		v.end = max(v.end, s.End, s.Start)
		if s.ParentID == (traces.SpanID{}) {
			v.root = s
		}
	}
	if v.root != nil {
		v.rootName, v.rootService = v.root.Name, serviceName(v.root)
	}
}

// arrived reports whether spans are in order of arrival.
func arrived(spans []*traces.Span) bool {
	for i := 1; i < len(spans); i++ {
		if spans[i].Order < spans[i-1].Order {
			return false
		}
	}
	return true
}

func (v *traceView) duration() uint64 { return v.end - v.start }

// overlaps reports whether the trace was alive in [start, end]; two zeros mean any time.
func (v *traceView) overlaps(start, end uint64) bool {
	return start == 0 && end == 0 || v.start <= end && v.end >= start
}

func (v *traceView) getTree() *tree {
	if v.tree == nil {
		v.tree = buildTree(v.spans)
	}
	return v.tree
}

// tree numbers the spans of a trace as a nested set. A span has a place if a chain of parents leads
// from it to a root. Spans without a place have zeros everywhere and no relation to others. Of
// several spans with one ID the first to arrive has the place; the others have its relations to
// parent, ancestors and siblings, but no numbers and no children.
type tree struct {
	left, right []int32
	parent      []int32 // index of the parent, noParent for roots, noPlace
	up          []int32 // index of the span that is named as parent, also without a place; -1 if it isn't there
	children    []int32 // number of spans right below, also of spans without a place
	order       []int32 // spans with a place, parents before children
}

const (
	noParent = -1
	noPlace  = -2
)

func buildTree(spans []*traces.Span) *tree {
	n := len(spans)
	t := &tree{left: make([]int32, n), right: make([]int32, n), parent: make([]int32, n), up: make([]int32, n), children: make([]int32, n), order: make([]int32, 0, n)}
	byID := make(map[traces.SpanID]int32, n)
	for i, s := range spans {
		if _, ok := byID[s.ID]; !ok {
			byID[s.ID] = int32(i)
		}
	}
	// Children as linked lists in order of arrival: first child, next sibling.
	first, next, last := make([]int32, n), make([]int32, n), make([]int32, n)
	for i := range first {
		first[i], next[i], last[i], t.parent[i] = -1, -1, -1, noPlace
	}
	var roots, twins []int32
	for i, s := range spans {
		if p, ok := byID[s.ParentID]; ok && s.ParentID != (traces.SpanID{}) && s.ParentID != s.ID {
			t.up[i] = p
		} else {
			t.up[i] = -1
		}
		if byID[s.ID] != int32(i) {
			twins = append(twins, int32(i))
			continue
		}
		if s.ParentID == (traces.SpanID{}) {
			roots = append(roots, int32(i))
			continue
		}
		p, ok := byID[s.ParentID]
		if !ok || int(p) == i {
			continue
		}
		t.children[p]++
		if last[p] < 0 {
			first[p] = int32(i)
		} else {
			next[last[p]] = int32(i)
		}
		last[p] = int32(i)
	}
	t.number(roots, first, next)
	for _, i := range twins {
		p, ok := byID[spans[i].ParentID]
		switch {
		case spans[i].ParentID == (traces.SpanID{}):
			t.parent[i] = noParent
		case ok && t.parent[p] != noPlace && spans[i].ParentID != spans[i].ID: // nobody is its own parent
			t.parent[i] = p
		default:
			continue
		}
		t.order = append(t.order, i)
	}
	return t
}

// number walks depth first without recursion: a trace may be one chain of a million spans. Spans
// on a cycle of parents are never reached and keep no place.
func (t *tree) number(roots, first, next []int32) {
	count := int32(0)
	var stack []int32
	enter := func(i, parent int32) {
		count++
		t.left[i], t.parent[i] = count, parent
		t.order = append(t.order, i)
		stack = append(stack, i)
	}
	for _, r := range roots {
		enter(r, noParent)
		for len(stack) > 0 {
			top := stack[len(stack)-1]
			if child := first[top]; child >= 0 {
				first[top] = next[child]
				enter(child, top)
				continue
			}
			count++
			t.right[top] = count
			stack = stack[:len(stack)-1]
		}
	}
}

// parentLeft is nestedSetParent: the left of the parent, -1 for roots, 0 without a place.
func (t *tree) parentLeft(i int) int64 {
	switch p := t.parent[i]; p {
	case noParent:
		return -1
	case noPlace:
		return 0
	default:
		return int64(t.left[p])
	}
}
