package logs

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

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

// mayHave reports whether a row that is counted here may have a level that all of the matchers match.
func (c *levelCounts) mayHave(ms matcherSet) bool {
	if c[0] > 0 {
		return true // unknown is also what other levels are counted as
	}
	for i, n := range c {
		if n > 0 && ms.matchesValue(levels[i]) {
			return true
		}
	}
	return false
}

// pageEntry is what the index says of a page.
type pageEntry struct {
	timeRange
	rows          int
	lineBytes     uint64
	metadataBytes uint64
	levels        levelCounts
	keys          *pageKeys
	runs          []pageRun
	place         pagePlace
}

// pageKeys is which keys of structured metadata a page has. Pages of the same keys share one.
type pageKeys struct {
	names    []string // that have a column, ascending
	overflow bool     // some rows have keys beyond these
}

func (k *pageKeys) equal(o *pageKeys) bool {
	return k == o || k.overflow == o.overflow && slices.Equal(k.names, o.names)
}

func (k *pageKeys) appendTo(dst []byte) []byte {
	dst = block.AppendStringList(dst, k.names)
	if k.overflow {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func decodeKeys(d *block.Decoder) *pageKeys {
	k := &pageKeys{names: d.StringList()}
	flag := d.Byte()
	k.overflow = flag == 1
	switch {
	case d.Err() != nil:
	case flag > 1:
		d.Failf("overflow flag %d", flag)
	case len(k.names) > maxKeys:
		d.Failf("%d keys of metadata with a column", len(k.names))
	case !namesAscend(k.names):
		d.Failf("names of metadata are not in order")
	}
	return k
}

// namesAscend reports whether each name is greater than the one before it.
func namesAscend(names []string) bool {
	for i := 1; i < len(names); i++ {
		if names[i-1] >= names[i] {
			return false
		}
	}
	return true
}

// pagePlace says where a page is in its block. Pages in memory have none.
type pagePlace struct {
	bases     [column.Classes]uint64 // where the page's blobs of each class begin
	group     int                    // the group of directories that holds the page's
	directory struct{ off, len int } // and where in it
}

// pageRun is consecutive rows of one stream in a page.
type pageRun struct {
	timeRange
	stream uint32
	rows   uint32
	bytes  uint64 // of lines and metadata
}

// appendTo appends p, whose keys have a number, without its time range and rows, which follow from the
// runs.
func (p *pageEntry) appendTo(dst []byte, keys int) []byte {
	dst = binary.AppendUvarint(dst, p.lineBytes)
	dst = binary.AppendUvarint(dst, p.metadataBytes)
	for _, n := range p.levels {
		dst = binary.AppendUvarint(dst, n)
	}
	for _, b := range p.place.bases {
		dst = binary.AppendUvarint(dst, b)
	}
	dst = binary.AppendUvarint(dst, uint64(keys))
	dst = binary.AppendUvarint(dst, uint64(p.place.group))
	dst = binary.AppendUvarint(dst, uint64(p.place.directory.off))
	dst = binary.AppendUvarint(dst, uint64(p.place.directory.len))
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

// pageIndex is the decoded section of pages.
type pageIndex struct {
	pages     []pageEntry
	groups    []block.Ref // of directories
	times     timeRange
	rows      int64
	lineBytes int64
	// metadataBytes is of names and values as often as they occur.
	metadataBytes int64
	levels        levelCounts
}

// add adds a page.
func (x *pageIndex) add(p pageEntry) {
	if len(x.pages) == 0 {
		x.times = noTime
	}
	x.pages = append(x.pages, p)
	x.times.join(p.timeRange)
	x.rows += int64(p.rows)
	x.lineBytes += int64(p.lineBytes)
	x.metadataBytes += int64(p.metadataBytes)
	for i, n := range p.levels {
		x.levels[i] += n
	}
}

// eachStream reports whether each of so many streams has rows. Rows of any other stream are an error.
func (x *pageIndex) eachStream(streams int) (bool, error) {
	has := block.NewBitmap(streams)
	for i := range x.pages {
		for k := range x.pages[i].runs {
			stream := int(x.pages[i].runs[k].stream)
			if stream >= streams {
				return false, fmt.Errorf("run of stream %d of %d", stream, streams)
			}
			has.Set(stream)
		}
	}
	return has.Count() == streams, nil
}

func (x *pageIndex) appendTo(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(x.groups)))
	for _, r := range x.groups {
		dst = r.AppendTo(dst)
	}
	keys, numbers := x.keys()
	dst = binary.AppendUvarint(dst, uint64(len(keys)))
	for _, k := range keys {
		dst = k.appendTo(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(len(x.pages)))
	for i := range x.pages {
		dst = x.pages[i].appendTo(dst, numbers[i])
	}
	return dst
}

// keys returns the keys of the pages, each once where pages in a row have them, and which of them each
// page has.
func (x *pageIndex) keys() (all []*pageKeys, numbers []int) {
	numbers = make([]int, len(x.pages))
	for i := range x.pages {
		k := x.pages[i].keys
		if len(all) == 0 || !all[len(all)-1].equal(k) {
			all = append(all, k)
		}
		numbers[i] = len(all) - 1
	}
	return all, numbers
}

// Least encoded sizes, to bound counts by the bytes that are left.
const (
	minRefLen  = 4
	minKeysLen = 2
	minPageLen = 2 + len(levels) + column.Classes + 4 + 1
	minRunLen  = 5
)

func decodePages(b []byte) (pageIndex, error) {
	d := block.NewDecoder(b)
	x := pageIndex{times: noTime}
	x.groups = make([]block.Ref, d.Count(maxCount, minRefLen))
	for i := range x.groups {
		x.groups[i] = d.Ref()
	}
	keys := make([]*pageKeys, d.Count(maxCount, minKeysLen))
	for i := range keys {
		if keys[i] = decodeKeys(d); d.Err() != nil {
			return pageIndex{}, d.Err()
		}
	}
	n := d.Count(maxCount, minPageLen)
	x.pages = make([]pageEntry, 0, n)
	for range n {
		var p pageEntry
		decodePage(d, &p, len(x.groups), keys)
		if d.Err() != nil {
			break
		}
		x.add(p)
	}
	if err := d.Finish(); err != nil {
		return pageIndex{}, err
	}
	return x, nil
}

func decodePage(d *block.Decoder, p *pageEntry, groups int, keys []*pageKeys) {
	p.timeRange = noTime
	p.lineBytes, p.metadataBytes = d.Uvarint(), d.Uvarint()
	for i := range p.levels {
		p.levels[i] = d.Uvarint()
	}
	for i := range p.place.bases {
		p.place.bases[i] = d.Uvarint()
	}
	k := d.Count(maxCount, 0)
	p.place.group = d.Count(maxCount, 0)
	p.place.directory.off, p.place.directory.len = d.Count(block.MaxBlobLen, 0), d.Count(block.MaxBlobLen, 0)
	if p.place.group >= groups && d.Err() == nil {
		d.Failf("page has its directory in group %d of %d", p.place.group, groups)
	}
	if k >= len(keys) {
		d.Failf("page has keys %d of %d", k, len(keys))
		return
	}
	p.keys = keys[k]
	decodeRuns(d, p)
	if d.Err() == nil && (p.rows > block.MaxRows || p.lineBytes > maxLine+maxPageBytes) {
		d.Failf("page of %d rows and %d bytes", p.rows, p.lineBytes)
	}
}

func decodeRuns(d *block.Decoder, p *pageEntry) {
	p.runs = make([]pageRun, d.Count(block.MaxRows, minRunLen))
	stream, t := uint64(0), int64(0)
	for i := range p.runs {
		delta, rows, size := d.Uvarint(), d.Uvarint(), d.Uvarint()
		t += d.Varint()
		width := d.Uvarint()
		r := pageRun{rows: uint32(rows), bytes: size, timeRange: timeRange{t, int64(uint64(t) + width)}}
		stream += delta
		if i > 0 && delta == 0 || delta > maxCount || stream >= maxCount || rows == 0 || rows > block.MaxRows || r.max < r.min {
			d.Failf("run of stream %d with %d rows", stream, rows)
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
