package deletes

import (
	"context"
	"errors"
	"fmt"
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

func newBook(bkt objstore.Bucket) *Book {
	return New(Options{Bucket: bkt, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: func() time.Time { return now }})
}

func TestLifeOfARequest(t *testing.T) {
	bkt := &broken{Bucket: objstore.NewInMemBucket()}
	b, other := newBook(bkt), newBook(bkt)
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
	err = b.Add(t.Context(), "a", []string{"good", strings.Repeat("x", maxSelector+1)}, 1, 2)
	require.Equal(t, fault.Invalid, fault.ClassOf(err))
	bkt.down = true
	require.ErrorIs(t, b.Add(t.Context(), "a", []string{"good"}, 1, 2), errDown)
	require.Equal(t, 2, b.Active("a").Len())
	bkt.down = false

	ids := b.Active("a").IDs()
	require.NoError(t, b.Finish(t.Context(), "a", ids[:1]))
	require.NoError(t, b.Finish(t.Context(), "a", ids[:1]), "twice is once")
	require.Equal(t, ids[1:], b.Active("a").IDs())
	require.Equal(t, 1.0, testutil.ToFloat64(b.active))
	list, err := b.List(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, now, list[0].Processed)
	require.NoError(t, b.Add(t.Context(), "a", []string{`up{job="x"}`}, 10, 20))
	require.Equal(t, 2, b.Active("a").Len(), "what was processed can be asked for again")
	require.Equal(t, []float64{3, 1}, []float64{testutil.ToFloat64(b.requests.WithLabelValues("received")), testutil.ToFloat64(b.requests.WithLabelValues("processed"))})
	require.NoError(t, b.Refresh(t.Context(), nil))
	require.NotNil(t, b.Active("a"), "it may be newer than the list of tenants")
}

func TestRequestsAreBounded(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	b := newBook(bkt)
	p := &page{Version: pageVersion}
	for i := range maxRequests + maxProcessed + 10 {
		r := Request{ID: fmt.Sprint(i), Selector: fmt.Sprint("m", i), Created: now}
		if i >= maxRequests {
			r.Processed = now.Add(-time.Duration(i) * time.Second)
		}
		p.Requests = append(p.Requests, r)
	}
	require.NoError(t, write(t.Context(), bkt, "a", p))
	err := b.Add(t.Context(), "a", []string{"x"}, 1, 2)
	require.Equal(t, fault.Unprocessable, fault.ClassOf(err))
	require.NoError(t, b.Refresh(t.Context(), []string{"a"}))
	require.NoError(t, b.Finish(t.Context(), "a", []string{"0"}))
	require.NoError(t, b.Add(t.Context(), "a", []string{"x"}, 1, 2))
	list, err := b.List(t.Context(), "a")
	require.NoError(t, err)
	require.Len(t, list, maxRequests+maxProcessed, "the oldest of those that are processed are forgotten")
}

func TestUnreadableRequests(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	b := newBook(bkt)
	require.NoError(t, b.Add(t.Context(), "a", []string{"x"}, 1, 2))
	known := b.Active("a").IDs()
	for name, content := range map[string]string{"nonsense": "{", "empty": "", "later": `{"version": 2}`, "nameless": `{"version":1,"requests":[{"selector":"x"}]}`,
		"twice": `{"version":1,"requests":[{"id":"1"},{"id":"1"}]}`, "huge": strings.Repeat(" ", maxPage+1)} {
		require.NoError(t, bkt.Upload(t.Context(), "a/metrics/deletes.json", strings.NewReader(content)))
		require.NoError(t, b.Refresh(t.Context(), []string{"a"}), "no reason to stop: %s", name)
		require.Equal(t, known, b.Active("a").IDs(), "what is known is kept: %s", name)
		require.ErrorIs(t, b.Add(t.Context(), "a", []string{"x"}, 1, 2), ErrUnreadable, name)
		_, err := b.List(t.Context(), "a")
		require.ErrorIs(t, err, ErrUnreadable, name)
		require.Equal(t, content, string(bkt.Objects()["a/metrics/deletes.json"]), "nor overwritten: %s", name)
	}
	// A selector of a later version hides nothing, the others do.
	require.NoError(t, write(t.Context(), bkt, "a", &page{Version: pageVersion, Requests: []Request{{ID: "1", Selector: "{{new}}"}, {ID: "2", Selector: `{a="b"}`}}}))
	require.NoError(t, b.Refresh(t.Context(), []string{"a"}))
	require.Equal(t, []string{"2"}, b.Active("a").IDs())
}

// The object is as docs/formats/metrics-deletes.md shows it.
func TestGolden(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/formats/metrics-deletes.md")
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(doc), "```json\n")
	content, _, _ := strings.Cut(rest, "```")
	p, err := decode([]byte(content))
	require.NoError(t, err)
	require.Equal(t, []Request{{ID: "7cdae6e5", Selector: `up{job="secret"}`, Start: 1667380000000, End: 1667381172093,
		Created: time.UnixMilli(1667381172093).UTC(), Processed: time.Unix(1667383620, 0).UTC()}}, p.Requests)
	bkt := objstore.NewInMemBucket()
	require.NoError(t, write(t.Context(), bkt, "a", p))
	require.Equal(t, content, string(bkt.Objects()["a/metrics/deletes.json"]))
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"version":1,"requests":[{"id":"7cdae6e5","selector":"{a=\"b\"}","start":1,"end":2,"created":"2026-03-01T12:00:00Z"}]}`))
	f.Add([]byte(`{"version":9}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		p, err := decode(content)
		if err != nil {
			return
		}
		b := newBook(objstore.NewInMemBucket())
		b.learn("a", p) // whatever the selectors are
		if b.Active("a").Len() > len(p.Requests) {
			t.Fatal("more deletions than requests")
		}
	})
}
