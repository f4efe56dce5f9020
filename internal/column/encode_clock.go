package column

import "math/bits"

// pageRows says which rows of a page the values at hand are of.
type pageRows struct {
	known bool
	list  []uint32 // nil: all
}

// setTimes remembers the timestamps of the page, which its first column holds.
func (e *Encoder) setTimes(c *Column, vals []int64, class Class) {
	if len(e.columns) == 0 && class == Spine && c.isTimes(len(vals)) {
		e.times = vals
	}
}

// findClock returns how e.ints, numbers of the format between lo and hi, follow the timestamps of their
// rows, and leaves the residuals in e.residuals; nil if they don't, or if that saves too little to make
// every reader of the column read the timestamps.
func (e *Encoder) findClock(f *IntFormat, lo, hi int64, rows pageRows) *Clock {
	if !rows.known {
		return nil // not a slot of lines
	}
	candidates := clockDigits(f)
	if len(candidates) == 0 || f.Form == Decimal && len(e.ints) < leastClockRows {
		return nil
	}
	times := e.timesOf(rows)
	first, last := rangeOf(times)
	for _, digits := range candidates {
		if f.Form == Decimal && !spansAgree(uint64(last)-uint64(first), uint64(hi)-uint64(lo), digits) {
			continue
		}
		e.residuals = resize(e.residuals, len(e.ints))
		steady := true
		for i, x := range e.ints {
			e.residuals[i] = f.residual(x, times[i], digits)
			steady = steady && e.residuals[i] == e.residuals[0]
		}
		if steady {
			return &Clock{Digits: digits, Steady: true, Residual: e.residuals[0]}
		}
		if numberBits(e.residuals)*100 < numberBits(e.ints)*clockPercent {
			return &Clock{Digits: digits}
		}
	}
	return nil
}

// timesOf returns the timestamps of rows.
func (e *Encoder) timesOf(rows pageRows) []int64 {
	if rows.list == nil {
		return e.times
	}
	e.rowTimes = resize(e.rowTimes, len(rows.list))
	for i, row := range rows.list {
		e.rowTimes[i] = e.times[row]
	}
	return e.rowTimes
}

// clockDigits returns what the units of a clock in the format may be. Numbers count seconds, or a thousandth
// of that, of that, or of that, since 1970 or since any other time.
func clockDigits(f *IntFormat) []int {
	switch {
	case f.Form == TimeOfDay || f.Form == DateTime:
		return []int{f.Scale}
	case f.Form != Decimal || f.Width > 0 || f.Scale > maxTimeScale || f.Trimmed:
		return nil
	case f.Scale%3 > 0:
		return []int{f.Scale}
	}
	return []int{0, 3, 6, 9}[f.Scale/3:]
}

// clockPercent is what the residuals may take of what the numbers would, so that they are worth reading the
// timestamps for.
const clockPercent = 85

// leastClockRows keeps out numbers that keep step by chance.
const leastClockRows = 8

// spansAgree reports whether numbers are as far apart as their timestamps, which are so many nanoseconds
// apart, about: a unit that passes is worth trying.
func spansAgree(nanoseconds, numbers uint64, digits int) bool {
	span := nanoseconds / uint64(clockUnit(digits))
	slack := span/4 + 2
	return numbers <= span+slack && numbers+slack >= span
}

// numberBits is how many bits the numbers have above their least, or below their greatest, or their
// differences above theirs.
func numberBits(vals []int64) int {
	lo, hi := rangeOf(vals)
	prev, least := vals[0], int64(0)
	for _, x := range vals {
		least = min(least, x-prev)
		prev = x
	}
	above, below, differences := 0, 0, 0
	prev = vals[0]
	for _, x := range vals {
		above += bits.Len64(uint64(x) - uint64(lo))
		below += bits.Len64(uint64(hi) - uint64(x))
		differences += bits.Len64(uint64(x-prev) - uint64(least))
		prev = x
	}
	return min(above, below, differences)
}

// encodeClock encodes what findClock found. Values that time alone tells need no filter.
func (e *Encoder) encodeClock(values []extent, f IntFormat, lo, hi int64, clock *Clock) *Column {
	c := newInts(len(values), f, lo, hi)
	c.Clock = clock
	if !clock.Steady {
		e.putNumbers(c, e.residuals)
	}
	return c
}

// pageTimes returns the timestamps, or nil.
func (e *Encoder) pageTimes() *Column {
	if e.times == nil {
		return nil
	}
	return e.columns[0]
}
