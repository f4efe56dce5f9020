package metrics

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/block"
	"github.com/thanos-io/thanos/pkg/block/metadata"
	"github.com/thanos-io/thanos/pkg/compact/downsample"
)

// thanosBlocks are the blocks of a tenant's folder as Thanos's own code finds them, without marked ones.
func thanosBlocks(t *testing.T, bkt objstore.Bucket) map[ulid.ULID]*metadata.Meta {
	t.Helper()
	b := objstore.WithNoopInstr(tenantBucket(bkt, "a"))
	fetcher, err := block.NewMetaFetcher(log.NewNopLogger(), 4, b, block.NewConcurrentLister(log.NewNopLogger(), b), t.TempDir(), prometheus.NewRegistry(),
		[]block.MetadataFilter{block.NewDeduplicateFilter(4), block.NewIgnoreDeletionMarkFilter(log.NewNopLogger(), b, 0, 4)})
	require.NoError(t, err)
	metas, partial, err := fetcher.Fetch(t.Context())
	require.NoError(t, err)
	require.Empty(t, partial)
	return metas
}

// Thanos's own code lists, downloads and checks our blocks, those that compaction and downsampling made
// included, takes the same ones for replaced, and heeds our marks; Prometheus opens the raw ones and every
// chunk can be read.
func TestThanosReadsOurBucket(t *testing.T) {
	t.Parallel()
	bkt := objstore.NewInMemBucket()
	h := openTestHeads(t, testHeadOptions(t, t.TempDir(), bkt))
	push(t, h, "a", floats("m", Sample{T: at(-50 * time.Minute), V: 1}, Sample{T: at(0), V: 2}))
	push(t, h, "a", floats("m", Sample{T: at(-30 * time.Minute), V: 3})) // out of order
	require.NoError(t, h.Flush(t.Context()))
	for at := time.Duration(0); at < 48*time.Hour; at += 8 * time.Hour {
		putBlock(t, bkt, map[string]string{"tenant": "a", "replica": "0"}, at, at+8*time.Hour, 10*time.Minute)
	}
	s := newShop(t, bkt, 20*24*time.Hour)
	_, err := s.Round(t.Context(), "a")
	require.NoError(t, err)
	store := newTestStore(t, bkt)
	require.NoError(t, store.Refresh(t.Context()))
	found := thanosBlocks(t, bkt)
	var ours []ulid.ULID
	for _, m := range store.active["a"] {
		ours = append(ours, m.ULID)
	}
	var theirs []ulid.ULID
	for id := range found {
		theirs = append(theirs, id)
	}
	require.ElementsMatch(t, ours, theirs)
	resolutions := map[int64]int{}
	for id, m := range found {
		resolutions[m.Thanos.Downsample.Resolution]++
		require.Equal(t, "a", m.Thanos.Labels["tenant"])
		dir := filepath.Join(t.TempDir(), id.String())
		require.NoError(t, block.Download(t.Context(), log.NewNopLogger(), tenantBucket(bkt, "a"), id, dir))
		require.NoError(t, block.VerifyIndex(t.Context(), log.NewNopLogger(), filepath.Join(dir, "index"), m.MinTime, m.MaxTime), id)
		require.NoError(t, verifyDir(t.Context(), dir))
		if m.Thanos.Downsample.Resolution == 0 {
			b, err := tsdb.OpenBlock(nil, dir, nil, nil)
			require.NoError(t, err)
			require.Equal(t, m.Stats.NumSamples, b.Meta().Stats.NumSamples)
			require.NoError(t, b.Close())
		}
	}
	require.Equal(t, 1, resolutions[downsample.ResLevel1], "%v", resolutions)
	require.NotZero(t, resolutions[0])
}

// A block that Thanos's own code uploads, as a sidecar does, is answered from, compacted and downsampled.
func TestWeReadThanosBucket(t *testing.T) {
	t.Parallel()
	src, bkt := objstore.NewInMemBucket(), objstore.NewInMemBucket()
	for at := time.Duration(0); at < 48*time.Hour; at += 8 * time.Hour {
		id := putBlock(t, src, nil, at, at+8*time.Hour, 10*time.Minute)
		dir := filepath.Join(t.TempDir(), id.String())
		m, err := readMeta(t.Context(), tenantBucket(src, "a"), id)
		require.NoError(t, err)
		require.NoError(t, downloadBlock(t.Context(), tenantBucket(src, "a"), m, dir))
		_, err = metadata.InjectThanos(log.NewNopLogger(), dir, metadata.Thanos{Labels: map[string]string{"prometheus": "p"}, Source: metadata.SidecarSource}, nil)
		require.NoError(t, err)
		require.NoError(t, block.Upload(t.Context(), log.NewNopLogger(), tenantBucket(bkt, "a"), dir, metadata.NoneFunc))
		require.NoError(t, os.RemoveAll(dir))
	}
	plain, store := newTestStore(t, src), newTestStore(t, bkt)
	require.NoError(t, plain.Refresh(t.Context()))
	count := func(s *BlockStore) float64 {
		require.NoError(t, s.Refresh(t.Context()))
		return instantAt(t, `sum without (prometheus) (sum_over_time(gauge[2d]))`, day0.Add(48*time.Hour-time.Millisecond).UnixMilli(), 0, s)
	}
	want := count(plain)
	require.Equal(t, want, count(store))
	s := newShop(t, bkt, 20*24*time.Hour)
	_, err := s.Round(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, want, count(store))
	require.ElementsMatch(t, []string{"0s+48h0m0s@0s", "0s+48h0m0s@5m0s"}, blocksOf(t, bkt))
	require.Equal(t, map[string]string{"prometheus": "p"}, store.active["a"][0].Thanos.Labels)
}
