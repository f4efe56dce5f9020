package loki

import (
	"context"
	"errors"
	"hash/maphash"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
	"github.com/hune-io/hune/internal/tenant"
)

// Bounds of one tail.
const (
	maxTailDelay    = 5 * time.Second
	tailInterval    = 200 * time.Millisecond // how often frames are sent
	tailQueue       = 10_000                 // entries that wait for a slow client or for delay_for
	maxDroppedShown = 1000
	tailWrite       = 10 * time.Second
	tailPing        = 30 * time.Second
)

// tail streams entries over a websocket: those since start first, then live ones. An entry may be
// held back for delay_for seconds so that late ones of other streams get in order. Entries that a
// slow client can't take are dropped and reported.
func (h *Handler) tail(w http.ResponseWriter, r *http.Request) error {
	p := h.params(w, r)
	limit := p.limit("limit", 100)
	start := p.time("start", h.o.Now().Add(-time.Hour).UnixNano())
	delay := p.delay()
	if p.err != nil {
		return p.err
	}
	q, err := logql.ParseLogQuery(p.get("query"))
	if err != nil {
		return err
	}
	processor, err := logql.NewProcessor(q)
	if err != nil {
		return err
	}
	id, err := tenant.FromContext(r.Context())
	if err != nil {
		return fault.New(fault.Invalid, err)
	}
	select {
	case h.tails <- struct{}{}:
		defer func() { <-h.tails }()
	default:
		return fault.Errorf(fault.RateLimited, "max concurrent tail requests limit exceeded, count > limit (%d > %d)", h.o.MaxTails+1, h.o.MaxTails)
	}
	// Any origin: Grafana passes its users' on, and there is no cookie that a page could misuse.
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return nil // Accept has answered
	}
	defer func() { _ = conn.CloseNow() }()
	t := &tailer{h: h, conn: conn, processor: processor, delay: delay, seen: map[uint64]struct{}{}, seed: maphash.MakeSeed(), live: make(chan struct{})}
	err = t.serve(conn.CloseRead(r.Context()), id, q, start, limit)
	status, reason := websocket.StatusNormalClosure, ""
	if err != nil && !errors.Is(err, context.Canceled) {
		status, reason = websocket.StatusInternalError, clipReason(err.Error())
	}
	_ = conn.Close(status, reason)
	return nil
}

// clipReason fits a close reason into its frame.
func clipReason(s string) string { return s[:min(len(s), 120)] }

// delay reads delay_for, in seconds.
func (p *params) delay() time.Duration {
	if p.get("delay_for") == "" {
		return 0
	}
	d := time.Duration(p.duration("delay_for"))
	if p.err == nil && (d < 0 || d > maxTailDelay) {
		p.failf("delay_for can't be greater than %d", int(maxTailDelay.Seconds()))
	}
	return d
}

// tailer is one open tail.
type tailer struct {
	h         *Handler
	conn      *websocket.Conn
	processor *logql.Processor
	delay     time.Duration
	seed      maphash.Seed
	live      chan struct{} // closed when live rows are being collected

	mu      sync.Mutex // guards what follows
	queue   []tailEntry
	dropped []droppedEntry
	missed  int                 // dropped beyond what dropped holds, or unseen
	seen    map[uint64]struct{} // entries of the backlog, which may come in live again
}

type tailEntry struct {
	labels labels.Labels
	entry  logs.ResultEntry
	due    time.Time
}

type droppedEntry struct {
	labels labels.Labels
	ts     int64
}

func (t *tailer) serve(ctx context.Context, id string, q *logql.LogQuery, start int64, limit int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	// Live rows are collected from here on, before the past is read: what is written in between is
	// in one of them at least, and what is in both is sent once.
	wg.Add(1)
	go func() {
		defer wg.Done()
		cancel(t.collect(ctx, id, q))
	}()
	select {
	case <-t.live:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	now := t.h.o.Now().UnixNano()
	if start < now {
		if err := t.backlog(ctx, q, start, now+1, limit); err != nil {
			return err
		}
	}
	ticker := time.NewTicker(tailInterval)
	defer ticker.Stop()
	ping := time.NewTicker(tailPing)
	defer ping.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ping.C:
			if err := t.ping(ctx); err != nil {
				return err
			}
		case <-ticker.C:
			if err := t.flush(ctx); err != nil {
				return err
			}
		}
	}
}

func (t *tailer) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tailWrite)
	defer cancel()
	return t.conn.Ping(ctx)
}

// backlog sends the newest entries since start.
func (t *tailer) backlog(ctx context.Context, q *logql.LogQuery, start, end int64, limit int) error {
	res, err := t.h.run(ctx, &logs.Query{Kind: logs.Range, Expr: q.String(), Start: start, End: end, Limit: limit, Direction: logs.Backward})
	if err != nil {
		return err
	}
	t.mu.Lock()
	for _, s := range res.Streams {
		for i, j := 0, len(s.Entries)-1; i < j; i, j = i+1, j-1 {
			s.Entries[i], s.Entries[j] = s.Entries[j], s.Entries[i]
		}
		for i := range s.Entries {
			t.seen[t.hash(s.Labels, &s.Entries[i])] = struct{}{}
		}
	}
	// What came in live while the past was read may be part of it.
	waiting := t.queue
	t.queue = nil
	for _, e := range waiting {
		t.add(e.labels, e.entry, e.due)
	}
	t.mu.Unlock()
	if len(res.Streams) == 0 {
		return nil
	}
	return t.send(ctx, res.Streams, nil)
}

func (t *tailer) hash(ls labels.Labels, e *logs.ResultEntry) uint64 {
	var h maphash.Hash
	h.SetSeed(t.seed)
	_, _ = h.Write(ls.Bytes(nil))
	_, _ = h.WriteString(e.Line)
	return h.Sum64() ^ uint64(e.Timestamp)
}

// collect puts live entries into the queue until ctx ends.
func (t *tailer) collect(ctx context.Context, id string, q *logql.LogQuery) error {
	sel := logs.Select{Matchers: q.Matchers, Direction: logs.Forward, Filters: logql.Filters(q)}
	subscribed := false
	for rows, err := range t.h.o.Tailer.TailLogs(ctx, id, sel) {
		if err != nil {
			return err
		}
		if !subscribed {
			subscribed = true
			close(t.live)
		}
		found := t.processor.Process(rows)
		t.mu.Lock()
		t.missed += rows.Dropped
		due := t.h.o.Now().Add(t.delay)
		for _, s := range found {
			for _, e := range s.Entries {
				t.add(s.Labels, e, due)
			}
		}
		t.mu.Unlock()
	}
	return nil
}

// add queues an entry. t.mu must be held.
func (t *tailer) add(ls labels.Labels, e logs.ResultEntry, due time.Time) {
	if len(t.seen) > 0 {
		k := t.hash(ls, &e)
		if _, dup := t.seen[k]; dup {
			delete(t.seen, k)
			return
		}
	}
	if len(t.queue) < tailQueue {
		t.queue = append(t.queue, tailEntry{ls, e, due})
		return
	}
	if len(t.dropped) < maxDroppedShown {
		t.dropped = append(t.dropped, droppedEntry{ls, e.Timestamp})
		return
	}
	t.missed++
}

// flush sends what is due.
func (t *tailer) flush(ctx context.Context) error {
	now := t.h.o.Now()
	t.mu.Lock()
	n := 0
	for n < len(t.queue) && !t.queue[n].due.After(now) {
		n++
	}
	streams := groupTail(t.queue[:n])
	rest := copy(t.queue, t.queue[n:])
	clear(t.queue[rest:])
	t.queue = t.queue[:rest]
	dropped := t.dropped
	// What was dropped before the labels were known is reported without any.
	for ; t.missed > 0 && len(dropped) < maxDroppedShown; t.missed-- {
		dropped = append(dropped, droppedEntry{labels.EmptyLabels(), now.UnixNano()})
	}
	t.dropped, t.missed = nil, 0
	t.mu.Unlock()
	if len(streams) == 0 && len(dropped) == 0 {
		return nil
	}
	return t.send(ctx, streams, dropped)
}

func groupTail(queue []tailEntry) []logs.StreamResult {
	var out []logs.StreamResult
	index := map[string]int{}
	var key []byte
	for _, e := range queue {
		key = e.labels.Bytes(key[:0])
		i, ok := index[string(key)]
		if !ok {
			i = len(out)
			index[string(key)] = i
			out = append(out, logs.StreamResult{Labels: e.labels})
		}
		out[i].Entries = append(out[i].Entries, e.entry)
	}
	return out
}

func (t *tailer) send(ctx context.Context, streams []logs.StreamResult, dropped []droppedEntry) error {
	e := getEncoder()
	defer e.put()
	e.raw(`{"streams":`)
	e.streams(streams)
	if len(dropped) > 0 {
		e.raw(`,"dropped_entries":[`)
		for i, d := range dropped {
			e.comma(i)
			e.raw(`{"labels":`)
			e.labels(d.labels)
			e.raw(`,"timestamp":"`)
			e.int(d.ts)
			e.raw(`"}`)
		}
		e.raw("]")
	}
	e.raw("}")
	ctx, cancel := context.WithTimeout(ctx, tailWrite)
	defer cancel()
	return t.conn.Write(ctx, websocket.MessageText, e.buf)
}
