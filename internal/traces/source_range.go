package traces

import (
	"context"
	"iter"
	"math"
)

// defaultAtOnce is how many parts a select merges at once. Each costs reading its list of IDs.
const defaultAtOnce = 16

// selectWindows answers a range with many parts by windows of time, newest first, so that a search
// that stops early has read the IDs of the newest parts only, and never more than a window's parts
// are open. A trace belongs to the window in which it starts.
func (m *MergedSource) selectWindows(ctx context.Context, parts []Part, s Select, yield func(*Trace, error) bool) {
	seen := seenOf(parts)
	low, high := uint64(math.MaxUint64), uint64(0)
	for i, p := range parts {
		if live, ok := p.(*sourcePart); ok {
			listed, err := list(ctx, live)
			if err != nil {
				yield(nil, err)
				return
			}
			parts[i], p = listed, listed
		}
		if start, end := p.TimeRange(); end > 0 {
			low, high = min(low, start), max(high, end)
		}
	}
	if s.End != 0 {
		high = min(high, s.End)
	}
	low = max(low, s.Start)
	length := m.window
	for to := high; to >= low; {
		from := to - min(to, length-1)
		last := from <= low
		near := overlapping(parts, from-min(from, joinWindow), to+joinWindow)
		if last {
			from = s.Start // what began before and is still going on
		}
		more := true
		window := s
		window.Start, window.End = from, to
		if len(near) > 0 {
			a := answered{ids: seen}
			if !last {
				a.from = from // what began before has its turn in an older window
			}
			selectParts(ctx, near, window, m.shared.traces, a, func(t *Trace, err error) bool {
				more = yield(t, err) && err == nil
				return more
			})
		}
		if last || !more {
			return
		}
		to = from - 1
		// Where data is thin, larger steps reach it sooner.
		if len(near) < m.atOnce/2 {
			length *= 2
		} else {
			length = m.window
		}
	}
}

func overlapping(parts []Part, from, to uint64) []Part {
	var out []Part
	for _, p := range parts {
		if start, end := p.TimeRange(); end > 0 && start <= to && end >= from {
			out = append(out, p)
		}
	}
	return out
}

// listedPart is a source that was asked for its list of traces once, for a question that needs it in
// several windows.
type listedPart struct {
	*sourcePart
	pieces     []Piece
	start, end uint64
}

func list(ctx context.Context, p *sourcePart) (*listedPart, error) {
	out := &listedPart{sourcePart: p, start: math.MaxUint64}
	for piece, err := range p.Pieces(ctx) {
		if err != nil {
			return nil, err
		}
		out.pieces = append(out.pieces, piece)
		out.start, out.end = min(out.start, piece.Start), max(out.end, piece.End)
	}
	return out, nil
}

func (p *listedPart) TimeRange() (start, end uint64) {
	if len(p.pieces) == 0 {
		return 0, 0
	}
	return p.start, p.end
}

func (p *listedPart) Pieces(context.Context) iter.Seq2[Piece, error] {
	return func(yield func(Piece, error) bool) {
		for _, piece := range p.pieces {
			if !yield(piece, nil) {
				return
			}
		}
	}
}
