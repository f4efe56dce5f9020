package traces

import (
	"context"

	"github.com/hune-io/hune/internal/block"
)

// An answer shows a few spans of each of many traces. Where each of them starts, how long it is and its ID are in chunks of
// 4,096 spans, most of which it would read, verify and copy for a few numbers. So what is read of chunks is remembered by
// checksums of pieces, and the next question reads and verifies only the pieces that it needs, where they are in the cache.

// chunkPieces are what is known of the starts, durations and span IDs of a chunk.
type chunkPieces struct {
	starts, durations *block.PackedPieces
	ids               *block.Pieces
}

func (c *chunkPieces) memory() int {
	if c == nil {
		return 0
	}
	return 32 + c.starts.Memory() + c.durations.Memory() + c.ids.Memory()
}

// piecesShare says of which share of a chunk, one in so many spans, pieces are read at most.
const piecesShare = 4

// chunkView is a chunk that is read in pieces.
type chunkView struct {
	*chunkPieces
	views *block.Views
	at    int // where the chunk begins in views
}

// storedChunks returns how many bytes blobs of chunks take together as they are stored.
func (d *groupDirectory) storedChunks(from, to int) (n int) {
	for _, b := range d.chunks[from-d.chunkBlob(0) : to-d.chunkBlob(0)] {
		n += int(b.stored)
	}
	return n
}

// viewChunks shows the chunks that so many spans are wanted of, where few are wanted and pieces are known. The others are nil.
func (g *group) viewChunks(ctx context.Context, wanted []int) ([]*chunkView, error) {
	known := g.known().chunks
	if known == nil {
		return nil, nil
	}
	if g.viewed == nil {
		g.viewed = make([]*chunkView, len(wanted))
	}
	out := make([]*chunkView, len(wanted))
	sparse := func(c int) bool {
		if c == len(wanted) || wanted[c] == 0 || wanted[c]*piecesShare > chunkSpans || known[c] == nil {
			return false
		}
		out[c] = g.viewed[c]
		return out[c] == nil
	}
	for c := 0; c < len(wanted); c++ {
		first := c
		for sparse(c) {
			c++
		}
		if c == first {
			continue
		}
		from := g.dir.chunkBlob(first)
		views, err := g.store.views(ctx, g.i, g.dir, from, g.dir.chunkBlob(c))
		if err != nil {
			return nil, err
		}
		for k := first; k < c && views != nil; k++ {
			out[k] = &chunkView{known[k], views, g.dir.storedChunks(from, g.dir.chunkBlob(k))}
			g.viewed[k] = out[k]
		}
	}
	return out, nil
}

// viewIDs begins to read trace IDs in pieces, if few are wanted and pieces are known.
func (r *spanReader) viewIDs(ctx context.Context, wanted int) error {
	known := r.known().ids
	if known == nil || wanted*piecesShare > r.entry.traces {
		return nil
	}
	views, err := r.store.views(ctx, r.i, r.dir, r.dir.idBlob(), r.dir.idBlob()+1)
	if err != nil || views == nil {
		return err
	}
	r.traceIDs = new(block.PieceReader)
	r.traceIDs.Reset(known, views, 0)
	return nil
}

// learnPieces remembers pieces of what was read whole, unless this is the first question about the row group.
func (g *group) learnPieces() {
	known := g.known()
	if known.full || known.class == nil {
		return
	}
	if ids := g.own[g.dir.idBlob()]; ids != nil && known.ids == nil && g.dir.ids.codec == block.CodecRaw {
		g.ids, g.learned = block.PiecesOf(ids), true
	}
	for c := range chunkCount(g.entry.spans) {
		id := g.dir.chunkBlob(c)
		if known.chunks != nil && known.chunks[c] != nil || g.own[id] == nil || g.own[id+1] == nil || g.own[id+2] == nil || !g.rawChunk(c) {
			continue
		}
		n := min(chunkSpans, g.entry.spans-c*chunkSpans)
		p := &chunkPieces{block.PackedPiecesOf(g.own[id], n), block.PackedPiecesOf(g.own[id+1], n), block.PiecesOf(g.own[id+2])}
		if p.starts == nil || p.durations == nil || len(g.own[id+2]) != 8*n {
			continue
		}
		if g.chunks == nil {
			g.chunks = make([]*chunkPieces, chunkCount(g.entry.spans))
		}
		g.chunks[c], g.learned = p, true
	}
}

// rawChunk reports whether the blobs of a chunk are stored as they are.
func (g *group) rawChunk(chunk int) bool {
	for _, b := range g.dir.chunks[3*chunk : 3*chunk+3] {
		if b.codec != block.CodecRaw {
			return false
		}
	}
	return true
}

// mergeChunks returns what two lists know together.
func mergeChunks(a, b []*chunkPieces) []*chunkPieces {
	if a == nil || b == nil {
		return append(a, b...)
	}
	out := make([]*chunkPieces, len(a))
	for i := range out {
		if out[i] = a[i]; out[i] == nil {
			out[i] = b[i]
		}
	}
	return out
}

// viewDurations begins to read the durations of a chunk.
func (v *chunkView) viewDurations(g *group, chunk int, p *block.PieceReader) block.IntsView {
	return v.durations.View(p, v.views, v.at+int(g.dir.chunks[3*chunk].stored))
}

// turnView begins to read a chunk in pieces.
func (r *spanReader) turnView(v *chunkView) {
	r.start = v.starts.View(&r.pieces[0], v.views, v.at)
	r.duration = v.viewDurations(r.group, r.chunk, &r.pieces[1])
	blobs := r.dir.chunks[3*r.chunk:]
	r.pieces[2].Reset(v.ids, v.views, v.at+int(blobs[0].stored+blobs[1].stored))
	r.ids = nil
}

// traceID returns the ID of a trace.
func (r *spanReader) traceID(trace int) (id ID) {
	if r.traceIDs == nil {
		return r.id(trace)
	}
	copy(id[:], r.traceIDs.Bytes(16*trace, 16))
	return id
}

// spanID returns the ID of a span of the chunk at hand.
func (r *spanReader) spanID(row int) []byte {
	at := 8 * (row % chunkSpans)
	if r.ids == nil {
		return r.pieces[2].Bytes(at, 8)
	}
	return r.ids[at : at+8]
}
