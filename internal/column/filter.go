package column

import (
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// The value filter of a page says of a whole value that it is in none of the page's Filtered columns. It
// is a Bloom filter split into blocks of 256 bits, so that a probe looks at one block only, and is stored
// in pieces, so that a reader fetches one piece only:
//
//	hash   XXH64, seed 0, of the value as it is printed
//	block  the upper 32 bits of hash × number of blocks, divided by 2^32
//	bits   for each of the filterSalts: the lower 32 bits of hash × salt, modulo 2^32, divided by 2^24
//	piece  32 blocks; a filter of fewer blocks is one shorter piece, any other has full pieces only
//
// Bit i of a block is bit i%8 of its byte i/8. With ten bits for each value and six of them set, one probe
// in about eighty is answered maybe for nothing.
const (
	filterBitsPerValue = 10
	filterBlockLen     = 256 / 8
	filterBlobLen      = 32 * filterBlockLen
)

// filterSalts are odd: the multiplication then maps hashes to products one to one.
var filterSalts = [6]uint32{0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d, 0x705495c7, 0x2df1424b}

func filterHash(value []byte) uint64 { return xxhash.Sum64(value) }

// filterBlock returns which of n blocks hash leads to.
func filterBlock(hash uint64, n int) int { return int(hash >> 32 * uint64(n) >> 32) }

// filterBit returns the bit of the block that hash and salt lead to.
func filterBit(hash uint64, salt uint32) uint32 { return uint32(hash) * salt >> 24 }

// filterBuilder collects the values of a filter. The zero filterBuilder is empty.
type filterBuilder struct {
	hashes []uint64
}

// add puts value, as it is printed, into the filter. Adding a value again costs memory until build.
func (b *filterBuilder) add(value []byte) { b.hashes = append(b.hashes, filterHash(value)) }

// reset empties the builder and keeps its memory.
func (b *filterBuilder) reset() { b.hashes = b.hashes[:0] }

// build returns the pieces of the filter; nil if nothing was added.
func (b *filterBuilder) build() [][]byte {
	if len(b.hashes) == 0 {
		return nil
	}
	b.hashes = distinctHashes(b.hashes)
	blocks := (len(b.hashes)*filterBitsPerValue + 255) / 256
	size := blocks * filterBlockLen
	if size > filterBlobLen {
		size = (size + filterBlobLen - 1) / filterBlobLen * filterBlobLen
		blocks = size / filterBlockLen
	}
	bits := make([]byte, size)
	for _, h := range b.hashes {
		block := bits[filterBlock(h, blocks)*filterBlockLen:][:filterBlockLen]
		for _, salt := range filterSalts {
			bit := filterBit(h, salt)
			block[bit/8] |= 1 << (bit % 8)
		}
	}
	return slices.Collect(slices.Chunk(bits, filterBlobLen))
}

// filterHas reports whether the block may have been set by hash.
func filterHas(block []byte, hash uint64) bool {
	words := [4]uint64{
		binary.LittleEndian.Uint64(block), binary.LittleEndian.Uint64(block[8:]),
		binary.LittleEndian.Uint64(block[16:]), binary.LittleEndian.Uint64(block[24:]),
	}
	for _, salt := range filterSalts {
		bit := filterBit(hash, salt)
		if words[bit/64]>>(bit%64)&1 == 0 {
			return false
		}
	}
	return true
}

// mayHold reports whether value, as it is printed, may be a value of a Filtered column of the page. It
// opens one piece of the filter; where that isn't at hand nothing is known, and the answer is maybe.
func (r *Reader) mayHold(value []byte) (maybe, known bool) {
	f := r.page.Filter
	if f.Blobs == 0 {
		return true, true
	}
	last := r.page.Blobs[f.First+f.Blobs-1].RawLen
	blocks := ((f.Blobs-1)*filterBlobLen + last) / filterBlockLen
	hash := filterHash(value)
	at := filterBlock(hash, blocks) * filterBlockLen
	piece, ok := r.payload(Payload{
		Blob: f.First + at/filterBlobLen,
		Off:  at % filterBlobLen,
		Len:  filterBlockLen,
	})
	if !ok {
		return true, false
	}
	return filterHas(piece, hash), true
}
