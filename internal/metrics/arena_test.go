package metrics

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// What an arena hands out is what was copied, whatever came after, and a few small copies cost little.
func TestArena(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a arena[byte]
		var want, got [][]byte
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, arenaSize/2), 1, 40).Draw(t, "sizes") {
			src := make([]byte, n)
			for i := range src {
				src[i] = byte(len(want))
			}
			want, got = append(want, src), append(got, a.copy(src))
			require.LessOrEqual(t, a.size, arenaSize)
		}
		for i := range want {
			require.Equal(t, string(want[i]), string(got[i]))
			got[i] = append(got[i], 0xff) // must not reach the neighbour
		}
		for i := range want {
			require.Equal(t, string(want[i]), string(got[i][:len(want[i])]))
		}
	})
	var a arena[int]
	for range 3 {
		a.copy([]int{1, 2, 3})
	}
	require.Equal(t, arenaStart, a.size)
}
