package column

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// openColumn is what a Reader has decoded of a column. A field is nil until it was asked for.
type openColumn struct {
	bad bool // damaged: not looked at again

	ints    []int64
	small   []uint32 // see Below
	codes   []uint32
	values  *block.Values
	present *Set
	sparse  []uint32 // Sparse: see sparsePlaces

	ranks  []uint32     // Text: of each row its number among those of its template
	rows   [][]uint32   // Text: the rows of each template
	shared []sharedRows // Text: of each shared column
}

var errMismatch = errors.New("payload and description disagree")

// of returns what is decoded of c, a column of the Reader's page.
func (r *Reader) of(c *Column) *openColumn {
	for int(c.id) >= len(r.opened) {
		r.opened = append(r.opened, nil)
		r.opened = r.opened[:cap(r.opened)]
	}
	o := r.opened[c.id]
	if o == nil {
		o = &openColumn{}
		r.opened[c.id] = o
	}
	return o
}

// damaged notes what is wrong with c.
func (r *Reader) damaged(c *Column, err error) {
	r.of(c).bad = true
	r.fail(fmt.Errorf("column of kind %d in blob %d: %w", c.Kind, c.Payload.Blob, err))
}

// payload returns the bytes of p, or false where they are not at hand or there is a fault.
func (r *Reader) payload(p Payload) ([]byte, bool) {
	if p.Len == 0 {
		return nil, true
	}
	b, ok := r.blob(p.Blob)
	if ok && p.Off+p.Len <= len(b) {
		return b[p.Off : p.Off+p.Len : p.Off+p.Len], true
	}
	if free := r.page.Blobs[p.Blob].RawLen - p.Off; p.Len > free {
		return r.join(p)
	}
	return nil, false
}

// blob returns blob i, or false where it is not at hand, or not of the length that the directory says.
func (r *Reader) blob(i int) ([]byte, bool) {
	b := r.blobs[i]
	if b == nil {
		if !r.want[i] {
			r.want[i] = true
			r.count++
		}
		return nil, false
	}
	if n := r.page.Blobs[i].RawLen; len(b) != n {
		r.fail(fmt.Errorf("blob %d has %d bytes, its directory says %d", i, len(b), n))
		return nil, false
	}
	return b, true
}

// join returns a payload that is in several blobs.
func (r *Reader) join(p Payload) ([]byte, bool) {
	if b, ok := r.joined[p.Blob]; ok {
		return b, true
	}
	all := true
	left := p.Off + p.Len
	last := p.Blob
	for i := p.Blob; left > 0; i++ {
		_, ok := r.blob(i)
		all = all && ok
		left -= r.page.Blobs[i].RawLen
		last = i
	}
	if !all {
		return nil, false
	}
	b := make([]byte, 0, p.Off+p.Len)
	for i := p.Blob; i <= last; i++ {
		b = append(b, r.blobs[i]...)
	}
	if r.joined == nil {
		r.joined = map[int][]byte{}
	}
	b = b[p.Off:][:p.Len]
	r.joined[p.Blob] = b
	return b, true
}

// open returns the payload of c, or false where it is not at hand or c is damaged.
func (r *Reader) open(c *Column) ([]byte, bool) {
	if r.of(c).bad {
		return nil, false
	}
	return r.payload(c.Payload)
}

// Int64s returns the numbers of an Int column or of Text.IDs. They are shared: don't write.
func (r *Reader) Int64s(c *Column) []int64 {
	if ints, ok := r.ints(c); ok {
		return ints
	}
	return fill(c.Rows, c.Stamp.Min)
}

// ints is Int64s, but that it reports false where they are not at hand or damaged.
func (r *Reader) ints(c *Column) ([]int64, bool) {
	o := r.of(c)
	if o.ints != nil {
		return o.ints, true
	}
	if c.Kind == Const {
		x, _ := parseDecimal(c.Constant, 0)
		o.ints = fill(c.Rows, x)
		return o.ints, true
	}
	var vals []int64
	ok := false
	if c.Clock != nil {
		vals, ok = r.clockInts(c)
	} else {
		vals, ok = r.storedInts(c)
	}
	if !ok {
		return nil, false
	}
	if lo, hi := rangeOf(vals); lo < c.Stamp.Min || hi > c.Stamp.Max {
		r.damaged(c, errMismatch)
		return nil, false
	}
	o.ints = vals
	return vals, true
}

// storedInts returns the numbers that the payload of c holds.
func (r *Reader) storedInts(c *Column) ([]int64, bool) {
	b, ok := r.open(c)
	if !ok {
		return nil, false
	}
	d := block.NewDecoder(b)
	vals := block.DecodeInts(d, intsPool.get(c.Rows), c.Rows)
	if err := d.Finish(); err != nil {
		r.damaged(c, err)
		return nil, false
	}
	if c.Zeros > 0 {
		for i := range vals {
			vals[i] *= pow10[c.Zeros] // wraps around where the payload is damaged
		}
	}
	return vals, true
}

func fill(n int, x int64) []int64 {
	s := make([]int64, n)
	if x != 0 {
		for i := range s {
			s[i] = x
		}
	}
	return s
}

// hexBytes returns the packed digits of a Hex column, Hex.width() bytes for each value.
func (r *Reader) hexBytes(c *Column) []byte {
	if b, ok := r.open(c); ok {
		return b
	}
	return make([]byte, c.Payload.Len)
}

// rawBytes returns the values of a Raw column; no values where they are not at hand or damaged.
func (r *Reader) rawBytes(c *Column) *block.Values {
	o := r.of(c)
	if o.values != nil {
		return o.values
	}
	v := &block.Values{}
	b, ok := r.open(c)
	lengths := []int64(nil)
	if c.Lengths != nil {
		var known bool
		lengths, known = r.ints(c.Lengths)
		ok = ok && known
	}
	if !ok {
		return v
	}
	switch {
	case c.Terminated:
		v.Data, v.Ends = make([]byte, 0, len(b)-c.Rows), make([]uint32, 0, c.Rows)
		ok = splitValues(v, b, c.Rows)
	case c.Lengths != nil:
		v.Data = b
		v.Ends, ok = endsOf(lengths, len(b))
		r.of(c.Lengths).ints = nil // not needed any more
	default:
		v.Data, v.Ends = b, make([]uint32, c.Rows)
		for i := range v.Ends {
			v.Ends[i] = uint32((i + 1) * c.Stamp.MinLen)
		}
	}
	if !ok {
		r.damaged(c, errMismatch)
		return &block.Values{}
	}
	o.values = v
	return v
}

// endsOf sums lengths, whose sum must be total.
func endsOf(lengths []int64, total int) ([]uint32, bool) {
	ends := make([]uint32, len(lengths))
	end := int64(0) // of at most 2^20 lengths below 2^32
	for i, n := range lengths {
		end += n
		ends[i] = uint32(end)
	}
	return ends, end == int64(total)
}

// splitValues cuts b into n values at their terminators, which it leaves out, and appends them to v.
func splitValues(v *block.Values, b []byte, n int) bool {
	for range n {
		i := bytes.IndexByte(b, terminator)
		if i < 0 {
			return false
		}
		v.Data = append(v.Data, b[:i]...)
		v.Ends = append(v.Ends, uint32(len(v.Data)))
		b = b[i+1:]
	}
	return len(b) == 0
}

// Codes returns the entry of each row of a Dict. They are shared: don't write.
func (r *Reader) Codes(c *Column) []uint32 {
	if codes, ok := r.codes(c); ok {
		return codes
	}
	return make([]uint32, c.Rows)
}

// codes is Codes, but that it reports false where they are not at hand or damaged.
func (r *Reader) codes(c *Column) ([]uint32, bool) {
	o := r.of(c)
	if o.codes != nil {
		return o.codes, true
	}
	b, ok := r.open(c)
	if !ok {
		return nil, false
	}
	d := block.NewDecoder(b)
	codes := block.DecodeInts(d, r.Scratch(c.Rows), c.Rows)
	err := d.Finish()
	if err == nil && c.Recency && !fromRecency(codes, c.Values.Rows) {
		err = errMismatch
	}
	if err == nil && len(codes) > 0 && slices.Max(codes) >= uint32(c.Values.Rows) {
		err = errMismatch
	}
	if err != nil {
		r.damaged(c, err)
		return nil, false
	}
	o.codes = codes
	return codes, true
}

// Present returns the rows that have a value: for a Sparse column those of its bitmap, else All.
func (r *Reader) Present(c *Column) Set {
	if c.Kind != Sparse {
		return All
	}
	o := r.of(c)
	if o.present != nil {
		return *o.present
	}
	b, ok := r.open(c)
	if !ok {
		return None
	}
	d := block.NewDecoder(b)
	var bits block.Bitmap
	d.Bitmap(&bits, c.Rows)
	if err := d.Finish(); err != nil {
		r.damaged(c, err)
		return None
	}
	if bits.Count() != c.Values.Rows {
		r.damaged(c, errMismatch)
		return None
	}
	s := SetOf(&bits)
	o.present = &s
	return s
}
