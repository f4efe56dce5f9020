package loki

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/tenant"
)

func liveRows(ts int64, lines ...string) *logs.Rows {
	r := &logs.Rows{Streams: []labels.Labels{labels.FromStrings("app", "a")}}
	for i, l := range lines {
		r.Stream = append(r.Stream, 0)
		r.Timestamps = append(r.Timestamps, ts+int64(i))
		r.Lines = append(r.Lines, []byte(l))
	}
	return r
}

func tailServer(t *testing.T, o Options) string {
	t.Helper()
	return tailServerOf(t, New(o))
}

func tailServerOf(t *testing.T, h *Handler) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(tenant.NewContext(r.Context(), "acme")))
	}))
	t.Cleanup(s.Close)
	return "ws" + strings.TrimPrefix(s.URL, "http") + "/loki/api/v1/tail?"
}

func readFrame(ctx context.Context, t *testing.T, c *websocket.Conn) string {
	t.Helper()
	_, raw, err := c.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestTail(t *testing.T) {
	past := logs.Result{Streams: []logs.StreamResult{{Labels: labels.FromStrings("app", "a"),
		Entries: []logs.ResultEntry{{Timestamp: 9, Line: "keep newer"}, {Timestamp: 8, Line: "keep older"}}}}}
	feed := &live{rows: make(chan *logs.Rows, 1), subscribed: make(chan logs.Select, 1)}
	url := tailServer(t, Options{Runner: &asked{res: past}, Tailer: feed})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, url+`start=1&limit=10&query=%7Bapp%3D%22a%22%7D+%7C%3D+%22keep%22`, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseNow() }()
	// The past comes first, in time order.
	want := `{"streams":[{"stream":{"app":"a"},"values":[["8","keep older"],["9","keep newer"]]}]}`
	if got := readFrame(ctx, t, c); got != want {
		t.Errorf("first frame %s", got)
	}
	if sel := <-feed.subscribed; len(sel.Filters) != 1 || sel.Matchers[0].Value != "a" {
		t.Errorf("subscribed to %+v", sel)
	}
	// Live entries go through the stages; what the past had already is not sent again; losses are told.
	rows := liveRows(9, "keep newer", "drop me", "keep this")
	rows.Dropped = 1
	feed.rows <- rows
	got := readFrame(ctx, t, c)
	if want := `{"streams":[{"stream":{"app":"a"},"values":[["11","keep this"]]}],"dropped_entries":[{"labels":{},"timestamp":"`; !strings.HasPrefix(got, want) {
		t.Errorf("second frame %s", got)
	}
	if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Errorf("close: %v", err)
	}
}

// The fields of lines are known to a tail without a parser stage where that is asked for: of the past and of
// what comes in.
func TestTailAutoFields(t *testing.T) {
	runner := &asked{}
	feed := &live{rows: make(chan *logs.Rows, 1), subscribed: make(chan logs.Select, 1)}
	url := tailServer(t, Options{Runner: runner, Tailer: feed})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, url+`start=1&hune_auto_fields=true&query=%7Bapp%3D%22a%22%7D+%7C+status+%3E%3D+500`, nil)
	require.NoError(t, err)
	defer func() { _ = c.CloseNow() }()
	<-feed.subscribed
	feed.rows <- liveRows(9, `{"status":200}`, `{"status":503}`, `status=500 took=1s`)
	require.Equal(t, `{"streams":[{"stream":{"app":"a","status":"500","took":"1s"},"values":[["11","status=500 took=1s"]]},`+
		`{"stream":{"app":"a","status":"503"},"values":[["10","{\"status\":503}"]]}]}`, readFrame(ctx, t, c))
	require.True(t, runner.job.Logs.AutoFields)
}

func TestTailRefuses(t *testing.T) {
	feed := &live{}
	h := New(Options{Runner: &asked{}, Tailer: feed, MaxTails: 1})
	for _, c := range []struct{ query, text string }{
		{"query=rate(%7Ba%3D%22b%22%7D%5B1m%5D)", "only log selector is supported"},
		{"query=%7Ba%3D%22b%22%7D&delay_for=6", "delay_for can't be greater than 5"},
		{"query=%7Ba%3D%22b%22%7D&delay_for=-1", "delay_for value -1 is out of range [0, 4294967295]"},
		{"query=%7Ba%3D%22b%22%7D&delay_for=1s", "invalid syntax"},
		{"query=%7Ba%3D%22b%22%7D&since=x", "could not parse 'since' parameter"},
		{"query=%7Ba%3D%22b%22%7D&limit=0", "limit must be a positive value"},
		{"query=%7B", "parse error at line 1, col 2"},
	} {
		w := send(h, httptest.NewRequest(http.MethodGet, "/loki/api/v1/tail?"+c.query, nil))
		if w.Code != 400 || !strings.Contains(w.Body.String(), c.text) {
			t.Errorf("%s: answer %d %q", c.query, w.Code, w.Body)
		}
	}
	require.NoError(t, h.tails.add(&tailer{}))
	if w := send(h, httptest.NewRequest(http.MethodGet, "/loki/api/v1/tail?query=%7Ba%3D%22b%22%7D", nil)); w.Code != 429 {
		t.Errorf("one tail too many: answer %d %q", w.Code, w.Body)
	}
}

// tailing opens a tail and waits until the server collects live rows for it.
func tailing(ctx context.Context, t *testing.T, url, header string) *websocket.Conn {
	t.Helper()
	o := &websocket.DialOptions{HTTPHeader: http.Header{}}
	if header != "" {
		o.HTTPHeader.Set("X-Loki-Response-Encoding-Flags", header)
	}
	c, _, err := websocket.Dial(ctx, url, o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.CloseNow() })
	c.SetReadLimit(-1)
	return c
}

func TestTailShapes(t *testing.T) {
	feed := &live{rows: make(chan *logs.Rows, 1), subscribed: make(chan logs.Select, 1)}
	url := tailServer(t, Options{Runner: &asked{}, Tailer: feed})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	const query = `query=%7Bapp%3D%22a%22%7D+%7C+logfmt`
	rows := func() *logs.Rows {
		r := liveRows(5, "n=1")
		r.Metadata = [][]logs.Label{{{Name: "trace_id", Value: "x"}}}
		return r
	}
	c := tailing(ctx, t, url+query, "categorize-labels")
	<-feed.subscribed
	feed.rows <- rows()
	require.JSONEq(t, `{"streams":[{"stream":{"app":"a"},"values":[["5","n=1",{"structuredMetadata":{"trace_id":"x"},"parsed":{"n":"1"}}]]}],"encodingFlags":["categorize-labels"]}`,
		readFrame(ctx, t, c))
	require.NoError(t, c.Close(websocket.StatusNormalClosure, ""))

	// The old API: labels as a text, times as RFC 3339, a filter of its own.
	feed = &live{rows: make(chan *logs.Rows, 1), subscribed: make(chan logs.Select, 1)}
	url = tailServer(t, Options{Runner: &asked{}, Tailer: feed})
	c = tailing(ctx, t, strings.Replace(url, "/loki/api/v1/tail", "/api/prom/tail", 1)+"query=%7Bapp%3D%22a%22%7D&regexp=1%7C2", "")
	require.Equal(t, []logs.LineFilter{{Regexp: true, Match: []string{"1|2"}}}, (<-feed.subscribed).Filters)
	feed.rows <- rows()
	require.Equal(t, `{"streams":[{"labels":"{app=\"a\", trace_id=\"x\"}","entries":[{"ts":"1970-01-01T00:00:00.000000005Z","line":"n=1"}]}],"dropped_entries":null}`, readFrame(ctx, t, c))
	lost := rows()
	lost.Dropped = 1
	feed.rows <- lost
	require.Regexp(t, `"dropped_entries":\[\{"Timestamp":"20[0-9T:.-]+Z","Labels":"\{\}"\}\]\}$`, readFrame(ctx, t, c))
	require.NoError(t, c.Close(websocket.StatusNormalClosure, ""))
}

// The server ends tails when it stops, says why, and takes no more.
func TestTailStops(t *testing.T) {
	feed := &live{rows: make(chan *logs.Rows, 1), subscribed: make(chan logs.Select, 1)}
	h := New(Options{Runner: &asked{}, Tailer: feed})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	url := tailServerOf(t, h)
	c := tailing(ctx, t, url+`query=%7Bapp%3D%22a%22%7D`, "")
	<-feed.subscribed
	closed := make(chan error, 1)
	go func() {
		_, _, err := c.Read(ctx)
		closed <- err
	}()
	h.Stop(ctx)
	h.Stop(ctx)
	var end websocket.CloseError
	require.ErrorAs(t, <-closed, &end)
	require.Equal(t, websocket.CloseError{Code: websocket.StatusGoingAway, Reason: "the server is shutting down"}, end)
	w := send(h, httptest.NewRequest(http.MethodGet, "/loki/api/v1/tail?query=%7Ba%3D%22b%22%7D", nil))
	require.Equal(t, 503, w.Code, w.Body)
}

func TestTailClosing(t *testing.T) {
	for _, c := range []struct {
		err    error
		status websocket.StatusCode
		reason string
	}{
		{nil, 1000, ""}, {context.Canceled, 1000, ""}, {errStopping, 1001, "the server is shutting down"},
		{fault.Errorf(fault.RateLimited, "max concurrent tail requests limit exceeded, count > limit (6 > 5)"), 1013, "max concurrent tail requests limit exceeded, count > limit (6 > 5)"},
		{errors.New(strings.Repeat("é", 70)), 1011, strings.Repeat("é", 60)}, {errors.New("x" + strings.Repeat("é", 70)), 1011, "x" + strings.Repeat("é", 59)},
	} {
		status, reason := closing(c.err)
		require.Equal(t, c.status, status)
		require.Equal(t, c.reason, reason)
	}
}

func entryAt(ts int64, line string) []logs.StreamResult {
	return []logs.StreamResult{{Labels: labels.FromStrings("app", "a"), Entries: []logs.ResultEntry{{Timestamp: ts, Line: line}}}}
}

// Entries that come late are sent in order if they come within the delay.
func TestTailDelayOrders(t *testing.T) {
	q := newTailQueued(new(atomic.Int64))
	start := time.Unix(0, 0)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	times := func(now int) (out []int64) {
		entries, _ := q.pop(at(now))
		for _, e := range entries {
			out = append(out, e.entry.Timestamp)
		}
		return out
	}
	for i, ts := range []int64{10, 30, 20, 5} { // one a second, each due 3 s later
		q.push(entryAt(ts, "x"), 0, at(i+3))
	}
	require.Empty(t, times(2))
	require.Equal(t, []int64{5, 10}, times(3), "what is older than the one that is due goes with it")
	require.Equal(t, []int64{20, 30}, times(4))
	require.Empty(t, times(10))
	require.Zero(t, q.total.Load())
}

// A full queue drops and counts, in entries and in bytes, and gives back what it held.
func TestTailQueueBounds(t *testing.T) {
	var total atomic.Int64
	q := newTailQueued(&total)
	for i := range tailQueue + maxDroppedShown + 5 {
		q.push(entryAt(int64(i), ""), 0, time.Time{})
	}
	require.Equal(t, []int{tailQueue, maxDroppedShown, 5}, []int{len(q.queue), len(q.dropped), q.missed})
	entries, dropped := q.pop(time.Unix(1, 0))
	require.Equal(t, []int{tailQueue, maxDroppedShown}, []int{len(entries), len(dropped)})
	_, dropped = q.pop(time.Unix(1, 0))
	require.Empty(t, dropped, "what is beyond the list is forgotten with it")

	line := strings.Repeat("x", 1<<20)
	for i := range 20 {
		q.push(entryAt(int64(i), line), 0, time.Time{})
	}
	require.LessOrEqual(t, q.bytes, int64(tailQueueBytes))
	require.Equal(t, 7, len(q.queue))
	require.Len(t, q.dropped, 13)
	q.close()
	require.Zero(t, total.Load())

	// All tails together have a bound of their own.
	all := make([]*tailQueued, 100)
	for i := range all {
		all[i] = newTailQueued(&total)
		for j := range 10 {
			all[i].push(entryAt(int64(j), line), 0, time.Time{})
		}
		require.LessOrEqual(t, total.Load(), int64(tailsBytes))
	}
	require.Empty(t, all[99].queue)
	for _, q := range all {
		q.close()
	}
	require.Zero(t, total.Load())
}

// hub is a Tailer that gives the same rows to every tail.
type hub struct {
	mu         sync.Mutex
	subs       []chan *logs.Rows
	subscribed chan struct{}
}

func (b *hub) TailLogs(ctx context.Context, _ string, _ logs.Select) iter.Seq2[*logs.Rows, error] {
	return func(yield func(*logs.Rows, error) bool) {
		rows := make(chan *logs.Rows, 4)
		b.mu.Lock()
		b.subs = append(b.subs, rows)
		b.mu.Unlock()
		b.subscribed <- struct{}{}
		if !yield(&logs.Rows{}, nil) {
			return
		}
		for {
			select {
			case r := <-rows:
				if !yield(r, nil) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// noPast answers that nothing was written before.
type noPast struct{}

func (noPast) Run(context.Context, job.Job) (job.Result, error) {
	return job.Result{Logs: &logs.Result{}}, nil
}

// A thousand tails get every entry, with a few goroutines each, and leave nothing behind.
func TestManyTails(t *testing.T) {
	const n = 1000
	b := &hub{subscribed: make(chan struct{}, n)}
	h := New(Options{Runner: noPast{}, Tailer: b})
	url := tailServerOf(t, h)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	before := runtime.NumGoroutine()
	conns := make([]*websocket.Conn, n)
	var dial errgroup.Group
	dial.SetLimit(16)
	for i := range conns {
		dial.Go(func() (err error) {
			conns[i], _, err = websocket.Dial(ctx, url+`query=%7Bapp%3D%22a%22%7D`, nil)
			return err
		})
	}
	require.NoError(t, dial.Wait())
	defer func() {
		for _, c := range conns {
			_ = c.CloseNow()
		}
	}()
	for range n {
		<-b.subscribed
	}
	// On both sides: the server's connection, tail, collector and reader; what the client keeps.
	require.Less(t, runtime.NumGoroutine()-before, 8*n)
	_, resp, err := websocket.Dial(ctx, url+`query=%7Bapp%3D%22a%22%7D`, nil)
	require.Error(t, err)
	require.Equal(t, http.StatusTooManyRequests, resp.StatusCode)

	line := strings.Repeat("x", 10_000)
	for i := range int64(4) {
		for _, s := range b.subs {
			s <- liveRows(i, line)
		}
		require.LessOrEqual(t, h.tails.queued.Load(), int64(tailsBytes))
	}
	var read errgroup.Group
	for _, c := range conns {
		c.SetReadLimit(-1)
		read.Go(func() error {
			for seen := 0; seen < 4; {
				_, raw, err := c.Read(ctx)
				if err != nil {
					return err
				}
				seen += strings.Count(string(raw), line)
			}
			return nil
		})
	}
	require.NoError(t, read.Wait())
	require.Zero(t, h.tails.queued.Load())
	// Clients that go away leave nothing; the others are told.
	for _, c := range conns[:n/2] {
		_ = c.CloseNow()
	}
	var ends errgroup.Group
	for _, c := range conns[n/2:] {
		ends.Go(func() error {
			_, _, err := c.Read(ctx)
			if websocket.CloseStatus(err) != websocket.StatusGoingAway {
				return err
			}
			return nil
		})
	}
	h.Stop(ctx)
	require.NoError(t, ends.Wait())
	require.NoError(t, ctx.Err())
	require.Empty(t, h.tails.open)
}
