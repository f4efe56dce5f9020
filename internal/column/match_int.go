package column

import (
	"bytes"
	"math"

	"github.com/hune-io/hune/internal/block"
)

// maxProbes bounds how many values are looked up in the value filter for one question. The numbers that
// begin with a given one are 1, 11, 111, …: of 111 probes for absent values at least one is answered maybe
// in three pages of four, and the pieces were read for nothing.
const maxProbes = 32

// interval is the numbers from lo to hi.
type interval struct{ lo, hi int64 }

func (r *Reader) findInt(c *Column, n needle) found {
	if n.fold && bytes.ContainsAny(n.text, "abcdefghijklmnopqrstuvwxyz") {
		return r.findPrinted(c, n) // a date-time: the letters of its format may be of the other case
	}
	if n.op == Equal || len(n.text) == c.Stamp.MaxLen {
		x, ok := parseInt(&c.Int, n.text)
		if !ok {
			return found{}
		}
		return r.findIntervals(c, []interval{{x, x}})
	}
	if n.op == Prefix && !c.Int.Trimmed {
		return r.findIntervals(c, prefixIntervals(c, n.text))
	}
	if n.op == Suffix {
		if f, ok := r.findLastDigits(c, n.text); ok {
			return f
		}
	}
	if c.Filtered && len(n.text) == c.Stamp.MaxLen-1 {
		if f, ok := r.findLonger(c, n); ok {
			return f
		}
	}
	return r.findPrinted(c, n)
}

// findLastDigits answers for a needle of digits at the end of plain numbers by arithmetic; ok is false where
// they are none.
func (r *Reader) findLastDigits(c *Column, text []byte) (f found, ok bool) {
	if c.Int != (IntFormat{}) || c.Stamp.Min < 0 || len(text) == 0 || len(text) > maxScale {
		return found{}, false
	}
	tail := int64(0)
	for _, d := range text {
		if d < '0' || d > '9' {
			return found{}, true
		}
		tail = tail*10 + int64(d-'0')
	}
	if !r.numbersAtHand(c) {
		return unknown, true
	}
	rows := block.NewBitmap(c.Rows)
	modulus, least := pow10[len(text)], pow10[len(text)-1]
	if len(text) == 1 {
		least = 0 // of one digit are 0, too
	}
	for i, x := range r.Int64s(c) {
		if x%modulus == tail && x >= least {
			rows.Set(i)
		}
	}
	return found{set: SetOf(rows)}, true
}

// findLonger answers for a needle that is one byte short of the longest value, if the filter has none of
// the values that can have it.
func (r *Reader) findLonger(c *Column, n needle) (f found, ok bool) {
	var intervals []interval
	try := func(b []byte) {
		if x, ok := parseInt(&c.Int, b); ok && n.test(b) {
			intervals = append(intervals, interval{x, x})
		}
	}
	try(n.text)
	for _, d := range "-0123456789" {
		try(append([]byte{byte(d)}, n.text...))
		try(append(n.text[:len(n.text):len(n.text)], byte(d)))
	}
	return r.probeIntervals(c, clip(intervals, c.Stamp.Min, c.Stamp.Max))
}

// clip cuts the intervals to the numbers from lo to hi.
func clip(intervals []interval, lo, hi int64) []interval {
	var out []interval
	for _, s := range intervals {
		if s.lo, s.hi = max(s.lo, lo), min(s.hi, hi); s.lo <= s.hi {
			out = append(out, s)
		}
	}
	return out
}

// findIntervals returns the rows whose number is in one of the intervals.
func (r *Reader) findIntervals(c *Column, intervals []interval) found {
	intervals = clip(intervals, c.Stamp.Min, c.Stamp.Max)
	if len(intervals) == 0 {
		return found{}
	}
	if intervals[0].lo == c.Stamp.Min && intervals[0].hi == c.Stamp.Max {
		return found{set: All}
	}
	if c.Filtered {
		if f, ok := r.probeIntervals(c, intervals); ok {
			return f
		}
	}
	if !r.numbersAtHand(c) {
		return unknown
	}
	if len(intervals) == 1 && c.Clock == nil && c.Zeros == 0 && r.of(c).ints == nil {
		// Fast path: compared as stored.
		rows, ok := r.selectInts(c, &block.IntTest{Min: c.Stamp.Min, Max: c.Stamp.Max, From: intervals[0].lo, To: intervals[0].hi})
		if !ok {
			return found{}
		}
		return found{set: SetOf(rows)}
	}
	rows := block.NewBitmap(c.Rows)
	vals := r.Int64s(c)
	for _, s := range intervals {
		width := uint64(s.hi) - uint64(s.lo)
		for i, x := range vals {
			if uint64(x)-uint64(s.lo) <= width {
				rows.Set(i)
			}
		}
	}
	return found{set: SetOf(rows)}
}

// probeIntervals asks the value filter for each number of the intervals. It returns what follows, or false if
// nothing does.
func (r *Reader) probeIntervals(c *Column, intervals []interval) (f found, ok bool) {
	total := uint64(0)
	for _, s := range intervals {
		n := uint64(s.hi) - uint64(s.lo)
		if n >= maxProbes {
			return found{}, false
		}
		total += n + 1
	}
	if total > maxProbes {
		return found{}, false
	}
	var buf [maxNumberLen]byte
	for _, s := range intervals {
		for i := range uint64(s.hi) - uint64(s.lo) + 1 {
			maybe, known := r.mayHold(appendInt(buf[:0], &c.Int, s.lo+int64(i)))
			switch {
			case !known:
				f = unknown // go on: the pieces for the other numbers are fetched with this one
			case maybe:
				return found{}, false
			}
		}
	}
	return f, true
}

// prefixIntervals returns the numbers of c that begin with text as they are printed.
func prefixIntervals(c *Column, text []byte) []interval {
	if c.Int.Form == IPv4 {
		return addressIntervals(text)
	}
	var intervals []interval
	for _, s := range clip(sameLength(&c.Int), c.Stamp.Min, c.Stamp.Max) {
		// Among numbers that are printed in as many bytes, the order of the texts is that of the numbers,
		// or the reverse where there is a minus sign: those with a prefix are neighbours.
		at := func(i uint64) int64 { return s.lo + int64(i) }
		if s.hi < 0 && c.Int.Form == Decimal {
			at = func(i uint64) int64 { return s.hi - int64(i) }
		}
		compare := func(i uint64) int {
			var buf [maxNumberLen]byte
			b := appendInt(buf[:0], &c.Int, at(i))
			return bytes.Compare(b[:min(len(b), len(text))], text)
		}
		n := uint64(s.hi) - uint64(s.lo) + 1
		first := leastIndex(n, func(i uint64) bool { return compare(i) >= 0 })
		after := leastIndex(n, func(i uint64) bool { return compare(i) > 0 })
		if first < after {
			a, b := at(first), at(after-1)
			intervals = append(intervals, interval{min(a, b), max(a, b)})
		}
	}
	return intervals
}

// leastIndex returns the least i below n for which f is true, given that it is true from there on; else n.
func leastIndex(n uint64, f func(i uint64) bool) uint64 {
	lo, hi := uint64(0), n
	for lo < hi {
		if mid := lo + (hi-lo)/2; f(mid) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// sameLength returns all numbers that f can print, in intervals of numbers that are printed in as many bytes.
func sameLength(f *IntFormat) []interval {
	if f.Form != Decimal {
		return []interval{{math.MinInt64, math.MaxInt64}}
	}
	bounds := pow10[min(maxScale, max(1, f.Scale+1, f.Width)):]
	if f.Width > maxScale || f.Scale >= maxScale {
		bounds = nil // all of an int64 fits the width, or the digits before the point are but one
	}
	intervals := make([]interval, 0, 2*len(bounds)+2)
	lo := int64(0)
	for _, b := range bounds {
		intervals = append(intervals, interval{lo, b - 1}, interval{1 - b, min(-lo, -1)})
		lo = b
	}
	return append(intervals, interval{lo, math.MaxInt64}, interval{math.MinInt64, min(-lo, -1)})
}

// addressIntervals returns the addresses that begin with text.
func addressIntervals(text []byte) []interval {
	prefix, shift := int64(0), 24
	for {
		dot := bytes.IndexByte(text, '.')
		if dot < 0 {
			break
		}
		part, ok := parseDecimal(text[:dot], 0)
		if !ok || part < 0 || part > 255 || shift == 0 {
			return nil
		}
		prefix |= part << shift
		shift -= 8
		text = text[dot+1:]
	}
	if len(text) == 0 {
		return []interval{{prefix, prefix + 256<<shift - 1}}
	}
	part, ok := parseDecimal(text, 0)
	if !ok || part < 0 || part > 255 {
		return nil
	}
	// 1 is the beginning of 1, 10 to 19 and 100 to 199.
	intervals := []interval{{prefix + part<<shift, prefix + (part+1)<<shift - 1}}
	for width := int64(10); width <= 100 && part > 0 && part*width <= 255; width *= 10 {
		intervals = append(intervals, interval{prefix + part*width<<shift, prefix + min(part*width+width, 256)<<shift - 1})
	}
	return intervals
}

// findPrinted prints the numbers and tests them.
func (r *Reader) findPrinted(c *Column, n needle) found {
	if !r.numbersAtHand(c) {
		return unknown
	}
	return found{set: r.testInts(c, All, n.test)}
}

// testInts returns those of the rows in among whose number, as it is printed, passes f. The payload of c
// is at hand.
func (r *Reader) testInts(c *Column, among Set, f func([]byte) bool) Set {
	var buf [maxNumberLen]byte
	test := func(x int64) bool { return f(appendInt(buf[:0], &c.Int, x)) }
	if width := uint64(c.Stamp.Max) - uint64(c.Stamp.Min); width < uint64(c.Rows) {
		// Fast path: numbers repeat, so that each is printed once.
		test = remember(test, c.Stamp.Min, int(width)+1)
	}
	rows := block.NewBitmap(c.Rows)
	for i, x := range r.Int64s(c) {
		if among.Has(i) && test(x) {
			rows.Set(i)
		}
	}
	return SetOf(rows)
}

// remember returns f, which is asked only once for each of the n numbers from lo on, and for no other.
func remember(f func(int64) bool, lo int64, n int) func(int64) bool {
	const yes, no = 1, 2
	answers := make([]uint8, n)
	return func(x int64) bool {
		i := uint64(x) - uint64(lo)
		if i >= uint64(n) {
			return false
		}
		if answers[i] == 0 {
			answers[i] = no
			if f(x) {
				answers[i] = yes
			}
		}
		return answers[i] == yes
	}
}
