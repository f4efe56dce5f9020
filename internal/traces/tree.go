package traces

import (
	"cmp"
	"slices"
)

// treeLayout brings the spans of a trace into the order in which row groups keep them, so that the tree
// is one small number a span:
//
//   - first the spans with a place in the tree, in pre-order: a span follows its parent, and its depth is
//     one more. Roots and siblings come in the order of their arrival.
//   - then those without: orphans, whose parent isn't there, each with what hangs below it, spans on a
//     cycle of parents, and twins, which are spans whose ID another span had before.
//
// The parent of a span of depth d > 0 is the last one before it of depth d-1. Of those of depth 0 that are
// no roots, loose has the row: their parent's ID has to be kept.
//
// A treeLayout is used for one trace after another and keeps its memory.
type treeLayout struct {
	spans  []*Span // the input in the order of arrival, then the result
	depth  []int64
	loose  []int // rows, ascending
	placed int   // how many spans have a place: those before the first of loose
	twins  bool  // some span is a twin

	arrived []*Span
	parent  []int32
	first   []int32 // child
	last    []int32
	next    []int32 // sibling
	done    []bool
	stack   []int32
	byID    map[SpanID]int32
}

// linearSearch is up to how many spans a parent is looked for one by one.
const linearSearch = 24

const (
	parentNone  = -1 // a root
	parentLoose = -2
	parentTwin  = -3
)

// layout sets the result for spans, which it doesn't change.
func (l *treeLayout) layout(spans []*Span) {
	l.arrived = append(l.arrived[:0], spans...)
	byArrival := func(a, b *Span) int { return cmp.Compare(a.Order, b.Order) }
	if !slices.IsSortedFunc(l.arrived, byArrival) {
		slices.SortStableFunc(l.arrived, byArrival)
	}
	l.link()
	l.spans, l.depth, l.loose = l.spans[:0], l.depth[:0], l.loose[:0]
	for i := range l.arrived {
		if l.parent[i] == parentNone {
			l.walk(int32(i))
		}
	}
	l.placed = len(l.spans)
	for i := range l.arrived {
		if l.parent[i] == parentLoose {
			l.loose = append(l.loose, len(l.spans))
			l.walk(int32(i))
		}
	}
	for i := range l.arrived { // cycles and twins
		if !l.done[i] {
			l.loose = append(l.loose, len(l.spans))
			l.put(int32(i), 0)
		}
	}
}

// link finds the parents and makes lists of children.
func (l *treeLayout) link() {
	n := len(l.arrived)
	l.parent, l.first, l.last, l.next = resized(l.parent, n), resized(l.first, n), resized(l.last, n), resized(l.next, n)
	l.done = resized(l.done, n)
	l.twins = false
	l.index()
	for i := range l.arrived {
		l.first[i], l.last[i], l.next[i], l.done[i] = -1, -1, -1, false
	}
	for i, s := range l.arrived {
		switch {
		case l.find(s.ID) != int32(i):
			l.parent[i], l.twins = parentTwin, true
			continue
		case s.ParentID == SpanID{}:
			l.parent[i] = parentNone
			continue
		}
		p := l.find(s.ParentID)
		if p < 0 || p == int32(i) {
			l.parent[i] = parentLoose
			continue
		}
		l.parent[i] = p
		if l.last[p] < 0 {
			l.first[p] = int32(i)
		} else {
			l.next[l.last[p]] = int32(i)
		}
		l.last[p] = int32(i)
	}
}

func (l *treeLayout) index() {
	if len(l.arrived) <= linearSearch {
		return
	}
	if l.byID == nil || len(l.byID) > 16*len(l.arrived)+1024 {
		l.byID = make(map[SpanID]int32, len(l.arrived)) // clearing a map costs what it once held
	}
	clear(l.byID)
	for i, s := range l.arrived {
		if _, ok := l.byID[s.ID]; !ok {
			l.byID[s.ID] = int32(i)
		}
	}
}

// find returns the first span of that ID, or -1.
func (l *treeLayout) find(id SpanID) int32 {
	if len(l.arrived) > linearSearch {
		if i, ok := l.byID[id]; ok {
			return i
		}
		return -1
	}
	for i, s := range l.arrived {
		if s.ID == id {
			return int32(i)
		}
	}
	return -1
}

func (l *treeLayout) put(i int32, depth int64) {
	l.done[i] = true
	l.spans = append(l.spans, l.arrived[i])
	l.depth = append(l.depth, depth)
}

// walk puts a span and all below it. It doesn't recurse: a trace may be one chain of a million spans.
func (l *treeLayout) walk(i int32) {
	l.put(i, 0)
	l.stack = append(l.stack[:0], i)
	for len(l.stack) > 0 {
		top := l.stack[len(l.stack)-1]
		child := l.first[top]
		if child < 0 {
			l.stack = l.stack[:len(l.stack)-1]
			continue
		}
		l.first[top] = l.next[child]
		l.put(child, int64(len(l.stack)))
		l.stack = append(l.stack, child)
	}
}

// resized returns a slice of n elements that has the memory of s if that suffices. What is in it is undefined.
func resized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/2)
	}
	return s[:n]
}
