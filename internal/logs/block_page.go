package logs

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// openPage reads page i and returns the runs of the found streams that are left of it.
func (b *Block) openPage(ctx context.Context, q *selection, i int, found *block.Bitmap) ([]run, error) {
	e := &b.dir.pages[i]
	p := &page{b: b, entry: e}
	if err := p.readLines(ctx, q); err != nil {
		return nil, err
	}
	runs := p.runs(q, uint32(i), found)
	if len(runs) == 0 {
		return nil, nil
	}
	if e.hasMetadata() {
		if err := p.readMetadata(ctx, q); err != nil {
			return nil, err
		}
	}
	p.shrink(runs)
	return runs, nil
}

func (e *pageEntry) hasMetadata() bool { return len(e.columns) > 0 || !e.overflow.IsZero() }

// page is a page while it is read.
type page struct {
	b     *Block
	entry *pageEntry
	ts    []int64
	data  columns

	metadata [][]byte // blobs that came along with the lines, or nil
}

// fetch reads blobs and counts them.
func (p *page) fetch(ctx context.Context, stats *Stats, refs []block.Ref) ([][]byte, error) {
	if stats != nil {
		for _, r := range refs {
			stats.bytesRead.Add(int64(r.StoredLen))
		}
		stats.rangeReads.Add(1)
	}
	return p.b.r.Blobs(ctx, refs)
}

// readLines reads timestamps and lines. Without line filters all rows are wanted, so the metadata
// comes in the same request.
func (p *page) readLines(ctx context.Context, q *selection) error {
	e := p.entry
	if q.stats != nil {
		q.stats.pages.Add(1)
	}
	refs := append([]block.Ref{e.timestamps, e.lengths}, e.lines...)
	if len(q.filters) == 0 {
		refs = append(refs, e.metadataRefs()...)
	}
	blobs, err := p.fetch(ctx, q.stats, refs)
	if err != nil {
		return err
	}
	if p.ts, err = p.b.decodeTimestamps(e, blobs[0]); err != nil {
		return err
	}
	d := block.NewDecoder(blobs[1])
	ends := block.DecodeInts[uint32](d, nil, e.rows)
	sum := uint64(0)
	for i, n := range ends {
		sum += uint64(n)
		ends[i] = uint32(sum)
	}
	if sum != e.lineBytes {
		d.Failf("lines of %d bytes, want %d", sum, e.lineBytes)
	}
	if err := d.Finish(); err != nil {
		return p.b.corrupt("line lengths", e.lengths.Offset, err)
	}
	p.data.ends = ends
	n := 2 + len(e.lines)
	if len(e.lines) == 1 {
		p.data.lines = blobs[2]
	} else {
		p.data.lines = bytes.Join(blobs[2:n], nil) // one line of more than a blob
	}
	if len(blobs) > n {
		p.metadata = blobs[n:]
	}
	return nil
}

func (e *pageEntry) metadataRefs() []block.Ref {
	refs := make([]block.Ref, 0, len(e.columns)+1)
	for _, c := range e.columns {
		refs = append(refs, c.ref)
	}
	if !e.overflow.IsZero() {
		refs = append(refs, e.overflow)
	}
	return refs
}

// timestamps reads one page's timestamps.
func (b *Block) timestamps(ctx context.Context, e *pageEntry) ([]int64, error) {
	blob, err := b.r.Blob(ctx, e.timestamps)
	if err != nil {
		return nil, err
	}
	return b.decodeTimestamps(e, blob)
}

// decodeTimestamps decodes timestamps and checks that they ascend within each run and lie in its
// range: the merge relies on it.
func (b *Block) decodeTimestamps(e *pageEntry, blob []byte) ([]int64, error) {
	d := block.NewDecoder(blob)
	ts := block.DecodeInts[int64](d, nil, e.rows)
	if err := d.Finish(); err != nil {
		return nil, b.corrupt("timestamps", e.timestamps.Offset, err)
	}
	first := 0
	for _, r := range e.runs {
		rows := ts[first : first+int(r.rows)]
		first += len(rows)
		if rows[0] != r.min || rows[len(rows)-1] != r.max || !slices.IsSorted(rows) {
			return nil, b.corrupt("timestamps", e.timestamps.Offset, fmt.Errorf("run of stream %d is not as the directory says", r.stream))
		}
	}
	return ts, nil
}

// runs returns what is left of the found streams in the time range after the line filters.
func (p *page) runs(q *selection, seq uint32, found *block.Bitmap) []run {
	var out []run
	first := 0
	for i := range p.entry.runs {
		pr := &p.entry.runs[i]
		ts := p.ts[first : first+int(pr.rows)]
		if found.Get(int(pr.stream)) && pr.overlaps(q.start, q.end) {
			lo, hi := q.window(ts)
			r := run{stream: pr.stream, seq: seq, ts: ts[lo:hi], first: first + lo, data: &p.data}
			if len(r.ts) > 0 && q.filter(&r) {
				out = append(out, r)
			}
		}
		first += int(pr.rows)
	}
	return out
}

func (p *page) readMetadata(ctx context.Context, q *selection) (err error) {
	e := p.entry
	blobs := p.metadata
	if blobs == nil {
		if blobs, err = p.fetch(ctx, q.stats, e.metadataRefs()); err != nil {
			return err
		}
	}
	md := &pageMetadata{columns: make([]metadataColumn, len(e.columns))}
	for i, c := range e.columns {
		md.columns[i].name = p.b.dir.keys[c.key]
		if err := md.columns[i].decode(blobs[i], e.rows); err != nil {
			return p.b.corrupt("metadata "+md.columns[i].name, c.ref.Offset, err)
		}
	}
	if !e.overflow.IsZero() {
		md.overflow = new(metadataColumn)
		if err := md.overflow.decode(blobs[len(e.columns)], e.rows); err != nil {
			return p.b.corrupt("metadata overflow", e.overflow.Offset, err)
		}
		if err := md.overflow.checkPairs(); err != nil {
			return p.b.corrupt("metadata overflow", e.overflow.Offset, err)
		}
	}
	p.data.metadata = md
	return nil
}

// pageMetadata reads the metadata of a page's rows.
type pageMetadata struct {
	columns  []metadataColumn // by name
	overflow *metadataColumn
}

// metadataColumn is the values of one key. Values stand in the order of their rows.
type metadataColumn struct {
	name   string
	values block.Strings
	// index leads from a row to its value's number + 1; nil if every row has a value.
	index []uint32
}

func (c *metadataColumn) decode(blob []byte, rows int) error {
	var present block.Bitmap
	d := block.NewDecoder(blob)
	d.Bitmap(&present, rows)
	n := present.Count()
	d.Strings(&c.values, n)
	if err := d.Finish(); err != nil {
		return err
	}
	if n == rows {
		return nil
	}
	c.index = make([]uint32, rows)
	k := uint32(0)
	for row := present.Next(0); row >= 0; row = present.Next(row + 1) {
		k++
		c.index[row] = k
	}
	return nil
}

// at returns the value of a row.
func (c *metadataColumn) at(row int) (v []byte, ok bool) {
	if c.index == nil {
		return c.values.At(row), true
	}
	k := c.index[row]
	if k == 0 {
		return nil, false
	}
	return c.values.At(int(k - 1)), true
}

var errPairs = errors.New("names and values don't pair")

// checkPairs reads every value of an overflow column once, so that later reads can't fail.
func (c *metadataColumn) checkPairs() error {
	for i := range c.values.Len() {
		d := block.NewDecoder(c.values.At(i))
		for d.Len() > 0 {
			d.Prefixed()
			d.Prefixed()
		}
		if d.Err() != nil {
			return errPairs
		}
	}
	return nil
}

// appendMetadata implements metadataReader.
func (m *pageMetadata) appendMetadata(dst []Label, row int) []Label {
	from := len(dst)
	for i := range m.columns {
		if v, ok := m.columns[i].at(row); ok {
			dst = append(dst, Label{m.columns[i].name, view(v)})
		}
	}
	if m.overflow == nil {
		return dst
	}
	v, ok := m.overflow.at(row)
	if !ok {
		return dst
	}
	d := block.NewDecoder(v)
	for d.Len() > 0 {
		dst = append(dst, Label{view(d.Prefixed()), view(d.Prefixed())})
	}
	slices.SortFunc(dst[from:], func(a, b Label) int { return cmp.Compare(a.Name, b.Name) })
	return dst
}

// shrinkBelow is the share of a page's bytes, as its inverse, below which the rows that a select
// kept are copied, so that the page can be freed while the merge waits for its turn.
const shrinkBelow = 4

// shrink replaces the page behind runs by a copy of their rows, if they are few.
func (p *page) shrink(runs []run) {
	size, rows := 0, 0
	for i := range runs {
		r := &runs[i]
		rows += len(r.ts)
		for k := range r.ts {
			size += len(p.data.line(r.row(k)))
		}
	}
	if size > len(p.data.lines)/shrinkBelow || rows > p.entry.rows/shrinkBelow {
		return
	}
	small := &columns{ends: make([]uint32, 0, rows), lines: make([]byte, 0, size)}
	packed := &packedMetadata{at: make([]uint32, 0, rows)}
	names := headNames{numbers: map[string]uint32{}}
	var md []Label
	for i := range runs {
		r := &runs[i]
		first := len(small.ends)
		for k := range r.ts {
			row := r.row(k)
			small.lines = append(small.lines, p.data.line(row)...)
			small.ends = append(small.ends, uint32(len(small.lines)))
			if p.data.metadata == nil {
				continue
			}
			at := uint32(0)
			if md = p.data.metadata.appendMetadata(md[:0], row); len(md) > 0 {
				at = uint32(len(packed.sets)) + 1
				packed.sets = appendMetadataSet(packed.sets, md, &names)
			}
			packed.at = append(packed.at, at)
		}
		r.ts, r.rows, r.first, r.data = slices.Clone(r.ts), nil, first, small
	}
	if packed.names = names.list; len(packed.at) > 0 {
		small.metadata = packed
	}
}
