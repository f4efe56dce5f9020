package traceql

import (
	"math"
	"math/bits"
)

// histogram counts integers by power-of-two buckets: bucket b holds (2^(b-1), 2^b]. Values below 2
// are not counted.
type histogram [64]float64

// log2Bucket returns the bucket of an integer or duration, -1 for anything else.
func log2Bucket(v Value) int {
	if v.Kind != KindInt && v.Kind != KindDuration || v.n < 2 {
		return -1
	}
	return bits.Len64(uint64(v.n - 1))
}

// quantile estimates the q-quantile: the bucket in which the sample of that rank lies, divided
// exponentially. A nil or empty histogram has none and answers 0.
func (h *histogram) quantile(q float64) float64 {
	if h == nil {
		return 0
	}
	total := 0.0
	for _, c := range h {
		total += c
	}
	if total == 0 {
		return 0
	}
	rank := math.Max(math.Ceil(q*total), 1)
	before := 0.0
	low := -1 // the last bucket with samples below
	for b, c := range h {
		if c == 0 {
			continue
		}
		if before+c < rank {
			before += c
			low = b
			continue
		}
		from := float64(b - 1)
		if low >= 0 {
			from = float64(low)
		}
		return math.Exp2(from + (float64(b)-from)*(rank-before)/c)
	}
	return 0
}
