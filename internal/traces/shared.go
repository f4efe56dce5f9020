package traces

import (
	"cmp"
	"context"
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// This file finds the traces that have pieces in several parts. It compares hashes of IDs, of which a part has a
// list in order, and looks at IDs only where hashes are the same: so a question over a large block and a small
// head costs as much as the head has traces.

// idPlace says where in a part a trace of that hash is. A block's list of them is kept, so they are small.
type idPlace struct {
	hash           block.IDHash
	group, ordinal uint32
}

func newIDPlace(h block.IDHash, p tracePlace) idPlace {
	return idPlace{h, uint32(p.group), uint32(p.ordinal)}
}

func (p idPlace) compare(o idPlace) int {
	return cmp.Or(cmp.Compare(p.hash, o.hash), p.place().compare(o.place()))
}

func (p idPlace) place() tracePlace { return tracePlace{int(p.group), int(p.ordinal)} }

// indexed is a part that can list its traces by hash.
type indexed interface {
	// idIndex returns the places of all traces, in order of hashes. It must not be changed.
	idIndex(ctx context.Context) ([]idPlace, error)
	// piecesAt returns what is at places, which ascend.
	piecesAt(ctx context.Context, places []tracePlace) ([]Piece, error)
}

// listedIndex is the index of a part that only lists its pieces.
type listedIndex []Piece

func (l listedIndex) idIndex(context.Context) ([]idPlace, error) {
	out := make([]idPlace, len(l))
	for i := range l {
		out[i] = newIDPlace(block.HashID(l[i].ID[:]), tracePlace{0, i})
	}
	sortIndex(out)
	return out, nil
}

func sortIndex(list []idPlace) { slices.SortFunc(list, idPlace.compare) }

func (l listedIndex) piecesAt(_ context.Context, places []tracePlace) ([]Piece, error) {
	out := make([]Piece, len(places))
	for i, p := range places {
		out[i] = l[p.ordinal]
	}
	return out, nil
}

// findAtHand is find, but that it reads nothing where the places of all traces are in memory: a question over several
// blocks has seen to that.
func (b *Block) findAtHand(ctx context.Context, ids []ID) ([]tracePlace, error) {
	b.mu.Lock()
	places := b.places
	b.mu.Unlock()
	if places == nil {
		return b.find(ctx, ids)
	}
	hashes := make([]block.IDHash, len(ids))
	for i := range ids {
		hashes[i] = block.HashID(ids[i][:])
	}
	slices.Sort(hashes)
	return slices.Compact(placesOf(places, hashes)), nil
}

// indexOf returns the index of a part.
func indexOf(ctx context.Context, p Part) (indexed, error) {
	if x, ok := p.(indexed); ok {
		return x, nil
	}
	var list listedIndex
	for piece, err := range p.Pieces(ctx) {
		if err != nil {
			return nil, err
		}
		list = append(list, piece)
	}
	return list, nil
}

// sharedTraces returns the traces that several parts have pieces of, in order of ID.
func sharedTraces(ctx context.Context, parts []Part) ([]joinedPiece, error) {
	all, err := listIDs(ctx, parts)
	if err != nil {
		return nil, err
	}
	return all.joined(ctx, sharedHashes(all.lists))
}

// partIDs is parts with their lists of traces.
type partIDs struct {
	parts []indexed
	lists [][]idPlace
}

func listIDs(ctx context.Context, parts []Part) (*partIDs, error) {
	out := &partIDs{make([]indexed, len(parts)), make([][]idPlace, len(parts))}
	for i, p := range parts {
		var err error
		if out.parts[i], err = indexOf(ctx, p); err != nil {
			return nil, err
		}
		if out.lists[i], err = out.parts[i].idIndex(ctx); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// joined returns the traces with such hashes that several parts have pieces of, in order of ID.
func (a *partIDs) joined(ctx context.Context, hashes []block.IDHash) ([]joinedPiece, error) {
	if len(hashes) == 0 {
		return nil, nil
	}
	found := make(map[ID]*joinedPiece)
	for i, list := range a.lists {
		pieces, err := a.parts[i].piecesAt(ctx, placesOf(list, hashes))
		if err != nil {
			return nil, err
		}
		slices.SortFunc(pieces, func(a, b Piece) int { return compareIDs(a.ID, b.ID) })
		for _, p := range joinPieces(pieces) {
			j := found[p.ID]
			if j == nil {
				found[p.ID] = &joinedPiece{p, 1}
				continue
			}
			j.count++
			j.Start, j.End = min(j.Start, p.Start), max(j.End, p.End)
		}
	}
	var out []joinedPiece
	for _, j := range found {
		if j.count > 1 {
			out = append(out, *j)
		}
	}
	slices.SortFunc(out, joinedPiece.compareID)
	return out, nil
}

func (j joinedPiece) compareID(o joinedPiece) int { return compareIDs(j.ID, o.ID) }

// listedHash is a hash that is in a list.
type listedHash struct {
	hash block.IDHash
	list int
}

func (a listedHash) compare(b listedHash) int {
	return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.list, b.list))
}

// mergeRuns returns what sorted lists have, sorted: two and two are merged until one is left, which for the IDs of some
// large blocks takes a quarter of the time of sorting them anew.
func mergeRuns(runs [][]listedHash) []listedHash {
	for len(runs) > 1 {
		merged := make([][]listedHash, 0, (len(runs)+1)/2)
		for i := 0; i+1 < len(runs); i += 2 {
			merged = append(merged, mergeSorted(runs[i], runs[i+1], listedHash.compare))
		}
		if len(runs)%2 == 1 {
			merged = append(merged, runs[len(runs)-1])
		}
		runs = merged
	}
	if len(runs) == 0 {
		return nil
	}
	return runs[0]
}

// sharedHashes returns the hashes that are in several lists, ascending.
func sharedHashes(lists [][]idPlace) []block.IDHash {
	if len(lists) < 2 {
		return nil
	}
	largest := 0
	for i, l := range lists {
		if len(l) > len(lists[largest]) {
			largest = i
		}
	}
	return hashesSharedWith(slices.Delete(slices.Clone(lists), largest, largest+1), lists[largest:largest+1])
}

// hashesSharedWith returns the hashes in lists that are in another one of them too or in one of others, ascending. What
// only others share isn't among them.
func hashesSharedWith(lists, others [][]idPlace) []block.IDHash {
	var runs [][]listedHash
	for i, l := range lists {
		if len(l) == 0 {
			continue
		}
		run := make([]listedHash, len(l))
		for k := range l {
			run[k] = listedHash{l[k].hash, i}
		}
		runs = append(runs, run)
	}
	merged := mergeRuns(runs)
	searches := make([]*ascendingSearch, len(others))
	for i, l := range others {
		searches[i] = &ascendingSearch{l}
	}
	var out []block.IDHash
	for i := 0; i < len(merged); {
		h, j := merged[i].hash, i
		for j < len(merged) && merged[j].hash == h {
			j++
		}
		if merged[j-1].list != merged[i].list || slices.ContainsFunc(searches, func(s *ascendingSearch) bool { return s.has(h) }) {
			out = append(out, h)
		}
		i = j
	}
	return out
}

// ascendingSearch looks for ascending hashes in a list.
type ascendingSearch struct{ list []idPlace }

// has leaves in the list what is from h on. It goes on in steps that double, and bisects the last: few comparisons where
// questions are dense, and those near each other where they aren't.
func (s *ascendingSearch) has(h block.IDHash) bool {
	n := 1
	for n <= len(s.list) && s.list[n-1].hash < h {
		n *= 2
	}
	from, to := n/2, min(n, len(s.list)) // before from all are less
	i, ok := slices.BinarySearchFunc(s.list[from:to], h, func(x idPlace, h block.IDHash) int { return cmp.Compare(x.hash, h) })
	s.list = s.list[from+i:]
	return ok
}

// placesOf returns where in a list the hashes are, ascending.
func placesOf(list []idPlace, hashes []block.IDHash) []tracePlace {
	var out []tracePlace
	s := ascendingSearch{list}
	for _, h := range hashes {
		if !s.has(h) {
			continue
		}
		for _, x := range s.list {
			if x.hash != h {
				break
			}
			out = append(out, x.place())
		}
	}
	slices.SortFunc(out, tracePlace.compare)
	return out
}

// idIndex implements indexed.
func (s *groupSet) idIndex(ctx context.Context) ([]idPlace, error) { return s.index(ctx) }

// piecesAt implements indexed.
func (s *groupSet) piecesAt(ctx context.Context, places []tracePlace) ([]Piece, error) {
	out := make([]Piece, 0, len(places))
	for len(places) > 0 {
		g, err := s.open(ctx, places[0].group)
		if err != nil {
			return nil, err
		}
		if err := g.load(ctx, g.fixed(fixTraceRows, fixTraceStart, fixTraceLength), g.dir.idBlob()); err != nil {
			return nil, err
		}
		if err := g.spine(ctx); err != nil {
			return nil, err
		}
		for len(places) > 0 && places[0].group == g.i {
			t := places[0].ordinal
			out = append(out, Piece{g.id(t), g.starts[t], g.ends[t]})
			places = places[1:]
		}
		g.release()
	}
	return out, nil
}

// idIndex implements indexed.
func (h *headSnapshot) idIndex(context.Context) ([]idPlace, error) {
	out := make([]idPlace, len(h.traces))
	for i := range h.traces {
		out[i] = newIDPlace(block.HashID(h.traces[i].id[:]), tracePlace{0, i})
	}
	sortIndex(out)
	return out, nil
}

// piecesAt implements indexed.
func (h *headSnapshot) piecesAt(_ context.Context, places []tracePlace) ([]Piece, error) {
	out := make([]Piece, len(places))
	for i, p := range places {
		t := &h.traces[p.ordinal]
		out[i] = Piece{t.id, t.start, t.end}
	}
	return out, nil
}
