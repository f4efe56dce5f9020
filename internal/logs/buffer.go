package logs

import (
	"hash/maphash"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
)

// buffer holds the newest rows of a Head as they came, until they are sealed. It is a Part whose rows are
// distinct; safe for concurrent use.
//
// Entries may arrive in any order of time. A select sees each stream as it was at one instant and
// holds the lock only to copy a few words per chunk, so it doesn't hold up writers.
type buffer struct {
	seed maphash.Seed

	mu      sync.RWMutex
	byHash  map[uint64]*headStream // streams of one hash are chained
	streams []*headStream          // in order of arrival; never changes below its length
	spans   []timeRange            // of the streams, close together: questions about labels look at all of them
	labels  headLabels
	filled  int // streams with rows
	names   headNames
	rows    int
	size    int64 // memory
	raw     int64 // bytes of lines and metadata
	times   timeRange

	sortMu sync.Mutex
	sorted []*headStream // the first len(sorted) of streams in order of labels; replaced, never changed
}

// headStream is a stream. The head's lock guards everything but labels.
type headStream struct {
	labels labels.Labels
	next   *headStream // of the same hash

	sealed []*headChunk
	bounds []timeRange // of sealed[:i+1], all chunks up to i
	open   headChunk
	room   chunkRoom // for the open chunk, at first
	recent [4]uint32 // where the latest distinct metadata sets of open are
	turn   uint8     // the next of recent to give up
	number uint32    // in the buffer's streams
	times  timeRange
	rows   int

	// index finds duplicates by hash once looking through chunks has become too slow: many rows of
	// one instant, or far out of order. Nil until then.
	index map[uint64]rowAt
}

// rowAt is a row of a stream: chunk len(sealed) is the open one.
type rowAt struct{ chunk, row uint32 }

// What a stream and a row of the index cost beyond what is counted otherwise, measured by a test.
const (
	streamOverhead = 446
	indexRowSize   = 40
)

func newBuffer() *buffer {
	return &buffer{
		seed: maphash.MakeSeed(), byHash: map[uint64]*headStream{}, labels: headLabels{},
		names: headNames{numbers: map[string]uint32{}}, times: noTime,
	}
}

// append adds entries of the stream with labels ls, which must not change later, and of the hash. An
// entry that is there already is dropped, and so is one that older reports as known. It copies what it
// keeps.
func (h *buffer) append(ls labels.Labels, hash uint64, entries []Entry, older func(*Entry) bool, res *AppendResult) {
	h.mu.Lock()
	defer h.mu.Unlock()
	st := h.stream(ls, hash)
	memory, indexed, rows := st.open.memory(), len(st.index), st.rows
	st.open.reserve(entries, st.room)
	for j := range entries {
		e := &entries[j]
		if len(e.Line) > maxLine || metadataSize(e.Metadata) > maxMetadata {
			res.Refused++
			continue
		}
		if e.Timestamp <= st.times.max && h.has(st, e) || older(e) {
			res.Duplicates++
			continue
		}
		if st.open.full() {
			h.size -= memory
			h.size += st.seal()
			memory = st.open.memory()
			st.open.reserve(entries[j:], st.room)
			h.size += memory
		}
		h.add(st, e)
		h.raw += int64(len(e.Line)) + metadataSize(e.Metadata)
	}
	h.size += st.open.memory() - memory + int64(len(st.index)-indexed)*indexRowSize
	h.times.join(st.times)
	h.spans[st.number] = st.times
	res.Added += st.rows - rows
	if rows == 0 && st.rows > 0 {
		h.filled++
	}
	h.rows += st.rows - rows
}

// holds reports whether the buffer has e in the stream with labels ls.
func (h *buffer) holds(ls labels.Labels, hash uint64, e *Entry) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for st := h.byHash[hash]; st != nil; st = st.next {
		if labels.Equal(st.labels, ls) {
			return e.Timestamp >= st.times.min && e.Timestamp <= st.times.max && h.has(st, e)
		}
	}
	return false
}

// stream finds or makes the stream with labels ls. h.mu must be held.
func (h *buffer) stream(ls labels.Labels, hash uint64) *headStream {
	for st := h.byHash[hash]; st != nil; st = st.next {
		if labels.Equal(st.labels, ls) {
			return st
		}
	}
	number := uint32(len(h.streams))
	st := &headStream{labels: ls, number: number, next: h.byHash[hash], times: noTime}
	st.open.timeRange = noTime
	h.byHash[hash] = st
	h.streams = append(h.streams, st)
	h.spans = append(h.spans, noTime)
	h.size += streamOverhead
	h.size += h.labels.add(ls, number)
	return st
}

// add appends an entry to the open chunk of st. h.mu must be held.
func (h *buffer) add(st *headStream, e *Entry) {
	c := &st.open
	if e.Timestamp < c.max {
		c.unsorted = true
	}
	c.extend(e.Timestamp)
	st.times.extend(e.Timestamp)
	st.rows++
	c.ts = append(c.ts, e.Timestamp)
	c.lines = append(c.lines, e.Line...)
	c.ends = append(c.ends, uint32(len(c.lines)))
	if len(e.Metadata) > 0 {
		at := h.metadataSet(st, e.Metadata)
		c.metadataSize += metadataSize(e.Metadata)
		if c.metadataAt == nil {
			c.metadataAt = make([]uint32, 0, cap(c.ts))
		}
		for len(c.metadataAt) < len(c.ts)-1 {
			c.metadataAt = append(c.metadataAt, 0)
		}
		c.metadataAt = append(c.metadataAt, at)
	}
	if st.index != nil {
		st.index[h.hash(e)] = rowAt{uint32(len(st.sealed)), uint32(len(c.ts) - 1)}
	}
}

// metadataSize is what md counts for in volumes. The name detected_level counts nothing: it is
// Hune's own, on every entry, and would make volumes of short lines a third larger than the same
// in Loki.
func metadataSize(md []Label) int64 {
	n := 0
	for _, l := range md {
		n += len(l.Value)
		if l.Name != DetectedLevel {
			n += len(l.Name)
		}
	}
	return int64(n)
}

// metadataSet returns where md is in the open chunk, and puts it there if it isn't among the latest.
func (h *buffer) metadataSet(st *headStream, md []Label) uint32 {
	c := &st.open
	for _, at := range st.recent {
		if at != 0 && sameMetadata(c.metadata, at, h.names.list, md) {
			return at
		}
	}
	at := uint32(len(c.metadata)) + 1
	known := len(h.names.list)
	c.metadata = appendMetadataSet(c.metadata, md, &h.names)
	for _, name := range h.names.list[known:] {
		h.size += int64(len(name)) + 64
	}
	st.recent[st.turn] = at
	st.turn = (st.turn + 1) % uint8(len(st.recent))
	return at
}

// seal closes the open chunk and returns what it holds.
func (st *headStream) seal() int64 {
	c := new(headChunk)
	*c = st.open
	c.trim()
	bounds := c.timeRange
	if n := len(st.bounds); n > 0 {
		bounds.join(st.bounds[n-1])
	}
	st.sealed = append(st.sealed, c)
	st.bounds = append(st.bounds, bounds)
	st.open = headChunk{timeRange: noTime}
	st.room = c.quarter()
	st.recent, st.turn = [4]uint32{}, 0
	return c.memory() + 160
}

// slowLookup is how many timestamps a search for a duplicate may look at before an index pays.
const slowLookup = 2 * chunkRows

// has reports whether st has e already. h.mu must be held.
func (h *buffer) has(st *headStream, e *Entry) bool {
	if st.index == nil {
		found, cost := h.search(st, e)
		if cost > slowLookup {
			h.buildIndex(st)
		}
		return found
	}
	at, ok := st.index[h.hash(e)]
	if !ok {
		return false
	}
	if h.same(st.chunk(at.chunk), int(at.row), e) {
		return true
	}
	found, _ := h.search(st, e) // two entries of one hash: once in a million years
	return found
}

func (st *headStream) chunk(i uint32) *headChunk {
	if int(i) < len(st.sealed) {
		return st.sealed[i]
	}
	return &st.open
}

// search looks for e in the chunks whose times include it, newest first.
func (h *buffer) search(st *headStream, e *Entry) (found bool, cost int) {
	found, cost = h.searchChunk(&st.open, e)
	for i := len(st.sealed) - 1; i >= 0 && !found; i-- {
		if e.Timestamp > st.bounds[i].max || e.Timestamp < st.bounds[i].min {
			break // so are all chunks before
		}
		var n int
		found, n = h.searchChunk(st.sealed[i], e)
		cost += n + 1
	}
	return found, cost
}

func (h *buffer) searchChunk(c *headChunk, e *Entry) (found bool, cost int) {
	if e.Timestamp < c.min || e.Timestamp > c.max {
		return false, 0
	}
	lo := 0
	if !c.unsorted {
		if e.Timestamp == c.max {
			// Fast path: the newest instant is at the end.
			for lo = len(c.ts); lo > 0 && c.ts[lo-1] == e.Timestamp; {
				lo--
			}
		} else {
			lo, _ = slices.BinarySearch(c.ts, e.Timestamp)
		}
	}
	for i := lo; i < len(c.ts); i++ {
		if c.ts[i] == e.Timestamp {
			if h.same(c, i, e) {
				return true, i - lo
			}
			cost += 16 // comparing lines is dearer than comparing times
		} else if !c.unsorted {
			return false, cost
		}
		cost++
	}
	return false, cost
}

func (h *buffer) same(c *headChunk, row int, e *Entry) bool {
	return c.ts[row] == e.Timestamp && string(c.line(row)) == e.Line && sameMetadata(c.metadata, c.metadataOf(row), h.names.list, e.Metadata)
}

// hash is of what makes an entry distinct within a stream. The seed is secret, so nobody can make
// entries collide.
func (h *buffer) hash(e *Entry) uint64 {
	var m maphash.Hash
	m.SetSeed(h.seed)
	maphash.WriteComparable(&m, e.Timestamp)
	maphash.WriteComparable(&m, len(e.Line))
	m.WriteString(e.Line)
	for _, l := range e.Metadata {
		maphash.WriteComparable(&m, l)
	}
	return m.Sum64()
}

func (h *buffer) buildIndex(st *headStream) {
	st.index = make(map[uint64]rowAt, 2*st.rows)
	var md []Label
	for i := range len(st.sealed) + 1 {
		c := st.chunk(uint32(i))
		reader := packedMetadata{c.metadataAt, c.metadata, h.names.list}
		for row, t := range c.ts {
			md = reader.appendMetadata(md[:0], row)
			st.index[h.hash(&Entry{t, view(c.line(row)), md})] = rowAt{uint32(i), uint32(row)}
		}
	}
}

// Size returns how much memory the head holds, in bytes.
func (h *buffer) Size() int64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.size
}

// Rows returns how many entries the head holds.
func (h *buffer) Rows() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.rows
}

// TimeRange implements Part.
func (h *buffer) TimeRange() (oldest, newest int64) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.times.min, h.times.max
}
