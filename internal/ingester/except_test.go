package ingester

import (
	"math"
	"testing"

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
		volumes, err := src.Volume(t.Context(), team, 0, math.MaxInt64, everything.Matchers)
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
