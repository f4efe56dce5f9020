package logs

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestSortStrings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Few letters, zero among them, and long common beginnings: what padding and keys could get wrong.
		part := rapid.StringOfN(rapid.SampledFrom([]rune{0, 'a', 'b', 'é'}), 0, 12, -1)
		prefix := part.Draw(t, "prefix")
		list := make([]string, rapid.IntRange(0, 3*keyedFrom).Draw(t, "n"))
		parts := rapid.SliceOfN(part, 1, 20).Draw(t, "parts")
		seed := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		for i := range list {
			list[i] = prefix + parts[seed.IntN(len(parts))] + parts[seed.IntN(len(parts))]
		}
		want := slices.Clone(list)
		slices.Sort(want)
		sortStrings(list)
		require.Equal(t, want, list)
	})
}

func BenchmarkSortStrings(b *testing.B) {
	list := make([]string, 100_000)
	for i := range list {
		list[i] = fmt.Sprintf("app-%d-%06d", i%800, i)
	}
	for name, sort := range map[string]func([]string){"keyed": sortStrings, "plain": slices.Sort[[]string]} {
		b.Run(name, func(b *testing.B) {
			scratch := make([]string, len(list))
			for b.Loop() {
				copy(scratch, list)
				sort(scratch)
			}
		})
	}
}
