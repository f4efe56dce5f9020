package column

import (
	"cmp"
	"slices"
	"strings"

	"github.com/hune-io/hune/internal/block"
)

// textBuilder makes a Text column of values. An Encoder keeps several: one is at work for each level of
// nesting.
type textBuilder struct {
	e     *Encoder
	rows  []extent
	grain grain

	tok      tokenizer // its vars are those of all rows, one row's after another's
	index    []uint32  // hash table of shapes, plus one
	indexed  []uint16  // what of index is in use
	shapes   []shape
	words    [][2]int // of the shapes, as merge finds them
	static   int      // bytes of all keys
	rowShape []uint32 // of each row its shape, or noShape
	rowVars  []uint32 // where its variables begin

	outs      []out
	templates []Template
	ids       []uint32     // the template of each row
	order     []uint32     // the rows, those of a template together
	rowsOf    [][]uint32   // the same by template
	cells     []extent     // the values of all slots: those of a slot stand together, in the order of the rows
	slots     [][][]extent // the same by template and slot
	whole     []extent     // the rows of template 0
	from, to  []int        // of each template, the rows that are sampled
	clocked   bool         // the rows are those of the page, and have timestamps
	values    []extent     // of mergeMembers, and their rows
	valueRows []uint32     // and its scratch:
	numbered  []numbered
	left      [][]extent
}

// tryText makes a Text column of values split by g, or returns nil where that doesn't pay.
func (e *Encoder) tryText(rows []extent, g grain) *Column {
	b := e.getTextBuilder(rows, g)
	defer e.putTextBuilder(b)
	if !b.scan() {
		return nil
	}
	if g < fineGrain && len(b.shapes) > mergeAbove {
		b.merge()
	} else {
		b.keepAll()
	}
	b.shareHeads()
	if !b.number() {
		return nil
	}
	return b.build()
}

func (e *Encoder) getTextBuilder(rows []extent, g grain) *textBuilder {
	var b *textBuilder
	if n := len(e.builders); n > 0 {
		b = e.builders[n-1]
		e.builders = e.builders[:n-1]
	} else {
		b = &textBuilder{e: e, index: make([]uint32, shapeIndexLen)}
	}
	b.rows, b.grain, b.static = rows, g, 0
	b.tok.data, b.tok.vars = e.data, b.tok.vars[:0]
	b.shapes, b.outs = b.shapes[:0], b.outs[:0]
	b.rowShape = resize(b.rowShape, len(rows))
	b.rowVars = resize(b.rowVars, len(rows))
	return b
}

func (e *Encoder) putTextBuilder(b *textBuilder) {
	for _, at := range b.indexed {
		b.index[at] = 0
	}
	b.indexed = b.indexed[:0]
	b.rows, b.tok.data, b.templates = nil, nil, nil
	clear(b.shapes)
	clear(b.outs)
	e.builders = append(e.builders, b)
}

// resize returns a slice of n elements of any value, that of s where it is large enough.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/4)
	}
	return s[:n]
}

// number gives each row its template, the most frequent first. It reports false where most rows are left
// for template 0, or nothing is gained.
func (b *textBuilder) number() bool {
	kept := make([]int, 0, len(b.outs))
	rest := len(b.rows)
	for o := range b.outs {
		if b.outs[o].rows >= b.rareBelow() {
			kept = append(kept, o)
			rest -= b.outs[o].rows
		}
	}
	if len(kept) == 0 || rest > len(b.rows)*7/10 {
		return false
	}
	if b.grain > lineGrain && rest+b.wholeSlots() > len(b.rows)*7/10 {
		return false // most values would be one slot each
	}
	slices.SortStableFunc(kept, func(x, y int) int { return cmp.Compare(b.outs[y].rows, b.outs[x].rows) })
	if !b.e.reserve(b.demand(kept)) {
		return false
	}
	b.templates = make([]Template, 1, len(kept)+1)
	numbers := make([]uint32, len(b.outs))
	for i, o := range kept {
		numbers[o] = uint32(i + 1)
		b.templates = append(b.templates, makeTemplate(b.outs[o].key, b.outs[o].rows))
	}
	b.templates[0].Rows = rest
	b.transpose(numbers)
	return true
}

// wholeSlots counts the rows of a template that is one slot, unless the values of that may be numbers.
func (b *textBuilder) wholeSlots() int {
	for o := range b.outs {
		if b.outs[o].key != "G\x11" {
			continue
		}
		rows, chars := b.outs[o].rows, Charset(0)
		for i := 0; i < len(b.rows) && rows < len(b.rows); i += 1 + len(b.rows)/charSample {
			if s := b.rowShape[i]; s != noShape && b.shapes[s].out == o {
				chars |= CharsetOf(b.e.bytes(b.rows[i]))
			}
		}
		if rows == len(b.rows) || chars&^(Digits|HexLower|HexUpper|Dot|Dash|Colon) != 0 {
			return rows
		}
	}
	return 0
}

// demand is what the slots of the templates may take of the limits of a page.
func (b *textBuilder) demand(kept []int) budget {
	d := budget{columns: 3, cells: 3 * len(b.rows)} // the IDs, template 0 and its lengths
	for _, o := range kept {
		slots := strings.Count(b.outs[o].key, string(rune(placeholder)))
		d.columns += slots * columnsOfSlot
		d.cells += slots * columnsOfSlot * b.outs[o].rows
	}
	return d
}

// transpose fills ids, slots and whole in one pass over the rows. numbers holds the template of each out.
func (b *textBuilder) transpose(numbers []uint32) {
	total := 0
	for k := range b.templates {
		total += b.templates[k].Rows * len(b.templates[k].Slots)
	}
	b.cells = resize(b.cells, total)
	b.slots = resize(b.slots, len(b.templates))
	b.order = resize(b.order, len(b.rows))
	b.rowsOf = resize(b.rowsOf, len(b.templates))
	at, row := 0, 0
	for k := range b.templates {
		t := &b.templates[k]
		b.rowsOf[k] = b.order[row : row : row+t.Rows]
		row += t.Rows
		b.slots[k] = make([][]extent, len(t.Slots))
		for s := range b.slots[k] {
			b.slots[k][s] = b.cells[at : at+t.Rows]
			at += t.Rows
		}
	}
	b.ids = resize(b.ids, len(b.rows))
	b.whole = b.whole[:0]
	for i, id := range b.rowShape {
		if id == noShape || numbers[b.shapes[id].out] == 0 {
			b.ids[i] = 0
			b.whole = append(b.whole, b.rows[i])
			continue
		}
		shape := &b.shapes[id]
		k := numbers[shape.out]
		b.ids[i] = k
		j := len(b.rowsOf[k])
		b.rowsOf[k] = append(b.rowsOf[k], uint32(i))
		vars := b.tok.vars[b.rowVars[i]:]
		slots := b.slots[k]
		if shape.plain {
			for s, values := range slots {
				values[j] = vars[s]
			}
			continue
		}
		for s, values := range slots {
			values[j] = shape.parts[s].of(b.rows[i], vars)
		}
	}
}

// build encodes the columns, in the order in which the directory holds them.
func (b *textBuilder) build() *Column {
	c := newColumn(Text, len(b.rows))
	c.TextForm = &TextForm{Templates: b.templates}
	c.Stamp.MinLen, c.Stamp.MaxLen = lengthsOf(b.rows)
	if b.grain == lineGrain {
		b.e.blobs.expect(len(b.templates))
	}
	b.clocked = b.grain == lineGrain && len(b.e.times) == c.Rows
	b.encodeIDs(c)
	b.encodeShared(c)
	b.encodeWhole()
	for k := 1; k < len(b.templates); k++ {
		for s := range b.templates[k].Slots {
			if slot := &b.templates[k].Slots[s]; slot.Column == nil {
				slot.Column = b.encodeSlot(b.slots[k][s], b.rowsOf[k])
				slot.Column.bind(b.e.pageTimes(), c, k, -1)
			}
		}
	}
	c.stampText()
	b.triples()
	return c
}

// encodeSlot encodes the values of a slot, which are those of rows.
func (b *textBuilder) encodeSlot(values []extent, rows []uint32) *Column {
	if b.clocked {
		if b.e.rows = (pageRows{known: true, list: rows}); len(rows) == len(b.rows) {
			b.e.rows.list = nil
		}
	}
	return b.e.encodeSlot(values, b.grain+1)
}

// encodeWhole encodes template 0: the rows as they are.
func (b *textBuilder) encodeWhole() {
	values := newColumn(Const, 0)
	if n := len(b.whole); n > 0 {
		values = newColumn(Const, n) // if all are empty: there would be no payload
		if _, most := lengthsOf(b.whole); most > 0 {
			values = b.e.encodeRaw(b.whole)
		}
	}
	b.templates[0] = wholeTemplate(len(b.whole), values)
}

// encodeShared encodes the columns that several templates have a slot in.
func (b *textBuilder) encodeShared(c *Column) {
	b.from, b.to = b.window()
	for _, f := range b.findFamilies() {
		if b.prune(f); len(f.members) < 2 {
			continue
		}
		for _, m := range f.members {
			b.templates[m.template].Slots[m.slot].Shared = len(c.Shared)
		}
		shared := b.encodeSlot(b.mergeMembers(f))
		shared.bind(b.e.pageTimes(), c, -1, len(c.Shared))
		for _, m := range f.members {
			b.templates[m.template].Slots[m.slot].Column = shared
		}
		c.Shared = append(c.Shared, shared)
	}
}

// lengthsOf returns the least and the greatest length of values.
func lengthsOf(values []extent) (least, most int) {
	lo, hi := values[0].n, values[0].n
	for _, v := range values[1:] {
		lo, hi = min(lo, v.n), max(hi, v.n)
	}
	return int(lo), int(hi)
}

// encodeIDs encodes the templates' numbers of the rows of c.
func (b *textBuilder) encodeIDs(c *Column) {
	c.IDs = newIDs(c.Rows, c.Templates)
	if c.IDs.Kind == Const {
		return
	}
	e := b.e
	e.scratch = block.AppendInts(e.scratch[:0], b.ids)
	if b.grain == lineGrain {
		c.IDs.Payload = e.blobs.putOwn(e.scratch, Spine)
	} else {
		c.IDs.Payload = e.blobs.putInts(e.scratch)
	}
}

// newIDs returns the IDs of a Text column without their payload.
func newIDs(rows int, templates []Template) *Column {
	c := newColumn(Int, rows)
	c.stampIDs(templates)
	return c
}

// stampIDs sets what follows for the IDs of a Text column from its templates: Const if one has all rows.
func (c *Column) stampIDs(templates []Template) {
	first := true
	for k := range templates {
		if templates[k].Rows == 0 {
			continue
		}
		if first {
			c.Stamp.Min, first = int64(k), false
		}
		c.Stamp.Max = int64(k)
	}
	if c.Stamp.Min == c.Stamp.Max {
		c.Kind = Const
		c.setConstant(appendDecimal(nil, c.Stamp.Min))
		return
	}
	c.stampInt()
}
