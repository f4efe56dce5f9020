package metrics

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/block/metadata"
	"github.com/thanos-io/thanos/pkg/compact/downsample"
)

// shipDownsampled lets Thanos downsample a block of the bucket and puts the result beside it.
func shipDownsampled(t *testing.T, bkt objstore.Bucket, m *metadata.Meta, resolution int64) *metadata.Meta {
	t.Helper()
	dir := t.TempDir()
	b := tenantBucket(bkt, "a")
	require.NoError(t, objstore.DownloadDir(t.Context(), log.NewNopLogger(), b, "", m.ULID.String(), filepath.Join(dir, m.ULID.String())))
	blk, err := tsdb.OpenBlock(nil, filepath.Join(dir, m.ULID.String()), downsample.NewPool(), nil)
	require.NoError(t, err)
	id, err := downsample.Downsample(t.Context(), log.NewNopLogger(), m, blk, dir, resolution)
	require.NoError(t, err)
	require.NoError(t, blk.Close())
	require.NoError(t, objstore.UploadDir(t.Context(), log.NewNopLogger(), b, filepath.Join(dir, id.String()), id.String()))
	meta, err := readMeta(t.Context(), b, id)
	require.NoError(t, err)
	return meta
}

// Half a day of a counter that is reset twice and of a gauge, in one block, at three resolutions.
func downsampledBlocks(t *testing.T) (*objstore.InMemBucket, []*metadata.Meta) {
	t.Helper()
	bkt := objstore.NewInMemBucket()
	dir := t.TempDir()
	opts := quickOptions(t, dir, bkt)
	opts.Config.BlockRange = opts.Config.BlockRange * 12
	h := openTestHeads(t, opts)
	for k := range 720 {
		ts := at(-23*time.Hour + time.Duration(k)*time.Minute)
		push(t, h, "a", floats("counter_total", Sample{T: ts, V: float64((k % 350) * 10)}), floats("gauge", Sample{T: ts, V: float64(k % 7)}))
	}
	require.NoError(t, h.Flush(t.Context()))
	s := newTestStore(t, bkt)
	require.NoError(t, s.Refresh(t.Context()))
	require.Len(t, s.Blocks("a"), 1)
	raw := s.Blocks("a")[0].Meta
	five := shipDownsampled(t, bkt, &raw, downsample.ResLevel1)
	hour := shipDownsampled(t, bkt, five, downsample.ResLevel2)
	return bkt, []*metadata.Meta{&raw, five, hour}
}

func instantAt(t *testing.T, expr string, ts, resolution int64, src Source) float64 {
	t.Helper()
	r, err := newTestEngine().Run(context.Background(), "a", &Query{Kind: Instant, Expr: expr, Start: ts, End: ts, MaxResolution: resolution}, src)
	require.NoError(t, err)
	v := r.Value.(promql.Vector)
	require.Len(t, v, 1, expr)
	return v[0].F
}

func TestDownsampledData(t *testing.T) {
	t.Parallel()
	bkt, metas := downsampledBlocks(t)
	s := newTestStore(t, bkt)
	require.NoError(t, s.Refresh(t.Context()))
	end := at(-23*time.Hour + 719*time.Minute)
	sum := instantAt(t, `sum_over_time(gauge[2d])`, end, 0, s)
	for _, resolution := range []int64{0, downsample.ResLevel1, downsample.ResLevel2} {
		chosen, err := s.chosen(t.Context(), "a", Select{Start: MinTime, End: MaxTime, MaxResolution: resolution})
		require.NoError(t, err)
		require.Len(t, chosen, 1)
		require.Equal(t, resolution, chosen[0].Thanos.Downsample.Resolution)
		name := fmt.Sprint(resolution)
		// What the five aggregates know is exact over all of the data.
		require.Equal(t, sum, instantAt(t, `sum_over_time(gauge[2d])`, end, resolution, s), name)
		require.Equal(t, 0.0, instantAt(t, `min_over_time(gauge[2d])`, end, resolution, s), name)
		require.Equal(t, 6.0, instantAt(t, `max_over_time(gauge[2d])`, end, resolution, s), name)
		// Between the first and the last sample the counter grew by so much; the edges are extrapolated.
		require.InEpsilon(t, 3490*2+190, instantAt(t, `increase(counter_total[12h])`, end, resolution, s), 0.08, name)
		require.InDelta(t, 3, instantAt(t, `gauge`, end, resolution, s), 3, name)
	}
	// The blocks that are missing are filled in from what there is, whatever is asked for.
	require.NoError(t, deleteBlock(t.Context(), tenantBucket(bkt, "a"), metas[0].ULID))
	require.NoError(t, s.Refresh(t.Context()))
	require.Equal(t, sum, instantAt(t, `sum_over_time(gauge[2d])`, end, 0, s))
	chosen, err := s.chosen(t.Context(), "a", Select{Start: MinTime, End: MaxTime})
	require.NoError(t, err)
	require.Equal(t, downsample.ResLevel1, chosen[0].Thanos.Downsample.Resolution)
}

// Reads of raw series, which know nothing of aggregates, get averages.
func TestReadOfDownsampledData(t *testing.T) {
	bkt, metas := downsampledBlocks(t)
	require.NoError(t, deleteBlock(t.Context(), tenantBucket(bkt, "a"), metas[0].ULID))
	s := newTestStore(t, bkt)
	require.NoError(t, s.Refresh(t.Context()))
	r, err := newTestEngine().Run(t.Context(), "a", &Query{Kind: Read, Start: MinTime, End: MaxTime, Matchers: [][]Matcher{{{Name: labels.MetricName, Value: "gauge"}}}}, s)
	require.NoError(t, err)
	require.Len(t, r.Raw, 1)
	n := 0
	for set := NewSeriesSet(r.Raw, nil); set.Next(); {
		for it := set.At().Iterator(nil); it.Next() != 0; n++ {
			_, v := it.At()
			require.InDelta(t, 3, v, 1.2)
		}
	}
	require.InDelta(t, 144, n, 3)
}

func FuzzAggregates(f *testing.F) {
	f.Add([]byte{1, 1, 0, 1, 0, 0, 0, 0, 0})
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 255, 127, 1, 2})
	f.Fuzz(func(_ *testing.T, data []byte) {
		for _, want := range []aggregate{average, ofCount, ofSum, ofMin, ofMax, ofCounter} {
			list := []ChunkSeries{{Chunks: []Chunk{{0, 1, downsample.ChunkEncAggr, data}}}}
			_ = resolveAggregates(list, want)
		}
	})
}
