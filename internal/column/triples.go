package column

import (
	"iter"
	"math"

	"github.com/hune-io/hune/internal/block"
)

// A word that somebody searches for may be a part of any value, so the value filter, which knows whole values,
// can't tell that it is in none. The triples of a page can: they are the runs of three letters of ASCII, in lower
// case, that are in its lines. Words of a language have few of the 17,576: some thousand lines have one or two
// thousand, which take about a kilobyte, and a word that none of them has nearly always has a triple that isn't among
// them. Of the columns of lines those are marked whose values have no other triples: a Raw one, or the column of
// the lines.

// triplesLen is how many triples there are: that of the letters a, b and c, numbered from 0 on, is a*26*26 + b*26 + c.
const triplesLen = 26 * 26 * 26

// maxTriples is how many new triples the values of a column may add. Those of one that has more, as random letters
// have, are left out: with them others would be read in vain.
const maxTriples = 4096

// letters gives a letter of either case its number from 1 on, and other bytes 0.
var letters = func() (t [256]uint16) {
	for c := range t {
		switch {
		case c >= 'a' && c <= 'z':
			t[c] = uint16(c-'a') + 1
		case c >= 'A' && c <= 'Z':
			t[c] = uint16(c-'A') + 1
		}
	}
	return t
}()

// hasTriples reports whether all triples of v are in set.
func hasTriples(set *block.Bitmap, v []byte) bool {
	for i := 2; i < len(v); i++ {
		a, b, c := int(letters[v[i-2]]), int(letters[v[i-1]]), int(letters[v[i]])
		if a > 0 && b > 0 && c > 0 && !set.Get((a-1)*26*26+(b-1)*26+c-1) {
			return false
		}
	}
	return true
}

// tripleBuilder collects the triples of the lines of a page. The zero tripleBuilder is empty, and off.
type tripleBuilder struct {
	on    bool // the columns at hand are of lines
	open  bool // lines have triples that are not in the set
	used  bool // columns may say that theirs are
	begun bool
	// bits has bit a*32*32 + b*32 + c set for each triple of letters, numbered from 1 on. While the builder is at work
	// all that stand for no triple are set, so that whoever adds looks at one bit.
	bits  [1 << 15 / 64]uint64
	added []uint16 // by the values at hand
}

// noTriples are the bits that stand for no triple.
var noTriples = func() (bits [1 << 15 / 64]uint64) {
	for i := range 1 << 15 {
		if !isTriple(i) {
			bits[i>>6] |= 1 << (i & 63)
		}
	}
	return bits
}()

// isTriple reports whether bit i of a tripleBuilder stands for a triple.
func isTriple(i int) bool {
	is := func(letter int) bool { return letter > 0 && letter <= 26 }
	return is(i>>10) && is(i>>5&31) && is(i&31)
}

// reset empties the builder.
func (b *tripleBuilder) reset() { b.on, b.open, b.used, b.begun = false, false, false, false }

// begin turns the builder on.
func (b *tripleBuilder) begin() {
	b.on = true
	if !b.begun {
		b.begun, b.bits = true, noTriples
	}
}

// end turns the builder off after c, a column of lines.
func (b *tripleBuilder) end(c *Column) {
	b.on = false
	if c.Kind == Text {
		c.Triples, b.used = !b.open, true
	}
	b.used = b.used || c.Triples
}

// build returns the triples of the page, or nil.
func (b *tripleBuilder) build() *block.Bitmap {
	if !b.used {
		return nil
	}
	set := block.NewBitmap(triplesLen)
	for a := range 26 {
		for b2 := range 26 {
			row := (a+1)<<10 | (b2+1)<<5
			for c := range 26 {
				if i := row | (c + 1); b.bits[i>>6]>>(i&63)&1 != 0 {
					set.Set((a*26+b2)*26 + c)
				}
			}
		}
	}
	return set
}

// values adds the triples of values, which are of data. It reports false, and adds none, if they are too many.
func (b *tripleBuilder) values(data []byte, values iter.Seq[extent]) bool {
	if !b.on {
		return false
	}
	b.added = b.added[:0]
	for v := range values {
		if b.add(data[v.off:v.end()], maxTriples) {
			continue
		}
		for _, i := range b.added {
			b.bits[i>>6] &^= 1 << (i & 63)
		}
		b.open = true
		return false
	}
	return true
}

// add adds the triples of v, and reports false once most were added.
func (b *tripleBuilder) add(v []byte, most int) bool {
	bits := &b.bits
	x, y := uint32(0), uint32(0) // the two letters before, the first moved
	for _, c := range v {
		z := uint32(letters[c])
		i := (x | y<<5 | z) & (1<<15 - 1)
		x, y = y<<10, z
		if bits[i>>6]&(1<<(i&63)) != 0 {
			continue
		}
		if len(b.added) >= most {
			return false
		}
		bits[i>>6] |= 1 << (i & 63)
		b.added = append(b.added, uint16(i))
	}
	return true
}

// text adds the triples of a text that is no value.
func (b *tripleBuilder) text(text []byte) {
	b.added = b.added[:0]
	b.add(text, math.MaxInt)
}

// hexTriples has every triple of the letters from a to f.
var hexTriples = func() (text []byte) {
	for i := range 6 * 6 * 6 {
		text = append(text, 'a'+byte(i/36), 'a'+byte(i/6%6), 'a'+byte(i%6), ' ')
	}
	return text
}()

// column adds the triples of a column as far as its description tells them: those of Raw columns and of what is
// between the columns of Text were added before.
func (b *tripleBuilder) column(c *Column) {
	switch c.Kind {
	case Const:
		b.text(c.Constant)
	case Int:
		b.text([]byte(c.Int.Suffix)) // what else is printed has no two letters in a row
	case Hex:
		if c.Stamp.Chars&(HexLower|HexUpper) != 0 {
			b.text(hexTriples)
		}
	case Dict:
		b.column(c.Values)
	}
}

// triples adds those of a Text column that are in no slot.
func (b *textBuilder) triples() {
	t := &b.e.triples
	if !t.on {
		return
	}
	for k := 1; k < len(b.templates); k++ {
		for _, piece := range b.templates[k].Pieces {
			t.text([]byte(piece))
		}
		if b.templates[k].joinsLetters() {
			t.values(b.e.data, func(yield func(extent) bool) {
				for _, row := range b.rowsOf[k] {
					if !yield(b.rows[row]) {
						return
					}
				}
			})
		}
	}
}

// joinsLetters reports whether rows may have letters on both sides of where a slot begins or ends.
func (t *Template) joinsLetters() bool {
	before := false // a letter may stand before
	for i, piece := range t.Pieces {
		if n := len(piece); n > 0 {
			if before && letters[piece[0]] > 0 {
				return true
			}
			before = letters[piece[n-1]] > 0
		}
		if i == len(t.Slots) {
			break
		}
		s := &t.Slots[i].Values().Stamp
		has := s.Chars&(HexLower|HexUpper|AlphaLower|AlphaUpper) != 0
		if before && has {
			return true
		}
		before = has || before && s.MinLen == 0
	}
	return false
}

// lacks reports whether no value of c can have the text of n, since it has a triple that no line of the page has.
func (r *Reader) lacks(c *Column, n needle) bool {
	if !c.Triples || r.page.Triples == nil || n.isWide(c.Stamp.Chars) {
		return false
	}
	return !hasTriples(r.page.Triples, n.text)
}
