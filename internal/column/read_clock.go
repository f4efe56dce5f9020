package column

// numbersAtHand is atHand for the payload of c, and for the timestamps that a Clock follows with what tells
// which of them are those of the rows of c.
func (r *Reader) numbersAtHand(c *Column) bool {
	ok := r.atHand(c.Payload)
	if k := c.Clock; k != nil {
		ok = r.atHand(k.times.Payload) && ok
		ok = r.atHand(k.lines.IDs.Payload) && ok
	}
	return ok
}

// clockInts returns the numbers of a column with a Clock, or false where something is not at hand or
// damaged, all of which it has noted.
func (r *Reader) clockInts(c *Column) ([]int64, bool) {
	k := c.Clock
	vals, ok := []int64(nil), true
	if !k.Steady {
		vals, ok = r.storedInts(c)
	}
	times, timesOK := r.ints(k.times)
	rows, rowsOK := r.clockRows(c)
	if !ok || !timesOK || !rowsOK {
		return nil, false
	}
	if k.Steady {
		vals = fill(c.Rows, k.Residual)
	}
	if rows != nil {
		own := make([]int64, len(rows))
		for i, row := range rows {
			own[i] = times[row]
		}
		times = own
	}
	c.Int.undoResiduals(vals, times, k.Digits)
	return vals, true
}

// clockRows returns the rows of a column with a Clock; nil: all of the page.
func (r *Reader) clockRows(c *Column) ([]uint32, bool) {
	k := c.Clock
	if c.Rows == k.lines.Rows {
		return nil, true
	}
	if k.template < 0 {
		s := r.sharedRows(k.lines, k.shared)
		ok := r.findRows(k.lines, s, c.Rows)
		return s.rows, ok
	}
	_, ok := r.ids(k.lines)
	if !ok {
		return nil, false
	}
	return r.TemplateRows(k.lines, k.template), true
}
