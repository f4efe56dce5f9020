package column

// ValueLengths returns how long the value of each row of c is, in bytes; 0 where a Sparse column has none. No value is
// rebuilt: of a template the lengths of its pieces and of its slots are added, and what all values of a column have
// in common isn't read.
func (r *Reader) ValueLengths(c *Column) []uint32 {
	out := make([]uint32, c.Rows)
	if !r.lengthsAtHand(c) {
		return out
	}
	l := lengther{r: r, known: map[*Column][]uint32{}}
	l.add(out, nil, c, nil)
	return out
}

// fixedLen returns how long all values of c are, if they are of one length.
func fixedLen(c *Column) (n int, fixed bool) {
	switch c.Kind {
	case Const:
		return len(c.Constant), true
	case Hex:
		return c.Stamp.MinLen, true
	case Int:
		return c.Stamp.MinLen, c.Stamp.MinLen == c.Stamp.MaxLen
	case Raw:
		return c.Stamp.MinLen, c.Stamp.MinLen == c.Stamp.MaxLen && !c.Terminated
	case Dict:
		return fixedLen(c.Values)
	}
	return 0, false
}

// lengthsAtHand is allAtHand for what the lengths of values are made of.
func (r *Reader) lengthsAtHand(c *Column) bool {
	if _, fixed := fixedLen(c); fixed {
		return true
	}
	switch c.Kind {
	case Raw:
		if c.Lengths != nil {
			return r.numbersAtHand(c.Lengths)
		}
	case Text:
		return r.textLengthsAtHand(c)
	}
	ok := r.numbersAtHand(c)
	if c.Values != nil {
		ok = r.lengthsAtHand(c.Values) && ok
	}
	return ok
}

func (r *Reader) textLengthsAtHand(c *Column) bool {
	ok := r.numbersAtHand(c.IDs)
	for s := range c.SharedColumns() {
		ok = r.lengthsAtHand(s) && ok
	}
	for k := range c.Templates {
		for s := range c.Templates[k].Slots {
			if slot := &c.Templates[k].Slots[s]; slot.Shared < 0 {
				ok = r.lengthsAtHand(slot.Values()) && ok
			}
		}
	}
	return ok
}

// lengther adds up lengths of values.
type lengther struct {
	r     *Reader
	known map[*Column][]uint32 // of columns that aren't fixed
}

// add adds the length of value places[i] of c to out[rows[i]]. Nil rows or places are all in order.
func (l *lengther) add(out []uint32, rows []uint32, c *Column, places []uint32) {
	if n, fixed := fixedLen(c); fixed {
		addConstant(out, rows, uint32(n))
		return
	}
	lens := l.of(c)
	switch {
	case lens == nil: // damaged
	case rows == nil && places == nil:
		for i, n := range lens {
			out[i] += n
		}
	case rows == nil:
		for i, at := range places {
			out[i] += lens[at]
		}
	case places == nil:
		for i, row := range rows {
			out[row] += lens[i]
		}
	default:
		for i, row := range rows {
			out[row] += lens[places[i]]
		}
	}
}

func addConstant(out []uint32, rows []uint32, n uint32) {
	if rows == nil {
		for i := range out {
			out[i] += n
		}
		return
	}
	for _, row := range rows {
		out[row] += n
	}
}

// of returns the lengths of the values of c, as many as it has rows; nil where c is damaged.
func (l *lengther) of(c *Column) []uint32 {
	if lens, ok := l.known[c]; ok {
		return lens
	}
	lens := l.lengths(c)
	if len(lens) != c.Rows {
		lens = nil
	}
	l.known[c] = lens
	return lens
}

func (l *lengther) lengths(c *Column) []uint32 {
	switch c.Kind {
	case Int:
		return l.ints(c)
	case Raw:
		return l.raw(c)
	case Dict:
		codes, ok := l.r.codes(c)
		entries := l.of(c.Values)
		if !ok || entries == nil {
			return nil
		}
		out := make([]uint32, len(codes))
		for i, code := range codes {
			out[i] = entries[code]
		}
		return out
	case Sparse:
		return l.sparse(c)
	case Text:
		return l.text(c)
	}
	return nil
}

func (l *lengther) ints(c *Column) []uint32 {
	ints, ok := l.r.ints(c)
	if !ok {
		return nil
	}
	out := make([]uint32, len(ints))
	f := &c.Int
	digits := *f == (IntFormat{})
	var buf [maxNumberLen]byte
	for i, x := range ints {
		if digits && x >= 0 {
			out[i] = uint32(decimalLen(x)) // Fast path: most numbers.
			continue
		}
		out[i] = uint32(len(appendInt(buf[:0], f, x)))
	}
	return out
}

func (l *lengther) raw(c *Column) []uint32 {
	out := make([]uint32, c.Rows)
	if c.Lengths != nil {
		lengths, ok := l.r.ints(c.Lengths)
		if !ok {
			return nil
		}
		for i, n := range lengths {
			out[i] = uint32(n)
		}
		return out
	}
	v := l.r.rawBytes(c)
	if v.Len() != c.Rows {
		return nil
	}
	start := uint32(0)
	for i, end := range v.Ends {
		out[i], start = end-start, end
	}
	return out
}

func (l *lengther) sparse(c *Column) []uint32 {
	places := l.r.sparsePlaces(c)
	if places == nil {
		return nil
	}
	lens := make([]uint32, c.Values.Rows)
	l.add(lens, nil, c.Values, nil)
	out := make([]uint32, c.Rows)
	for row, at := range places {
		if at > 0 {
			out[row] = lens[at-1]
		}
	}
	return out
}

func (l *lengther) text(c *Column) []uint32 {
	out := make([]uint32, c.Rows)
	for k := range c.Templates {
		t := &c.Templates[k]
		if t.Rows == 0 {
			continue
		}
		rows := l.r.TemplateRows(c, k)
		fixed := 0
		for _, p := range t.Pieces {
			fixed += len(p)
		}
		for s := range t.Slots {
			values := t.Slots[s].Values()
			if n, ok := fixedLen(values); ok {
				fixed += n
				continue
			}
			places, shared, ok := l.r.slotPlaces(c, k, s)
			if shared && !ok {
				return nil
			}
			l.add(out, rows, values, places)
		}
		addConstant(out, rows, uint32(fixed))
	}
	return out
}
