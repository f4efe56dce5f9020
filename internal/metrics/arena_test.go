package metrics

import (
	"context"
	"fmt"
	"iter"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
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

// reusing is a source that hands out every series in the same memory, and stable ones in their own.
type reusing struct {
	Source
	stable bool
}

func (r reusing) SelectSeries(context.Context, string, Select) iter.Seq2[*ChunkSeries, error] {
	return func(yield func(*ChunkSeries, error) bool) {
		one := &ChunkSeries{Chunks: []Chunk{{Data: []byte("?")}}}
		for i := range 3 {
			if r.stable {
				one = &ChunkSeries{Chunks: []Chunk{{Data: []byte("?")}}, Stable: true}
			}
			one.Labels, one.Chunks[0].Data[0] = labels.FromStrings("i", fmt.Sprint(i)), byte('a'+i)
			if !yield(one, nil) {
				return
			}
		}
	}
}

// What a source reuses is copied, what is stable isn't; both count for the budget.
func TestCollect(t *testing.T) {
	for _, src := range []reusing{{}, {stable: true}} {
		run := &querier{sources: []Source{src}, budget: 3}
		found, err := run.fetch(t.Context(), Select{})
		require.NoError(t, err)
		got := ""
		for _, s := range found {
			got += string(s.Chunks[0].Data)
		}
		require.Equal(t, "abc", got)
		_, err = run.fetch(t.Context(), Select{})
		require.ErrorContains(t, err, "max_bytes")
	}
}
