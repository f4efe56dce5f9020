package column

import (
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
)

// The columns of the slots of lines are most of a directory, and a question is about few of them. In a page
// of Shapes they are in parts, which are read when somebody asks: a part is a shared column, or the columns that
// the slots of one template have of their own.

// slotPart is columns of a Text column that are read when they are asked for.
type slotPart struct {
	in        *partSource
	from, end uint32 // where in the source's bytes
	rows      int32  // of each of its columns
	count     int32  // of columns
	lines     *Column
	template  int32 // whose it is, -1: it is shared
	shared    int32 // number of the shared column, or -1
	stamp     Stamp // bounds of those of its columns, without numbers
	begins    [2]begin
	isRead    atomic.Bool
	list      []*Column // once isRead
}

// begin is where the first payload of a part is, of those that aren't strings or of strings.
type begin struct{ blob, off int32 }

// nowhere is what begins are before any payload.
var nowhere = [2]begin{{blob: -1}, {blob: -1}}

// partSource is the bytes that the parts of a page are read from.
type partSource struct {
	data []byte

	mu     sync.Mutex
	reader *directoryReader
	times  *Column // what the slots of lines may follow, or nil

	fault atomic.Pointer[error]
}

// Err returns what was wrong with a part that was read: the page is damaged.
func (p *Page) Err() error {
	if p.source == nil {
		return nil
	}
	if err := p.source.fault.Load(); err != nil {
		return *err
	}
	return nil
}

// Load reads all parts.
func (p *Page) Load() error {
	for _, c := range p.Columns {
		for i := range c.parts {
			c.parts[i].columns()
		}
	}
	return p.Err()
}

// columns returns the columns of the part.
func (p *slotPart) columns() []*Column {
	if !p.isRead.Load() {
		p.in.load(p)
	}
	return p.list
}

// load reads p, unless another has done it.
func (s *partSource) load(p *slotPart) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.isRead.Load() {
		return
	}
	columns, err := s.reader.readPart(p, s.times)
	if err != nil {
		s.fail(err)
		columns = columns[:0]
		for range p.count {
			c := newColumn(Const, int(p.rows))
			c.id = s.reader.nextID()
			columns = append(columns, c)
		}
	}
	p.list = columns
	p.isRead.Store(true)
}

func (s *partSource) fail(err error) {
	err = fmt.Errorf("directory of a page: %w", err)
	s.fault.CompareAndSwap(nil, &err)
}

// nextID returns a number for a column that was not read.
func (r *directoryReader) nextID() int32 {
	r.taken.columns++
	return int32(r.taken.columns - 1)
}

// readPart reads a part.
func (r *directoryReader) readPart(p *slotPart, times *Column) ([]*Column, error) {
	d := r.d
	d.Reset(p.in.data[p.from:p.end])
	r.times, r.form, r.end = times, nil, int(p.end)
	r.forgetPlaces()
	for k, at := range p.begins {
		r.last[k] = max(0, int(at.blob))
		if at.blob >= 0 && r.used[at.blob] == unnamed {
			r.used[at.blob] = int(at.off)
			r.named = append(r.named, int(at.blob))
		}
	}
	columns := r.list(int(p.count))
	for range p.count {
		c := r.column(int(p.rows), 1)
		if d.Err() != nil {
			break
		}
		c.bind(times, p.lines, int(p.template), int(p.shared))
		columns = append(columns, c)
	}
	if err := d.Finish(); err != nil {
		return columns, err
	}
	for _, c := range columns {
		if !p.stamp.covers(&c.Stamp) {
			return columns, fmt.Errorf("columns of template %d, shared column %d, are not as it says: %+v in %+v", p.template, p.shared, c.Stamp, p.stamp)
		}
	}
	return columns, nil
}

// covers reports whether what s says of values is true of those that o speaks of.
func (s *Stamp) covers(o *Stamp) bool {
	return o.MinLen >= s.MinLen && o.MaxLen <= s.MaxLen && o.Chars&^s.Chars == 0 && o.Run <= s.Run
}

// list returns an empty list for n columns, from a slab.
func (r *directoryReader) list(n int) []*Column {
	if len(r.lists) < n {
		r.lists = make([]*Column, max(n, 64))
	}
	l := r.lists[:0:n]
	r.lists = r.lists[n:]
	return l
}

// sharedCount returns how many columns the templates of c share.
func (c *Column) sharedCount() int { return len(c.Shared) + c.TextForm.shared }

// sharedColumn returns shared column i.
func (c *Column) sharedColumn(i int) *Column {
	if c.TextForm.shared == 0 {
		return c.Shared[i]
	}
	return c.parts[i].columns()[0]
}

// SharedColumns yields the columns that several templates have a slot in.
func (c *Column) SharedColumns() iter.Seq[*Column] {
	return func(yield func(*Column) bool) {
		for i := range c.sharedCount() {
			if !yield(c.sharedColumn(i)) {
				return
			}
		}
	}
}

// sharedLen returns how many values shared column i has.
func (c *Column) sharedLen(i int) int {
	if c.TextForm.shared == 0 {
		return c.Shared[i].Rows
	}
	return int(c.parts[i].rows)
}

// partly reports whether columns of t are in parts that nobody has asked for.
func (t *Template) partly() bool {
	return slices.ContainsFunc(t.Slots, func(s Slot) bool { return s.part != nil && !s.part.isRead.Load() })
}
