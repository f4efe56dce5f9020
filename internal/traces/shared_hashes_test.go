package traces

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/block"
)

func TestSharedHashes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lists := make([][]idPlace, rapid.IntRange(0, 6).Draw(t, "lists"))
		in := map[block.IDHash]map[int]bool{}
		for i := range lists {
			for k := range rapid.IntRange(0, 40).Draw(t, "traces") {
				h := block.IDHash(rapid.IntRange(0, 60).Draw(t, "hash"))
				lists[i] = append(lists[i], newIDPlace(h, tracePlace{0, k}))
				if in[h] == nil {
					in[h] = map[int]bool{}
				}
				in[h][i] = true
			}
			sortIndex(lists[i])
		}
		var want []block.IDHash
		for h, of := range in {
			if len(of) > 1 {
				want = append(want, h)
			}
		}
		slices.Sort(want)
		var got []block.IDHash
		if len(lists) > 0 {
			got = sharedHashes(lists)
		}
		require.Equal(t, want, got)
	})
}

// BenchmarkSharedHashes compares the traces of four blocks of 90,000 each.
func BenchmarkSharedHashes(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	lists := make([][]idPlace, 4)
	for i := range lists {
		for k := range 90_000 {
			var id ID
			binary.LittleEndian.PutUint64(id[:], r.Uint64())
			binary.LittleEndian.PutUint64(id[8:], r.Uint64())
			lists[i] = append(lists[i], newIDPlace(block.HashID(id[:]), tracePlace{0, k}))
		}
		sortIndex(lists[i])
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = sharedHashes(lists)
	}
}

// BenchmarkSharedBlocks asks for the traces that four blocks share, beside a head of two thousand others.
func BenchmarkSharedBlocks(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	part := func(n int) []*Trace {
		out := make([]*Trace, n)
		for i := range out {
			out[i] = &Trace{Spans: []*Span{{ID: SpanID{1}, Start: genBase, End: genBase, Resource: &Resource{}, Scope: &Scope{}}}}
			binary.LittleEndian.PutUint64(out[i].ID[:], r.Uint64())
		}
		return out
	}
	var parts []Part
	for range 4 {
		parts = append(parts, blockOf(b, part(90_000)))
	}
	parts = append(parts, headOf(b, part(2000)).frozenParts()...)
	for name, traces := range map[string]func(context.Context, []Part) ([]joinedPiece, error){
		"anew":       sharedTraces,
		"remembered": newSharedBlocks(sharedBlocksBytes).traces,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := traces(b.Context(), parts)
				require.NoError(b, err)
			}
		})
	}
}
