package traces

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/block"
)

func TestMembers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const classes = 3
		class := rapid.SliceOfN(rapid.Uint32Range(0, classes-1), 1, 200).Draw(t, "class")
		n := len(class)
		want := make([]bool, n)
		m := Members{class: narrowed(class)}
		switch rapid.SampledFrom([]string{"none", "all", "classes", "bits"}).Draw(t, "kind") {
		case "all":
			m.set = AllRows
			for row := range want {
				want[row] = true
			}
		case "classes":
			m.set.classes = rapid.SliceOfN(rapid.Bool(), classes, classes).Draw(t, "in")
			for row, c := range class {
				want[row] = m.set.classes[c]
			}
		case "bits":
			m.set.bits = block.NewBitmap(n)
			for row := range want {
				if want[row] = rapid.IntRange(0, 9).Draw(t, "in") == 0; want[row] {
					m.set.bits.Set(row)
				}
			}
		}
		lo := rapid.IntRange(0, n).Draw(t, "lo")
		hi := rapid.IntRange(lo, n).Draw(t, "hi")
		got := slices.Repeat([]bool{true}, hi-lo)
		m.Mark(got, lo)
		require.Equal(t, want[lo:hi], got)
		require.Equal(t, slices.Contains(want[lo:hi], true), m.any(lo, hi))
	})
}

func TestDeepens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		depths := rapid.SliceOfN(rapid.Uint32Range(0, 3), 1, 12).Draw(t, "depths")
		first := []int{0}
		for row := 1; row < len(depths); row++ {
			if rapid.Bool().Draw(t, "trace") {
				first = append(first, row)
			}
		}
		first = append(first, len(depths))
		g := &group{entry: &groupEntry{traces: len(first) - 1}, first: first}
		require.Equal(t, g.tooDeep(depths) == nil, deepens(depths, first))
	})
	require.True(t, deepens(nil, []int{0}))
	require.False(t, deepens([]uint32{0, 1<<31 - 1}, []int{0, 2}))
}

func TestTraceFrom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := []int{0}
		for range rapid.IntRange(1, 50).Draw(t, "traces") {
			first = append(first, first[len(first)-1]+rapid.IntRange(1, 5).Draw(t, "spans"))
		}
		row := rapid.IntRange(0, first[len(first)-1]-1).Draw(t, "row")
		want := 0
		for first[want+1] <= row {
			want++
		}
		require.Equal(t, want, traceFrom(first, rapid.IntRange(0, want).Draw(t, "from"), row))
	})
}
