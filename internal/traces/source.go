package traces

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// joinWindow is how far around the range of a query parts are asked for pieces of traces. A trace
// with pieces in the range and others more than this away is answered without those, unless it is
// asked for by its ID without a range.
const joinWindow = uint64(time.Hour)

// maxPendingSpans bounds the spans that wait for the other pieces of their trace while parts are
// merged. Beyond it a piece is dropped and read again when the last one comes.
const maxPendingSpans = 200_000

// partConcurrency is how many parts are asked at the same time by one query.
const partConcurrency = 8

// NewSource returns a Source over all parts of a tenant. parts returns those that may have spans in
// [start, end] (both zero: all of them); it is called once a question.
//
// A trace with pieces in several parts is one trace in every answer, tested as a whole: pieces are
// found by ID before anything is read, so each part decides alone about the traces that only it
// has, and only the others are joined. A span that several parts have is answered once.
func NewSource(parts func(ctx context.Context, tenant string, start, end uint64) ([]Part, error)) *MergedSource {
	return &MergedSource{parts: parts, atOnce: defaultAtOnce, window: joinWindow, shared: newSharedBlocks(sharedBlocksBytes)}
}

// MergedSource is a Source over parts, see NewSource.
type MergedSource struct {
	parts  func(ctx context.Context, tenant string, start, end uint64) ([]Part, error)
	atOnce int    // parts up to which a range is answered in one go
	window uint64 // else by windows of this length, see selectWindows
	shared *sharedBlocks
}

// freezer is a part that changes and can show itself as it is now.
type freezer interface{ frozenParts() []Part }

// around returns the parts within the join window of a range.
func (m *MergedSource) around(ctx context.Context, tenant string, start, end uint64) ([]Part, error) {
	if start > joinWindow {
		start -= joinWindow
	} else {
		start = min(start, 1) // not "any time" by accident
	}
	if end != 0 {
		end = min(end, math.MaxInt64-joinWindow) + joinWindow
	}
	parts, err := m.parts(ctx, tenant, start, end)
	if err != nil {
		return nil, fmt.Errorf("parts of traces: %w", err)
	}
	return slices.Clone(parts), nil
}

// open is around with every part as it is now, where the part can show itself so.
func (m *MergedSource) open(ctx context.Context, tenant string, start, end uint64) ([]Part, error) {
	parts, err := m.around(ctx, tenant, start, end)
	if err != nil {
		return nil, err
	}
	return m.flat(ctx, parts, start, end)
}

// flat replaces parts that change by what they are now, and sources of this process by their parts.
func (m *MergedSource) flat(ctx context.Context, parts []Part, start, end uint64) ([]Part, error) {
	out := make([]Part, 0, len(parts))
	for _, p := range parts {
		if s, ok := p.(*sourcePart); ok {
			if inner, ok := s.src.(*MergedSource); ok {
				list, err := inner.open(ctx, s.tenant, start, end)
				if err != nil {
					return nil, err
				}
				out = append(out, list...)
				continue
			}
		}
		if f, ok := p.(freezer); ok {
			out = append(out, f.frozenParts()...)
		} else {
			out = append(out, p)
		}
	}
	return out, nil
}

// TraceByID implements Source.
func (m *MergedSource) TraceByID(ctx context.Context, tenant string, id ID, start, end uint64) (*Trace, error) {
	parts, err := m.around(ctx, tenant, start, end)
	if err != nil {
		return nil, err
	}
	return joinByID(ctx, parts, id)
}

func joinByID(ctx context.Context, parts []Part, id ID) (*Trace, error) {
	pieces := make([]*Trace, len(parts))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(partConcurrency)
	for i, p := range parts {
		g.Go(func() (err error) {
			pieces[i], err = p.TraceByID(ctx, id)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("trace %s: %w", id, err)
	}
	return JoinTraces(pieces...), nil
}

// SelectTraces implements Source.
func (m *MergedSource) SelectTraces(ctx context.Context, tenant string, s Select) iter.Seq2[*Trace, error] {
	return func(yield func(*Trace, error) bool) {
		around := Range{s.Start, s.End}
		if s.Whole != nil {
			around = *s.Whole
		}
		parts, err := m.open(ctx, tenant, around.Start, around.End)
		if err != nil {
			yield(nil, err)
			return
		}
		if len(parts) > m.atOnce && len(s.Also) == 0 && !s.Fold {
			m.selectWindows(ctx, parts, s, yield)
			return
		}
		selectParts(ctx, parts, s, m.shared.traces, answered{ids: seenOf(parts)}, yield)
	}
}

// Pieces lists the traces of all parts that may be in the range, in order of ID, each ID once.
func (m *MergedSource) Pieces(ctx context.Context, tenant string, start, end uint64) iter.Seq2[Piece, error] {
	return func(yield func(Piece, error) bool) {
		parts, err := m.open(ctx, tenant, start, end)
		if err != nil {
			yield(Piece{}, err)
			return
		}
		for joined, err := range mergePieces(ctx, parts) {
			if !yield(joined.Piece, err) || err != nil {
				return
			}
		}
	}
}

// joinedPiece is a trace over all parts. count is the number of parts that have a piece.
type joinedPiece struct {
	Piece
	count int
}

// mergePieces merges the lists of the parts.
func mergePieces(ctx context.Context, parts []Part) iter.Seq2[joinedPiece, error] {
	return func(yield func(joinedPiece, error) bool) {
		streams := make([]*pulled[Piece], 0, len(parts))
		defer func() { stopAll(streams) }()
		for _, p := range parts {
			streams = append(streams, pull(p.Pieces(ctx)))
		}
		for {
			var first *pulled[Piece]
			for _, s := range streams {
				if s.err != nil {
					yield(joinedPiece{}, s.err)
					return
				}
				if s.ok && (first == nil || compareIDs(s.head.ID, first.head.ID) < 0) {
					first = s
				}
			}
			if first == nil {
				return
			}
			joined := joinedPiece{Piece: first.head}
			for _, s := range streams {
				if s.ok && s.head.ID == joined.ID {
					joined.count++
					joined.Start, joined.End = min(joined.Start, s.head.Start), max(joined.End, s.head.End)
					s.next()
				}
			}
			if !yield(joined, nil) {
				return
			}
		}
	}
}

// pulled is a sequence with its next element at hand.
type pulled[T any] struct {
	pull func() (T, error, bool)
	stop func()
	head T
	err  error
	ok   bool
}

func pull[T any](seq iter.Seq2[T, error]) *pulled[T] {
	p := &pulled[T]{}
	p.pull, p.stop = iter.Pull2(seq)
	p.next()
	return p
}

func (p *pulled[T]) next() {
	p.head, p.err, p.ok = p.pull()
	if p.err != nil {
		p.ok = false
	}
}

func stopAll[T any](streams []*pulled[T]) {
	for _, s := range streams {
		s.stop()
	}
}

// seenOf returns where to remember the traces that were answered, nil if no part may get new ones.
func seenOf(parts []Part) map[ID]struct{} {
	for _, p := range parts {
		switch p.(type) {
		case *sourcePart, *listedPart:
			return make(map[ID]struct{})
		}
	}
	return nil
}

// answered decides which traces are answered here and now.
type answered struct {
	from uint64          // those that start before are answered later
	ids  map[ID]struct{} // set if a part may get new traces meanwhile: what was answered
}

// take reports whether t is to be answered. A trace comes again only if a piece has just arrived.
func (a *answered) take(t *Trace) bool {
	if start, _ := t.Bounds(); start < a.from {
		return false
	}
	if a.ids == nil {
		return true
	}
	_, again := a.ids[t.ID]
	a.ids[t.ID] = struct{}{}
	return !again
}

// selectParts answers a select over parts. sharedOf says which traces several of them have, as sharedTraces does.
func selectParts(ctx context.Context, parts []Part, s Select, sharedOf func(context.Context, []Part) ([]joinedPiece, error),
	a answered, yield func(*Trace, error) bool) {
	if a.ids != nil {
		s.Alone = false // of two pieces of a trace the second would be taken for one that was answered
	}
	if len(parts) == 1 {
		for t, err := range parts[0].SelectTraces(ctx, s) {
			if (err != nil || a.take(t)) && !yield(t, err) || err != nil {
				return
			}
		}
		return
	}
	split := make(map[ID]*pendingTrace)
	inner := s
	inner.Also = nil
	shared, err := sharedOf(ctx, parts)
	if err != nil {
		yield(nil, err)
		return
	}
	// What is left out of these no part gives by itself: what isn't to be answered, what another piece of the query
	// answers, and what no pieces together may match.
	wanted := make([]joinedPiece, 0, len(shared))
	for _, joined := range shared {
		if !s.Except.Has(joined.ID) && (s.Whole == nil || s.overlaps(joined.Start, joined.End) || hasID(s.Also, joined.ID)) {
			wanted = append(wanted, joined)
		}
	}
	tests := compileConditions(s)
	if len(s.Also) == 0 {
		if wanted, err = mayMatch(ctx, parts, wanted, &tests); err != nil {
			yield(nil, err)
			return
		}
	}
	for _, joined := range wanted {
		also := hasID(s.Also, joined.ID)
		inner.Also = append(inner.Also, joined.ID)
		split[joined.ID] = &pendingTrace{missing: joined.count, also: also, wanted: also || s.overlaps(joined.Start, joined.End)}
	}
	if len(s.Also) > 0 {
		inner.Also = append(inner.Also, s.Also...)
		slices.SortFunc(inner.Also, compareIDs)
		inner.Also = slices.Compact(inner.Also)
	}
	m := merger{parts: parts, split: split, tests: tests, answered: a}
	for _, p := range parts {
		m.streams = append(m.streams, pull(p.SelectTraces(ctx, inner)))
	}
	defer func() { stopAll(m.streams) }()
	m.run(ctx, yield)
}

// pendingTrace is a trace with pieces in several parts, on its way.
type pendingTrace struct {
	missing int      // pieces that have not come yet
	wanted  bool     // its time overlaps the range
	also    bool     // the caller asked for it by ID
	pieces  []*Trace // empty once dropped
	dropped bool     // too much was pending: read it again in the end
}

// merger merges the streams of parts newest first. A trace in pieces starts where its earliest
// piece starts, and that piece comes last: so a joined trace is complete just when it is its turn.
type merger struct {
	parts   []Part
	streams []*pulled[*Trace]
	split   map[ID]*pendingTrace
	tests   conditions
	waiting int // spans in pending pieces
	answered
}

func (m *merger) run(ctx context.Context, yield func(*Trace, error) bool) {
	for {
		t, err := m.next()
		if err == nil && t == nil {
			return
		}
		if err == nil {
			t, err = m.join(ctx, t)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		if t == nil || !m.take(t) {
			continue
		}
		if !yield(t, nil) {
			return
		}
	}
}

// next takes the newest piece from the streams.
func (m *merger) next() (*Trace, error) {
	var first *pulled[*Trace]
	var start uint64
	for _, s := range m.streams {
		if s.err != nil {
			return nil, s.err
		}
		if !s.ok {
			continue
		}
		at, _ := s.head.Bounds()
		if first == nil || newestFirst(at, s.head.ID, start, first.head.ID) < 0 {
			first, start = s, at
		}
	}
	if first == nil {
		return nil, nil
	}
	t := first.head
	first.next()
	return t, nil
}

// join returns the trace that t completes, or nil if there is none yet or it isn't wanted.
func (m *merger) join(ctx context.Context, t *Trace) (*Trace, error) {
	p := m.split[t.ID]
	if p == nil {
		return t, nil
	}
	p.missing--
	if p.wanted && !p.dropped {
		p.pieces = append(p.pieces, t)
		m.waiting += len(t.Spans)
	}
	if p.missing > 0 {
		if m.waiting > maxPendingSpans {
			m.drop(p)
		}
		return nil, nil
	}
	delete(m.split, t.ID)
	if !p.wanted {
		return nil, nil
	}
	whole := JoinTraces(p.pieces...)
	if p.dropped {
		var err error
		if whole, err = joinByID(ctx, m.parts, t.ID); err != nil {
			return nil, err
		}
	}
	for _, piece := range p.pieces {
		m.waiting -= len(piece.Spans)
	}
	if whole == nil || !p.also && !m.tests.trace(whole) {
		return nil, nil
	}
	return whole, nil
}

func (m *merger) drop(p *pendingTrace) {
	for _, piece := range p.pieces {
		m.waiting -= len(piece.Spans)
	}
	p.pieces, p.dropped = nil, true
}

// Tags implements Source.
func (m *MergedSource) Tags(ctx context.Context, tenant string, scope TagScope, start, end uint64) (map[TagScope][]string, error) {
	parts, err := m.parts(ctx, tenant, start, end)
	if err != nil {
		return nil, fmt.Errorf("parts of traces: %w", err)
	}
	var mu sync.Mutex
	all := make(tagSet)
	err = eachPart(ctx, parts, func(ctx context.Context, p Part) error {
		tags, err := p.Tags(ctx, scope, start, end)
		mu.Lock()
		defer mu.Unlock()
		for scope, keys := range tags {
			for _, k := range keys {
				all.add(scope, k)
			}
		}
		return err
	})
	return all.sorted(scope), err
}

// TagValues implements Source.
func (m *MergedSource) TagValues(ctx context.Context, tenant string, scope TagScope, key string, start, end uint64, limit int) ([]Attribute, error) {
	parts, err := m.parts(ctx, tenant, start, end)
	if err != nil {
		return nil, fmt.Errorf("parts of traces: %w", err)
	}
	var mu sync.Mutex
	all := newValues(limit)
	err = eachPart(ctx, parts, func(ctx context.Context, p Part) error {
		list, err := p.TagValues(ctx, scope, key, start, end, limit)
		mu.Lock()
		defer mu.Unlock()
		for i := range list {
			all.add(&list[i])
		}
		return err
	})
	return all.sorted(), err
}

func eachPart(ctx context.Context, parts []Part, do func(context.Context, Part) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(partConcurrency)
	for _, p := range parts {
		g.Go(func() error { return do(ctx, p) })
	}
	return g.Wait()
}

// pieceLister is what a Source is that can list its traces; MergedSource is one.
type pieceLister interface {
	Pieces(ctx context.Context, tenant string, start, end uint64) iter.Seq2[Piece, error]
}

// PartOf shows what a source holds of one tenant as a Part, such as what an ingester holds. The
// source should have the method Pieces of MergedSource; without it every trace is read to list them.
func PartOf(src Source, tenant string) Part { return &sourcePart{src, tenant} }

type sourcePart struct {
	src    Source
	tenant string
}

func (p *sourcePart) TimeRange() (start, end uint64) { return 0, math.MaxInt64 }

func (p *sourcePart) TraceByID(ctx context.Context, id ID) (*Trace, error) {
	return p.src.TraceByID(ctx, p.tenant, id, 0, 0)
}

func (p *sourcePart) SelectTraces(ctx context.Context, s Select) iter.Seq2[*Trace, error] {
	return p.src.SelectTraces(ctx, p.tenant, s)
}

func (p *sourcePart) Tags(ctx context.Context, scope TagScope, start, end uint64) (map[TagScope][]string, error) {
	return p.src.Tags(ctx, p.tenant, scope, start, end)
}

func (p *sourcePart) TagValues(ctx context.Context, scope TagScope, key string, start, end uint64, limit int) ([]Attribute, error) {
	return p.src.TagValues(ctx, p.tenant, scope, key, start, end, limit)
}

func (p *sourcePart) Pieces(ctx context.Context) iter.Seq2[Piece, error] {
	if l, ok := p.src.(pieceLister); ok {
		return l.Pieces(ctx, p.tenant, 0, 0)
	}
	return func(yield func(Piece, error) bool) {
		var pieces []Piece
		for t, err := range p.src.SelectTraces(ctx, p.tenant, Select{}) {
			if err != nil {
				yield(Piece{}, err)
				return
			}
			start, end := t.Bounds()
			pieces = append(pieces, Piece{t.ID, start, end})
		}
		slices.SortFunc(pieces, func(a, b Piece) int { return compareIDs(a.ID, b.ID) })
		for _, piece := range pieces {
			if !yield(piece, nil) {
				return
			}
		}
	}
}
