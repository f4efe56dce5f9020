package block

import (
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// SmallFilter is a Bloom filter over a few thousand values, to be held in memory: it is for what is known
// of a block without reading it. It is split into buckets of 256 bits, so that a probe looks at 32 bytes;
// a value sets one bit in each of the eight words of its bucket. With ten bits for each value about one
// value in sixty that isn't there is answered with maybe.
//
//	hash    XXH64, seed 0, of the value
//	bucket  the upper 32 bits of hash × number of buckets, divided by 2^32
//	bits    in word i: the lower 32 bits of hash × smallSalts[i], modulo 2^32, divided by 2^27
//
// The empty SmallFilter holds nothing.
type SmallFilter []byte

const (
	smallBucketLen    = 32
	smallBitsPerValue = 10
)

// smallSalts are odd, so that the multiplication maps hashes to products one to one.
var smallSalts = [8]uint32{0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d, 0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31}

// NewSmallFilter returns a filter of the values.
func NewSmallFilter(values []string) SmallFilter {
	buckets := (len(values)*smallBitsPerValue + 8*smallBucketLen - 1) / (8 * smallBucketLen)
	f := make(SmallFilter, buckets*smallBucketLen)
	for _, v := range values {
		h := xxhash.Sum64String(v)
		bucket := f.bucket(h)
		for i, salt := range smallSalts {
			word := bucket[4*i : 4*i+4]
			binary.LittleEndian.PutUint32(word, binary.LittleEndian.Uint32(word)|1<<(uint32(h)*salt>>27))
		}
	}
	return slices.Clip(f)
}

func (f SmallFilter) bucket(hash uint64) []byte {
	n := uint64(len(f) / smallBucketLen)
	return f[(hash>>32*n>>32)*smallBucketLen:][:smallBucketLen]
}

// MayHold reports whether value may have been among the values. False is certain.
func (f SmallFilter) MayHold(value string) bool {
	if len(f) < smallBucketLen {
		return false
	}
	h := xxhash.Sum64String(value)
	bucket := f.bucket(h)
	for i, salt := range smallSalts {
		if binary.LittleEndian.Uint32(bucket[4*i:])>>(uint32(h)*salt>>27)&1 == 0 {
			return false
		}
	}
	return true
}
