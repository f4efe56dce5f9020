package column

import "github.com/hune-io/hune/internal/block"

// selectInts returns the rows of c whose integer, as the payload holds it, t selects. It keeps nothing: a
// question that needs some rows only doesn't pay for an integer of each. It reports false where the payload
// is not at hand or damaged.
func (r *Reader) selectInts(c *Column, t *block.IntTest) (*block.Bitmap, bool) {
	b, ok := r.open(c)
	if !ok {
		return nil, false
	}
	d := block.NewDecoder(b)
	rows := block.SelectInts(d, c.Rows, t)
	if err := d.Finish(); err != nil {
		r.damaged(c, err)
		return nil, false
	}
	return rows, true
}

// selectCodes returns the rows of a Dict of which the entry is one of entries.
func (r *Reader) selectCodes(c *Column, entries *block.Bitmap) Set {
	if o := r.of(c); o.codes == nil && !c.Recency {
		keep := make([]bool, c.Values.Rows)
		for i := entries.Next(0); i >= 0; i = entries.Next(i + 1) {
			keep[i] = true
		}
		rows, ok := r.selectInts(c, &block.IntTest{Max: int64(len(keep) - 1), Keep: keep})
		if !ok {
			return None
		}
		return SetOf(rows)
	}
	rows := block.NewBitmap(c.Rows)
	for i, code := range r.Codes(c) {
		if entries.Get(int(code)) {
			rows.Set(i)
		}
	}
	return SetOf(rows)
}

// RowsOfTemplates returns the rows of a Text column whose template is one of those marked.
func (r *Reader) RowsOfTemplates(c *Column, marked []bool) Set {
	n := 0
	for k, is := range marked {
		if is {
			n += c.Templates[k].Rows
		}
	}
	switch n {
	case 0:
		return None
	case c.Rows:
		return All
	}
	rows, ok := r.rowsOf(c, marked)
	if !ok {
		return None
	}
	return SetOf(rows)
}

func (r *Reader) rowsOf(c *Column, marked []bool) (*block.Bitmap, bool) {
	if r.of(c.IDs).ints == nil {
		return r.selectInts(c.IDs, &block.IntTest{Min: c.IDs.Stamp.Min, Max: c.IDs.Stamp.Max, Keep: marked[c.IDs.Stamp.Min : c.IDs.Stamp.Max+1]})
	}
	rows := block.NewBitmap(c.Rows)
	for i, id := range r.Int64s(c.IDs) {
		if marked[id] {
			rows.Set(i)
		}
	}
	return rows, true
}
