package metrics

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

// querier shows the sources to the PromQL engine as one storage, for one query.
type querier struct {
	tenant     string
	sources    []Source
	mint, maxt int64
	resolution int64        // the coarsest downsampled data wanted
	budget     int64        // bytes of chunks; 0: no bound
	used       atomic.Int64 // of all selections of the query
	stores     [][]Matcher
	whole      bool
	shard      Shard
	replicas   []string // labels of replicas to deduplicate
	// floatRanges makes selections for functions over ranges fail with errNativeHistograms when they find
	// native histograms. It is set before the query is executed.
	floatRanges bool
}

// again returns a querier for another engine to answer the same query. Selections of the one before may still be under
// way: that engine doesn't wait for all of them when one fails.
func (r *querier) again() *querier {
	return &querier{tenant: r.tenant, sources: r.sources, resolution: r.resolution, budget: r.budget,
		stores: r.stores, shard: r.shard, replicas: r.replicas}
}

var errNativeHistograms = errors.New("native histograms in a selection for floats")

func holdsHistograms(list []ChunkSeries) bool {
	return slices.ContainsFunc(list, func(s ChunkSeries) bool {
		return slices.ContainsFunc(s.Chunks, func(c Chunk) bool { return c.Encoding != chunkenc.EncXOR })
	})
}

// Querier implements storage.Queryable. The engine asks for one for each query.
func (r *querier) Querier(mint, maxt int64) (storage.Querier, error) {
	r.mint, r.maxt = mint, maxt
	return r, nil
}

// Select implements storage.Querier. Each selector has its own range in the hints, which offsets
// and ranges of the expression have moved. The result is sorted whether asked for or not.
func (r *querier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	s := Select{Matchers: FromMatchers(ms), Start: r.mint, End: r.maxt}
	want, fn := average, ""
	if hints != nil {
		fn = hints.Func
		s.Start, s.End, s.Limit = hints.Start, hints.End, hints.Limit
		s.SkipChunks = hints.Func == "series"
		want, fn = aggregateOf(hints.Func), hints.Func
	}
	found, err := r.fetch(ctx, s)
	if err == nil {
		err = resolveAggregates(found, want)
	}
	if err == nil && r.floatRanges && hints != nil && hints.Range > 0 && holdsHistograms(found) {
		err = errNativeHistograms
	}
	if err != nil {
		return storage.ErrSeriesSet(err)
	}
	if len(r.replicas) > 0 {
		return deduplicated(found, r.replicas, fn)
	}
	return NewSeriesSet(found, nil)
}

// LabelValues implements storage.LabelQuerier; info() asks for it.
func (r *querier) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return r.ask(ctx, &Query{Kind: LabelValues, Label: name}, hints, ms)
}

// LabelNames implements storage.LabelQuerier.
func (r *querier) LabelNames(ctx context.Context, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return r.ask(ctx, &Query{Kind: LabelNames}, hints, ms)
}

func (r *querier) ask(ctx context.Context, q *Query, hints *storage.LabelHints, ms []*labels.Matcher) ([]string, annotations.Annotations, error) {
	q.Start, q.End, q.Matchers = r.mint, r.maxt, [][]Matcher{FromMatchers(ms)}
	if hints != nil {
		q.Limit = hints.Limit
	}
	res, err := r.labelsOf(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	return res.Strings, nil, nil
}

// Close implements storage.Querier; nothing is open between selections.
func (r *querier) Close() error { return nil }
