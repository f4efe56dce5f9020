package metrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/block"
	"github.com/thanos-io/thanos/pkg/block/metadata"
	"github.com/thanos-io/thanos/pkg/compact/downsample"
)

// day0 is the start of a window of every length.
var day0 = time.UnixMilli(0).Add(14 * 24 * time.Hour * 1466).UTC()

// floatSample is a sample as blocks are made of.
type floatSample struct {
	t int64
	v float64
}

func (p floatSample) T() int64                      { return p.t }
func (p floatSample) F() float64                    { return p.v }
func (p floatSample) H() *histogram.Histogram       { return nil }
func (p floatSample) FH() *histogram.FloatHistogram { return nil }
func (p floatSample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (p floatSample) Copy() chunks.Sample           { return p }

// putBlock uploads a block of two series with a sample every step from from to to: a counter that is reset
// every 100 samples, and a gauge.
func putBlock(t testing.TB, bkt objstore.Bucket, external map[string]string, from, to, step time.Duration) ulid.ULID {
	t.Helper()
	var counter, gauge []chunks.Sample
	for at := from; at < to; at += step {
		ts, n := day0.Add(at).UnixMilli(), int64(at/step)
		counter = append(counter, floatSample{ts, float64(n % 100 * 10)})
		gauge = append(gauge, floatSample{ts, float64(n % 7)})
	}
	dir := t.TempDir()
	out, err := tsdb.CreateBlock([]storage.Series{
		storage.NewListSeries(labels.FromStrings(labels.MetricName, "counter_total", "job", "test"), counter),
		storage.NewListSeries(labels.FromStrings(labels.MetricName, "gauge", "job", "test"), gauge),
	}, dir, (to - from).Milliseconds(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	meta, err := metadata.ReadFromDir(out)
	require.NoError(t, err)
	meta.MinTime, meta.MaxTime = day0.Add(from).UnixMilli(), day0.Add(to).UnixMilli()
	require.NoError(t, meta.WriteToDir(nopLogger{}, out))
	_, err = uploadBlock(t.Context(), tenantBucket(bkt, "a"), out, metadata.Thanos{Labels: external, Source: metadata.ReceiveSource}, day0)
	require.NoError(t, err)
	return meta.ULID
}

// shop is a compactor under a clock of the test.
type shop struct {
	*Compactor
	now  time.Time
	keep func(resolution int64) time.Duration
}

func newShop(t testing.TB, bkt objstore.Bucket, now time.Duration, replicas ...string) *shop {
	t.Helper()
	s := &shop{now: day0.Add(now)}
	s.Compactor = NewCompactor(CompactorOptions{Dir: t.TempDir(), Bucket: bkt, DeleteDelay: time.Hour, ReplicaLabels: replicas,
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: func() time.Time { return s.now },
		Keep: func(_ string, resolution int64) time.Duration {
			if s.keep == nil {
				return 0
			}
			return s.keep(resolution)
		}})
	return s
}

var shopQueries = []string{"gauge", "sum(rate(counter_total[30m]))", "max_over_time(gauge[1h])", "count_over_time(counter_total[2h])"}

// rawAnswers are what range queries over some days say.
func rawAnswers(t require.TestingT, days int, src Source) []string {
	var out []string
	for _, expr := range shopQueries {
		r, err := newTestEngine().Run(context.Background(), "a", &Query{Kind: Range, Expr: expr, Start: day0.UnixMilli(), End: day0.Add(time.Duration(days) * 24 * time.Hour).UnixMilli(), Step: 20 * 60_000}, src)
		require.NoError(t, err)
		require.Empty(t, r.Warnings)
		require.NotEmpty(t, r.Value.(promql.Matrix))
		out = append(out, r.Value.String())
	}
	return out
}

// blocksOf lists the blocks of the tenant that aren't replaced: start, length and resolution.
func blocksOf(t testing.TB, bkt objstore.Bucket) []string {
	t.Helper()
	s := newTestStore(t, bkt)
	require.NoError(t, s.Refresh(t.Context()))
	var out []string
	for _, m := range s.active["a"] {
		length := time.Duration(m.MaxTime-m.MinTime) * time.Millisecond
		out = append(out, fmt.Sprintf("%s+%s@%s", time.UnixMilli(m.MinTime).Sub(day0), length, time.Duration(m.Thanos.Downsample.Resolution)*time.Millisecond))
	}
	return out
}

// Four days of two ingesters, of which one was away for a day: every query has the same answer after every
// round, and the end is one block for each two days and resolution.
func TestCompaction(t *testing.T) {
	t.Parallel()
	bkt := objstore.NewInMemBucket()
	store := newTestStore(t, bkt)
	reference := objstore.NewInMemBucket()
	s := newShop(t, bkt, 0)
	for at := time.Duration(0); at < 4*24*time.Hour; at += 4 * time.Hour {
		putBlock(t, bkt, map[string]string{"tenant": "a", "replica": "0"}, at, at+4*time.Hour, 5*time.Minute)
		putBlock(t, reference, nil, at, at+4*time.Hour, 5*time.Minute)
		if at < 24*time.Hour || at >= 48*time.Hour {
			putBlock(t, bkt, map[string]string{"tenant": "a", "replica": "1"}, at, at+4*time.Hour, 5*time.Minute)
		}
	}
	plain := newTestStore(t, reference)
	require.NoError(t, plain.Refresh(t.Context()))
	want := rawAnswers(t, 4, plain)
	for hour := 6; hour < 110; hour += 26 {
		s.now = day0.Add(time.Duration(hour) * time.Hour)
		_, err := s.Round(t.Context(), "a")
		require.NoError(t, err)
		require.NoError(t, store.Refresh(t.Context()))
		require.Equal(t, want, rawAnswers(t, 4, store), "hour %d", hour)
	}
	s.now = day0.Add(120 * time.Hour)
	for range 3 {
		_, err := s.Round(t.Context(), "a")
		require.NoError(t, err)
		s.now = s.now.Add(2 * time.Hour)
	}
	require.NoError(t, store.Refresh(t.Context()))
	require.Equal(t, want, rawAnswers(t, 4, store))
	require.ElementsMatch(t, []string{"0s+48h0m0s@0s", "48h0m0s+48h0m0s@0s", "0s+48h0m0s@5m0s", "48h0m0s+48h0m0s@5m0s"}, blocksOf(t, bkt))
	require.Len(t, foldersOf(bkt), 4, "what was merged is deleted")
	require.Zero(t, testutil.ToFloat64(s.metrics.pending.WithLabelValues("a", "compact")))
	changed, err := s.Round(t.Context(), "a")
	require.NoError(t, err)
	require.False(t, changed, "there is nothing left to do")

	// Thanos finds nothing wrong with the blocks, and they say what they are made of.
	for id := range foldersOf(bkt) {
		dir := filepath.Join(t.TempDir(), id)
		require.NoError(t, objstore.DownloadDir(t.Context(), log.NewNopLogger(), tenantBucket(bkt, "a"), "", id, dir))
		meta, err := metadata.ReadFromDir(dir)
		require.NoError(t, err)
		require.Equal(t, map[string]string{"tenant": "a"}, meta.Thanos.Labels)
		require.NoError(t, block.VerifyIndex(t.Context(), log.NewNopLogger(), filepath.Join(dir, block.IndexFilename), meta.MinTime, meta.MaxTime))
		require.NoError(t, verifyDir(t.Context(), dir))
	}
}

func foldersOf(bkt *objstore.InMemBucket) map[string]bool {
	out := map[string]bool{}
	for name := range bkt.Objects() {
		out[strings.Split(name, "/")[2]] = true
	}
	return out
}

// mortalBucket dies after a number of changes: every later call fails.
type mortalBucket struct {
	objstore.Bucket
	left int
}

var errDied = errors.New("killed")

func (m *mortalBucket) step() error {
	if m.left--; m.left < 0 {
		return errDied
	}
	return nil
}

func (m *mortalBucket) Upload(ctx context.Context, name string, r io.Reader, opts ...objstore.ObjectUploadOption) error {
	if err := m.step(); err != nil {
		return err
	}
	return m.Bucket.Upload(ctx, name, r, opts...)
}

func (m *mortalBucket) Delete(ctx context.Context, name string) error {
	if err := m.step(); err != nil {
		return err
	}
	return m.Bucket.Delete(ctx, name)
}

// A compactor that is killed at any change of the bucket leaves one that answers right, and the next
// one brings the work to its end.
func TestCompactionKilledAnywhere(t *testing.T) {
	t.Parallel()
	origin := objstore.NewInMemBucket()
	putBlock(t, origin, nil, 0, 24*time.Hour, 10*time.Minute)
	putBlock(t, origin, nil, 24*time.Hour, 48*time.Hour, 10*time.Minute)
	putBlock(t, origin, nil, 22*time.Hour, 26*time.Hour, 10*time.Minute)
	first := newTestStore(t, origin)
	require.NoError(t, first.Refresh(t.Context()))
	want := rawAnswers(t, 2, first)
	for at := 0; ; at++ {
		bkt := objstore.NewInMemBucket()
		for name, data := range origin.Objects() {
			require.NoError(t, bkt.Upload(t.Context(), name, bytes.NewReader(data)))
		}
		victim := newShop(t, &mortalBucket{bkt, at}, 60*time.Hour)
		var died error
		for range 3 {
			if _, died = victim.Round(t.Context(), "a"); died != nil {
				break
			}
			victim.now = victim.now.Add(2 * time.Hour)
		}
		reader := newTestStoreIn(t, t.TempDir(), bkt)
		require.NoError(t, reader.Refresh(t.Context()))
		require.Equal(t, want, rawAnswers(t, 2, reader), "killed at %d", at)
		if died == nil {
			require.NoError(t, reader.Close())
			require.Greater(t, at, 20)
			return
		}
		require.ErrorIs(t, died, errDied)
		next := newShop(t, bkt, 62*time.Hour)
		for range 4 {
			_, err := next.Round(t.Context(), "a")
			require.NoError(t, err, "killed at %d", at)
			next.now = next.now.Add(2 * time.Hour)
		}
		require.NoError(t, reader.Refresh(t.Context()))
		require.Equal(t, want, rawAnswers(t, 2, reader), "killed at %d", at)
		require.Len(t, foldersOf(bkt), 2, "killed at %d", at)
		require.NoError(t, reader.Close())
	}
}

// A pair of Prometheus servers that scrape at different times becomes one series, at the pace of one.
func TestReplicasAreDeduplicated(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		replicas []string
		most     int
		blocks   int
	}{"pair": {[]string{"prometheus_replica"}, 49, 1}, "not told": {nil, 96, 2}} { // a series each
		t.Run(name, func(t *testing.T) {
			bkt := objstore.NewInMemBucket()
			putBlock(t, bkt, map[string]string{"cluster": "c", "prometheus_replica": "a"}, 0, 4*time.Hour, 5*time.Minute)
			putBlock(t, bkt, map[string]string{"cluster": "c", "prometheus_replica": "b"}, 2*time.Minute, 4*time.Hour, 5*time.Minute)
			s := newShop(t, bkt, 100*time.Hour, c.replicas...)
			_, err := s.Round(t.Context(), "a")
			require.NoError(t, err)
			store := newTestStore(t, bkt)
			require.NoError(t, store.Refresh(t.Context()))
			got := instantAt(t, "sum(count_over_time(gauge[5h]))", day0.Add(4*time.Hour).UnixMilli(), 0, store)
			require.LessOrEqual(t, got, float64(c.most))
			require.GreaterOrEqual(t, got, 47.0)
			require.Len(t, store.active["a"], c.blocks)
		})
	}
}

// A damaged block is marked with the reason and stays; the others are merged.
func TestCompactionMarksDamagedBlocks(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(bkt objstore.Bucket, id string) error{
		"chunk is another": func(bkt objstore.Bucket, id string) error {
			return flip(bkt, id+"/chunks/000001", func([]byte) int { return 30 })
		},
		"index is missing": func(bkt objstore.Bucket, id string) error { return bkt.Delete(context.Background(), id+"/index") },
		"meta.json is nonsense": func(bkt objstore.Bucket, id string) error {
			return bkt.Upload(context.Background(), id+"/meta.json", strings.NewReader("{"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			bkt := objstore.NewInMemBucket()
			putBlock(t, bkt, nil, 0, 2*time.Hour, 5*time.Minute)
			bad := putBlock(t, bkt, nil, 2*time.Hour, 4*time.Hour, 5*time.Minute)
			putBlock(t, bkt, nil, 4*time.Hour, 6*time.Hour, 5*time.Minute)
			require.NoError(t, damage(tenantBucket(bkt, "a"), bad.String()))
			s := newShop(t, bkt, 100*time.Hour)
			for range 3 {
				_, err := s.Round(t.Context(), "a")
				require.NoError(t, err)
				s.now = s.now.Add(2 * time.Hour)
			}
			require.Equal(t, 1.0, testutil.ToFloat64(s.metrics.quarantined))
			require.Len(t, foldersOf(bkt), 2)
			mark, err := readObject(t.Context(), tenantBucket(bkt, "a"), path.Join(bad.String(), metadata.NoCompactMarkFilename), maxMetaSize)
			require.NoError(t, err)
			require.Contains(t, string(mark), "damaged")
			require.Contains(t, string(mark), bad.String())
			store := newTestStore(t, bkt)
			require.NoError(t, store.Refresh(t.Context()))
			require.Equal(t, 48.0, instantAt(t, "count_over_time(counter_total[6h])", day0.Add(6*time.Hour).UnixMilli()-1, 0, store))
		})
	}
}

// A month: raw data become blocks of 14 days, these 5-minute and hourly ones, and a coarse query over
// them reads far fewer bytes.
func TestDownsamplingSavesBytes(t *testing.T) {
	t.Parallel()
	mem := objstore.NewInMemBucket()
	for at := 0; at < 28; at += 2 {
		putBlock(t, mem, nil, time.Duration(at)*24*time.Hour, time.Duration(at+2)*24*time.Hour, 30*time.Second)
	}
	s := newShop(t, mem, 40*24*time.Hour)
	for range 3 {
		_, err := s.Round(t.Context(), "a")
		require.NoError(t, err)
		s.now = s.now.Add(2 * time.Hour)
	}
	require.ElementsMatch(t, []string{"0s+336h0m0s@0s", "336h0m0s+336h0m0s@0s", "0s+336h0m0s@5m0s", "336h0m0s+336h0m0s@5m0s",
		"0s+336h0m0s@1h0m0s", "336h0m0s+336h0m0s@1h0m0s"}, blocksOf(t, mem))
	m := &meter{Bucket: mem}
	store := newTestStore(t, m)
	require.NoError(t, store.Refresh(t.Context()))
	read := func(resolution int64) int64 {
		m.reset()
		_, err := newTestEngine().Run(t.Context(), "a", &Query{Kind: Range, Expr: "max_over_time(gauge[1h])", Start: day0.UnixMilli(),
			End: day0.Add(28 * 24 * time.Hour).UnixMilli(), Step: 3_600_000, MaxResolution: resolution}, store)
		require.NoError(t, err)
		return m.bytes
	}
	read(0)
	read(downsample.ResLevel2) // headers are there now
	raw, coarse := read(0), read(downsample.ResLevel2)
	t.Logf("28 days at 30 s: %d bytes raw, %d at an hour", raw, coarse)
	require.Greater(t, raw, 20*coarse)
}

func TestPlan(t *testing.T) {
	hour := time.Hour.Milliseconds()
	mk := func(from, to, resolution int64, replica string) *metadata.Meta {
		m := &metadata.Meta{}
		m.ULID = ulid.MustNew(uint64(from+1000), bytes.NewReader(bytes.Repeat([]byte{byte(resolution), byte(to)}, 8)))
		m.MinTime, m.MaxTime = day0.UnixMilli()+from*hour, day0.UnixMilli()+to*hour
		m.Compaction.Sources = []ulid.ULID{m.ULID}
		m.Thanos.Labels = map[string]string{"ha": replica}
		m.Thanos.Downsample.Resolution = resolution
		return m
	}
	plan := func(now, keep time.Duration, replicas []string, metas ...*metadata.Meta) (out []string) {
		p := planner{now: day0.Add(now), replicas: replicas, keep: func(int64) time.Duration { return keep }}
		for _, j := range p.plan(metas, metas) {
			text := fmt.Sprintf("%s@%d", j.kind(), j.resolution)
			for _, m := range j.inputs {
				text += fmt.Sprintf(" %d-%d", (m.MinTime-day0.UnixMilli())/hour, (m.MaxTime-day0.UnixMilli())/hour)
			}
			if j.dedup {
				text += " dedup"
			}
			out = append(out, text)
		}
		return out
	}
	two := func(n int64) (out []*metadata.Meta) {
		for i := range n {
			out = append(out, mk(2*i, 2*i+2, 0, ""))
		}
		return out
	}
	require.Empty(t, plan(10*time.Hour, 0, nil, two(4)...), "the window of 8 hours has just ended")
	require.Equal(t, []string{"compact@0 0-2 2-4 4-6 6-8"}, plan(11*time.Hour, 0, nil, two(5)...))
	require.Equal(t, []string{"compact@0 0-2 2-4 4-6 6-8 8-10"}, plan(60*time.Hour, 0, nil, two(5)...), "two days are over")
	require.Equal(t, []string{"compact@0 0-2 2-4 4-6 6-8", "compact@0 8-10 10-12"}, plan(60*time.Hour, 24*time.Hour, nil, two(6)...), "kept for a day")
	require.Equal(t, []string{"compact@0 0-8 6-8"}, plan(9*time.Hour, 0, nil, mk(0, 8, 0, ""), mk(6, 8, 0, "")), "what overlaps is merged at once")
	require.Empty(t, plan(60*time.Hour, 0, nil, mk(0, 2, 0, "a"), mk(0, 2, 0, "b")))
	require.Equal(t, []string{"compact@0 0-2 0-2 dedup"}, plan(60*time.Hour, 0, []string{"ha"}, mk(0, 2, 0, "a"), mk(0, 2, 0, "b")))
	require.Equal(t, []string{"downsample@300000 0-48"}, plan(100*time.Hour, 0, nil, mk(0, 48, 0, "")))
	require.Empty(t, plan(100*time.Hour, time.Hour, nil, mk(0, 48, 0, "")), "it would be deleted at once")
	require.Empty(t, plan(100*time.Hour, 0, nil, mk(0, 38, 0, "")))
	require.Equal(t, []string{"downsample@3600000 0-336"}, plan(400*time.Hour, 0, nil, mk(0, 336, downsample.ResLevel1, "")))
	require.Equal(t, []string{"downsample@3600000 0-336", "downsample@3600000 0-300"},
		plan(400*time.Hour, 0, nil, mk(0, 336, downsample.ResLevel1, ""), mk(0, 300, downsample.ResLevel1, "")), "averages don't merge")
	require.Len(t, plan(1000*time.Hour, 0, nil, two(168)...), 7, "a job has 64 inputs at most: two days it is")
}
