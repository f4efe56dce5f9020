package traces

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
)

// paged is a block in memory that shows its bytes in pages.
type paged struct{ memory }

func (p paged) Views(_ context.Context, _ string, off, n int64) (parts [][]byte, err error) {
	const page = 1000
	for n > 0 {
		k := min(n, page-off%page)
		parts = append(parts, p.memory[off:off+k:off+k])
		off, n = off+k, n-k
	}
	return parts, nil
}

// fewFilter shows one span, the last, of every hundredth trace.
type fewFilter struct{}

func (fewFilter) Group(ctx context.Context, g *RowGroup) (c Chosen, err error) {
	first, err := g.First(ctx)
	if err != nil {
		return c, err
	}
	c.Matched, c.Show = block.NewBitmap(g.Rows()), 3
	for t := 0; t < g.Traces(); t += 100 {
		c.Traces = append(c.Traces, t)
		c.Matched.Set(first[t+1] - 1)
	}
	return c, nil
}

// timesOf returns the times of a few spans, read in pieces or whole.
func timesOf(t *testing.T, g *group, pieces bool) (out [][3]int64) {
	kept := g.kept
	if !pieces {
		g.kept = &noColumns
	}
	r := &RowGroup{g: g}
	err := r.SpanTimes(context.Background(), []int{3, 4, 700}, true, func(row int, start uint64, ns int64) { out = append(out, [3]int64{int64(row), int64(start), ns}) })
	require.NoError(t, err)
	require.NotEmpty(t, out)
	g.kept = kept
	return out
}

// Spans that are read in pieces are those that are read with their chunks, and damage is noticed all the same.
func TestReadInPieces(t *testing.T) {
	ctx := context.Background()
	data := blockBytes(t, headOf(t, shop(4000, 10e6)))
	open := func(src block.RangeReader, cache *GroupCache) *Block {
		r, err := block.Open(ctx, src, "test", int64(len(data)), block.ReaderOptions{SuffixLen: 1})
		require.NoError(t, err)
		b, err := OpenBlockWith(ctx, r, cache)
		require.NoError(t, err)
		return b
	}
	q := Select{Groups: fewFilter{}, Needs: &Needs{}}
	want := collect(t, open(memory(data), NewGroupCache(0)).SelectTraces(ctx, q))
	require.Greater(t, len(want), 10)
	b := open(paged{data}, NewGroupCache(8<<20))
	require.Greater(t, len(b.entries), 1)
	for range 3 {
		got := collect(t, b.SelectTraces(ctx, q))
		require.Equal(t, want, got)
	}
	require.NotNil(t, b.kept(0).chunks[0])
	require.NotNil(t, b.kept(0).ids)
	require.Positive(t, piecesMemory(b.kept(0).chunks))

	g, err := b.open(ctx, 0)
	require.NoError(t, err)
	require.Equal(t, timesOf(t, g, false), timesOf(t, g, true))
	require.NotNil(t, g.viewed)
	chunks := b.index.places[0].chunks
	end := chunks + uint64(g.dir.storedChunks(g.dir.chunkBlob(0), g.dir.blobs()))
	ids := b.index.places[0].ids
	g.release()
	undamaged := bytes.Clone(data)
	for _, damaged := range [][]byte{data[chunks:end], data[ids : ids+16]} {
		for i := range damaged {
			damaged[i] ^= 0x40
		}
		var failed error
		for _, err := range b.SelectTraces(ctx, q) {
			if err != nil {
				failed = err
			}
		}
		require.True(t, block.IsCorruption(failed), "%v", failed)
		copy(data, undamaged)
	}
	require.Equal(t, want, collect(t, b.SelectTraces(ctx, q)), "what was wrong with what was read isn't remembered")
}
