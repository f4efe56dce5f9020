package traces

import (
	"cmp"
	"context"
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// A trace that several parts share is answered whole, and must be read for that. This file finds out first which of
// these traces may match: each part says which conditions its pieces meet, from the columns that a search looks at anyhow.

// conditionMeeter is a part that can say which conditions pieces of traces meet.
type conditionMeeter interface {
	// meet sets the bits of conditions that something of a trace may meet.
	meet(ctx context.Context, q *meetings) error
}

// meetings is which conditions traces meet.
type meetings struct {
	tests  []condition // at most maxSplitTests
	ids    []ID        // ascending
	met    []uint64    // by element of ids, bit k for tests[k]
	hashes []hashedID  // ascending
}

// hashedID is the hash of element i of a list of IDs.
type hashedID struct {
	hash block.IDHash
	i    int
}

func newMeetings(tests []condition, shared []joinedPiece) *meetings {
	q := &meetings{tests: tests, ids: make([]ID, len(shared)), met: make([]uint64, len(shared)), hashes: make([]hashedID, len(shared))}
	for i := range shared {
		q.ids[i] = shared[i].ID
		q.hashes[i] = hashedID{block.HashID(shared[i].ID[:]), i}
	}
	slices.SortFunc(q.hashes, func(a, b hashedID) int { return cmp.Compare(a.hash, b.hash) })
	return q
}

var _, _ conditionMeeter = (*groupSet)(nil), (*headSnapshot)(nil)

// metBy reports whether a trace may match whose pieces together meet the conditions that bits of met are set for.
func (cs *conditions) metBy(met uint64) bool {
	n := len(cs.tests)
	switch {
	case n == 0 || n > maxSplitTests:
		return true
	case cs.all:
		return met == ^uint64(0)>>(64-n)
	}
	return met != 0
}

// mayMatch returns those of the traces, which parts share, that may match the conditions.
func mayMatch(ctx context.Context, parts []Part, shared []joinedPiece, tests *conditions) ([]joinedPiece, error) {
	if n := len(tests.tests); n == 0 || n > maxSplitTests || len(shared) == 0 {
		return shared, nil
	}
	q := newMeetings(tests.tests, shared)
	for _, p := range parts {
		m, ok := p.(conditionMeeter)
		if !ok {
			return shared, nil // what it holds may be what is asked for
		}
		if err := m.meet(ctx, q); err != nil {
			return nil, err
		}
	}
	out := make([]joinedPiece, 0, len(shared))
	for i := range shared {
		if tests.metBy(q.met[i]) {
			out = append(out, shared[i])
		}
	}
	return out, nil
}

// placedID is where the trace ids[i] may be.
type placedID struct {
	place tracePlace
	i     int
}

// in returns where in a part the traces may be, given the places of all that it has.
func (q *meetings) in(list []idPlace) []placedID {
	var out []placedID
	s := ascendingSearch{list}
	for _, h := range q.hashes {
		if !s.has(h.hash) {
			continue
		}
		for _, x := range s.list {
			if x.hash != h.hash {
				break
			}
			out = append(out, placedID{x.place(), h.i})
		}
	}
	slices.SortFunc(out, func(a, b placedID) int { return a.place.compare(b.place) })
	return out
}

// meet implements conditionMeeter.
func (s *groupSet) meet(ctx context.Context, q *meetings) error {
	list, err := s.index(ctx)
	if err != nil {
		return err
	}
	places := q.in(list)
	for len(places) > 0 {
		n := 1
		for n < len(places) && places[n].place.group == places[0].place.group {
			n++
		}
		if err := s.meetIn(ctx, places[:n], q); err != nil {
			return err
		}
		places = places[n:]
	}
	return nil
}

// meetIn does it for the traces of one row group.
func (s *groupSet) meetIn(ctx context.Context, places []placedID, q *meetings) error {
	g, err := s.open(ctx, places[0].place.group)
	if err != nil {
		return err
	}
	defer g.release()
	if err := g.spine(ctx); err != nil {
		return err
	}
	for k := range q.tests {
		hits, err := g.condition(ctx, &q.tests[k])
		if err != nil {
			return err
		}
		for _, p := range places {
			if hits[p.place.ordinal] {
				q.met[p.i] |= 1 << k
			}
		}
	}
	return nil
}

// meet implements conditionMeeter.
func (h *headSnapshot) meet(ctx context.Context, q *meetings) error {
	r := h.tables()
	for j := range h.traces {
		t := &h.traces[j]
		i, ok := slices.BinarySearchFunc(q.ids, t.id, compareIDs)
		if !ok {
			continue
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		whole := r.trace(t.id, t.spans)
		for k := range q.tests {
			if q.tests[k].trace(whole) {
				q.met[i] |= 1 << k
			}
		}
		r.reset()
	}
	return nil
}
