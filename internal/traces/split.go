package traces

import (
	"cmp"
	"context"
	"encoding/binary"
	"math"
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// splitTrace is a trace with pieces in several row groups. A block says where they are and when the trace is, not its
// ID, which would be half of what it says and stands with each piece: see nameSplit.
type splitTrace struct {
	Piece
	places []tracePlace
}

// splitOf returns the traces that occur more than once, in order of their first places.
func splitOf(traces []Piece, x *groupIndex) []splitTrace {
	order := make([]int, len(traces))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(compareIDs(traces[a].ID, traces[b].ID), cmp.Compare(a, b))
	})
	var out []splitTrace
	for i := 0; i < len(order); {
		j := i + 1
		for j < len(order) && traces[order[j]].ID == traces[order[i]].ID {
			j++
		}
		if j > i+1 {
			t := splitTrace{Piece: traces[order[i]]}
			for _, n := range order[i:j] {
				t.Start, t.End = min(t.Start, traces[n].Start), max(t.End, traces[n].End)
				place, _ := x.place(n)
				t.places = append(t.places, place)
			}
			out = append(out, t)
		}
		i = j
	}
	slices.SortFunc(out, func(a, b splitTrace) int { return a.places[0].compare(b.places[0]) })
	return out
}

// The columns of a batch of split traces: see the format page.
const (
	splitPieces   = iota // of each trace, less 2
	splitGroup           // of each first piece
	splitOrdinal         // of each first piece
	splitStart           // of each trace
	splitLength          // of each trace
	splitSteps           // of each further piece: its row group less that of the piece before
	splitOrdinals        // of each further piece
	splitColumns
)

// splitBatch gathers columns.
type splitBatch [splitColumns][]int64

func (b *splitBatch) add(t *splitTrace) {
	put := func(column, value int) { b[column] = append(b[column], int64(value)) }
	put(splitPieces, len(t.places)-2)
	put(splitGroup, t.places[0].group)
	put(splitOrdinal, t.places[0].ordinal)
	put(splitStart, int(t.Start))
	put(splitLength, int(t.End-t.Start))
	for i, p := range t.places[1:] {
		put(splitSteps, p.group-t.places[i].group)
		put(splitOrdinals, p.ordinal)
	}
}

// appendTo appends the batch, unless there is nothing in it, and empties it.
func (b *splitBatch) appendTo(dst []byte) []byte {
	if len(b[splitPieces]) == 0 {
		return dst
	}
	for i := range b {
		dst = block.AppendMagnitudes(dst, b[i])
		b[i] = b[i][:0]
	}
	return dst
}

// appendSplit appends what section 214 says.
func appendSplit(dst []byte, split []splitTrace) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(split)))
	var b splitBatch
	for i := range split {
		t := &split[i]
		if n := len(b[splitSteps]); n > 0 && (n+len(t.places) > block.MaxRows || len(b[splitPieces]) == block.MaxRows) {
			dst = b.appendTo(dst)
		}
		b.add(t)
	}
	return b.appendTo(dst)
}

func decodeSplit(data []byte, x *groupIndex) ([]splitTrace, error) {
	d := block.NewDecoder(data)
	left := int(d.Uvarint())
	if left < 0 || left > x.traces()/2 {
		d.Failf("%d traces in pieces, of %d", left, x.traces())
	}
	var split []splitTrace
	var b splitBatch
	for left > len(split) && d.Err() == nil {
		if b.decode(d); d.Err() == nil {
			split = b.traces(d, split, x)
		}
	}
	if d.Err() == nil && len(split) != left {
		d.Failf("%d traces in pieces, want %d", len(split), left)
	}
	return split, d.Finish()
}

func (b *splitBatch) decode(d *block.Decoder) {
	b[splitPieces] = block.DecodeInts(d, b[splitPieces], -1)
	n, further := len(b[splitPieces]), 0
	for _, pieces := range b[splitPieces] {
		if pieces < 0 || pieces > maxGroups {
			d.Failf("trace in %d more pieces than two", pieces)
			return
		}
		further += int(pieces) + 1
	}
	if d.Err() == nil && (n == 0 || further > block.MaxRows) {
		d.Failf("%d traces of %d further pieces", n, further)
	}
	for i := splitGroup; i < splitColumns; i++ {
		if i >= splitSteps {
			n = further
		}
		b[i] = block.DecodeInts(d, b[i], n)
	}
}

// traces appends the traces of a batch to split.
func (b *splitBatch) traces(d *block.Decoder, split []splitTrace, x *groupIndex) []splitTrace {
	at := 0
	for i, pieces := range b[splitPieces] {
		start, length := b[splitStart][i], b[splitLength][i]
		t := splitTrace{Piece: Piece{Start: uint64(start), End: uint64(start) + uint64(length)}, places: make([]tracePlace, 0, pieces+2)}
		if start < 0 || length < 0 || t.End > math.MaxInt64 {
			d.Failf("trace in pieces from %d on, for %d", start, length)
			return nil
		}
		group, ordinal := b[splitGroup][i], b[splitOrdinal][i]
		for {
			if group < 0 || group >= int64(len(x.entries)) || ordinal < 0 || ordinal >= int64(x.entries[group].traces) {
				d.Failf("piece of a trace is said to be trace %d of row group %d", ordinal, group)
				return nil
			}
			p := tracePlace{int(group), int(ordinal)}
			if n := len(t.places); n > 0 && t.places[n-1].compare(p) >= 0 {
				d.Failf("pieces of a trace are not in order")
				return nil
			}
			if t.places = append(t.places, p); len(t.places) == cap(t.places) {
				break
			}
			// A step that overflows makes a group that is out of range, or before.
			group, ordinal = group+b[splitSteps][at], b[splitOrdinals][at]
			at++
		}
		if n := len(split); n > 0 && split[n-1].places[0].compare(t.places[0]) >= 0 {
			d.Failf("traces in pieces are not in order")
			return nil
		}
		split = append(split, t)
	}
	return split
}

// nameSplit sets the IDs of split traces, which it reads where they are not known.
func (s *groupSet) nameSplit(ctx context.Context, split []*splitTrace) error {
	byGroup := map[int][]*splitTrace{}
	for _, t := range split {
		if t.ID == (ID{}) {
			byGroup[t.places[0].group] = append(byGroup[t.places[0].group], t)
		}
	}
	for i, list := range byGroup {
		g, err := s.open(ctx, i)
		if err != nil {
			return err
		}
		if err = g.loadIDs(ctx); err == nil {
			for _, t := range list {
				t.ID = g.id(t.places[0].ordinal)
			}
		}
		g.release()
		if err != nil {
			return err
		}
	}
	return nil
}
