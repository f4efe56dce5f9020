package metrics

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunks"

	"github.com/hune-io/hune/internal/fault"
)

// ToMatchers turns plain data into Prometheus's matchers.
func ToMatchers(ms []Matcher) ([]*labels.Matcher, error) {
	out := make([]*labels.Matcher, 0, len(ms))
	for _, m := range ms {
		lm, err := labels.NewMatcher(m.Type, m.Name, m.Value)
		if err != nil {
			return nil, fault.Invalidf("matcher of label %q: %w", m.Name, err)
		}
		out = append(out, lm)
	}
	return out, nil
}

// FromMatchers turns Prometheus's matchers into plain data.
func FromMatchers(ms []*labels.Matcher) []Matcher {
	out := make([]Matcher, len(ms))
	for i, m := range ms {
		out[i] = Matcher{Type: m.Type, Name: m.Name, Value: m.Value}
	}
	return out
}

func hintsOf(s Select) *storage.SelectHints {
	// Trimming would decode and encode chunks again only to cut what the reader skips anyway.
	h := &storage.SelectHints{Start: s.Start, End: s.End, Limit: s.Limit, DisableTrimming: true}
	if s.SkipChunks {
		h.Func = "series" // what the TSDB takes as "labels only"
	}
	return h
}

// yieldChunks passes a TSDB's answer on, without what is deleted, up to limit series (0: all).
func yieldChunks(ctx context.Context, set storage.ChunkSeriesSet, gone *Deletions, limit int, yield func(*ChunkSeries, error) bool) error {
	var out ChunkSeries
	var it chunks.Iterator
	yielded := 0
	for n := 0; set.Next(); n++ {
		if limit > 0 && yielded == limit {
			return nil
		}
		if n%128 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		series := set.At()
		out.Labels, out.Chunks = series.Labels(), out.Chunks[:0]
		it = series.Iterator(it)
		for it.Next() {
			m := it.At()
			if m.Chunk == nil || m.Chunk.NumSamples() == 0 {
				continue
			}
			out.Chunks = append(out.Chunks, Chunk{MinTime: m.MinTime, MaxTime: m.MaxTime, Encoding: m.Chunk.Encoding(), Data: m.Chunk.Bytes()})
		}
		if err := it.Err(); err != nil {
			return err
		}
		if len(out.Chunks) == 0 {
			continue
		}
		sortChunks(out.Chunks)
		if intervals := gone.intervals(out.Labels, 0); len(intervals) > 0 {
			rest, err := withoutDeleted(out.Chunks, intervals)
			if err != nil {
				return err
			}
			if out.Chunks = rest; len(rest) == 0 {
				continue
			}
		}
		if yielded++; !yield(&out, nil) {
			return nil
		}
	}
	return set.Err()
}

// yieldLabels is yieldChunks for questions about labels only.
func yieldLabels(ctx context.Context, set storage.SeriesSet, limit int, yield func(*ChunkSeries, error) bool) error {
	var out ChunkSeries
	for n := 0; set.Next(); n++ {
		if limit > 0 && n == limit {
			return nil
		}
		if n%128 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		out.Labels = set.At().Labels()
		if !yield(&out, nil) {
			return nil
		}
	}
	return set.Err()
}

func sortChunks(cs []Chunk) {
	byStart := func(a, b Chunk) int {
		return cmp.Or(cmp.Compare(a.MinTime, b.MinTime), cmp.Compare(a.MaxTime, b.MaxTime))
	}
	if !slices.IsSortedFunc(cs, byStart) {
		slices.SortStableFunc(cs, byStart)
	}
}

// cloneStrings copies strings that may point into a mapped index.
func cloneStrings(in []string) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = strings.Clone(s)
	}
	return out
}
