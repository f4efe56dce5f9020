package metrics

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"slices"
)

var errCutOffChunk = errors.New("chunk is cut off")

// appendXOR decodes the samples of an XOR chunk, the encoding of floats in Prometheus's TSDB, behind times and
// values. It is the same as reading a chunkenc.XORChunk; what an iterator keeps in memory from sample to sample stays
// in registers here, and there are no iterators over chunks and series around it.
func appendXOR(data []byte, times []int64, values []float64) ([]int64, []float64, error) {
	if len(data) < 2 {
		return times, values, errCutOffChunk
	}
	n := int(binary.BigEndian.Uint16(data))
	data = data[2:]
	if n == 0 {
		return times, values, nil
	}
	t, k := binary.Varint(data)
	if k <= 0 || len(data) < k+8 {
		return times, values, errCutOffChunk
	}
	v := binary.BigEndian.Uint64(data[k:])
	data = data[k+8:]
	// Each sample takes two bits at least: a number that is larger than that is not believed.
	if room := min(n, 4*len(data)+2); cap(times)-len(times) < room {
		times, values = slices.Grow(times, room), slices.Grow(values, room)
	}
	times, values = append(times, t), append(values, math.Float64frombits(v))
	if n == 1 {
		return times, values, nil
	}
	d, k := binary.Uvarint(data)
	if k <= 0 {
		return times, values, errCutOffChunk
	}
	r := bitReader{data: data[k:]}
	delta := int64(d)
	var x xorState
	for i := 1; ; {
		t += delta
		var ok bool
		if v, ok = x.next(&r, v); !ok {
			return times, values, errCutOffChunk
		}
		times, values = append(times, t), append(values, math.Float64frombits(v))
		if i++; i == n {
			return times, values, nil
		}
		if r.fill(); r.n > 0 && r.buf>>63 == 0 { // Fast path: the distance of before.
			r.skip(1)
			continue
		}
		dod, ok := r.deltaOfDelta()
		if !ok {
			return times, values, errCutOffChunk
		}
		delta += dod
	}
}

// xorState is which bits the last values differed in.
type xorState struct{ leading, trailing uint }

// next reads the value that follows v.
func (x *xorState) next(r *bitReader, v uint64) (uint64, bool) {
	r.fill()
	if r.n == 0 {
		return 0, false
	}
	if r.buf>>63 == 0 {
		r.skip(1)
		return v, true
	}
	if r.n < 2 {
		return 0, false
	}
	if r.buf>>62 == 3 {
		if r.n < 13 {
			return 0, false
		}
		x.leading = uint(r.buf>>57) & 31
		width := uint(r.buf>>51) & 63
		if width == 0 {
			width = 64
		}
		if x.leading+width > 64 {
			return 0, false
		}
		x.trailing = 64 - x.leading - width
		r.skip(13)
	} else {
		r.skip(2)
	}
	width := 64 - x.leading - x.trailing
	if width <= r.n { // Fast path: all of it is ready.
		changed := r.buf >> (64 - width)
		r.skip(width)
		return v ^ changed<<x.trailing, true
	}
	changed, ok := r.read(width)
	return v ^ changed<<x.trailing, ok
}

// bitReader reads bits from the most significant one on.
type bitReader struct {
	data []byte
	buf  uint64 // the next bits, from the top
	n    uint   // how many of buf have been counted; those below are zero or of data
}

// fill makes at least 56 bits ready, or what there is.
func (r *bitReader) fill() {
	if len(r.data) >= 8 {
		r.buf |= binary.BigEndian.Uint64(r.data) >> r.n
		r.data = r.data[(63-r.n)>>3:]
		r.n |= 56
		return
	}
	for r.n <= 56 && len(r.data) > 0 {
		r.buf |= uint64(r.data[0]) << (56 - r.n)
		r.data = r.data[1:]
		r.n += 8
	}
}

func (r *bitReader) skip(k uint) {
	r.buf <<= k
	r.n -= k
}

// read returns the next k bits, 1 to 64.
func (r *bitReader) read(k uint) (uint64, bool) {
	var high uint64
	if k > 56 {
		var ok bool
		if high, ok = r.read(32); !ok {
			return 0, false
		}
		k -= 32
	}
	if r.n < k {
		if r.fill(); r.n < k {
			return 0, false
		}
	}
	low := r.buf >> (64 - k)
	r.skip(k)
	return high<<k | low, true
}

// deltaOfDelta reads by how much the distance of two samples differs from the one before, where it does.
func (r *bitReader) deltaOfDelta() (int64, bool) {
	if r.n == 0 {
		return 0, false
	}
	switch bits.LeadingZeros64(^r.buf) {
	case 1:
		return r.signed(2, 14)
	case 2:
		return r.signed(3, 17)
	case 3:
		return r.signed(4, 20)
	}
	if r.n < 4 {
		return 0, false
	}
	r.skip(4)
	v, ok := r.read(64)
	return int64(v), ok
}

// signed reads a number of width bits behind a prefix.
func (r *bitReader) signed(prefix, width uint) (int64, bool) {
	if r.n < prefix {
		return 0, false
	}
	r.skip(prefix)
	v, ok := r.read(width)
	if v > 1<<(width-1) {
		return int64(v) - 1<<width, ok
	}
	return int64(v), ok
}
