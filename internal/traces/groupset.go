package traces

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sort"
)

// groupSet is row groups that are asked together: what a Block and the sealed part of a Head have in common.
// A trace may have pieces in several of them.
type groupSet struct {
	store   groupStore
	entries []groupEntry
	split   []splitTrace // those with pieces in several row groups; their IDs may be missing, see nameSplit
	apart   apartTraces
	// lookup returns where the pieces of traces may be, which are in order of ID. It may name places of others.
	lookup func(ctx context.Context, ids []ID) ([]tracePlace, error)
	// index returns the places of all traces in order of hashes.
	index func(ctx context.Context) ([]idPlace, error)
}

// tracePlace is a trace of a row group.
type tracePlace struct{ group, ordinal int }

func (p tracePlace) compare(o tracePlace) int {
	if p.group != o.group {
		return p.group - o.group
	}
	return p.ordinal - o.ordinal
}

// TimeRange implements Part.
func (s *groupSet) TimeRange() (start, end uint64) {
	for i := range s.entries {
		e := &s.entries[i]
		if i == 0 {
			start, end = e.minStart, e.maxEnd
		}
		start, end = min(start, e.minStart), max(end, e.maxEnd)
	}
	return start, end
}

func (s *groupSet) open(ctx context.Context, i int) (*group, error) {
	return openGroup(ctx, s.store, i, &s.entries[i])
}

// TraceByID implements Part.
func (s *groupSet) TraceByID(ctx context.Context, id ID) (*Trace, error) {
	places, err := s.lookup(ctx, []ID{id})
	if err != nil || len(places) == 0 {
		return nil, err
	}
	return s.join(ctx, places, id, nil)
}

// join reads the pieces of a trace. Places of other traces are passed over.
func (s *groupSet) join(ctx context.Context, places []tracePlace, id ID, needs *Needs) (*Trace, error) {
	var pieces []*Trace
	for _, p := range places {
		g, err := s.open(ctx, p.group)
		if err != nil {
			return nil, err
		}
		err = g.build(ctx, []int{p.ordinal}, needs, func(t *Trace) bool {
			if t.ID == id {
				pieces = append(pieces, t)
			}
			return true
		})
		g.release()
		if err != nil {
			return nil, err
		}
	}
	return JoinTraces(pieces...), nil
}

// Pieces implements Part.
func (s *groupSet) Pieces(ctx context.Context) iter.Seq2[Piece, error] {
	return func(yield func(Piece, error) bool) {
		pieces, err := s.pieces(ctx)
		if err != nil {
			yield(Piece{}, err)
			return
		}
		for _, p := range pieces {
			if !yield(p, nil) {
				return
			}
		}
	}
}

func (s *groupSet) pieces(ctx context.Context) ([]Piece, error) {
	var out []Piece
	for i := range s.entries {
		g, err := s.open(ctx, i)
		if err != nil {
			return nil, err
		}
		if err := g.load(ctx, g.fixed(fixTraceRows, fixTraceStart, fixTraceLength), g.dir.idBlob()); err != nil {
			return nil, err
		}
		if err := g.spine(ctx); err != nil {
			return nil, err
		}
		for t := range g.entry.traces {
			out = append(out, Piece{g.id(t), g.starts[t], g.ends[t]})
		}
		g.release()
	}
	slices.SortFunc(out, func(a, b Piece) int { return compareIDs(a.ID, b.ID) })
	return joinPieces(out), nil
}

// joinPieces makes one of neighbours of one ID.
func joinPieces(pieces []Piece) []Piece {
	out := pieces[:0]
	for _, p := range pieces {
		if n := len(out); n > 0 && out[n-1].ID == p.ID {
			out[n-1].Start, out[n-1].End = min(out[n-1].Start, p.Start), max(out[n-1].End, p.End)
			continue
		}
		out = append(out, p)
	}
	return out
}

// SelectTraces implements Part. Row groups are read newest first, and only those that the range and the
// conditions leave over.
func (s *groupSet) SelectTraces(ctx context.Context, q Select) iter.Seq2[*Trace, error] {
	return func(yield func(*Trace, error) bool) {
		w := groupWalk{groupSet: s, q: &q, tests: compileConditions(q)}
		err := w.run(ctx, yield)
		for _, c := range w.open {
			c.g.release()
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// groupWalk answers one select.
type groupWalk struct {
	*groupSet
	q       *Select
	tests   conditions
	also    map[int][]int        // asked for by ID, by row group
	except  map[int][]int        // that may be among those not to be answered, by row group
	skip    map[int][]int        // pieces of split traces, by row group
	split   []*splitCandidate    // oldest first
	unasked map[int][]splitPlace // pieces of these in row groups that have not been asked about them
	ahead   int                  // how many of split are asked about next
	waiting []int                // row groups that are not open yet, those with the newest traces last
	open    []*groupCursor       // that have traces left
}

// groupCursor is a row group on its way through a select.
type groupCursor struct {
	g      *group
	wanted []int    // ordinals that are not built yet, oldest first
	built  []*Trace // oldest first
	batch  int
	chosen Chosen // what the question's own filter said
	whole  []bool // traces of which it doesn't say which spans match, nil: none
}

// The traces that a cursor builds at once: few at first, since a search wants few.
const (
	firstBatch = 32
	batchGrows = 8
)

func (w *groupWalk) run(ctx context.Context, yield func(*Trace, error) bool) error {
	if err := w.prepare(ctx); err != nil {
		return err
	}
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("select traces: %w", context.Cause(ctx))
		}
		t, err := w.next(ctx)
		if err != nil {
			return err
		}
		if t == nil || !yield(t, nil) {
			return nil
		}
	}
}

func (w *groupWalk) prepare(ctx context.Context) error {
	w.also, w.skip = map[int][]int{}, map[int][]int{}
	if len(w.q.Also) > 0 {
		places, err := w.lookup(ctx, w.q.Also)
		if err != nil {
			return err
		}
		for _, p := range places {
			w.also[p.group] = append(w.also[p.group], p.ordinal)
		}
	}
	if err := w.prepareExcept(ctx); err != nil {
		return err
	}
	if err := w.prepareSplit(ctx); err != nil {
		return err
	}
	for i := range w.entries {
		if w.q.overlaps(w.entries[i].minStart, w.entries[i].maxEnd) || len(w.also[i]) > 0 {
			w.waiting = append(w.waiting, i)
		}
	}
	sort.SliceStable(w.waiting, func(i, j int) bool { return w.entries[w.waiting[i]].maxStart < w.entries[w.waiting[j]].maxStart })
	return nil
}

// next returns the newest trace that is left, nil at the end.
func (w *groupWalk) next(ctx context.Context) (*Trace, error) {
	for {
		best, start := -1, uint64(0)
		for i, c := range w.open {
			at := c.start()
			if best < 0 || at > start {
				best, start = i, at
			} else if at == start {
				before, err := w.before(ctx, c, w.open[best])
				if err != nil {
					return nil, err
				}
				if before {
					best = i
				}
			}
		}
		if n := len(w.waiting); n > 0 && (best < 0 || w.entries[w.waiting[n-1]].maxStart >= start) {
			if err := w.enter(ctx); err != nil {
				return nil, err
			}
			continue
		}
		if t, err := w.nextSplit(ctx, best, start); t != nil || err != nil {
			return t, err
		}
		if best < 0 {
			return nil, nil
		}
		t, err := w.open[best].pop(ctx, w.q.Needs)
		if err != nil {
			return nil, err
		}
		if len(w.open[best].wanted)+len(w.open[best].built) == 0 {
			w.open[best].g.release()
			w.open = slices.Delete(w.open, best, best+1)
		}
		return t, nil
	}
}

// before reports whether the next trace of a comes before that of b, which starts at the same time.
func (w *groupWalk) before(ctx context.Context, a, b *groupCursor) (bool, error) {
	x, err := a.id(ctx)
	if err != nil {
		return false, err
	}
	y, err := b.id(ctx)
	return compareIDs(x, y) < 0, err
}

// enter opens the row group with the newest traces and decides which of its traces are answered.
func (w *groupWalk) enter(ctx context.Context) error {
	i := w.waiting[len(w.waiting)-1]
	w.waiting = w.waiting[:len(w.waiting)-1]
	g, err := w.groupSet.open(ctx, i)
	if err != nil {
		return err
	}
	if err := w.skipExcept(ctx, g); err != nil {
		return err
	}
	c := &groupCursor{g: g, batch: firstBatch}
	wanted, err := w.choose(ctx, c)
	if err != nil {
		return err
	}
	for t, is := range wanted {
		if is {
			c.wanted = append(c.wanted, t)
		}
	}
	if len(c.wanted) > 0 {
		w.open = append(w.open, c)
		return g.spine(ctx)
	}
	g.release()
	return nil
}

// choose returns which traces of a row group are answered.
func (w *groupWalk) choose(ctx context.Context, c *groupCursor) ([]bool, error) {
	g := c.g
	wanted := make([]bool, g.entry.traces)
	if w.q.overlaps(g.entry.minStart, g.entry.maxEnd) {
		if w.q.Groups != nil {
			return w.ask(ctx, c, wanted)
		}
		if err := g.spine(ctx); err != nil {
			return nil, err
		}
		n := 0
		for t := range wanted {
			if wanted[t] = w.q.overlaps(g.starts[t], g.ends[t]); wanted[t] {
				n++
			}
		}
		if n > 0 && len(w.tests.tests) > 0 {
			if _, err := g.filter(ctx, &w.tests, wanted); err != nil {
				return nil, err
			}
		}
	}
	return w.always(g, wanted), nil
}

// always adds the traces that are asked for by ID and takes out the pieces of split ones.
func (w *groupWalk) always(g *group, wanted []bool) []bool {
	for _, t := range w.also[g.i] {
		wanted[t] = true
	}
	for _, t := range w.skip[g.i] {
		wanted[t] = false
	}
	return wanted
}

// ask lets the question's own filter decide.
func (w *groupWalk) ask(ctx context.Context, c *groupCursor, wanted []bool) ([]bool, error) {
	g := c.g
	var apart []bool
	for _, list := range [][]int{w.also[g.i], w.skip[g.i]} {
		for _, t := range list {
			if apart == nil {
				apart = make([]bool, g.entry.traces)
			}
			apart[t] = true
		}
	}
	chosen, err := w.q.Groups.Group(ctx, &RowGroup{g: g, apart: apart})
	if err != nil {
		return nil, err
	}
	if len(chosen.Traces) == 0 {
		return w.always(g, wanted), nil
	}
	c.chosen, c.whole = chosen, apart
	if err := g.spine(ctx); err != nil {
		return nil, err
	}
	for _, t := range chosen.Traces {
		wanted[t] = w.q.overlaps(g.starts[t], g.ends[t])
	}
	return w.always(g, wanted), nil
}

// start returns when the newest trace that is left starts.
func (c *groupCursor) start() uint64 {
	if n := len(c.built); n > 0 {
		start, _ := c.built[n-1].Bounds()
		return start
	}
	return c.g.starts[c.wanted[len(c.wanted)-1]]
}

// id returns the ID of the newest trace that is left.
func (c *groupCursor) id(ctx context.Context) (ID, error) {
	if n := len(c.built); n > 0 {
		return c.built[n-1].ID, nil
	}
	if err := c.g.loadIDs(ctx); err != nil {
		return ID{}, err
	}
	return c.g.id(c.wanted[len(c.wanted)-1]), nil
}

// pop takes the newest trace.
func (c *groupCursor) pop(ctx context.Context, needs *Needs) (*Trace, error) {
	if len(c.built) == 0 {
		from := max(0, len(c.wanted)-c.batch)
		if from < c.batch {
			from = 0 // opening the columns once more would cost more than the rest
		}
		if err := c.build(ctx, c.wanted[from:], needs); err != nil {
			return nil, err
		}
		c.wanted = c.wanted[:from]
		c.batch *= batchGrows
	}
	t := c.built[len(c.built)-1]
	c.built = c.built[:len(c.built)-1]
	return t, nil
}

// Tags implements Part. It knows the keys of all spans.
func (s *groupSet) Tags(ctx context.Context, scope TagScope, start, end uint64) (map[TagScope][]string, error) {
	out := make(tagSet)
	if q := (Select{Start: start, End: end}); !q.overlaps(s.TimeRange()) {
		return out.sorted(scope), nil
	}
	for i := range s.entries {
		g, err := s.open(ctx, i)
		if err != nil {
			return nil, err
		}
		for c := range g.dir.columns {
			out.add(placeScopes[g.dir.columns[c].place], g.dir.columns[c].key)
		}
		for _, r := range g.dir.resources {
			out.addResource(r)
		}
		for _, s := range g.dir.scopes {
			out.addAll(ScopeInstrumentation, s.Attributes)
		}
		for place, of := range placeScopes {
			if err := g.eachRest(ctx, place, func(_ int, a *Attribute) { out.add(of, a.Key) }); err != nil {
				return nil, err
			}
		}
	}
	return out.sorted(scope), nil
}

// TagValues implements Part.
func (s *groupSet) TagValues(ctx context.Context, scope TagScope, key string, start, end uint64, limit int) ([]Attribute, error) {
	scopes := []TagScope{scope}
	switch scope {
	case "":
		scopes = attributeScopes[:]
	case ScopeIntrinsic:
		key = canonicalIntrinsic(key)
	}
	v := newValues(limit)
	err := s.tagValues(ctx, v, scopes, key, &Select{Start: start, End: end})
	return v.sorted(), err
}

// tagValues adds the values of some scopes.
func (s *groupSet) tagValues(ctx context.Context, v *values, scopes []TagScope, key string, q *Select) error {
	for i := range s.entries {
		if !q.overlaps(s.entries[i].minStart, s.entries[i].maxEnd) || v.full() {
			continue
		}
		g, err := s.open(ctx, i)
		if err != nil {
			return err
		}
		for _, scope := range scopes {
			if err := g.addValues(ctx, v, scope, key); err != nil {
				return err
			}
		}
		g.release()
	}
	return nil
}
