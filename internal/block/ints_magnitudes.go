package block

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"sync"

	"github.com/klauspost/compress/huff0"
)

// Magnitudes are a layout of integer columns for numbers that are random, but rarely large, such as the gaps
// between events: how many bits a number has is entropy coded, and its bits, which nothing can compress, stand
// as they are. For exponentially distributed gaps of nanoseconds that is within half a percent of their
// entropy; byte planes, which zstd then compresses, need 3 to 13 percent more.
//
//	…        transform, n, first value and difference, base, as in the other layouts; base is any number
//	uvarint  length of the symbols that follow, as they are stored
//	symbols  of each number less base, as a signed one: twice how many bits its absolute value has, plus 1
//	         where it is negative. One byte: the symbol of all; as many bytes as numbers: the symbols; else
//	         Huffman-coded: a table of weights and four streams, as the literals of zstd
//	bits     of each number those below the highest, lowest bit first, filled up to a byte
const layoutMagnitudes = 2

const (
	leastMagnitudes = 64        // numbers, below which a Huffman table takes more than it gains
	mostMagnitudes  = 1<<18 - 1 // numbers that a Huffman coder takes
	maxSymbol       = 64<<1 | 1 // of a number of 64 bits
	symbolNegative  = 1         // of a symbol
	formSample      = 4096      // numbers, from the middle, that the form is chosen for
)

// huffman is the memory of a coder, and symbols.
type huffman struct {
	huff0.Scratch
	symbols []byte
}

var huffmen = sync.Pool{New: func() any { return new(huffman) }}

// AppendMagnitudes appends vals, at most MaxRows, as magnitudes: the form for random numbers that are stored as they
// are. DecodeInts reads it.
func AppendMagnitudes[T Int](dst []byte, vals []T) []byte {
	if len(vals) < leastMagnitudes || len(vals) > mostMagnitudes {
		return AppendPacked(dst, vals)
	}
	s := getScratch(len(vals))
	defer putScratch(s)
	for i, v := range vals {
		(*s)[i] = int64(v)
	}
	left, h := *s, huffmen.Get().(*huffman)
	defer huffmen.Put(h)
	from := max(0, len(left)-formSample) / 2
	transform, base := magnitudeForm(left[from:min(len(left), from+formSample)])
	dst = append(dst, transform|layoutMagnitudes<<4)
	dst = binary.AppendUvarint(dst, uint64(len(vals)))
	for range transform {
		dst = binary.AppendVarint(dst, left[0])
		left = differences(left)
	}
	dst = binary.AppendVarint(dst, base)
	h.symbols = h.symbols[:0]
	for i, v := range left {
		left[i] = v - base
		h.symbols = append(h.symbols, symbolOf(left[i]))
	}
	return appendMagnitudeBits(h.appendSymbols(dst), left)
}

// magnitudeForm returns how numbers have the fewest bits.
func magnitudeForm(vals []int64) (transform byte, base int64) {
	s := getScratch(len(vals))
	defer putScratch(s)
	left := *s
	copy(left, vals)
	least := -1
	for t := byte(transformFrame); ; t++ {
		lo, _ := minMax(left)
		for _, b := range [2]int64{0, lo} {
			n, negative := 0, 0
			for _, v := range left {
				symbol := symbolOf(v - b)
				n += int(symbol >> 1)
				negative += int(symbol & symbolNegative)
			}
			n += 2 * min(negative, len(left)-negative) // signs of both kinds take up to a bit
			if least < 0 || n < least {
				least, transform, base = n, t, b
			}
		}
		if t == transformDelta2 {
			return transform, base
		}
		left = differences(left)
	}
}

func symbolOf(v int64) uint8 {
	sign := v >> 63
	return uint8(bits.Len64(uint64((v^sign)-sign)))<<1 | uint8(sign)&symbolNegative
}

// appendSymbols appends h.symbols with their length.
func (h *huffman) appendSymbols(dst []byte) []byte {
	h.Reuse = huff0.ReusePolicyNone
	coded, _, err := huff0.Compress4X(h.symbols, &h.Scratch)
	switch {
	case err == huff0.ErrUseRLE:
		coded = h.symbols[:1]
	case err != nil || len(coded) >= len(h.symbols):
		coded = h.symbols
	}
	return append(binary.AppendUvarint(dst, uint64(len(coded))), coded...)
}

func appendMagnitudeBits(dst []byte, vals []int64) []byte {
	var acc uint64
	have := 0
	for _, x := range vals {
		sign := x >> 63
		v := uint64((x ^ sign) - sign)
		width := max(bits.Len64(v)-1, 0)
		v &^= 1 << width // all but the highest; of zero nothing is left anyway
		acc |= v << have
		if have += width; have >= 64 {
			dst = binary.LittleEndian.AppendUint64(dst, acc)
			have -= 64
			acc = v >> (width - have)
		}
	}
	for ; have > 0; have -= 8 {
		dst = append(dst, byte(acc))
		acc >>= 8
	}
	return dst
}

// magnitudes reads the symbols of m numbers and finds their bits.
func (d *Decoder) magnitudes(h *intHeader, m int) {
	coded := d.Bytes(d.Count(len(d.buf), 1))
	if d.err != nil || m == 0 {
		return
	}
	h.huffman = huffmen.Get().(*huffman)
	if err := h.huffman.decode(coded, m); err != nil {
		d.Failf("symbols of an integer column: %w", err)
		return
	}
	total, wrong := 0, false
	for _, s := range h.huffman.symbols {
		total += int(symbolForms[s].width)
		wrong = wrong || s > maxSymbol
	}
	if wrong {
		d.Failf("symbol %d in an integer column", slices.Max(h.huffman.symbols))
		return
	}
	h.payload = d.Bytes((total + 7) / 8)
}

// decode makes h.symbols the m symbols that are coded.
func (h *huffman) decode(coded []byte, m int) error {
	if cap(h.symbols) < m {
		h.symbols = make([]byte, m)
	}
	h.symbols = h.symbols[:m]
	switch len(coded) {
	case m:
		copy(h.symbols, coded)
		return nil
	case 1:
		for i := range h.symbols {
			h.symbols[i] = coded[0]
		}
		return nil
	}
	if m > mostMagnitudes {
		return huff0.ErrMaxDecodedSizeExceeded
	}
	_, streams, err := huff0.ReadTable(coded, &h.Scratch)
	if err != nil {
		return err
	}
	got, err := h.Decoder().Decompress4X(h.symbols[:0:m], streams)
	if err == nil && len(got) != m {
		err = errShort
	}
	return err
}

// symbolForm is what a symbol says of a number: how many bits are stored, the highest bit, which isn't, the mask of those
// that are, and the sign as 0 or -1.
type symbolForm struct {
	high, mask uint64
	sign       int64
	width      uint8
}

var symbolForms = func() (t [256]symbolForm) {
	for s := 2; s <= maxSymbol; s++ { // zero has nothing of these
		width := s>>1 - 1
		t[s] = symbolForm{high: 1 << width, mask: 1<<width - 1, sign: -int64(s & symbolNegative), width: uint8(width)}
	}
	return t
}()

// undoMagnitudes fills dst from symbols and the bits of p, which are as many as the symbols say.
func undoMagnitudes(dst []int64, symbols, p []byte, base int64) {
	bit, last := 0, len(p)<<3-64
	for i, s := range symbols[:len(dst)] {
		f := &symbolForms[s]
		var v uint64
		if bit <= last && f.width <= 56 {
			v = binary.LittleEndian.Uint64(p[bit>>3:]) >> (bit & 7) // Fast path: one load, whatever the width.
		} else {
			v = bitsAt(p, bit, int(f.width))
		}
		bit += int(f.width)
		dst[i] = base + (int64(v&f.mask|f.high) ^ f.sign - f.sign)
	}
}
