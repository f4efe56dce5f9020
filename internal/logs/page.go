package logs

import (
	"context"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// Page is rows of a part on their way to a question: the columns of one page, and which of its rows are
// meant. It lets a question be answered from columns, without rebuilding the lines. It is used by one
// goroutine at a time, and is valid only for as long as who gave it says.
type Page struct {
	// Streams are the streams that Runs point into. One of which no row is meant may be the empty label set.
	Streams []labels.Labels
	// Runs are the rows of the page, by stream: ascending, of all streams, also of those that are not
	// meant.
	Runs []PageRun
	// Rows is how many rows the page has.
	Rows int
	// Among are the rows that are meant: those of matching streams, in the time range, that pass the line
	// filters.
	Among column.Set

	set    *pageSet // nil: of a page without columns
	number int
	dir    *pageDirectory // nil until open
	reader *column.Reader
	stats  *Stats
	ts     []int64
	mem    *block.Buffers // of blobs; nil: they have their own

	plain plainRows // of a page without columns, such as one of recent rows; ts is set then
}

// PageRun is consecutive rows of one stream, in order of time, then of arrival.
type PageRun struct {
	Stream uint32 // index in Page.Streams
	First  int    // row of the page
	Rows   int    // how many
	// Oldest and Newest are the times of the first and the last row, in nanoseconds since 1970.
	Oldest, Newest int64
}

// page returns page i with all rows meant, not yet open.
func (s *pageSet) page(i int, stats *Stats) *Page {
	e := &s.index.pages[i]
	p := &Page{Rows: e.rows, Among: column.All, set: s, number: i, stats: stats, Runs: make([]PageRun, len(e.runs))}
	first := 0
	for k, r := range e.runs {
		p.Runs[k] = PageRun{uint32(k), first, int(r.rows), r.min, r.max}
		first += int(r.rows)
	}
	return p
}

// HasColumns reports whether the page has columns. Else Each is the way.
func (p *Page) HasColumns() bool { return p.set != nil }

// Open reads what the columns of the page are, unless that is known, or the page has none. What needs no
// column doesn't need it; methods with a context call it themselves.
func (p *Page) Open(ctx context.Context) error {
	if p.dir != nil || p.set == nil {
		return nil
	}
	d, err := p.set.store.directory(ctx, p.number, p.stats)
	if err != nil {
		return err
	}
	p.dir, p.reader = d, column.NewReader(d.page)
	return nil
}

// Lines returns the column of the lines of an open page with columns.
func (p *Page) Lines() *column.Column { return p.dir.lines() }

// Metadata returns the column of a key of structured metadata of an open page with columns. It is nil if
// no row has the key in a column, see MetadataKeys.
func (p *Page) Metadata(key string) *column.Column { return p.dir.metadata(key) }

// MetadataKeys returns the keys of structured metadata that have a column, ascending. If overflow is true,
// some rows may have other keys, which only Each sees; so it is of pages without columns.
func (p *Page) MetadataKeys() (keys []string, overflow bool) {
	if p.set == nil {
		return nil, true
	}
	k := p.set.index.pages[p.number].keys
	return k.names, k.overflow
}

// Ask runs ask over the columns until all that it wanted has been read, and returns with ask's last run
// done on complete data. Before that ask sees answers that are of the right shape and mean nothing, see
// column.Reader: each run must set anew all that it leaves behind, and nothing of that may be passed on
// before Ask returns. p must have columns.
func (p *Page) Ask(ctx context.Context, ask func(r *column.Reader)) error {
	if err := p.Open(ctx); err != nil {
		return err
	}
	for {
		ask(p.reader)
		if err := p.reader.Err(); err != nil {
			return p.set.corrupt(p.number, "columns", err)
		}
		wanted := p.reader.Wanted()
		if len(wanted) == 0 {
			return nil
		}
		blobs, err := p.set.store.blobs(ctx, p.number, p.dir, wanted, p.stats, p.mem)
		if err != nil {
			return err
		}
		for k, id := range wanted {
			p.reader.Supply(id, blobs[k])
		}
	}
}

// release ends the use of the page, and gives back the memory of its blobs and numbers.
func (p *Page) release() {
	if p.reader != nil {
		p.reader.Release()
		p.reader, p.ts = nil, nil
	}
	p.mem.Release()
}

// Timestamps returns the timestamps of all rows. Within a run they ascend. The slice must not be
// changed.
func (p *Page) Timestamps(ctx context.Context) ([]int64, error) {
	if p.ts != nil {
		return p.ts, nil
	}
	var ts []int64
	read := func(r *column.Reader) {
		if c := p.dir.timestamps(); r.Want(c) {
			ts = r.Int64s(c)
		}
	}
	if err := p.Ask(ctx, read); err != nil {
		return nil, err
	}
	return ts, p.checkTimestamps(ts)
}

// checkTimestamps checks that timestamps ascend within each run and lie in its range: the merge relies
// on it.
func (p *Page) checkTimestamps(ts []int64) error {
	e := &p.set.index.pages[p.number]
	for k, r := range p.Runs {
		rows := ts[r.First : r.First+r.Rows]
		if rows[0] != e.runs[k].min || rows[len(rows)-1] != e.runs[k].max || !slices.IsSorted(rows) {
			return p.set.corrupt(p.number, "timestamps", fmt.Errorf("run of stream %d is not as the index says", e.runs[k].stream))
		}
	}
	p.ts = ts
	return nil
}

// narrow keeps of Among what q asks for: streams, time range, line filters.
func (p *Page) narrow(ctx context.Context, q *selection, found *foundStreams) error {
	e := &p.set.index.pages[p.number]
	partly := false
	for k := range e.runs {
		r := &e.runs[k]
		partly = partly || found.wants(r, q.start, q.end) && !found.wantsAll(r, q.start, q.end)
	}
	var ts []int64
	if partly {
		var err error
		if ts, err = p.Timestamps(ctx); err != nil {
			return err
		}
	}
	p.Among = p.window(q, found, ts)
	p.count(q, found)
	if len(q.filters) > 0 && !p.Among.IsNone() {
		if err := p.filter(ctx, q.filters); err != nil {
			return err
		}
	}
	if q.trace == nil || p.Among.IsNone() {
		return nil
	}
	return p.narrowTrace(ctx, q.trace)
}

// filter keeps of Among the rows that pass the line filters.
func (p *Page) filter(ctx context.Context, filters []lineFilter) error {
	window := p.Among
	return p.Ask(ctx, func(r *column.Reader) {
		p.Among = window
		for i := range filters {
			if p.Among.IsNone() {
				return
			}
			p.Among = filters[i].among(r, p.dir.lines(), p.Among)
		}
	})
}

// window returns the rows of the found streams in the time range. ts is needed only where a run lies
// partly in the range.
func (p *Page) window(q *selection, found *foundStreams, ts []int64) column.Set {
	e := &p.set.index.pages[p.number]
	set := block.NewBitmap(p.Rows)
	for k, r := range p.Runs {
		times := &e.runs[k]
		if !found.wants(times, q.start, q.end) {
			continue
		}
		if found.wantsAll(times, q.start, q.end) {
			set.SetRange(r.First, r.First+r.Rows)
			continue
		}
		run := ts[r.First : r.First+r.Rows]
		lo, hi := q.window(run)
		spans, ok := found.spans[times.stream]
		if !ok {
			set.SetRange(r.First+lo, r.First+hi)
			continue
		}
		for _, s := range spans {
			from, _ := slices.BinarySearch(run, s.Start)
			to, _ := slices.BinarySearch(run, s.End)
			if from, to = max(from, lo), min(to, hi); from < to {
				set.SetRange(r.First+from, r.First+to)
			}
		}
	}
	return column.SetOf(set)
}

// count adds the page to the statistics: the rows that are looked at, and their bytes.
func (p *Page) count(q *selection, found *foundStreams) {
	if q.stats == nil {
		return
	}
	q.stats.pages.Add(1)
	q.stats.lines.Add(int64(p.Among.Count(p.Rows)))
	e := &p.set.index.pages[p.number]
	bytes := int64(0)
	for k := range e.runs {
		r := &e.runs[k]
		if found.wants(r, q.start, q.end) {
			bytes += int64(r.bytes)
		}
	}
	q.stats.lineBytes.Add(bytes)
}

// Each rebuilds the rows of among, in the order of the page, and gives them to yield until it returns
// false. What it gives is valid until yield returns.
func (p *Page) Each(ctx context.Context, among column.Set, yield func(stream uint32, ts int64, line []byte, md []Label) bool) error {
	return p.each(ctx, among, true, yield)
}

// EachBare is Each for who needs no metadata: none are read, unless the page has no columns.
func (p *Page) EachBare(ctx context.Context, among column.Set, yield func(stream uint32, ts int64, line []byte, md []Label) bool) error {
	return p.each(ctx, among, false, yield)
}

func (p *Page) each(ctx context.Context, among column.Set, metadata bool, yield func(stream uint32, ts int64, line []byte, md []Label) bool) error {
	if p.set == nil {
		p.eachPlain(among, yield)
		return nil
	}
	ts, err := p.Timestamps(ctx)
	if err != nil {
		return err
	}
	data, err := p.rebuild(ctx, among, metadata)
	if err != nil {
		return err
	}
	k := 0
	var md []Label
	for _, r := range p.Runs {
		for row := r.First; row < r.First+r.Rows; row++ {
			if !among.Has(row) {
				continue
			}
			if data.metadata != nil {
				md = data.metadata.appendMetadata(md[:0], k)
			}
			if !yield(r.Stream, ts[row], data.line(k), md) {
				return nil
			}
			k++
		}
	}
	return nil
}
