package metrics

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
)

func importInto(t testing.TB, bkt objstore.Bucket, done *[]tsdb.BlockMeta) ImportOptions {
	return ImportOptions{Bucket: bkt, Tenant: "a", Labels: map[string]string{"origin": "old"}, Dir: t.TempDir(), Now: fixedNow,
		Done: func(m tsdb.BlockMeta) { *done = append(*done, m) }}
}

// A text of five hours becomes blocks that lie in windows of two hours each; every sample can be queried.
func TestImportOpenMetrics(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("# TYPE reqs counter\n# HELP reqs Requests.\n")
	want := 0
	for _, job := range []string{"api", "web"} {
		for m := range 300 {
			fmt.Fprintf(&text, "reqs_total{job=%q} %d %d\n", job, m, day0.Add(time.Duration(m)*time.Minute).Unix())
			want++
		}
	}
	text.WriteString("# TYPE temp gauge\ntemp{job=\"test\"} NaN 1772323200.5\n# EOF\n")
	file := filepath.Join(t.TempDir(), "old.om")
	require.NoError(t, os.WriteFile(file, []byte(text.String()), 0o600))
	bkt := objstore.NewInMemBucket()
	var done []tsdb.BlockMeta
	opts := importInto(t, bkt, &done)
	require.NoError(t, ImportOpenMetrics(t.Context(), opts, file))
	total := 0
	for _, m := range done {
		require.Equal(t, m.MinTime/7_200_000, (m.MaxTime-1)/7_200_000, "aligned")
		total += int(m.Stats.NumSamples)
	}
	require.Equal(t, want+1, total)
	require.Len(t, done, 4, "three, and the one of another day")
	store := newTestStore(t, bkt)
	require.NoError(t, store.Refresh(t.Context()))
	require.Equal(t, map[string]string{"tenant": "a", "replica": "import", "origin": "old"}, store.active["a"][0].Thanos.Labels)
	require.Equal(t, 600.0, instantAt(t, `sum(count_over_time(reqs_total[5h]))`, day0.Add(5*time.Hour).UnixMilli()-1, 0, store))
	left, err := os.ReadDir(opts.Dir)
	require.NoError(t, err)
	require.Empty(t, left, "nothing stays on the disk")
}

func TestImportOpenMetricsFaults(t *testing.T) {
	for text, want := range map[string]string{
		"a 1\n# EOF\n":                   `series {__name__="a"} has a sample without a timestamp`,
		"a 1 5\n":                        "parse OpenMetrics: ",
		"a{ 1 5\n# EOF\n":                "parse OpenMetrics: ",
		"a 1 500\na 2 400\n# EOF\n":      `series {__name__="a"} at 1970-01-01T00:06:40Z: the sample is not newer than the one before`,
		"a 1 500\na 2 500\n# EOF\n":      "the sample is not newer than the one before",
		"a 1 5\n# EOF\nb 1 5\n# EOF\n\n": "parse OpenMetrics: ",
	} {
		file := filepath.Join(t.TempDir(), "bad.om")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		var done []tsdb.BlockMeta
		bkt := objstore.NewInMemBucket()
		err := ImportOpenMetrics(t.Context(), importInto(t, bkt, &done), file)
		require.ErrorContains(t, err, want, text)
		require.ErrorContains(t, err, file)
		require.Empty(t, bkt.Objects(), text)
	}
	s := newSpill(t.TempDir(), 1)
	for i := range int64(maxWindows) {
		s.windows[i] = &spillWindow{}
	}
	require.ErrorContains(t, s.add(labels.FromStrings("a", "b"), -1, 1), "more than 40000 windows")
}

// What is spilled comes back in order, beyond what a buffer holds, whatever the values are.
func TestSpill(t *testing.T) {
	s := newSpill(filepath.Join(t.TempDir(), "spill"), 1000)
	type sample struct {
		ls string
		t  int64
		v  uint64
	}
	want := map[int64][]sample{}
	for i := range int64(5000) {
		ls := labels.FromStrings("__name__", "m", "i", fmt.Sprint(i/7%3), "empty", "")
		ts := (i % 3000) - 1000
		v := math.Float64frombits(0x7ff0000000000002 + uint64(i))
		require.NoError(t, s.add(ls, ts, v))
		start := ts - floorMod(ts, 1000)
		want[start] = append(want[start], sample{ls.String(), ts, math.Float64bits(v)})
	}
	starts, err := s.finish()
	require.NoError(t, err)
	require.Equal(t, []int64{-1000, 0, 1000}, starts)
	for _, start := range starts {
		var got []sample
		require.NoError(t, s.read(start, func(ls labels.Labels, ts int64, v float64) error {
			got = append(got, sample{ls.String(), ts, math.Float64bits(v)})
			return nil
		}))
		require.Equal(t, want[start], got)
	}
	require.NoError(t, os.Truncate(s.path(0), 100))
	require.ErrorContains(t, s.read(0, func(labels.Labels, int64, float64) error { return nil }), "EOF")
}

// Blocks of a Prometheus are uploaded as they are, without what tombstones delete; again changes nothing.
func TestImportBlocks(t *testing.T) {
	t.Parallel()
	src := objstore.NewInMemBucket()
	first := putBlock(t, src, nil, 0, 2*time.Hour, time.Minute)
	second := putBlock(t, src, nil, 2*time.Hour, 4*time.Hour, time.Minute)
	dir := t.TempDir()
	for _, id := range []ulid.ULID{first, second} {
		m, err := readMeta(t.Context(), tenantBucket(src, "a"), id)
		require.NoError(t, err)
		require.NoError(t, downloadBlock(t.Context(), tenantBucket(src, "a"), m, filepath.Join(dir, id.String())))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "wal"), 0o750)) // a data folder has more than blocks
	ms, err := parser.ParseMetricSelector("gauge")
	require.NoError(t, err)
	require.NoError(t, entomb(t.Context(), filepath.Join(dir, second.String()), NewDeletions([]Deletion{{ID: "1", Matchers: ms, Start: MinTime, End: MaxTime}})))

	bkt := objstore.NewInMemBucket()
	var done []tsdb.BlockMeta
	opts := importInto(t, bkt, &done)
	require.NoError(t, ImportBlocks(t.Context(), opts, dir))
	require.Len(t, done, 2)
	require.Equal(t, first, done[0].ULID)
	store := newTestStore(t, bkt)
	require.NoError(t, store.Refresh(t.Context()))
	got := timesOf(t, average, 0, store)
	require.Len(t, got["counter_total"], 240)
	require.Len(t, got["gauge"], 120)
	objects := len(bkt.Objects())
	require.NoError(t, ImportBlocks(t.Context(), opts, dir))
	require.NoError(t, ImportBlocks(t.Context(), opts, filepath.Join(dir, first.String())), "one block alone")
	require.Len(t, bkt.Objects(), objects)

	require.ErrorContains(t, ImportBlocks(t.Context(), opts, t.TempDir()), "is no TSDB block and holds none")
	require.NoError(t, os.WriteFile(filepath.Join(dir, first.String(), "index"), []byte("nonsense"), 0o600))
	require.ErrorContains(t, ImportBlocks(t.Context(), opts, dir), "import "+filepath.Join(dir, first.String()))
}
