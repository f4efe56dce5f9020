package metrics

import (
	"context"
	"math"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// nearReader reads a head for one query. Once unknown is set the query is not Near's to answer, and what the
// methods return means nothing.
type nearReader struct {
	ctx             context.Context
	at              int64 // the time of the query
	unknown         bool
	series, samples int // that may still be read

	index   tsdb.IndexReader
	chunks  tsdb.ChunkReader
	builder labels.ScratchBuilder
	metas   []chunks.Meta
	it      chunkenc.Iterator
	floats  []promql.FPoint
}

func (r *nearReader) close() {
	_ = r.index.Close() // of a head: nothing to fail
	_ = r.chunks.Close()
}

// spend takes series and samples from what the query may read.
func (r *nearReader) spend(series, samples int) bool {
	r.series -= series
	r.samples -= samples
	if r.series < 0 || r.samples < 0 {
		r.unknown = true
	}
	return !r.unknown
}

// each calls f for every series that matches, with its chunks in metas.
func (r *nearReader) each(matchers []*labels.Matcher, f func(labels.Labels) bool) {
	found, err := tsdb.PostingsForMatchers(r.ctx, r.index, matchers...)
	if err != nil {
		r.unknown = true
		return
	}
	for found.Next() {
		// A series that has gone meanwhile has no samples in the window.
		if err := r.index.Series(found.At(), &r.builder, &r.metas); err != nil || len(r.metas) == 0 {
			continue
		}
		if !r.spend(1, 0) || !f(r.builder.Labels()) {
			return
		}
	}
	if found.Err() != nil {
		r.unknown = true
	}
}

// open begins a chunk of floats. Native histograms are not Near's.
func (r *nearReader) open(m chunks.Meta) bool {
	c, many, err := r.chunks.ChunkOrIterable(m)
	if err != nil || many != nil || c.Encoding() != chunkenc.EncXOR {
		r.unknown = true
		return false
	}
	r.it = c.Iterator(r.it)
	return true
}

// newest returns the newest sample of the current series in (from, to], unless it says that the series has ended.
func (r *nearReader) newest(from, to int64) (v float64, ok bool) {
	for i := len(r.metas) - 1; i >= 0; i-- {
		if r.metas[i].MinTime > to {
			continue
		}
		if !r.open(r.metas[i]) {
			return 0, false
		}
		last, read := int64(math.MinInt64), 0
		for r.it.Next() != chunkenc.ValNone {
			t, x := r.it.At()
			if t > to {
				break
			}
			last, v, read = t, x, read+1
		}
		if r.it.Err() != nil {
			r.unknown = true
		}
		if !r.spend(0, read) {
			return 0, false
		}
		if last > from {
			return v, !value.IsStaleNaN(v)
		}
		if last != math.MinInt64 {
			return 0, false
		}
	}
	return 0, false
}

// window returns the samples of the current series in (from, to] but markers of staleness, until the next call.
func (r *nearReader) window(from, to int64) []promql.FPoint {
	r.floats = r.floats[:0]
	for _, m := range r.metas {
		if m.MinTime > to || m.MaxTime <= from {
			continue
		}
		if !r.open(m) {
			return nil
		}
		for r.it.Next() != chunkenc.ValNone {
			t, x := r.it.At()
			if t > to {
				break
			}
			if t > from && !value.IsStaleNaN(x) {
				r.floats = append(r.floats, promql.FPoint{T: t, F: x})
			}
		}
		if r.it.Err() != nil {
			r.unknown = true
		}
	}
	if !r.spend(0, len(r.floats)) {
		return nil
	}
	return r.floats
}
