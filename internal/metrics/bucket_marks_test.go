package metrics

import (
	"path"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/block/metadata"
)

// What is marked by hand is read by Thanos's own code, and heeded by the compactor: a block that is not to be
// downsampled isn't, until the mark is taken away.
func TestMarksByHand(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	id := putBlock(t, bkt, nil, 0, 48*time.Hour, 10*time.Minute)
	list := func() BucketBlock {
		t.Helper()
		blocks, err := ListBucket(t.Context(), bkt, "a")
		require.NoError(t, err)
		for _, b := range blocks {
			if b.ID == id {
				return b
			}
		}
		t.Fatal("the block is gone")
		return BucketBlock{}
	}
	round := func() []string {
		t.Helper()
		s := newShop(t, bkt, 20*24*time.Hour)
		_, err := s.Round(t.Context(), "a")
		require.NoError(t, err)
		return blocksOf(t, bkt)
	}
	at := time.Unix(1772362800, 0)
	for _, mark := range []string{MarkDeletion, MarkNoCompact, MarkNoDownsample} {
		m := BlockMark{Mark: mark, Details: "because of " + mark, At: at}
		require.NoError(t, MarkBlock(t.Context(), bkt, "a", id, m))
		require.ErrorContains(t, MarkBlock(t.Context(), bkt, "a", id, m), "has the mark "+mark+" already")
		require.Equal(t, []BlockMark{m}, list().Marks)
		require.Equal(t, "because of "+mark, thanosDetails(t, bkt, path.Join("a/metrics", id.String()), mark))
		if mark == MarkNoDownsample {
			require.Equal(t, []string{"0s+48h0m0s@0s"}, round(), mark)
		}
		require.NoError(t, UnmarkBlock(t.Context(), bkt, "a", id, mark))
		require.ErrorContains(t, UnmarkBlock(t.Context(), bkt, "a", id, mark), "hasn't the mark")
		require.Empty(t, list().Marks)
	}
	require.Len(t, round(), 2, "downsampled")
	require.ErrorContains(t, MarkBlock(t.Context(), bkt, "b", id, BlockMark{Mark: MarkDeletion}), "tenant b has no block of metrics")
	require.ErrorContains(t, UnmarkBlock(t.Context(), bkt, "a", id, "other"), `unknown mark "other"`)
	require.NoError(t, bkt.Upload(t.Context(), path.Join("a/metrics", id.String(), metadata.NoCompactMarkFilename), strings.NewReader("{")))
	require.Contains(t, list().Fault, "read "+id.String()+"/no-compact-mark.json")
}

func thanosDetails(t *testing.T, bkt objstore.Bucket, dir, mark string) string {
	t.Helper()
	read := func(m metadata.Marker) {
		require.NoError(t, metadata.ReadMarker(t.Context(), nopLogger{}, objstore.WithNoopInstr(bkt), dir, m))
	}
	switch mark {
	case MarkDeletion:
		var m metadata.DeletionMark
		read(&m)
		return m.Details
	case MarkNoCompact:
		var m metadata.NoCompactMark
		read(&m)
		return m.Details
	}
	var m metadata.NoDownsampleMark
	read(&m)
	return m.Details
}
