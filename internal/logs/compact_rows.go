package logs

import (
	"container/heap"
	"context"
	"encoding/binary"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// pageRef is a page of one of several sets.
type pageRef struct {
	set  *pageSet
	page int
	// numbers leads from the set's numbers of streams to those that all sets share.
	numbers []uint32
	rank    int // of the set: rows of one instant come in the order of the sets
}

func (p pageRef) entry() *pageEntry { return &p.set.index.pages[p.page] }

func (p pageRef) stream(run int) uint32 { return p.numbers[p.entry().runs[run].stream] }

// follows reports whether p can come after q in one sequence of rows by stream, then time.
func (p pageRef) follows(q pageRef) bool {
	last := len(q.entry().runs) - 1
	a, b := q.stream(last), p.stream(0)
	return a < b || a == b && q.entry().runs[last].max <= p.entry().runs[0].min
}

// sequences cuts pages into as few sequences as their order gives.
func sequences(pages []pageRef) [][]pageRef {
	var out [][]pageRef
	for i, p := range pages {
		if n := len(out); n > 0 && pages[i-1].set == p.set && p.follows(pages[i-1]) {
			out[n-1] = append(out[n-1], p)
		} else {
			out = append(out, []pageRef{p})
		}
	}
	return out
}

// rowCursor walks the rows of a sequence of pages.
type rowCursor struct {
	pages []pageRef
	order int // among cursors: rows of one instant and stream come in this order

	page *Page
	data *columns
	ts   []int64
	ref  pageRef
	run  int
	row  int // in the page
	end  int // of the run

	stream uint32
	time   int64
	md     []Label
}

// next moves to the next row and reports whether there is one.
func (c *rowCursor) next(ctx context.Context) (bool, error) {
	c.row++
	for c.row >= c.end {
		if c.page == nil || c.run+1 == len(c.page.Runs) {
			if len(c.pages) == 0 {
				return false, nil
			}
			if err := c.open(ctx); err != nil {
				return false, err
			}
		} else {
			c.run++
		}
		r := c.page.Runs[c.run]
		c.row, c.end, c.stream = r.First, r.First+r.Rows, c.ref.stream(c.run)
	}
	c.time = c.ts[c.row]
	return true, nil
}

func (c *rowCursor) open(ctx context.Context) (err error) {
	c.ref, c.pages = c.pages[0], c.pages[1:]
	c.page = c.ref.set.page(c.ref.page, nil)
	if c.ts, err = c.page.Timestamps(ctx); err != nil {
		return err
	}
	c.data, err = c.page.rebuild(ctx, column.All, true)
	c.page.reader = nil // what it decoded on the way is many times the rows
	c.run = 0
	return err
}

func (c *rowCursor) line() []byte { return c.data.line(c.row) }

func (c *rowCursor) metadata() []Label {
	c.md = c.md[:0]
	if c.data.metadata != nil {
		c.md = c.data.metadata.appendMetadata(c.md, c.row)
	}
	return c.md
}

// appendKey appends what makes the row distinct within its stream and instant.
func (c *rowCursor) appendKey(dst []byte) []byte {
	md := c.metadata()
	dst = binary.AppendUvarint(dst, uint64(len(md)))
	for _, l := range md {
		dst = block.AppendPrefixed(block.AppendPrefixed(dst, l.Name), l.Value)
	}
	return append(dst, c.line()...)
}

// cursorHeap is a heap of cursors by stream, time, order.
type cursorHeap []*rowCursor

func (h cursorHeap) Len() int { return len(h) }
func (h cursorHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	if a.stream != b.stream {
		return a.stream < b.stream
	}
	if a.time != b.time {
		return a.time < b.time
	}
	return a.order < b.order
}
func (h cursorHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *cursorHeap) Push(x any)   { *h = append(*h, x.(*rowCursor)) }
func (h *cursorHeap) Pop() any {
	old := *h
	c := old[len(old)-1]
	*h = old[:len(old)-1]
	return c
}

// mergePages gives the rows of sequences of pages to yield in the order of a block: by stream, then
// time, then sequence. A row that several sequences have comes once. It holds one decoded page of each
// sequence. stream is a number that the sets share.
func mergePages(ctx context.Context, seqs [][]pageRef, yield func(stream uint32, ts int64, line []byte, md []Label) error) error {
	var h cursorHeap
	for i, pages := range seqs {
		c := &rowCursor{pages: pages, order: i}
		if ok, err := c.next(ctx); err != nil {
			return err
		} else if ok {
			h = append(h, c)
		}
	}
	heap.Init(&h)
	var seen seenRows
	for n := 0; len(h) > 0; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		c := h[0]
		if !seen.has(c, h) {
			if err := yield(c.stream, c.time, c.line(), c.metadata()); err != nil {
				return err
			}
		}
		ok, err := c.next(ctx)
		if err != nil {
			return err
		}
		if ok {
			heap.Fix(&h, 0)
		} else {
			heap.Pop(&h)
		}
	}
	return nil
}

// seenRows remembers the rows of one stream and instant while several cursors have such rows.
type seenRows struct {
	active bool
	stream uint32
	time   int64
	keys   map[string]struct{}
	key    []byte
}

// has reports whether the row at which c, the top of h, stands was there before.
func (s *seenRows) has(c *rowCursor, h cursorHeap) bool {
	if !s.active || s.stream != c.stream || s.time != c.time {
		s.active = false
		for _, o := range h[1:min(3, len(h))] { // one of them comes next
			s.active = s.active || o.stream == c.stream && o.time == c.time
		}
		if !s.active {
			return false
		}
		s.stream, s.time = c.stream, c.time
		if s.keys == nil {
			s.keys = map[string]struct{}{}
		}
		clear(s.keys)
	}
	s.key = c.appendKey(s.key[:0])
	if _, dup := s.keys[string(s.key)]; dup {
		return true
	}
	s.keys[string(s.key)] = struct{}{}
	return false
}

// unite returns the streams of all sets, ascending, and for each set where its own are among them.
func unite(sets []*pageSet) (streams []labels.Labels, numbers [][]uint32) {
	for _, s := range sets {
		for i := range s.streams.len() {
			streams = append(streams, s.streams.at(i))
		}
	}
	slices.SortFunc(streams, labels.Compare)
	streams = slices.CompactFunc(streams, labels.Equal)
	for _, s := range sets {
		numbers = append(numbers, renumber(s.streams, streams))
	}
	return streams, numbers
}
