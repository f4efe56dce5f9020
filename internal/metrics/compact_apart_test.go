package metrics

import (
	"path"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/block/metadata"
)

func (s *shop) rounds(t *testing.T, n int) {
	t.Helper()
	for range n {
		_, err := s.Round(t.Context(), "a")
		require.NoError(t, err)
		s.now = s.now.Add(2 * time.Hour)
	}
}

// A block that is not to be compacted is downsampled nevertheless, unless another mark says that it isn't.
func TestUncompactedBlocksAreDownsampled(t *testing.T) {
	t.Parallel()
	bkt := objstore.NewInMemBucket()
	day := 24 * time.Hour
	first := putBlock(t, bkt, nil, 0, 2*day, 5*time.Minute)
	second := putBlock(t, bkt, nil, 2*day, 4*day, 5*time.Minute)
	third := putBlock(t, bkt, nil, 4*day, 6*day, 5*time.Minute)
	for _, id := range []ulid.ULID{first, second, third} {
		require.NoError(t, MarkBlock(t.Context(), bkt, "a", id, BlockMark{Mark: MarkNoCompact, Details: "as it is", At: day0}))
	}
	require.NoError(t, MarkBlock(t.Context(), bkt, "a", third, BlockMark{Mark: MarkNoDownsample, Details: "as it is", At: day0}))
	s := newShop(t, bkt, 20*day)
	s.rounds(t, 3)
	require.ElementsMatch(t, []string{"0s+48h0m0s@0s", "48h0m0s+48h0m0s@0s", "96h0m0s+48h0m0s@0s", "0s+96h0m0s@5m0s"}, blocksOf(t, bkt),
		"raw blocks stay apart, those that were made of two of them are merged")
	store := newTestStore(t, bkt)
	require.NoError(t, store.Refresh(t.Context()))
	require.Equal(t, 6.0*288, instantAt(t, "count_over_time(counter_total[6d])", day0.Add(6*day).UnixMilli()-1, 0, store))
	require.Equal(t, 4.0*288, instantAt(t, "count_over_time(counter_total[4d])", day0.Add(4*day).UnixMilli()-1, 5*60_000, store))
}

// One that can't be downsampled, because it is damaged, is marked once and tried no more.
func TestDamagedUncompactedBlocks(t *testing.T) {
	t.Parallel()
	bkt := objstore.NewInMemBucket()
	bad := putBlock(t, bkt, nil, 0, 48*time.Hour, 5*time.Minute)
	good := putBlock(t, bkt, nil, 48*time.Hour, 96*time.Hour, 5*time.Minute)
	require.NoError(t, MarkBlock(t.Context(), bkt, "a", bad, BlockMark{Mark: MarkNoCompact, Details: "as it is", At: day0}))
	require.NoError(t, flip(tenantBucket(bkt, "a"), bad.String()+"/chunks/000001", func([]byte) int { return 30 }))
	s := newShop(t, bkt, 480*time.Hour)
	s.rounds(t, 3)
	require.Equal(t, 1.0, testutil.ToFloat64(s.metrics.jobs.WithLabelValues("downsample", "error")))
	require.Equal(t, 1.0, testutil.ToFloat64(s.metrics.jobs.WithLabelValues("downsample", "success")), good.String())
	mark, err := readObject(t.Context(), tenantBucket(bkt, "a"), path.Join(bad.String(), metadata.NoDownsampleMarkFilename), maxMetaSize)
	require.NoError(t, err)
	require.Contains(t, string(mark), "damaged")
	require.ElementsMatch(t, []string{"0s+48h0m0s@0s", "48h0m0s+48h0m0s@0s", "48h0m0s+48h0m0s@5m0s"}, blocksOf(t, bkt))
}
