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
	sectionSplit  block.Kind = 214 // traces with pieces in several row groups

	sectionSplitRows block.Kind = 213 // the same in rows, which no release wrote
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
