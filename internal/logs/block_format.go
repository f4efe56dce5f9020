package logs

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
)

// The sections of a logs block, in the order in which they are written. docs/formats/logs-block.md
// draws them.
const (
	sectionPostings block.Kind = 102
	sectionPages    block.Kind = 101
	sectionStreams  block.Kind = 100
)

// Sections describes the sections of logs blocks, for block.Inspect.
var Sections = []block.Describer{
	{Kind: sectionStreams, Name: "logs streams", Describe: func(b []byte) (string, error) {
		streams, _, err := decodeStreams(b)
		return fmt.Sprintf("%d streams", len(streams)), err
	}},
	{Kind: sectionPages, Name: "logs pages", Describe: func(b []byte) (string, error) {
		d, err := decodePages(b, maxCount)
		return fmt.Sprintf("%d pages, %d rows, %d bytes of lines, %v", len(d.pages), d.rows, d.lineBytes, d.levels), err
	}},
	{Kind: sectionPostings, Name: "logs postings", Describe: func(b []byte) (string, error) {
		p, err := decodePostings(b, maxCount)
		return fmt.Sprintf("%d label names", len(p)), err
	}},
}

// levels are the values of detected_level that pages count; what is none of them counts as unknown.
var levels = [...]string{LevelUnknown, LevelTrace, LevelDebug, LevelInfo, LevelWarn, LevelError, LevelCritical, LevelFatal}

type levelCounts [len(levels)]uint64

func (c levelCounts) String() string {
	out := make([]string, 0, len(c))
	for i, n := range c {
		if n > 0 {
			out = append(out, fmt.Sprintf("%s %d", levels[i], n))
		}
	}
	return strings.Join(out, " ")
}

// pageEntry is a page in the page directory.
type pageEntry struct {
	timeRange
	rows          int
	lineBytes     uint64
	metadataBytes uint64
	levels        levelCounts
	timestamps    block.Ref
	lengths       block.Ref
	lines         []block.Ref
	columns       []pageColumn
	overflow      block.Ref // zero: none
	runs          []pageRun
}

// pageColumn is the metadata of one key.
type pageColumn struct {
	key uint32 // in the directory's keys
	ref block.Ref
}

// pageRun is consecutive rows of one stream in a page.
type pageRun struct {
	timeRange
	stream uint32
	rows   uint32
	bytes  uint64 // of lines and metadata
}

// appendTo appends p without its time range and rows, which follow from the runs.
func (p *pageEntry) appendTo(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, p.lineBytes)
	dst = binary.AppendUvarint(dst, p.metadataBytes)
	for _, n := range p.levels {
		dst = binary.AppendUvarint(dst, n)
	}
	dst = p.timestamps.AppendTo(dst)
	dst = p.lengths.AppendTo(dst)
	dst = binary.AppendUvarint(dst, uint64(len(p.lines)))
	for _, r := range p.lines {
		dst = r.AppendTo(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.columns)))
	for _, c := range p.columns {
		dst = binary.AppendUvarint(dst, uint64(c.key))
		dst = c.ref.AppendTo(dst)
	}
	dst = p.overflow.AppendTo(dst)
	dst = binary.AppendUvarint(dst, uint64(len(p.runs)))
	stream, t := uint32(0), int64(0)
	for _, r := range p.runs {
		dst = binary.AppendUvarint(dst, uint64(r.stream-stream))
		dst = binary.AppendUvarint(dst, uint64(r.rows))
		dst = binary.AppendUvarint(dst, r.bytes)
		dst = binary.AppendVarint(dst, r.min-t)
		dst = binary.AppendUvarint(dst, uint64(r.max)-uint64(r.min))
		stream, t = r.stream, r.min
	}
	return dst
}

// pageDirectory is the decoded section of pages.
type pageDirectory struct {
	keys      []string
	pages     []pageEntry
	times     timeRange
	rows      int64
	lineBytes int64
	levels    levelCounts
}

func appendPages(dst []byte, keys []string, pages []pageEntry) []byte {
	dst = block.AppendStringList(dst, keys)
	dst = binary.AppendUvarint(dst, uint64(len(pages)))
	for i := range pages {
		dst = pages[i].appendTo(dst)
	}
	return dst
}

// Least encoded sizes, to bound counts by the bytes that are left.
const (
	minRefLen  = 4
	minPageLen = 2 + len(levels) + 2*minRefLen + 2 + minRefLen + 1
	minRunLen  = 5
)

func decodePages(b []byte, streams int) (pageDirectory, error) {
	d := block.NewDecoder(b)
	dir := pageDirectory{keys: d.StringList(), times: noTime}
	dir.pages = make([]pageEntry, d.Count(maxCount, minPageLen))
	for i := range dir.pages {
		p := &dir.pages[i]
		decodePage(d, p, len(dir.keys), streams)
		dir.times.join(p.timeRange)
		dir.rows += int64(p.rows)
		dir.lineBytes += int64(p.lineBytes)
		for i, n := range p.levels {
			dir.levels[i] += n
		}
	}
	if err := d.Finish(); err != nil {
		return pageDirectory{}, err
	}
	return dir, nil
}

func decodePage(d *block.Decoder, p *pageEntry, keys, streams int) {
	p.timeRange = noTime
	p.lineBytes, p.metadataBytes = d.Uvarint(), d.Uvarint()
	for i := range p.levels {
		p.levels[i] = d.Uvarint()
	}
	p.timestamps, p.lengths = d.Ref(), d.Ref()
	p.lines = make([]block.Ref, d.Count(maxCount, minRefLen))
	stored := uint64(0)
	for i := range p.lines {
		p.lines[i] = d.Ref()
		stored += uint64(p.lines[i].RawLen)
	}
	p.columns = make([]pageColumn, d.Count(maxKeys, minRefLen+1))
	for i := range p.columns {
		key := d.Uvarint()
		if key >= uint64(keys) {
			d.Failf("page has metadata key %d of %d", key, keys)
		}
		p.columns[i] = pageColumn{uint32(key), d.Ref()}
	}
	p.overflow = d.Ref()
	decodeRuns(d, p, streams)
	if d.Err() == nil && (p.rows > block.MaxRows || stored != p.lineBytes || p.lineBytes > maxLine+maxPageBytes) {
		d.Failf("page of %d rows and %d bytes in blobs of %d", p.rows, p.lineBytes, stored)
	}
}

func decodeRuns(d *block.Decoder, p *pageEntry, streams int) {
	p.runs = make([]pageRun, d.Count(block.MaxRows, minRunLen))
	stream, t := uint64(0), int64(0)
	for i := range p.runs {
		delta, rows, size := d.Uvarint(), d.Uvarint(), d.Uvarint()
		t += d.Varint()
		width := d.Uvarint()
		r := pageRun{rows: uint32(rows), bytes: size, timeRange: timeRange{t, int64(uint64(t) + width)}}
		stream += delta
		if i > 0 && delta == 0 || delta > maxCount || stream >= uint64(streams) || rows == 0 || rows > block.MaxRows || r.max < r.min {
			d.Failf("run of stream %d of %d with %d rows", stream, streams, rows)
			return
		}
		r.stream = uint32(stream)
		p.runs[i] = r
		p.join(r.timeRange)
		p.rows += int(rows)
	}
	if len(p.runs) == 0 {
		d.Failf("page without rows")
	}
}

// appendStreams appends the sorted streams and the sorted symbols that they use.
func appendStreams(dst []byte, symbols []string, numbers map[string]uint32, streams []labels.Labels) []byte {
	dst = block.AppendStringList(dst, symbols)
	dst = binary.AppendUvarint(dst, uint64(len(streams)))
	for _, ls := range streams {
		dst = binary.AppendUvarint(dst, uint64(ls.Len()))
		ls.Range(func(l labels.Label) {
			dst = binary.AppendUvarint(dst, uint64(numbers[l.Name]))
			dst = binary.AppendUvarint(dst, uint64(numbers[l.Value]))
		})
	}
	return dst
}

func decodeStreams(b []byte) (streams []labels.Labels, symbols []string, err error) {
	d := recordDecoder{Decoder: block.NewDecoder(b), budget: 64<<20 + 1024*len(b)}
	d.readSymbols()
	streams = make([]labels.Labels, d.Count(maxCount, 1))
	for i := range streams {
		streams[i] = d.labels()
		if d.Err() != nil {
			break
		}
		if i > 0 && labels.Compare(streams[i-1], streams[i]) >= 0 {
			d.Failf("stream %d is out of order", i)
		}
	}
	if err := d.Finish(); err != nil {
		return nil, nil, err
	}
	return streams, d.symbols, nil
}

// postings leads from label values to streams: name → values, both ascending.
type postings []postingName

type postingName struct {
	name   uint32 // symbol
	values []postingValue
}

type postingValue struct {
	value   uint32 // symbol
	streams []byte // uvarint differences of ascending stream numbers
}

// appendPostings encodes lists, which lead from name and value to ascending stream numbers.
func appendPostings(dst []byte, names []postingName) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(names)))
	for _, n := range names {
		dst = binary.AppendUvarint(dst, uint64(n.name))
		dst = binary.AppendUvarint(dst, uint64(len(n.values)))
		for _, v := range n.values {
			dst = binary.AppendUvarint(dst, uint64(v.value))
			dst = block.AppendPrefixed(dst, v.streams)
		}
	}
	return dst
}

func decodePostings(b []byte, symbols int) (postings, error) {
	d := block.NewDecoder(b)
	p := make(postings, d.Count(maxCount, 2))
	for i := range p {
		p[i].name = decodeSymbol(d, symbols)
		p[i].values = make([]postingValue, d.Count(maxCount, 2))
		for j := range p[i].values {
			p[i].values[j] = postingValue{decodeSymbol(d, symbols), d.Prefixed()}
			if j > 0 && p[i].values[j-1].value >= p[i].values[j].value {
				d.Failf("label values out of order")
			}
		}
		if i > 0 && p[i-1].name >= p[i].name {
			d.Failf("label names out of order")
		}
	}
	if err := d.Finish(); err != nil {
		return nil, err
	}
	return p, nil
}

func decodeSymbol(d *block.Decoder, symbols int) uint32 {
	v := d.Uvarint()
	if v >= uint64(symbols) {
		d.Failf("symbol %d of %d", v, symbols)
		return 0
	}
	return uint32(v)
}

// addTo sets the streams of the list in b.
func (v *postingValue) addTo(b *block.Bitmap) error {
	d := block.NewDecoder(v.streams)
	stream := uint64(0)
	for d.Len() > 0 {
		stream += d.Uvarint()
		if d.Err() != nil || stream >= uint64(b.Len()) {
			return fmt.Errorf("postings name stream %d of %d", stream, b.Len())
		}
		b.Set(int(stream))
	}
	return d.Err()
}
