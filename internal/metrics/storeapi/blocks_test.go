package storeapi

import (
	"testing"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/thanos/pkg/store/hintspb"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/metrics"
)

// What is asked for comes over as it is.
func TestBlockSelections(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := metrics.BlockSelect{Deletions: rapid.SliceOfN(rapid.StringN(1, 8, -1), 0, 3).Draw(rt, "deletions")}
		for range rapid.IntRange(1, 4).Draw(rt, "blocks") {
			s.Blocks = append(s.Blocks, ulid.ULID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, "block")))
		}
		if n := rapid.IntRange(1, 5).Draw(rt, "shards"); n > 1 {
			s.Shard = metrics.Shard{Index: rapid.IntRange(0, n-1).Draw(rt, "shard"), Count: n, Without: rapid.SliceOfN(rapid.String(), 0, 2).Draw(rt, "without")}
		}
		var got metrics.BlockSelect
		require.NoError(rt, ToBlocks(FromBlocks(s), &got))
		require.Equal(rt, s.Blocks, got.Blocks)
		require.ElementsMatch(rt, s.Deletions, got.Deletions)
		require.Equal(rt, s.Shard.Index, got.Shard.Index)
		require.Equal(rt, s.Shard.Count, got.Shard.Count)
		require.ElementsMatch(rt, s.Shard.Without, got.Shard.Without)
	})
}

// Hints from anywhere are read or refused, and what is read makes sense.
func FuzzToBlocks(f *testing.F) {
	for _, s := range []metrics.BlockSelect{{}, {Blocks: []ulid.ULID{{1}, {2}}, Deletions: []string{"d"}, Select: metrics.Select{Shard: metrics.Shard{Index: 1, Count: 2, Without: []string{"a"}}}}} {
		data, err := (&hintspb.SeriesRequestHints{BlockMatchers: FromBlocks(s)}).Marshal()
		require.NoError(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var h hintspb.SeriesRequestHints
		if h.Unmarshal(data) != nil {
			return
		}
		var s metrics.BlockSelect
		if ToBlocks(h.BlockMatchers, &s) != nil {
			return
		}
		require.True(t, s.Shard.Count == 0 || s.Shard.Index < s.Shard.Count)
		var again metrics.BlockSelect
		if len(s.Blocks) > 0 {
			require.NoError(t, ToBlocks(FromBlocks(s), &again))
			require.Equal(t, s.Blocks, again.Blocks)
		}
	})
}
