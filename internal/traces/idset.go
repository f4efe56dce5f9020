package traces

import (
	"context"
	"iter"
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// IDSet is a set of traces. It never changes; nil is the empty set.
type IDSet struct {
	ids    []ID           // in order
	hashes []block.IDHash // of them, in order
}

// NewIDSet returns the set of some traces, nil for none. The slice becomes the set's.
func NewIDSet(ids []ID) *IDSet {
	if len(ids) == 0 {
		return nil
	}
	slices.SortFunc(ids, compareIDs)
	s := &IDSet{ids: slices.Compact(ids)}
	s.hashes = make([]block.IDHash, len(s.ids))
	for i := range s.ids {
		s.hashes[i] = block.HashID(s.ids[i][:])
	}
	slices.Sort(s.hashes)
	s.hashes = slices.Compact(s.hashes)
	return s
}

// UnionIDs returns the traces that are in any of the sets.
func UnionIDs(sets ...*IDSet) *IDSet {
	var all []ID
	var one *IDSet
	n := 0
	for _, s := range sets {
		if s.Len() > 0 {
			one = s
			n++
		}
	}
	if n <= 1 {
		return one
	}
	for _, s := range sets {
		all = append(all, s.IDs()...)
	}
	return NewIDSet(all)
}

// Len returns how many traces there are.
func (s *IDSet) Len() int {
	if s == nil {
		return 0
	}
	return len(s.ids)
}

// IDs returns the traces in order. They must not be changed.
func (s *IDSet) IDs() []ID {
	if s == nil {
		return nil
	}
	return s.ids
}

// Has reports whether a trace is in the set.
func (s *IDSet) Has(id ID) bool { return s != nil && hasID(s.ids, id) }

// places returns where traces of the set may be, by the hashes of their IDs: others may be there too.
func (s *IDSet) places(list []idPlace) []tracePlace {
	if s == nil {
		return nil
	}
	return placesOf(list, s.hashes)
}

// AnyOf reports whether a part has a piece of a trace of the set.
func (s *IDSet) AnyOf(ctx context.Context, p Part) (bool, error) {
	if s.Len() == 0 {
		return false, nil
	}
	x, err := indexOf(ctx, p)
	if err != nil {
		return false, err
	}
	list, err := x.idIndex(ctx)
	if err != nil {
		return false, err
	}
	pieces, err := x.piecesAt(ctx, s.places(list))
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(pieces, func(p Piece) bool { return s.Has(p.ID) }), nil
}

// prepareExcept notes where traces may be that are not to be answered.
func (w *groupWalk) prepareExcept(ctx context.Context) error {
	if w.q.Except.Len() == 0 {
		return nil
	}
	list, err := w.index(ctx)
	if err != nil {
		return err
	}
	w.except = map[int][]int{}
	for _, p := range w.q.Except.places(list) {
		w.except[p.group] = append(w.except[p.group], p.ordinal)
	}
	return nil
}

// skipExcept takes out of a row group the traces that are not to be answered, as if their pieces were elsewhere.
func (w *groupWalk) skipExcept(ctx context.Context, g *group) error {
	maybe := w.except[g.i]
	if len(maybe) == 0 {
		return nil
	}
	if err := g.loadIDs(ctx); err != nil {
		return err
	}
	for _, t := range maybe {
		if w.q.Except.Has(g.id(t)) {
			w.skip[g.i] = append(w.skip[g.i], t)
		}
	}
	return nil
}

// Hide returns src without the traces that hidden says for a tenant, which is asked before src is. Tags and
// their values are those of src: what is hidden leaves them when it is stored no more.
func Hide(src Source, hidden func(tenant string) *IDSet) Source { return &hidingSource{src, hidden} }

type hidingSource struct {
	Source
	hidden func(tenant string) *IDSet
}

// TraceByID implements Source.
func (s *hidingSource) TraceByID(ctx context.Context, tenant string, id ID, start, end uint64) (*Trace, error) {
	if s.hidden(tenant).Has(id) {
		return nil, nil
	}
	return s.Source.TraceByID(ctx, tenant, id, start, end)
}

// SelectTraces implements Source.
func (s *hidingSource) SelectTraces(ctx context.Context, tenant string, q Select) iter.Seq2[*Trace, error] {
	q.Except = UnionIDs(q.Except, s.hidden(tenant))
	return s.Source.SelectTraces(ctx, tenant, q)
}
