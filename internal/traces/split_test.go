package traces

import (
	"context"
	"encoding/binary"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/block"
)

// drawSplit invents row groups, traces in them, and how these are joined.
func drawSplit(t *rapid.T) ([]Piece, *groupIndex) {
	x := &groupIndex{}
	var pieces []Piece
	for range rapid.IntRange(1, 5).Draw(t, "groups") {
		n := rapid.IntRange(1, 100).Draw(t, "traces")
		x.base = append(x.base, len(pieces))
		x.entries = append(x.entries, groupEntry{traces: n})
		seen := map[byte]bool{}
		for range n {
			id := rapid.Byte().Filter(func(b byte) bool { return !seen[b] }).Draw(t, "id")
			seen[id] = true
			start := rapid.Uint64Range(0, math.MaxInt64/2).Draw(t, "start")
			pieces = append(pieces, Piece{ID{1, id}, start, start + rapid.Uint64Range(0, math.MaxInt64/2).Draw(t, "length")})
		}
	}
	x.base = append(x.base, len(pieces))
	return pieces, x
}

func TestSplitRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces, x := drawSplit(t)
		split := splitOf(pieces, x)
		got, err := decodeSplit(appendSplit(nil, split), x)
		require.NoError(t, err)
		require.Len(t, got, len(split))
		joined := 0
		for i := range got {
			require.Equal(t, splitTrace{Piece{Start: split[i].Start, End: split[i].End}, split[i].places}, got[i])
			for _, p := range got[i].places {
				piece := pieces[x.base[p.group]+p.ordinal]
				require.Equal(t, split[i].ID, piece.ID)
				require.True(t, piece.Start >= got[i].Start && piece.End <= got[i].End)
				joined++
			}
		}
		times := map[ID]int{}
		for _, p := range pieces {
			times[p.ID]++
		}
		for _, n := range times {
			if n > 1 {
				joined -= n
			}
		}
		require.Zero(t, joined, "every piece of a trace in pieces is named once, no other one")
	})
}

func TestSplitRefuses(t *testing.T) {
	x := &groupIndex{base: []int{0, 3, 6}, entries: []groupEntry{{traces: 3}, {traces: 3}}}
	two := func(a, b tracePlace) splitTrace { return splitTrace{Piece{Start: 1, End: 2}, []tracePlace{a, b}} }
	good := two(tracePlace{0, 1}, tracePlace{1, 2})
	_, err := decodeSplit(appendSplit(nil, []splitTrace{good}), x)
	require.NoError(t, err)
	for name, split := range map[string][]splitTrace{
		"trace out of range":     {two(tracePlace{0, 1}, tracePlace{1, 3})},
		"row group out of range": {two(tracePlace{0, 1}, tracePlace{2, 0})},
		"pieces out of order":    {two(tracePlace{1, 0}, tracePlace{0, 1})},
		"a place twice":          {two(tracePlace{1, 0}, tracePlace{1, 0})},
		"traces out of order":    {good, two(tracePlace{0, 0}, tracePlace{1, 0})},
		"too many traces":        {good, good, good, good},
		"time out of range":      {{Piece{Start: math.MaxInt64, End: math.MaxInt64 + 5}, good.places}},
	} {
		_, err := decodeSplit(appendSplit(nil, split), x)
		require.Error(t, err, name)
	}
	_, err = decodeSplit(binary.AppendUvarint(nil, 1), x)
	require.Error(t, err, "no batch")
}

func FuzzSplit(f *testing.F) {
	x := &groupIndex{base: []int{0, 3, 6}, entries: []groupEntry{{traces: 3}, {traces: 3}}}
	f.Add(appendSplit(nil, []splitTrace{{Piece{Start: 1, End: 2}, []tracePlace{{0, 1}, {1, 2}}}, {Piece{Start: 3, End: 3}, []tracePlace{{0, 2}, {1, 0}}}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		split, err := decodeSplit(data, x)
		if err != nil {
			return
		}
		again, err := decodeSplit(appendSplit(nil, split), x)
		require.NoError(t, err)
		require.Equal(t, split, again)
	})
}

// TestParentsElsewhere keeps the parents of orphans, which share some of them.
func TestParentsElsewhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []*Trace
		for i := range rapid.IntRange(1, 4).Draw(t, "traces") {
			tr := &Trace{ID: ID{1, byte(i)}}
			parents := rapid.SampledFrom([]int{1, 3, 3 * maxLookBack}).Draw(t, "parents")
			for k := range rapid.IntRange(1, 300).Draw(t, "spans") {
				s := &Span{ID: SpanID{1, byte(k), byte(k >> 8)}, Name: "s", Start: genBase, End: genBase + 1, Order: uint32(k), Resource: &Resource{}, Scope: &Scope{}}
				binary.BigEndian.PutUint64(s.ParentID[:], uint64(rapid.IntRange(0, parents).Draw(t, "parent")))
				tr.Spans = append(tr.Spans, s)
			}
			list = append(list, tr)
		}
		b := takeBuilder(block.Fast)
		for _, tr := range list {
			b.add(tr, sizeOf(tr))
		}
		encoded, err := b.encode(block.Fast)
		require.NoError(t, err)
		giveBuilder(b, block.Fast)
		set := (&sealedSet{groups: []*encodedGroup{encoded}}).part()
		for i, want := range list {
			got, err := set.join(context.Background(), []tracePlace{{0, i}}, want.ID, nil)
			require.NoError(t, err)
			require.Len(t, got.Spans, len(want.Spans))
			of := map[SpanID]SpanID{}
			for _, s := range got.Spans {
				of[s.ID] = s.ParentID
			}
			for _, s := range want.Spans {
				require.Equal(t, s.ParentID, of[s.ID])
			}
		}
	})
}

func TestShareID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := func(name string) (ids []byte, has map[uint64]bool) {
			has = map[uint64]bool{}
			for range rapid.IntRange(0, 90).Draw(t, name) {
				id := rapid.Uint64Range(0, 2000).Draw(t, "id")
				ids, has[id] = binary.LittleEndian.AppendUint64(ids, id), true
			}
			return ids, has
		}
		a, inA := list("a")
		b, inB := list("b")
		want := false
		for id := range inA {
			want = want || inB[id]
		}
		require.Equal(t, want, shareID(a, b))
	})
}
