package logs

import (
	"context"
	"fmt"
	"slices"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// Which pages of a block name which traces is known from block.IDFilter: collected while pages are
// built, kept beside a page in memory (encodedPage.traces), and read back from the filter of a block whose
// pages are copied, so no row is decoded for it a second time.

// traces returns the hashes of the trace IDs that the rows of p name, whose lines have no longer run of letters
// and digits.
func (p *pageBuilder) traces(run int) []block.IDHash {
	t := &p.collector
	if run >= traceHexLen {
		t.lines(&p.lines)
	}
	for name, c := range p.columns {
		if !isTraceKey(name) {
			continue
		}
		for i := range c.values.Len() {
			t.metadata(c.values.At(i))
		}
	}
	for i := range p.overflow.values.Len() {
		for d := block.NewDecoder(p.overflow.values.At(i)); d.Len() > 0; {
			if name, value := d.Prefixed(), d.Prefixed(); isTraceKey(view(name)) {
				t.metadata(value)
			}
		}
	}
	return t.take()
}

// traceFilter writes the filter of trace IDs, if the block has any, and the section that leads to it.
func (w *blockWriter) traceFilter() {
	var b block.IDFilterBuilder
	for i := range w.pages {
		for _, h := range w.pages[i].traces {
			b.Add(h, uint32(i))
		}
	}
	if w.err != nil {
		return
	}
	if w.traceIDs, w.err = b.Write(w.w); !w.traceIDs.IsZero() {
		w.section(sectionTraceIDs, w.traceIDs.AppendTo(nil))
	}
}

func decodeTraceFilter(data []byte) (block.IDFilter, error) {
	d := block.NewDecoder(data)
	f := d.IDFilter()
	return f, d.Finish()
}

// traceID implements pageStore.
func (b *Block) traceID(ctx context.Context, h block.IDHash, stats *Stats) (block.IDPages, error) {
	if b.traceIDs.IsZero() {
		return block.IDPages{}, nil
	}
	stats.read(1, int64(b.traceIDs.PieceLen))
	return b.r.LookupID(ctx, b.traceIDs, h)
}

// tracesOf returns the hashes of the trace IDs of each page.
func (b *Block) tracesOf(ctx context.Context) ([][]block.IDHash, error) {
	out := make([][]block.IDHash, len(b.index.pages))
	if b.traceIDs.IsZero() {
		return out, nil
	}
	entries, err := b.r.IDEntries(ctx, b.traceIDs)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		switch {
		case e.Page == block.AnyPage:
			for i := range out {
				out[i] = append(out[i], e.Hash)
			}
		case int(e.Page) < len(out):
			out[e.Page] = append(out[e.Page], e.Hash)
		default:
			return nil, b.corrupt("filter of trace IDs", b.traceIDs.Offset, fmt.Errorf("page %d of %d", e.Page, len(out)))
		}
	}
	return out, nil
}

// traceID implements pageStore.
func (m memoryPages) traceID(_ context.Context, h block.IDHash, _ *Stats) (block.IDPages, error) {
	var p block.IDPages
	for i := range m {
		if _, ok := slices.BinarySearch(m[i].traces, h); ok {
			p.List = append(p.List, uint32(i))
		}
	}
	return p, nil
}

// narrowTrace keeps of Among the rows that name a trace. Columns find those that have its digits, which are
// few; these are rebuilt.
func (p *Page) narrowTrace(ctx context.Context, q *traceQuery) error {
	var maybe column.Set
	err := p.Ask(ctx, func(r *column.Reader) {
		maybe = column.None
		for _, digits := range [][]byte{q.lower, q.upper} {
			maybe = maybe.Or(r.Match(p.dir.lines(), column.Contains, digits))
			for i, name := range p.dir.names {
				if isTraceKey(name) {
					maybe = maybe.Or(r.Match(p.dir.page.Columns[firstMetadataColumn+i], column.Equal, digits))
				}
			}
			if o := p.dir.overflowColumn(); o != nil {
				maybe = maybe.Or(r.Match(o, column.Contains, digits))
			}
		}
		maybe = maybe.And(p.Among)
	})
	if err != nil {
		return err
	}
	named := block.NewBitmap(p.Rows)
	row := 0
	err = p.Each(ctx, maybe, func(_ uint32, _ int64, line []byte, md []Label) bool {
		for !maybe.Has(row) {
			row++
		}
		if q.namedBy(line, md) {
			named.Set(row)
		}
		row++
		return true
	})
	p.Among = column.SetOf(named)
	return err
}

// keepTrace keeps of r the rows that name a trace.
func (r *run) keepTrace(q *traceQuery) {
	ts, rows := []int64(nil), []uint32(nil)
	var md []Label
	for i, t := range r.ts {
		row := r.row(i)
		if md = md[:0]; r.data.metadata != nil {
			md = r.data.metadata.appendMetadata(md, row)
		}
		if q.namedBy(r.data.line(row), md) {
			ts, rows = append(ts, t), append(rows, uint32(row))
		}
	}
	r.ts, r.rows = ts, rows
}
