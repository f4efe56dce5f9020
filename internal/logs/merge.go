package logs

import (
	"container/heap"
	"encoding/binary"
	"iter"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/block"
)

// RowSource is one input of MergeRows.
type RowSource struct {
	// Oldest and Newest bound the timestamps of the rows, both inclusive. MergeRows does not start
	// the source before the answer has come to these times.
	Oldest, Newest int64
	// Rows yields rows in the order that Source promises, distinct among themselves.
	Rows iter.Seq2[*Rows, error]
}

// openAtOnce bounds how many sources MergeRows starts at the same time. Sources read from disks and
// buckets: one after the other they would add up their latencies.
const openAtOnce = 8

// MergeRows merges sources into one sequence in the order that Source promises. A row that several
// sources have (same stream, timestamp, line and metadata) comes once; rows of one instant and
// stream come in the order of the sources. The first error ends the sequence.
//
// A source is started only when the merge has come to its time: a caller that stops after the
// newest hundred lines has touched only the sources that hold them.
func MergeRows(d Direction, sources ...RowSource) iter.Seq2[*Rows, error] {
	if len(sources) == 1 {
		return sources[0].Rows
	}
	return func(yield func(*Rows, error) bool) {
		m := newSourceMerger(d, sources)
		defer m.stop()
		for {
			ok, err := m.fill(yield)
			if err != nil {
				yield(nil, err)
			}
			if err != nil || !ok {
				return
			}
		}
	}
}

// feed is a source that was started, standing at row at of rows.
type feed struct {
	order int // rank among the sources
	next  func() (*Rows, error, bool)
	stop  func()
	rows  *Rows
	at    int
	err   error

	// Where the feed's streams are among the streams of the batch that is being filled.
	outStream []uint32
	batch     int
}

func (f *feed) ts() int64 { return f.rows.Timestamps[f.at] }

func (f *feed) stream() labels.Labels { return f.rows.Streams[f.rows.Stream[f.at]] }

func (f *feed) metadata() []Label {
	if f.rows.Metadata == nil {
		return nil
	}
	return f.rows.Metadata[f.at]
}

// pull asks the source for its next rows; f.rows is nil at the end.
func (f *feed) pull() {
	for {
		rows, err, ok := f.next()
		if !ok || err != nil {
			f.rows, f.err = nil, err
			return
		}
		if len(rows.Timestamps) > 0 {
			f.rows, f.at, f.batch = rows, 0, -1
			return
		}
	}
}

// feedHeap orders feeds by their current rows.
type feedHeap struct {
	feeds     []*feed
	direction Direction
}

func (h *feedHeap) Len() int { return len(h.feeds) }

func (h *feedHeap) Less(i, j int) bool { return h.compare(h.feeds[i], h.feeds[j]) < 0 }

func (h *feedHeap) compare(a, b *feed) int {
	if ta, tb := a.ts(), b.ts(); ta != tb {
		if (ta < tb) == (h.direction == Forward) {
			return -1
		}
		return 1
	}
	if c := labels.Compare(a.stream(), b.stream()); c != 0 {
		return c
	}
	return a.order - b.order
}

func (h *feedHeap) Swap(i, j int) { h.feeds[i], h.feeds[j] = h.feeds[j], h.feeds[i] }
func (h *feedHeap) Push(x any)    { h.feeds = append(h.feeds, x.(*feed)) }

func (h *feedHeap) Pop() any {
	f := h.feeds[len(h.feeds)-1]
	h.feeds = h.feeds[:len(h.feeds)-1]
	return f
}

// sourceMerger is the state of one MergeRows.
type sourceMerger struct {
	waiting []waitingSource // in the order in which they fall due
	heap    feedHeap
	feeds   []*feed // all that were started, to be stopped
	out     Rows
	batch   int
	group   instantGroup
}

type waitingSource struct {
	RowSource
	order int
}

func newSourceMerger(d Direction, sources []RowSource) *sourceMerger {
	m := &sourceMerger{heap: feedHeap{direction: d}}
	for i, s := range sources {
		if s.Oldest <= s.Newest {
			m.waiting = append(m.waiting, waitingSource{s, i})
		}
	}
	slices.SortStableFunc(m.waiting, func(a, b waitingSource) int {
		if d == Forward {
			return compareInt64(a.Oldest, b.Oldest)
		}
		return compareInt64(b.Newest, a.Newest)
	})
	return m
}

func (m *sourceMerger) stop() {
	for _, f := range m.feeds {
		f.stop()
	}
}

// due reports whether a source must be open before a row of time ts is given out.
func (m *sourceMerger) due(s *waitingSource, ts int64) bool {
	if m.heap.direction == Forward {
		return s.Oldest <= ts
	}
	return s.Newest >= ts
}

// openDue starts the sources that may have a row before or at the instant of the top feed. With no
// feed left it starts those that share the first waiting source's first instant.
func (m *sourceMerger) openDue() error {
	for len(m.waiting) > 0 {
		var ts int64
		switch {
		case m.heap.Len() > 0:
			ts = m.heap.feeds[0].ts()
		case m.heap.direction == Forward:
			ts = m.waiting[0].Oldest
		default:
			ts = m.waiting[0].Newest
		}
		n := 0
		for n < len(m.waiting) && m.due(&m.waiting[n], ts) {
			n++
		}
		if n == 0 {
			return nil
		}
		if err := m.open(m.waiting[:n]); err != nil {
			return err
		}
		m.waiting = m.waiting[n:]
	}
	return nil
}

func (m *sourceMerger) open(sources []waitingSource) error {
	var g errgroup.Group
	g.SetLimit(openAtOnce)
	started := make([]*feed, len(sources))
	for i, s := range sources {
		f := &feed{order: s.order, batch: -1}
		f.next, f.stop = iter.Pull2(s.Rows)
		started[i] = f
		m.feeds = append(m.feeds, f)
		g.Go(func() error {
			f.pull()
			return f.err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, f := range started {
		if f.rows != nil {
			heap.Push(&m.heap, f)
		}
	}
	return nil
}

// fill fills and yields one batch. ok says whether there may be more.
func (m *sourceMerger) fill(yield func(*Rows, error) bool) (ok bool, err error) {
	m.out.Streams, m.out.Stream, m.out.Timestamps = m.out.Streams[:0], m.out.Stream[:0], m.out.Timestamps[:0]
	m.out.Lines, m.out.Metadata = m.out.Lines[:0], m.out.Metadata[:0]
	m.batch++
	var drained *feed
	for len(m.out.Timestamps) < batchRows && drained == nil {
		if err := m.openDue(); err != nil {
			return false, err
		}
		if m.heap.Len() == 0 {
			break
		}
		drained = m.advance()
	}
	if len(m.out.Timestamps) > 0 && !yield(&m.out, nil) {
		return false, nil
	}
	if drained == nil {
		return m.heap.Len() > 0 || len(m.waiting) > 0, nil
	}
	// The batch pointed into the feed's rows, which end here. What the group of duplicates remembers
	// of them it has copied.
	drained.pull()
	if drained.err != nil {
		return false, drained.err
	}
	if drained.rows != nil {
		heap.Push(&m.heap, drained)
	}
	return m.heap.Len() > 0 || len(m.waiting) > 0, nil
}

// advance moves rows of the top feed to the batch, until another feed comes first. It returns the
// feed, taken from the heap, if it has no rows left.
func (m *sourceMerger) advance() *feed {
	f := m.heap.feeds[0]
	second := m.second()
	for {
		if !m.duplicate(f, second) {
			m.emit(f)
		}
		if f.at++; f.at == len(f.rows.Timestamps) {
			heap.Pop(&m.heap)
			return f
		}
		if len(m.out.Timestamps) >= batchRows || second != nil && m.heap.compare(f, second) > 0 ||
			len(m.waiting) > 0 && m.due(&m.waiting[0], f.ts()) {
			heap.Fix(&m.heap, 0)
			return nil
		}
	}
}

func (m *sourceMerger) second() *feed {
	switch n := m.heap.Len(); {
	case n < 2:
		return nil
	case n == 2 || m.heap.Less(1, 2):
		return m.heap.feeds[1]
	}
	return m.heap.feeds[2]
}

func (m *sourceMerger) emit(f *feed) {
	if f.batch != m.batch {
		f.batch = m.batch
		f.outStream = slices.Grow(f.outStream[:0], len(f.rows.Streams))[:len(f.rows.Streams)]
		clear(f.outStream)
	}
	from := f.rows.Stream[f.at]
	if f.outStream[from] == 0 {
		m.out.Streams = append(m.out.Streams, f.rows.Streams[from])
		f.outStream[from] = uint32(len(m.out.Streams))
	}
	m.out.Stream = append(m.out.Stream, f.outStream[from]-1)
	m.out.Timestamps = append(m.out.Timestamps, f.ts())
	m.out.Lines = append(m.out.Lines, f.rows.Lines[f.at])
	m.out.Metadata = append(m.out.Metadata, f.metadata())
}

// instantGroup remembers the rows of one stream and instant while several sources have such rows.
type instantGroup struct {
	ts     int64
	stream labels.Labels
	seen   map[string]struct{}
	key    []byte
	active bool
}

// duplicate reports whether another source gave the row at which f stands already. Rows of one
// instant and stream come source by source, so the row can have a twin only if the group at hand is
// the row's own, or if the second feed (nil: none) is in it too.
func (m *sourceMerger) duplicate(f, second *feed) bool {
	ts := f.ts()
	g := &m.group
	if !g.active || g.ts != ts || !labels.Equal(g.stream, f.stream()) {
		g.active = false
		if second == nil || second.ts() != ts || !labels.Equal(second.stream(), f.stream()) {
			return false
		}
		if g.seen == nil {
			g.seen = make(map[string]struct{})
		}
		clear(g.seen)
		g.ts, g.stream, g.active = ts, f.stream(), true
	}
	g.key = appendRowKey(g.key[:0], f)
	if _, ok := g.seen[string(g.key)]; ok {
		return true
	}
	g.seen[string(g.key)] = struct{}{}
	return false
}

// appendRowKey appends what makes a row distinct within its stream and instant. Lengths go first, so
// different rows have different keys.
func appendRowKey(dst []byte, f *feed) []byte {
	md := f.metadata()
	dst = binary.AppendUvarint(dst, uint64(len(md)))
	for _, l := range md {
		dst = block.AppendPrefixed(block.AppendPrefixed(dst, l.Name), l.Value)
	}
	return append(dst, f.rows.Lines[f.at]...)
}
