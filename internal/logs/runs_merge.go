package logs

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
)

// cursor walks a run in a direction. Within an instant it always walks forward.
type cursor struct {
	run
	ts      int64 // of the row at pos
	pos, hi int   // the instant at hand ends before hi
	lo      int   // and begins at lo
}

func newCursor(r run, d Direction) *cursor {
	c := &cursor{run: r}
	if d == Forward {
		c.hi = len(r.ts)
		c.ts = r.ts[0]
		return c
	}
	c.instant(len(r.ts))
	return c
}

// instant moves to the instant whose rows end before hi.
func (c *cursor) instant(hi int) {
	all := c.run.ts
	c.hi, c.ts = hi, all[hi-1]
	for c.lo = hi - 1; c.lo > 0 && all[c.lo-1] == c.ts; {
		c.lo--
	}
	c.pos = c.lo
}

// next moves on and reports whether there is a row.
func (c *cursor) next(d Direction) bool {
	c.pos++
	if c.pos < c.hi {
		if d == Forward {
			c.ts = c.run.ts[c.pos]
		}
		return true
	}
	if d == Forward || c.lo == 0 {
		return false
	}
	c.instant(c.lo)
	return true
}

// before is the order of the answer: time in the direction, then labels, then arrival.
func (c *cursor) before(o *cursor, d Direction) bool {
	if c.ts != o.ts {
		return (c.ts < o.ts) == (d == Forward)
	}
	if c.stream != o.stream {
		return c.stream < o.stream
	}
	return c.seq < o.seq
}

// merger is the state of one select over pieces.
type merger struct {
	q       *selection
	streams []labels.Labels
	pieces  []piece // in the order in which they must be opened
	heap    []*cursor
	rows    Rows
	labels  []Label
	late    []lateRow // of the batch
	yielded int

	// Of pieces that are opened in parallel.
	places  chan struct{} // nil: open in place
	ahead   int           // pieces to open before they fall due
	started int           // of pieces, from the front
	taken   int           // pieces that were started and are merged
	wait    sync.WaitGroup
}

// mergePieces yields the rows of the pieces in the order of the selection. streams are the label
// sets that the runs' stream numbers point into, sorted. It sorts pieces. With workers above zero,
// pieces that take long to open are opened by so many goroutines, which end before it returns.
func mergePieces(ctx context.Context, q *selection, streams []labels.Labels, pieces []piece, workers int, yield func(*Rows, error) bool) {
	m := &merger{q: q, streams: streams, pieces: pieces}
	if workers > 0 && len(pieces) > 1 {
		m.places = make(chan struct{}, workers)
		// A limit is mostly reached in the first pieces: what is opened ahead would be wasted.
		if q.expect == 0 {
			m.ahead = workers
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer m.wait.Wait()
		defer cancel()
	}
	slices.SortFunc(pieces, func(a, b piece) int {
		if q.direction == Forward {
			return cmp.Compare(a.min, b.min)
		}
		return cmp.Compare(b.max, a.max)
	})
	for {
		if err := ctx.Err(); err != nil {
			yield(nil, context.Cause(ctx))
			return
		}
		done, err := m.fill(ctx)
		if err == nil {
			err = m.rebuild(ctx)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		if len(m.rows.Timestamps) > 0 && !yield(&m.rows, nil) || done {
			return
		}
	}
}

// A batch of rows is large enough to make the cost of yielding it small, and small enough for the
// caller's work on it to stay in the processor's cache.
const (
	batchRows  = 1024
	batchBytes = 1 << 20
)

// fill makes the next batch; done says that it is the last one.
func (m *merger) fill(ctx context.Context) (done bool, err error) {
	m.rows.Streams = m.streams
	m.rows.Stream, m.rows.Timestamps = m.rows.Stream[:0], m.rows.Timestamps[:0]
	m.rows.Lines, m.rows.Metadata, m.labels = m.rows.Lines[:0], m.rows.Metadata[:0], m.labels[:0]
	size := 0
	most := m.batchRows()
	for len(m.rows.Timestamps) < most && size < batchBytes {
		if err := m.openDue(ctx); err != nil {
			return false, err
		}
		if len(m.heap) == 0 {
			return true, nil
		}
		// The top cursor goes on as long as it stays before the second one and no piece falls due.
		top, second, due := m.heap[0], m.second(), m.dueTime()
		more := true
		for more && size < batchBytes && len(m.rows.Timestamps) < most {
			size += m.emit(top)
			if m.yielded == m.q.limit && m.q.limit > 0 {
				return true, nil
			}
			more = top.next(m.q.direction)
			if more && (second != nil && !top.before(second, m.q.direction) || m.isDue(due, top.ts)) {
				break
			}
		}
		if !more {
			m.pop()
		} else {
			m.siftDown(0)
		}
	}
	return false, nil
}

// batchRows is how many rows the next batch has at most. The first are few where few are expected.
func (m *merger) batchRows() int {
	if left := m.q.expect - m.yielded; left > 0 {
		return min(left, batchRows)
	}
	return batchRows
}

// emit adds the row at which c stands to the batch, and returns the length of its line, or, where the line
// is not known yet, of the average line of its page.
func (m *merger) emit(c *cursor) int {
	row := c.row(c.pos)
	at := len(m.rows.Timestamps)
	m.rows.Stream = append(m.rows.Stream, c.stream)
	m.rows.Timestamps = append(m.rows.Timestamps, c.ts)
	m.rows.Lines = append(m.rows.Lines, nil)
	m.rows.Metadata = append(m.rows.Metadata, nil)
	m.yielded++
	data := c.data
	if data == nil {
		if data = c.late.data; data == nil {
			m.late = append(m.late, lateRow{at, c.late, row})
			return c.late.lineLen()
		}
	}
	m.give(at, data, row)
	return len(m.rows.Lines[at])
}

// give fills row at of the batch with a row of data.
func (m *merger) give(at int, data *columns, row int) {
	m.rows.Lines[at] = data.line(row)
	from := len(m.labels)
	if data.metadata != nil {
		m.labels = data.metadata.appendMetadata(m.labels, row)
	}
	m.rows.Metadata[at] = m.labels[from:len(m.labels):len(m.labels)]
}

// dueTime is the time at which the next piece must be open.
func (m *merger) dueTime() int64 {
	switch {
	case m.q.direction == Forward && len(m.pieces) > 0:
		return m.pieces[0].min
	case m.q.direction == Forward:
		return math.MaxInt64
	case len(m.pieces) > 0:
		return m.pieces[0].max
	}
	return math.MinInt64
}

func (m *merger) isDue(due, ts int64) bool {
	if len(m.pieces) == 0 {
		return false
	}
	if m.q.direction == Forward {
		return due <= ts
	}
	return due >= ts
}

// openDue opens the pieces that may hold a row before or at the instant of the top cursor.
func (m *merger) openDue(ctx context.Context) error {
	for len(m.pieces) > 0 && (len(m.heap) == 0 || m.isDue(m.dueTime(), m.heap[0].ts)) {
		m.start(ctx)
		runs, err := m.take(ctx)
		if err != nil {
			return err
		}
		for _, r := range runs {
			m.push(newCursor(r, m.q.direction))
		}
	}
	return nil
}

// start starts the pieces that are due, and those that will soon be. Where the caller is expected to stop
// soon, what is due by the top cursor may not be so once the first due piece is open, or needn't be: so it
// starts no more at once than half of what has turned out to be needed.
func (m *merger) start(ctx context.Context) {
	if m.places == nil {
		return
	}
	for m.started < len(m.pieces) {
		p := &m.pieces[m.started]
		due := m.started == 0
		if len(m.heap) > 0 {
			if m.q.direction == Forward {
				due = m.isDue(p.min, m.heap[0].ts)
			} else {
				due = m.isDue(p.max, m.heap[0].ts)
			}
		}
		if !due && m.started >= m.ahead || m.q.expect > 0 && m.yielded <= m.q.expect && m.started > m.taken/2 {
			return
		}
		o := &opening{done: make(chan struct{})}
		p.opening = o
		m.started++
		m.wait.Go(func() {
			defer close(o.done)
			select {
			case m.places <- struct{}{}:
				o.runs, o.err = p.open(ctx, m.q)
				<-m.places
			case <-ctx.Done():
				o.err = context.Cause(ctx)
			}
		})
	}
}

// take takes the first piece and returns its runs.
func (m *merger) take(ctx context.Context) ([]run, error) {
	p := m.pieces[0]
	m.pieces = m.pieces[1:]
	if p.opening == nil {
		return p.open(ctx, m.q)
	}
	m.started--
	m.taken++
	<-p.done
	runs := p.runs
	p.runs = nil // the goroutine's closure would keep them
	return runs, p.err
}

func (m *merger) second() *cursor {
	switch {
	case len(m.heap) < 2:
		return nil
	case len(m.heap) == 2 || m.heap[1].before(m.heap[2], m.q.direction):
		return m.heap[1]
	}
	return m.heap[2]
}

func (m *merger) push(c *cursor) {
	m.heap = append(m.heap, c)
	i := len(m.heap) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !m.heap[i].before(m.heap[parent], m.q.direction) {
			return
		}
		m.heap[i], m.heap[parent] = m.heap[parent], m.heap[i]
		i = parent
	}
}

func (m *merger) pop() {
	last := len(m.heap) - 1
	m.heap[0] = m.heap[last]
	m.heap[last] = nil
	m.heap = m.heap[:last]
	m.siftDown(0)
}

func (m *merger) siftDown(i int) {
	for {
		child := 2*i + 1
		if child >= len(m.heap) {
			return
		}
		if child+1 < len(m.heap) && m.heap[child+1].before(m.heap[child], m.q.direction) {
			child++
		}
		if !m.heap[child].before(m.heap[i], m.q.direction) {
			return
		}
		m.heap[i], m.heap[child] = m.heap[child], m.heap[i]
		i = child
	}
}
