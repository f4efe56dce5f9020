package column

import "github.com/hune-io/hune/internal/block"

// Where few rows of a page are rebuilt, finding the place of every row in every shared column takes longer
// than all the rest. The place of one row is how many rows before it are of templates that have the column:
// one walk over the template numbers, which counts each template, gives it for all columns.

// placesOfSome returns for the rows in bits, by template and slot, what SlotRows has for them, in order. It is
// nil where the slot's values are those of the template's rows alone. It reports false where that would take
// longer than the places of all rows: a damaged page may have columns that thousands of templates share.
func (r *Reader) placesOfSome(c *Column, ids []int64, bits *block.Bitmap) (places [][][]uint32, ok bool) {
	out := make([][][]uint32, len(c.Templates))
	left := c.Rows * c.sharedCount() // steps that the places of all rows take
	counts := make([]uint32, len(c.Templates))
	row := 0
	for next := bits.Next(0); next >= 0; next = bits.Next(next + 1) {
		for ; row < next; row++ {
			counts[ids[row]]++
		}
		k := ids[row]
		t := &c.Templates[k]
		if out[k] == nil {
			out[k] = make([][]uint32, len(t.Slots))
		}
		for i := range t.Slots {
			n := t.Slots[i].Shared
			if n < 0 || t.Rows == c.sharedLen(n) {
				continue
			}
			members := r.sharedRows(c, n).members
			if left -= len(members); left < 0 {
				return nil, false
			}
			place := uint32(0)
			for _, m := range members {
				place += counts[m]
			}
			out[k][i] = append(out[k][i], place)
		}
	}
	return out, true
}

// someSource opens what the rows in among of template k need, whose places are those given.
func (r *Reader) someSource(c *Column, k int, among Set, places [][]uint32) (t *lineSource, ok bool) {
	tmpl := &c.Templates[k]
	t, ok = &lineSource{pieces: tmpl.Pieces, slots: make([]slotSource, len(tmpl.Slots))}, true
	for i := range tmpl.Slots {
		slot, col := &t.slots[i], tmpl.Slots[i].Values()
		needed := among
		if slot.places = places[i]; slot.places != nil {
			needed = placesOf(All, slot.places, col.Rows)
		}
		var found bool
		slot.source, found = r.source(col, needed)
		ok = ok && found
	}
	return t, ok
}
