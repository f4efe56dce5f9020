package block

import (
	"encoding/binary"
	"math/bits"
)

// Bitmap is a set of row numbers below Len. The zero Bitmap has no rows.
type Bitmap struct {
	words []uint64
	n     int
}

// NewBitmap returns an empty set over n rows.
func NewBitmap(n int) *Bitmap {
	b := &Bitmap{}
	b.Reset(n)
	return b
}

// Reset makes b the empty set over n rows, reusing its memory.
func (b *Bitmap) Reset(n int) {
	w := (n + 63) / 64
	if cap(b.words) < w {
		b.words = make([]uint64, w)
	}
	b.words, b.n = b.words[:w], n
	clear(b.words)
}

// Clone returns a copy of b.
func (b *Bitmap) Clone() *Bitmap { return &Bitmap{words: append([]uint64(nil), b.words...), n: b.n} }

// Len returns the number of rows, set or not.
func (b *Bitmap) Len() int { return b.n }

// Set adds row i.
func (b *Bitmap) Set(i int) { b.words[i>>6] |= 1 << (i & 63) }

// Unset takes row i out of the set.
func (b *Bitmap) Unset(i int) { b.words[i>>6] &^= 1 << (i & 63) }

// Get reports whether row i is in the set.
func (b *Bitmap) Get(i int) bool { return b.words[i>>6]&(1<<(i&63)) != 0 }

// Count returns how many rows are in the set.
func (b *Bitmap) Count() int {
	n := 0
	for _, w := range b.words {
		n += bits.OnesCount64(w)
	}
	return n
}

// SetRange adds the rows from lo on, before hi.
func (b *Bitmap) SetRange(lo, hi int) {
	for i := lo; i < hi; {
		if i&63 == 0 && hi-i >= 64 {
			b.words[i>>6] = ^uint64(0)
			i += 64
			continue
		}
		b.Set(i)
		i++
	}
}

// SetAll adds every row.
func (b *Bitmap) SetAll() {
	for i := range b.words {
		b.words[i] = ^uint64(0)
	}
	b.trim()
}

// Not makes b its complement.
func (b *Bitmap) Not() {
	for i := range b.words {
		b.words[i] = ^b.words[i]
	}
	b.trim()
}

// And keeps the rows that are in o too, which has the same number of rows.
func (b *Bitmap) And(o *Bitmap) {
	for i, w := range o.words[:len(b.words)] {
		b.words[i] &= w
	}
}

// Or adds the rows of o, which has the same number of rows.
func (b *Bitmap) Or(o *Bitmap) {
	for i, w := range o.words[:len(b.words)] {
		b.words[i] |= w
	}
}

// AddNumbered adds to b the rows of from whose number among the rows of from is in numbers. b and from have the same
// number of rows, and numbers has as many as from has set.
func (b *Bitmap) AddNumbered(from, numbers *Bitmap) {
	at := 0 // how many rows of from were before
	for i, w := range from.words {
		n := bits.OnesCount64(w)
		if n == 0 {
			continue
		}
		wanted := numbers.words[at>>6] >> (at & 63)
		if rest := at&63 + n; rest > 64 {
			wanted |= numbers.words[at>>6+1] << (64 - at&63)
		}
		if n < 64 {
			wanted &= 1<<n - 1
		}
		for ; wanted != 0; wanted >>= 1 {
			if wanted&1 != 0 {
				b.words[i] |= w & -w
			}
			w &= w - 1
		}
		at += n
	}
}

// Next returns the first row of the set from i on, or -1.
func (b *Bitmap) Next(i int) int {
	if i >= b.n {
		return -1
	}
	w := b.words[i>>6] >> (i & 63)
	if w != 0 {
		return i + bits.TrailingZeros64(w)
	}
	for k := i>>6 + 1; k < len(b.words); k++ {
		if b.words[k] != 0 {
			return k<<6 + bits.TrailingZeros64(b.words[k])
		}
	}
	return -1
}

// trim clears the bits beyond the last row, which Count and AppendBitmap rely on.
func (b *Bitmap) trim() {
	if r := b.n & 63; r != 0 {
		b.words[len(b.words)-1] &= 1<<r - 1
	}
}

const (
	bitmapNone   = 0
	bitmapAll    = 1
	bitmapWords  = 2
	bitmapSparse = 3 // the rows that are set, as an integer column
	bitmapHoles  = 4 // the rows that are not
)

// AppendBitmap appends b, at most MaxRows rows: a form byte, the number of rows, and nothing more if
// all or none are set, a list of rows if few are set or clear, else one bit a row.
func AppendBitmap(dst []byte, b *Bitmap) []byte {
	set := b.Count()
	form := byte(bitmapWords)
	switch {
	case set == 0:
		form = bitmapNone
	case set == b.n:
		form = bitmapAll
	case set <= b.n/32:
		form = bitmapSparse
	case b.n-set <= b.n/32:
		form = bitmapHoles
	}
	dst = append(dst, form)
	dst = binary.AppendUvarint(dst, uint64(b.n))
	switch form {
	case bitmapWords:
		for _, w := range b.words {
			dst = binary.LittleEndian.AppendUint64(dst, w)
		}
	case bitmapSparse:
		dst = AppendInts(dst, b.rows(set))
	case bitmapHoles:
		holes := &Bitmap{words: append([]uint64(nil), b.words...), n: b.n}
		holes.Not()
		dst = AppendInts(dst, holes.rows(b.n-set))
	}
	return dst
}

func (b *Bitmap) rows(n int) []uint32 {
	rows := make([]uint32, 0, n)
	for i := b.Next(0); i >= 0; i = b.Next(i + 1) {
		rows = append(rows, uint32(i))
	}
	return rows
}

// Bitmap reads a set over exactly n rows (n < 0: over any number) that AppendBitmap wrote into b,
// reusing its memory. On a fault b has no rows.
func (d *Decoder) Bitmap(b *Bitmap, n int) {
	form := d.Byte()
	if n = d.rows(n); d.err == nil {
		b.Reset(n)
	}
	switch form {
	case bitmapNone:
	case bitmapAll:
		b.SetAll()
	case bitmapWords:
		p := d.Bytes(8 * ((n + 63) / 64))
		for i := range len(p) / 8 {
			b.words[i] = binary.LittleEndian.Uint64(p[8*i:])
		}
		b.trim()
	case bitmapSparse, bitmapHoles:
		for _, row := range DecodeInts[uint32](d, nil, -1) {
			if int64(row) >= int64(n) {
				d.Failf("row %d of %d", row, n)
				break
			}
			b.Set(int(row))
		}
		if form == bitmapHoles {
			b.Not()
		}
	default:
		d.Failf("unknown bitmap form %d", form)
	}
	if d.err != nil {
		b.Reset(0)
	}
}
