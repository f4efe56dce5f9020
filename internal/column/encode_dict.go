package column

import (
	"bytes"
	"math/bits"

	"github.com/hune-io/hune/internal/block"
)

const (
	rawEntries    = 64  // fewer entries are stored as they are
	recencyAbove  = 256 // entries: more may be numbered by recency
	recencyShare  = 16  // one in so many rows is a new entry
	firstDictBits = 15  // of the table, at most, at first
)

// dictBuilder finds the distinct values of a column: an open hash table that holds numbers of entries,
// plus one.
type dictBuilder struct {
	table  []uint32
	hashes []uint32 // of the entries
	codes  []uint32 // of the rows
}

// tryDict encodes values as a dictionary, or returns nil where more than 60 % are distinct.
func (e *Encoder) tryDict(values []extent, g grain) *Column {
	entries := e.findDistinct(values)
	if entries == nil {
		return nil
	}
	d := &e.dict
	n := len(entries)
	c := newColumn(Dict, len(values))
	if c.Recency = n > recencyAbove && n > len(values)/recencyShare; c.Recency {
		toRecency(d.codes)
	}
	// The entries may be encoded with this dictionary's memory: the codes are kept until then.
	codes := block.AppendInts(nil, d.codes)
	c.Values = e.encodeEntries(entries, g)
	c.Stamp = c.Values.Stamp
	c.Stamp.Min, c.Stamp.Max = 0, 0
	c.Payload = e.blobs.putInts(codes)
	return c
}

func (e *Encoder) encodeEntries(entries []extent, g grain) *Column {
	large := e.blobs.large
	if large == Bulk {
		e.blobs.large = Strings
	}
	defer func() { e.blobs.large = large }()
	if len(entries) < rawEntries {
		if c := e.constant(entries); c != nil {
			return c
		}
		return e.encodeRaw(entries)
	}
	return e.encodeSlot(entries, g)
}

// findDistinct returns the distinct values in order of appearance and leaves the codes in e.dict, or
// returns nil.
func (e *Encoder) findDistinct(values []extent) []extent {
	d := &e.dict
	d.codes = resize(d.codes, len(values))
	d.hashes = d.hashes[:0]
	d.grow(1 << min(firstDictBits, bits.Len(uint(2*len(values)))))
	limit := len(values)*6/10 + 8
	var entries []extent
	for i, v := range values {
		b := e.bytes(v)
		h := uint32(hashBytes(b))
		mask := uint32(len(d.table) - 1)
		at := h & mask
		for ; d.table[at] != 0; at = (at + 1) & mask {
			code := d.table[at] - 1
			if d.hashes[code] == h && bytes.Equal(e.bytes(entries[code]), b) {
				break
			}
		}
		if d.table[at] != 0 {
			d.codes[i] = d.table[at] - 1
			continue
		}
		if len(entries) == limit {
			return nil
		}
		d.codes[i] = uint32(len(entries))
		entries = append(entries, v)
		d.hashes = append(d.hashes, h)
		d.table[at] = uint32(len(entries))
		if len(entries)*2 > len(d.table) {
			d.grow(len(d.table) * 2)
		}
	}
	return entries
}

// grow empties the table, makes it n long, and puts the entries back.
func (d *dictBuilder) grow(n int) {
	d.table = resize(d.table, n)
	clear(d.table)
	for i, h := range d.hashes {
		at := h & uint32(n-1)
		for d.table[at] != 0 {
			at = (at + 1) & uint32(n-1)
		}
		d.table[at] = uint32(i + 1)
	}
}

// toRecency replaces codes, whose entries are numbered as they appear, by 0 for a new entry, else the
// distance from the next new one.
func toRecency(codes []uint32) {
	next := uint32(0)
	for i, code := range codes {
		if code == next {
			codes[i] = 0
			next++
		} else {
			codes[i] = next - code
		}
	}
}

// fromRecency undoes toRecency. It reports false where a code has no entry.
func fromRecency(codes []uint32, entries int) bool {
	next := uint32(0)
	for i, back := range codes {
		if back > next || back == 0 && next == uint32(entries) {
			return false
		}
		codes[i] = next - back
		if back == 0 {
			next++
		}
	}
	return true
}
