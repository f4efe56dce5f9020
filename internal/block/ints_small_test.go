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
		encode := rapid.SampledFrom([]func([]byte, []int64) []byte{AppendInts[int64], AppendPacked[int64], AppendMagnitudes[int64]}).Draw(t, "form")
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

// TestDecodeBelowForms: small numbers, such as depths of spans, are read as what they are in every form.
func TestDecodeBelowForms(t *testing.T) {
	vals := make([]int64, 300)
	for i := range vals {
		vals[i] = int64(i * i % 7 % 2)
	}
	for name, encode := range map[string]func([]byte, []int64) []byte{
		"planes": AppendInts[int64], "packed": AppendPacked[int64], "magnitudes": AppendMagnitudes[int64],
	} {
		d := NewDecoder(encode(nil, vals))
		got := DecodeBelow(d, nil, len(vals), 2)
		require.NoError(t, d.Finish(), name)
		require.Len(t, got, len(vals), name)
		for i, v := range vals {
			require.EqualValues(t, v, got[i], "%s: number %d", name, i)
		}
	}
}
