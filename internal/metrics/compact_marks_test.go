package metrics

import (
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/block/metadata"
)

// Blocks past the retention of their resolution are marked, read on for a while, then left out by stores,
// and deleted in the end. Taking the mark away in between brings a block back.
func TestRetentionMarks(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	var ids []ulid.ULID
	for at := time.Duration(0); at < 6*time.Hour; at += 2 * time.Hour {
		ids = append(ids, putBlock(t, bkt, nil, at, at+2*time.Hour, time.Minute))
	}
	s := newShop(t, bkt, 4*time.Hour+30*time.Minute) // before anything is merged
	s.keep = func(int64) time.Duration { return 2 * time.Hour }
	s.opts.DeleteDelay = 48 * time.Hour
	store := newTestStore(t, bkt)
	store.opts.Now = func() time.Time { return s.now }
	read := func() int {
		_, err := s.Round(t.Context(), "a")
		require.NoError(t, err)
		require.NoError(t, store.Refresh(t.Context()))
		return len(store.active["a"])
	}
	require.Equal(t, 3, read())
	require.Equal(t, 1.0, testutil.ToFloat64(s.metrics.marked.WithLabelValues("retention")))
	require.Equal(t, 1.0, testutil.ToFloat64(s.metrics.waiting.WithLabelValues("a", "marked")))
	mark, err := readObject(t.Context(), bkt, path.Join("a/metrics", ids[0].String(), metadata.DeletionMarkFilename), 1000)
	require.NoError(t, err)
	require.JSONEq(t, fmt.Sprintf(`{"id":%q,"version":1,"details":"past its retention of 2h0m0s","deletion_time":%d}`, ids[0], s.now.Unix()), string(mark))

	s.keep = nil // nothing more is marked
	s.now = s.now.Add(24*time.Hour - time.Second)
	require.Equal(t, 2, read(), "the marked one beside what was made of the others")
	s.now = s.now.Add(time.Second)
	require.Equal(t, 1, read(), "ignored")
	require.NoError(t, bkt.Delete(t.Context(), path.Join("a/metrics", ids[0].String(), metadata.DeletionMarkFilename)))
	require.NoError(t, store.Refresh(t.Context()))
	require.Len(t, store.active["a"], 2, "brought back")

	s.keep = func(int64) time.Duration { return time.Hour }
	require.Equal(t, 2, read(), "marked anew, and read on for a while")
	s.now = s.now.Add(48 * time.Hour)
	require.Zero(t, read())
	require.Empty(t, bkt.Objects())
	require.Zero(t, testutil.ToFloat64(s.metrics.waiting.WithLabelValues("a", "marked")))
}

// A mark that can't be read deletes nothing and hides nothing.
func TestUnreadableMarks(t *testing.T) {
	for name, content := range map[string]string{"in part": `{"id":`, "later": `{"version":2,"deletion_time":1}`, "empty": ""} {
		bkt := objstore.NewInMemBucket()
		id := putBlock(t, bkt, nil, 0, 2*time.Hour, time.Minute)
		require.NoError(t, bkt.Upload(t.Context(), path.Join("a/metrics", id.String(), metadata.DeletionMarkFilename), strings.NewReader(content)))
		s := newShop(t, bkt, 1000*time.Hour)
		_, err := s.Round(t.Context(), "a")
		require.ErrorContains(t, err, "deletion-mark.json", name)
		store := newTestStore(t, bkt)
		require.NoError(t, store.Refresh(t.Context()), name)
		require.Len(t, store.active["a"], 1, name)
	}
}

// What is left of an upload that never ended goes two days after its last object came; one under way stays,
// however old its name is.
func TestPartialUploads(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	id := putBlock(t, bkt, nil, 0, 2*time.Hour, time.Minute)
	require.NoError(t, bkt.Delete(t.Context(), path.Join("a/metrics", id.String(), metadata.MetaFilename)))
	attrs, err := bkt.Attributes(t.Context(), path.Join("a/metrics", id.String(), "index"))
	require.NoError(t, err)
	s := newShop(t, bkt, 0)
	s.now = attrs.LastModified.Add(partialAge - time.Minute)
	_, err = s.Round(t.Context(), "a")
	require.NoError(t, err)
	require.NotEmpty(t, bkt.Objects())
	require.Equal(t, 1.0, testutil.ToFloat64(s.metrics.waiting.WithLabelValues("a", "partial")))
	s.now = s.now.Add(2 * time.Minute)
	_, err = s.Round(t.Context(), "a")
	require.NoError(t, err)
	require.Empty(t, bkt.Objects())
	require.Equal(t, 1.0, testutil.ToFloat64(s.metrics.partial))
}
