package block

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// SelectInts selects what a test of the decoded values does.
func TestSelectInts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lo := rapid.Int64Range(-1000, 1000).Draw(t, "lo")
		span := rapid.SampledFrom([]int64{0, 1, 100, 255, 256, 70_000}).Draw(t, "span")
		vals := rapid.SliceOfN(rapid.Int64Range(lo, lo+span), 0, 300).Draw(t, "values")
		test := IntTest{Min: lo, Max: lo + span, From: rapid.Int64().Draw(t, "from"), To: lo + rapid.Int64Range(0, span).Draw(t, "to")}
		if rapid.Bool().Draw(t, "table") {
			test.Keep = make([]bool, span+1)
			for i := range test.Keep {
				test.Keep[i] = i%3 == 0
			}
		}
		b := AppendInts(nil, vals)
		switch rapid.IntRange(0, 2).Draw(t, "layout") {
		case 1:
			b = AppendPacked(nil, vals)
		case 2:
			b = AppendMagnitudes(nil, vals)
		}
		d := NewDecoder(b)
		got := SelectInts(d, len(vals), &test)
		require.NoError(t, d.Finish())
		for i, v := range vals {
			want := v >= test.From && v <= test.To
			if test.Keep != nil {
				want = test.Keep[v-lo]
			}
			require.Equal(t, want, got.Get(i), "value %d", v)
		}
	})
}

func TestSelectIntsFaults(t *testing.T) {
	f := func(vals []int64, test IntTest, want string) {
		t.Helper()
		d := NewDecoder(AppendInts(nil, vals))
		SelectInts(d, 3, &test)
		require.ErrorContains(t, d.Err(), want)
	}
	f([]int64{1, 2, 3}, IntTest{Min: 1, Max: 2, To: 2}, "not between 1 and 2")
	f([]int64{1, 2, 300}, IntTest{Min: 0, Max: 2, Keep: make([]bool, 3)}, "not between 0 and 2")
	f([]int64{-1, 70_000, 2}, IntTest{Min: 0, Max: 70_000, To: 2}, "not between 0 and 70000")
	f([]int64{1, 2}, IntTest{Max: 9}, "column of 2 values, want 3")
}
