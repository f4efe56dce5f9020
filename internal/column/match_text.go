package column

import (
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// textSearch is the search for a needle in a Text column. It is kept, so that going round again, when more
// payloads are at hand, begins where the last round ended.
type textSearch struct {
	r         *Reader
	c         *Column
	n         needle
	none      bool          // by the stamps of c
	slots     *block.Bitmap // nil, or the triples of all slots
	apart     bool          // templates don't answer for what lies in a shared column entirely: see inShared
	templates []templateSearch
}

// templateSearch is the search in the rows of a template, which are numbered among themselves.
type templateSearch struct {
	answered  bool
	answer    found
	expansion *expansion // while a payload is missing
}

func (r *Reader) textSearch(c *Column, n needle, apart bool) *textSearch {
	q := n.question(c)
	q.apart = apart
	x := r.search.texts[q]
	if x == nil {
		x = &textSearch{r: r, c: c, n: n, apart: apart, slots: r.slotTriples(c), none: !n.possible(c) || r.lacks(c, n), templates: make([]templateSearch, len(c.Templates))}
		if r.search.texts == nil {
			r.search.texts = map[question]*textSearch{}
		}
		r.search.texts[q] = x
	}
	return x
}

// find answers for each template, and puts the answers together.
func (x *textSearch) find() found {
	answers := make([]found, len(x.templates))
	for k := range answers {
		answers[k] = x.template(k)
	}
	if !x.apart {
		return x.r.assemble(x.c, answers)
	}
	shared := x.inShared(answers)
	return x.r.assemble(x.c, answers).or(shared)
}

// maybe reports whether a row of template k may have the needle. It reads nothing.
func (x *textSearch) maybe(k int) bool {
	t := &x.templates[k]
	tmpl := &x.c.Templates[k]
	switch {
	case x.none || tmpl.Rows == 0:
		return false
	case t.answered:
		return !t.answer.isNone()
	case !x.n.isWide(tmpl.chars) && !x.n.within(tmpl.chars, tmpl.run):
		t.answered = true // Fast path: most templates can't have an identifier.
		return false
	case t.expansion == nil && tmpl.partly():
		if e, ok := expandUnread(tmpl, x.n, x.apart, x.slots); ok {
			t.expansion = &e // Fast path: only the columns of slots are read that may have a part of the needle.
		}
	}
	e := t.expansion
	t.answered = e != nil && !e.all && len(e.alternatives) == 0
	return !t.answered
}

// template answers for template k.
func (x *textSearch) template(k int) found {
	t := &x.templates[k]
	if t.answered || !x.maybe(k) {
		return t.answer
	}
	e := t.expansion
	if e == nil {
		y := expand(x.r.form(x.c, k), x.n, x.apart, x.slots)
		e = &y
	}
	t.answer = x.r.findExpansion(x.c, k, e)
	if t.answered = !t.answer.missing; !t.answered {
		t.expansion = e
	}
	return t.answer
}

func (r *Reader) findExpansion(c *Column, k int, x *expansion) found {
	switch {
	case x.all:
		return found{set: All}
	case x.over:
		return r.findRebuilt(c, k, x.needle)
	}
	var f found
	for _, alternative := range x.alternatives {
		f = f.or(r.findConjunction(c, k, alternative))
		if f.isAll() {
			break
		}
	}
	return f
}

// findConjunction answers for an alternative, cheapest slot first. What is missing for one doesn't keep
// it from looking at the next, so that both are fetched together; but not at one that costs more, since
// it is needed only if the first leaves a row.
func (r *Reader) findConjunction(c *Column, k int, alternative []slotNeedle) found {
	t := &c.Templates[k]
	if len(alternative) > 1 {
		slices.SortStableFunc(alternative, func(a, b slotNeedle) int {
			return r.cost(t.Slots[a.slot].Values(), a.needle) - r.cost(t.Slots[b.slot].Values(), b.needle)
		})
	}
	f := found{set: All}
	dearest := 0
	for _, a := range alternative {
		col := t.Slots[a.slot].Values()
		if f.missing && r.cost(col, a.needle)>>costTier > dearest {
			break
		}
		g := r.findSlot(c, k, a.slot, a.needle)
		if f = f.and(g); f.isNone() {
			break
		}
		if g.missing {
			dearest = r.cost(col, a.needle) >> costTier
		}
	}
	return f
}

// costTier is where the tier begins in a cost: 0 what the value filter answers, 1 pooled payloads, 2 bulk.
const costTier = 40

// cost orders columns by what a search in them takes: the tier, and in it the bytes.
func (r *Reader) cost(c *Column, n needle) int {
	if c.Kind == Dict {
		return r.cost(c.Values, n) // the codes are read only if an entry has the needle
	}
	if r.lacks(c, n) {
		return 0
	}
	if c.Filtered && (c.Kind != Raw && len(n.text) == c.Stamp.MaxLen || c.Kind == Raw && !n.fold && hasUUID(n.text)) {
		return 0
	}
	tier, size := r.weight(c)
	return tier<<costTier | min(size, 1<<costTier-1)
}

func (r *Reader) weight(c *Column) (tier, size int) {
	if c.Kind == Const {
		return 1, 0
	}
	add := func(c *Column) {
		t, n := r.weight(c)
		tier, size = max(tier, t), size+n
	}
	for _, sub := range []*Column{c.Values, c.Lengths, c.IDs} {
		if sub != nil {
			add(sub)
		}
	}
	for k := range c.Templates {
		for s := range c.Templates[k].Slots {
			add(c.Templates[k].Slots[s].Values())
		}
	}
	if c.Kind != Text {
		size += c.Payload.Len
		tier = max(tier, 1)
		if p := c.Payload; p.Blob < len(r.page.Blobs) && r.page.Blobs[p.Blob].Class == Bulk {
			tier = 2
		}
	}
	return tier, size
}

// findSlot answers for a slot, in the rows of its template.
func (r *Reader) findSlot(c *Column, k, s int, n needle) found {
	slot := &c.Templates[k].Slots[s]
	f := r.find(slot.Values(), n)
	switch {
	case slot.Shared < 0:
		return f
	case f.missing:
		return unknown
	case f.set.Bits() == nil:
		return f
	case !r.allAtHand(c.IDs):
		return unknown
	}
	return found{set: pick(f.set, r.SlotRows(c, k, s))}
}

// pick returns which of the values at places, if not nil, are in set.
func pick(set Set, places []uint32) Set {
	if places == nil || set.Bits() == nil {
		return set
	}
	values, rows := set.Bits(), block.NewBitmap(len(places))
	for j, at := range places {
		if values.Get(int(at)) {
			rows.Set(j)
		}
	}
	return SetOf(rows)
}

// assemble turns answers for the templates of c into one for its rows.
func (r *Reader) assemble(c *Column, answers []found) found {
	none, all, missing, certain := true, true, false, false
	for k, f := range answers {
		switch rows := c.Templates[k].Rows; {
		case rows == 0:
			continue
		case rows == c.Rows:
			return f
		}
		none = none && f.isNone()
		all = all && f.isAll()
		missing = missing || f.missing
		certain = certain || !f.missing && !f.isNone()
	}
	switch {
	case none:
		return found{}
	case all:
		return found{set: All}
	case missing && !certain:
		return unknown // the template numbers may turn out not to be needed
	}
	if !r.allAtHand(c.IDs) || missing {
		return unknown
	}
	return found{set: r.assembleRows(c, answers)}
}

func (r *Reader) assembleRows(c *Column, answers []found) Set {
	whole := make([]bool, len(answers))
	anyWhole := false
	for k, f := range answers {
		whole[k] = f.set.IsAll()
		anyWhole = anyWhole || whole[k]
	}
	rows := block.NewBitmap(c.Rows)
	if anyWhole {
		var ok bool
		if rows, ok = r.rowsOf(c, whole); !ok {
			return None
		}
	}
	for k, f := range answers {
		bits := f.set.Bits()
		if bits == nil || c.Templates[k].Rows == 0 {
			continue
		}
		places := r.TemplateRows(c, k)
		for j := bits.Next(0); j >= 0 && j < len(places); j = bits.Next(j + 1) {
			rows.Set(int(places[j]))
		}
	}
	return SetOf(rows)
}

// findRebuilt rebuilds the rows of template k and tests them.
func (r *Reader) findRebuilt(c *Column, k int, n needle) found {
	if !r.templateAtHand(c, k) {
		return unknown
	}
	var v block.Values
	r.Values(&v, c, r.rowsOfTemplate(c, k))
	rows := block.NewBitmap(c.Templates[k].Rows)
	for j := range min(v.Len(), rows.Len()) {
		if n.test(v.At(j)) {
			rows.Set(j)
		}
	}
	return found{set: SetOf(rows)}
}

// rowsOfTemplate returns the rows of c that are of template k.
func (r *Reader) rowsOfTemplate(c *Column, k int) Set {
	if c.Templates[k].Rows == c.Rows {
		return All
	}
	rows := block.NewBitmap(c.Rows)
	for _, row := range r.TemplateRows(c, k) {
		rows.Set(int(row))
	}
	return SetOf(rows)
}

// templateAtHand is atHand for all that the rows of template k are made of.
func (r *Reader) templateAtHand(c *Column, k int) bool {
	ok := r.allAtHand(c.IDs)
	for s := range c.Templates[k].Slots {
		ok = r.allAtHand(c.Templates[k].Slots[s].Values()) && ok
	}
	return ok
}
