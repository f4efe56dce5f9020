package column

import (
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// lineSource prints the rows of a template.
type lineSource struct {
	pieces []string
	short  [][shortLen]byte // the beginning of each piece, filled up
	slots  []slotSource
}

// slotSource prints the values of a slot.
type slotSource struct {
	source
	next   *int     // the value of the next row of the template, where all rows are printed in order
	places []uint32 // otherwise: what SlotRows returns, or that of some rows
}

// appendLines appends the rows of a Text column that are in among.
func (r *Reader) appendLines(v *block.Values, c *Column, among Set) bool {
	if among.IsAll() {
		return r.appendAllLines(v, c)
	}
	if k := c.only(); k >= 0 {
		t, ok := r.lineSource(c, k, among)
		if !ok {
			return false
		}
		for row := among.Bits().Next(0); row >= 0; row = among.Bits().Next(row + 1) {
			t.append(v, row, row)
			if len(v.Data) > r.most {
				break
			}
		}
		return true
	}
	return r.appendSomeLines(v, c, among)
}

// appendAllLines prints the rows in order. Every slot has a counter that says which value comes next, slots
// that share a column have it in common.
func (r *Reader) appendAllLines(v *block.Values, c *Column) bool {
	known := true
	var ids []int64
	if c.only() < 0 {
		ids, known = r.ids(c)
	}
	shared := make([]source, c.sharedCount())
	for i := range shared {
		var ok bool
		shared[i], ok = r.source(c.sharedColumn(i), All)
		known = known && ok
	}
	counters := make([]int, len(shared))
	lines := make([]lineSource, len(c.Templates))
	for k := range c.Templates {
		t := &c.Templates[k]
		if t.Rows == 0 {
			continue
		}
		own := make([]int, len(t.Slots))
		lines[k] = lineSource{pieces: t.Pieces, short: make([][shortLen]byte, len(t.Slots)), slots: make([]slotSource, len(t.Slots))}
		for i := range t.Slots {
			copy(lines[k].short[i][:], t.Pieces[i])
			slot := &lines[k].slots[i]
			if s := t.Slots[i].Shared; s >= 0 {
				*slot = slotSource{source: shared[s], next: &counters[s]}
				continue
			}
			src, ok := r.source(t.Slots[i].Values(), All)
			*slot = slotSource{source: src, next: &own[i]}
			known = known && ok
		}
	}
	if !known {
		return false
	}
	only := c.only()
	out := v.Data
	room := rowRoom{rows: c.Rows, begin: len(out), limit: r.most}
	for row := range c.Rows {
		if row == room.next {
			out = room.grow(out, row)
		}
		k := only
		if k < 0 {
			k = int(ids[row])
		}
		out = lines[k].appendNext(out)
		v.Ends = append(v.Ends, uint32(len(out)))
		if len(out) > r.most {
			break
		}
	}
	v.Data = out
	return true
}

// rowRoom makes room for rows that are printed, going by the length of those before: to grow little by little takes as
// long as the printing.
type rowRoom struct {
	rows  int // that there will be
	begin int // of the first row in the output
	limit int // of the output
	next  int // row at which to look
}

// roomParts is which part of the rows is printed before room is made for all: hostile bytes make it so many times as
// large as needed at most.
const roomParts = 16

// grow returns out with room for all rows, of which the first n are printed.
func (r *rowRoom) grow(out []byte, n int) []byte {
	if n == 0 {
		r.next = max(r.rows/roomParts, 1)
		return out
	}
	r.next = 4 * n
	left := (len(out) - r.begin) * (r.rows - n) / n
	left += left/roomParts + shortLen
	return slices.Grow(out, max(0, min(left, r.limit-len(out))))
}

// shortLen is how many bytes are copied at once where there are fewer and room for as many: most pieces
// and values are shorter, and a call costs more than the bytes that are copied in vain.
const shortLen = 16

// appendNext appends the next row of the template.
func (t *lineSource) appendNext(dst []byte) []byte {
	at := len(dst)
	out := dst[:cap(dst)]
	for i := range t.slots {
		p := t.pieces[i]
		if len(p) <= shortLen && at+shortLen <= len(out) {
			*(*[shortLen]byte)(out[at:]) = t.short[i]
			at += len(p)
		} else {
			at, out = appendAt(out, at, p)
		}
		s := &t.slots[i]
		row := *s.next
		*s.next = row + 1
		var b []byte
		switch s.kind {
		case Const:
			b = s.data
		case Raw, Dict:
			b = s.bytes(row)
		default:
			filled := s.append(out[:at], row)
			at, out = len(filled), filled[:cap(filled)]
			continue
		}
		if n := len(b); n <= shortLen && cap(b) >= shortLen && at+shortLen <= len(out) {
			*(*[shortLen]byte)(out[at:]) = *(*[shortLen]byte)(b[:shortLen])
			at += n
		} else {
			at, out = appendAt(out, at, b)
		}
	}
	at, out = appendAt(out, at, t.pieces[len(t.slots)])
	return out[:at]
}

// appendAt puts b into out from at on, and returns where it ends, and out in its full capacity.
func appendAt[T ~string | ~[]byte](out []byte, at int, b T) (int, []byte) {
	out = append(out[:at], b...)
	return len(out), out[:cap(out)]
}

// appendSomeLines prints rows here and there.
func (r *Reader) appendSomeLines(v *block.Values, c *Column, among Set) bool {
	ids, ok := r.ids(c)
	if !ok {
		return false
	}
	ranks := r.of(c).ranks
	bits := among.Bits()
	rows := make([]*block.Bitmap, len(c.Templates)) // of each template those in among
	for row := bits.Next(0); row >= 0; row = bits.Next(row + 1) {
		k := ids[row]
		if rows[k] == nil {
			rows[k] = block.NewBitmap(c.Templates[k].Rows)
		}
		rows[k].Set(int(ranks[row]))
	}
	var places [][][]uint32
	few := bits.Count()*fewOfRows < c.Rows
	if few {
		places, few = r.placesOfSome(c, ids, bits)
	}
	lines := make([]*lineSource, len(c.Templates))
	for k, set := range rows {
		if set == nil {
			continue
		}
		var found bool
		if few {
			lines[k], found = r.someSource(c, k, SetOf(set), places[k])
		} else {
			lines[k], found = r.lineSource(c, k, SetOf(set))
		}
		ok = ok && found
	}
	if !ok {
		return false
	}
	seen := make([]int, len(c.Templates))
	for row := bits.Next(0); row >= 0; row = bits.Next(row + 1) {
		k, j := ids[row], int(ranks[row])
		at := j
		if few {
			at = seen[k]
			seen[k]++
		}
		lines[k].append(v, j, at)
		if len(v.Data) > r.most {
			break
		}
	}
	return true
}

// lineSource opens what the rows in among of template k need.
func (r *Reader) lineSource(c *Column, k int, among Set) (t *lineSource, ok bool) {
	tmpl := &c.Templates[k]
	t, ok = &lineSource{pieces: tmpl.Pieces, slots: make([]slotSource, len(tmpl.Slots))}, true
	for i := range tmpl.Slots {
		slot := &t.slots[i]
		places, isShared, found := r.slotPlaces(c, k, i)
		if !found {
			ok = false
			continue
		}
		needed := among
		if isShared {
			slot.places = places
			needed = placesOf(among, places, tmpl.Slots[i].Values().Rows)
		}
		slot.source, found = r.source(tmpl.Slots[i].Values(), needed)
		ok = ok && found
	}
	return t, ok
}

// placesOf returns which values the rows in among have.
func placesOf(among Set, places []uint32, values int) Set {
	b := block.NewBitmap(values)
	for j, at := range places {
		if among.Has(j) {
			b.Set(int(at))
		}
	}
	return SetOf(b)
}

// append appends row j of the template, whose places stand at number p.
func (t *lineSource) append(v *block.Values, j, p int) {
	dst := v.Data
	for i := range t.slots {
		s := &t.slots[i]
		dst = append(dst, t.pieces[i]...)
		at := j
		if s.places != nil {
			at = int(s.places[p])
		}
		dst = s.source.append(dst, at)
	}
	v.Data = append(dst, t.pieces[len(t.slots)]...)
	v.Ends = append(v.Ends, uint32(len(v.Data)))
}
