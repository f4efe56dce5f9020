package metrics

import "github.com/prometheus/prometheus/model/value"

// findResets drops markers of staleness and notes where values are less than the one before.
func (w *fusedWorker) findResets() {
	w.resets = w.resets[:0]
	i := 1
	for ; i < len(w.values); i++ {
		if !(w.values[i] >= w.values[i-1]) { // or one of them is not a number
			break
		}
	}
	if i >= len(w.values) { // Fast path: only a counter that grows.
		return
	}
	n := 0
	for i, v := range w.values {
		if value.IsStaleNaN(v) {
			continue
		}
		if n > 0 && v < w.values[n-1] {
			w.resets = append(w.resets, n)
		}
		w.times[n], w.values[n] = w.times[i], v
		n++
	}
	w.times, w.values = w.times[:n], w.values[:n]
}

// behind returns the place of the first time behind t, from i on. Series that are sampled regularly move by the same
// stride at each step, which is tried first.
func behind(times []int64, i, stride int, t int64) int {
	if j := i + stride; j <= len(times) && (j == i || times[j-1] <= t) && (j == len(times) || times[j] > t) {
		return j
	}
	for i < len(times) && times[i] <= t {
		i++
	}
	return i
}

// rates adds the rate or the increase of each step. Windows are open to the left.
func (w *fusedWorker) rates(base int) {
	o, lo, end, reset := w.o, 0, 0, 0
	loStride, endStride := 0, 0
	for k := range o.steps {
		to := o.start + int64(k)*o.step - o.offset
		from := to - o.width
		before := end
		end = behind(w.times, end, endStride, to)
		endStride = end - before
		before = lo
		lo = behind(w.times, lo, loStride, from)
		loStride = lo - before
		if end-lo < 2 {
			continue
		}
		for reset < len(w.resets) && w.resets[reset] <= lo {
			reset++
		}
		w.cells.add(base+k, w.rate(lo, end, reset, from, to))
	}
}

// rate is Prometheus's extrapolatedRate for the samples lo … end-1 of the window from … to. resets before the one
// given are before the window.
func (w *fusedWorker) rate(lo, end, reset int, from, to int64) float64 {
	first, last := w.values[lo], w.values[end-1]
	result := last - first
	for ; reset < len(w.resets) && w.resets[reset] < end; reset++ {
		result += w.values[w.resets[reset]-1]
	}
	tFirst, tLast := w.times[lo], w.times[end-1]
	x := &w.border
	if lead, tail, gaps := tFirst-from, to-tLast, end-lo-1; x.lead != lead || x.tail != tail || x.gaps != gaps {
		// The length of the window is that of the three together.
		x.set(lead, tLast-tFirst, tail, gaps, w.o)
	}
	if result <= 0 || first < 0 || first >= 2*result {
		// Fast path: where the counter started from zero is farther away than what is extrapolated, which is 1.1 times
		// what was sampled at most.
		return result * x.factor
	}
	if toZero := x.sampled * (first / result); toZero < x.toStart {
		return result * x.over(toZero, w.o)
	}
	return result * x.factor
}

// extrapolation is by how much more a counter grows in a window than between its samples, for samples that lie in
// the window so. Most windows of a series are alike, and most series of a target.
type extrapolation struct {
	lead, tail int64 // milliseconds before the first sample and behind the last
	gaps       int   // between samples; 0: none has been computed

	sampled, toStart, toEnd float64 // seconds
	factor                  float64
}

// set computes the factor. The ends are extrapolated to the borders of the window where a sample could be expected
// between, otherwise by half of the distance of samples.
func (x *extrapolation) set(lead, sampled, tail int64, gaps int, o *fusedOperator) {
	*x = extrapolation{lead: lead, tail: tail, gaps: gaps,
		sampled: float64(sampled) / 1000, toStart: float64(lead) / 1000, toEnd: float64(tail) / 1000}
	average := x.sampled / float64(gaps)
	threshold := average * 1.1
	if x.toStart >= threshold {
		x.toStart = average / 2
	}
	if x.toEnd >= threshold {
		x.toEnd = average / 2
	}
	x.factor = x.over(x.toStart, o)
}

// over is the factor with another time before the first sample: counters start at zero and are not extrapolated
// below.
func (x *extrapolation) over(toStart float64, o *fusedOperator) float64 {
	factor := (x.sampled + toStart + x.toEnd) / x.sampled
	if o.fn == "rate" {
		factor /= float64(o.width) / 1000
	}
	return factor
}
