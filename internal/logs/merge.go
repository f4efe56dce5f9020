package logs

import (
	"cmp"
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

	// Of the row at hand.
	ts     int64
	stream uint32 // in the merger's streams

	// known leads from the numbers of streams in rows to those of the merger.
	known []knownStream
	batch uint32
}

// knownStream is what a number of a stream meant in an earlier batch. Sources mostly keep their
// numbers, but may give them another meaning with each batch.
type knownStream struct {
	labels labels.Labels
	number uint32
	batch  uint32 // in which this was found true; 0: never
}

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
			f.rows, f.at = rows, 0
			f.batch++
			if n := len(rows.Streams); n > len(f.known) {
				f.known = append(f.known, make([]knownStream, n-len(f.known))...)
			}
			return
		}
	}
}

// sourceMerger is the state of one MergeRows.
type sourceMerger struct {
	direction Direction
	waiting   []waitingSource // in the order in which they fall due
	heap      []*feed         // by their current rows
	feeds     []*feed         // all that were started, to be stopped
	streams   []labels.Labels // all that were seen; streams of one labels have one number
	numbers   map[uint64][]uint32
	out       Rows
	group     instantGroup
}

type waitingSource struct {
	RowSource
	order int
}

func newSourceMerger(d Direction, sources []RowSource) *sourceMerger {
	m := &sourceMerger{direction: d, numbers: make(map[uint64][]uint32)}
	for i, s := range sources {
		if s.Oldest <= s.Newest {
			m.waiting = append(m.waiting, waitingSource{s, i})
		}
	}
	slices.SortStableFunc(m.waiting, func(a, b waitingSource) int {
		if d == Forward {
			return cmp.Compare(a.Oldest, b.Oldest)
		}
		return cmp.Compare(b.Newest, a.Newest)
	})
	return m
}

func (m *sourceMerger) stop() {
	for _, f := range m.feeds {
		f.stop()
	}
}

// arrive makes the row at f.at the one at hand.
func (m *sourceMerger) arrive(f *feed) {
	f.ts = f.rows.Timestamps[f.at]
	i := f.rows.Stream[f.at]
	k := &f.known[i]
	if k.batch != f.batch {
		ls := f.rows.Streams[i]
		if k.batch == 0 || !labels.Equal(k.labels, ls) {
			k.number = m.number(ls)
			k.labels = m.streams[k.number]
		}
		k.batch = f.batch
	}
	f.stream = k.number
}

func (m *sourceMerger) number(ls labels.Labels) uint32 {
	hash := ls.Hash()
	for _, n := range m.numbers[hash] {
		if labels.Equal(m.streams[n], ls) {
			return n
		}
	}
	n := uint32(len(m.streams))
	m.streams = append(m.streams, ls.Copy())
	m.numbers[hash] = append(m.numbers[hash], n)
	return n
}

// before is the order of the answer: time in the direction, then labels, then the sources.
func (m *sourceMerger) before(a, b *feed) bool {
	if a.ts != b.ts {
		return (a.ts < b.ts) == (m.direction == Forward)
	}
	if a.stream != b.stream {
		return labels.Compare(m.streams[a.stream], m.streams[b.stream]) < 0
	}
	return a.order < b.order
}

// due reports whether a source must be open before a row of time ts is given out.
func (m *sourceMerger) due(s *waitingSource, ts int64) bool {
	if m.direction == Forward {
		return s.Oldest <= ts
	}
	return s.Newest >= ts
}

// openDue starts the sources that may have a row before or at the instant of the top feed. With no
// feed left it starts those that share the first waiting source's first instant. What is due by the
// top feed may not be so once the first of them is open, so it starts no more at once than half of
// what has turned out to be needed.
func (m *sourceMerger) openDue() error {
	for len(m.waiting) > 0 {
		ts := m.waiting[0].Newest
		switch {
		case len(m.heap) > 0:
			ts = m.heap[0].ts
		case m.direction == Forward:
			ts = m.waiting[0].Oldest
		}
		n := 0
		for n < len(m.waiting) && n <= len(m.feeds)/2 && m.due(&m.waiting[n], ts) {
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
		f := &feed{order: s.order}
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
			m.push(f)
		}
	}
	return nil
}

// fill fills and yields one batch. ok says whether there may be more.
func (m *sourceMerger) fill(yield func(*Rows, error) bool) (ok bool, err error) {
	m.out.Stream, m.out.Timestamps = m.out.Stream[:0], m.out.Timestamps[:0]
	m.out.Lines, m.out.Metadata = m.out.Lines[:0], m.out.Metadata[:0]
	var drained *feed
	for len(m.out.Timestamps) < batchRows && drained == nil {
		if err := m.openDue(); err != nil {
			return false, err
		}
		if len(m.heap) == 0 {
			break
		}
		drained = m.advance()
	}
	m.out.Streams = m.streams
	if len(m.out.Timestamps) > 0 && !yield(&m.out, nil) {
		return false, nil
	}
	if drained == nil {
		return len(m.heap) > 0 || len(m.waiting) > 0, nil
	}
	// The batch pointed into the feed's rows, which end here. What the group of duplicates remembers
	// of them it has copied.
	drained.pull()
	if drained.err != nil {
		return false, drained.err
	}
	if drained.rows != nil {
		m.push(drained)
	}
	return len(m.heap) > 0 || len(m.waiting) > 0, nil
}

// advance moves rows of the top feed to the batch, until another feed comes first. It returns the
// feed, taken from the heap, if it has no rows left.
func (m *sourceMerger) advance() *feed {
	f, second := m.heap[0], m.second()
	for {
		if !m.duplicate(f, second) {
			m.emit(f)
		}
		if f.at++; f.at == len(f.rows.Timestamps) {
			last := len(m.heap) - 1
			m.heap[0] = m.heap[last]
			m.heap = m.heap[:last]
			m.siftDown()
			return f
		}
		m.arrive(f)
		if len(m.out.Timestamps) >= batchRows || second != nil && m.before(second, f) ||
			len(m.waiting) > 0 && m.due(&m.waiting[0], f.ts) {
			m.siftDown()
			return nil
		}
	}
}

func (m *sourceMerger) second() *feed {
	switch {
	case len(m.heap) < 2:
		return nil
	case len(m.heap) == 2 || m.before(m.heap[1], m.heap[2]):
		return m.heap[1]
	}
	return m.heap[2]
}

// push puts a feed with new rows on the heap.
func (m *sourceMerger) push(f *feed) {
	m.arrive(f)
	m.heap = append(m.heap, f)
	for i := len(m.heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if !m.before(m.heap[i], m.heap[parent]) {
			return
		}
		m.heap[i], m.heap[parent] = m.heap[parent], m.heap[i]
		i = parent
	}
}

// siftDown restores the heap's order after its first element has moved on.
func (m *sourceMerger) siftDown() {
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(m.heap) {
			return
		}
		if child+1 < len(m.heap) && m.before(m.heap[child+1], m.heap[child]) {
			child++
		}
		if !m.before(m.heap[child], m.heap[i]) {
			return
		}
		m.heap[i], m.heap[child] = m.heap[child], m.heap[i]
		i = child
	}
}

func (m *sourceMerger) emit(f *feed) {
	m.out.Stream = append(m.out.Stream, f.stream)
	m.out.Timestamps = append(m.out.Timestamps, f.ts)
	m.out.Lines = append(m.out.Lines, f.rows.Lines[f.at])
	m.out.Metadata = append(m.out.Metadata, f.metadata())
}

// instantGroup remembers the rows of one stream and instant while several sources have such rows.
type instantGroup struct {
	active bool
	ts     int64
	stream uint32
	keys   []byte // of the rows, one after the other
	ends   []int
	index  map[string]struct{} // of the keys, once they are many
}

// manyKeys is the size of a group from which on an index is faster than a look at every key.
const manyKeys = 16

func (g *instantGroup) begin(ts int64, stream uint32) {
	g.active, g.ts, g.stream = true, ts, stream
	g.keys, g.ends = g.keys[:0], g.ends[:0]
	clear(g.index)
}

// add adds the row at which f stands and reports whether it is new.
func (g *instantGroup) add(f *feed) bool {
	start := len(g.keys)
	g.keys = appendRowKey(g.keys, f)
	key := g.keys[start:]
	if g.has(key) {
		g.keys = g.keys[:start]
		return false
	}
	g.ends = append(g.ends, len(g.keys))
	if len(g.ends) > manyKeys {
		if g.index == nil {
			g.index = make(map[string]struct{})
		}
		g.index[string(key)] = struct{}{}
	}
	return true
}

func (g *instantGroup) has(key []byte) bool {
	if _, ok := g.index[string(key)]; ok {
		return true
	}
	from := 0
	for _, end := range g.ends[:min(len(g.ends), manyKeys)] { // later ones are in the index
		if string(g.keys[from:end]) == string(key) {
			return true
		}
		from = end
	}
	return false
}

// duplicate reports whether another source gave the row at which f stands already. Rows of one
// instant and stream come source by source, so the row can have a twin only if the group at hand is
// the row's own, or if the second feed (nil: none) is in it too.
func (m *sourceMerger) duplicate(f, second *feed) bool {
	if g := &m.group; g.active && g.ts == f.ts && g.stream == f.stream {
		return !g.add(f)
	}
	if second == nil || second.ts != f.ts || second.stream != f.stream {
		m.group.active = false
		return false
	}
	m.group.begin(f.ts, f.stream)
	return !m.group.add(f)
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
