package traces

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
)

// A question that looks at each span alone needs no joined traces. Their pieces are then as good as traces, unless
// several of them have the same span: a sender that tries again may bring one after its row group was sealed. This file
// finds out which traces in pieces have each span once.

// apartTraces says of the split traces of a groupSet which have no span in two pieces. It is found out once.
type apartTraces struct {
	mu    sync.Mutex
	known bool
	apart []bool
}

const (
	// idGroups is of how many row groups span IDs are held at once, 256 KiB each: pieces of a trace are mostly near.
	idGroups = 16
	// idReads bounds how often row groups are read, in units of their number. Traces that are left are taken for such
	// with a span twice.
	idReads = 3
)

// apartSplit returns which of the split traces have each span in one piece.
func (s *groupSet) apartSplit(ctx context.Context) ([]bool, error) {
	a := &s.apart
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known {
		return a.apart, nil
	}
	r := idReader{groupSet: s, left: idReads * len(s.entries)}
	apart := make([]bool, len(s.split))
	order := make([]int, len(s.split))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return s.split[i].places[0].compare(s.split[j].places[0]) })
	for _, i := range order {
		var err error
		if apart[i], err = r.apart(ctx, s.split[i].places); err != nil {
			return nil, err
		}
	}
	a.known, a.apart = true, apart
	return apart, nil
}

// idReader reads the span IDs of row groups.
type idReader struct {
	*groupSet
	left  int        // row groups that may be read
	known []groupIDs // those used last at the end
	ids   [][]byte   // scratch: of each piece
}

type groupIDs struct {
	group int
	first []int
	ids   []byte // 8 bytes a span
}

// apart reports whether no span is in two pieces.
func (r *idReader) apart(ctx context.Context, places []tracePlace) (bool, error) {
	if len(places) > idGroups {
		return false, nil
	}
	r.ids = r.ids[:0]
	for _, p := range places {
		ids, err := r.piece(ctx, p)
		if err != nil || ids == nil {
			return false, err
		}
		for _, before := range r.ids {
			if shareID(before, ids) {
				return false, nil
			}
		}
		r.ids = append(r.ids, ids)
	}
	return true, nil
}

// manyIDs is from how many comparisons on two lists of IDs are sorted.
const manyIDs = 4096

// shareID reports whether two lists of span IDs have one in common.
func shareID(a, b []byte) bool {
	if len(a)/8*(len(b)/8) > manyIDs {
		x, y := sortedIDs(a), sortedIDs(b)
		for len(x) > 0 && len(y) > 0 {
			switch {
			case x[0] < y[0]:
				x = x[1:]
			case x[0] > y[0]:
				y = y[1:]
			default:
				return true
			}
		}
		return false
	}
	for i := 0; i < len(a); i += 8 {
		id := binary.LittleEndian.Uint64(a[i:])
		for j := 0; j < len(b); j += 8 {
			if binary.LittleEndian.Uint64(b[j:]) == id {
				return true
			}
		}
	}
	return false
}

func sortedIDs(ids []byte) []uint64 {
	out := make([]uint64, len(ids)/8)
	for i := range out {
		out[i] = binary.LittleEndian.Uint64(ids[8*i:])
	}
	slices.Sort(out)
	return out
}

// piece returns the IDs of the spans of a piece, nil where it may not be read any more. They are valid while no more than
// idGroups row groups were asked for since.
func (r *idReader) piece(ctx context.Context, p tracePlace) ([]byte, error) {
	at := slices.IndexFunc(r.known, func(g groupIDs) bool { return g.group == p.group })
	if at < 0 {
		if r.left == 0 {
			return nil, nil
		}
		r.left--
		g, err := r.read(ctx, p.group)
		if err != nil {
			return nil, err
		}
		if len(r.known) == idGroups {
			r.known = slices.Delete(r.known, 0, 1)
		}
		r.known = append(r.known, g)
	} else if last := len(r.known) - 1; at != last {
		g := r.known[at]
		r.known = append(slices.Delete(r.known, at, at+1), g)
	}
	g := &r.known[len(r.known)-1]
	return g.ids[8*g.first[p.ordinal] : 8*g.first[p.ordinal+1]], nil
}

func (r *idReader) read(ctx context.Context, i int) (groupIDs, error) {
	g, err := r.open(ctx, i)
	if err != nil {
		return groupIDs{}, err
	}
	defer g.release()
	if err := g.spine(ctx); err != nil {
		return groupIDs{}, err
	}
	var own []int
	for c := range chunkCount(g.entry.spans) {
		own = append(own, g.dir.chunkBlob(c)+2)
	}
	if err := g.load(ctx, nil, own...); err != nil {
		return groupIDs{}, err
	}
	out := groupIDs{group: i, first: slices.Clone(g.first), ids: make([]byte, 0, 8*g.entry.spans)}
	for c := range own {
		ids, err := g.spanIDs(c)
		if err != nil {
			return groupIDs{}, err
		}
		out.ids = append(out.ids, ids...)
	}
	return out, nil
}
