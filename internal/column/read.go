package column

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/hune-io/hune/internal/block"
)

// maxValuesLen bounds what Values appends at once: twice the longest line that is taken in, and far more
// than a page holds otherwise.
const maxValuesLen = 256 << 20

// maxPrinted is how many times as much may be printed on the way to that: a value of a slot is of each Text
// column that it is nested in.
const maxPrinted = 4

var errTooLong = fmt.Errorf("values of more than %d bytes", maxValuesLen)

// Append appends the value of a row: nothing where a Sparse column has none, or where what is needed is
// not at hand. For many rows Values is faster.
func (r *Reader) Append(dst []byte, c *Column, row int) []byte {
	switch c.Kind {
	case Const:
		return append(dst, c.Constant...)
	case Int:
		if ints, ok := r.ints(c); ok {
			return appendInt(dst, &c.Int, ints[row])
		}
	case Hex:
		if b, ok := r.open(c); ok {
			w := c.Hex.width()
			return appendHex(dst, b[row*w:][:w], &c.Hex)
		}
	case Dict:
		if codes, ok := r.codes(c); ok {
			return r.Append(dst, c.Values, int(codes[row]))
		}
	case Text:
		return r.appendText(dst, c, row)
	case Sparse:
		if places := r.sparsePlaces(c); places != nil && places[row] > 0 {
			return r.Append(dst, c.Values, int(places[row]-1))
		}
	case Raw:
		if v := r.rawBytes(c); row < v.Len() {
			return append(dst, v.At(row)...)
		}
	}
	return dst
}

func (r *Reader) appendText(dst []byte, c *Column, row int) []byte {
	k, j := c.only(), row
	if k < 0 {
		ids, ok := r.ids(c)
		if !ok {
			return dst
		}
		k, j = int(ids[row]), int(r.of(c).ranks[row])
	}
	t := &c.Templates[k]
	for s := range t.Slots {
		dst = append(dst, t.Pieces[s]...)
		places, shared, ok := r.slotPlaces(c, k, s)
		if !ok {
			continue
		}
		at := j
		if shared {
			at = int(places[j])
		}
		dst = r.Append(dst, t.Slots[s].Values(), at)
	}
	return append(dst, t.Pieces[len(t.Slots)]...)
}

// Values appends to v the values of the rows in among, in order, and opens only what these rows need. Rows
// of a Sparse column without a value append an empty one. Where something is not at hand, or the values are
// more than maxValuesLen or would outgrow v, all that it appends are empty.
func (r *Reader) Values(v *block.Values, c *Column, among Set) {
	n := among.Count(c.Rows)
	if n == 0 {
		return
	}
	v.Ends = slices.Grow(v.Ends, n)
	r.guarded(v, n, func() bool { return r.appendValues(v, c, among) })
}

// guarded appends n values to v by add, or, where it returns false or they are too long, n empty ones.
func (r *Reader) guarded(v *block.Values, n int, add func() bool) {
	defer r.giveBack()
	before := *v
	r.most, r.printedLen = min(len(v.Data)+r.limit, math.MaxUint32), 0
	if add() {
		if len(v.Data) <= r.most {
			return
		}
		r.fail(errTooLong)
	}
	*v = before
	end := uint32(len(v.Data))
	for range n {
		v.Ends = append(v.Ends, end)
	}
}

// appendValues is Values, but that it reports false where something is missing, and leaves v undefined.
func (r *Reader) appendValues(v *block.Values, c *Column, among Set) bool {
	switch {
	case c.Kind == Text:
		return r.appendLines(v, c, among)
	case c.Terminated && among.IsAll() && r.of(c).values == nil:
		return r.appendTerminated(v, c)
	}
	s, ok := r.source(c, among)
	if !ok {
		return false
	}
	if c.Kind == Sparse {
		return r.appendSparse(v, c, among, &s)
	}
	if s.kind == Raw && s.ranks == nil && among.IsAll() {
		start := uint32(len(v.Data))
		v.Data = append(v.Data, s.data...)
		for _, end := range s.ends {
			v.Ends = append(v.Ends, start+end)
		}
		return true
	}
	out, bits := v.Data, among.Bits()
	for i := 0; i < c.Rows; i++ {
		if bits != nil {
			if i = bits.Next(i); i < 0 {
				break
			}
		}
		out = s.append(out, i)
		v.Ends = append(v.Ends, uint32(len(out)))
		if len(out) > r.most {
			break
		}
	}
	v.Data = out
	return true
}

// appendTerminated appends all values of a Raw column without keeping them.
func (r *Reader) appendTerminated(v *block.Values, c *Column) bool {
	b, ok := r.open(c)
	if !ok {
		return false
	}
	if ok = splitValues(v, b, c.Rows); !ok {
		r.damaged(c, errMismatch)
	}
	return ok
}

// appendSparse appends the values of a Sparse column. s is the source of those that there are.
func (r *Reader) appendSparse(v *block.Values, c *Column, among Set, s *source) bool {
	places := r.sparsePlaces(c)
	for row, place := range places {
		if !among.Has(row) {
			continue
		}
		if place > 0 {
			v.Data = s.append(v.Data, int(place-1))
		}
		v.Ends = append(v.Ends, uint32(len(v.Data)))
		if len(v.Data) > r.most {
			break
		}
	}
	return true
}

// source prints the values of a column that is open. What has structure of its own is printed before: a
// Text column becomes bytes, and so do the entries of a dictionary.
type source struct {
	kind   Kind    // Const, Int, Hex, Raw; Dict: Raw behind codes
	column *Column // which Int and Hex values are of

	ints   []int64
	dates  datePrinter
	digits []byte
	width  int
	codes  []uint32 // if not nil: which entry is value i
	data   []byte
	ends   []uint32
	ranks  []uint32 // Raw, if not nil: which value is that of a row
}

// append appends value i.
func (s *source) append(dst []byte, i int) []byte {
	if s.codes != nil && s.kind != Dict {
		i = int(s.codes[i])
	}
	switch s.kind {
	case Const:
		return append(dst, s.data...)
	case Int:
		f := &s.column.Int
		if f.Form == DateTime {
			return s.dates.append(dst, f, s.ints[i])
		}
		return appendInt(dst, f, s.ints[i])
	case Hex:
		return appendHex(dst, s.digits[i*s.width:][:s.width], &s.column.Hex)
	}
	return append(dst, s.bytes(i)...)
}

// bytes returns value i of a Raw or Dict source. What follows it in memory is readable.
func (s *source) bytes(i int) []byte {
	if s.kind == Dict {
		i = int(s.codes[i])
	}
	if s.ranks != nil {
		i = int(s.ranks[i])
	}
	start := uint32(0)
	if i > 0 {
		start = s.ends[i-1]
	}
	return s.data[start:s.ends[i]]
}

// source opens what the rows in among need. It reports false where something is missing, having noted it
// all.
func (r *Reader) source(c *Column, among Set) (s source, ok bool) {
	s = source{kind: c.Kind, column: c}
	switch c.Kind {
	case Const:
		s.data, ok = c.Constant, true
	case Int:
		s.ints, ok = r.ints(c)
	case Hex:
		s.width = c.Hex.width()
		s.digits, ok = r.open(c)
	case Raw:
		v := r.rawBytes(c)
		s.data, s.ends, ok = v.Data, v.Ends, v.Len() == c.Rows
	case Text:
		return r.printed(c, among)
	case Dict:
		return r.dictSource(c, among)
	case Sparse:
		present := r.Present(c)
		known := r.of(c).present != nil
		if !known && !among.IsAll() {
			return s, false
		}
		s, ok = r.source(c.Values, gather(c, present, among))
		ok = ok && known
	}
	return s, ok
}

// buffers are for values that are printed on the way to others.
var buffers = sync.Pool{New: func() any { return new(block.Values) }}

// keptBuffer is the greatest buffer that is used again.
const keptBuffer = 8 << 20

// borrow returns an empty buffer until giveBack.
func (r *Reader) borrow() *block.Values {
	v := buffers.Get().(*block.Values)
	v.Reset()
	r.borrowed = append(r.borrowed, v)
	return v
}

func (r *Reader) giveBack() {
	for i, v := range r.borrowed {
		if cap(v.Data) <= keptBuffer {
			buffers.Put(v)
		}
		r.borrowed[i] = nil
	}
	r.borrowed = r.borrowed[:0]
}

// printed is the source of values that it prints at once. It is good until giveBack.
func (r *Reader) printed(c *Column, among Set) (source, bool) {
	v := r.borrow()
	if !r.appendValues(v, c, among) {
		return source{}, false
	}
	if r.printedLen += len(v.Data); r.printedLen > maxPrinted*r.limit || len(v.Data) > r.most {
		r.fail(errTooLong)
		return source{}, false
	}
	s := source{kind: Raw, column: c, data: v.Data, ends: v.Ends}
	if bits := among.Bits(); bits != nil {
		s.ranks = make([]uint32, c.Rows)
		n := uint32(0)
		for row := bits.Next(0); row >= 0; row = bits.Next(row + 1) {
			s.ranks[row] = n
			n++
		}
	}
	return s, true
}

// dictSource is the source of a dictionary, whose entries it prints, but for those that are raw anyway.
func (r *Reader) dictSource(c *Column, among Set) (s source, ok bool) {
	codes, known := r.codes(c)
	used := All
	if bits := among.Bits(); bits != nil && c.Values.Kind != Raw {
		if !known {
			return s, false
		}
		if k := c.Values.Kind; (k == Int || k == Hex) && bits.Count() < c.Values.Rows {
			// Fast path: each row prints its entry.
			s, ok = r.source(c.Values, All)
			s.codes = codes
			return s, ok
		}
		entries := block.NewBitmap(c.Values.Rows)
		for row := bits.Next(0); row >= 0; row = bits.Next(row + 1) {
			entries.Set(int(codes[row]))
		}
		used = SetOf(entries)
	}
	if c.Values.Kind == Raw {
		s, ok = r.source(c.Values, used)
	} else {
		s, ok = r.printed(c.Values, used)
	}
	s.kind, s.column, s.codes = Dict, c, codes
	return s, ok && known
}
