package traces

import (
	"encoding/binary"
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// This file is the layout of a traces block inside the container of package block; it is drawn in
// docs/formats/traces-block.md. Writer and reader share what is here.

// Sections.
const (
	sectionGroupsV1 block.Kind = 200 // of version 1, which no release wrote

	sectionGroups block.Kind = 210 // row groups and where they are
	sectionIDs    block.Kind = 211 // where the filter of trace IDs is
	sectionTags   block.Kind = 212 // attribute keys with short value lists
	sectionSplit  block.Kind = 213 // traces with pieces in several row groups
)

const (
	// maxGroups is what a reader believes of the number of row groups.
	maxGroups = 1 << 20
	// directoryBytes and directoryGroups close a group of directories: they repeat each other, so a few
	// compress better than one, but a lookup reads them all.
	directoryBytes  = 96 << 10
	directoryGroups = 8
)

// groupIndex is the decoded section of row groups.
type groupIndex struct {
	directories []block.Ref
	entries     []groupEntry
	places      []groupPlace
	base        []int // number of the first trace of each row group among those of the block, and the end
}

func (x *groupIndex) appendTo(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(x.directories)))
	for _, r := range x.directories {
		dst = r.AppendTo(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(len(x.entries)))
	for i := range x.entries {
		dst = x.entries[i].appendTo(dst)
		dst = x.places[i].appendTo(dst)
	}
	return dst
}

func decodeGroupIndex(data []byte) (*groupIndex, error) {
	d := block.NewDecoder(data)
	x := &groupIndex{directories: make([]block.Ref, d.Count(maxGroups, 4))}
	for i := range x.directories {
		x.directories[i] = d.Ref()
	}
	n := d.Count(maxGroups, 17)
	x.entries, x.places = make([]groupEntry, n), make([]groupPlace, n)
	x.base = make([]int, 1, n+1)
	for i := range n {
		x.entries[i].decode(d)
		x.places[i].decode(d, len(x.directories))
		if d.Err() != nil {
			break
		}
		x.base = append(x.base, x.base[i]+x.entries[i].traces)
	}
	return x, d.Finish()
}

func (x *groupIndex) traces() int { return x.base[len(x.base)-1] }

// place returns which trace of which row group is trace number n of the block.
func (x *groupIndex) place(n int) (tracePlace, bool) {
	if n < 0 || n >= x.traces() {
		return tracePlace{}, false
	}
	i, found := slices.BinarySearch(x.base, n)
	if !found {
		i--
	}
	return tracePlace{i, n - x.base[i]}, true
}

func appendSplit(dst []byte, split []splitTrace) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(split)))
	for i := range split {
		t := &split[i]
		dst = append(dst, t.ID[:]...)
		dst = binary.AppendUvarint(dst, t.Start)
		dst = binary.AppendUvarint(dst, t.End-t.Start)
		dst = binary.AppendUvarint(dst, uint64(len(t.places)))
		for _, p := range t.places {
			dst = binary.AppendUvarint(dst, uint64(p.group))
			dst = binary.AppendUvarint(dst, uint64(p.ordinal))
		}
	}
	return dst
}

func decodeSplit(data []byte, x *groupIndex) ([]splitTrace, error) {
	d := block.NewDecoder(data)
	split := make([]splitTrace, d.Count(block.MaxRows, 20))
	for i := range split {
		t := &split[i]
		copy(t.ID[:], d.Bytes(len(t.ID)))
		t.Start = d.Uvarint()
		t.End = t.Start + d.Uvarint()
		t.places = make([]tracePlace, d.Count(maxGroups, 2))
		for j := range t.places {
			p := tracePlace{d.Count(maxGroups, 0), d.Count(block.MaxRows, 0)}
			if d.Err() == nil && (p.group >= len(x.entries) || p.ordinal >= x.entries[p.group].traces || j > 0 && t.places[j-1].compare(p) >= 0) {
				d.Failf("trace %s is said to be trace %d of row group %d", t.ID, p.ordinal, p.group)
			}
			t.places[j] = p
		}
		if d.Err() == nil && (len(t.places) < 2 || i > 0 && compareIDs(split[i-1].ID, t.ID) >= 0) {
			d.Failf("split traces are not in order, or have %d pieces", len(t.places))
		}
		if d.Err() != nil {
			break
		}
	}
	return split, d.Finish()
}
