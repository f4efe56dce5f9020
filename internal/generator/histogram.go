package generator

import (
	"math"
	"slices"
	"sort"

	"github.com/prometheus/prometheus/model/histogram"

	"github.com/hune-io/hune/internal/traces"
)

// form says which forms of histograms a tenant wants.
type form struct{ classic, native bool }

// distribution counts durations in seconds. Counts are floats: a sampled span may stand for 2.5.
type distribution struct {
	bounds     []float64 // classic: upper bounds, shared
	counts     []float64 // one more than bounds, not cumulative; nil without the classic form
	native     *native   // nil without the native form
	count, sum float64

	exemplar exemplarOf // the slowest since the last write
	born     int64      // of its series: Unix milliseconds of their zero
	sent     bool       // the series have been stored
}

// exemplarOf is the trace of a span.
type exemplarOf struct {
	trace   traces.ID
	seconds float64
	at      int64 // Unix milliseconds, zero for none
}

func (d *distribution) init(f form, bounds []float64) {
	if f.classic {
		d.bounds, d.counts = bounds, make([]float64, len(bounds)+1)
	}
	if f.native {
		d.native = &native{schema: maxSchema}
	}
}

func (d *distribution) observe(seconds, times float64, trace *traces.ID, now int64) {
	d.count += times
	d.sum += seconds * times
	if d.counts != nil {
		d.counts[bucketOf(d.bounds, seconds)] += times
	}
	if d.native != nil {
		d.native.observe(seconds, times)
	}
	if d.exemplar.at == 0 || seconds > d.exemplar.seconds {
		d.exemplar = exemplarOf{*trace, seconds, now}
	}
}

// bucketOf returns the first bucket whose bound is not below v, or the one without a bound. The bounds are few
// and most durations are short: counting up beats a binary search.
func bucketOf(bounds []float64, v float64) int {
	for i, b := range bounds {
		if v <= b {
			return i
		}
	}
	return len(bounds)
}

// A native histogram has at most nativeBuckets buckets, of a width of at most a tenth: when there are more its
// resolution is halved, as in Prometheus's client with a factor of 1.1 and a bound of 100.
const (
	maxSchema     = 3
	minSchema     = -4
	nativeBuckets = 100
)

// zeroThreshold is where Prometheus's clients begin to count as zero: 2^-128.
var zeroThreshold = math.Ldexp(1, -128)

// fractions are the bounds of the buckets of maxSchema between a half and one.
var fractions = func() (f [1 << maxSchema]float64) {
	for i := range f {
		f[i] = math.Exp2(float64(i)/(1<<maxSchema) - 1)
	}
	return f
}()

// native is a histogram of exponential buckets, sorted by index. Durations are never negative.
type native struct {
	schema  int32
	zero    float64
	buckets []nativeBucket
}

type nativeBucket struct {
	index int32
	count float64
}

func (n *native) observe(v, times float64) {
	if v <= zeroThreshold {
		n.zero += times
		return
	}
	frac, exp := math.Frexp(v)
	index := int32(sort.SearchFloat64s(fractions[:], frac) + (exp-1)<<maxSchema)
	index = coarser(index, maxSchema-n.schema)
	i, end := 0, len(n.buckets)
	for i < end { // a search by a function of the bucket would cost more than all else here
		if half := (i + end) / 2; n.buckets[half].index < index {
			i = half + 1
		} else {
			end = half
		}
	}
	if i < len(n.buckets) && n.buckets[i].index == index {
		n.buckets[i].count += times
		return
	}
	n.buckets = slices.Insert(n.buckets, i, nativeBucket{index, times})
	for len(n.buckets) > nativeBuckets && n.schema > minSchema {
		n.halve()
	}
}

// coarser is the index of the bucket that holds bucket index when the resolution is halved steps times.
func coarser(index, steps int32) int32 { return (index-1)>>steps + 1 }

// halve joins pairs of buckets.
func (n *native) halve() {
	n.schema--
	joined := n.buckets[:0]
	for _, b := range n.buckets {
		b.index = coarser(b.index, 1)
		if last := len(joined) - 1; last >= 0 && joined[last].index == b.index {
			joined[last].count += b.count
			continue
		}
		joined = append(joined, b)
	}
	n.buckets = joined
}

// histogram returns d in the native form, as a counter that started with d.
func (d *distribution) histogram() *histogram.FloatHistogram {
	n := d.native
	h := &histogram.FloatHistogram{Schema: n.schema, ZeroThreshold: zeroThreshold, ZeroCount: n.zero, Count: d.count, Sum: d.sum,
		PositiveBuckets: make([]float64, len(n.buckets))}
	next := int32(0)
	for i, b := range n.buckets {
		h.PositiveBuckets[i] = b.count
		if last := len(h.PositiveSpans) - 1; last >= 0 && b.index == next {
			h.PositiveSpans[last].Length++
		} else {
			h.PositiveSpans = append(h.PositiveSpans, histogram.Span{Offset: b.index - next, Length: 1})
		}
		next = b.index + 1
	}
	return h
}
