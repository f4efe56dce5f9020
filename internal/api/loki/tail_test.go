package loki

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/prometheus/model/labels"

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
	h := New(o)
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

func TestTailRefuses(t *testing.T) {
	feed := &live{}
	h := New(Options{Runner: &asked{}, Tailer: feed, MaxTails: 1})
	for _, c := range []struct{ query, text string }{
		{"query=rate(%7Ba%3D%22b%22%7D%5B1m%5D)", "only log selector is supported"},
		{"query=%7Ba%3D%22b%22%7D&delay_for=6", "delay_for can't be greater than 5"},
		{"query=%7Ba%3D%22b%22%7D&limit=0", "limit must be a positive value"},
		{"query=%7B", "parse error at line 1, col 2"},
	} {
		w := send(h, httptest.NewRequest(http.MethodGet, "/loki/api/v1/tail?"+c.query, nil))
		if w.Code != 400 || !strings.Contains(w.Body.String(), c.text) {
			t.Errorf("%s: answer %d %q", c.query, w.Code, w.Body)
		}
	}
	h.tails <- struct{}{}
	if w := send(h, httptest.NewRequest(http.MethodGet, "/loki/api/v1/tail?query=%7Ba%3D%22b%22%7D", nil)); w.Code != 429 {
		t.Errorf("one tail too many: answer %d %q", w.Code, w.Body)
	}
}

// TestTailQueue: a full queue drops and counts, and never grows beyond its bounds.
func TestTailQueue(t *testing.T) {
	tl := &tailer{h: New(Options{Runner: &asked{}}), seen: map[uint64]struct{}{}}
	ls := labels.FromStrings("app", "a")
	for i := range tailQueue + maxDroppedShown + 5 {
		tl.add(ls, logs.ResultEntry{Timestamp: int64(i)}, time.Time{})
	}
	if len(tl.queue) != tailQueue || len(tl.dropped) != maxDroppedShown || tl.missed != 5 {
		t.Errorf("queue %d, dropped %d, missed %d", len(tl.queue), len(tl.dropped), tl.missed)
	}
}
