package block

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

// Int is what an integer column may hold. Cast a uint64 to int64: all arithmetic wraps, so the bits
// survive.
type Int interface {
	~int64 | ~int32 | ~uint32 | ~uint16 | ~uint8
}

// An integer column is self-describing:
//
//	byte     transform (low 4 bits), layout (high 4 bits)
//	uvarint  n, the number of values; nothing follows if it is 0
//	varint   first value                         (delta, delta of delta)
//	varint   first difference                    (delta of delta)
//	varint   base: the smallest of what is left
//	byte     width of (value - base): bytes in planes, bits when packed; magnitudes go on otherwise
//	         planes: m bytes, the lowest of each value, m of the next, …
//	         packed: m × width bits, lowest bit first, filled up to a byte
//
// where m is n less the values already given. Width 0 has no payload: a constant column, evenly
// spaced timestamps and evenly accelerated ones take a few bytes.
const (
	transformFrame  = 0 // frame of reference
	transformDelta  = 1 // needs n > 0
	transformDelta2 = 2 // needs n > 1

	layoutPlanes = 0
	layoutPacked = 1
)

// scratch holds the int64 form of a column while it is coded.
var scratch = sync.Pool{New: func() any { return new([]int64) }}

func getScratch(n int) *[]int64 {
	s := scratch.Get().(*[]int64)
	if cap(*s) < n {
		*s = make([]int64, n)
	}
	*s = (*s)[:n]
	return s
}

func putScratch(s *[]int64) { scratch.Put(s) }

// AppendInts appends vals, at most MaxRows, in byte planes: the form for blobs that zstd compresses
// afterwards, since bits packed across bytes hide what repeats.
func AppendInts[T Int](dst []byte, vals []T) []byte { return appendInts(dst, vals, layoutPlanes) }

// AppendPacked appends vals, at most MaxRows, in packed bits: the form for what is stored as it is.
// DecodeInts reads both.
func AppendPacked[T Int](dst []byte, vals []T) []byte { return appendInts(dst, vals, layoutPacked) }

func appendInts[T Int](dst []byte, vals []T, layout byte) []byte {
	s := getScratch(len(vals))
	defer putScratch(s)
	for i, v := range vals {
		(*s)[i] = int64(v)
	}
	return appendInt64s(dst, *s, layout)
}

// appendInt64s overwrites vals.
func appendInt64s(dst []byte, vals []int64, layout byte) []byte {
	t := chooseTransform(vals)
	dst = append(dst, t|layout<<4)
	dst = binary.AppendUvarint(dst, uint64(len(vals)))
	if len(vals) == 0 {
		return dst
	}
	for range t {
		dst = binary.AppendVarint(dst, vals[0])
		vals = differences(vals)
	}
	lo, hi := minMax(vals)
	dst = binary.AppendVarint(dst, lo)
	width := bits.Len64(uint64(hi) - uint64(lo))
	if layout == layoutPacked {
		return appendPackedBits(append(dst, byte(width)), vals, uint64(lo), width)
	}
	width = (width + 7) / 8
	dst = append(dst, byte(width))
	for b := range width {
		for _, v := range vals {
			dst = append(dst, byte((uint64(v)-uint64(lo))>>(8*b)))
		}
	}
	return dst
}

// differences replaces v[i] by v[i+1]-v[i] and returns the shorter slice.
func differences(v []int64) []int64 {
	for i := range len(v) - 1 {
		v[i] = v[i+1] - v[i]
	}
	return v[:len(v)-1]
}

func minMax(v []int64) (lo, hi int64) {
	if len(v) == 0 {
		return 0, 0
	}
	lo, hi = v[0], v[0]
	for _, x := range v[1:] {
		lo, hi = min(lo, x), max(hi, x)
	}
	return lo, hi
}

// chooseTransform sums the bits that each transform would need above its base. A difference must
// save 30 % over the plain value: zstd finds repeated values by itself, but not repeated values that
// became differences.
func chooseTransform(vals []int64) byte {
	if len(vals) < 3 {
		return transformFrame
	}
	lo, loDelta, loDelta2 := vals[0], vals[1]-vals[0], vals[2]-2*vals[1]+vals[0]
	prev, prevDelta := vals[0], loDelta
	for i, v := range vals[1:] {
		d := v - prev
		lo, loDelta = min(lo, v), min(loDelta, d)
		if i > 0 {
			loDelta2 = min(loDelta2, d-prevDelta)
		}
		prev, prevDelta = v, d
	}
	frame, delta, delta2 := bits.Len64(uint64(vals[0])-uint64(lo)), 0, 0
	prev = vals[0]
	for i, v := range vals[1:] {
		d := v - prev
		frame += bits.Len64(uint64(v) - uint64(lo))
		delta += bits.Len64(uint64(d) - uint64(loDelta))
		if i > 0 {
			delta2 += bits.Len64(uint64(d-prevDelta) - uint64(loDelta2))
		}
		prev, prevDelta = v, d
	}
	switch {
	case delta2*10 < delta*7 && delta2*10 < frame*7:
		return transformDelta2
	case delta*10 < frame*7:
		return transformDelta
	}
	return transformFrame
}

func appendPackedBits(dst []byte, vals []int64, base uint64, width int) []byte {
	if width == 0 {
		return dst
	}
	var acc uint64
	var have int
	for _, x := range vals {
		v := uint64(x) - base
		acc |= v << have
		have += width
		if have >= 64 {
			dst = binary.LittleEndian.AppendUint64(dst, acc)
			have -= 64
			acc = v >> (width - have) // 0 if all went in: Go shifts by 64 to 0
		}
	}
	for ; have > 0; have -= 8 {
		dst = append(dst, byte(acc))
		acc >>= 8
	}
	return dst
}

// DecodeInts reads a column of exactly n values that AppendInts or AppendPacked wrote; n < 0 takes
// whatever number is stored. The result reuses dst's memory where it suffices; it is empty on a
// fault. A value that T can't hold is a fault.
func DecodeInts[T Int](d *Decoder, dst []T, n int) []T {
	h := d.intHeader(n)
	if d.err != nil || h.n == 0 {
		return dst[:0]
	}
	if cap(dst) < h.n {
		dst = make([]T, h.n)
	}
	dst = dst[:h.n]
	if wide, ok := any(dst).([]int64); ok {
		h.decode(wide) // Fast path: no second array.
		return dst
	}
	s := getScratch(h.n)
	defer putScratch(s)
	h.decode(*s)
	for i, v := range *s {
		dst[i] = T(v)
		if int64(dst[i]) != v {
			d.Failf("value %d out of range", v)
			return dst[:0]
		}
	}
	return dst
}

// intHeader is what stands before the payload of an integer column.
type intHeader struct {
	n, width  int
	transform byte
	packed    bool
	first     [2]int64
	base      int64
	payload   []byte
	huffman   *huffman // magnitudes: its symbols
}

// rows reads the number of rows of a column, which must be want unless that is negative.
func (d *Decoder) rows(want int) int {
	n := d.Count(MaxRows, 0)
	if want >= 0 && n != want && d.err == nil {
		d.Failf("column of %d values, want %d", n, want)
		return 0
	}
	return n
}

func (d *Decoder) intHeader(want int) intHeader {
	mode := d.Byte()
	h := intHeader{transform: mode & 15, packed: mode>>4 == layoutPacked}
	if h.transform > transformDelta2 || mode>>4 > layoutMagnitudes {
		d.Failf("unknown integer column form %#x", mode)
	}
	if h.n = d.rows(want); h.n == 0 {
		return h
	}
	m := h.n - int(h.transform)
	if m < 0 {
		d.Failf("integer column form %#x with %d values", mode, h.n)
		return h
	}
	for i := range h.transform {
		h.first[i] = d.Varint()
	}
	h.base = d.Varint()
	if mode>>4 == layoutMagnitudes {
		d.magnitudes(&h, m)
		return h
	}
	h.width = int(d.Byte())
	switch {
	case h.packed && h.width <= 64:
		h.payload = d.Bytes((m*h.width + 7) / 8)
	case !h.packed && h.width <= 8:
		h.payload = d.Bytes(m * h.width)
	default:
		d.Failf("integer column form %#x of width %d", mode, h.width)
	}
	return h
}

// decode fills dst, which has h.n values.
func (h *intHeader) decode(dst []int64) {
	t := int(h.transform)
	rest := dst[t:]
	switch {
	case h.huffman != nil:
		undoMagnitudes(rest, h.huffman.symbols, h.payload, h.base)
		huffmen.Put(h.huffman)
		h.huffman = nil
	case h.packed:
		unpackBits(rest, h.payload, h.base, h.width)
	default:
		unplane(rest, h.payload, h.base, h.width)
	}
	for ; t > 0; t-- {
		// Undo one difference: dst[t-1] is what the differences in dst[t:] start from.
		dst[t-1] = h.first[t-1]
		v := dst[t-1]
		for i := t; i < len(dst); i++ {
			v += dst[i]
			dst[i] = v
		}
	}
}

func unplane(dst []int64, p []byte, base int64, width int) {
	m := len(dst)
	switch width {
	case 0:
		for i := range dst {
			dst[i] = base
		}
		return
	case 1:
		p = p[:m]
		for i := range dst {
			dst[i] = base + int64(p[i])
		}
		return
	case 2:
		lo, hi := p[:m], p[m:][:m]
		for i := range dst {
			dst[i] = base + int64(lo[i]) + int64(hi[i])<<8
		}
		return
	}
	if width == 3 {
		a, b, c := p[:m], p[m:][:m], p[2*m:][:m]
		for i := range dst {
			dst[i] = base + int64(uint32(a[i])|uint32(b[i])<<8|uint32(c[i])<<16)
		}
		return
	}
	// Four planes at a time: going through memory for each one costs more than what it holds.
	a, b, c, d := p[:m], p[m:][:m], p[2*m:][:m], p[3*m:][:m]
	for i := range dst {
		dst[i] = base + int64(uint32(a[i])|uint32(b[i])<<8|uint32(c[i])<<16|uint32(d[i])<<24)
	}
	for b := 4; b < width; b++ {
		plane := p[b*m:][:m]
		for i := range dst {
			dst[i] += int64(plane[i]) << (8 * b)
		}
	}
}

func unpackBits(dst []int64, p []byte, base int64, width int) {
	if width == 0 {
		unplane(dst, nil, base, 0)
		return
	}
	mask := ^uint64(0) >> (64 - width)
	i := 0
	if width <= 57 {
		// Fast path: one unaligned load holds the value, while eight bytes are left to load.
		for ; i < len(dst); i++ {
			bit := i * width
			if bit>>3+8 > len(p) {
				break
			}
			v := binary.LittleEndian.Uint64(p[bit>>3:]) >> (bit & 7)
			dst[i] = base + int64(v&mask)
		}
	}
	for ; i < len(dst); i++ {
		dst[i] = base + int64(bitsAt(p, i*width, width)&mask)
	}
}

// bitsAt returns width bits of p from bit on, byte by byte.
func bitsAt(p []byte, bit, width int) uint64 {
	var v uint64
	for have := -(bit & 7); have < width; have += 8 {
		b := uint64(p[bit>>3])
		bit += 8
		if have < 0 {
			v |= b >> -have
		} else {
			v |= b << have
		}
	}
	return v
}
