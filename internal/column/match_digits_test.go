package column

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The last digits of numbers are found by arithmetic as they are in print.
func TestMatchLastDigits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.SampledFrom([]int64{9, 100, 99_999, 1 << 40, 1<<63 - 1}).Draw(t, "most")
		numbers := rapid.SliceOfN(rapid.Int64Range(0, most), 1, 200).Draw(t, "numbers")
		lines := make([]string, len(numbers))
		for i, x := range numbers {
			lines[i] = strconv.FormatInt(x, 10)
		}
		e := NewEncoder(0)
		e.Ints(numbers, Spine)
		enc := e.Finish()
		r := reopen(t, enc.Page, unpack(t, enc))
		whole := rapid.SampledFrom(lines).Draw(t, "line")
		needle := whole[rapid.IntRange(0, len(whole)-1).Draw(t, "from"):]
		if rapid.Bool().Draw(t, "other") {
			needle = rapid.StringMatching(`[0-9-]{1,21}`).Draw(t, "needle")
		}
		got := r.Match(r.page.Columns[0], Suffix, []byte(needle))
		require.NoError(t, r.Err())
		for i, l := range lines {
			require.Equal(t, newNeedle(Suffix, []byte(needle), false).test([]byte(l)), got.Has(i), "%q of %q", needle, l)
		}
	})
}
