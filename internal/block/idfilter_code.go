package block

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// idCode is how a piece of an IDFilter writes its entries: Golomb's code for the differences of hashes,
// and pages of a fixed width. See IDFilter.
type idCode struct {
	low   byte // bits of a difference that are written as they are
	width byte // bits of a page
}

// newIDCode returns the code for entries, of which there are some.
func newIDCode(entries []IDEntry) idCode {
	last := uint32(0)
	for _, e := range entries {
		last = max(last, e.Page+1)
	}
	// The best parameter for a geometric distribution is 0.69 times its mean.
	mean := 0.69 * float64(math.MaxUint32) / float64(len(entries))
	// At least one bit for pages: zeros at the end of a piece are left out, and the width ends its header.
	return idCode{low: byte(max(0, math.Floor(math.Log2(mean)+0.5))), width: byte(max(1, bits.Len32(last)))}
}

// append appends entries. It stops early once dst is longer than end.
func (c idCode) append(dst []byte, entries []IDEntry, least IDHash, end int) []byte {
	w := bitWriter{buf: dst}
	before := least
	for _, e := range entries {
		diff := uint64(e.Hash - before)
		for range diff >> c.low {
			if w.put(1, 1); len(w.buf) > end {
				return w.buf
			}
		}
		w.put(0, 1)
		w.put(diff&(1<<c.low-1), c.low)
		w.put(uint64(e.Page+1), c.width)
		if before = e.Hash; len(w.buf) > end {
			break
		}
	}
	return w.flush()
}

var errIDs = errors.New("hashes leave their range")

// decode reads n entries.
func (c idCode) decode(b []byte, n int, least IDHash) ([]IDEntry, error) {
	r := bitReader{buf: b}
	out := make([]IDEntry, n)
	hash := uint64(least)
	for i := range out {
		hash += r.ones() << c.low
		hash += r.get(c.low)
		if hash > math.MaxUint32 {
			return nil, errIDs
		}
		out[i] = IDEntry{IDHash(hash), uint32(r.get(c.width)) - 1}
	}
	// Zeros at the end may have been left out, but a piece is never that short of them.
	if r.at > 8*idPieceLen {
		return nil, fmt.Errorf("%d entries: %w", n, errShort)
	}
	return out, nil
}

// bitWriter appends bits, the lowest first.
type bitWriter struct {
	buf  []byte
	word uint64 // bits that are no whole byte yet
	n    byte   // how many
}

// put appends the n lowest bits of v, at most 32; its others must be zero.
func (w *bitWriter) put(v uint64, n byte) {
	w.word |= v << w.n
	for w.n += n; w.n >= 8; w.n -= 8 {
		w.buf = append(w.buf, byte(w.word))
		w.word >>= 8
	}
}

// flush fills up the last byte with zeros and returns the bytes.
func (w *bitWriter) flush() []byte {
	if w.n > 0 {
		w.buf = append(w.buf, byte(w.word))
		w.word, w.n = 0, 0
	}
	return w.buf
}

// bitReader reads bits, the lowest first. Beyond the end it reads zeros.
type bitReader struct {
	buf []byte
	at  int // in bits
}

// get reads n bits, at most 32.
func (r *bitReader) get(n byte) (v uint64) {
	for got := byte(0); got < n; {
		have := min(n-got, byte(8-r.at&7))
		if i := r.at >> 3; i < len(r.buf) {
			v |= uint64(r.buf[i]>>(r.at&7)) & (1<<have - 1) << got
		}
		got += have
		r.at += int(have)
	}
	return v
}

// ones reads ones up to a zero, and the zero.
func (r *bitReader) ones() (n uint64) {
	for r.get(1) == 1 {
		n++
	}
	return n
}
