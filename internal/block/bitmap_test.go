package block

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The rows of a set by their numbers among themselves are what a walk over them finds.
func TestAddNumbered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 2, 2, 2}), 0, 300).Draw(t, "rows") // 0: not of the set, 2: numbered
		from, want, n := NewBitmap(len(rows)), NewBitmap(len(rows)), 0
		for i, kind := range rows {
			if kind > 0 {
				from.Set(i)
				n++
			}
			if kind == 2 {
				want.Set(i)
			}
		}
		numbers, k := NewBitmap(n), 0
		for _, kind := range rows {
			if kind == 2 {
				numbers.Set(k)
			}
			if kind > 0 {
				k++
			}
		}
		got := NewBitmap(len(rows))
		got.AddNumbered(from, numbers)
		require.Equal(t, want, got)
	})
}
