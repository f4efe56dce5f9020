package column

import "github.com/hune-io/hune/internal/block"

// Set is a set of rows: none, all, or those of a bitmap. The zero Set is none. A bitmap may be shared:
// the operations make new ones.
type Set struct {
	all  bool
	bits *block.Bitmap
}

// None and All are the sets of no rows and of every row.
var (
	None = Set{}
	All  = Set{all: true}
)

// SetOf makes a Set of b, which must not change afterwards; an empty or full b gives None or All.
func SetOf(b *block.Bitmap) Set {
	switch b.Count() {
	case 0:
		return None
	case b.Len():
		return All
	}
	return Set{bits: b}
}

// IsNone and IsAll report whether the set has no row, or every row.
func (s Set) IsNone() bool { return !s.all && s.bits == nil }

// IsAll reports whether the set has every row.
func (s Set) IsAll() bool { return s.all }

// Has reports whether row is in the set.
func (s Set) Has(row int) bool { return s.all || s.bits != nil && s.bits.Get(row) }

// Bits returns the bitmap of a set that is neither none nor all, else nil.
func (s Set) Bits() *block.Bitmap { return s.bits }

// Count returns how many of rows rows are in the set.
func (s Set) Count(rows int) int {
	switch {
	case s.all:
		return rows
	case s.bits == nil:
		return 0
	}
	return s.bits.Count()
}

// Not returns the complement.
func (s Set) Not() Set {
	if s.bits == nil {
		return Set{all: !s.all}
	}
	b := s.bits.Clone()
	b.Not()
	return SetOf(b)
}

// And returns the rows that are in both sets, which are over the same rows.
func (s Set) And(o Set) Set {
	switch {
	case s.IsNone() || o.all:
		return s
	case o.IsNone() || s.all:
		return o
	}
	b := s.bits.Clone()
	b.And(o.bits)
	return SetOf(b)
}

// Or returns the rows that are in either set.
func (s Set) Or(o Set) Set {
	switch {
	case s.all || o.IsNone():
		return s
	case o.all || s.IsNone():
		return o
	}
	b := s.bits.Clone()
	b.Or(o.bits)
	return SetOf(b)
}
