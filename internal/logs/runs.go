package logs

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sync/atomic"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// The merge engine of Head and Block. Both keep rows in small sorted pieces, chunks and pages;
// a select turns the pieces that can match into runs and merges the runs by time, opening a piece
// only when the merge has come to its time. So a query for the newest hundred lines opens the
// newest pieces and no more.

// selection is a compiled Select.
type selection struct {
	matchers   matcherSet
	filters    []lineFilter
	start, end int64
	direction  Direction
	limit      int
	expect     int // after so many rows the caller stops, probably; 0: it doesn't
	levels     matcherSet
	trace      *traceQuery   // nil: any
	tracePages block.IDPages // that may have rows of trace
	narrow     func(context.Context, *Page) (column.Set, error)
	shard      Shard
	spans      []StreamSpans
	stats      *Stats
	kept       *atomic.Int64 // see lateMemory
}

func compileSelect(ctx context.Context, s Select) (*selection, error) {
	ms, err := compileMatchers(s.Matchers)
	if err != nil {
		return nil, err
	}
	filters, err := compileFilters(s.Filters)
	if err != nil {
		return nil, err
	}
	levels, err := compileMatchers(s.Levels)
	if err != nil {
		return nil, err
	}
	trace, err := compileTrace(s.TraceID)
	if err != nil {
		return nil, err
	}
	return &selection{matchers: ms, trace: trace, filters: filters, levels: levels, start: s.Start, end: s.End, direction: s.Direction, limit: s.Limit,
		expect: cmp.Or(s.Expect, s.Limit), narrow: s.Narrow, shard: s.Shard, spans: s.Spans, stats: StatsFrom(ctx), kept: new(atomic.Int64)}, nil
}

// metadataReader gives the metadata of a row: it appends it to dst.
type metadataReader interface {
	appendMetadata(dst []Label, row int) []Label
}

// columns is the memory that runs point into. Line i ends at ends[i] in lines and begins where line
// i-1 ends.
type columns struct {
	ends     []uint32
	lines    []byte
	metadata metadataReader // nil: no row has any
}

func (c *columns) line(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = c.ends[i-1]
	}
	end := c.ends[i]
	return c.lines[start:end:end]
}

// run is rows of one stream in order of time, then of arrival.
type run struct {
	stream uint32 // rank in the order of labels
	seq    uint32 // rank of arrival among the runs of the stream
	ts     []int64
	rows   []uint32 // row numbers in data; nil: they begin at first
	first  int
	data   *columns
	late   *lateRows // where the rows are yet to be rebuilt; data is nil then
}

func (r *run) row(i int) int {
	if r.rows != nil {
		return int(r.rows[i])
	}
	return r.first + i
}

// piece is a part of the data that opens to runs.
type piece struct {
	timeRange
	open func(ctx context.Context, q *selection) ([]run, error)
	*opening
}

// opening is a piece on its way: runs and err are valid once done is closed.
type opening struct {
	done chan struct{}
	runs []run
	err  error
}

// window returns the rows of ts, which ascends, that are in the selection's time range.
func (q *selection) window(ts []int64) (lo, hi int) {
	lo, _ = slices.BinarySearch(ts, q.start)
	hi, _ = slices.BinarySearch(ts, q.end)
	return lo, max(lo, hi)
}

// filter keeps of r the rows that pass the line filters, and reports whether any are left.
func (q *selection) filter(r *run) bool {
	q.countLines(r)
	for i := range q.filters {
		if len(r.ts) == 0 {
			return false
		}
		f := &q.filters[i]
		if n := f.needle(); n != nil && r.rows == nil && len(r.ts) > 1 {
			r.keepContaining(n)
			continue
		}
		r.keep(f.passes)
	}
	if q.trace != nil {
		r.keepTrace(q.trace)
	}
	return len(r.ts) > 0
}

func (q *selection) countLines(r *run) {
	if q.stats == nil || len(r.ts) == 0 {
		return
	}
	n := int64(0)
	if r.rows == nil {
		start := uint32(0)
		if r.first > 0 {
			start = r.data.ends[r.first-1]
		}
		n = int64(r.data.ends[r.first+len(r.ts)-1] - start)
	} else {
		for i := range r.ts {
			n += int64(len(r.data.line(r.row(i))))
		}
	}
	q.stats.lines.Add(int64(len(r.ts)))
	q.stats.lineBytes.Add(n)
}

func (r *run) keep(passes func([]byte) bool) {
	ts, rows := []int64(nil), []uint32(nil)
	for i, t := range r.ts {
		row := r.row(i)
		if passes(r.data.line(row)) {
			ts, rows = append(ts, t), append(rows, uint32(row))
		}
	}
	r.ts, r.rows = ts, rows
}

// keepContaining searches all lines of a run without row numbers at once: most pieces of text hold
// the needle rarely, and one search over 64 KiB is much faster than a thousand short ones.
func (r *run) keepContaining(needle []byte) {
	ends := r.data.ends
	row, last := r.first, r.first+len(r.ts)
	from := uint32(0)
	if row > 0 {
		from = ends[row-1]
	}
	all := r.data.lines[:ends[last-1]]
	ts, rows := []int64(nil), []uint32(nil)
	for row < last {
		at := bytes.Index(all[from:], needle)
		if at < 0 {
			break
		}
		hit := from + uint32(at)
		for ends[row] <= hit { // the line that the hit begins in
			row++
		}
		if hit+uint32(len(needle)) > ends[row] {
			from = hit + 1 // spans two lines: no hit
			continue
		}
		ts, rows = append(ts, r.ts[row-r.first]), append(rows, uint32(row))
		from = ends[row]
		row++
	}
	r.ts, r.rows = ts, rows
}

// cut keeps the first limit rows in direction d, and those of the same instant as the last of them
// where the order within an instant could prefer another.
func (r *run) cut(d Direction, limit int) {
	lo, hi := 0, limit
	if d == Backward {
		lo, hi = len(r.ts)-limit, len(r.ts)
		for lo > 0 && r.ts[lo-1] == r.ts[lo] {
			lo--
		}
	}
	r.ts = r.ts[lo:hi]
	if r.rows != nil {
		r.rows = r.rows[lo:hi]
	} else {
		r.first += lo
	}
}
