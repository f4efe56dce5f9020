package traces

import (
	"encoding/binary"
	"math"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// This file is what the directory of a row group says; it is drawn in docs/formats/traces-block.md.
// Writer and reader share what is here.

const (
	// maxGroupSpans closes a row group: with more spans a lookup reads more, with fewer columns compress
	// less (16 Ki: 4 % more bytes).
	maxGroupSpans = 32 << 10
	// maxGroupBytes closes one of large spans.
	maxGroupBytes = 24 << 20
	// maxGroupChildren is how many events, or links, a row group has at most.
	maxGroupChildren = block.MaxRows / 2
	// chunkSpans is how many spans a chunk of times and span IDs has: what a lookup reads of them.
	chunkSpans = 4 << 10
	// maxColumns is the number of attribute columns of a row group; what is rarer goes to the rest.
	maxColumns = 1000
	// minColumnValues is the number of values from which a key gets a column of its own.
	minColumnValues = 16
	// maxClasses is up to how many classes spans are told apart by their names and scopes.
	maxClasses = 4096
)

// The columns that are not of an attribute, in the order in which a page has them. One that would be all
// zero or empty isn't stored.
const (
	fixTraceRows = iota // of each trace: number of spans
	fixTraceStart
	fixTraceLength // latest end less earliest start
	fixClass       // of each span
	fixDepth
	fixLoose       // rows of the spans of depth 0 that are no roots, each less the one before
	fixLooseParent // their parent IDs, 8 bytes each; see fixLooseWhich
	fixResource
	fixName  // where classes have no names
	fixScope // where classes have no scopes
	fixOrder // order of arrival less place in the trace
	fixMessage
	fixState
	fixFlags
	fixDroppedAttributes
	fixDroppedEvents
	fixDroppedLinks
	fixEvents // number of events
	fixEventTime
	fixEventName
	fixEventDropped
	fixEventShape
	fixLinks // number of links
	fixLinkTraceID
	fixLinkSpanID
	fixLinkState
	fixLinkDropped
	fixLinkFlags
	fixLinkShape
	fixRestSpan // of each span that has any: the attributes without a column
	fixRestEvent
	fixRestLink
	fixLooseWhich // of each of fixLoose its entry of fixLooseParent: 0 for the next one, k for the k-th before that
	fixedColumns
)

// lastSpine is the last column of the spine, which stands together in a block.
const lastSpine = fixLoose

// fixedText are the fixed columns of text.
var fixedText = [fixedColumns]bool{fixLooseParent: true, fixName: true, fixMessage: true, fixState: true, fixEventName: true,
	fixLinkTraceID: true, fixLinkSpanID: true, fixLinkState: true, fixRestSpan: true, fixRestEvent: true, fixRestLink: true}

// groupEntry is what the index of a block says of a row group.
type groupEntry struct {
	traces, spans, events, links int
	minStart, maxStart, maxEnd   uint64 // of traces
	// twins: some span has the ID of another one of its trace. repeats: some span has a key twice.
	twins, repeats bool
}

// Flags of a row group.
const (
	flagTwins      = 1 << 0
	flagRepeats    = 1 << 1
	flagClassNames = 1 << 2 // classes tell names
	flagClassScope = 1 << 3 // classes tell scopes
	flagsKnown     = flagTwins | flagRepeats | flagClassNames | flagClassScope
)

func (e *groupEntry) appendTo(dst []byte) []byte {
	for _, n := range []int{e.traces, e.spans, e.events, e.links} {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	dst = binary.AppendUvarint(dst, e.minStart)
	dst = binary.AppendUvarint(dst, e.maxStart-e.minStart)
	dst = binary.AppendUvarint(dst, e.maxEnd-e.minStart)
	flags := byte(0)
	if e.twins {
		flags |= flagTwins
	}
	if e.repeats {
		flags |= flagRepeats
	}
	return append(dst, flags)
}

func (e *groupEntry) decode(d *block.Decoder) {
	e.traces, e.spans = d.Count(block.MaxRows, 0), d.Count(block.MaxRows, 0)
	e.events, e.links = d.Count(block.MaxRows, 0), d.Count(block.MaxRows, 0)
	e.minStart = d.Uvarint()
	latest, end := d.Uvarint(), d.Uvarint()
	flags := d.Byte()
	if e.minStart > math.MaxInt64 || latest > math.MaxInt64 || end > math.MaxInt64 || latest > end || e.traces == 0 || e.traces > e.spans {
		d.Failf("row group of %d traces and %d spans whose times are out of bounds", e.traces, e.spans)
	}
	if flags&^(flagTwins|flagRepeats) != 0 {
		d.Failf("unknown flags %#x of a row group", flags)
	}
	e.maxStart, e.maxEnd = e.minStart+latest, e.minStart+end
	e.twins, e.repeats = flags&flagTwins != 0, flags&flagRepeats != 0
}

// class is what spans of one class have in common.
type class struct {
	shape, service, name, scope int
	kind                        Kind
	status                      Status
}

// blobInfo is what a directory says of a blob that package column doesn't know.
type blobInfo struct {
	codec       block.Codec
	stored, raw uint32
}

// groupDirectory says what a row group consists of. It is immutable.
type groupDirectory struct {
	classNames, classScopes bool

	services  []string
	resources []*Resource
	ofService [][]int // resources of each service, by rank
	scopes    []*Scope
	names     []string
	shapes    [][]uint32 // of each shape its columns: 1 + index, 0 for one in the rest
	classes   []class

	columns []columnDef
	pageOf  []int // of each of columns the first of its columns of the page

	fixed      [fixedColumns]int // column of the page, -1: not stored
	fixedTable [fixedColumns]bool

	ids    blobInfo   // trace IDs
	chunks []blobInfo // starts, durations and span IDs of each chunk
	page   *column.Page
}

// chunkCount returns how many chunks so many spans have.
func chunkCount(spans int) int { return (spans + chunkSpans - 1) / chunkSpans }

// blobs returns how many blobs the group has: those of the page, that of the trace IDs, those of the chunks.
func (d *groupDirectory) blobs() int { return len(d.page.Blobs) + 1 + len(d.chunks) }

func (d *groupDirectory) idBlob() int { return len(d.page.Blobs) }

// chunkBlob returns the first of the three blobs of a chunk.
func (d *groupDirectory) chunkBlob(chunk int) int { return len(d.page.Blobs) + 1 + 3*chunk }

// memory is what the directory holds, about, in bytes.
func (d *groupDirectory) memory() int {
	n := 1024 + 64*len(d.columns) + 48*len(d.classes) + 32*(len(d.page.Blobs)+len(d.chunks))
	for _, s := range d.names {
		n += 16 + len(s)
	}
	for _, s := range d.shapes {
		n += 24 + 4*len(s)
	}
	for _, r := range d.resources {
		n += 128 + 160*len(r.Attributes)
	}
	for _, s := range d.scopes {
		n += 128 + 160*len(s.Attributes)
	}
	for _, c := range d.page.Columns {
		n += c.Memory()
	}
	return n
}

// groupPlace says where a row group is in its block.
type groupPlace struct {
	bases     [column.Classes]uint64 // where the page's blobs of each class begin
	ids       uint64                 // trace IDs
	chunks    uint64
	group     int // the group of directories that holds the row group's
	directory struct{ off, len int }
}

func (p *groupPlace) appendTo(dst []byte) []byte {
	for _, b := range p.bases {
		dst = binary.AppendUvarint(dst, b)
	}
	for _, n := range []uint64{p.ids, p.chunks, uint64(p.group), uint64(p.directory.off), uint64(p.directory.len)} {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}

func (p *groupPlace) decode(d *block.Decoder, groups int) {
	for i := range p.bases {
		p.bases[i] = d.Uvarint()
	}
	p.ids, p.chunks = d.Uvarint(), d.Uvarint()
	p.group = d.Count(maxGroups, 0)
	p.directory.off, p.directory.len = d.Count(block.MaxBlobLen, 0), d.Count(block.MaxBlobLen, 0)
	if d.Err() == nil && p.group >= groups {
		d.Failf("row group has its directory in group %d of %d", p.group, groups)
	}
}

// refs returns where blobs of the row group are. ids ascend.
func (d *groupDirectory) refs(p *groupPlace, ids []int) []block.Ref {
	out := make([]block.Ref, 0, len(ids))
	bases := p.bases
	next := 0
	for i := range d.page.Blobs {
		info := &d.page.Blobs[i]
		if next < len(ids) && ids[next] == i {
			ref := info.Ref()
			ref.Offset = bases[info.Class]
			out = append(out, ref)
			next++
		}
		bases[info.Class] += uint64(info.StoredLen)
	}
	at := p.ids
	for i := d.idBlob(); i < d.blobs() && next < len(ids); i++ {
		info := d.ownBlob(i)
		if i == d.idBlob()+1 {
			at = p.chunks
		}
		if ids[next] == i {
			out = append(out, block.Ref{Offset: at, StoredLen: info.stored, RawLen: info.raw, Codec: info.codec})
			next++
		}
		at += uint64(info.stored)
	}
	return out
}

// ownBlob returns what is known of a blob that is not the page's.
func (d *groupDirectory) ownBlob(i int) *blobInfo {
	if i == d.idBlob() {
		return &d.ids
	}
	return &d.chunks[i-d.idBlob()-1]
}
