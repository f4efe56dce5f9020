package column

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// The directory of a page of Shapes is that of any page, but for three things. The lines, and any other Text
// column at the top level, are
//
//	byte      kind
//	uvarint   MinLen, uvarint MaxLen-MinLen; uint16 Chars, uvarint Run
//	uvarint   number of shared columns; of each MinLen, MaxLen, Chars and Run as above
//	uvarint   number of templates, without template 0; templates, from 0 on:
//	          varint    shape, less that of the template before and 1; not of template 0
//	          uvarint   rows; nothing more of a template without slots, or without rows
//	          uvarint   Shared+1 of each slot; not of template 0
//	          uint16 Chars, uvarint Run of all its slots that are not shared together, if there are any
//	payload of the IDs, unless one template has all rows
//	parts: every shared column; then of each template that has any, the columns of the slots that are not shared;
//	          varint    blob of the first payload, less that in the part before; varint offset, the same way where
//	                    the blob is the same, else itself; of payloads that aren't strings
//	          varint, varint   the same of strings; both as in the part before where the part has none, which is
//	                    blob -1, offset 0, before the first part
//	          uvarint   length, columns
//
// And a payload says where in its blob it begins, where the blob is named for the first time: in a part, unless it is
// the first of its kind, or, outside of parts, since the last Text column. It stands between blob and length:
//
//	varint    blob, as difference to the payload before it of the same kind
//	uvarint   offset, the first time
//	uvarint   length
//
// And after the columns may follow the triples of the page.

// AppendPage appends the directory of a page, whose templates it adds to the shapes. All parts of the page must
// have been read.
func (s *Shapes) AppendPage(dst []byte, p *Page) []byte {
	w := directoryWriter{dst: dst, shapes: s, named: make([]bool, len(p.Blobs)), triples: p.Triples != nil}
	w.page(p)
	if w.triples {
		w.dst = p.Triples.appendTo(w.dst)
	}
	return w.dst
}

// parted appends what follows the kind of a Text column at the top level.
func (w *directoryWriter) parted(c *Column) {
	w.stamp(&c.Stamp)
	w.lastBegin = nowhere
	w.uvarint(c.sharedCount())
	for x := range c.SharedColumns() {
		w.stamp(&x.Stamp)
	}
	w.uvarint(len(c.Templates) - 1)
	last := -1
	for k := range c.Templates {
		t := &c.Templates[k]
		if k > 0 {
			n := w.shapes.number(t)
			w.dst = binary.AppendVarint(w.dst, int64(n-last-1))
			last = n
		}
		w.uvarint(t.Rows)
		w.slots(t)
	}
	if c.IDs.Kind != Const {
		w.payload(c.IDs.Payload, Int)
	}
	for x := range c.SharedColumns() {
		w.part(x)
	}
	for k := range c.Templates {
		w.part(c.Templates[k].own()...)
	}
	clear(w.named)
}

// stamp appends what a stamp says of texts.
func (w *directoryWriter) stamp(s *Stamp) {
	w.uvarint(s.MinLen)
	w.uvarint(s.MaxLen - s.MinLen)
	w.chars(s.Chars, s.Run)
}

func (w *directoryWriter) chars(c Charset, run int) {
	w.dst = binary.LittleEndian.AppendUint16(w.dst, uint16(c))
	w.uvarint(run)
}

// slots appends what a template says of its slots.
func (w *directoryWriter) slots(t *Template) {
	if t.Rows == 0 || len(t.Slots) == 0 {
		return
	}
	if t.Mode != Whole {
		for i := range t.Slots {
			w.uvarint(t.Slots[i].Shared + 1)
		}
	}
	if own := t.own(); len(own) > 0 {
		all := Stamp{}
		for _, c := range own {
			all.Chars |= c.Stamp.Chars
			all.Run = max(all.Run, c.Stamp.Run)
		}
		w.chars(all.Chars, all.Run)
	}
}

// own returns the columns that belong to one slot of t.
func (t *Template) own() []*Column {
	var out []*Column
	for i := range t.Slots {
		if s := &t.Slots[i]; s.Shared < 0 && t.Rows > 0 {
			out = append(out, s.Values())
		}
	}
	return out
}

// part appends columns with their length, if there are any.
func (w *directoryWriter) part(columns ...*Column) {
	if len(columns) == 0 {
		return
	}
	sub := directoryWriter{dst: w.scratch[:0], named: w.inPart, begins: &[2]begin{}, triples: w.triples}
	*sub.begins = nowhere
	if sub.named == nil {
		sub.named = make([]bool, len(w.named))
	}
	clear(sub.named)
	for _, c := range columns {
		sub.column(c)
	}
	for k, at := range sub.begins {
		last := &w.lastBegin[k]
		if at.blob < 0 {
			at = *last
		}
		w.dst = binary.AppendVarint(w.dst, int64(at.blob-last.blob))
		if at.blob == last.blob {
			w.dst = binary.AppendVarint(w.dst, int64(at.off-last.off))
		} else {
			w.dst = binary.AppendVarint(w.dst, int64(at.off))
		}
		*last = at
	}
	w.dst = block.AppendPrefixed(w.dst, sub.dst)
	w.scratch, w.inPart = sub.dst, sub.named
}

// DecodePage reads what AppendPage wrote, from bytes that may be hostile and that must not change: what isn't
// asked for yet is read from them later. A page that it returns is safe for every method of a Reader, by any
// number of goroutines.
func (s *Shapes) DecodePage(b []byte) (*Page, error) {
	r := &directoryReader{d: block.NewDecoder(b), page: &Page{}, shapes: s, end: len(b)}
	r.page.source = &partSource{data: b, reader: r}
	r.read()
	if r.triples {
		r.page.Triples = decodeTriples(r.d)
	}
	if err := r.d.Finish(); err != nil {
		return nil, fmt.Errorf("directory of a page: %w", err)
	}
	return r.page, nil
}

// parted reads what follows the kind of a Text column at the top level.
func (r *directoryReader) parted(c *Column) {
	d := r.d
	r.stamp(&c.Stamp)
	shared := make([]Stamp, d.Count(maxColumns, 5))
	for i := range shared {
		r.stamp(&shared[i])
	}
	n := d.Count(block.MaxRows, 2) + 1
	if d.Err() != nil {
		return
	}
	c.TextForm = &TextForm{Templates: make([]Template, n), shared: len(shared)}
	c.Templates[0].Pieces, c.Templates[0].Slots = r.newPieces(2), r.newSlots(1)
	own := make([]Stamp, 0, n) // of the slots that are not shared, of the templates that have such
	left, last := c.Rows, -1
	for k := 0; k < n; k++ {
		t := &c.Templates[k]
		if k > 0 {
			last = r.shape(t, last)
		}
		t.Rows = d.Count(block.MaxRows, 0)
		left -= t.Rows
		before := len(own)
		own = r.slotsOf(t, shared, own)
		if d.Err() != nil {
			return
		}
		if mine := own[before:]; k == 0 && len(mine) > 0 {
			t.run = mine[0].Run
		} else if k > 0 {
			t.run = r.shapes.list[last].longestRun(func(i int) *Stamp {
				if s := t.Slots[i].Shared; s >= 0 {
					return &shared[s]
				}
				return &mine[0]
			})
		}
	}
	if left != 0 {
		d.Failf("templates of a column of %d rows: %d rows are left", c.Rows, left)
		return
	}
	c.IDs = r.newColumn(Int, c.Rows)
	c.IDs.stampIDs(c.Templates)
	if c.IDs.Kind != Const {
		r.payload(c.IDs)
	} else {
		r.grow(c.Rows)
	}
	if first := r.page.Columns; len(first) > 0 && first[0].isTimes(c.Rows) {
		r.page.source.times = first[0]
	}
	r.parts(c, shared, own)
}

// stamp reads what a stamp says of texts.
func (r *directoryReader) stamp(s *Stamp) {
	s.MinLen, s.MaxLen = r.lengths()
	r.chars(s)
}

func (r *directoryReader) chars(s *Stamp) {
	s.Chars = Charset(r.d.Byte()) | Charset(r.d.Byte())<<8
	s.Run = r.d.Count(maxLineLen, 0)
}

// shape makes t one of the next shape, and returns the number of that.
func (r *directoryReader) shape(t *Template, last int) int {
	n := int64(last) + 1 + r.d.Varint()
	if n < 0 || n >= int64(len(r.shapes.list)) {
		r.d.Failf("shape %d of %d", n, len(r.shapes.list))
		return last
	}
	x := &r.shapes.list[n]
	t.Mode, t.Pieces, t.Fields, t.chars = x.mode, x.pieces, x.fields, x.chars
	t.Slots = r.newSlots(len(x.pieces) - 1)
	return int(n)
}

// slotsOf reads what a template says of its slots. It adds to own what it says of those that are not shared.
func (r *directoryReader) slotsOf(t *Template, shared, own []Stamp) []Stamp {
	d := r.d
	switch {
	case d.Err() != nil:
		return own
	case t.Rows == 0 && t.Mode != Whole:
		d.Failf("template without rows")
		return own
	case t.Rows == 0:
		t.Slots[0] = Slot{Column: newColumn(Const, 0), Shared: -1}
		t.Slots[0].Column.id = r.nextID()
		return own
	case len(t.Slots) == 0:
		return own
	case t.Mode == Whole:
		t.Slots[0].Shared = -1
	default:
		for i := range t.Slots {
			s := d.Count(len(shared), 0) - 1
			if t.Slots[i].Shared = s; s >= 0 {
				t.chars |= shared[s].Chars
			}
		}
	}
	if t.ownCount() == 0 {
		return own
	}
	all := Stamp{MaxLen: maxLineLen}
	r.chars(&all)
	t.chars |= all.Chars
	return append(own, all)
}

// parts finds the parts of c and gives them to the slots. Shared and own are what is said of them.
func (r *directoryReader) parts(c *Column, shared, own []Stamp) {
	d := r.d
	rows, ok := sharedRowsOf(c.Templates, len(shared))
	if !ok || len(shared)+len(own) > d.Len() {
		d.Failf("%d shared columns and %d others in %d bytes", len(shared), len(own), d.Len())
		return
	}
	c.parts = make([]slotPart, len(shared)+len(own))
	r.begins = nowhere
	for i, n := range rows {
		p := &c.parts[i]
		p.stamp, p.rows, p.count, p.template, p.shared = shared[i], int32(n), 1, -1, int32(i)
		r.part(c, p)
	}
	next := len(shared)
	for k := range c.Templates {
		t := &c.Templates[k]
		n := t.ownCount()
		var mine *slotPart
		if n > 0 {
			mine = &c.parts[next]
			mine.stamp, mine.rows, mine.count, mine.template, mine.shared = own[next-len(shared)], int32(t.Rows), int32(n), int32(k), -1
			r.part(c, mine)
			next++
		}
		at := 0
		for i := range t.Slots {
			switch s := &t.Slots[i]; {
			case s.Shared >= 0:
				s.part = &c.parts[s.Shared]
			case mine != nil:
				s.part, s.place = mine, at
				at++
			}
		}
	}
	r.forgetPlaces()
}

// part finds the bytes of the next part of c.
func (r *directoryReader) part(c *Column, p *slotPart) {
	p.in, p.lines = r.page.source, c
	for k := range p.begins {
		at := &r.begins[k]
		blob, off := int64(at.blob)+r.d.Varint(), r.d.Varint()
		if blob == int64(at.blob) {
			off += int64(at.off)
		}
		if blob < -1 || off < 0 || blob >= int64(len(r.page.Blobs)) || blob >= 0 && off > int64(r.page.Blobs[blob].RawLen) {
			r.d.Failf("part from %d of blob %d on", off, blob)
			return
		}
		*at = begin{int32(blob), int32(off)}
		p.begins[k] = *at
	}
	n := len(r.d.Prefixed())
	p.end = uint32(len(p.in.data) - r.d.Len())
	p.from = p.end - uint32(n)
}

// ownCount returns how many slots of t have a column of their own.
func (t *Template) ownCount() (n int) {
	for i := range t.Slots {
		if t.Rows > 0 && t.Slots[i].Shared < 0 {
			n++
		}
	}
	return n
}

// sharedRowsOf returns how many values each of n shared columns has, or false if a slot names another one, or
// two slots of a template the same, or none one.
func sharedRowsOf(templates []Template, n int) (rows []int, ok bool) {
	rows = make([]int, n)
	member := make([]int, n) // the last template that each is in, of which template 0 is none
	for k := range templates {
		t := &templates[k]
		for i := range t.Slots {
			s := t.Slots[i].Shared
			if s < 0 {
				continue
			}
			if s >= n || member[s] == k {
				return nil, false
			}
			member[s] = k
			rows[s] += t.Rows
		}
	}
	return rows, !slices.Contains(rows, 0)
}
