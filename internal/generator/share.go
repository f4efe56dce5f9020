package generator

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/bits"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/traces"
)

// Where several generators run, each counts the spans that it is shown, under a label of its own: sums over it are those of
// all. The two sides of a request may come to different ones, though. So each side is sent to the generator that has its
// trace by the ring, which waits for the other side and counts the request. A side is a hundred bytes, where its span has a
// thousand.

// SidesPath is where other generators send the sides of requests whose traces are this one's.
const SidesPath = "/api/hune/v1/generator/sides"

const (
	// instanceLabel tells the series of generators apart, Tempo's.
	instanceLabel = "__metrics_gen_instance"
	// sendEvery is how often sides are sent, sendAt the bytes for a member at which they are sent at once, and maxOutbox
	// those at which more are dropped: it is too slow, or away.
	sendEvery = time.Second
	sendAt    = 64 << 10
	maxOutbox = 1 << 20
	// sendTimeout bounds one message. A member that is gone leaves the ring. lastSendTimeout is that of a stop.
	sendTimeout     = 5 * time.Second
	lastSendTimeout = time.Second
	// maxSides bounds a message that is taken.
	maxSides = 2 * maxOutbox
)

// Share is what a generator knows of the others.
type Share struct {
	// Instance names this generator in the labels of its series.
	Instance string
	// Owner returns the address of the generator that a trace with this hash is for; "": this one, or nobody knows.
	Owner func(hash uint32) string
	// Client sends to the others.
	Client *http.Client
}

// outbox is the sides that are to be sent, by member.
type outbox struct {
	mu   sync.Mutex
	to   map[string][]byte
	wake chan struct{}
}

func newOutbox() *outbox { return &outbox{to: map[string][]byte{}, wake: make(chan struct{}, 1)} }

// traceHash is the place of a trace in the ring. Some senders count the last bytes up, or the first.
func traceHash(id *traces.ID) uint32 {
	h := binary.LittleEndian.Uint64(id[:8]) ^ bits.RotateLeft64(binary.LittleEndian.Uint64(id[8:]), 29)
	h = (h ^ h>>32) * 0x9e3779b97f4a7c15
	h = (h ^ h>>29) * 0xbf58476d1ce4e5b9
	return uint32(h >> 32)
}

// put adds a side for a member; false: there is no room.
func (o *outbox) put(to string, m *sideMessage) bool {
	o.mu.Lock()
	before := len(o.to[to])
	if before >= maxOutbox {
		o.mu.Unlock()
		return false
	}
	b := m.appendTo(o.to[to])
	o.to[to] = b
	o.mu.Unlock()
	if before < sendAt && len(b) >= sendAt {
		select {
		case o.wake <- struct{}{}:
		default:
		}
	}
	return true
}

// take empties the outbox.
func (o *outbox) take() map[string][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := maps.Clone(o.to)
	clear(o.to)
	return out
}

// sendSides sends what is in the outbox, now and then, until ctx is done.
func (g *Generator) sendSides(ctx context.Context) {
	tick := time.NewTicker(sendEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-g.outbox.wake:
		}
		g.flushSides(ctx, sendTimeout)
	}
}

// flushSides empties the outbox. What a member doesn't take waits here: its other sides may come to the same end.
func (g *Generator) flushSides(ctx context.Context, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var all errgroup.Group
	for addr, sides := range g.outbox.take() {
		all.Go(func() error {
			err := g.post(ctx, addr, sides)
			if err == nil {
				return nil
			}
			g.meters.sendFailures.Inc()
			g.warn("send", "another generator did not take sides of requests, they wait here", "member", addr, "err", err)
			g.takeSides(sides)
			return nil
		})
	}
	_ = all.Wait() // each has dealt with its error
}

func (g *Generator) post(ctx context.Context, addr string, sides []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+SidesPath, bytes.NewReader(sides))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := g.opts.Share.Client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
	if resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(text)))
	}
	return nil
}

// ServeSides takes the sides that another generator sends.
func (g *Generator) ServeSides(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSides))
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, fmt.Sprintf("read sides of requests: %s", err), status)
		return
	}
	if _, err := countSides(body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	g.takeSides(body)
	w.WriteHeader(http.StatusNoContent)
}

// takeSides queues sides to be counted here. It never blocks.
func (g *Generator) takeSides(sides []byte) {
	reason := "queue_full"
	switch {
	case g.stopped.Load():
		reason = "stopped"
	case g.queue.putSides(g.opts.Now(), sides):
		return
	}
	n, _ := countSides(sides)
	g.meters.dropped.WithLabelValues(reason).Add(float64(n))
}

// countQueuedSides counts those of a message. Of one that is damaged, those before the damage count.
func (g *Generator) countQueuedSides(b *batch) {
	d := sideDecoder{rest: b.otlp}
	for len(d.rest) > 0 {
		var m sideMessage
		if !d.next(&m) {
			return
		}
		if !g.opts.Limits.For(m.tenant).Traces.Generator.Enabled {
			continue
		}
		for !g.state(m.tenant, b.received).takeSide(&m, b.received) {
		}
	}
}

// sendSide leaves a side for the generator that has its trace.
func (s *state) sendSide(owner string, key *edgeKey, v *traces.SpanView, client bool, seconds float64, filtered bool) {
	m := sideMessage{tenant: s.tenant, key: *key, client: client}
	s.fill(&m.side, v, client, seconds)
	m.side.filtered = filtered
	if s.outbox.put(owner, &m) {
		s.seen.sent++
		return
	}
	s.dropSide(v, client)
}

// takeSide counts a side that came from another generator. It is false, and nothing counted, when the state has ended.
func (s *state) takeSide(m *sideMessage, received time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retired {
		return false
	}
	g := &s.settings.graphs
	if !g.on {
		return true
	}
	s.now = received.UnixMilli()
	s.expireEdges(s.now)
	one := &m.side
	if one.dimensions != nil && len(one.dimensions[m.place()]) != len(g.dimensions) {
		one.dimensions = nil // of other settings
	}
	hash, at := s.edges.find(&m.key)
	if at >= 0 {
		other := &s.edges.slots[at].side
		if m.client && other.client == "" || !m.client && other.server == "" {
			if !one.filtered && !other.filtered {
				other.join(one, m.client)
				s.seen.paired++
				s.countEdge(other, connection(other.messaging), "", &m.key.trace)
			}
			s.edges.remove(at)
			s.report()
			return true
		}
		// The same side again: each waits for itself, as in countSide.
		s.expireSide(&s.edges.slots[at])
		s.edges.remove(at)
	}
	if waiting := s.edges.put(&m.key, hash, s.now+s.settings.wait); waiting != nil {
		*waiting = *one
	} else {
		s.seen.dropped++
		s.countLost(droppedFamily, one.client, one.server, connection(one.messaging))
	}
	s.report()
	return true
}

// join adds what one side of a request says to the other.
func (e *side) join(o *side, client bool) {
	e.times = max(e.times, o.times)
	e.failed, e.messaging = e.failed || o.failed, e.messaging || o.messaging
	if o.dimensions != nil {
		if e.dimensions == nil {
			e.dimensions = new([2][]string)
		}
		place := placeOf(client)
		e.dimensions[place] = o.dimensions[place]
	}
	if client {
		e.client, e.clientTime, e.clientAt = o.client, o.clientTime, o.clientAt
		return
	}
	e.server, e.serverTime, e.serverAt = o.server, o.serverTime, o.serverAt
}

// placeOf is where the values of a side's dimensions stand.
func placeOf(client bool) int {
	if client {
		return 0
	}
	return 1
}
