package metrics

import (
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/tombstones"
	"github.com/thanos-io/thanos/pkg/compact/downsample"
)

// Deletion says which samples are stored and must not be seen: those of series that match all matchers,
// from Start to End in milliseconds, both inclusive.
type Deletion struct {
	ID         string
	Matchers   []*labels.Matcher
	Start, End int64
}

func (d *Deletion) matches(ls labels.Labels) bool {
	for _, m := range d.Matchers {
		if !m.Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}

// Deletions are what is deleted of a tenant's metrics. They never change; nil deletes nothing.
type Deletions struct{ list []Deletion }

// NewDeletions returns deletions, nil for none.
func NewDeletions(list []Deletion) *Deletions {
	if len(list) == 0 {
		return nil
	}
	return &Deletions{list}
}

// Len is how many there are.
func (d *Deletions) Len() int {
	if d == nil {
		return 0
	}
	return len(d.list)
}

// IDs names them, in their order.
func (d *Deletions) IDs() []string {
	ids := make([]string, d.Len())
	for i := range ids {
		ids[i] = d.list[i].ID
	}
	return ids
}

// Overlapping returns those that have to do with [start, end], nil if none has.
func (d *Deletions) Overlapping(start, end int64) *Deletions {
	return d.filter(func(e *Deletion) bool { return e.Start <= end && start <= e.End })
}

// Without returns those that out says no to, nil if none is left.
func (d *Deletions) Without(out func(id string) bool) *Deletions {
	return d.filter(func(e *Deletion) bool { return !out(e.ID) })
}

func (d *Deletions) filter(keep func(*Deletion) bool) *Deletions {
	if d == nil {
		return nil
	}
	var list []Deletion
	for i := range d.list {
		if keep(&d.list[i]) {
			list = append(list, d.list[i])
		}
	}
	return NewDeletions(list)
}

// intervals returns what is deleted of a series, in data with a resolution of so many milliseconds. An
// aggregate is deleted when its window holds any time that is: what stays must not have been computed
// from what went.
func (d *Deletions) intervals(ls labels.Labels, resolution int64) (out tombstones.Intervals) {
	if d == nil {
		return nil
	}
	for i := range d.list {
		e := &d.list[i]
		if !e.matches(ls) {
			continue
		}
		from, to := e.Start, e.End
		if resolution > 0 {
			from, to = windowStart(from, resolution), windowEnd(to, resolution)
		}
		// Intervals that touch are joined by a look at the millisecond beside them.
		out = out.Add(tombstones.Interval{Mint: max(from, math.MinInt64+1), Maxt: min(to, math.MaxInt64-1)})
	}
	return out
}

// windowStart is the first millisecond of the window of a downsampled sample, windowEnd the last.
func windowStart(t, resolution int64) int64 {
	if t < math.MinInt64+resolution {
		return t
	}
	return t - floorMod(t, resolution)
}

func windowEnd(t, resolution int64) int64 {
	if t > math.MaxInt64-resolution {
		return t
	}
	return t - floorMod(t, resolution) + resolution - 1
}

// keepsSome reports whether a chunk of this range may hold samples outside of the intervals.
func keepsSome(mint, maxt int64, gone tombstones.Intervals) bool {
	return !(tombstones.Interval{Mint: mint, Maxt: maxt}).IsSubrange(gone)
}

func touched(mint, maxt int64, gone tombstones.Intervals) bool {
	return slices.ContainsFunc(gone, func(i tombstones.Interval) bool { return i.Mint <= maxt && mint <= i.Maxt })
}

// withoutDeleted returns chunks without what is deleted. Chunks that lose nothing stay as they are.
func withoutDeleted(cs []Chunk, gone tombstones.Intervals) ([]Chunk, error) {
	if !slices.ContainsFunc(cs, func(c Chunk) bool { return touched(c.MinTime, c.MaxTime, gone) }) {
		return cs, nil // Fast path: nothing of this series is deleted.
	}
	out := make([]Chunk, 0, len(cs))
	for _, c := range cs {
		switch {
		case !touched(c.MinTime, c.MaxTime, gone):
			out = append(out, c)
		case keepsSome(c.MinTime, c.MaxTime, gone):
			rest, err := cutDeleted(c, gone)
			if err != nil {
				return nil, err
			}
			out = append(out, rest...)
		}
	}
	return out, nil
}

// cutDeleted encodes anew what stays of a chunk.
func cutDeleted(c Chunk, gone tombstones.Intervals) ([]Chunk, error) {
	if isAggregate(c) {
		return cutAggregates(c, gone)
	}
	chunk, err := chunkenc.FromData(c.Encoding, c.Data)
	if err != nil {
		return nil, fmt.Errorf("%w: chunk: %w", errDamaged, err)
	}
	rest, err := encode(&tsdb.DeletedIterator{Iter: chunk.Iterator(nil), Intervals: gone})
	if err != nil {
		return nil, fmt.Errorf("%w: chunk: %w", errDamaged, err)
	}
	return rest, nil
}

// cutAggregates takes the same windows out of each of the five aggregates.
func cutAggregates(c Chunk, gone tombstones.Intervals) ([]Chunk, error) {
	var kept [5]chunkenc.Chunk
	out := Chunk{MinTime: math.MaxInt64, MaxTime: math.MinInt64, Encoding: downsample.ChunkEncAggr}
	for kind := range kept {
		sub, err := Aggregate(c, downsample.AggrType(kind))
		if err != nil {
			return nil, err
		}
		if sub == nil {
			continue
		}
		a := aggregateCopy{repeatLast: downsample.AggrType(kind) == downsample.AggrCounter}
		if err := a.copy(sub, gone); err != nil {
			return nil, fmt.Errorf("%w: aggregates: %w", errDamaged, err)
		}
		if a.chunk != nil {
			kept[kind] = a.chunk
			out.MinTime, out.MaxTime = min(out.MinTime, a.first), max(out.MaxTime, a.last)
		}
	}
	if out.MinTime > out.MaxTime {
		return nil, nil
	}
	out.Data = downsample.EncodeAggrChunk(kept).Bytes()
	return []Chunk{out}, nil
}

// aggregateCopy is one aggregate without deleted windows: a chunk, as there must be one of each.
type aggregateCopy struct {
	// repeatLast is for counters: their last sample stands there once more as it was in truth, without the
	// resets of the chunk. Where that is deleted, the last one that is left is repeated.
	repeatLast  bool
	chunk       chunkenc.Chunk
	app         chunkenc.Appender
	first, last int64
	lastFloat   float64
	lastHist    *histogram.FloatHistogram
}

func (a *aggregateCopy) copy(src chunkenc.Chunk, gone tombstones.Intervals) error {
	end := int64(math.MinInt64)
	it := src.Iterator(nil)
	for v := it.Next(); v != chunkenc.ValNone; v = it.Next() {
		end = it.AtT()
		if touched(end, end, gone) {
			continue
		}
		a.lastHist = nil
		if v == chunkenc.ValFloat {
			_, a.lastFloat = it.At()
		} else {
			_, a.lastHist = it.AtFloatHistogram(nil)
		}
		if err := a.append(end); err != nil {
			return err
		}
	}
	if err := it.Err(); err != nil {
		return err
	}
	if a.repeatLast && a.chunk != nil && a.last != end {
		return a.append(a.last)
	}
	return nil
}

// append stores the last sample seen at t.
func (a *aggregateCopy) append(t int64) (err error) {
	if a.chunk == nil {
		a.first = t
		a.chunk = chunkenc.NewXORChunk()
		if a.lastHist != nil {
			a.chunk = chunkenc.NewFloatHistogramChunk()
		}
		if a.app, err = a.chunk.Appender(); err != nil {
			return err
		}
	}
	a.last = t
	if a.lastHist == nil {
		if a.chunk.Encoding() != chunkenc.EncXOR {
			return fmt.Errorf("floats and histograms at %d", t)
		}
		a.app.Append(t, a.lastFloat)
		return nil
	}
	chunk, recoded, app, err := a.app.AppendFloatHistogram(nil, t, a.lastHist, false)
	switch {
	case err != nil:
		return err
	case chunk != nil && !recoded:
		return fmt.Errorf("a histogram at %d that does not follow those before", t)
	case chunk != nil:
		a.chunk = chunk
	}
	a.app = app
	return nil
}
