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
	border extrapolation
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
	if w.o.width > 0 {
		w.findResets()
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

// current adds the newest sample within the lookback of each step, unless the series has ended.
func (w *fusedWorker) current(base int) {
	o, end, stride := w.o, 0, 0
	for k := range o.steps {
		at := o.start + int64(k)*o.step - o.offset
		before := end
		end = behind(w.times, end, stride, at)
		stride = end - before
		if i := end - 1; i >= 0 && w.times[i] > at-o.lookback && !value.IsStaleNaN(w.values[i]) {
			w.cells.add(base+k, w.values[i])
		}
	}
}
