package traces

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/hune-io/hune/internal/block"
)

// This file is the layout of a traces block inside the container of package block; it is drawn in
// docs/formats/traces-block.md. Writer and reader share what is here.

// Sections.
const (
	sectionGroups block.Kind = 200 // row groups and where their columns are
	sectionIDs    block.Kind = 201 // fences of the trace ID index
	sectionTags   block.Kind = 202 // attribute keys with short value lists
)

const (
	// maxGroupSpans and maxGroupBytes close a row group: see trace-engine notes in the format page.
	maxGroupSpans = 32 << 10
	maxGroupBytes = 24 << 20
	// idPageLen is the number of IDs of one page of the index: one page is read for a lookup.
	idPageLen = 1024
	// maxColumns is the number of attribute columns of a row group; what is rarer goes to the rest.
	maxColumns = 1000
	// minColumnValues is the number of values from which a key gets a column of its own.
	minColumnValues = 8
	// maxTagValues is the number of values, and maxTagBytes their size, up to which the tags section lists all.
	maxTagValues = 64
	maxTagBytes  = 4096
)

// What a reader believes of a row group before it allocates.
const (
	maxReadSpans    = 1 << 20
	maxReadChildren = 1 << 24 // events, links or values of one column
	maxReadGroups   = 1 << 16
	maxReadColumns  = 1 << 14
)

// Fixed columns of a row group. A column that would be all zero or empty is not stored.
const (
	colTraceID = iota // 16 bytes each
	colTraceRows
	colTraceStart // earliest start
	colTraceEnd   // latest end, less the earliest start
	colSpanID     // 8 bytes each
	colParent     // 0: none; k: the k-th span of the trace; -1: the next of colParentRaw
	colParentRaw  // 8 bytes each
	colName
	colKind
	colStatus
	colStart    // less the trace's
	colDuration // end less start, may be negative
	colMessage
	colState
	colFlags
	colDroppedAttributes
	colDroppedEvents
	colDroppedLinks
	colOrder // less the position in the trace
	colResource
	colScope
	colShape
	colEvents // number of events of each span
	colEventTime
	colEventName
	colEventDropped
	colEventShape
	colLinks
	colLinkTraceID
	colLinkSpanID
	colLinkState
	colLinkDropped
	colLinkFlags
	colLinkShape
	colResources // messages: what groups of spans share
	colScopes
	colShapes   // lists of attribute columns
	colRestSpan // attributes without a column of their own, as key, type and AnyValue
	colRestEvent
	colRestLink
	fixedColumns // the first attribute column
)

// place is where an attribute column's values stand: onSpan, onEvent or onLink.
type columnDef struct {
	place  int
	key    string
	typ    ValueType
	values int // present values
}

// extent is the payload of one column: blobs to be read one after the other.
type extent []block.Ref

// groupDir is the directory of one row group.
type groupDir struct {
	traces, spans, events, links int
	resources, scopes            int
	start, end                   uint64
	fixed                        [fixedColumns]extent
	columns                      []columnDef
	data                         []extent // of columns
}

// directory is the groups section.
type directory struct {
	groups []groupDir
}

func (x extent) appendTo(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(x)))
	for _, r := range x {
		dst = r.AppendTo(dst)
	}
	return dst
}

func readExtent(d *block.Decoder) extent {
	n := d.Count(1<<10, 4)
	if n == 0 {
		return nil
	}
	x := make(extent, n)
	for i := range x {
		x[i] = d.Ref()
	}
	return x
}

func (dir *directory) appendTo(dst []byte) []byte {
	keys := make(map[string]uint64)
	var list []string
	for _, g := range dir.groups {
		for _, c := range g.columns {
			if _, ok := keys[c.key]; !ok {
				keys[c.key] = uint64(len(list))
				list = append(list, c.key)
			}
		}
	}
	dst = block.AppendStringList(dst, list)
	dst = binary.AppendUvarint(dst, uint64(len(dir.groups)))
	for i := range dir.groups {
		g := &dir.groups[i]
		for _, n := range []int{g.traces, g.spans, g.events, g.links, g.resources, g.scopes} {
			dst = binary.AppendUvarint(dst, uint64(n))
		}
		dst = binary.AppendUvarint(dst, g.start)
		dst = binary.AppendUvarint(dst, g.end-g.start)
		dst = binary.AppendUvarint(dst, uint64(len(g.fixed)))
		for _, x := range g.fixed {
			dst = x.appendTo(dst)
		}
		dst = binary.AppendUvarint(dst, uint64(len(g.columns)))
		for j, c := range g.columns {
			dst = append(dst, byte(c.place), byte(c.typ))
			dst = binary.AppendUvarint(dst, keys[c.key])
			dst = binary.AppendUvarint(dst, uint64(c.values))
			dst = g.data[j].appendTo(dst)
		}
	}
	return dst
}

func decodeDirectory(data []byte) (*directory, error) {
	d := block.NewDecoder(data)
	keys := d.StringList()
	dir := &directory{groups: make([]groupDir, d.Count(maxReadGroups, 16))}
	for i := range dir.groups {
		dir.groups[i].decode(d, keys)
		if d.Err() != nil {
			break
		}
	}
	return dir, d.Finish()
}

func (g *groupDir) decode(d *block.Decoder, keys []string) {
	count := func(limit int) int {
		n := d.Uvarint()
		if n > uint64(limit) {
			d.Failf("count of %d, at most %d are allowed", n, limit)
			return 0
		}
		return int(n)
	}
	g.traces, g.spans = count(maxReadSpans), count(maxReadSpans)
	g.events, g.links = count(maxReadChildren), count(maxReadChildren)
	g.resources, g.scopes = count(maxReadSpans), count(maxReadSpans)
	g.start = d.Uvarint()
	length := d.Uvarint()
	if g.start > math.MaxInt64 || length > math.MaxInt64 {
		d.Failf("time range out of bounds")
	}
	g.end = g.start + length
	for i := range count(256) {
		// A column that a newer program added is skipped.
		if x := readExtent(d); i < len(g.fixed) {
			g.fixed[i] = x
		}
	}
	g.columns = make([]columnDef, d.Count(maxReadColumns, 5))
	g.data = make([]extent, len(g.columns))
	for i := range g.columns {
		c := &g.columns[i]
		c.place, c.typ = int(d.Byte()), ValueType(d.Byte())
		key := d.Uvarint()
		c.values = count(maxReadChildren)
		if d.Err() == nil && (key >= uint64(len(keys)) || c.place >= tagPlaces || c.typ > TypeOpaque) {
			d.Failf("attribute column %d is not of a known place, type and key", i)
		}
		if d.Err() != nil {
			return
		}
		c.key = keys[key]
		g.data[i] = readExtent(d)
	}
}

// idFence leads to one page of the trace ID index.
type idFence struct {
	first ID
	n     int
	page  block.Ref
}

func appendFences(dst []byte, fences []idFence) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(fences)))
	for _, f := range fences {
		dst = append(dst, f.first[:]...)
		dst = binary.AppendUvarint(dst, uint64(f.n))
		dst = f.page.AppendTo(dst)
	}
	return dst
}

func decodeFences(data []byte) ([]idFence, error) {
	d := block.NewDecoder(data)
	fences := make([]idFence, d.Count(block.MaxRows, 20))
	for i := range fences {
		f := &fences[i]
		copy(f.first[:], d.Bytes(len(f.first)))
		n := d.Uvarint()
		if n == 0 || n > idPageLen {
			d.Failf("page of %d IDs", n)
		}
		f.n, f.page = int(n), d.Ref()
		if d.Err() == nil && i > 0 && compareIDs(fences[i-1].first, f.first) >= 0 {
			d.Failf("fences are not in order")
		}
	}
	return fences, d.Finish()
}

// idEntry says where the trace is: in which group, as which trace of it.
type idEntry struct {
	Piece
	group, ordinal int
}

func appendIDPage(dst []byte, entries []idEntry) []byte {
	groups, ordinals := make([]int64, len(entries)), make([]int64, len(entries))
	starts, lengths := make([]int64, len(entries)), make([]int64, len(entries))
	for i, e := range entries {
		dst = append(dst, e.ID[:]...)
		groups[i], ordinals[i], starts[i], lengths[i] = int64(e.group), int64(e.ordinal), int64(e.Start), int64(e.End-e.Start)
	}
	for _, column := range [][]int64{groups, ordinals, starts, lengths} {
		dst = block.AppendInts(dst, column)
	}
	return dst
}

func decodeIDPage(data []byte, n int, groups []groupDir) ([]idEntry, error) {
	d := block.NewDecoder(data)
	ids := d.Bytes(16 * n)
	var columns [4][]int64
	for i := range columns {
		columns[i] = block.DecodeInts(d, columns[i], n)
	}
	if err := d.Finish(); err != nil {
		return nil, err
	}
	out := make([]idEntry, n)
	for i := range out {
		e := &out[i]
		copy(e.ID[:], ids[16*i:])
		g, o := columns[0][i], columns[1][i]
		if g < 0 || g >= int64(len(groups)) || o < 0 || o >= int64(groups[g].traces) {
			return nil, fmt.Errorf("trace %s is said to be trace %d of row group %d", e.ID, o, g)
		}
		if i > 0 && compareIDs(out[i-1].ID, e.ID) >= 0 {
			return nil, fmt.Errorf("trace IDs are not in order")
		}
		e.group, e.ordinal = int(g), int(o)
		e.Start, e.End = uint64(columns[2][i]), uint64(columns[2][i]+columns[3][i])
	}
	return out, nil
}

// tagEntry is one attribute key of a block.
type tagEntry struct {
	scope    TagScope
	key      string
	complete bool // values are all there are
	values   []Attribute
}

func appendTags(dst []byte, tags []tagEntry) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(tags)))
	for _, t := range tags {
		dst = block.AppendPrefixed(dst, string(t.scope))
		dst = block.AppendPrefixed(dst, t.key)
		if !t.complete {
			dst = append(dst, 0)
			continue
		}
		dst = append(dst, 1)
		dst = binary.AppendUvarint(dst, uint64(len(t.values)))
		for i := range t.values {
			dst = block.AppendPrefixed(dst, AppendValue(nil, &t.values[i]))
		}
	}
	return dst
}

func decodeTags(data []byte) ([]tagEntry, error) {
	d := block.NewDecoder(data)
	tags := make([]tagEntry, d.Count(block.MaxRows, 3))
	w := walker{limits: unlimited}
	for i := range tags {
		t := &tags[i]
		t.scope, t.key = TagScope(d.String()), d.String()
		if t.complete = d.Byte() == 1; !t.complete {
			continue
		}
		t.values = make([]Attribute, d.Count(maxTagValues, 1))
		for j := range t.values {
			if err := w.value(d.String(), &t.values[j], true); err != nil {
				d.Fail(err)
			}
		}
	}
	return tags, d.Finish()
}
