package block

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// A question may want a few bytes here and there of many blobs. To verify a blob by its checksum all of it has to be read.
// Pieces are checksums of short pieces of a blob, made of what was read and verified as a whole once: who wants some bytes
// of it later reads them where they are, and verifies the pieces that they are in.

// pieceLen is how many bytes a piece has: who wants a number reads two lines of the processor's cache for it, and checksums
// take a thirtieth of what they are of.
const pieceLen = 128

// Pieces are the checksums of the pieces of a raw blob. They are immutable.
type Pieces struct {
	sums []uint32
	size int
}

// PiecesOf returns the checksums of a verified blob.
func PiecesOf(blob []byte) *Pieces {
	p := &Pieces{make([]uint32, 0, (len(blob)+pieceLen-1)/pieceLen), len(blob)}
	for ; len(blob) > 0; blob = blob[min(len(blob), pieceLen):] {
		p.sums = append(p.sums, crc32.Checksum(blob[:min(len(blob), pieceLen)], castagnoli))
	}
	return p
}

// Memory is what p holds, in bytes; nothing if it is nil.
func (p *Pieces) Memory() int {
	if p == nil {
		return 0
	}
	return 40 + 4*cap(p.sums)
}

// PackedPieces is what is known of an integer column in packed bits, which is a blob of its own: its form, and the
// checksums of its pieces.
type PackedPieces struct {
	*Pieces
	h  intHeader // without a payload
	at int       // where that begins
}

// PackedPiecesOf returns what is known of a verified blob that is a column of exactly n values; nil if its values can't be
// read by themselves.
func PackedPiecesOf(blob []byte, n int) *PackedPieces {
	d := NewDecoder(blob)
	h := d.intHeader(n)
	if h.huffman != nil {
		huffmen.Put(h.huffman)
	}
	if d.Finish() != nil || h.huffman != nil || !h.packed || h.transform != transformFrame {
		return nil
	}
	p := &PackedPieces{Pieces: PiecesOf(blob), h: h, at: len(blob) - len(h.payload)}
	p.h.payload = nil
	return p
}

// Memory is what p holds, in bytes.
func (p *PackedPieces) Memory() int { return 120 + p.Pieces.Memory() }

// viewer is a RangeReader that shows what it has at hand: the parts that make up a range, of which all but the first and
// the last are of one length.
type viewer interface {
	Views(ctx context.Context, name string, off, n int64) ([][]byte, error)
}

// Views are stored bytes of a block as they are at hand, in parts, neither copied nor verified.
type Views struct {
	parts       [][]byte
	first, each int // length of the first part, and of those after it
}

// Views returns the n bytes from off on, nil where the source of the block can only copy.
func (r *Reader) Views(ctx context.Context, off uint64, n int) (*Views, error) {
	src, ok := r.src.(viewer)
	if !ok || n <= 0 || off > r.end || uint64(n) > r.end-off {
		return nil, nil
	}
	if b := r.suffix.Load().slice(int64(off), int64(n)); b != nil {
		return &Views{parts: [][]byte{b}, first: len(b)}, nil
	}
	if r.opts.OnRead != nil {
		r.opts.OnRead(int64(n))
	}
	parts, err := src.Views(ctx, r.name, int64(off), int64(n))
	if err != nil {
		return nil, fmt.Errorf("read views of block %s: %w", r.name, err)
	}
	v, total := &Views{parts: parts}, 0
	for i, p := range parts {
		total += len(p)
		switch {
		case i == 0:
			v.first = len(p)
		case i == 1:
			v.each = len(p)
		case len(p) != v.each && (i < len(parts)-1 || len(p) > v.each):
			return nil, nil
		}
	}
	if total != n {
		return nil, r.corrupt("views", int64(off), fmt.Errorf("%d of %d bytes, the object is shorter than it should be", total, n))
	}
	return v, nil
}

// from returns the bytes from at on that are in one part.
func (v *Views) from(at int) []byte {
	if at < v.first {
		return v.parts[0][at:]
	}
	at -= v.first
	return v.parts[1+at/v.each][at%v.each:]
}

// PieceReader reads bytes here and there of a blob, and verifies the pieces that they are in. What is wrong with one is
// what Err returns from then on. Used by one goroutine.
type PieceReader struct {
	pieces  *Pieces
	views   *Views
	at      int      // where the blob begins in views
	checked []uint64 // a bit for each piece
	across  [16]byte // what lies across parts
	err     error
}

// Reset begins with another blob, whose payload is at a place of views.
func (r *PieceReader) Reset(p *Pieces, v *Views, at int) {
	n := (len(p.sums) + 63) / 64
	if cap(r.checked) < n {
		r.checked = make([]uint64, n)
	}
	r.pieces, r.views, r.at, r.checked = p, v, at, r.checked[:n]
	clear(r.checked)
}

// Err returns what was wrong with the first bytes that were.
func (r *PieceReader) Err() error { return r.err }

// Bytes returns n bytes, at most 16, of the blob from off on. They are valid until the next call. More may follow in memory,
// which isn't verified.
func (r *PieceReader) Bytes(off, n int) []byte {
	for i := off / pieceLen; i*pieceLen < off+n; i++ {
		if r.checked[i>>6]&(1<<(i&63)) == 0 {
			r.check(i)
		}
	}
	if b := r.views.from(r.at + off); len(b) >= n {
		return b[:n]
	}
	r.copy(r.across[:n], off)
	return r.across[:n]
}

func (r *PieceReader) copy(dst []byte, off int) {
	for len(dst) > 0 {
		n := copy(dst, r.views.from(r.at+off))
		dst, off = dst[n:], off+n
	}
}

// check verifies piece i.
func (r *PieceReader) check(i int) {
	r.checked[i>>6] |= 1 << (i & 63)
	off, sum := i*pieceLen, uint32(0)
	for left := min(pieceLen, r.pieces.size-off); left > 0; {
		b := r.views.from(r.at + off)
		b = b[:min(len(b), left)]
		sum = crc32.Update(sum, castagnoli, b)
		off, left = off+len(b), left-len(b)
	}
	if sum != r.pieces.sums[i] && r.err == nil {
		r.err = fmt.Errorf("piece %d: %w", i, errChecksum)
	}
}

// View begins with another column, which is at a place of views.
func (p *PackedPieces) View(r *PieceReader, v *Views, at int) IntsView {
	r.Reset(p.Pieces, v, at)
	return IntsView{h: p.h, pieces: r, at: p.at}
}

// pieceAt returns value i of a column that is read in pieces.
func (v *IntsView) pieceAt(i int) int64 {
	width := v.h.width
	if width == 0 {
		return v.h.base
	}
	bit := i * width
	b := v.pieces.Bytes(v.at+bit>>3, (bit&7+width+7)>>3)
	mask := ^uint64(0) >> (64 - width)
	if cap(b) >= 8 && bit&7+width <= 64 {
		return v.h.base + int64(binary.LittleEndian.Uint64(b[:8])>>(bit&7)&mask)
	}
	return v.h.base + int64(bitsAt(b, bit&7, width)&mask)
}
