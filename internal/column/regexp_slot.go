package column

import "github.com/hune-io/hune/internal/block"

// slotWalk steps over a slot, and the static text after it, in one row after another.
type slotWalk struct {
	d      *dfa
	column *Column
	static string
	last   bool // no slot follows

	// values returns the value in a row of the template; what it returned before is overwritten.
	values func(row int) []byte
	// For a Dict, instead: the entry of each value, the entries, and the place of a row's value.
	codes   []uint32
	entries *block.Values
	places  []uint32

	known     map[int32]*slotMemo
	lastState int32
	lastMemo  *slotMemo
	tables    int
}

// slotMemo is what is known of a slot when it is entered in a certain state.
type slotMemo struct {
	skip bool  // whatever the value is, the state after the static text is next
	next int32 // where skip
	// entries holds the state after each entry of a Dict and the static text, -1 where not known yet.
	entries []int32
}

// maxTables bounds how many states have a table of entries.
const maxTables = 16

func (x *slotWalk) memo(s int32) *slotMemo {
	if s == x.lastState && x.lastMemo != nil {
		return x.lastMemo
	}
	m := x.known[s]
	if m == nil {
		m = &slotMemo{}
		m.next, m.skip = x.d.skip(s, x.column, x.static, x.last)
		if x.known == nil {
			x.known = map[int32]*slotMemo{}
		}
		x.known[s] = m
	}
	x.lastState, x.lastMemo = s, m
	return m
}

// next returns the state of a row after the slot and the static text, given the one before.
func (x *slotWalk) next(s int32, row int) int32 {
	m := x.memo(s)
	if m.skip {
		return m.next
	}
	if x.codes == nil {
		return run(x.d, run(x.d, s, x.values(row)), x.static)
	}
	if x.places != nil {
		row = int(x.places[row])
	}
	code := x.codes[row]
	if m.entries == nil && x.tables < maxTables {
		x.tables++
		m.entries = make([]int32, x.entries.Len())
		for i := range m.entries {
			m.entries[i] = -1
		}
	}
	if m.entries == nil {
		return run(x.d, run(x.d, s, x.entries.At(int(code))), x.static)
	}
	if m.entries[code] < 0 {
		m.entries[code] = run(x.d, run(x.d, s, x.entries.At(int(code))), x.static)
	}
	return m.entries[code]
}

// open makes the values of slot i ready for x, or reports false if they are not at hand.
func (w *templateWalk) open(i int, x *slotWalk) bool {
	slot := &w.c.Templates[w.k].Slots[w.form.slots[i]]
	ready := w.r.allAtHand(slot.Values())
	if slot.Shared >= 0 {
		if !w.r.allAtHand(w.c.IDs) || !ready {
			return false
		}
		x.places = w.r.SlotRows(w.c, w.k, w.form.slots[i])
	}
	if !ready {
		return false
	}
	c := slot.Values()
	if c.Kind == Dict {
		x.codes = w.r.Codes(c)
		x.entries = w.r.allValues(c.Values)
		return true
	}
	at := w.r.values(c, len(w.rows))
	x.values = func(row int) []byte {
		if x.places != nil {
			row = int(x.places[row])
		}
		return at(row)
	}
	return true
}

// allValues returns the values of c, which is at hand. They are kept.
func (r *Reader) allValues(c *Column) *block.Values {
	if v := r.search.values[c]; v != nil {
		return v
	}
	v := &block.Values{}
	if c.Kind == Raw {
		if v = r.rawBytes(c); v.Len() != c.Rows {
			v = &block.Values{Ends: make([]uint32, c.Rows)} // damaged: Err says so
		}
	} else {
		r.Values(v, c, All)
	}
	if r.search.values == nil {
		r.search.values = map[*Column]*block.Values{}
	}
	r.search.values[c] = v
	return v
}

// values returns a function that returns a value of c, which is at hand, until it is called again. It will
// be called some times.
func (r *Reader) values(c *Column, times int) func(row int) []byte {
	var buf []byte
	switch c.Kind {
	case Int:
		ints := r.Int64s(c)
		return func(row int) []byte {
			buf = appendInt(buf[:0], &c.Int, ints[row])
			return buf
		}
	case Hex:
		data, width := r.hexBytes(c), c.Hex.width()
		return func(row int) []byte {
			buf = appendHex(buf[:0], data[row*width:][:width], &c.Hex)
			return buf
		}
	case Text:
		if times < c.Rows/16 {
			return func(row int) []byte {
				buf = r.Append(buf[:0], c, row)
				return buf
			}
		}
	}
	v := r.allValues(c)
	return func(row int) []byte { return v.At(row) }
}
