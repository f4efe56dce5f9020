package logql

import (
	"math"
	"slices"

	"github.com/hune-io/hune/internal/logs"
)

// tally counts rows of a page by window and series: rows of many series take turns, so that to find the bucket of each
// costs more than to count it. It is for windows that don't overlap and for series that streams don't tell apart.
type tally struct {
	ids    int      // how many there may be; the last one is that of rows that aren't meant
	least  int      // first window
	counts []uint32 // by window, then by id
	firsts []place  // by id: of its first row
	seen   []uint32 // by id: 1 + the last run that has it
	dense  bool     // rows that aren't meant are counted, too
}

const (
	maxTally        = 1 << 16 // counts of a page: more would be slower than buckets
	maxTallyWindows = 1 << 12 // windows of a query: a series has a count for each
	countBytes      = 8
)

// tally makes room to count rows of so many ids, or returns nil where they are counted otherwise.
func (f *columnFold) tally(ids int) *tally {
	g := f.w.x.grid
	if f.ids == nil || f.values || f.byRun || g.window != g.step || g.n > maxTallyWindows {
		return nil
	}
	oldest, newest := int64(math.MaxInt64), int64(math.MinInt64)
	for _, run := range f.page.Runs {
		oldest, newest = min(oldest, run.Oldest), max(newest, run.Newest)
	}
	least, _ := g.steps(oldest + f.w.x.offset)
	_, last := g.steps(newest + f.w.x.offset)
	windows := last - least + 1
	ids++ // for rows that aren't meant
	if windows <= 0 || windows > maxTally/ids {
		return nil
	}
	return &tally{ids: ids, least: least, counts: make([]uint32, windows*ids),
		firsts: make([]place, ids), seen: make([]uint32, ids)}
}

// denseShare is how many rows there may be to one that is meant so that all are counted.
const denseShare = 4

// all gives rows that aren't meant an id of their own, where they are not too many: to count them costs less than to
// leave them out.
func (t *tally) all(f *columnFold) {
	bits := f.rows.Bits()
	if bits == nil || bits.Count()*denseShare < bits.Len() {
		return
	}
	others := bits.Clone()
	others.Not()
	for row := others.Next(0); row >= 0; row = others.Next(row + 1) {
		f.ids[row] = uint32(t.ids - 1)
	}
	t.dense = true
}

// run counts the rows of run number k.
func (t *tally) run(f *columnFold, k int, run logs.PageRun) {
	g, offset := f.w.x.grid, f.w.x.offset
	end := run.First + run.Rows
	t.seen[t.ids-1] = uint32(k + 1)
	for row := t.next(f, run.First); row < end; {
		ts := f.timeOf(run, row)
		lo, hi := g.steps(ts + offset)
		next := end
		if f.ts != nil {
			next = row + after(f.ts[row:end], g.until(lo, hi)-offset)
		}
		if lo <= hi {
			t.window(f, k, run, lo-t.least, row, next)
		}
		row = t.next(f, next)
	}
}

// next returns the first row from row on that is counted.
func (t *tally) next(f *columnFold, row int) int {
	if t.dense {
		return row
	}
	return f.nextRow(row)
}

// window counts the rows from row on, before end, which are all of window w.
func (t *tally) window(f *columnFold, k int, run logs.PageRun, w, row, end int) {
	counts := t.counts[w*t.ids:][:t.ids]
	every := t.dense || f.rows.Bits() == nil
	for row < end {
		id := f.ids[row]
		counts[id]++
		if t.seen[id] != uint32(k+1) {
			t.first(f, run, id, row)
			t.seen[id] = uint32(k + 1)
		}
		if row++; !every {
			row = f.nextRow(row)
		}
	}
}

// first notes the first row of a run that is of id.
func (t *tally) first(f *columnFold, run logs.PageRun, id uint32, row int) {
	at := place{ts: f.timeOf(run, row), stream: f.page.Streams[run.Stream], row: row}
	if t.seen[id] == 0 {
		f.w.at = at
		f.series(run, id, row)
	}
	if known := &t.firsts[id]; t.seen[id] == 0 || at.compare(known) < 0 {
		*known = at
	}
}

// flush gives the counts to the series.
func (t *tally) flush(f *columnFold) {
	for _, id := range f.used {
		s := f.table[id]
		f.w.at = t.firsts[id]
		f.w.touch(s)
		if len(s.counts) == 0 {
			s.least, s.counts = t.least, append(s.counts, make([]uint32, len(t.counts)/t.ids)...)
		}
		for w := range s.counts {
			s.counts[w] += t.counts[w*t.ids+int(id)]
		}
	}
}

// count adds the counts of a page, and returns how many windows had none before.
func (m *scanSeries) count(e *extracted) (grown int) {
	counts := m.counts[e.least:]
	for w, n := range e.counts {
		if n > 0 && counts[w] == 0 {
			grown++
		}
		counts[w] += uint64(n)
	}
	return grown
}

// bucketCounts makes buckets of the counts.
func (m *scanSeries) bucketCounts(g grid) {
	if m.counts == nil {
		return
	}
	used := 0
	for _, n := range m.counts {
		if n > 0 {
			used++
		}
	}
	m.buckets = slices.Grow(m.buckets, used)
	for w, n := range m.counts {
		if n > 0 {
			ts := g.start + int64(w)*g.step
			m.buckets.addOnes(w, w, ts, ts, float64(n))
		}
	}
	m.counts = nil
}
