package traces

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// A head seals spans as they come: the traces that no span has joined for longest become row groups in memory,
// of a fifth of the size, which are read as those of a block are and go into a block as they are. So what waits
// as records is the last seconds of traffic. A trace that gets spans later has pieces, see groupSet.

const (
	// sealSpans is how many spans a head seals at once: a full row group.
	sealSpans = maxGroupSpans
	// openSpans is how many spans of open traces make a head seal. Twice what is sealed gives traces as long to
	// complete as it takes that many spans to arrive.
	openSpans = 2 * sealSpans
	// renewBytes is how much text the tables of a head hold before they are made anew for what is open.
	renewBytes = 8 << 20
)

// sealedSet is the sealed row groups of a head. It is immutable.
type sealedSet struct {
	groups []*encodedGroup
	ids    []sealedID // in order of hashes
	split  []splitTrace
	size   int64
}

// sealedID says where a trace is.
type sealedID struct {
	hash  block.IDHash
	place tracePlace
	spans int32
}

const sealedIDSize = 24

// find returns the pieces of a trace.
func (s *sealedSet) find(id ID) []sealedID {
	if len(s.ids) == 0 {
		return nil
	}
	h := block.HashID(id[:])
	from, _ := slices.BinarySearchFunc(s.ids, h, func(x sealedID, h block.IDHash) int { return cmp.Compare(x.hash, h) })
	var out []sealedID
	for _, x := range s.ids[from:] {
		if x.hash != h {
			break
		}
		if s.groups[x.place.group].traces[x.place.ordinal].ID == id {
			out = append(out, x)
		}
	}
	return out
}

// with returns s with more row groups.
func (s *sealedSet) with(groups []*encodedGroup, spans [][]int32) *sealedSet {
	out := &sealedSet{groups: append(slices.Clip(s.groups), groups...), size: s.size}
	var added []sealedID
	for i, g := range groups {
		out.size += g.size() + sealedIDSize*int64(len(g.traces))
		for t := range g.traces {
			added = append(added, sealedID{block.HashID(g.traces[t].ID[:]), tracePlace{len(s.groups) + i, t}, spans[i][t]})
		}
	}
	slices.SortFunc(added, sealedID.compare)
	out.ids = mergeSorted(s.ids, added, sealedID.compare)
	out.split = out.splitWith(s.split, len(s.groups))
	return out
}

func (x sealedID) compare(y sealedID) int {
	return cmp.Or(cmp.Compare(x.hash, y.hash), x.place.compare(y.place))
}

// mergeSorted returns what two sorted lists have, sorted.
func mergeSorted[T any](a, b []T, compare func(x, y T) int) []T {
	out := make([]T, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if compare(b[0], a[0]) < 0 {
			out, b = append(out, b[0]), b[1:]
		} else {
			out, a = append(out, a[0]), a[1:]
		}
	}
	return append(append(out, a...), b...)
}

// splitWith returns the traces in pieces, in order of ID, given those before there were row groups from one on: only
// traces that are there can have become such.
func (s *sealedSet) splitWith(before []splitTrace, from int) []splitTrace {
	var changed []splitTrace
	for g := from; g < len(s.groups); g++ {
		for ordinal := range s.groups[g].traces {
			pieces := s.find(s.groups[g].traces[ordinal].ID)
			first := slices.IndexFunc(pieces, func(p sealedID) bool { return p.place.group >= from })
			if len(pieces) < 2 || pieces[first].place != (tracePlace{g, ordinal}) { // each trace once
				continue
			}
			t := splitTrace{Piece: s.piece(pieces[0])}
			for _, p := range pieces {
				piece := s.piece(p)
				t.Start, t.End = min(t.Start, piece.Start), max(t.End, piece.End)
				t.places = append(t.places, p.place)
			}
			changed = append(changed, t)
		}
	}
	if len(changed) == 0 {
		return before
	}
	slices.SortFunc(changed, splitTrace.compareID)
	kept := make([]splitTrace, 0, len(before))
	for _, t := range before {
		if _, found := slices.BinarySearchFunc(changed, t, splitTrace.compareID); !found {
			kept = append(kept, t)
		}
	}
	return mergeSorted(kept, changed, splitTrace.compareID)
}

func (t splitTrace) compareID(o splitTrace) int { return compareIDs(t.ID, o.ID) }

func (s *sealedSet) piece(x sealedID) Piece { return s.groups[x.place.group].traces[x.place.ordinal] }

// part returns the set as a Part.
func (s *sealedSet) part() *groupSet {
	out := &groupSet{store: s, split: s.split}
	for _, g := range s.groups {
		out.entries = append(out.entries, g.entry)
	}
	out.lookup = func(_ context.Context, ids []ID) ([]tracePlace, error) {
		var places []tracePlace
		for _, id := range ids {
			for _, x := range s.find(id) {
				places = append(places, x.place)
			}
		}
		slices.SortFunc(places, tracePlace.compare)
		return places, nil
	}
	out.index = func(context.Context) ([]idPlace, error) {
		list := make([]idPlace, len(s.ids))
		for i, x := range s.ids {
			list[i] = newIDPlace(x.hash, x.place)
		}
		return list, nil
	}
	return out
}

// directory implements groupStore.
func (s *sealedSet) directory(_ context.Context, i int) (*groupDirectory, error) {
	return s.groups[i].dir, nil
}

// blobs implements groupStore.
func (s *sealedSet) blobs(_ context.Context, i int, d *groupDirectory, ids []int, mem *block.Buffers) ([][]byte, error) {
	out, err := s.groups[i].stored(ids, mem)
	if err != nil {
		return nil, err
	}
	for k, id := range ids {
		var ref block.Ref
		if id < d.idBlob() {
			ref = d.page.Blobs[id].Ref()
		} else {
			info := d.ownBlob(id)
			ref = block.Ref{StoredLen: info.stored, RawLen: info.raw, Codec: info.codec}
		}
		if out[k], err = block.UnpackInto(out[k], ref, mem); err != nil {
			return nil, s.corrupt(i, "blob", err)
		}
	}
	return out, nil
}

// views implements groupStore.
func (s *sealedSet) views(context.Context, int, *groupDirectory, int, int) (*block.Views, error) {
	return nil, nil
}

// kept and keep implement groupStore. Nothing is kept: row groups of heads are few, and soon in a block.
func (s *sealedSet) kept(int) *keptColumns              { return nil }
func (s *sealedSet) keep(int, int, func() *keptColumns) {}

// corrupt implements groupStore.
func (s *sealedSet) corrupt(i int, what string, err error) error {
	return &block.CorruptionError{Block: "(recent)", Section: fmt.Sprintf("row group %d, %s", i, what), Err: err}
}

// Unsealed returns how many row groups the head has to seal.
func (h *Head) Unsealed() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.open < openSpans {
		return 0
	}
	return (h.open - openSpans/2) / sealSpans
}

// Seal turns the traces that have been quiet for longest into row groups while there are too many spans. Appends
// and questions go on meanwhile.
func (h *Head) Seal(ctx context.Context) error {
	h.sealMu.Lock()
	defer h.sealMu.Unlock()
	for h.Unsealed() > 0 {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := h.sealSome(); err != nil {
			return fmt.Errorf("seal spans: %w", err)
		}
	}
	return nil
}

func (h *Head) sealSome() error {
	batch := h.takeQuiet()
	slices.SortFunc(batch.traces, func(a, b snapshotTrace) int { return newestFirst(b.start, b.id, a.start, a.id) })
	var groups []*encodedGroup
	var spans [][]int32
	next := 0
	r := batch.tables()
	into := newGroupsOf(block.Fast, func(g *encodedGroup) error {
		h.sealedTags.join(g.tags)
		g.tags = nil
		h.spillBlobs(g)
		groups = append(groups, g)
		counts := make([]int32, len(g.traces))
		for i := range counts {
			counts[i] = int32(len(batch.traces[next].spans))
			next++
		}
		spans = append(spans, counts)
		return nil
	})
	defer into.release()
	for i := range batch.traces {
		if err := into.addRecords(&r, &batch.traces[i]); err != nil {
			return err
		}
	}
	if err := into.flush(); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sealed = h.sealed.with(groups, spans)
	h.closing = nil
	if h.text.bytes > renewBytes {
		h.renew()
	}
	return nil
}

// spillBlobs takes the blobs of a row group out of the memory. Where that isn't possible they stay: a full disk is
// noticed where it loses something, by the log. sealMu must be held.
func (h *Head) spillBlobs(g *encodedGroup) {
	if h.opts.SpillDir == "" {
		return
	}
	if h.spill == nil {
		f, err := newSpillFile(h.opts.SpillDir)
		if err != nil {
			return
		}
		h.spill = f
	}
	_ = h.spill.keep(g)
}

// takeQuiet takes the traces that are to be sealed out of those that are open. They stay in closing until their
// row groups are there.
func (h *Head) takeQuiet() *headSnapshot {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]*headTrace, 0, len(h.traces))
	for _, t := range h.traces {
		if len(t.spans) > 0 {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b *headTrace) int { return cmp.Compare(a.touched, b.touched) })
	out := &headSnapshot{recordReader: h.reader(), start: h.start, end: h.end}
	taken := 0
	for _, t := range list {
		if taken > 0 && taken+len(t.spans) > sealSpans {
			break
		}
		taken += len(t.spans)
		out.traces = append(out.traces, snapshotTrace{t.id, t.spans, t.start, t.end, t.events, t.links})
		delete(h.traces, t.id)
		size := traceOverhead + int64(t.bytes) + spanOverhead*int64(len(t.spans))
		h.bytes -= size
		out.bytes += size
	}
	h.open -= taken
	h.closing = out
	return out
}

// renew makes the tables of text anew, for the traces that are open: what is sealed doesn't need them. mu must
// be held.
func (h *Head) renew() {
	r := h.reader()
	h.tags = h.allTags()
	h.text = h.text.renewed()
	h.resources, h.scopes = nil, nil
	clear(h.resIDs)
	clear(h.scopeIDs)
	h.tableBytes, h.arena = 0, nil
	resources, scopes := map[*Resource]uint32{}, map[*Scope]uint32{}
	for _, t := range h.traces {
		spans := make([][]byte, len(t.spans))
		h.bytes -= int64(t.bytes)
		t.bytes = 0
		for i, record := range t.spans {
			s := r.span(record)
			res, ok := resources[s.Resource]
			if !ok {
				res = h.internResource(s.Resource, string(appendResource(nil, s.Resource)), "")
				resources[s.Resource] = res
			}
			scope, ok := scopes[s.Scope]
			if !ok {
				scope = h.internScope(s.Scope, string(appendScope(nil, s.Scope)), "")
				scopes[s.Scope] = scope
			}
			h.scratch = h.text.appendRecord(h.scratch[:0], s, res, scope)
			spans[i] = h.keep(h.scratch)
			t.bytes += len(spans[i])
			r.reset()
		}
		h.bytes += int64(t.bytes)
		t.spans = spans // readers keep the old slice
	}
}
