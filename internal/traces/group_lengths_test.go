package traces

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/block"
)

// Codes are in the order of durations, each is of the durations between two, and its bucket is that of powers of two.
func TestLengthCode(t *testing.T) {
	var edges []int64
	for n := range 63 {
		edges = append(edges, 1<<n-1, 1<<n, 1<<n+1)
	}
	slices.Sort(edges)
	for i, ns := range edges[1:] {
		require.GreaterOrEqual(t, lengthCode(ns), lengthCode(edges[i]), "%d", ns)
	}
	for _, ns := range []int64{math.MinInt64, -1, 0, 1} {
		require.Zero(t, lengthCode(ns))
	}
	require.EqualValues(t, 255, lengthCode(math.MaxInt64))
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.Int64Min(0).Draw(t, "ns") >> rapid.IntRange(0, 62).Draw(t, "shift")
		code := lengthCode(ns)
		least, most := lengthRange(code)
		require.LessOrEqual(t, least, ns)
		require.GreaterOrEqual(t, most, ns)
		require.Equal(t, code, lengthCode(least))
		require.Equal(t, code, lengthCode(most))
		if b := LengthBucket(code); b > 0 {
			require.Greater(t, float64(ns), math.Exp2(float64(b-1)))
			require.LessOrEqual(t, float64(ns), math.Exp2(float64(b)))
		} else {
			require.Less(t, ns, int64(2))
		}
		limit := rapid.Int64Min(0).Draw(t, "limit") >> rapid.IntRange(0, 62).Draw(t, "limit shift")
		for _, test := range []func(int64) bool{func(n int64) bool { return n > limit }, func(n int64) bool { return n <= limit }} {
			switch lengthVerdicts(test)[code] {
			case lengthPasses:
				require.True(t, test(ns))
			case lengthFails:
				require.False(t, test(ns))
			}
		}
	})
}

func TestClassRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const classes = 5
		class := rapid.SliceOfN(rapid.Uint32Range(0, classes-1), 1, 300).Draw(t, "class")
		in := rapid.SliceOfN(rapid.Bool(), classes, classes).Draw(t, "in")
		first := []int{0}
		for row := 1; row < len(class); row++ {
			if rapid.IntRange(0, 5).Draw(t, "trace") == 0 {
				first = append(first, row)
			}
		}
		first = append(first, len(class))
		want, marked := block.NewBitmap(len(class)), make([]bool, len(first)-1)
		for row, c := range class {
			if in[c] {
				want.Set(row)
				marked[slices.IndexFunc(first, func(f int) bool { return f > row })-1] = true
			}
		}
		rows := rowsByClass(class, classes)
		bits, traces := block.NewBitmap(len(class)), make([]bool, len(first)-1)
		rows.addTo(bits, in)
		rows.mark(traces, in, first)
		require.Equal(t, want, bits)
		require.Equal(t, marked, traces)
		require.Equal(t, want.Count(), rows.count(in))
	})
}

// Durations are compared alike whether codes are at hand or not.
func TestMatchDurations(t *testing.T) {
	ctx := context.Background()
	data := blockBytes(t, headOf(t, shop(1000, 10e6)))
	with, err := openBytes(data, block.ReaderOptions{})
	require.NoError(t, err)
	r, err := block.Open(ctx, memory(data), "test", int64(len(data)), block.ReaderOptions{})
	require.NoError(t, err)
	without, err := OpenBlockWith(ctx, r, NewGroupCache(0))
	require.NoError(t, err)
	match := func(b *Block, among RowSet, limit int64) []int {
		g, err := b.open(ctx, 0)
		require.NoError(t, err)
		defer g.release()
		require.NoError(t, g.classes(ctx))
		if among.classes != nil {
			among.classes = among.classes[:len(g.dir.classes)]
		}
		set, err := g.matchDurations(ctx, among, true, func(ns int64) bool { return ns >= limit })
		require.NoError(t, err)
		rows, list := g.rows(set), []int{}
		for row := rows.Next(0); row >= 0; row = rows.Next(row + 1) {
			list = append(list, row)
		}
		return list
	}
	some := make([]bool, 1000)
	for i := range some {
		some[i] = i%7 == 0
	}
	for _, limit := range []int64{0, 1, 1000, 1e6, 5e6, 1e7, 123456789, 1e12} {
		for _, among := range []RowSet{AllRows, {classes: some}} {
			require.Equal(t, match(without, among, limit), match(with, among, limit))
		}
	}
	require.NotNil(t, with.kept(0).lengths)
}
