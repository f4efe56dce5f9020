package metrics

import (
	"bytes"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// mergeSeries merges lists sorted by labels to one. The chunks of a series that several lists have
// are put together; the same chunk from a head and from its shipped block is kept once.
func mergeSeries(lists [][]ChunkSeries) []ChunkSeries {
	lists = slices.DeleteFunc(lists, func(l []ChunkSeries) bool { return len(l) == 0 })
	switch len(lists) {
	case 0:
		return nil
	case 1:
		return lists[0]
	}
	for len(lists) > 2 { // few sources: pairs will do
		lists = append(lists[2:], mergePair(lists[0], lists[1]))
	}
	return mergePair(lists[0], lists[1])
}

func mergePair(a, b []ChunkSeries) []ChunkSeries {
	out := make([]ChunkSeries, 0, max(len(a), len(b)))
	for len(a) > 0 && len(b) > 0 {
		switch c := labels.Compare(a[0].Labels, b[0].Labels); {
		case c < 0:
			out, a = append(out, a[0]), a[1:]
		case c > 0:
			out, b = append(out, b[0]), b[1:]
		default:
			out = append(out, ChunkSeries{Labels: a[0].Labels, Chunks: mergeChunks(a[0].Chunks, b[0].Chunks)})
			a, b = a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

func mergeChunks(a, b []Chunk) []Chunk {
	out := append(slices.Clone(a), b...)
	sortChunks(out)
	return slices.CompactFunc(out, func(x, y Chunk) bool {
		return x.MinTime == y.MinTime && x.MaxTime == y.MaxTime && x.Encoding == y.Encoding && bytes.Equal(x.Data, y.Data)
	})
}

// seriesSet is a list of ChunkSeries as Prometheus's storage interfaces.
type seriesSet struct {
	series   []ChunkSeries
	i        int
	warnings annotations.Annotations
}

// NewSeriesSet returns series as a storage.SeriesSet. Samples of overlapping chunks are merged, the
// one of the earlier chunk wins where two have the same time.
func NewSeriesSet(series []ChunkSeries, warnings annotations.Annotations) storage.SeriesSet {
	return &seriesSet{series: series, i: -1, warnings: warnings}
}

func (s *seriesSet) Next() bool                        { s.i++; return s.i < len(s.series) }
func (s *seriesSet) At() storage.Series                { return series{&s.series[s.i]} }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return s.warnings }

// series is a ChunkSeries as storage.Series. It is one pointer, so that making it an interface
// costs no allocation.
type series struct{ s *ChunkSeries }

func (s series) Labels() labels.Labels { return s.s.Labels }

// Iterator implements storage.Series. Chunks that don't overlap are read one after the other; those
// that do are split to lanes without overlap, which are merged.
func (s series) Iterator(it chunkenc.Iterator) chunkenc.Iterator {
	cs := s.s.Chunks
	if !overlapping(cs) { // Fast path: the usual case.
		ci, ok := it.(*chunkIterator)
		if !ok {
			ci = &chunkIterator{}
		}
		ci.reset(cs)
		return ci
	}
	var its []chunkenc.Iterator
	for _, lane := range lanes(cs) {
		ci := &chunkIterator{}
		ci.reset(lane)
		its = append(its, ci)
	}
	return storage.ChainSampleIteratorFromIterators(it, its)
}

func overlapping(cs []Chunk) bool {
	for i := 1; i < len(cs); i++ {
		if cs[i].MinTime <= cs[i-1].MaxTime {
			return true
		}
	}
	return false
}

// lanes splits chunks sorted by start into as few lists without overlap as possible.
func lanes(cs []Chunk) [][]Chunk {
	var out [][]Chunk
next:
	for _, c := range cs {
		for i, lane := range out {
			if lane[len(lane)-1].MaxTime < c.MinTime {
				out[i] = append(lane, c)
				continue next
			}
		}
		out = append(out, []Chunk{c})
	}
	return out
}

// chunkIterator reads the samples of chunks that don't overlap.
type chunkIterator struct {
	chunks []Chunk // not opened yet
	cur    chunkenc.Iterator
	curMax int64
	err    error
}

func (c *chunkIterator) reset(cs []Chunk) {
	*c = chunkIterator{chunks: cs, cur: c.cur}
	if c.cur != nil { // keep it for reuse by the first chunk
		c.open()
	}
}

// open begins the next chunk and reports whether there is one.
func (c *chunkIterator) open() bool {
	if len(c.chunks) == 0 || c.err != nil {
		c.curMax = math.MinInt64
		c.cur = nil
		return false
	}
	next := c.chunks[0]
	c.chunks = c.chunks[1:]
	chunk, err := chunkenc.FromData(next.Encoding, next.Data)
	if err != nil {
		c.err, c.cur = err, nil
		return false
	}
	c.cur, c.curMax = chunk.Iterator(c.cur), next.MaxTime
	return true
}

// Next implements chunkenc.Iterator.
func (c *chunkIterator) Next() chunkenc.ValueType {
	for c.cur != nil || c.open() {
		if v := c.cur.Next(); v != chunkenc.ValNone {
			return v
		}
		if c.err = c.cur.Err(); c.err != nil || !c.open() {
			break
		}
	}
	return chunkenc.ValNone
}

// Seek implements chunkenc.Iterator. Chunks that end before t are not decoded.
func (c *chunkIterator) Seek(t int64) chunkenc.ValueType {
	for {
		if c.cur != nil && c.curMax >= t {
			if v := c.cur.Seek(t); v != chunkenc.ValNone {
				return v
			}
			if c.err = c.cur.Err(); c.err != nil {
				return chunkenc.ValNone
			}
		}
		for len(c.chunks) > 0 && c.chunks[0].MaxTime < t {
			c.chunks = c.chunks[1:]
		}
		if !c.open() {
			return chunkenc.ValNone
		}
	}
}

// At implements chunkenc.Iterator.
func (c *chunkIterator) At() (int64, float64) { return c.cur.At() }

// AtHistogram implements chunkenc.Iterator.
func (c *chunkIterator) AtHistogram(h *histogram.Histogram) (int64, *histogram.Histogram) {
	return c.cur.AtHistogram(h)
}

// AtFloatHistogram implements chunkenc.Iterator.
func (c *chunkIterator) AtFloatHistogram(fh *histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	return c.cur.AtFloatHistogram(fh)
}

// AtT implements chunkenc.Iterator.
func (c *chunkIterator) AtT() int64 { return c.cur.AtT() }

// Err implements chunkenc.Iterator.
func (c *chunkIterator) Err() error { return c.err }

// rangeSet cuts a series set to the samples in [start, end]. PromQL needs no such thing, but who
// reads raw series expects what was asked for.
type rangeSet struct {
	seriesSet
	start, end int64
}

// NewRangeSeriesSet is NewSeriesSet with only the samples in [start, end].
func NewRangeSeriesSet(list []ChunkSeries, start, end int64, warnings annotations.Annotations) storage.SeriesSet {
	return &rangeSet{seriesSet{series: list, i: -1, warnings: warnings}, start, end}
}

// At implements storage.SeriesSet.
func (s *rangeSet) At() storage.Series { return rangeSeries{series{&s.series[s.i]}, s.start, s.end} }

type rangeSeries struct {
	series
	start, end int64
}

// Iterator implements storage.Series.
func (s rangeSeries) Iterator(it chunkenc.Iterator) chunkenc.Iterator {
	old, ok := it.(*rangeIterator)
	if !ok {
		old = &rangeIterator{}
	}
	*old = rangeIterator{Iterator: s.series.Iterator(old.Iterator), start: s.start, end: s.end}
	return old
}

type rangeIterator struct {
	chunkenc.Iterator
	start, end int64
	begun      bool
}

// Next implements chunkenc.Iterator.
func (r *rangeIterator) Next() chunkenc.ValueType {
	if !r.begun {
		return r.Seek(r.start)
	}
	return r.bound(r.Iterator.Next())
}

// Seek implements chunkenc.Iterator.
func (r *rangeIterator) Seek(t int64) chunkenc.ValueType {
	r.begun = true
	return r.bound(r.Iterator.Seek(max(t, r.start)))
}

func (r *rangeIterator) bound(v chunkenc.ValueType) chunkenc.ValueType {
	if v != chunkenc.ValNone && r.Iterator.AtT() > r.end {
		return chunkenc.ValNone
	}
	return v
}

// chunkSeriesSet is a list of ChunkSeries as storage.ChunkSeriesSet.
type chunkSeriesSet struct {
	rangeSet
}

// NewChunkSeriesSet returns series as a storage.ChunkSeriesSet with the samples in [start, end].
// Chunks are passed on as they are unless they overlap or reach beyond the range.
func NewChunkSeriesSet(list []ChunkSeries, start, end int64, warnings annotations.Annotations) storage.ChunkSeriesSet {
	return &chunkSeriesSet{rangeSet{seriesSet{series: list, i: -1, warnings: warnings}, start, end}}
}

// At implements storage.ChunkSeriesSet.
func (s *chunkSeriesSet) At() storage.ChunkSeries {
	cs := &s.series[s.i]
	inside := func(c Chunk) bool { return s.start <= c.MinTime && c.MaxTime <= s.end && known(c.Encoding) }
	if overlapping(cs.Chunks) || slices.ContainsFunc(cs.Chunks, func(c Chunk) bool { return !inside(c) }) {
		return storage.NewSeriesToChunkEncoder(rangeSeries{series{cs}, s.start, s.end})
	}
	return chunkSeries{cs}
}

func known(e chunkenc.Encoding) bool {
	return e == chunkenc.EncXOR || e == chunkenc.EncHistogram || e == chunkenc.EncFloatHistogram
}

// chunkSeries is a ChunkSeries whose chunks all have a known encoding.
type chunkSeries struct{ s *ChunkSeries }

func (s chunkSeries) Labels() labels.Labels { return s.s.Labels }

// Iterator implements storage.ChunkIterable.
func (s chunkSeries) Iterator(chunks.Iterator) chunks.Iterator {
	metas := make([]chunks.Meta, 0, len(s.s.Chunks))
	for _, c := range s.s.Chunks {
		if chunk, err := chunkenc.FromData(c.Encoding, c.Data); err == nil {
			metas = append(metas, chunks.Meta{MinTime: c.MinTime, MaxTime: c.MaxTime, Chunk: chunk})
		}
	}
	return storage.NewListChunkSeriesIterator(metas...)
}
