// Package storeapi speaks Thanos's StoreAPI: it turns selections and series into its messages and back, and
// has a metrics.Source that asks other servers.
package storeapi

import (
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/thanos-io/thanos/pkg/compact/downsample"
	"github.com/thanos-io/thanos/pkg/store/storepb"

	"github.com/hune-io/hune/internal/metrics"
)

// Aggregates are all that downsampled data have.
var Aggregates = []storepb.Aggr{storepb.Aggr_COUNT, storepb.Aggr_SUM, storepb.Aggr_MIN, storepb.Aggr_MAX, storepb.Aggr_COUNTER}

// ToMatchers converts matchers of a request.
func ToMatchers(ms []storepb.LabelMatcher) ([]metrics.Matcher, error) {
	out := make([]metrics.Matcher, len(ms))
	for i, m := range ms {
		t, err := m.MatcherType()
		if err != nil {
			return nil, err
		}
		out[i] = metrics.Matcher{Type: t, Name: m.Name, Value: m.Value}
	}
	return out, nil
}

// FromMatchers converts matchers for a request.
func FromMatchers(ms []metrics.Matcher) []storepb.LabelMatcher {
	out := make([]storepb.LabelMatcher, len(ms))
	for i, m := range ms {
		out[i] = storepb.LabelMatcher{Type: matchTypes[m.Type], Name: m.Name, Value: m.Value}
	}
	return out
}

var matchTypes = map[labels.MatchType]storepb.LabelMatcher_Type{
	labels.MatchEqual: storepb.LabelMatcher_EQ, labels.MatchNotEqual: storepb.LabelMatcher_NEQ,
	labels.MatchRegexp: storepb.LabelMatcher_RE, labels.MatchNotRegexp: storepb.LabelMatcher_NRE,
}

// FromChunk converts a chunk. Of downsampled data it takes the aggregates that are wanted and there.
func FromChunk(c metrics.Chunk, want []storepb.Aggr) (storepb.AggrChunk, error) {
	out := storepb.AggrChunk{MinTime: c.MinTime, MaxTime: c.MaxTime}
	if c.Encoding != downsample.ChunkEncAggr {
		raw, err := encoded(c.Encoding, c.Data)
		out.Raw = raw
		return out, err
	}
	for _, a := range want {
		field, kind := fieldOf(&out, a)
		if field == nil {
			continue // raw data are not there
		}
		sub, err := metrics.Aggregate(c, kind)
		if err != nil {
			return out, fmt.Errorf("aggregate %s: %w", a, err)
		}
		if sub == nil {
			continue
		}
		if *field, err = encoded(sub.Encoding(), sub.Bytes()); err != nil {
			return out, err
		}
	}
	return out, nil
}

// fieldOf returns where an aggregate stands in a message; nil for raw data.
func fieldOf(c *storepb.AggrChunk, a storepb.Aggr) (**storepb.Chunk, downsample.AggrType) {
	switch a {
	case storepb.Aggr_COUNT:
		return &c.Count, downsample.AggrCount
	case storepb.Aggr_SUM:
		return &c.Sum, downsample.AggrSum
	case storepb.Aggr_MIN:
		return &c.Min, downsample.AggrMin
	case storepb.Aggr_MAX:
		return &c.Max, downsample.AggrMax
	case storepb.Aggr_COUNTER:
		return &c.Counter, downsample.AggrCounter
	}
	return nil, 0
}

func encoded(e chunkenc.Encoding, data []byte) (*storepb.Chunk, error) {
	for t, encoding := range encodings {
		if encoding == e {
			return &storepb.Chunk{Type: t, Data: data}, nil
		}
	}
	return nil, fmt.Errorf("the StoreAPI has no chunks of encoding %s", e)
}

var encodings = map[storepb.Chunk_Encoding]chunkenc.Encoding{
	storepb.Chunk_XOR: chunkenc.EncXOR, storepb.Chunk_HISTOGRAM: chunkenc.EncHistogram, storepb.Chunk_FLOAT_HISTOGRAM: chunkenc.EncFloatHistogram,
}

// ToChunk converts a chunk of an answer, and reports false for one without data.
func ToChunk(c *storepb.AggrChunk) (metrics.Chunk, bool, error) {
	out := metrics.Chunk{MinTime: c.MinTime, MaxTime: c.MaxTime}
	if c.Raw != nil {
		e, ok := encodings[c.Raw.Type]
		if !ok || !whole(c.Raw) {
			return out, false, fmt.Errorf("chunk with the unknown encoding %s", c.Raw.Type)
		}
		out.Encoding, out.Data = e, c.Raw.Data
		return out, true, nil
	}
	var subs [5]chunkenc.Chunk
	found := false
	for _, a := range Aggregates {
		field, kind := fieldOf(c, a)
		if *field == nil {
			continue
		}
		sub, err := chunkenc.FromData(encodings[(*field).Type], (*field).Data)
		if err != nil || !whole(*field) {
			return out, false, fmt.Errorf("aggregate %s with the unknown encoding %s", a, (*field).Type)
		}
		subs[kind], found = sub, true
	}
	if !found {
		return out, false, nil
	}
	out.Encoding, out.Data = downsample.ChunkEncAggr, downsample.EncodeAggrChunk(subs).Bytes()
	return out, true, nil
}

// whole reports whether a chunk has at least its number of samples: what reads it doesn't look.
func whole(c *storepb.Chunk) bool { return len(c.Data) >= 2 }

// ToSeries converts a series of an answer. Labels are copied, chunks point into the message.
func ToSeries(s *storepb.Series) (metrics.ChunkSeries, error) {
	out := metrics.ChunkSeries{Labels: ToLabels(s.Labels)}
	for i := range s.Chunks {
		c, ok, err := ToChunk(&s.Chunks[i])
		if err != nil {
			return out, fmt.Errorf("series %s: %w", out.Labels, err)
		}
		if ok {
			out.Chunks = append(out.Chunks, c)
		}
	}
	slices.SortStableFunc(out.Chunks, func(a, b metrics.Chunk) int {
		if a.MinTime != b.MinTime {
			return int(min(max(a.MinTime-b.MinTime, -1), 1))
		}
		return int(min(max(a.MaxTime-b.MaxTime, -1), 1))
	})
	return out, nil
}
