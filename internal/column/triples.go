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
// them. Those of slots, and of their Raw columns, are listed apart: a word that only templates have is not looked for in
// values.

// Triples are the triples of the lines of a page, in three sets of which each has those of the one before. A lines' column
// that is Raw is a slot here.
type Triples struct {
	Raw   *block.Bitmap // of the Raw columns that say so, see triplesLen
	Slots *block.Bitmap // of the slots of lines
	Lines *block.Bitmap // of the lines
}

// join makes sets that lack what the one before has complete.
func (t *Triples) join() {
	t.Slots.Or(t.Raw)
	t.Lines.Or(t.Slots)
}

// appendTo appends the sets, each without what the one before has.
func (t *Triples) appendTo(dst []byte) []byte {
	dst = block.AppendBitmap(dst, t.Raw)
	dst = block.AppendBitmap(dst, without(t.Slots, t.Raw))
	return block.AppendBitmap(dst, without(t.Lines, t.Slots))
}

// decodeTriples reads what appendTo wrote.
func decodeTriples(d *block.Decoder) *Triples {
	t := &Triples{new(block.Bitmap), new(block.Bitmap), new(block.Bitmap)}
	for _, set := range []*block.Bitmap{t.Raw, t.Slots, t.Lines} {
		if d.Bitmap(set, triplesLen); d.Err() != nil {
			return nil
		}
	}
	t.join()
	return t
}

// without returns what is in a and not in b.
func without(a, b *block.Bitmap) *block.Bitmap {
	rest := b.Clone()
	rest.Not()
	rest.And(a)
	return rest
}

// memory is what t holds, in bytes.
func (t *Triples) memory() int {
	if t == nil {
		return 0
	}
	return 3 * triplesLen / 8
}

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
	open  bool // lines have triples that are not in a set
	used  bool // columns may say that theirs are
	begun bool
	// Of what was added to each; the sets of the page have more.
	raw, slots, lines tripleBits
	added             []uint16 // by the values at hand
}

// tripleBits has bit a*32*32 + b*32 + c set for each triple of letters, numbered from 1 on. While it is filled all that
// stand for no triple are set, so that whoever adds looks at one bit.
type tripleBits [1 << 15 / 64]uint64

// noTriples are the bits that stand for no triple.
var noTriples = func() (bits tripleBits) {
	for i := range 1 << 15 {
		if !isTriple(i) {
			bits[i>>6] |= 1 << (i & 63)
		}
	}
	return bits
}()

// isTriple reports whether bit i of tripleBits stands for a triple.
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
		b.begun, b.raw, b.slots, b.lines = true, noTriples, noTriples, noTriples
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
func (b *tripleBuilder) build() *Triples {
	if !b.used {
		return nil
	}
	t := &Triples{b.raw.bitmap(), b.slots.bitmap(), b.lines.bitmap()}
	t.join()
	return t
}

func (t *tripleBits) bitmap() *block.Bitmap {
	set := block.NewBitmap(triplesLen)
	for a := range 26 {
		for b := range 26 {
			row := (a+1)<<10 | (b+1)<<5
			for c := range 26 {
				if i := row | (c + 1); t[i>>6]>>(i&63)&1 != 0 {
					set.Set((a*26+b)*26 + c)
				}
			}
		}
	}
	return set
}

// values adds to t the triples of values, which are of data. It reports false, and adds none, if they are too many.
func (b *tripleBuilder) values(t *tripleBits, data []byte, values iter.Seq[extent]) bool {
	if !b.on {
		return false
	}
	b.added = b.added[:0]
	for v := range values {
		if b.add(t, data[v.off:v.end()], maxTriples) {
			continue
		}
		for _, i := range b.added {
			t[i>>6] &^= 1 << (i & 63)
		}
		b.open = true
		return false
	}
	return true
}

// add adds to t the triples of v, and reports false once most were added.
func (b *tripleBuilder) add(t *tripleBits, v []byte, most int) bool {
	x, y := uint32(0), uint32(0) // the two letters before, the first moved
	for _, c := range v {
		z := uint32(letters[c])
		i := (x | y<<5 | z) & (1<<15 - 1)
		x, y = y<<10, z
		if t[i>>6]&(1<<(i&63)) != 0 {
			continue
		}
		if len(b.added) >= most {
			return false
		}
		t[i>>6] |= 1 << (i & 63)
		b.added = append(b.added, uint16(i))
	}
	return true
}

// text adds to t the triples of a text that is no value.
func (b *tripleBuilder) text(t *tripleBits, text []byte) {
	b.added = b.added[:0]
	b.add(t, text, math.MaxInt)
}

// hexTriples has every triple of the letters from a to f.
var hexTriples = func() (text []byte) {
	for i := range 6 * 6 * 6 {
		text = append(text, 'a'+byte(i/36), 'a'+byte(i/6%6), 'a'+byte(i%6), ' ')
	}
	return text
}()

// slot adds the triples of the column of a slot as far as its description tells them: those of Raw columns and of what is
// between the columns of Text were added before.
func (b *tripleBuilder) slot(c *Column) {
	switch c.Kind {
	case Const:
		b.text(&b.slots, c.Constant)
	case Int:
		b.text(&b.slots, []byte(c.Int.Suffix)) // what else is printed has no two letters in a row
	case Hex:
		if c.Stamp.Chars&(HexLower|HexUpper) != 0 {
			b.text(&b.slots, hexTriples)
		}
	case Dict:
		b.slot(c.Values)
	}
}

// triples adds those of a Text column that are not in its slots alone.
func (b *textBuilder) triples() {
	t := &b.e.triples
	if !t.on {
		return
	}
	set := &t.slots // it is the column of one
	if b.grain == lineGrain {
		set = &t.lines
	}
	for k := 1; k < len(b.templates); k++ {
		for _, piece := range b.templates[k].Pieces {
			t.text(set, []byte(piece))
		}
		if b.templates[k].joinsLetters() {
			t.values(set, b.e.data, func(yield func(extent) bool) {
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

// lacks reports whether no value of c can have the text of n, since it has a triple that none of them has.
func (r *Reader) lacks(c *Column, n needle) bool {
	t := r.page.Triples
	if !c.Triples || t == nil || n.isWide(c.Stamp.Chars) {
		return false
	}
	if c.Kind == Raw {
		return !hasTriples(t.Raw, n.text)
	}
	return !hasTriples(t.Lines, n.text)
}

// slotTriples returns the triples of the slots of c, or nil where they are not all known.
func (r *Reader) slotTriples(c *Column) *block.Bitmap {
	if !c.Triples || r.page.Triples == nil {
		return nil
	}
	return r.page.Triples.Slots
}

// mayBeIn reports whether a value of a slot that has such characters may have the text of n, given the triples of
// slots, or nil.
func (n needle) mayBeIn(slots *block.Bitmap, chars Charset) bool {
	return slots == nil || n.isWide(chars) || hasTriples(slots, n.text)
}
