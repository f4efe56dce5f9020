package logs

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// rebuild makes the rows of among again, with metadata or without: row k of the result is the k-th of them.
func (p *Page) rebuild(ctx context.Context, among column.Set, metadata bool) (*columns, error) {
	var lines block.Values
	md := &pageMetadata{}
	err := p.Ask(ctx, func(r *column.Reader) {
		lines.Reset()
		r.Values(&lines, p.dir.lines(), among)
		if metadata {
			md.read(r, p.dir, p.Rows, among)
		}
	})
	if err != nil {
		return nil, err
	}
	if md.overflow != nil {
		if err := md.overflow.checkPairs(); err != nil {
			return nil, p.set.corrupt(p.number, "metadata overflow", err)
		}
	}
	out := &columns{ends: lines.Ends, lines: lines.Data}
	if len(md.columns) > 0 || md.overflow != nil {
		out.metadata = md
	}
	return out, nil
}

// pageMetadata is the metadata of rows that were rebuilt.
type pageMetadata struct {
	columns  []metadataColumn // by name
	overflow *metadataColumn
}

// metadataColumn is the values of one key. A row without a value has an empty one here.
type metadataColumn struct {
	name    string
	values  block.Values
	present column.Set // by number of the rebuilt row
}

func (m *pageMetadata) read(r *column.Reader, d *pageDirectory, rows int, among column.Set) {
	m.columns, m.overflow = m.columns[:0], nil
	for i, name := range d.names {
		if c := readMetadata(r, d.page.Columns[firstMetadataColumn+i], rows, among); !c.present.IsNone() {
			c.name = name
			m.columns = append(m.columns, c)
		}
	}
	if o := d.overflowColumn(); o != nil {
		if c := readMetadata(r, o, rows, among); !c.present.IsNone() {
			m.overflow = &c
		}
	}
}

func readMetadata(r *column.Reader, c *column.Column, rows int, among column.Set) metadataColumn {
	var m metadataColumn
	present := r.Present(c)
	if among.And(present).IsNone() {
		return m
	}
	r.Values(&m.values, c, among)
	m.present = compacted(present, among, rows)
	return m
}

// compacted returns s as seen by the rows of among: bit k is that of the k-th of them.
func compacted(s, among column.Set, rows int) column.Set {
	if s.IsAll() || s.IsNone() || among.IsAll() {
		return s
	}
	out := block.NewBitmap(among.Count(rows))
	bits := among.Bits()
	k := 0
	for row := bits.Next(0); row >= 0; row = bits.Next(row + 1) {
		if s.Has(row) {
			out.Set(k)
		}
		k++
	}
	return column.SetOf(out)
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
		if c := &m.columns[i]; c.present.Has(row) {
			dst = append(dst, Label{c.name, view(c.values.At(row))})
		}
	}
	if m.overflow == nil || !m.overflow.present.Has(row) {
		return dst
	}
	d := block.NewDecoder(m.overflow.values.At(row))
	for d.Len() > 0 {
		dst = append(dst, Label{view(d.Prefixed()), view(d.Prefixed())})
	}
	slices.SortFunc(dst[from:], func(a, b Label) int { return cmp.Compare(a.Name, b.Name) })
	return dst
}

// runs returns the rows of Among as runs for the merge. They are rebuilt, or, where the caller is expected
// to stop soon, left to be.
func (p *Page) runs(ctx context.Context, q *selection, found *foundStreams) ([]run, error) {
	ts, err := p.Timestamps(ctx)
	if err != nil {
		return nil, err
	}
	var rows []uint32
	var out []run
	e := &p.set.index.pages[p.number]
	for k, r := range p.Runs {
		one := p.run(q, r, ts)
		if len(one.ts) == 0 {
			continue
		}
		one.stream, one.seq = found.number(e.runs[k].stream), uint32(p.number)
		rows, one.first, one.rows = append(rows, one.rows...), len(rows), nil
		out = append(out, one)
	}
	if len(out) == 0 {
		return nil, nil
	}
	late := &lateRows{page: p, rows: rows}
	if q.expect > 0 {
		late.keep(q.kept)
		for i := range out {
			out[i].late = late
		}
		return out, nil
	}
	data, err := p.rebuild(ctx, late.all(), true)
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i].data = data
	}
	return out, nil
}

// run returns the times and the numbers of the rows of Among that are in r; where there is a limit, the first
// ones only.
func (p *Page) run(q *selection, r PageRun, ts []int64) run {
	one := run{ts: ts[r.First : r.First+r.Rows], first: r.First}
	if bits := p.Among.Bits(); bits != nil {
		one.ts, one.rows = nil, []uint32{}
		for row := bits.Next(r.First); row >= 0 && row < r.First+r.Rows; row = bits.Next(row + 1) {
			one.rows, one.ts = append(one.rows, uint32(row)), append(one.ts, ts[row])
		}
	}
	if q.limit > 0 && len(one.ts) > q.limit {
		one.cut(q.direction, q.limit)
	}
	if one.rows == nil {
		one.ts = slices.Clone(one.ts)
		one.rows = make([]uint32, len(one.ts))
		for i := range one.rows {
			one.rows[i] = uint32(one.first + i)
		}
	}
	return one
}
