package column

import (
	"encoding/binary"
	"math/bits"
)

// hashBytes is a hash for tables in memory. Short values are most of what is hashed: they cost two
// multiplications.
func hashBytes(b []byte) uint64 {
	n := len(b)
	h := uint64(n) * 0x9E3779B97F4A7C15
	var x uint64
	switch {
	case n >= 8:
		for i := 0; i < n-8; i += 8 {
			h = fold(binary.LittleEndian.Uint64(b[i:])^h, 0xA0761D6478BD642F)
		}
		x = binary.LittleEndian.Uint64(b[n-8:]) // may overlap those before
	case n >= 4:
		x = uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint32(b[n-4:]))<<32
	case n > 0:
		x = uint64(b[0]) | uint64(b[n/2])<<8 | uint64(b[n-1])<<16
	}
	h = fold(x^h, 0xE7037ED1A0B428DB)
	return h ^ h>>29
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// hashSet is a set of hashes: those of a sample, a few thousand. The zero hashSet is empty.
type hashSet struct {
	table [hashSetLen]uint64
	used  []uint16 // places in table
	bits  int      // so many of a hash choose a place: a small part of the table stays in the first cache
}

const (
	hashSetBits = 13
	hashSetLen  = 1 << hashSetBits // at most sampleRows are in it
)

// reset empties s and makes room for n hashes.
func (s *hashSet) reset(n int) {
	for _, at := range s.used {
		s.table[at] = 0
	}
	s.used = s.used[:0]
	s.bits = min(bits.Len(uint(2*n)), hashSetBits)
}

func (s *hashSet) len() int { return len(s.used) }

// find returns where h is, or would be.
func (s *hashSet) find(h uint64) int {
	at := int(h >> (64 - s.bits))
	for s.table[at] != 0 && s.table[at] != h {
		at = (at + 1) & (1<<s.bits - 1)
	}
	return at
}

// add adds h and reports whether it was not there. Zero counts as one.
func (s *hashSet) add(h uint64) bool {
	h = max(h, 1)
	at := s.find(h)
	if s.table[at] == h {
		return false
	}
	s.table[at] = h
	s.used = append(s.used, uint16(at))
	return true
}

func (s *hashSet) has(h uint64) bool {
	h = max(h, 1)
	return s.table[s.find(h)] == h
}

// distinctHashes removes from hashes what is there twice, and changes their order. Sorting would do the
// same, but a page may have a hundred thousand of them.
func distinctHashes(hashes []uint64) []uint64 {
	table := make([]uint64, 1<<bits.Len(uint(2*len(hashes))))
	shift := 65 - bits.Len(uint(len(table)))
	zero := false
	distinct := hashes[:0]
	for _, h := range hashes {
		if h == 0 {
			zero = true
			continue
		}
		at := int(h >> shift)
		for table[at] != 0 && table[at] != h {
			at = (at + 1) & (len(table) - 1)
		}
		if table[at] == 0 {
			table[at] = h
			distinct = append(distinct, h)
		}
	}
	if zero {
		distinct = append(distinct, 0)
	}
	return distinct
}
