package block

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestDecodeBelow compares it with DecodeInts, whatever the form of the column.
func TestDecodeBelow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.SampledFrom([]int64{0, 1, 200, 255, 256, 70_000, math.MaxUint32, math.MaxInt64}).Draw(t, "most")
		least := rapid.SampledFrom([]int64{0, 0, 0, -1, math.MinInt64}).Draw(t, "least")
		vals := rapid.SliceOfN(rapid.Int64Range(least, most), 0, 300).Draw(t, "values")
		limit := rapid.SampledFrom([]uint32{1, 201, 256, 70_001, math.MaxUint32}).Draw(t, "limit")
		encode := AppendInts[int64]
		if rapid.Bool().Draw(t, "packed") {
			encode = AppendPacked[int64]
		}
		d := NewDecoder(encode(nil, vals))
		got := DecodeBelow(d, make([]uint32, rapid.IntRange(0, 100).Draw(t, "memory")), len(vals), limit)
		fits := true
		for _, v := range vals {
			fits = fits && v >= 0 && v < int64(limit)
		}
		if !fits {
			require.Error(t, d.Finish())
			return
		}
		require.NoError(t, d.Finish())
		require.Len(t, got, len(vals))
		for i, v := range vals {
			require.Equal(t, uint32(v), got[i])
		}
	})
}
