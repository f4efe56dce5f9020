package column

// Placed is what the rows of a template take: Vals[i] for value i of the slot's column, or, of slot -1, all of them
// Vals[0]. Where there are no Vals the rows are left as they are.
type Placed[T any] struct {
	Slot int
	Vals []T
}

// Spread puts into dst, which has an element for each row of a Text column, what the rows take. from is by template. It
// is one walk over the rows, where SlotRows and TemplateRows would take one for each template. Where the template
// numbers aren't at hand, dst stays as it is.
func Spread[T any](r *Reader, c *Column, dst []T, from []Placed[T]) {
	if k := c.only(); k >= 0 {
		if p := from[k]; p.Slot >= 0 {
			copy(dst, p.Vals)
		} else if len(p.Vals) > 0 {
			for i := range dst {
				dst[i] = p.Vals[0]
			}
		}
		return
	}
	if !r.allAtHand(c.IDs) {
		return
	}
	s := newSpreader(c, from)
	for row, k := range r.Below(c.IDs, uint32(len(c.Templates))) {
		f := &s.feeds[k]
		i := *f.next
		*f.next = i + f.step
		if i < len(f.vals) {
			dst[row] = f.vals[i]
		}
		for _, passed := range f.also {
			*passed++
		}
	}
	if !s.exhausted(c) {
		r.damaged(c, errMismatch)
	}
}

// spreader counts the values of columns that were taken.
type spreader[T any] struct {
	feeds  []feed[T] // by template
	own    []int     // by template: of the columns that are its own
	shared []int     // of shared columns
	used   []bool    // which of these are asked for
	still  int       // stays zero
}

// feed is where the next row of a template takes its value from.
type feed[T any] struct {
	vals []T
	next *int
	step int
	also []*int // of shared columns that others take from: the row has a value in them, too
}

func newSpreader[T any](c *Column, from []Placed[T]) *spreader[T] {
	s := &spreader[T]{feeds: make([]feed[T], len(from)), own: make([]int, len(from)),
		shared: make([]int, c.sharedCount()), used: make([]bool, c.sharedCount())}
	for k, p := range from {
		s.feeds[k] = feed[T]{vals: p.Vals, next: &s.still}
		if p.Slot < 0 || len(p.Vals) == 0 {
			continue
		}
		s.feeds[k].step = 1
		if n := c.Templates[k].Slots[p.Slot].Shared; n >= 0 {
			s.feeds[k].next, s.used[n] = &s.shared[n], true
		} else {
			s.feeds[k].next = &s.own[k]
		}
	}
	for k := range from {
		for i := range c.Templates[k].Slots {
			if n := c.Templates[k].Slots[i].Shared; n >= 0 && s.used[n] && s.feeds[k].next != &s.shared[n] {
				s.feeds[k].also = append(s.feeds[k].also, &s.shared[n])
			}
		}
	}
	return s
}

// exhausted reports whether as many values were taken as there are.
func (s *spreader[T]) exhausted(c *Column) bool {
	for n, used := range s.used {
		if used && s.shared[n] != c.sharedLen(n) {
			return false
		}
	}
	for k := range s.feeds {
		if s.feeds[k].next == &s.own[k] && s.own[k] != c.Templates[k].Rows {
			return false
		}
	}
	return true
}
