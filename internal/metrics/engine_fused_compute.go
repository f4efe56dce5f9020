package metrics

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"golang.org/x/sync/errgroup"
)

// fusedBatch is how many series a processor takes at once.
const fusedBatch = 64

// compute adds up all series, on all processors.
func (o *fusedOperator) compute(ctx context.Context, found []ChunkSeries, ids []int32, groups int) (*cells, error) {
	workers := min(runtime.GOMAXPROCS(0), (len(found)+fusedBatch-1)/fusedBatch)
	all := make([]*cells, max(workers, 1))
	for i := range all {
		all[i] = newCells(o.Op, groups*o.steps)
	}
	var taken atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for _, own := range all {
		g.Go(func() (err error) {
			defer func() {
				if p := recover(); p != nil {
					err = fmt.Errorf("internal error: the query panicked: %v", p)
				}
			}()
			w := fusedWorker{o: o, cells: own}
			for ctx.Err() == nil {
				from := int(taken.Add(fusedBatch)) - fusedBatch
				if from >= len(found) {
					return nil
				}
				for i := from; i < min(from+fusedBatch, len(found)); i++ {
					if err := w.add(&found[i], int(ids[i])*o.steps); err != nil {
						return fmt.Errorf("series %s: %w", found[i].Labels, err)
					}
				}
			}
			return context.Cause(ctx)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for _, other := range all[1:] {
		all[0].merge(other)
	}
	return all[0], nil
}

// fusedWorker computes series on one processor. Its buffers are used again.
type fusedWorker struct {
	o      *fusedOperator
	cells  *cells
	it     chunkenc.Iterator
	times  []int64
	values []float64
	resets []int // places of values that are less than the one before
}

// add adds a series to the cells from base on.
func (w *fusedWorker) add(s *ChunkSeries, base int) error {
	if err := w.decode(s); err != nil || len(w.times) == 0 {
		return err
	}
	if w.o.width > 0 {
		w.rates(base)
		return nil
	}
	w.current(base)
	return nil
}

// decode reads the samples of a series, without markers of staleness where a range is asked for.
func (w *fusedWorker) decode(s *ChunkSeries) error {
	w.times, w.values = w.times[:0], w.values[:0]
	var err error
	if overlapping(s.Chunks) {
		err = w.decodeMerged(s)
	} else {
		err = w.decodeChunks(s.Chunks)
	}
	if err != nil {
		return err
	}
	// A chunk may reach beyond what is asked for.
	from, _ := slices.BinarySearch(w.times, w.o.first()+1)
	to, _ := slices.BinarySearch(w.times, w.o.last()+1)
	w.times, w.values = w.times[from:to], w.values[from:to]
	if w.o.width > 0 && slices.ContainsFunc(w.values, value.IsStaleNaN) {
		w.dropStale()
	}
	tracker := w.o.opts.SampleTracker
	if int64(len(w.times)) > tracker.Limit() {
		tracker.Add(len(w.times))
		return tracker.CheckLimit()
	}
	return nil
}

// decodeChunks reads chunks that follow each other.
func (w *fusedWorker) decodeChunks(cs []Chunk) (err error) {
	for _, c := range cs {
		if c.MaxTime <= w.o.first() || c.MinTime > w.o.last() {
			continue
		}
		if w.times, w.values, err = appendXOR(c.Data, w.times, w.values); err != nil {
			return err
		}
	}
	return nil
}

// decodeMerged reads chunks that overlap.
func (w *fusedWorker) decodeMerged(s *ChunkSeries) error {
	w.it = series{s}.Iterator(w.it)
	for w.it.Next() != chunkenc.ValNone {
		t, v := w.it.At()
		w.times, w.values = append(w.times, t), append(w.values, v)
	}
	return w.it.Err()
}

func (w *fusedWorker) dropStale() {
	n := 0
	for i, v := range w.values {
		if !value.IsStaleNaN(v) {
			w.times[n], w.values[n] = w.times[i], v
			n++
		}
	}
	w.times, w.values = w.times[:n], w.values[:n]
}

// current adds the newest sample within the lookback of each step, unless the series has ended.
func (w *fusedWorker) current(base int) {
	o, i := w.o, -1
	for k := range o.steps {
		at := o.start + int64(k)*o.step - o.offset
		for i+1 < len(w.times) && w.times[i+1] <= at {
			i++
		}
		if i >= 0 && w.times[i] > at-o.lookback && !value.IsStaleNaN(w.values[i]) {
			w.cells.add(base+k, w.values[i])
		}
	}
}

// rates adds the rate or the increase of each step. Windows are open to the left.
func (w *fusedWorker) rates(base int) {
	w.resets = w.resets[:0]
	for i := 1; i < len(w.values); i++ {
		if w.values[i] < w.values[i-1] {
			w.resets = append(w.resets, i)
		}
	}
	o, lo, end, reset := w.o, 0, 0, 0
	for k := range o.steps {
		to := o.start + int64(k)*o.step - o.offset
		from := to - o.width
		for end < len(w.times) && w.times[end] <= to {
			end++
		}
		for lo < end && w.times[lo] <= from {
			lo++
		}
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
	toStart := float64(w.times[lo]-from) / 1000
	toEnd := float64(to-w.times[end-1]) / 1000
	sampled := float64(w.times[end-1]-w.times[lo]) / 1000
	average := sampled / float64(end-lo-1)

	// The ends are extrapolated to the borders of the window where a sample could be expected between, otherwise
	// by half of the distance of samples; and not below zero, which counters start at.
	threshold := average * 1.1
	if toStart >= threshold {
		toStart = average / 2
	}
	toZero := toStart
	if result > 0 && first >= 0 {
		toZero = sampled * (first / result)
	}
	if toZero < toStart {
		toStart = toZero
	}
	if toEnd >= threshold {
		toEnd = average / 2
	}
	factor := (sampled + toStart + toEnd) / sampled
	if w.o.fn == "rate" {
		factor /= float64(w.o.width) / 1000
	}
	return result * factor
}
