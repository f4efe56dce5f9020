package traces

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
)

// This file answers the traces that have pieces in several row groups. What a question's conditions ask for may be in
// any piece, so each row group is asked once which of its pieces meet which condition. Only traces whose pieces
// together may match are joined, many at once, so that a row group is read once for all of them.

// splitCandidate is a trace in pieces that may be answered.
type splitCandidate struct {
	splitTrace
	also  bool   // asked for by ID: conditions don't matter
	met   uint64 // conditions that some piece meets, of the first maxSplitTests
	spans int    // of all pieces, set as met is
	whole *Trace // once it is joined
}

// splitPlace is a piece of a candidate in a row group.
type splitPlace struct {
	*splitCandidate
	ordinal int
}

const (
	maxSplitTests = 64     // of the conditions of a question; further ones are not looked at before traces are joined
	maxSplitSpans = 50_000 // in pieces that are joined at once, but for the last trace
)

// prepareSplit finds the split traces that may be answered.
func (w *groupWalk) prepareSplit(ctx context.Context) error {
	var named []*splitTrace
	var apart []bool
	if w.q.Alone && w.q.Groups != nil && len(w.groupSet.split) > 0 {
		var err error
		if apart, err = w.apartSplit(ctx); err != nil {
			return err
		}
	}
	for i := range w.groupSet.split {
		t := &w.groupSet.split[i]
		if apart != nil && apart[i] && !w.isAlso(t) {
			continue // its pieces are answered like traces
		}
		for _, p := range t.places {
			w.skip[p.group] = append(w.skip[p.group], p.ordinal)
		}
		if len(w.q.Also) > 0 || w.q.overlaps(t.Start, t.End) {
			c := &splitCandidate{splitTrace: *t} // questions that run beside this one share t
			w.split, named = append(w.split, c), append(named, &c.splitTrace)
		}
	}
	if err := w.nameSplit(ctx, named); err != nil {
		return err
	}
	w.split = slices.DeleteFunc(w.split, func(c *splitCandidate) bool {
		c.also = hasID(w.q.Also, c.ID)
		return w.q.Except.Has(c.ID) || !c.also && !w.q.overlaps(c.Start, c.End)
	})
	sort.Slice(w.split, func(i, j int) bool {
		a, b := w.split[i], w.split[j]
		return newestFirst(a.Start, a.ID, b.Start, b.ID) > 0
	})
	w.unasked, w.ahead = map[int][]splitPlace{}, firstBatch
	for _, c := range w.split {
		for _, p := range c.places {
			w.unasked[p.group] = append(w.unasked[p.group], splitPlace{c, p.ordinal})
		}
	}
	return nil
}

// isAlso reports whether a piece of a trace is where one that is asked for by ID may be.
func (w *groupWalk) isAlso(t *splitTrace) bool {
	return slices.ContainsFunc(t.places, func(p tracePlace) bool { return slices.Contains(w.also[p.group], p.ordinal) })
}

// nextSplit answers the next split trace if it is the turn of one, given the cursor with the newest trace.
func (w *groupWalk) nextSplit(ctx context.Context, best int, start uint64) (*Trace, error) {
	for len(w.split) > 0 {
		c := w.split[len(w.split)-1]
		if best >= 0 {
			if c.Start < start {
				return nil, nil
			}
			if c.Start == start {
				id, err := w.open[best].id(ctx)
				if err != nil {
					return nil, err
				}
				if compareIDs(id, c.ID) < 0 {
					return nil, nil
				}
			}
		}
		if c.whole == nil {
			if err := w.joinSplit(ctx); err != nil {
				return nil, err
			}
			continue
		}
		w.split = w.split[:len(w.split)-1]
		if w.q.Groups != nil || c.also || w.tests.trace(c.whole) {
			return c.whole, nil
		}
	}
	return nil, nil
}

// joinSplit drops the newest candidates that can't match and joins the others. Those at the end are joined then, or
// there are fewer.
func (w *groupWalk) joinSplit(ctx context.Context) error {
	from := max(0, len(w.split)-w.ahead)
	if w.ahead < math.MaxInt/batchGrows {
		w.ahead *= batchGrows
	}
	if err := w.askSplit(ctx, w.split[from:]); err != nil {
		return err
	}
	left := slices.DeleteFunc(w.split[from:], func(c *splitCandidate) bool { return !w.mayMatch(c) })
	w.split = w.split[:from+len(left)]
	first, spans := len(left), 0
	for first > 0 && spans < maxSplitSpans {
		first--
		spans += left[first].spans
	}
	return w.joinAll(ctx, left[first:])
}

// mayMatch reports whether the pieces of a candidate, which have been asked, meet the conditions together.
func (w *groupWalk) mayMatch(c *splitCandidate) bool {
	return c.also || w.tests.metBy(c.met)
}

// askSplit asks the row groups of candidates what all pieces there meet, each row group once.
func (w *groupWalk) askSplit(ctx context.Context, list []*splitCandidate) error {
	for _, c := range list {
		for _, p := range c.places {
			places, ok := w.unasked[p.group]
			if !ok {
				continue
			}
			delete(w.unasked, p.group)
			if err := w.askPieces(ctx, p.group, places); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *groupWalk) askPieces(ctx context.Context, i int, places []splitPlace) error {
	g, err := w.groupSet.open(ctx, i)
	if err != nil {
		return err
	}
	defer g.release()
	if err := g.spine(ctx); err != nil {
		return err
	}
	for _, p := range places {
		p.spans += g.first[p.ordinal+1] - g.first[p.ordinal]
	}
	if len(w.tests.tests) > maxSplitTests {
		return nil
	}
	for k := range w.tests.tests {
		hits, err := g.condition(ctx, &w.tests.tests[k])
		if err != nil {
			return err
		}
		for _, p := range places {
			if hits[p.ordinal] {
				p.met |= 1 << k
			}
		}
	}
	return nil
}

// joinAll joins candidates, reading each row group once.
func (w *groupWalk) joinAll(ctx context.Context, list []*splitCandidate) error {
	byGroup := map[int][]splitPlace{}
	for _, c := range list {
		for _, p := range c.places {
			byGroup[p.group] = append(byGroup[p.group], splitPlace{c, p.ordinal})
		}
	}
	pieces := map[*splitCandidate][]*Trace{}
	for _, i := range slices.Sorted(maps.Keys(byGroup)) { // pieces of a trace in the order of their places
		places := byGroup[i]
		slices.SortStableFunc(places, func(a, b splitPlace) int { return a.ordinal - b.ordinal })
		if err := w.buildPieces(ctx, i, places, pieces); err != nil {
			return err
		}
	}
	for _, c := range list {
		if c.whole = JoinTraces(pieces[c]...); c.whole == nil {
			return w.store.corrupt(c.places[0].group, "split traces", fmt.Errorf("trace %s is not where it should be", c.ID))
		}
	}
	return nil
}

// buildPieces builds the pieces at places of a row group, which ascend. Pieces of other traces are passed over.
func (w *groupWalk) buildPieces(ctx context.Context, i int, places []splitPlace, pieces map[*splitCandidate][]*Trace) error {
	g, err := w.groupSet.open(ctx, i)
	if err != nil {
		return err
	}
	defer g.release()
	ordinals := make([]int, len(places))
	for k, p := range places {
		ordinals[k] = p.ordinal
	}
	k := 0
	return g.build(ctx, ordinals, w.q.Needs, func(t *Trace) bool {
		if c := places[k].splitCandidate; t.ID == c.ID {
			pieces[c] = append(pieces[c], t)
		}
		k++
		return true
	})
}
