package logql

import (
	"context"
	"math"
	"sort"

	"github.com/hune-io/hune/internal/column"
	"github.com/hune-io/hune/internal/logs"
)

// columnFold folds rows of a page whose samples and series are read from columns.
type columnFold struct {
	w    *pageFolder
	page *logs.Page
	ts   []int64 // nil: the rows of a run are all of the same windows
	rows column.Set

	names  []string     // of dims
	dims   []*pageCodes // labels that tell series apart
	ids    []uint32     // by row: the series; nil: one in each run
	byRun  bool         // labels of the stream tell series apart, too
	nums   pageNumbers
	values bool // samples are nums; else every row is 1

	table []*extracted // by id
	used  []uint32     // ids in table
}

// columns folds those of the rows in pass that columns are enough for, and returns the others.
func (w *pageFolder) columns(ctx context.Context, v *pageView, pass column.Set) (rest column.Set, err error) {
	f := &columnFold{w: w, page: v.page, byRun: !w.x.grouped(), values: w.x.unwrap != nil || w.s.lengths}
	if !f.windowed() {
		if f.ts, err = v.page.Timestamps(ctx); err != nil {
			return column.None, ofSource(err)
		}
	}
	if err := v.page.Ask(ctx, func(r *column.Reader) { f.read(r, v, pass) }); err != nil {
		return column.None, ofSource(err)
	}
	f.rows = pass
	if f.values {
		rest, f.rows = rest.Or(f.nums.unsure), f.rows.And(f.nums.has)
	}
	for _, d := range f.dims {
		rest = rest.Or(d.unsure)
	}
	rest = rest.And(pass)
	if !rest.IsNone() {
		f.rows = f.rows.And(rest.Not())
	}
	if !f.rows.IsNone() {
		f.fold()
	}
	return rest, nil
}

// read reads samples and labels. It may be called again when more of the page is at hand.
func (f *columnFold) read(r *column.Reader, v *pageView, pass column.Set) {
	x := f.w.x
	if !f.want(r, v) {
		return
	}
	switch {
	case f.w.s.lengths:
		f.nums = lengthsOf(r, v.lines)
	case f.values:
		u := x.e.Range.Unwrap
		f.nums = v.numbers(r, u.Label, u.Conversion == "", x.unwrap)
	}
	f.names, f.dims = f.names[:0], f.dims[:0]
	if f.byRun {
		keys, _ := v.page.MetadataKeys()
		for _, key := range keys {
			f.names, f.dims = append(f.names, key), append(f.dims, v.metadataCodes(r, key))
		}
		return
	}
	for _, name := range x.grouping.Labels {
		f.names, f.dims = append(f.names, name), append(f.dims, v.codes(r, name))
	}
}

// want notes what read will read, so that it is read at once, and reports whether it is at hand.
func (f *columnFold) want(r *column.Reader, v *pageView) bool {
	x := f.w.x
	ready := true
	if x.unwrap != nil {
		ready = v.want(r, x.e.Range.Unwrap.Label)
	}
	if f.byRun {
		keys, _ := v.page.MetadataKeys()
		for _, key := range keys {
			ready = r.Want(v.page.Metadata(key)) && ready
		}
		return ready
	}
	for _, name := range x.grouping.Labels {
		ready = v.want(r, name) && ready
	}
	return ready
}

// windowed reports whether the rows of each run have the same windows, whichever rows they are: then the
// timestamps need not be read.
func (f *columnFold) windowed() bool {
	for _, run := range f.page.Runs {
		if _, _, ok := f.windowOf(run); !ok {
			return false
		}
	}
	return true
}

// windowOf returns the windows of the rows of a run, if all have the same.
func (f *columnFold) windowOf(run logs.PageRun) (lo, hi int, ok bool) {
	g, offset := f.w.x.grid, f.w.x.offset
	lo, hi = g.steps(run.Oldest + offset)
	l, h := g.steps(run.Newest + offset)
	return lo, hi, lo == l && hi == h
}

// timeOf returns the time of a row: without timestamps, a time of its run, which has the same windows.
func (f *columnFold) timeOf(run logs.PageRun, row int) int64 {
	if f.ts == nil {
		return run.Oldest
	}
	return f.ts[row]
}

// metadataCodes returns a key of the metadata, whatever labels the streams have.
func (v *pageView) metadataCodes(r *column.Reader, key string) *pageCodes {
	c := newCoder(v, r)
	c.metadata(v.page.Metadata(key))
	return c.out
}

// maxDense bounds a table of series with a place for every combination of values.
const maxDense = 1 << 14

// number gives every combination of the values of dims a number, and returns how many there may be.
func (f *columnFold) number() int {
	n, own := 1, false
	for _, d := range f.dims {
		if d.rows == nil {
			continue
		}
		m := len(d.values) + 1
		switch {
		case f.ids == nil:
			f.ids, n = d.rows, m
			continue
		case !own:
			f.ids, own = append([]uint32(nil), f.ids...), true
		}
		if n*m <= maxDense {
			for i, k := range d.rows {
				f.ids[i] = f.ids[i]*uint32(m) + k
			}
			n *= m
			continue
		}
		pairs := map[uint64]uint32{}
		for i, k := range d.rows {
			pair := uint64(f.ids[i])<<32 | uint64(k)
			id, ok := pairs[pair]
			if !ok {
				id = uint32(len(pairs))
				pairs[pair] = id
			}
			f.ids[i] = id
		}
		n = len(pairs)
	}
	return n
}

func (f *columnFold) fold() {
	f.table = make([]*extracted, f.number())
	t := f.tally(len(f.table))
	if t != nil {
		t.all(f)
	}
	for k, run := range f.page.Runs {
		if f.nextRow(run.First) >= run.First+run.Rows {
			continue
		}
		if f.byRun {
			for _, id := range f.used {
				f.table[id] = nil
			}
			f.used = f.used[:0]
		}
		f.w.at.stream = f.page.Streams[run.Stream]
		switch {
		case t != nil:
			t.run(f, k, run)
		case f.ids == nil && !f.values:
			f.count(run)
		default:
			f.each(run)
		}
	}
	if t != nil {
		t.flush(f)
	}
}

// nextRow returns the first row from row on that is meant, or one behind all.
func (f *columnFold) nextRow(row int) int {
	bits := f.rows.Bits()
	if bits == nil {
		return row
	}
	if row = bits.Next(row); row < 0 {
		return math.MaxInt
	}
	return row
}

// count counts the rows of a run that are of one series. Rows of one window have their times in a row, so
// only where they end is looked for.
func (f *columnFold) count(run logs.PageRun) {
	g, offset := f.w.x.grid, f.w.x.offset
	end := run.First + run.Rows
	for row := f.nextRow(run.First); row < end; {
		ts := f.timeOf(run, row)
		lo, hi := g.steps(ts + offset)
		next := end
		if f.ts != nil {
			next = row + after(f.ts[row:end], g.until(lo, hi)-offset)
		}
		if lo <= hi {
			f.w.at.ts, f.w.at.row = ts, row
			s := f.series(run, 0, row)
			f.w.touch(s)
			n, last := f.countRows(row, next)
			s.buckets.addOnes(lo, hi, ts, f.timeOf(run, last), float64(n))
		}
		row = f.nextRow(next)
	}
}

// countRows returns how many rows from row on, before end, are meant, and the last of them. row is.
func (f *columnFold) countRows(row, end int) (n, last int) {
	if f.rows.Bits() == nil {
		return end - row, end - 1
	}
	for ; row < end; row = f.nextRow(row + 1) {
		n, last = n+1, row
	}
	return n, last
}

// after returns how many of ts, which ascends, are not above limit: at least one, the first. The answer is
// looked for nearby first.
func after(ts []int64, limit int64) int {
	n := 1
	for n < len(ts) && ts[n] <= limit {
		n *= 2
	}
	lo, hi := max(n/2, 1), min(n, len(ts))
	return lo + sort.Search(hi-lo, func(i int) bool { return ts[lo+i] > limit })
}

// each folds the rows of a run one by one.
func (f *columnFold) each(run logs.PageRun) {
	w, g, offset := f.w, f.w.x.grid, f.w.x.offset
	end := run.First + run.Rows
	lo, hi, limit := 0, -1, int64(math.MinInt64)
	id := uint32(0)
	for row := f.nextRow(run.First); row < end; row = f.nextRow(row + 1) {
		ts := f.timeOf(run, row)
		if ts > limit {
			lo, hi = g.steps(ts + offset)
			limit = max(g.until(lo, hi)-offset, ts)
		}
		if lo > hi {
			continue
		}
		if f.ids != nil {
			id = f.ids[row]
		}
		w.at.ts, w.at.row = ts, row
		s := f.table[id]
		if s == nil {
			s = f.series(run, id, row)
		}
		w.touch(s)
		if f.values {
			s.buckets.add(w.x.fold, lo, hi, ts, f.nums.rows[row])
		} else {
			s.buckets.addOnes(lo, hi, ts, ts, 1)
		}
	}
}

// series finds the series that row, of number id, belongs to.
func (f *columnFold) series(run logs.PageRun, id uint32, row int) *extracted {
	if s := f.table[id]; s != nil {
		return s
	}
	x := f.w.x
	if f.byRun {
		var md []logs.Label
		for i, d := range f.dims {
			if v, ok := d.value(d.at(row)); ok {
				md = append(md, logs.Label{Name: f.names[i], Value: v})
			}
		}
		x.set.reset(f.w.stream(f.page.Streams[run.Stream]), md)
	} else {
		x.set.reset(f.w.nothing, nil)
		for i, d := range f.dims {
			if v, ok := d.value(d.at(row)); ok {
				x.set.set(fromParser, f.names[i], v)
			}
		}
	}
	s, _ := x.find()
	f.table[id] = s
	f.used = append(f.used, id)
	return s
}
