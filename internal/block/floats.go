package block

import (
	"encoding/binary"
	"math"
)

const (
	floatsBits = 0
	floatsInts = 1
)

// AppendFloats appends vals, at most MaxRows, exactly, NaN payloads and -0 included: as an integer
// column where every value is a whole number below 2^53, else as byte planes of the 64 bits.
func AppendFloats(dst []byte, vals []float64) []byte {
	s := getScratch(len(vals))
	defer putScratch(s)
	form := byte(floatsInts)
	for i, f := range vals {
		n := int64(f) // any result is fine where f doesn't fit: the comparison fails
		if f < -1<<53 || f > 1<<53 || math.Float64bits(float64(n)) != math.Float64bits(f) {
			form = floatsBits
			break
		}
		(*s)[i] = n
	}
	dst = append(dst, form)
	if form == floatsInts {
		return appendInt64s(dst, *s, layoutPlanes)
	}
	dst = binary.AppendUvarint(dst, uint64(len(vals)))
	for b := range 8 {
		for _, f := range vals {
			dst = append(dst, byte(math.Float64bits(f)>>(8*b)))
		}
	}
	return dst
}

// DecodeFloats reads a column of exactly n values (n < 0: of any number) that AppendFloats wrote. The
// result reuses dst's memory where it suffices; it is empty on a fault.
func DecodeFloats(d *Decoder, dst []float64, n int) []float64 {
	switch form := d.Byte(); form {
	case floatsInts:
		s := getScratch(0)
		defer putScratch(s)
		*s = DecodeInts(d, *s, n)
		dst = dst[:0]
		for _, v := range *s {
			dst = append(dst, float64(v))
		}
		return dst
	case floatsBits:
		n = d.rows(n)
		p := d.Bytes(8 * n)
		if d.err != nil {
			return dst[:0]
		}
		if cap(dst) < n {
			dst = make([]float64, n)
		}
		dst = dst[:n]
		for i := range dst {
			var v uint64
			for b := range 8 {
				v |= uint64(p[b*n+i]) << (8 * b)
			}
			dst[i] = math.Float64frombits(v)
		}
		return dst
	default:
		d.Failf("unknown float column form %d", form)
		return dst[:0]
	}
}
