package deletes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
	"github.com/hune-io/hune/internal/signal"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// broken is a bucket that fails while it is told to.
type broken struct {
	objstore.Bucket
	get, upload bool
}

var errDown = errors.New("the bucket is down")

func (b *broken) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if b.get {
		return nil, errDown
	}
	return b.Bucket.Get(ctx, name)
}

func (b *broken) Upload(ctx context.Context, name string, r io.Reader, opts ...objstore.ObjectUploadOption) error {
	if b.upload {
		return errDown
	}
	return b.Bucket.Upload(ctx, name, r, opts...)
}

// fixture is a book of log queries, as the package logs/deletes makes one.
type fixture struct {
	*Book[*logs.Deletions]
	bkt   *broken
	log   bytes.Buffer
	clock time.Time
}

func newFixture(bkt objstore.Bucket) *fixture {
	f := &fixture{bkt: &broken{Bucket: bkt}, clock: now}
	f.Book = New(Options[*logs.Deletions]{Signal: signal.Logs, Compile: compile, Bucket: f.bkt, Logger: slog.New(slog.NewTextHandler(&f.log, nil)), Registerer: prometheus.NewRegistry(),
		Now: func() time.Time { return f.clock }})
	return f
}

func compile(_ context.Context, _ string, pending []Request, bad func(Request, error)) (*logs.Deletions, error) {
	var list []logs.Deletion
	for _, r := range pending {
		d, err := logql.NewDeletion(r.ID, r.Query, r.Start, max(r.End, r.End+1))
		if err != nil {
			bad(r, err)
			continue
		}
		list = append(list, d)
	}
	if len(list) == 0 {
		return nil, nil
	}
	return logs.CompileDeletions(list)
}

func (f *fixture) Add(ctx context.Context, tenant, query string, start, end int64) (Request, error) {
	return f.Book.Add(ctx, tenant, Request{Query: query, Start: start, End: end}, nil)
}

func (f *fixture) add(t *testing.T, tenant, query string) Request {
	t.Helper()
	r, err := f.Add(t.Context(), tenant, query, 10, 20)
	require.NoError(t, err)
	return r
}

func TestLifeOfARequest(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	f, other := newFixture(bkt), newFixture(bkt)
	require.Nil(t, f.Active("a"))
	r := f.add(t, "a", `{app="x"}`)
	require.Len(t, r.ID, 8)
	require.Equal(t, []string{r.ID}, f.Active("a").IDs(), "at once")
	require.Nil(t, f.Active("b"), "tenants are apart")
	require.Equal(t, 1.0, testutil.ToFloat64(f.active))
	require.NotNil(t, f.Active("a").Overlapping(20, 20), "both ends are in")
	require.Nil(t, f.Active("a").Overlapping(21, 30))
	require.NotNil(t, f.Active("a").Overlapping(5, 10))
	require.Nil(t, f.Active("a").Overlapping(5, 9))

	// Another process knows with its next refresh.
	require.Nil(t, other.Active("a"))
	require.NoError(t, other.Refresh(t.Context(), []string{"a", "b"}))
	require.Equal(t, []string{r.ID}, other.Active("a").IDs())

	second := f.add(t, "a", `{app="y"} |= "z"`)
	require.NoError(t, f.Begin(t.Context(), "a", []string{r.ID, "gone"}))
	require.Len(t, f.Pending("a"), 2)
	require.ErrorContains(t, f.Cancel(t.Context(), "a", r.ID, false), "To force")
	require.NoError(t, f.Cancel(t.Context(), "a", r.ID, true))
	require.NoError(t, f.Cancel(t.Context(), "a", second.ID, false))
	require.Nil(t, f.Active("a"))
	err := f.Cancel(t.Context(), "a", second.ID, false)
	require.Equal(t, fault.NotFound, fault.ClassOf(err))

	third := f.add(t, "a", `{app="x"}`)
	require.NoError(t, f.Finish(t.Context(), "a", []string{third.ID}))
	require.Nil(t, f.Active("a"))
	require.Empty(t, f.Pending("a"))
	require.Error(t, f.Cancel(t.Context(), "a", third.ID, true))
	list, err := f.List(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, now, list[0].Processed)
	require.NoError(t, other.Refresh(t.Context(), []string{"a"}))
	require.Nil(t, other.Active("a"))
	require.Equal(t, []float64{3, 2, 1}, []float64{testutil.ToFloat64(f.requests.WithLabelValues("received")),
		testutil.ToFloat64(f.requests.WithLabelValues("cancelled")), testutil.ToFloat64(f.requests.WithLabelValues("processed"))})
	require.NoError(t, f.Begin(t.Context(), "a", nil))
}

func TestAFailedWriteChangesNothing(t *testing.T) {
	f := newFixture(objstore.NewInMemBucket())
	r := f.add(t, "a", `{app="x"}`)
	f.bkt.upload = true
	_, err := f.Add(t.Context(), "a", `{app="y"}`, 1, 2)
	require.ErrorIs(t, err, errDown)
	require.ErrorContains(t, err, "write a/logs/deletes.json")
	require.ErrorIs(t, f.Cancel(t.Context(), "a", r.ID, false), errDown)
	require.ErrorIs(t, f.Begin(t.Context(), "a", []string{r.ID}), errDown)
	require.Equal(t, []string{r.ID}, f.Active("a").IDs())
	f.bkt.upload, f.bkt.get = false, true
	_, err = f.Add(t.Context(), "a", `{app="y"}`, 1, 2)
	require.ErrorIs(t, err, errDown)
	require.ErrorIs(t, f.Refresh(t.Context(), []string{"a"}), errDown)
	require.Equal(t, []string{r.ID}, f.Active("a").IDs())
}

// Writers at the same time lose no request, and refreshes beside them hide none that was accepted.
func TestConcurrentRequests(t *testing.T) {
	f := newFixture(objstore.NewInMemBucket())
	ctx, cancel := context.WithCancel(t.Context())
	var refreshes, writers sync.WaitGroup
	refreshes.Go(func() {
		for ctx.Err() == nil {
			if err := f.Refresh(t.Context(), []string{"a"}); err != nil {
				t.Error(err)
			}
		}
	})
	for w := range 4 {
		writers.Go(func() {
			for i := range 10 {
				r, err := f.Add(t.Context(), "a", fmt.Sprintf(`{app="%d-%d"}`, w, i), 1, 2)
				if err != nil {
					t.Error(err)
					return
				}
				if f.Active("a").Without(func(id string) bool { return id != r.ID }) == nil {
					t.Errorf("request %s was accepted and hides nothing", r.ID)
				}
			}
		})
	}
	writers.Wait()
	cancel()
	refreshes.Wait()
	list, err := f.List(t.Context(), "a")
	require.NoError(t, err)
	require.Len(t, list, 40)
	require.Equal(t, 40, f.Active("a").Len())
}

func TestRequestsAreBounded(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	f := newFixture(bkt)
	p := &page{Version: pageVersion}
	for i := range maxRequests + maxProcessed + 10 {
		r := Request{ID: fmt.Sprint(i), Query: `{a="b"}`, Created: now}
		if i >= maxRequests {
			r.Processed = now.Add(-time.Duration(i) * time.Second)
		}
		p.Requests = append(p.Requests, r)
	}
	p.Requests[maxRequests+100].Processed = now.Add(-remember - time.Second)
	require.NoError(t, write(t.Context(), bkt, signal.Logs, "a", p))
	_, err := f.Add(t.Context(), "a", `{app="x"}`, 1, 2)
	require.Equal(t, fault.Unprocessable, fault.ClassOf(err))
	require.NoError(t, f.Refresh(t.Context(), []string{"a"}))
	require.NoError(t, f.Cancel(t.Context(), "a", "0", false))
	f.add(t, "a", `{app="x"}`)
	list, err := f.List(t.Context(), "a")
	require.NoError(t, err)
	require.Len(t, list, maxRequests+maxProcessed-1, "the oldest of those that are processed are forgotten")
}

func TestUnreadableRequests(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	f := newFixture(bkt)
	r := f.add(t, "a", `{app="x"}`)
	for name, content := range map[string]string{"nonsense": "{", "empty": "", "later": `{"version": 2}`, "nameless": `{"version":1,"requests":[{"query":"{}"}]}`,
		"twice": `{"version":1,"requests":[{"id":"1"},{"id":"1"}]}`, "huge": strings.Repeat(" ", maxPage+1)} {
		require.NoError(t, bkt.Upload(t.Context(), "a/logs/deletes.json", strings.NewReader(content)))
		require.NoError(t, f.Refresh(t.Context(), []string{"a"}), "no reason to stop: %s", name)
		require.Equal(t, []string{r.ID}, f.Active("a").IDs(), "what is known is kept: %s", name)
		_, err := f.Add(t.Context(), "a", `{app="x"}`, 1, 2)
		require.ErrorIs(t, err, ErrUnreadable, name)
		_, err = f.List(t.Context(), "a")
		require.ErrorIs(t, err, ErrUnreadable, name)
		require.Equal(t, content, string(bkt.Objects()["a/logs/deletes.json"]), "nor overwritten: %s", name)
	}
	require.Equal(t, 1, strings.Count(f.log.String(), "delete requests can't be read"), "told once")

	// A query of a later version hides nothing, the others do.
	require.NoError(t, write(t.Context(), bkt, signal.Logs, "a", &page{Version: pageVersion, Requests: []Request{{ID: "1", Query: "{{new}}"}, {ID: "2", Query: `{a="b"}`}}}))
	require.NoError(t, f.Refresh(t.Context(), []string{"a"}))
	require.Equal(t, []string{"2"}, f.Active("a").IDs())
	require.Len(t, f.Pending("a"), 2)
}

func TestRefreshForgets(t *testing.T) {
	f := newFixture(objstore.NewInMemBucket())
	f.add(t, "a", `{app="x"}`)
	require.NoError(t, f.Refresh(t.Context(), []string{"b", "c"}))
	require.NotNil(t, f.Active("a"), "it may be newer than the list of tenants")
	require.Len(t, f.tenants, 3)
	require.NoError(t, f.Refresh(t.Context(), []string{"a"}))
	require.Len(t, f.tenants, 1)
}

// What a request needs is kept before the request; where it can't be, there is no request.
func TestPreparation(t *testing.T) {
	f := newFixture(objstore.NewInMemBucket())
	prepared := ""
	r, err := f.Book.Add(t.Context(), "a", Request{Query: `{app="x"}`}, func(r Request) error {
		require.Nil(t, f.Active("a"))
		prepared = r.ID
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, r.ID, prepared)
	_, err = f.Book.Add(t.Context(), "a", Request{Query: `{app="y"}`}, func(Request) error { return errDown })
	require.ErrorIs(t, err, errDown)
	require.Equal(t, []string{r.ID}, f.Active("a").IDs())
	require.NoError(t, Check(strings.Repeat("x", maxQuery)))
	require.ErrorContains(t, Check(strings.Repeat("x", maxQuery+1)), "longer than 16384")
}

// Several requests are accepted together or not at all, without those that say nothing new.
func TestRequestsTogether(t *testing.T) {
	f := newFixture(objstore.NewInMemBucket())
	same := func(r, other Request) bool { return r.Query == other.Query }
	list := func(queries ...string) (out []Request) {
		for _, q := range queries {
			out = append(out, Request{Query: q, Start: 1, End: 2})
		}
		return out
	}
	x, y := `{app="x"}`, `{app="y"}`
	require.NoError(t, f.AddAll(t.Context(), "a", list(x, y, x), same))
	require.Equal(t, 2, f.Active("a").Len())
	ids := f.Active("a").IDs()
	f.bkt.upload = true
	require.NoError(t, f.AddAll(t.Context(), "a", list(y), same), "nothing to write")
	require.ErrorIs(t, f.AddAll(t.Context(), "a", list(y, `{app="z"}`), same), errDown)
	f.bkt.upload = false
	require.Equal(t, ids, f.Active("a").IDs())
	require.NoError(t, f.Finish(t.Context(), "a", ids[:1]))
	require.NoError(t, f.AddAll(t.Context(), "a", list(x), same))
	require.Equal(t, 2, f.Active("a").Len(), "what was processed can be asked for again")
	require.Equal(t, 3.0, testutil.ToFloat64(f.requests.WithLabelValues("received")))

	many := make([]string, maxRequests)
	for i := range many {
		many[i] = fmt.Sprintf(`{app="%d"}`, i)
	}
	require.Equal(t, fault.Unprocessable, fault.ClassOf(f.AddAll(t.Context(), "a", list(many...), same)))
	require.Equal(t, 2, f.Active("a").Len(), "none of them")
}

// The object is as docs/formats/log-deletes.md shows it.
func TestGolden(t *testing.T) {
	doc, err := os.ReadFile("../../docs/formats/log-deletes.md")
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(doc), "```json\n")
	content, _, _ := strings.Cut(rest, "```")
	p, err := decode([]byte(content))
	require.NoError(t, err)
	require.Equal(t, []Request{{ID: "7cdae6e5", Query: `{app="x"} |= "secret"`, End: 1667381172093000000,
		Created: time.UnixMilli(1667381172093).UTC(), Begun: true, Processed: time.Unix(1667383620, 0).UTC()}}, p.Requests)
	bkt := objstore.NewInMemBucket()
	require.NoError(t, write(t.Context(), bkt, signal.Logs, "a", p))
	require.Equal(t, content, string(bkt.Objects()["a/logs/deletes.json"]))
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"version":1,"requests":[{"id":"7cdae6e5","query":"{a=\"b\"}","start":1,"end":2,"created":"2026-03-01T12:00:00Z"}]}`))
	f.Add([]byte(`{"version":9}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		p, err := decode(content)
		if err != nil {
			return
		}
		b := newFixture(objstore.NewInMemBucket())
		b.learn(t.Context(), "a", p) // whatever the queries are
		if b.Active("a").Len() > len(p.Requests) {
			t.Fatal("more deletions than requests")
		}
	})
}

// Processes that know the same requests agree on the version; whatever changes what is hidden changes it, and it doesn't
// come back when a request is processed.
func TestVersion(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	b, other := newFixture(bkt), newFixture(bkt)
	require.Zero(t, b.Version("a"))
	r := b.add(t, "a", `{app="x"}`)
	added := b.Version("a")
	require.NotZero(t, added)
	require.Zero(t, other.Version("a"), "not heard of yet")
	require.NoError(t, other.Refresh(t.Context(), []string{"a"}))
	require.Equal(t, added, other.Version("a"))
	require.NoError(t, b.Begin(t.Context(), "a", []string{r.ID}))
	require.Equal(t, added, b.Version("a"), "it hides the same")
	require.NoError(t, b.Finish(t.Context(), "a", []string{r.ID}))
	require.NotZero(t, b.Version("a"))
	require.NotEqual(t, added, b.Version("a"))
	require.NoError(t, other.Refresh(t.Context(), []string{"a"}))
	require.Equal(t, b.Version("a"), other.Version("a"))

	// Versions is about all tenants.
	require.Equal(t, b.Versions(), other.Versions())
	b.add(t, "b", `{app="x"}`)
	require.NotEqual(t, b.Versions(), other.Versions())
	require.NoError(t, other.Refresh(t.Context(), []string{"b", "a"}))
	require.Equal(t, b.Versions(), other.Versions())
	both := b.Versions()
	require.NoError(t, b.Finish(t.Context(), "b", []string{b.Pending("b")[0].ID}))
	require.NotEqual(t, both, b.Versions())
	require.NoError(t, b.Refresh(t.Context(), nil))
	require.Zero(t, b.Versions(), "the tenants are gone")
	require.Zero(t, newFixture(bkt).Versions())
}
