package block

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// IDFilter leads from an ID, such as that of a trace, to the pages of a block that may hold it. It is a
// few bytes that say where in the block the filter's pieces are; a probe reads one piece.
//
// The filter knows an ID by 32 bits of its hash. Its entries, (hash, page), stand in the order of hashes
// and are cut into pieces by the hash alone, so that no directory is needed. A list of hashes is chosen
// over a Bloom filter because it does three things at once at about the same size: it answers for the
// block (a wrong yes for entries/2^32 of all IDs: one in 4,000 with a million IDs), it names the pages,
// and it can be read back, so that compaction makes the filter of a new block without decoding rows.
//
//	piece, 1020 bytes, a raw blob with its checksum of 4 bytes:
//	  uvarint  number of the piece
//	  uvarint  n, the number of its entries
//	  byte     low: how many bits of a difference are written as they are, at most 32
//	  byte     width of a page, at most 32 bits
//	  n times, from the lowest bit of each byte up, without padding:
//	    difference to the hash before, of the first one to the least hash of the piece:
//	      its upper bits as so many ones and a zero, then its low bits
//	    page, plus one; 0: perhaps any page
//	  zeros, which a filter of one piece goes without
//
// Differences of hashes are distributed geometrically, so that Golomb's code, which this is, comes within
// a few percent of the least possible.
type IDFilter struct {
	Offset   uint64 // of the first piece in the object
	Pieces   int
	PieceLen int // without checksum: 1020, less only where there is one piece
	Entries  uint64
}

// The pieces. Their stored size is a power of two, so that they don't straddle more pages of a cache
// than they must.
const (
	idPieceStored = 1024
	idPieceLen    = idPieceStored - checksumLen

	maxIDPieces       = 1 << 20
	maxIDPieceEntries = idPieceLen * 8 / 2
)

// MaxIDPages is how many pages the filter names for one ID. An ID on more pages, such as one that a
// program puts into every line, may be on any.
const MaxIDPages = 32

// AnyPage stands for all pages in an IDEntry.
const AnyPage = math.MaxUint32

// IDHash is what an IDFilter knows an ID by.
type IDHash uint32

// HashID returns the hash of an ID.
func HashID(id []byte) IDHash { return IDHash(xxhash.Sum64(id) >> 32) }

// IDEntry says that an ID of this hash is on a page.
type IDEntry struct {
	Hash IDHash
	Page uint32 // or AnyPage
}

// IDFilterBuilder collects what an IDFilter is made of. The zero IDFilterBuilder is empty.
type IDFilterBuilder struct {
	entries []IDEntry
}

// Add says that an ID is on a page. Adding it again does no harm.
func (b *IDFilterBuilder) Add(h IDHash, page uint32) { b.entries = append(b.entries, IDEntry{h, page}) }

// Write writes the pieces as blobs of w, one after the other. Without entries the filter is the zero
// IDFilter. The builder is empty afterwards.
func (b *IDFilterBuilder) Write(w *Writer) (IDFilter, error) {
	entries := compactIDs(b.entries)
	b.entries = nil
	if len(entries) == 0 {
		return IDFilter{}, nil
	}
	pieces := appendIDPieces(nil, entries)
	if len(pieces) == idPieceLen {
		pieces = bytes.TrimRight(pieces, "\x00")
	}
	f := IDFilter{PieceLen: min(len(pieces), idPieceLen), Entries: uint64(len(entries))}
	for piece := range slices.Chunk(pieces, idPieceLen) {
		f.Pieces++
		ref, err := w.Blob(piece, CodecRaw)
		if err != nil {
			return IDFilter{}, fmt.Errorf("write filter of IDs: %w", err)
		}
		if f.Offset == 0 {
			f.Offset = ref.Offset
		}
	}
	return f, nil
}

// compactIDs sorts entries, drops doubles, and replaces those of an ID on too many pages by one.
func compactIDs(entries []IDEntry) []IDEntry {
	slices.SortFunc(entries, func(a, b IDEntry) int {
		return cmp.Or(cmp.Compare(a.Hash, b.Hash), cmp.Compare(a.Page, b.Page))
	})
	entries = slices.Compact(entries)
	out := entries[:0]
	for len(entries) > 0 {
		n := 1
		for n < len(entries) && entries[n].Hash == entries[0].Hash {
			n++
		}
		if n > MaxIDPages || entries[n-1].Page == AnyPage {
			out = append(out, IDEntry{entries[0].Hash, AnyPage})
		} else {
			out = append(out, entries[:n]...)
		}
		entries = entries[n:]
	}
	return out
}

// appendIDPieces encodes entries in as few pieces as the fullest of them allows.
func appendIDPieces(dst []byte, entries []IDEntry) []byte {
	c := newIDCode(entries)
	perEntry := float64(c.low+c.width) + 1.5
	for n := 1 + int(float64(len(entries))*perEntry/8/idPieceLen); ; n += 1 + n/32 {
		if out, ok := tryIDPieces(dst, entries, n, c); ok {
			return out
		}
	}
}

// tryIDPieces encodes entries in n pieces, unless one of them would overflow.
func tryIDPieces(dst []byte, entries []IDEntry, n int, c idCode) (out []byte, ok bool) {
	for piece := range n {
		count := 0
		for count < len(entries) && idPiece(entries[count].Hash, n) == piece {
			count++
		}
		if count > maxIDPieceEntries {
			return nil, false
		}
		end := len(dst) + idPieceLen
		dst = binary.AppendUvarint(dst, uint64(piece))
		dst = binary.AppendUvarint(dst, uint64(count))
		dst = c.append(append(dst, c.low, c.width), entries[:count], leastHash(piece, n), end)
		if len(dst) > end {
			return nil, false
		}
		dst = append(dst, make([]byte, end-len(dst))...)
		entries = entries[count:]
	}
	return dst, true
}

// idPiece returns which of n pieces a hash is in.
func idPiece(h IDHash, n int) int { return int(uint64(h) * uint64(n) >> 32) }

// leastHash returns the least hash of a piece of n.
func leastHash(piece, n int) IDHash { return IDHash((uint64(piece)<<32 + uint64(n) - 1) / uint64(n)) }

// IsZero reports whether the filter has no IDs.
func (f IDFilter) IsZero() bool { return f.Pieces == 0 }

// AppendTo appends f's encoded form: four uvarints.
func (f IDFilter) AppendTo(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, f.Offset)
	dst = binary.AppendUvarint(dst, uint64(f.Pieces))
	dst = binary.AppendUvarint(dst, uint64(f.PieceLen))
	return binary.AppendUvarint(dst, f.Entries)
}

// IDFilter reads what IDFilter.AppendTo wrote.
func (d *Decoder) IDFilter() IDFilter {
	f := IDFilter{Offset: d.Uvarint(), Pieces: d.Count(maxIDPieces, 0), PieceLen: d.Count(idPieceLen, 0), Entries: d.Uvarint()}
	if f.Pieces > 1 && f.PieceLen != idPieceLen {
		d.Failf("%d pieces of %d bytes", f.Pieces, f.PieceLen)
	}
	if f.Entries > uint64(f.Pieces)*maxIDPieceEntries {
		d.Failf("%d IDs in %d pieces", f.Entries, f.Pieces)
	}
	if d.err != nil {
		return IDFilter{}
	}
	return f
}

// ref returns where a piece is.
func (f IDFilter) ref(piece int) Ref {
	size := uint32(f.PieceLen)
	return Ref{Offset: f.Offset + uint64(piece)*idPieceStored, StoredLen: size + checksumLen, RawLen: size, Codec: CodecRaw}
}

// IDPages are the pages on which an ID may be. The zero IDPages is none.
type IDPages struct {
	Any  bool
	List []uint32 // ascending
}

// None reports whether the ID is on no page.
func (p IDPages) None() bool { return !p.Any && len(p.List) == 0 }

// Has reports whether the ID may be on a page.
func (p IDPages) Has(page int) bool {
	if p.Any {
		return true
	}
	_, ok := slices.BinarySearch(p.List, uint32(page))
	return ok
}

// Lookup returns the pages that may hold an ID, by one read of at most 1 KiB from object name of size bytes. It
// needs no Reader, so a block that can't hold the ID need not be opened.
func (f IDFilter) Lookup(ctx context.Context, src RangeReader, name string, size int64, h IDHash) (IDPages, error) {
	if f.IsZero() {
		return IDPages{}, nil
	}
	r := &Reader{src: src, name: name, size: size, end: uint64(max(0, size-tailLen))}
	return r.LookupID(ctx, f, h)
}

// LookupID is IDFilter.Lookup in an open block.
func (r *Reader) LookupID(ctx context.Context, f IDFilter, h IDHash) (IDPages, error) {
	if f.IsZero() {
		return IDPages{}, nil
	}
	entries, err := r.idPiece(ctx, f, idPiece(h, f.Pieces))
	if err != nil {
		return IDPages{}, err
	}
	var p IDPages
	from, _ := slices.BinarySearchFunc(entries, h, func(e IDEntry, h IDHash) int { return cmp.Compare(e.Hash, h) })
	for _, e := range entries[from:] {
		if e.Hash != h {
			break
		}
		if e.Page == AnyPage {
			return IDPages{Any: true}, nil
		}
		p.List = append(p.List, e.Page)
	}
	return p, nil
}

// IDEntries returns all entries of the filter, in the order of hashes.
func (r *Reader) IDEntries(ctx context.Context, f IDFilter) ([]IDEntry, error) {
	refs := make([]Ref, f.Pieces)
	for i := range refs {
		refs[i] = f.ref(i)
	}
	var out []IDEntry
	// Ranges of a megabyte keep the memory of a large filter small.
	for batch := range slices.Chunk(refs, 1024) {
		pieces, err := r.Blobs(ctx, batch)
		if err != nil {
			return nil, err
		}
		for _, piece := range pieces {
			number := int((batch[0].Offset - f.Offset) / idPieceStored)
			entries, err := decodeIDPiece(piece, number, f.Pieces)
			if err != nil {
				return nil, r.corrupt("filter of IDs", clampOffset(f.ref(number).Offset), err)
			}
			out = append(out, entries...)
			batch = batch[1:]
		}
	}
	if uint64(len(out)) != f.Entries {
		return nil, r.corrupt("filter of IDs", clampOffset(f.Offset), fmt.Errorf("%d entries, want %d", len(out), f.Entries))
	}
	return out, nil
}

func (r *Reader) idPiece(ctx context.Context, f IDFilter, piece int) ([]IDEntry, error) {
	b, err := r.Blob(ctx, f.ref(piece))
	if err != nil {
		return nil, err
	}
	entries, err := decodeIDPiece(b, piece, f.Pieces)
	if err != nil {
		return nil, r.corrupt("filter of IDs", clampOffset(f.ref(piece).Offset), err)
	}
	return entries, nil
}

// decodeIDPiece reads piece number of so many.
func decodeIDPiece(b []byte, number, pieces int) ([]IDEntry, error) {
	d := NewDecoder(b)
	if got := d.Uvarint(); got != uint64(number) {
		d.Failf("piece %d where %d should be", got, number)
	}
	n := d.Count(maxIDPieceEntries, 0)
	c := idCode{d.Byte(), d.Byte()}
	if c.low > 32 || c.width > 32 {
		d.Failf("differences of %d bits, pages of %d", c.low, c.width)
	}
	if d.err != nil {
		return nil, d.err
	}
	entries, err := c.decode(d.buf, n, leastHash(number, pieces))
	if err != nil {
		return nil, err
	}
	if n > 0 && idPiece(entries[n-1].Hash, pieces) != number {
		return nil, fmt.Errorf("hash %x is out of place", entries[n-1].Hash)
	}
	return entries, nil
}
