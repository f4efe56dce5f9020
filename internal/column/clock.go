package column

// Clock says that the numbers of an Int column follow the page's timestamps: most lines print their own
// time. A number is stored as its residual, which is what is left when the timestamp of its row, in units
// of 10^-Digits seconds and rounded down, is taken away. A zone is a residual that all numbers have, a
// slow agent makes one that varies a little.
//
// A page whose first column is plain integers may have such columns: slots of a Text column at the top
// level that has as many rows.
type Clock struct {
	Digits int // at most maxTimeScale
	// Steady: all residuals are Residual, and the column has no payload.
	Steady   bool
	Residual int64

	// The rows are those of template of lines, or, where it is -1, of all templates that share the column.
	times, lines     *Column
	template, shared int
}

// bind says which rows of lines the column has. It does nothing for columns without a Clock.
func (c *Column) bind(times, lines *Column, template, shared int) {
	if k := c.Clock; k != nil {
		k.times, k.lines, k.template, k.shared = times, lines, template, shared
	}
}

// isTimes reports whether c can be what the clocks of a page follow.
func (c *Column) isTimes(rows int) bool {
	return c.Kind == Int && c.Rows == rows && c.Int == IntFormat{} && c.Clock == nil
}

// clockUnit returns nanoseconds.
func clockUnit(digits int) int64 { return pow10[maxTimeScale-digits] }

// residual returns what tells x from the timestamp ts. A time of day is as far from it as the day allows:
// more than half a day early is less than half a day late.
func (f *IntFormat) residual(x, ts int64, digits int) int64 {
	now := floorDiv(ts, clockUnit(digits))
	if f.Form != TimeOfDay {
		return x - now // may wrap around, as undoing it does
	}
	day := secondsPerDay * pow10[digits]
	d := floorMod(x-floorMod(now, day), day)
	if d > day/2 {
		d -= day
	}
	return d
}

// undoResiduals replaces residuals by the numbers, given the timestamps.
func (f *IntFormat) undoResiduals(residuals, times []int64, digits int) {
	unit := clockUnit(digits)
	if f.Form != TimeOfDay {
		for i, ts := range times {
			residuals[i] += floorDiv(ts, unit)
		}
		return
	}
	day := secondsPerDay * pow10[digits]
	for i, ts := range times {
		residuals[i] = floorMod(residuals[i]+floorMod(floorDiv(ts, unit), day), day)
	}
}
