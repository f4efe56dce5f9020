package logs

import (
	"context"
	"iter"
	"slices"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// plainRows are the rows of a Page without columns.
type plainRows interface {
	line(row int) []byte
	metadataReader
}

// plainPage makes a page of rows that are all meant.
func plainPage(rows plainRows, ts []int64) *Page {
	return &Page{Rows: len(ts), Among: column.All, plain: rows, ts: ts}
}

func (p *Page) eachPlain(among column.Set, yield func(stream uint32, ts int64, line []byte, md []Label) bool) {
	var md []Label
	for _, r := range p.Runs {
		for row := r.First; row < r.First+r.Rows; row++ {
			if !among.Has(row) {
				continue
			}
			md = p.plain.appendMetadata(md[:0], row)
			if !yield(r.Stream, p.ts[row], p.plain.line(row), md) {
				return
			}
		}
	}
}

// runRows are the rows of a run as a page.
type runRows struct{ *run }

func (r runRows) line(row int) []byte { return r.data.line(r.row(row)) }

func (r runRows) appendMetadata(dst []Label, row int) []Label {
	if r.data.metadata == nil {
		return dst
	}
	return r.data.metadata.appendMetadata(dst, r.row(row))
}

// mergedRows are a batch of merged rows as a page: order leads from rows of the page, which go by
// stream, to those of the batch, which go by time.
type mergedRows struct {
	rows  *Rows
	order []int
}

func (m mergedRows) line(row int) []byte { return m.rows.Lines[m.order[row]] }

func (m mergedRows) appendMetadata(dst []Label, row int) []Label {
	if m.rows.Metadata == nil {
		return dst
	}
	return append(dst, m.rows.Metadata[m.order[row]]...)
}

// ScanRows does the work of Source.Scan for who has rows only: what SelectRows yields for s, perhaps
// without regard to its Filters. The pages have no columns.
func ScanRows(ctx context.Context, s Select, rows iter.Seq2[*Rows, error], visit func(context.Context, *Page) error) error {
	filters, err := compileFilters(s.Filters)
	if err != nil {
		return err
	}
	for r, err := range rows {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		p := mergedPage(r)
		if p.Among = p.passing(filters); p.Among.IsNone() {
			continue
		}
		if err := visit(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// passing returns the rows of a page without columns whose lines pass all filters.
func (p *Page) passing(filters []lineFilter) column.Set {
	if len(filters) == 0 {
		return column.All
	}
	set := block.NewBitmap(p.Rows)
	for row := range p.Rows {
		line := p.plain.line(row)
		if !slices.ContainsFunc(filters, func(f lineFilter) bool { return !f.passes(line) }) {
			set.Set(row)
		}
	}
	return column.SetOf(set)
}

func mergedPage(r *Rows) *Page {
	n := len(r.Timestamps)
	m := mergedRows{rows: r, order: make([]int, n)}
	for i := range m.order {
		m.order[i] = i
	}
	slices.SortStableFunc(m.order, func(a, b int) int { return int(r.Stream[a]) - int(r.Stream[b]) })
	ts := make([]int64, n)
	p := plainPage(m, ts)
	p.Streams = r.Streams
	for i, k := range m.order {
		ts[i] = r.Timestamps[k]
		if last := len(p.Runs) - 1; last >= 0 && p.Runs[last].Stream == r.Stream[k] {
			p.Runs[last].Rows++
		} else {
			p.Runs = append(p.Runs, PageRun{r.Stream[k], i, 1, ts[i], ts[i]})
		}
		p.Runs[len(p.Runs)-1].Newest = ts[i]
	}
	return p
}

// Scan implements Part.
func (h *buffer) Scan(ctx context.Context, s Select, visit func(context.Context, *Page) error) error {
	q, err := compileSelect(ctx, s)
	if err != nil {
		return err
	}
	views, names := h.views([]matcherSet{q.matchers}, q.start, q.end)
	views = q.limited(q.shard.views(views))
	for i := range views {
		v := &views[i]
		var failed error
		v.chunks(q.start, q.end, func(seq int, c *headChunk) {
			r, ok := c.narrowed(q, uint32(i), uint32(seq), names, v.spans)
			if !ok || failed != nil {
				return
			}
			p := plainPage(runRows{&r}, r.ts)
			p.Streams = append(p.Streams, v.labels)
			p.Runs = append(p.Runs, PageRun{0, 0, len(r.ts), r.ts[0], r.ts[len(r.ts)-1]})
			failed = visit(ctx, p)
		})
		if failed != nil {
			return failed
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// Extents implements Part.
func (h *buffer) Extents(_ context.Context, start, end int64, matchers []Matcher) ([]Extent, error) {
	set, err := compileMatchers(matchers)
	if err != nil {
		return nil, err
	}
	views, _ := h.views([]matcherSet{set}, start, end)
	out := make([]Extent, len(views))
	for i := range views {
		out[i] = Extent{views[i].labels, views[i].times.min, views[i].times.max}
	}
	return out, nil
}
