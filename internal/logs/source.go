package logs

import (
	"context"
	"iter"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/fault"
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

func (s *partsSource) union(ctx context.Context, tenant string, start, end int64) (*union, error) {
	if start >= end {
		return &union{}, nil
	}
	parts, err := s.parts(ctx, tenant, start, end)
	return &union{parts: parts}, err
}

// SelectRows implements Source.
func (s *partsSource) SelectRows(ctx context.Context, tenant string, sel Select) iter.Seq2[*Rows, error] {
	return func(yield func(*Rows, error) bool) {
		u, err := s.union(ctx, tenant, sel.Start, sel.End)
		if err != nil {
			yield(nil, err)
			return
		}
		u.selectRows(ctx, sel)(yield)
	}
}

// Series implements Source.
func (s *partsSource) Series(ctx context.Context, tenant string, start, end int64, matchers [][]Matcher) ([]labels.Labels, error) {
	u, err := s.union(ctx, tenant, start, end)
	if err != nil {
		return nil, err
	}
	return u.series(ctx, start, end, matchers)
}

// Volume implements Source. Rows that several parts have are counted in each.
func (s *partsSource) Volume(ctx context.Context, tenant string, q VolumeQuery) ([]Volume, error) {
	if q.Step > 0 && (q.End-q.Start)/q.Step > maxVolumeSteps {
		return nil, fault.Invalidf("volumes of more than %d steps", maxVolumeSteps)
	}
	u, err := s.union(ctx, tenant, q.Start, q.End)
	if err != nil {
		return nil, err
	}
	return u.volume(ctx, q)
}

// maxVolumeSteps bounds what one group of an answer about volumes takes.
const maxVolumeSteps = 1 << 20

// Scan implements Source.
func (s *partsSource) Scan(ctx context.Context, tenant string, sel Select, visit func(context.Context, *Page) error) error {
	u, err := s.union(ctx, tenant, sel.Start, sel.End)
	if err != nil {
		return err
	}
	return u.scan(ctx, sel, visit)
}

// Extents implements Source.
func (s *partsSource) Extents(ctx context.Context, tenant string, start, end int64, matchers []Matcher) ([]Extent, error) {
	u, err := s.union(ctx, tenant, start, end)
	if err != nil {
		return nil, err
	}
	return u.extents(ctx, start, end, matchers)
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

func (p *remotePart) Volume(ctx context.Context, q VolumeQuery) ([]Volume, error) {
	return p.src.Volume(ctx, p.tenant, q)
}

func (p *remotePart) Scan(ctx context.Context, s Select, visit func(context.Context, *Page) error) error {
	return p.src.Scan(ctx, p.tenant, s, visit)
}

func (p *remotePart) Extents(ctx context.Context, start, end int64, matchers []Matcher) ([]Extent, error) {
	return p.src.Extents(ctx, p.tenant, start, end, matchers)
}
