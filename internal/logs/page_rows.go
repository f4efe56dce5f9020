package logs

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// rebuild makes the rows of among again: row k of the result is the k-th of them.
func (p *Page) rebuild(ctx context.Context, among column.Set) (*columns, error) {
	var lines block.Values
	md := &pageMetadata{}
	err := p.Ask(ctx, func(r *column.Reader) {
		lines.Reset()
		r.Values(&lines, p.dir.lines(), among)
		md.read(r, p.dir, p.Rows, among)
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

// runs rebuilds the rows of Among and returns them as runs for the merge.
func (p *Page) runs(ctx context.Context, q *selection, found *foundStreams) ([]run, error) {
	ts, err := p.Timestamps(ctx)
	if err != nil {
		return nil, err
	}
	rows := make([]uint32, 0, p.Among.Count(p.Rows))
	var out []run
	e := &p.set.index.pages[p.number]
	for k, r := range p.Runs {
		from := len(rows)
		for row := r.First; row < r.First+r.Rows; row++ {
			if p.Among.Has(row) {
				rows = append(rows, uint32(row))
			}
		}
		one := run{stream: found.number(e.runs[k].stream), seq: uint32(p.number), rows: rows[from:]}
		one.ts = make([]int64, len(one.rows))
		for j, row := range one.rows {
			one.ts[j] = ts[row]
		}
		if q.limit > 0 && len(one.ts) > q.limit {
			one.cut(q.direction, q.limit)
		}
		rows = append(rows[:from], one.rows...)
		one.rows = nil
		if one.first = from; len(one.ts) > 0 {
			out = append(out, one)
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	among := p.Among
	if len(rows) < among.Count(p.Rows) {
		set := block.NewBitmap(p.Rows)
		for _, row := range rows {
			set.Set(int(row))
		}
		among = column.SetOf(set)
	}
	data, err := p.rebuild(ctx, among)
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i].data = data
	}
	return out, nil
}
