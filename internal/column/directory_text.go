package column

import (
	"math"
	"strings"

	"github.com/hune-io/hune/internal/block"
)

// text reads what a Text column adds.
func (r *directoryReader) text(c *Column, depth int) {
	d := r.d
	c.Stamp.MinLen, c.Stamp.MaxLen = r.lengths()
	n := d.Count(block.MaxRows, 3) + 1
	whole := d.Count(c.Rows, 0)
	if d.Err() != nil {
		return
	}
	c.TextForm = &TextForm{Templates: make([]Template, n)}
	left := c.Rows - whole
	for k := 1; k < n && d.Err() == nil; k++ {
		r.template(&c.Templates[k])
		left -= c.Templates[k].Rows
	}
	if d.Err() == nil && left != 0 {
		d.Failf("templates of a column of %d rows: %d rows are left", c.Rows, left)
	}
	if d.Err() != nil {
		return
	}
	c.Templates[0] = Template{Rows: whole, Pieces: r.newPieces(2), Slots: r.newSlots(1)}
	c.Templates[0].Slots[0].Shared = -1
	c.IDs = r.newColumn(Int, c.Rows)
	c.IDs.stampIDs(c.Templates)
	if c.IDs.Kind != Const {
		r.payload(c.IDs)
	} else {
		r.grow(c.Rows)
	}
	if first := r.page.Columns; depth == 0 && len(first) > 0 && first[0].isTimes(c.Rows) {
		r.times = first[0]
	}
	r.shared(c, depth)
	r.own(c, depth)
	if depth == 0 {
		r.times = nil
	}
	if d.Err() == nil {
		c.stampText()
		r.checkLengths(c)
	}
}

// template reads a template without the columns of its slots.
func (r *directoryReader) template(t *Template) {
	d := r.d
	t.Rows = d.Count(block.MaxRows, 0)
	t.Mode = Mode(d.Byte())
	text := r.string(d.Count(maxStaticLen+maxSlots, 1))
	slots := strings.Count(text, string(rune(placeholder)))
	if d.Err() == nil && (t.Rows == 0 || t.Mode == Whole || t.Mode > Logfmt || slots > maxSlots || len(text)-slots > maxStaticLen) {
		d.Failf("template of mode %d with %d rows, %d bytes and %d slots", t.Mode, t.Rows, len(text), slots)
	}
	if d.Err() != nil {
		return
	}
	t.Pieces, t.Slots = r.newPieces(slots+1), r.newSlots(slots)
	for i := range t.Slots {
		t.Slots[i].Shared = d.Count(maxColumns, 0) - 1
	}
	r.pieces(t, text)
}

// newPieces and newSlots return slices from slabs. Each of what they hold takes a byte at least.
func (r *directoryReader) newPieces(n int) []string {
	if len(r.texts) < n {
		r.texts = make([]string, max(n, min(256, r.ahead())))
	}
	p := r.texts[:n:n]
	r.texts = r.texts[n:]
	return p
}

func (r *directoryReader) newSlots(n int) []Slot {
	if n == 0 {
		return nil
	}
	if len(r.slots) < n {
		r.slots = make([]Slot, max(n, min(256, r.ahead())))
	}
	s := r.slots[:n:n]
	r.slots = r.slots[n:]
	return s
}

// pieces cuts text at the placeholders.
func (r *directoryReader) pieces(t *Template, text string) {
	rest := text
	for i := range t.Slots {
		at := strings.IndexByte(rest, placeholder)
		t.Pieces[i], rest = rest[:at], rest[at+1:]
	}
	t.Pieces[len(t.Slots)] = rest
	if t.Mode == Generic {
		return
	}
	var ok bool
	if t.Fields, ok = r.fields.parse(t.Mode, text, len(t.Slots)); !ok {
		r.d.Failf("template of mode %d that isn't of its grammar: %.200q", t.Mode, text)
	}
}

// shared reads the columns that slots share, each of which has the rows of all templates that it is in.
func (r *directoryReader) shared(c *Column, depth int) {
	d := r.d
	n := d.Count(maxColumns, 2)
	if n == 0 {
		r.noShared(c)
		return
	}
	c.Shared = make([]*Column, n)
	rows := make([]int, len(c.Shared))
	member := make([]int, len(c.Shared)) // the last template that each is in
	for k := range c.Templates {
		t := &c.Templates[k]
		for i := range t.Slots {
			s := t.Slots[i].Shared
			if s < 0 {
				continue
			}
			if s >= len(rows) || member[s] == k {
				d.Failf("slot %d of template %d: shared column %d of %d", i, k, s, len(rows))
				return
			}
			member[s] = k
			rows[s] += t.Rows
		}
	}
	for i := range c.Shared {
		if c.Shared[i] = r.column(rows[i], depth+1); d.Err() != nil {
			return
		}
		c.Shared[i].bind(r.times, c, -1, i)
	}
	for k := range c.Templates {
		for i := range c.Templates[k].Slots {
			if s := &c.Templates[k].Slots[i]; s.Shared >= 0 {
				s.Column = c.Shared[s.Shared]
			}
		}
	}
}

// noShared checks that no slot has a shared column.
func (r *directoryReader) noShared(c *Column) {
	for k := range c.Templates {
		for i := range c.Templates[k].Slots {
			if s := c.Templates[k].Slots[i].Shared; s >= 0 {
				r.d.Failf("slot %d of template %d: shared column %d of none", i, k, s)
				return
			}
		}
	}
}

// own reads the columns that belong to one slot.
func (r *directoryReader) own(c *Column, depth int) {
	for k := range c.Templates {
		t := &c.Templates[k]
		for i := range t.Slots {
			if r.d.Err() != nil {
				return
			}
			switch s := &t.Slots[i]; {
			case s.Shared >= 0:
			case t.Rows == 0: // template 0
				s.Column = r.newColumn(Const, 0)
			default:
				s.Column = r.column(t.Rows, depth+1)
				s.Column.bind(r.times, c, k, -1)
			}
		}
	}
}

// checkLengths compares the lengths of a Text column with those of its templates.
func (r *directoryReader) checkLengths(c *Column) {
	least, most := math.MaxInt, 0
	for k := range c.Templates {
		if t := &c.Templates[k]; t.Rows > 0 {
			lo, hi := t.lengths()
			least, most = min(least, lo), max(most, hi)
		}
	}
	if s := &c.Stamp; s.MinLen < least || s.MaxLen > most {
		r.d.Failf("lines of %d to %d bytes, from templates of %d to %d", s.MinLen, s.MaxLen, least, most)
	}
}
