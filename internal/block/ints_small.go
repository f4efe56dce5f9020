package block

// DecodeBelow reads a column of exactly n values, as DecodeInts does, all of which must be from 0 up to before limit,
// a value outside is a fault. The result reuses dst's memory where it suffices. It is for numbers of entries in
// tables: of these most columns are of one byte a value.
func DecodeBelow(d *Decoder, dst []uint32, n int, limit uint32) []uint32 {
	h := d.intHeader(n)
	if d.err != nil || h.n == 0 {
		return dst[:0]
	}
	if cap(dst) < h.n {
		dst = make([]uint32, h.n)
	}
	dst = dst[:h.n]
	most := uint64(0)
	if h.transform == transformFrame && !h.packed && h.huffman == nil && h.width <= 1 && h.base >= 0 && h.base < 1<<31 {
		most = uint64(h.bytes(dst))
	} else {
		s := getScratch(h.n)
		defer putScratch(s)
		h.decode(*s)
		for i, v := range *s {
			dst[i] = uint32(v)
			most = max(most, uint64(v)) // below zero is above all others
		}
	}
	if most >= uint64(limit) {
		d.Failf("value %d of %d", most, limit)
		return dst[:0]
	}
	return dst
}

// bytes fills dst with values of at most one byte each and returns the greatest.
func (h *intHeader) bytes(dst []uint32) uint32 {
	base, most := uint32(h.base), uint8(0)
	if h.width == 0 {
		for i := range dst {
			dst[i] = base
		}
		return base
	}
	for i, b := range h.payload[:len(dst)] {
		dst[i] = base + uint32(b)
		most = max(most, b)
	}
	return base + uint32(most)
}
