package block

import "encoding/binary"

// IntsView reads single values of an integer column, for who needs few of them: most columns are stored so that a
// value can be read where it is. Those of differences and magnitudes are decoded whole.
type IntsView struct {
	h   intHeader
	all []int64 // differences and magnitudes only

	pieces *PieceReader // of a PackedPieces: where values are read
	at     int          // where they begin
}

// ViewInts reads a column of exactly n values, as DecodeInts does. The memory of d, and of dst where it has
// room, is used as long as the view is.
func ViewInts(d *Decoder, dst []int64, n int) IntsView {
	h := d.intHeader(n)
	if d.err != nil || h.n == 0 {
		return IntsView{}
	}
	v := IntsView{h: h}
	if h.transform != transformFrame || h.huffman != nil {
		if cap(dst) < h.n {
			dst = make([]int64, h.n)
		}
		v.all = dst[:h.n]
		h.decode(v.all)
	}
	return v
}

// Scratch returns the memory that another view may use after this one.
func (v *IntsView) Scratch() []int64 { return v.all }

// At returns value i, which must be among those of the column.
func (v *IntsView) At(i int) int64 {
	switch {
	case v.pieces != nil:
		return v.pieceAt(i)
	case v.all != nil:
		return v.all[i]
	case v.h.width == 0:
		return v.h.base
	case v.h.packed:
		return v.h.base + int64(packedAt(v.h.payload, i, v.h.width))
	}
	x := uint64(0)
	for b := v.h.width - 1; b >= 0; b-- {
		x = x<<8 | uint64(v.h.payload[b*v.h.n+i])
	}
	return v.h.base + int64(x)
}

// packedAt returns value i of p, of width bits each.
func packedAt(p []byte, i, width int) uint64 {
	bit, mask := i*width, ^uint64(0)>>(64-width)
	if width <= 57 && bit>>3+8 <= len(p) {
		return binary.LittleEndian.Uint64(p[bit>>3:]) >> (bit & 7) & mask
	}
	return bitsAt(p, bit, width) & mask
}
