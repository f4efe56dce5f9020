package metrics

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"slices"
)

var errCutOffChunk = errors.New("chunk is cut off")

const (
	// xorReach is how many bytes from where a sample begins decoding it looks at, at most: 68 bits of time, 77 of
	// value, the bits before, and the whole words that these are taken from.
	xorReach = 32
	// xorReady is how many bits of a word that was loaded at any bit are there once the first was used.
	xorReady = 56
)

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
	// Each sample takes two bits at least: a number that is larger than that is not believed.
	if k <= 0 || len(data) < k+8 || n > 4*len(data)+2 {
		return times, values, errCutOffChunk
	}
	v := binary.BigEndian.Uint64(data[k:])
	data = data[k+8:]
	times, values = append(times, t), append(values, math.Float64frombits(v))
	if n == 1 {
		return times, values, nil
	}
	delta, k := binary.Uvarint(data)
	if k <= 0 {
		return times, values, errCutOffChunk
	}
	from := len(times)
	times, values = slices.Grow(times, n-1)[:from+n-1], slices.Grow(values, n-1)[:from+n-1]
	if !decodeXOR(data[k:], t, int64(delta), v, times[from:], values[from:]) {
		return times[:from], values[:from], errCutOffChunk
	}
	return times, values, nil
}

// decodeXOR decodes the samples behind the first, which is at t with value v; delta is the distance of the second.
// It reports whether data hold as many as there is room for.
func decodeXOR(data []byte, t, delta int64, v uint64, times []int64, values []float64) bool {
	values = values[:len(times)]
	var (
		tail        [2*xorReach + 8]byte // the end of data, with zeros behind that can be looked at
		pos         uint                 // of the next bit
		end         = uint(len(data)) * 8
		near        = int(end) - xorReach*8 // where what is looked at may be beyond the end
		lead, width = uint(0), uint(64)     // which bits the last two values differed in
	)
	for i := range times {
		if int(pos) > near {
			if near == int(end) {
				return false
			}
			off := pos >> 3
			copy(tail[:], data[off:])
			data = tail[:]
			pos, end = pos&7, end-off*8
			near = int(end)
		}
		w := binary.BigEndian.Uint64(data[pos>>3:]) << (pos & 7)
		if i > 0 {
			if w>>63 == 0 { // Fast path: the distance of before.
				w <<= 1
				pos++
			} else {
				var dod int64
				dod, pos = deltaOfDelta(data, w, pos)
				delta += dod
				w = binary.BigEndian.Uint64(data[pos>>3:]) << (pos & 7)
			}
		}
		t += delta
		times[i] = t
		if w>>63 == 0 { // the value of before
			pos++
			values[i] = math.Float64frombits(v)
			continue
		}
		// Whether the bits are those of the last time or others can't be foreseen, so there is no branch for it.
		others := -(uint(w>>62) & 1)
		lead ^= (lead ^ uint(w>>57)&31) & others
		width ^= (width ^ ((uint(w>>51)-1)&63 + 1)) & others
		head := 2 + 11&others
		if lead+width > 64 {
			return false
		}
		var changed uint64
		if head+width <= xorReady {
			changed = w << (head & 63) >> ((64 - width) & 63)
		} else {
			changed = bitsAt(data, pos+head) >> ((64 - width) & 63)
		}
		pos += head + width
		v ^= changed << ((64 - lead - width) & 63)
		values[i] = math.Float64frombits(v)
	}
	return pos <= end
}

// bitsAt returns the 64 bits from pos on.
func bitsAt(data []byte, pos uint) uint64 {
	at := data[pos>>3:]
	return binary.BigEndian.Uint64(at)<<(pos&7) | uint64(at[8])>>(8-pos&7)
}

// deltaOfDelta returns by how much the distance of two samples differs from the one before, where it does, and the
// place behind. w are the bits from pos on.
func deltaOfDelta(data []byte, w uint64, pos uint) (int64, uint) {
	var width uint
	ones := uint(bits.LeadingZeros64(^w))
	switch ones {
	case 1:
		width = 14
	case 2:
		width = 17
	case 3:
		width = 20
	default:
		return int64(bitsAt(data, pos+4)), pos + 4 + 64
	}
	v := int64(w << (ones + 1) >> (64 - width))
	if v > 1<<(width-1) {
		v -= 1 << width
	}
	return v, pos + ones + 1 + width
}
