package ingester

import (
	"math"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/signal"
)

// Who reads blocks from the bucket leaves them out here: else volumes, which no row deduplicates,
// count them twice until the ingester forgets them.
func TestBlocksOfTheBucketAreLeftOutOnDemand(t *testing.T) {
	f := openFixture(t, t.TempDir(), nil)
	defer f.close(t)
	f.push(t, "shipped")
	require.NoError(t, f.Flush(t.Context()))
	f.push(t, "fresh row")
	listing, err := block.List(t.Context(), f.bucket, team, signal.Logs)
	require.NoError(t, err)
	require.Len(t, listing.Blocks, 1)

	entries := func(src logs.Source) (n int64) {
		volumes, err := src.Volume(t.Context(), team, logs.VolumeQuery{End: math.MaxInt64, Matchers: everything.Matchers})
		require.NoError(t, err)
		for _, v := range volumes {
			n += v.Entries
		}
		return n
	}
	except := f.LogsExcept([]ulid.ULID{ulid.MustNew(1, nil), listing.Blocks[0].ULID})
	require.Equal(t, map[string]int{"fresh row": 1}, read(t, except))
	require.EqualValues(t, 1, entries(except))
	require.EqualValues(t, 2, entries(f.LogsExcept(nil)), "a block that the caller doesn't know yet is answered from here")
	require.EqualValues(t, 2, entries(f.Ingester))
}

// Rows are settled when they are answered from the bucket alone: neither from the head, nor from the
// block that is kept for a while after its upload.
func TestLogsSettled(t *testing.T) {
	f := openFixture(t, t.TempDir(), nil)
	defer f.close(t)
	now := time.Unix(0, f.now.Load())
	before, after := now.Add(-time.Second), now.Add(time.Second)
	require.True(t, f.LogsSettled(team, after), "nothing came")
	f.push(t, "a row")
	require.True(t, f.LogsSettled(team, before), "it is later")
	require.False(t, f.LogsSettled(team, after), "in the head")
	require.NoError(t, f.Flush(t.Context()))
	require.False(t, f.LogsSettled(team, after), "in the block that is kept")
	require.True(t, f.LogsSettled(team, before))
	require.True(t, f.LogsSettled("other", after))

	later := now.Add(time.Hour)
	require.NoError(t, f.Ingester.logs.forget(later))
	require.True(t, f.LogsSettled(team, after), "gone from here")
	f.now.Store(later.UnixNano())
	f.push(t, "another row")
	require.True(t, f.LogsSettled(team, after), "of a later time")
	require.False(t, f.LogsSettled(team, later))
}
