package traceql

import "github.com/hune-io/hune/internal/fault"

// window is the time axis of a metrics query: steps with right edges first, first+step, … A step
// holds what is in (edge-step, edge].
type window struct {
	first, step uint64 // nanoseconds
	n           int
	seconds     float64 // in a step
}

// rangeWindow aligns [start, end] outwards to multiples of step.
func rangeWindow(start, end, step uint64) (window, error) {
	if step == 0 {
		return window{}, fault.Invalidf("step required")
	}
	if end < start {
		return window{}, fault.Invalidf("end must be greater than start")
	}
	first := start / step * step
	n := (end-first)/step + 1
	if (end-first)%step != 0 {
		n++
	}
	if n > maxSteps {
		return window{}, fault.Invalidf("query has %d steps, at most %d are allowed: make the step longer", n, maxSteps)
	}
	return window{first: first, step: step, n: int(n), seconds: float64(step) / 1e9}, nil
}

// instantWindow is one step over the whole range.
func instantWindow(start, end uint64) (window, error) {
	if end <= start {
		return window{}, fault.Invalidf("end must be greater than start")
	}
	return window{first: end, step: end - start, n: 1, seconds: float64(end-start) / 1e9}, nil
}

// from is the left edge of the first step, which it doesn't hold.
func (w window) from() uint64 {
	if w.step > w.first {
		return 0
	}
	return w.first - w.step
}

func (w window) to() uint64 { return w.first + uint64(w.n-1)*w.step }

// at returns the step of time t, -1 outside.
func (w window) at(t uint64) int {
	if t <= w.from() || t > w.to() {
		return -1
	}
	if t <= w.first {
		return 0
	}
	return int((t-w.first-1)/w.step) + 1
}

// bounds returns what step i holds: the times beyond after, up to until.
func (w window) bounds(i int) (after, until uint64) {
	until = w.first + uint64(i)*w.step
	if i == 0 {
		return w.from(), until
	}
	return until - w.step, until
}

func (w window) millis(i int) int64 { return int64((w.first + uint64(i)*w.step) / 1e6) }
