package traces

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// piecesOf makes one span of each of some traces out of a few.
func piecesOf(t *rapid.T) []*Trace {
	var out []*Trace
	for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 11), 1, 8, rapid.ID).Draw(t, "traces") {
		at := genBase + rapid.Uint64Range(0, 1e9).Draw(t, "start")
		id := SpanID{1, rapid.Byte().Draw(t, "span")}
		out = append(out, &Trace{ID: ID{byte(n), 1}, Spans: []*Span{{ID: id, Name: "s", Start: at, End: at + 10, Resource: &Resource{}, Scope: &Scope{}}}})
	}
	return out
}

// TestSharedBlocks asks again and again while blocks and heads come and go: what is remembered makes no difference,
// and has its bound.
func TestSharedBlocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		remembered := newSharedBlocks(rapid.SampledFrom([]int{0, 400, 2000, 1 << 20}).Draw(t, "limit"))
		var parts []Part
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			if len(parts) > 0 && rapid.Bool().Draw(t, "goes") {
				i := rapid.IntRange(0, len(parts)-1).Draw(t, "which")
				parts = slices.Delete(parts, i, i+1)
			} else if rapid.IntRange(0, 3).Draw(t, "kind") > 0 {
				parts = append(parts, blockOf(t, piecesOf(t)))
			} else {
				parts = append(parts, headOf(t, piecesOf(t)).frozenParts()...)
			}
			order := rapid.Permutation(parts).Draw(t, "order")
			asked := order[:rapid.IntRange(0, len(order)).Draw(t, "asked")]
			want, err := sharedTraces(t.Context(), asked)
			require.NoError(t, err)
			for range 2 {
				got, err := remembered.traces(t.Context(), asked)
				require.NoError(t, err)
				require.ElementsMatch(t, want, got)
				require.True(t, slices.IsSortedFunc(got, joinedPiece.compareID))
			}
			used := 0
			for _, key := range remembered.lru.Keys() {
				list, _ := remembered.lru.Peek(key)
				used += sharedSize(key, list)
			}
			require.Equal(t, used, remembered.used)
			require.LessOrEqual(t, used, remembered.limit)
		}
	})
}

// TestSharedBlocksOnce: lists of IDs of blocks are read for the first question only, unless there is something recent.
func TestSharedBlocksOnce(t *testing.T) {
	one := []*Trace{{ID: ID{1}, Spans: []*Span{{ID: SpanID{1}, Start: genBase, End: genBase, Resource: &Resource{}, Scope: &Scope{}}}}}
	blocks := []Part{blockOf(t, one), blockOf(t, one)}
	remembered := newSharedBlocks(1 << 20)
	want, err := remembered.traces(t.Context(), blocks)
	require.NoError(t, err)
	require.Len(t, want, 1)
	for _, b := range blocks {
		b.(*Block).places = []idPlace{} // as if there were none, for who asks now
	}
	none, err := sharedTraces(t.Context(), blocks)
	require.NoError(t, err)
	require.Empty(t, none)
	empty := append(headOf(t).frozenParts(), blocks...)
	for _, asked := range [][]Part{blocks, {blocks[1], blocks[0]}, empty} {
		got, err := remembered.traces(t.Context(), asked)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}
