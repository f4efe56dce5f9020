package traces

import (
	"sort"

	"github.com/hune-io/hune/internal/block"
)

// RowSet is spans of a row group: none, all, those of some classes, or any. The zero RowSet is none. Sets
// are values: operations make new ones.
//
// While a set is told by classes, it costs a hundred operations where a bitmap costs thirty thousand.
type RowSet struct {
	all     bool
	classes []bool
	bits    *block.Bitmap
}

// AllRows is the set of every span.
var AllRows = RowSet{all: true}

// IsNone and IsAll report whether the set is known to have no span, or every span.
func (s RowSet) IsNone() bool { return !s.all && s.classes == nil && s.bits == nil }

// IsAll reports whether the set is known to have every span.
func (s RowSet) IsAll() bool { return s.all }

// Members tells which rows are in a set.
type Members struct {
	set   RowSet
	class *Codes
}

// any reports whether one of the rows from lo up to before hi is in the set.
func (m *Members) any(lo, hi int) bool {
	switch {
	case m.set.classes != nil:
		for row := lo; row < hi; row++ {
			if m.set.classes[m.class.At(row)] {
				return true
			}
		}
		return false
	case m.set.bits != nil:
		row := m.set.bits.Next(lo)
		return row >= 0 && row < hi
	}
	return m.set.all && lo < hi
}

// Mark sets dst to which of the rows from lo on, one for each of dst, are in the set.
func (m *Members) Mark(dst []bool, lo int) {
	switch {
	case m.set.classes != nil:
		for i := range dst {
			dst[i] = m.set.classes[m.class.At(lo+i)]
		}
	case m.set.bits != nil:
		for i := range dst {
			dst[i] = m.set.bits.Get(lo + i)
		}
	default:
		for i := range dst {
			dst[i] = m.set.all
		}
	}
}

// classSet returns the spans of some classes.
func classSet(classes []bool) RowSet {
	switch countTrue(classes) {
	case 0:
		return RowSet{}
	case len(classes):
		return AllRows
	}
	return RowSet{classes: classes}
}

// bitSet returns the spans of a bitmap, which must not change afterwards.
func bitSet(b *block.Bitmap) RowSet {
	if b.Next(0) < 0 {
		return RowSet{}
	}
	return RowSet{bits: b}
}

// Bits returns the set as a bitmap, which must not be changed. The classes of g have been read.
func (g *group) rows(s RowSet) *block.Bitmap {
	if s.bits != nil {
		return s.bits
	}
	b := block.NewBitmap(g.entry.spans)
	switch {
	case s.all:
		b.SetAll()
	case s.classes != nil:
		if few := g.fewOf(s.classes); few != nil {
			few.addTo(b, s.classes)
			return b
		}
		for row, c := range g.classList() {
			if s.classes[c] {
				b.Set(row)
			}
		}
	}
	return b
}

// about returns how many spans a set has, as far as that is known without looking at them.
func (g *group) about(s RowSet) int {
	switch {
	case s.all:
		return g.entry.spans
	case s.bits != nil:
		return s.bits.Count()
	case s.classes == nil:
		return 0
	}
	if rows := g.known().rows; rows != nil {
		return rows.count(s.classes)
	}
	return g.entry.spans * countTrue(s.classes) / len(s.classes)
}

func countTrue(list []bool) int {
	n := 0
	for _, in := range list {
		if in {
			n++
		}
	}
	return n
}

// and returns the spans that are in both sets.
func (g *group) and(a, b RowSet) RowSet {
	switch {
	case a.IsNone() || b.all:
		return a
	case b.IsNone() || a.all:
		return b
	case a.classes != nil && b.classes != nil:
		out := make([]bool, len(a.classes))
		for i := range out {
			out[i] = a.classes[i] && b.classes[i]
		}
		return classSet(out)
	}
	if a.bits == nil {
		a, b = b, a
	}
	out := a.bits.Clone()
	if b.classes != nil {
		return bitSet(g.keepClasses(out, b.classes))
	}
	out.And(b.bits)
	return bitSet(out)
}

// keepClasses removes from b what is not of the classes.
func (g *group) keepClasses(b *block.Bitmap, classes []bool) *block.Bitmap {
	out := block.NewBitmap(b.Len())
	for row := b.Next(0); row >= 0; row = b.Next(row + 1) {
		if classes[g.class.At(row)] {
			out.Set(row)
		}
	}
	return out
}

// or returns the spans that are in either set.
func (g *group) or(a, b RowSet) RowSet {
	switch {
	case a.all || b.IsNone():
		return a
	case b.all || a.IsNone():
		return b
	case a.classes != nil && b.classes != nil:
		out := make([]bool, len(a.classes))
		for i := range out {
			out[i] = a.classes[i] || b.classes[i]
		}
		return classSet(out)
	}
	out := g.rows(a).Clone()
	out.Or(g.rows(b))
	return bitSet(out)
}

// traceFrom returns the trace of a row, which is t or a later one. It goes on in steps that double, and bisects the last.
func traceFrom(first []int, t, row int) int {
	step := 1
	for t+step < len(first) && first[t+step] <= row {
		t, step = t+step, 2*step
	}
	return t + sort.SearchInts(first[t+1:min(t+step, len(first))], row+1)
}

// traces marks the traces that have a span of the set. Spine and classes have been read.
func (g *group) tracesOf(s RowSet) []bool {
	out := make([]bool, g.entry.traces)
	switch {
	case s.all:
		for t := range out {
			out[t] = true
		}
	case s.classes != nil:
		if few := g.fewOf(s.classes); few != nil {
			few.mark(out, s.classes, g.first)
			break
		}
		classes := g.classList()
		for t := range out {
			for _, c := range classes[g.first[t]:g.first[t+1]] {
				if s.classes[c] {
					out[t] = true
					break
				}
			}
		}
	case s.bits != nil:
		t := 0
		for row := s.bits.Next(0); row >= 0; row = s.bits.Next(g.first[t+1]) {
			t = traceFrom(g.first, t, row)
			out[t] = true
		}
	}
	return out
}
