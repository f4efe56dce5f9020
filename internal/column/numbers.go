package column

import (
	"math"
	"strconv"
)

// Numbers returns the values of c as numbers: value i is what strconv.ParseFloat makes of its printed form.
// ok is false for columns that are not Int in decimal form. MatchFunc answers for the entries of a Dict.
func (r *Reader) Numbers(c *Column) (vals []float64, ok bool) {
	if !isDecimal(c) {
		return nil, false
	}
	vals = make([]float64, c.Rows)
	if !r.numbersAtHand(c) {
		return vals, true
	}
	for i, x := range r.Int64s(c)[:c.Rows] {
		vals[i] = toFloat(&c.Int, x)
	}
	return vals, true
}

func isDecimal(c *Column) bool { return c.Kind == Int && c.Int.Form == Decimal }

// toFloat returns the number that x is printed as, rounded once.
func toFloat(f *IntFormat, x int64) float64 {
	const exact = 1 << 53
	if x >= -exact && x <= exact {
		// Fast path: both operands are exact, so the quotient is rounded as the decimal number would be.
		return float64(x) / float64(pow10[f.Scale])
	}
	var buf [maxNumberLen]byte
	v, err := strconv.ParseFloat(string(appendInt(buf[:0], f, x)), 64)
	if err != nil {
		return math.NaN() // not reached: what appendInt prints is a number
	}
	return v
}

// Comparison is how a number compares with another.
type Comparison uint8

// The comparisons.
const (
	Less Comparison = iota
	LessOrEqual
	Greater
	GreaterOrEqual
	Same
	Different
)

// MatchNumber returns those of the rows in among whose number compares with x in the way of cmp, as numbers
// of Numbers do. Where the stamps decide, nothing is read. ok is as for Numbers.
func (r *Reader) MatchNumber(c *Column, among Set, cmp Comparison, x float64) (rows Set, ok bool) {
	if !isDecimal(c) {
		return None, false
	}
	if x != x {
		if cmp == Different {
			return among, true
		}
		return None, true
	}
	if cmp == Different {
		f := r.findComparison(c, Same, x)
		if f.missing {
			return among, true
		}
		return among.And(f.set.Not()), true
	}
	return among.And(r.findComparison(c, cmp, x).set), true
}

// findComparison turns the comparison of floats into one of integers: toFloat is monotonic.
func (r *Reader) findComparison(c *Column, cmp Comparison, x float64) found {
	lo, hi := c.Stamp.Min, c.Stamp.Max
	n := uint64(hi) - uint64(lo)
	count := n + 1
	if count == 0 {
		count = n // every int64: the greatest is as float64 what the one before it is
	}
	at := func(i uint64) float64 { return toFloat(&c.Int, lo+int64(i)) }
	from := leastIndex(count, func(i uint64) bool { return at(i) >= x })
	after := leastIndex(count, func(i uint64) bool { return at(i) > x })
	var first, end uint64 // the numbers lo+first up to before lo+end
	switch cmp {
	case Less:
		end = from
	case LessOrEqual:
		end = after
	case Greater:
		first, end = after, count
	case GreaterOrEqual:
		first, end = from, count
	case Same:
		first, end = from, after
	}
	if first >= end {
		return found{}
	}
	last := lo + int64(end-1)
	if end == count {
		last = hi
	}
	return r.findIntervals(c, []interval{{lo + int64(first), last}})
}
