package traces

import (
	"fmt"
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// This file finds the attributes of spans, events and links in their columns: the values of a column stand in the
// order of the rows that have it, so that where a row's value is follows from the shapes of the rows before.

// rankCursor knows how many values of each column stand before a row.
type rankCursor struct {
	row   int
	ranks []int // by column, from 1 on; 0: rows with attributes in the rest
	hist  []int // scratch
	seen  []int
}

// checkValues compares the numbers of values that shapes call for with those of the columns, so that building
// spans needn't look.
func (r *spanReader) checkValues() error {
	need := make([]int, len(r.dir.columns)+1)
	for place := range tagPlaces {
		if !r.needs.place(place) || place == onSpan && !r.ranked {
			continue
		}
		rest := 0
		for s, n := range r.shapeUses(place) {
			if n == 0 {
				continue
			}
			for _, c := range r.dir.shapes[s] {
				if need[c] += n; c > 0 && r.dir.columns[c-1].place != place {
					return r.corrupt("shapes", fmt.Errorf("shape %d has columns of another place", s))
				}
			}
			if slices.Contains(r.dir.shapes[s], 0) {
				rest += n
			}
		}
		if t := r.rest[place]; r.needs.rest(place) && (rest > 0 || t != nil) {
			if t == nil || t.len() != rest {
				return r.corrupt("rest", errValues)
			}
		}
	}
	for c, v := range r.columns {
		if v != nil && need[c+1] != v.values && (v.place != onSpan || r.ranked) {
			return r.corrupt("shapes", errValues)
		}
	}
	return nil
}

// len returns how many values there are.
func (s *storedTexts) len() int {
	if s.codes != nil {
		return len(s.codes)
	}
	return s.c.Rows
}

// shapeUses counts the spans, events or links of each shape.
func (r *spanReader) shapeUses(place int) []int {
	uses := make([]int, len(r.dir.shapes))
	if place == onSpan {
		for _, c := range r.classList() {
			uses[r.dir.classes[c].shape]++
		}
		return uses
	}
	if len(uses) == 0 {
		return nil
	}
	for _, s := range r.shape[place] {
		uses[s]++
	}
	return uses
}

func (r *spanReader) shapeOf(place, row int) int {
	if place == onSpan {
		return r.dir.classes[r.class.At(row)].shape
	}
	return int(r.shape[place][row])
}

// advance moves a cursor to a row.
func (r *spanReader) advance(place, row int) {
	c := &r.cursors[place]
	if place == onSpan && !r.ranked {
		c.row = row
		return
	}
	for ; c.row < row; c.row++ {
		s := r.shapeOf(place, c.row)
		if c.hist[s] == 0 {
			c.seen = append(c.seen, s)
		}
		c.hist[s]++
	}
	for _, s := range c.seen {
		n := c.hist[s]
		c.hist[s] = 0
		rest := false
		for _, col := range r.dir.shapes[s] {
			if col == 0 {
				rest = true
			} else {
				c.ranks[col] += n
			}
		}
		if rest {
			c.ranks[0] += n
		}
	}
	c.seen = c.seen[:0]
}

// wanted returns how many attributes of a shape are needed.
func (r *spanReader) wanted(shape []uint32) int {
	if r.needs == nil {
		return len(shape)
	}
	n := 0
	for _, c := range shape {
		if c == 0 || r.columns[c-1] != nil {
			n++
		}
	}
	return n
}

// take returns the attributes of the row that the cursor is at, and moves it on.
func (r *spanReader) take(place, trace int, alloc func(int) []Attribute) []Attribute {
	c := &r.cursors[place]
	row := c.row
	shape := r.dir.shapes[r.shapeOf(place, row)]
	c.row++
	if len(shape) == 0 {
		return nil
	}
	var class uint32
	if place == onSpan {
		class = r.class.At(row)
	}
	want := r.wanted(shape)
	if want == 0 && !r.ranked {
		return nil
	}
	var rest *block.Decoder
	out := alloc(want)
	n := 0
	for _, col := range shape {
		if col == 0 {
			if rest == nil {
				rest = block.NewDecoder([]byte(r.rest[place].at(c.ranks[0])))
				c.ranks[0]++
			}
			if r.rest[place] == nil {
				continue
			}
			readRest(rest, &out[n])
			n++
			continue
		}
		if v := r.columns[col-1]; v != nil {
			v.get(c.ranks[col], class, trace, &out[n], alloc)
			n++
		}
		c.ranks[col]++
	}
	if rest != nil && r.rest[place] != nil {
		if err := rest.Finish(); err != nil && r.err == nil {
			r.err = r.corrupt("rest", err)
		}
	}
	return out[:n]
}
