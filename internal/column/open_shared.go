package column

import (
	"slices"
)

// sharedRows says where the values of a shared column belong.
type sharedRows struct {
	members []int32    // templates that have a slot in it, ascending
	places  [][]uint32 // of each member: what SlotRows returns; nil until asked for
	rows    []uint32   // of the Text column, ascending: of each value its row; nil until asked for
}

// of returns the number of template k among the members.
func (s *sharedRows) of(k int) int {
	i, _ := slices.BinarySearch(s.members, int32(k))
	return i
}

// sharedRows returns what is known of shared column n of c. Its members are found for all columns at once:
// a page may have very many.
func (r *Reader) sharedRows(c *Column, n int) *sharedRows {
	o := r.of(c)
	if o.shared == nil {
		o.shared = make([]sharedRows, c.sharedCount())
		for k := range c.Templates {
			for i := range c.Templates[k].Slots {
				if s := c.Templates[k].Slots[i].Shared; s >= 0 {
					o.shared[s].members = append(o.shared[s].members, int32(k))
				}
			}
		}
	}
	return &o.shared[n]
}

// findRows fills s.rows, those of all members together. It reports false where the template numbers are
// not at hand or damaged.
func (r *Reader) findRows(c *Column, s *sharedRows, values int) bool {
	if s.rows != nil {
		return true
	}
	ids, ok := r.ids(c)
	if !ok {
		return false
	}
	rows := make([]uint32, 0, values)
	if values*fewOfRows < c.Rows {
		// Few of the rows: looking at all of them for each of many columns would take too long.
		for _, k := range s.members {
			rows = append(rows, r.TemplateRows(c, int(k))...)
		}
		slices.Sort(rows)
	} else {
		has := make([]bool, len(c.Templates))
		for _, k := range s.members {
			has[k] = true
		}
		for row, id := range ids {
			if has[id] {
				rows = append(rows, uint32(row))
			}
		}
	}
	s.rows = rows
	return true
}

// fewOfRows is how many times the rows of a column must be those of its page at least to be sorted.
const fewOfRows = 16

// findPlaces fills s.places.
func (r *Reader) findPlaces(c *Column, s *sharedRows, values int) bool {
	if s.places != nil {
		return true
	}
	ids, ok := r.ids(c)
	few := values*fewOfRows < c.Rows
	if !ok || few && !r.findRows(c, s, values) {
		return false
	}
	s.places = make([][]uint32, len(s.members))
	space := r.Scratch(values)
	next := make([]int, len(c.Templates)) // by template: where in space its next row's place goes; of others than members -1
	for k := range next {
		next[k] = -1
	}
	at := 0
	for i, k := range s.members {
		n := c.Templates[k].Rows // as many as there are in ids, which was checked
		s.places[i], next[k] = space[at:at+n:at+n], at
		at += n
	}
	if few {
		for n, row := range s.rows {
			k := ids[row]
			space[next[k]] = uint32(n)
			next[k]++
		}
		return true
	}
	n := uint32(0)
	for _, k := range ids {
		if at := next[k]; at >= 0 {
			space[at] = n
			next[k] = at + 1
			n++
		}
	}
	return true
}
