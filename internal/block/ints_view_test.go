package block

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A view has the values that decoding the column gives, and the same decoder reads what follows.
func TestViewInts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.SampledFrom([]int64{0, 1, 200, 60_000, 1 << 20, 1 << 30, 1 << 62}).Draw(t, "width")
		vals := rapid.SliceOfN(rapid.Int64Range(-width, width), 0, 300).Draw(t, "values")
		if rapid.Bool().Draw(t, "ascending") {
			for i := range vals {
				vals[i] = int64(i)*1000 + vals[i]%10
			}
		}
		b := AppendInts(nil, vals)
		switch rapid.IntRange(0, 2).Draw(t, "layout") {
		case 1:
			b = AppendPacked(nil, vals)
		case 2:
			b = AppendMagnitudes(nil, vals)
		}
		d := NewDecoder(append(b, 42))
		v := ViewInts(d, make([]int64, rapid.IntRange(0, 300).Draw(t, "memory")), len(vals))
		require.Equal(t, byte(42), d.Byte())
		require.NoError(t, d.Finish())
		for i, want := range vals {
			require.Equal(t, want, v.At(i))
		}
	})
}

func TestViewIntsFaults(t *testing.T) {
	d := NewDecoder(AppendInts(nil, []int64{1, 2}))
	ViewInts(d, nil, 3)
	require.ErrorContains(t, d.Err(), "column of 2 values, want 3")
}
