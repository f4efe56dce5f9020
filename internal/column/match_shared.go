package column

import "github.com/hune-io/hune/internal/block"

// A value of a column that templates share has the needle whichever template its row is of, and then so has the row.
// So each such column is searched for the whole needle once, for all templates, and its rows are found in one walk over
// the template numbers. What is left to the templates are needles that begin or end outside of such a column.

// inShared looks for the needle in the columns that templates share. Where all values of one have it, it says so in
// answers, which are by template; the others' rows it returns.
func (x *textSearch) inShared(answers []found) found {
	var out found
	for n, asks := range x.asking(answers) {
		if !asks {
			continue
		}
		f := x.r.find(x.c.sharedColumn(n), x.n)
		switch {
		case f.missing:
			out = out.or(unknown)
		case f.set.IsAll():
			x.answerAll(answers, n)
		case !f.isNone():
			out = out.or(x.r.rowsOfShared(x.c, n, f.set.Bits()))
		}
	}
	return out
}

// asking returns the shared columns that may have the needle, and in which a row has a value of which the answer isn't
// known already.
func (x *textSearch) asking(answers []found) []bool {
	asks := make([]bool, x.c.sharedCount())
	for k := range answers {
		t := &x.c.Templates[k]
		if t.Rows == 0 || answers[k].isAll() {
			continue
		}
		for i := range t.Slots {
			if n := t.Slots[i].Shared; n >= 0 {
				asks[n] = true
			}
		}
	}
	for n := range asks {
		stamp := x.c.sharedStamp(n)
		asks[n] = asks[n] && x.n.possibleFor(stamp) && x.n.mayBeIn(x.slots, stamp.Chars)
	}
	return asks
}

// sharedStamp returns what is known of the values of shared column n without reading its description.
func (c *Column) sharedStamp(n int) *Stamp {
	if c.TextForm.shared > 0 && !c.parts[n].isRead.Load() {
		return &c.parts[n].stamp
	}
	return &c.sharedColumn(n).Stamp
}

func (x *textSearch) answerAll(answers []found, n int) {
	for k, is := range x.c.membersOf(n) {
		if is {
			answers[k] = found{set: All}
		}
	}
}

// membersOf marks the templates that have a slot in shared column n.
func (c *Column) membersOf(n int) []bool {
	members := make([]bool, len(c.Templates))
	for k := range c.Templates {
		for i := range c.Templates[k].Slots {
			members[k] = members[k] || c.Templates[k].Slots[i].Shared == n
		}
	}
	return members
}

// rowsOfShared returns the rows of c whose values in shared column n are those in values.
func (r *Reader) rowsOfShared(c *Column, n int, values *block.Bitmap) found {
	switch {
	case c.only() >= 0:
		return found{set: SetOf(values)} // the rows of one template
	case !r.allAtHand(c.IDs):
		return unknown
	}
	from, ok := r.rowsOf(c, c.membersOf(n))
	if !ok {
		return unknown
	}
	if from.Count() != values.Len() {
		r.damaged(c, errMismatch)
		return unknown
	}
	rows := block.NewBitmap(c.Rows)
	rows.AddNumbered(from, values)
	return found{set: SetOf(rows)}
}
