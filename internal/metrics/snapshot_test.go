package metrics

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
)

// Prometheus opens a snapshot and finds every sample of blocks, head and out-of-order head once, without
// those that are deleted.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	bkt := objstore.NewInMemBucket()
	h := openTestHeads(t, testHeadOptions(t, t.TempDir(), bkt))
	push(t, h, "a", floats("old", Sample{T: at(-50 * time.Minute), V: 1}, Sample{T: at(-40 * time.Minute), V: 2}))
	require.NoError(t, h.Flush(t.Context())) // in the bucket, and still on the disk
	push(t, h, "a", floats("new", Sample{T: at(0), V: 3}))
	push(t, h, "a", floats("new", Sample{T: at(-10 * time.Minute), V: 4})) // out of order
	requests := &fakeDeletes{}
	requests.add(t, "old", at(-45*time.Minute), at(0))
	count := func(opts SnapshotOptions) map[string]int {
		opts.Dir, opts.Bucket = filepath.Join(t.TempDir(), "snapshot"), bkt
		require.NoError(t, Snapshot(t.Context(), opts, "a"))
		require.NoError(t, os.Mkdir(filepath.Join(opts.Dir, "wal"), 0o750)) // which a reader without a head wants
		db, err := tsdb.OpenDBReadOnly(opts.Dir, t.TempDir(), slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		defer db.Close()
		q, err := db.Querier(MinTime, MaxTime)
		require.NoError(t, err)
		defer q.Close()
		got := map[string]int{}
		set := q.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchEqual, "job", "test"))
		for set.Next() {
			for it := set.At().Iterator(nil); it.Next() != chunkenc.ValNone; {
				got[set.At().Labels().Get(labels.MetricName)]++
			}
		}
		require.NoError(t, set.Err())
		return got
	}
	require.Equal(t, map[string]int{"old": 2}, count(SnapshotOptions{Heads: h, SkipHead: true}))
	require.Equal(t, map[string]int{"old": 2}, count(SnapshotOptions{}), "the bucket alone")
	require.Equal(t, map[string]int{"old": 2, "new": 2}, count(SnapshotOptions{Heads: h}))
	require.Equal(t, map[string]int{"old": 1, "new": 2}, count(SnapshotOptions{Heads: h, Deleted: requests.Active("a")}))

	dir := filepath.Join(t.TempDir(), "snapshot")
	for name := range bkt.Objects() {
		if filepath.Base(name) == "index" {
			require.NoError(t, bkt.Delete(t.Context(), name))
		}
	}
	require.ErrorIs(t, Snapshot(t.Context(), SnapshotOptions{Dir: dir, Bucket: bkt}, "a"), errDamaged)
	_, err := os.Stat(dir)
	require.ErrorIs(t, err, os.ErrNotExist, "nothing stays of one that fails")
}

func TestMaxTime(t *testing.T) {
	opts := testHeadOptions(t, t.TempDir(), nil)
	opts.Registerer = prometheus.NewRegistry()
	h := openTestHeads(t, opts)
	_, ok := h.MaxTime("a")
	require.False(t, ok)
	push(t, h, "a", floats("m", Sample{T: at(time.Minute), V: 1}))
	newest, ok := h.MaxTime("a")
	require.True(t, ok)
	require.Equal(t, at(time.Minute), newest)
}
