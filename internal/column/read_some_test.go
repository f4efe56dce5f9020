package column

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/loggen"
)

// A few rows, wherever they are, are rebuilt as they came.
func TestValuesOfSomeRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, set := range loggen.Sets() {
		lines := set.Lines(1, 300_000)
		enc := encodeLines(lines)
		blobs := unpack(t, enc)
		for _, n := range []int{1, 2, lines.Len() / 100, lines.Len() / 3} {
			some := block.NewBitmap(lines.Len())
			if n == 2 {
				some.Set(0)
				some.Set(lines.Len() - 1)
			}
			for range n {
				some.Set(rng.IntN(lines.Len()))
			}
			r := reopen(t, enc.Page, blobs)
			var got block.Values
			r.Values(&got, r.page.Columns[0], SetOf(some))
			require.NoError(t, r.Err())
			require.Equal(t, some.Count(), got.Len())
			k := 0
			for row := some.Next(0); row >= 0; row = some.Next(row + 1) {
				require.Equal(t, string(lines.At(row)), string(got.At(k)), "%s, row %d", set.Name, row)
				k++
			}
		}
	}
}
