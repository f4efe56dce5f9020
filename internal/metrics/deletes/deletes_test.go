package deletes

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/fault"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var errDown = errors.New("the bucket is down")

// broken is a bucket that takes no uploads while it is told to.
type broken struct {
	objstore.Bucket
	down bool
}

func (b *broken) Upload(ctx context.Context, name string, r io.Reader, opts ...objstore.ObjectUploadOption) error {
	if b.down {
		return errDown
	}
	return b.Bucket.Upload(ctx, name, r, opts...)
}

func newBook(bkt objstore.Bucket) (*Book, *prometheus.Registry) {
	reg := prometheus.NewRegistry()
	return New(Options{Bucket: bkt, Logger: slog.New(slog.DiscardHandler), Registerer: reg, Now: func() time.Time { return now }}), reg
}

func TestLifeOfARequest(t *testing.T) {
	bkt := &broken{Bucket: objstore.NewInMemBucket()}
	b, reg := newBook(bkt)
	other, _ := newBook(bkt)
	require.Nil(t, b.Active("a"))
	require.NoError(t, b.Add(t.Context(), "a", []string{`up{job="x"}`, `{a="b"}`}, 10, 20))
	require.Equal(t, 2, b.Active("a").Len(), "at once")
	require.Nil(t, b.Active("b"), "tenants are apart")
	require.NoError(t, b.Add(t.Context(), "a", []string{`up{job="x"}`}, 11, 20))
	require.Equal(t, 2, b.Active("a").Len(), "asked for already")
	require.NotNil(t, b.Active("a").Overlapping(20, 30))
	require.Nil(t, b.Active("a").Overlapping(21, 30))

	require.NoError(t, other.Refresh(t.Context(), []string{"a"}))
	require.Equal(t, b.Active("a").IDs(), other.Active("a").IDs(), "another process knows with its next refresh")

	// All of a wish or none of it.
	err := b.Add(t.Context(), "a", []string{"good", `{bad`}, 1, 2)
	require.Equal(t, fault.Invalid, fault.ClassOf(err))
	err = b.Add(t.Context(), "a", []string{"good", strings.Repeat("x", 1<<20)}, 1, 2)
	require.Equal(t, fault.Invalid, fault.ClassOf(err))
	bkt.down = true
	require.ErrorIs(t, b.Add(t.Context(), "a", []string{"good"}, 1, 2), errDown)
	require.Equal(t, 2, b.Active("a").Len())
	bkt.down = false

	ids := b.Active("a").IDs()
	require.NoError(t, b.Finish(t.Context(), "a", ids[:1]))
	require.NoError(t, b.Finish(t.Context(), "a", ids[:1]), "twice is once")
	require.Equal(t, ids[1:], b.Active("a").IDs())
	list, err := b.List(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, now, list[0].Processed)
	require.NoError(t, b.Add(t.Context(), "a", []string{`up{job="x"}`}, 10, 20))
	require.Equal(t, 2, b.Active("a").Len(), "what was processed can be asked for again")
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP hune_metrics_delete_requests_active Requests to delete samples that are not processed: they hide what they are about from queries.
# TYPE hune_metrics_delete_requests_active gauge
hune_metrics_delete_requests_active 2
# HELP hune_metrics_delete_requests_total Requests to delete samples, by what became of them: received, cancelled or processed.
# TYPE hune_metrics_delete_requests_total counter
hune_metrics_delete_requests_total{event="processed"} 1
hune_metrics_delete_requests_total{event="received"} 3
`), "hune_metrics_delete_requests_active", "hune_metrics_delete_requests_total"))
}

// The object is as docs/formats/metrics-deletes.md shows it, and as earlier versions wrote it.
func TestGolden(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/formats/metrics-deletes.md")
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(doc), "```json\n")
	content, _, _ := strings.Cut(rest, "```")
	bkt := objstore.NewInMemBucket()
	require.NoError(t, bkt.Upload(t.Context(), "a/metrics/deletes.json", strings.NewReader(content)))
	b := New(Options{Bucket: bkt, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.Unix(1667383700, 0) }})
	list, err := b.List(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, []Request{{ID: "7cdae6e5", Selector: `up{job="secret"}`, Start: 1667380000000, End: 1667381172093,
		Created: time.UnixMilli(1667381172093).UTC(), Processed: time.Unix(1667383620, 0).UTC()}}, list)
	require.NoError(t, b.Add(t.Context(), "a", []string{"up"}, 1, 2))
	require.NoError(t, b.Cancel(t.Context(), "a", b.Active("a").IDs()[0], false))
	require.Equal(t, content, string(bkt.Objects()["a/metrics/deletes.json"]), "written twice since")
}

// A selector of a later version hides nothing, the others do.
func TestSelectorOfALaterVersion(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	require.NoError(t, bkt.Upload(t.Context(), "a/metrics/deletes.json", strings.NewReader(
		`{"version": 1, "requests": [{"id": "1", "selector": "{{new}}"}, {"id": "2", "selector": "{a=\"b\"}", "end": 9}, {"id": "3", "query": "{a=\"b\"}"}]}`)))
	b, _ := newBook(bkt)
	require.NoError(t, b.Refresh(t.Context(), []string{"a"}))
	require.Equal(t, []string{"2"}, b.Active("a").IDs())
}
