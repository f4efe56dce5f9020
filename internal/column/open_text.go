package column

// ids returns the template of each row of a Text column, of which several have rows. It reports false
// where they are not at hand or damaged.
func (r *Reader) ids(c *Column) ([]int64, bool) {
	if o := r.of(c.IDs); o.ints != nil && r.of(c).ranks != nil {
		return o.ints, true
	}
	if _, ok := r.open(c.IDs); !ok || r.of(c).bad {
		return nil, false
	}
	ids := r.Int64s(c.IDs)
	if r.of(c.IDs).bad {
		return nil, false
	}
	counts := make([]uint32, len(c.Templates))
	ranks := r.Scratch(len(ids))
	for i, id := range ids {
		ranks[i] = counts[id]
		counts[id]++
	}
	for k := range c.Templates {
		if int(counts[k]) != c.Templates[k].Rows {
			r.damaged(c, errMismatch)
			return nil, false
		}
	}
	r.of(c).ranks = ranks
	return ids, true
}

// only returns the template that has all rows of c, or -1.
func (c *Column) only() int {
	if c.IDs.Kind != Const {
		return -1
	}
	k, _ := parseDecimal(c.IDs.Constant, 0)
	return int(k)
}

// TemplateRows returns the rows of template k of a Text column, ascending; nil if every row is of it. They
// are shared: don't write.
func (r *Reader) TemplateRows(c *Column, k int) []uint32 {
	if k == c.only() {
		return nil
	}
	o := r.of(c)
	if o.rows != nil {
		return o.rows[k]
	}
	ids, ok := r.ids(c)
	if !ok {
		return make([]uint32, c.Templates[k].Rows)
	}
	order := r.Scratch(c.Rows)
	o.rows = make([][]uint32, len(c.Templates))
	at := 0
	for k := range c.Templates {
		n := c.Templates[k].Rows
		o.rows[k] = order[at : at+n : at+n]
		at += n
	}
	for i, id := range ids {
		o.rows[id][o.ranks[i]] = uint32(i)
	}
	return o.rows[k]
}

// SlotRows returns for the rows of template k which value of the column of slot s is theirs; nil: value j
// for row j. They are shared: don't write.
func (r *Reader) SlotRows(c *Column, k, s int) []uint32 {
	places, shared, ok := r.slotPlaces(c, k, s)
	if shared && !ok {
		return make([]uint32, c.Templates[k].Rows)
	}
	return places
}

// slotPlaces is SlotRows, but that it reports whether the rows of other templates have values in the
// column, too, and false where the places are not at hand or damaged.
func (r *Reader) slotPlaces(c *Column, k, s int) (places []uint32, shared, ok bool) {
	n := c.Templates[k].Slots[s].Shared
	if n < 0 || c.Templates[k].Rows == c.sharedLen(n) {
		return nil, false, true
	}
	known := r.sharedRows(c, n)
	if !r.findPlaces(c, known, c.sharedLen(n)) {
		return nil, true, false
	}
	return known.places[known.of(k)], true, true
}
