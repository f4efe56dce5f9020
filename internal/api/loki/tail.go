package loki

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
	"github.com/hune-io/hune/internal/tenant"
)

// Times of one tail.
const (
	maxTailDelay = 5 // seconds
	tailInterval = 200 * time.Millisecond
	tailWrite    = 10 * time.Second
	tailPing     = 30 * time.Second
)

// errStopping ends tails when the server stops.
var errStopping = fault.Errorf(fault.Unavailable, "the server is shutting down")

// tails are the open tails of the process.
type tails struct {
	max    int
	queued atomic.Int64 // bytes that wait for clients

	mu       sync.Mutex // guards what follows
	open     map[*tailer]struct{}
	stopping bool
	idle     chan struct{} // closed when stopping and none is open
}

func newTails(most int) *tails {
	return &tails{max: most, open: map[*tailer]struct{}{}, idle: make(chan struct{})}
}

func (ts *tails) add(t *tailer) error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	switch {
	case ts.stopping:
		return errStopping
	case len(ts.open) >= ts.max:
		return fault.Errorf(fault.RateLimited, "max concurrent tail requests limit exceeded, count > limit (%d > %d)", ts.max+1, ts.max)
	}
	ts.open[t] = struct{}{}
	return nil
}

// begin makes stop end t by cancel.
func (ts *tails) begin(t *tailer, cancel context.CancelCauseFunc) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t.cancel = cancel
	if ts.stopping {
		cancel(errStopping)
	}
}

func (ts *tails) remove(t *tailer) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.open, t)
	if ts.stopping && len(ts.open) == 0 {
		close(ts.idle)
	}
}

// stop ends all tails and returns when they have said good-bye to their clients, or when ctx is done. No
// tail is taken from then on.
func (ts *tails) stop(ctx context.Context) {
	ts.mu.Lock()
	if !ts.stopping {
		ts.stopping = true
		for t := range ts.open {
			if t.cancel != nil {
				t.cancel(errStopping)
			}
		}
		if len(ts.open) == 0 {
			close(ts.idle)
		}
	}
	ts.mu.Unlock()
	select {
	case <-ts.idle:
	case <-ctx.Done():
	}
}

// tail streams entries over a websocket: those since start first, then live ones. An entry may be
// held back for delay_for seconds so that late ones of other streams get in order. Entries that a
// slow client can't take are dropped and reported.
func (h *Handler) tail(w http.ResponseWriter, r *http.Request) error {
	flags := ""
	if wantsCategories(r) {
		flags = categorizeFlag
	}
	return h.tailWith(w, r, func(e *encoder, streams []logs.StreamResult, dropped []droppedEntry) {
		e.tailFrame(streams, dropped, flags)
	})
}

// legacyTail is tail in the shape of the API before version 1.
func (h *Handler) legacyTail(w http.ResponseWriter, r *http.Request) error {
	return h.tailWith(w, r, (*encoder).legacyTailFrame)
}

// tailEncoder appends a frame.
type tailEncoder func(e *encoder, streams []logs.StreamResult, dropped []droppedEntry)

func (h *Handler) tailWith(w http.ResponseWriter, r *http.Request, encode tailEncoder) error {
	p := h.params(w, r)
	limit := p.limit("limit", 100)
	start := p.time("start", h.o.Now().UnixNano()-p.since())
	delay := p.delay()
	if p.err != nil {
		return p.err
	}
	expr, err := p.legacyExpr()
	if err != nil {
		return err
	}
	q, ok := expr.(*logql.LogQuery)
	if !ok {
		return fault.Invalidf("only log selector is supported")
	}
	auto := p.get(autoFields) == "true"
	stages := q
	if auto {
		stages, _ = logql.WithAutoFields(q).(*logql.LogQuery)
	}
	processor, err := logql.NewProcessor(stages)
	if err != nil {
		return err
	}
	id, err := tenant.FromContext(r.Context())
	if err != nil {
		return fault.New(fault.Invalid, err)
	}
	t := &tailer{tailQueued: newTailQueued(&h.tails.queued), h: h, processor: processor, autoFields: auto, encode: encode, delay: delay, live: make(chan struct{})}
	if err := h.tails.add(t); err != nil {
		return err
	}
	defer h.tails.remove(t)
	defer t.close()
	// Any origin: Grafana passes its users' on, and there is no cookie that a page could misuse.
	if t.conn, err = websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}); err != nil {
		return nil // Accept has answered
	}
	defer func() { _ = t.conn.CloseNow() }()
	status, reason := closing(t.serve(t.conn.CloseRead(r.Context()), id, q, start, limit))
	_ = t.conn.Close(status, reason) // the client may have gone away
	return nil
}

// closing says how a tail that ended with err is closed.
func closing(err error) (status websocket.StatusCode, reason string) {
	switch {
	case err == nil || errors.Is(err, context.Canceled):
		return websocket.StatusNormalClosure, ""
	case fault.ClassOf(err) == fault.Unavailable:
		status = websocket.StatusGoingAway
	case fault.ClassOf(err) == fault.RateLimited:
		status = websocket.StatusTryAgainLater
	default:
		status = websocket.StatusInternalError
	}
	// A reason fits into 123 bytes.
	reason = err.Error()
	n := min(len(reason), 120)
	for n > 0 && n < len(reason) && !utf8.RuneStart(reason[n]) {
		n--
	}
	return status, reason[:n]
}

// delay reads delay_for, in seconds.
func (p *params) delay() time.Duration {
	text := p.get("delay_for")
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	switch {
	case err != nil:
		p.fail(fault.New(fault.Invalid, err))
	case n < 0:
		p.failf("delay_for value %d is out of range [0, %d]", n, uint32(1<<32-1))
	case n > maxTailDelay:
		p.failf("delay_for can't be greater than %d", maxTailDelay)
	}
	return time.Duration(n) * time.Second
}

// tailer is one open tail.
type tailer struct {
	*tailQueued
	h          *Handler
	conn       *websocket.Conn
	processor  *logql.Processor
	autoFields bool // of the backlog; the processor has them already
	encode     tailEncoder
	delay      time.Duration
	live       chan struct{}           // closed when live rows are being collected
	cancel     context.CancelCauseFunc // guarded by h.tails.mu
}

func (t *tailer) serve(ctx context.Context, id string, q *logql.LogQuery, start int64, limit int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	t.h.tails.begin(t, cancel)
	// Live rows are collected from here on, before the past is read: what is written in between is
	// in one of them at least, and what is in both is sent once.
	wg.Go(func() { cancel(t.collect(ctx, id, q)) })
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
	res, err := t.h.run(ctx, &logs.Query{Kind: logs.Range, Expr: q.String(), Start: start, End: end, Limit: limit, Direction: logs.Backward, AutoFields: t.autoFields})
	if err != nil {
		return err
	}
	for _, s := range res.Streams {
		for i, j := 0, len(s.Entries)-1; i < j; i, j = i+1, j-1 {
			s.Entries[i], s.Entries[j] = s.Entries[j], s.Entries[i]
		}
	}
	t.known(res.Streams)
	if len(res.Streams) == 0 {
		return nil
	}
	return t.send(ctx, res.Streams, nil)
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
		t.push(t.processor.Process(rows), rows.Dropped, t.h.o.Now().Add(t.delay))
	}
	return nil
}

// flush sends what is due.
func (t *tailer) flush(ctx context.Context) error {
	entries, dropped := t.pop(t.h.o.Now())
	if len(entries) == 0 && len(dropped) == 0 {
		return nil
	}
	return t.send(ctx, groupTail(entries), dropped)
}

func (t *tailer) send(ctx context.Context, streams []logs.StreamResult, dropped []droppedEntry) error {
	e := getEncoder()
	defer e.put()
	t.encode(e, streams, dropped)
	// Not ctx itself: a write whose context ends breaks the connection, and the client would never read why.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tailWrite)
	defer cancel()
	return t.conn.Write(ctx, websocket.MessageText, e.buf)
}

// tailFrame appends one frame of a tail.
func (e *encoder) tailFrame(streams []logs.StreamResult, dropped []droppedEntry, flag string) {
	e.raw(`{"streams":`)
	if flag == "" {
		e.streams(streams)
	} else {
		e.categorized(streams, logs.Forward)
	}
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
	if flag != "" {
		e.raw(`,"encodingFlags":["` + flag + `"]`)
	}
	e.raw("}")
}

// legacyTailFrame appends one frame as the API before version 1 has it.
func (e *encoder) legacyTailFrame(streams []logs.StreamResult, dropped []droppedEntry) {
	e.raw(`{"streams":`)
	e.legacyStreams(streams)
	e.raw(`,"dropped_entries":`)
	if len(dropped) == 0 {
		e.raw("null}")
		return
	}
	e.raw("[")
	for i, d := range dropped {
		e.comma(i)
		e.raw(`{"Timestamp":`)
		e.rfc3339(d.ts)
		e.raw(`,"Labels":`)
		e.str(d.labels.String())
		e.raw("}")
	}
	e.raw("]}")
}
