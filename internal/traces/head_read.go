package traces

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
)

// headSnapshot is a head as it was at one moment. It shares the head's memory, which only grows, so
// taking one costs a few words a trace and reading it needs no lock.
type headSnapshot struct {
	recordReader // only the tables; each call has its own slabs
	traces       []snapshotTrace
	start, end   uint64
	bytes        int64 // of what is being sealed
}

type snapshotTrace struct {
	id            ID
	spans         [][]byte
	start, end    uint64
	events, links int
}

// openPart takes the open traces that s asks for by time and ID, nil: all. mu must be held.
func (h *Head) openPart(s *Select) *headSnapshot {
	out := &headSnapshot{recordReader: h.reader()}
	if h.rows == 0 {
		return out
	}
	out.start, out.end = h.start, h.end
	if s != nil && len(s.Also) == 0 && !s.overlaps(h.start, h.end) {
		return out
	}
	out.traces = make([]snapshotTrace, 0, len(h.traces))
	for id, t := range h.traces {
		if len(t.spans) > 0 && (s == nil || s.overlaps(t.start, t.end) || hasID(s.Also, id)) {
			out.traces = append(out.traces, snapshotTrace{id, t.spans, t.start, t.end, t.events, t.links})
		}
	}
	return out
}

// TimeRange implements Part.
func (h *headSnapshot) TimeRange() (start, end uint64) { return h.start, h.end }

// size is what the trace needs of a row group.
func (t *snapshotTrace) size() traceSize {
	size := traceSize{spans: len(t.spans), events: t.events, links: t.links}
	for _, record := range t.spans {
		size.bytes += 4 * len(record) // text is shared: about what it is when written out
	}
	return size
}

// tables returns a reader with slabs of its own.
func (h *headSnapshot) tables() recordReader {
	return recordReader{text: h.text, resources: h.resources, scopes: h.scopes}
}

// trace builds a trace in the reader's slabs.
func (r *recordReader) trace(id ID, spans [][]byte) *Trace {
	t := &Trace{ID: id, Spans: make([]*Span, len(spans))}
	for i, record := range spans {
		t.Spans[i] = r.span(record)
	}
	if !slices.IsSortedFunc(t.Spans, compareSpans) {
		slices.SortFunc(t.Spans, compareSpans)
	}
	return t
}

// TraceByID implements Part.
func (h *headSnapshot) TraceByID(_ context.Context, id ID) (*Trace, error) {
	for i := range h.traces {
		if h.traces[i].id == id {
			r := h.tables()
			return r.trace(id, h.traces[i].spans), nil
		}
	}
	return nil, nil
}

// SelectTraces implements Part.
func (h *headSnapshot) SelectTraces(ctx context.Context, s Select) iter.Seq2[*Trace, error] {
	return func(yield func(*Trace, error) bool) {
		tests := compileConditions(s)
		r := h.tables()
		queue := newNewest(h.traces, func(t *snapshotTrace) bool {
			return !s.Except.Has(t.id) && (s.overlaps(t.start, t.end) || hasID(s.Also, t.id))
		})
		for n := 0; ; n++ {
			if n%64 == 0 && ctx.Err() != nil {
				yield(nil, fmt.Errorf("select traces of head: %w", context.Cause(ctx)))
				return
			}
			st := queue.pop()
			if st == nil {
				return
			}
			t := r.trace(st.id, st.spans)
			if !tests.trace(t) && !hasID(s.Also, st.id) {
				r.reset()
				continue
			}
			r.detach()
			if !yield(t, nil) {
				return
			}
		}
	}
}

// Pieces implements Part.
func (h *headSnapshot) Pieces(context.Context) iter.Seq2[Piece, error] {
	return func(yield func(Piece, error) bool) {
		pieces := make([]Piece, len(h.traces))
		for i, t := range h.traces {
			pieces[i] = Piece{t.id, t.start, t.end}
		}
		slices.SortFunc(pieces, func(a, b Piece) int { return compareIDs(a.ID, b.ID) })
		for _, p := range pieces {
			if !yield(p, nil) {
				return
			}
		}
	}
}

// Tags implements Part.
func (h *headSnapshot) Tags(ctx context.Context, scope TagScope, start, end uint64) (map[TagScope][]string, error) {
	s := Select{Start: start, End: end}
	out := make(tagSet)
	r := h.tables()
	for i := range h.traces {
		t := &h.traces[i]
		if i%64 == 0 && ctx.Err() != nil {
			return nil, fmt.Errorf("tags of head: %w", context.Cause(ctx))
		}
		if s.overlaps(t.start, t.end) {
			out.addTrace(r.trace(t.id, t.spans))
			r.reset()
		}
	}
	return out.sorted(scope), nil
}

// TagValues implements Part.
func (h *headSnapshot) TagValues(ctx context.Context, scope TagScope, key string, start, end uint64, limit int) ([]Attribute, error) {
	s := Select{Start: start, End: end}
	if scope == ScopeIntrinsic {
		key = canonicalIntrinsic(key)
	}
	v := newValues(limit)
	r := h.tables()
	for i := range h.traces {
		t := &h.traces[i]
		if i%64 == 0 && ctx.Err() != nil {
			return nil, fmt.Errorf("tag values of head: %w", context.Cause(ctx))
		}
		if v.full() {
			break
		}
		if s.overlaps(t.start, t.end) {
			// Slabs are taken back at once: only strings of the head's tables stay.
			v.addTrace(r.trace(t.id, t.spans), scope, key)
			r.reset()
		}
	}
	return v.sorted(), nil
}

// newest is a heap that gives traces newest first. Making it costs one pass, and a search that stops
// after a few traces doesn't pay for sorting the rest.
type newest struct{ heap []*snapshotTrace }

func newNewest(traces []snapshotTrace, want func(*snapshotTrace) bool) *newest {
	n := &newest{heap: make([]*snapshotTrace, 0, len(traces))}
	for i := range traces {
		if want(&traces[i]) {
			n.heap = append(n.heap, &traces[i])
		}
	}
	for i := len(n.heap)/2 - 1; i >= 0; i-- {
		n.down(i)
	}
	return n
}

func (n *newest) before(i, j int) bool {
	a, b := n.heap[i], n.heap[j]
	return newestFirst(a.start, a.id, b.start, b.id) < 0
}

// newestFirst is the order of answers: later start first, traces of equal start by ID.
func newestFirst(startA uint64, idA ID, startB uint64, idB ID) int {
	if c := cmp.Compare(startB, startA); c != 0 {
		return c
	}
	return compareIDs(idA, idB)
}

func (n *newest) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(n.heap) {
			return
		}
		if child+1 < len(n.heap) && n.before(child+1, child) {
			child++
		}
		if !n.before(child, i) {
			return
		}
		n.heap[i], n.heap[child] = n.heap[child], n.heap[i]
		i = child
	}
}

// pop returns the newest trace, nil when none is left.
func (n *newest) pop() *snapshotTrace {
	if len(n.heap) == 0 {
		return nil
	}
	top, last := n.heap[0], len(n.heap)-1
	n.heap[0] = n.heap[last]
	n.heap = n.heap[:last]
	n.down(0)
	return top
}
