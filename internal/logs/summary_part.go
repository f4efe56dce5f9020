package logs

import (
	"context"
	"iter"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
)

// LazyBlock is a block that is not open: a querier knows thousands and opens the few that a question
// needs.
type LazyBlock struct {
	// Oldest and Newest are the times of the first and the last row, both inclusive.
	Oldest, Newest int64
	Summary        Summary
	// Open opens the block. It returns nil without an error where the block was deleted meanwhile: then it
	// has no rows.
	Open func(context.Context) (*Block, error)
	// LookupID returns the pages of the block that may have an ID, as block.IDFilter.Lookup does; none
	// where the block was deleted. Nil: the block is opened to find out.
	LookupID func(context.Context, block.IDFilter, block.IDHash) (block.IDPages, error)
}

// NewLazyPart makes a Part of a block for one question. It opens the block when it is asked and the
// summary doesn't rule out that there is an answer.
func NewLazyPart(b LazyBlock) Part { return &lazyPart{LazyBlock: b} }

type lazyPart struct {
	LazyBlock

	mu     sync.Mutex
	opened bool
	part   Part
}

// pruner is a Part that knows without reading its rows, or nearly so, that it has no answer.
type pruner interface {
	// mayHold reports whether there may be rows that q asks for. False is certain.
	mayHold(ctx context.Context, q *selection) (bool, error)
}

// open returns the block, which is opened once.
func (p *lazyPart) open(ctx context.Context) (Part, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.opened {
		return p.part, nil
	}
	b, err := p.Open(ctx)
	if err != nil {
		return nil, err
	}
	p.opened, p.part = true, noRows{}
	if b != nil {
		p.part = b
	}
	return p.part, nil
}

// mayHold implements pruner. It asks the summary, and for a trace the block's filter of IDs.
func (p *lazyPart) mayHold(ctx context.Context, q *selection) (bool, error) {
	if !p.Summary.MayMatch(q.matchers...) || !p.Summary.MayHaveLevel(q.levels...) {
		return false, nil
	}
	if q.trace == nil || !p.Summary.known || p.LookupID == nil {
		return true, nil
	}
	pages, err := p.LookupID(ctx, p.Summary.traceIDs, q.trace.hash)
	return !pages.None(), err
}

// mayHold implements pruner.
func (p *hidingPart) mayHold(ctx context.Context, q *selection) (bool, error) {
	if inner, ok := p.Part.(pruner); ok {
		return inner.mayHold(ctx, q)
	}
	return true, nil
}

// openFor opens the block unless none of its streams can match any of the sets.
func (p *lazyPart) openFor(ctx context.Context, sets ...[]Matcher) (Part, error) {
	compiled, err := compileMatcherSets(sets)
	if err != nil {
		return nil, err
	}
	for _, set := range compiled {
		if p.Summary.MayMatch(set...) {
			return p.open(ctx)
		}
	}
	return noRows{}, nil
}

// TimeRange implements Part.
func (p *lazyPart) TimeRange() (oldest, newest int64) { return p.Oldest, p.Newest }

// SelectRows implements Part.
func (p *lazyPart) SelectRows(ctx context.Context, s Select) iter.Seq2[*Rows, error] {
	return func(yield func(*Rows, error) bool) {
		part, err := p.forSelect(ctx, s)
		if err != nil {
			yield(nil, err)
			return
		}
		part.SelectRows(ctx, s)(yield)
	}
}

// Scan implements Part.
func (p *lazyPart) Scan(ctx context.Context, s Select, visit func(context.Context, *Page) error) error {
	part, err := p.forSelect(ctx, s)
	if err != nil {
		return err
	}
	return part.Scan(ctx, s, visit)
}

// forSelect opens the block unless nothing of it can be in the answer. A trace is not looked up: the
// open block does it, and a source has done it before.
func (p *lazyPart) forSelect(ctx context.Context, s Select) (Part, error) {
	q, err := compileSelect(ctx, s)
	if err != nil {
		return nil, err
	}
	if !p.Summary.MayMatch(q.matchers...) || !p.Summary.MayHaveLevel(q.levels...) {
		return noRows{}, nil
	}
	return p.open(ctx)
}

// Series implements Part.
func (p *lazyPart) Series(ctx context.Context, start, end int64, matchers [][]Matcher) ([]labels.Labels, error) {
	part, err := p.openFor(ctx, matchers...)
	if err != nil {
		return nil, err
	}
	return part.Series(ctx, start, end, matchers)
}

// Volume implements Part.
func (p *lazyPart) Volume(ctx context.Context, q VolumeQuery) ([]Volume, error) {
	part, err := p.openFor(ctx, q.Matchers)
	if err != nil {
		return nil, err
	}
	return part.Volume(ctx, q)
}

// Extents implements Part.
func (p *lazyPart) Extents(ctx context.Context, start, end int64, matchers []Matcher) ([]Extent, error) {
	part, err := p.openFor(ctx, matchers)
	if err != nil {
		return nil, err
	}
	return part.Extents(ctx, start, end, matchers)
}

// noRows is a Part without rows, such as a block that was deleted.
type noRows struct{}

func (noRows) TimeRange() (oldest, newest int64) { return noTime.min, noTime.max }

func (noRows) SelectRows(context.Context, Select) iter.Seq2[*Rows, error] {
	return func(func(*Rows, error) bool) {}
}

func (noRows) Series(context.Context, int64, int64, [][]Matcher) ([]labels.Labels, error) {
	return nil, nil
}

func (noRows) Volume(context.Context, VolumeQuery) ([]Volume, error) { return nil, nil }

func (noRows) Scan(context.Context, Select, func(context.Context, *Page) error) error { return nil }

func (noRows) Extents(context.Context, int64, int64, []Matcher) ([]Extent, error) { return nil, nil }
