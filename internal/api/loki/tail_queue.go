package loki

import (
	"cmp"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/logs"
)

// Bounds of what tails hold for slow clients and for delay_for: of one tail in entries and bytes, of all
// together in bytes.
const (
	tailQueue       = 10_000
	tailQueueBytes  = 8 << 20
	tailsBytes      = 256 << 20
	maxDroppedShown = 1000
	tailEntryBytes  = 128 // of an entry beside its line
)

// tailQueued is entries of one tail that wait to be sent. What doesn't fit is dropped and reported. Safe for
// concurrent use.
type tailQueued struct {
	total *atomic.Int64 // bytes held by all tails
	seed  maphash.Seed

	mu      sync.Mutex // guards what follows
	queue   []tailEntry
	bytes   int64
	dropped []droppedEntry
	missed  int                 // dropped beyond what dropped holds, or unseen
	seen    map[uint64]struct{} // entries of the backlog, which may come in live again
}

type tailEntry struct {
	labels labels.Labels
	entry  logs.ResultEntry
	due    time.Time
}

func (e *tailEntry) size() int64 { return int64(len(e.entry.Line)) + tailEntryBytes }

type droppedEntry struct {
	labels labels.Labels
	ts     int64
}

func newTailQueued(total *atomic.Int64) *tailQueued {
	return &tailQueued{total: total, seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}}
}

func (t *tailQueued) hash(ls labels.Labels, e *logs.ResultEntry) uint64 {
	var h maphash.Hash
	h.SetSeed(t.seed)
	_, _ = h.Write(ls.Bytes(nil))
	_, _ = h.WriteString(e.Line)
	return h.Sum64() ^ uint64(e.Timestamp)
}

// push queues live entries; missed is how many were lost before them.
func (t *tailQueued) push(found []logs.StreamResult, missed int, due time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.missed += missed
	for _, s := range found {
		for _, e := range s.Entries {
			t.add(tailEntry{s.Labels, e, due})
		}
	}
}

// known takes entries that are sent as the past: what came in live while they were read is not sent twice.
func (t *tailQueued) known(past []logs.StreamResult) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range past {
		for i := range s.Entries {
			t.seen[t.hash(s.Labels, &s.Entries[i])] = struct{}{}
		}
	}
	waiting := t.queue
	t.queue = nil
	t.give(t.bytes)
	for _, e := range waiting {
		t.add(e)
	}
}

// add queues an entry. t.mu must be held.
func (t *tailQueued) add(e tailEntry) {
	if len(t.seen) > 0 {
		k := t.hash(e.labels, &e.entry)
		if _, dup := t.seen[k]; dup {
			delete(t.seen, k)
			return
		}
	}
	if len(t.queue) < tailQueue && t.take(e.size()) {
		t.queue = append(t.queue, e)
		return
	}
	if len(t.dropped) < maxDroppedShown {
		t.dropped = append(t.dropped, droppedEntry{e.labels, e.entry.Timestamp})
		return
	}
	t.missed++
}

// take reserves n bytes, of the tail's and of all tails'. t.mu must be held.
func (t *tailQueued) take(n int64) bool {
	if t.bytes+n > tailQueueBytes {
		return false
	}
	if t.total.Add(n) > tailsBytes {
		t.total.Add(-n)
		return false
	}
	t.bytes += n
	return true
}

// give returns n bytes. t.mu must be held.
func (t *tailQueued) give(n int64) {
	t.bytes -= n
	t.total.Add(-n)
}

// pop takes the entries that are due, in the order of their times, and what was dropped. An entry that is
// older than one that is due goes with it: that is what the delay is for.
func (t *tailQueued) pop(now time.Time) ([]tailEntry, []droppedEntry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	newest, any := int64(0), false
	for i := range t.queue {
		if e := &t.queue[i]; !e.due.After(now) && (!any || e.entry.Timestamp > newest) {
			newest, any = e.entry.Timestamp, true
		}
	}
	var out []tailEntry
	if any {
		rest := t.queue[:0]
		for _, e := range t.queue {
			if e.entry.Timestamp > newest {
				rest = append(rest, e)
				continue
			}
			t.give(e.size())
			out = append(out, e)
		}
		clear(t.queue[len(rest):])
		t.queue = rest
		slices.SortStableFunc(out, func(a, b tailEntry) int { return cmp.Compare(a.entry.Timestamp, b.entry.Timestamp) })
	}
	dropped := t.dropped
	// What was dropped before the labels were known is reported without any.
	for ; t.missed > 0 && len(dropped) < maxDroppedShown; t.missed-- {
		dropped = append(dropped, droppedEntry{labels.EmptyLabels(), now.UnixNano()})
	}
	t.dropped, t.missed = nil, 0
	return out, dropped
}

// close gives back what the queue holds.
func (t *tailQueued) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue = nil
	t.give(t.bytes)
}

// groupTail makes streams of entries, in their order.
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
