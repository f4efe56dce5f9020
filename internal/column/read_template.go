package column

import (
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// TemplateValues appends to v the values of the rows of template k of a Text column, in their order. What
// tells which rows these are isn't read, unless a slot's values stand among those of other templates. Where
// something is not at hand it appends as many empty ones.
func (r *Reader) TemplateValues(v *block.Values, c *Column, k int) {
	n := c.Templates[k].Rows
	v.Ends = slices.Grow(v.Ends, n)
	r.guarded(v, n, func() bool {
		if t := &c.Templates[k]; t.Mode == Whole {
			return r.appendValues(v, t.Slots[0].Values(), All) // Fast path: the slot is all of the line.
		}
		t, ok := r.lineSource(c, k, All)
		if !ok {
			return false
		}
		for j := 0; j < n && len(v.Data) <= r.most; j++ {
			t.append(v, j, j)
		}
		return true
	})
}
