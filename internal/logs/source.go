package logs

import (
	"context"
	"iter"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/sync/errgroup"
)

// PartsFunc returns the parts that may hold logs of a tenant in [start, end). More is allowed: the
// source skips parts whose time range is elsewhere. Parts that hold the same rows are too: rows are
// answered once. Where several parts have rows of one instant and stream, the rows come in the
// order of the parts, so give older parts first.
type PartsFunc func(ctx context.Context, tenant string, start, end int64) ([]Part, error)

// NewSource returns a Source that answers from parts.
//
// An ingester gives its heads and the blocks that it has not handed over; a querier gives blocks of
// the store and, with NewRemotePart, the ingesters.
func NewSource(parts PartsFunc) Source { return &partsSource{parts} }

type partsSource struct{ parts PartsFunc }

// overlapping returns the parts that have rows in [start, end).
func (s *partsSource) overlapping(ctx context.Context, tenant string, start, end int64) ([]Part, error) {
	if start >= end {
		return nil, nil
	}
	parts, err := s.parts(ctx, tenant, start, end)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(parts), func(p Part) bool {
		oldest, newest := p.TimeRange()
		return !timeRange{oldest, newest}.overlaps(start, end)
	}), nil
}

func (s *partsSource) SelectRows(ctx context.Context, tenant string, sel Select) iter.Seq2[*Rows, error] {
	return func(yield func(*Rows, error) bool) {
		if _, err := compileSelect(ctx, sel); err != nil {
			yield(nil, err) // also where no part is asked
			return
		}
		parts, err := s.overlapping(ctx, tenant, sel.Start, sel.End)
		if err != nil {
			yield(nil, err)
			return
		}
		sources := make([]RowSource, len(parts))
		for i, p := range parts {
			oldest, newest := p.TimeRange()
			sources[i] = RowSource{Oldest: max(oldest, sel.Start), Newest: min(newest, sel.End-1), Rows: p.SelectRows(ctx, sel)}
		}
		MergeRows(sel.Direction, sources...)(yield)
	}
}

// partsAtOnce bounds how many parts answer Series or Volume at the same time.
const partsAtOnce = 8

func (s *partsSource) Series(ctx context.Context, tenant string, start, end int64, matchers [][]Matcher) ([]labels.Labels, error) {
	if _, err := compileMatcherSets(matchers); err != nil {
		return nil, err
	}
	answers, err := askParts(ctx, s, tenant, start, end, func(ctx context.Context, p Part) ([]labels.Labels, error) {
		return p.Series(ctx, start, end, matchers)
	})
	if err != nil {
		return nil, err
	}
	all := slices.Concat(answers...)
	slices.SortFunc(all, labels.Compare)
	return slices.CompactFunc(all, labels.Equal), nil
}

// Volume sums over the parts. Rows that several parts have are counted in each.
func (s *partsSource) Volume(ctx context.Context, tenant string, start, end int64, matchers []Matcher) ([]StreamVolume, error) {
	if _, err := compileMatchers(matchers); err != nil {
		return nil, err
	}
	answers, err := askParts(ctx, s, tenant, start, end, func(ctx context.Context, p Part) ([]StreamVolume, error) {
		return p.Volume(ctx, start, end, matchers)
	})
	if err != nil {
		return nil, err
	}
	all := slices.Concat(answers...)
	slices.SortStableFunc(all, func(a, b StreamVolume) int { return labels.Compare(a.Labels, b.Labels) })
	out := all[:0]
	for _, v := range all {
		if n := len(out); n > 0 && labels.Equal(out[n-1].Labels, v.Labels) {
			out[n-1].Entries += v.Entries
			out[n-1].Bytes += v.Bytes
			out[n-1].Pages += v.Pages
			continue
		}
		out = append(out, v)
	}
	return out, nil
}

func askParts[T any](ctx context.Context, s *partsSource, tenant string, start, end int64, ask func(context.Context, Part) (T, error)) ([]T, error) {
	parts, err := s.overlapping(ctx, tenant, start, end)
	if err != nil {
		return nil, err
	}
	answers := make([]T, len(parts))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(partsAtOnce)
	for i, p := range parts {
		g.Go(func() (err error) {
			answers[i], err = ask(ctx, p)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return answers, nil
}

// NewRemotePart makes a Part of one tenant's share of another Source, such as an ingester. oldest
// and newest bound what it may hold, as far as the caller knows; the source is asked for nothing
// outside.
func NewRemotePart(src Source, tenant string, oldest, newest int64) Part {
	return &remotePart{src, tenant, timeRange{oldest, newest}}
}

type remotePart struct {
	src    Source
	tenant string
	times  timeRange
}

func (p *remotePart) TimeRange() (oldest, newest int64) { return p.times.min, p.times.max }

func (p *remotePart) SelectRows(ctx context.Context, s Select) iter.Seq2[*Rows, error] {
	return p.src.SelectRows(ctx, p.tenant, s)
}

func (p *remotePart) Series(ctx context.Context, start, end int64, matchers [][]Matcher) ([]labels.Labels, error) {
	return p.src.Series(ctx, p.tenant, start, end, matchers)
}

func (p *remotePart) Volume(ctx context.Context, start, end int64, matchers []Matcher) ([]StreamVolume, error) {
	return p.src.Volume(ctx, p.tenant, start, end, matchers)
}
