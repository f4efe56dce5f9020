package logs

import (
	"encoding/binary"
	"slices"
)

// A chunk is a run of a stream's entries in order of arrival, as columns. It only grows, so a copy
// of the struct, taken under the head's lock, is a snapshot: rows that come later lie behind its
// slices.
type headChunk struct {
	ts           []int64
	ends         []uint32
	lines        []byte
	metadataAt   []uint32 // offset in metadata + 1, 0 for none; nil while no row has metadata
	metadata     []byte   // sets: uvarint count, then uvarint name number, uvarint length, value
	metadataSize int64    // bytes of metadata, names and values, as if no rows shared a set
	unsorted     bool     // timestamps don't ascend
	timeRange
}

// A chunk is sealed when it reaches either bound. Small ones make a filter's memory local and a
// lookup of out-of-order duplicates short; large ones make the overhead per chunk small.
const (
	chunkRows      = 1024
	chunkLineBytes = 64 << 10
)

func (c *headChunk) full() bool { return len(c.ts) >= chunkRows || len(c.lines) >= chunkLineBytes }

// memory is what the chunk holds, in bytes.
func (c *headChunk) memory() int64 {
	return int64(8*cap(c.ts) + 4*cap(c.ends) + cap(c.lines) + 4*cap(c.metadataAt) + cap(c.metadata))
}

// chunkRoom is how much of what a chunk has room for.
type chunkRoom struct{ rows, lines, metadata int32 }

// quarter is what a chunk after c makes room for at first. Streams are steady, but a head of ten thousand
// streams must not hold ten thousand chunks of room.
func (c *headChunk) quarter() chunkRoom {
	return chunkRoom{int32(len(c.ts) / 4), int32(len(c.lines) / 4), int32(len(c.metadata) / 4)}
}

// reserve makes room for entries, as far as they can belong to this chunk, and in an empty chunk for no less
// than least. What is there is copied at most once; appending entries one by one would copy it several times.
func (c *headChunk) reserve(entries []Entry, least chunkRoom) {
	rows, bytes, metadata := 0, 0, 0
	for i := range entries {
		if rows >= chunkRows-len(c.ts) || bytes >= chunkLineBytes-len(c.lines) {
			break
		}
		rows++
		bytes += len(entries[i].Line)
		if len(entries[i].Metadata) > 1 { // a level alone is mostly that of a row before
			metadata += 4 + int(metadataSize(entries[i].Metadata))
		}
	}
	c.ts, c.ends = roomFor(c.ts, rows, int(least.rows), chunkRows), roomFor(c.ends, rows, int(least.rows), chunkRows)
	c.lines = roomFor(c.lines, bytes, int(least.lines), chunkLineBytes)
	c.metadata = roomFor(c.metadata, metadata, int(least.metadata), chunkLineBytes)
	if c.metadataAt != nil {
		c.metadataAt = roomFor(c.metadataAt, rows, 0, chunkRows)
	}
}

// roomFor returns s with room for n more elements, where it is empty for at least least. It grows by doubling, up to
// limit: what is full must not be copied once more to give back what it has too much.
func roomFor[T any](s []T, n, least, limit int) []T {
	if cap(s)-len(s) >= n && cap(s) > 0 {
		return s
	}
	room := max(len(s)+n, min(2*cap(s), limit))
	if cap(s) == 0 {
		room = max(n, least)
	}
	return append(make([]T, 0, room), s...)
}

// trim gives back what the slices hold too much.
func (c *headChunk) trim() {
	c.ts, c.ends = trimmed(c.ts), trimmed(c.ends)
	c.lines, c.metadata, c.metadataAt = trimmed(c.lines), trimmed(c.metadata), trimmed(c.metadataAt)
}

func trimmed[T any](s []T) []T {
	if cap(s)-len(s) <= len(s)/8 {
		return s
	}
	return slices.Clip(append(make([]T, 0, len(s)), s...))
}

func (c *headChunk) line(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = c.ends[i-1]
	}
	return c.lines[start:c.ends[i]]
}

func (c *headChunk) metadataOf(i int) uint32 {
	if i >= len(c.metadataAt) {
		return 0
	}
	return c.metadataAt[i]
}

// headNames numbers the names of metadata. A snapshot of list is good for every chunk of that time.
type headNames struct {
	numbers map[string]uint32
	list    []string
}

func (n *headNames) number(name string) uint32 {
	// Fast path: the first names are those of nearly all rows.
	for i, known := range n.list[:min(len(n.list), 4)] {
		if known == name {
			return uint32(i)
		}
	}
	if i, ok := n.numbers[name]; ok {
		return i
	}
	name = string(append([]byte(nil), name...))
	i := uint32(len(n.list))
	n.numbers[name] = i
	n.list = append(n.list, name)
	return i
}

func appendMetadataSet(dst []byte, md []Label, names *headNames) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(md)))
	for _, l := range md {
		dst = binary.AppendUvarint(dst, uint64(names.number(l.Name)))
		dst = binary.AppendUvarint(dst, uint64(len(l.Value)))
		dst = append(dst, l.Value...)
	}
	return dst
}

// uvarintAt reads a number that this package wrote.
func uvarintAt(b []byte, at int) (v uint64, next int) {
	if b[at] < 0x80 {
		return uint64(b[at]), at + 1
	}
	v, n := binary.Uvarint(b[at:])
	return v, at + n
}

// sameMetadata reports whether the set at offset at-1 is md.
func sameMetadata(set []byte, at uint32, names []string, md []Label) bool {
	if at == 0 {
		return len(md) == 0
	}
	n, i := uvarintAt(set, int(at-1))
	if n != uint64(len(md)) {
		return false
	}
	for _, l := range md {
		var name, size uint64
		name, i = uvarintAt(set, i)
		size, i = uvarintAt(set, i)
		if size != uint64(len(l.Value)) || names[name] != l.Name || string(set[i:i+int(size)]) != l.Value {
			return false
		}
		i += int(size)
	}
	return true
}

// packedMetadata reads the sets of a chunk.
type packedMetadata struct {
	at    []uint32
	sets  []byte
	names []string
}

// appendMetadata implements metadataReader. The strings share the memory of the chunk, which stays.
func (p *packedMetadata) appendMetadata(dst []Label, row int) []Label {
	if row >= len(p.at) || p.at[row] == 0 {
		return dst
	}
	n, i := uvarintAt(p.sets, int(p.at[row]-1))
	for range n {
		var name, size uint64
		name, i = uvarintAt(p.sets, i)
		size, i = uvarintAt(p.sets, i)
		dst = append(dst, Label{p.names[name], view(p.sets[i : i+int(size)])})
		i += int(size)
	}
	return dst
}
