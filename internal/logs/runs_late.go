package logs

import (
	"context"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// Where a caller is expected to stop soon, most rows of the pages that the merge opens are never given
// out: the newest hundred lines of twenty streams are five of each. So only timestamps are merged at first,
// and the lines of a batch are rebuilt when it is known which they are.

// lateRows are the rows of a page in a merge. They are rebuilt when a batch needs them.
type lateRows struct {
	page *Page
	rows []uint32 // of the page, ascending: what row numbers of the runs mean
	data *columns // of all of rows, once these are rebuilt
	kept int64    // counted in the selection's kept
}

// lateMemory bounds how many bytes of lines and metadata the pages have, together, of which a select keeps
// what it decoded until their rows are rebuilt. What is decoded of others is decoded again.
const lateMemory = 64 << 20

// all is the rows of the page that are in the merge.
func (l *lateRows) all() column.Set { return setOf(l.rows, l.page.Rows) }

func setOf(rows []uint32, of int) column.Set {
	set := block.NewBitmap(of)
	for _, row := range rows {
		set.Set(int(row))
	}
	return column.SetOf(set)
}

// lineLen is how long the lines of the page are, on average.
func (l *lateRows) lineLen() int {
	e := &l.page.set.index.pages[l.page.number]
	return int(e.lineBytes) / max(e.rows, 1)
}

// keep lets go of what was decoded of the page, unless there is room for it.
func (l *lateRows) keep(kept *atomic.Int64) {
	e := &l.page.set.index.pages[l.page.number]
	if l.kept = int64(e.lineBytes + e.metadataBytes); kept.Add(l.kept) > lateMemory {
		kept.Add(-l.kept)
		l.kept = 0
		l.page.reader = column.NewReader(l.page.dir.page)
	}
	l.page.ts = nil
}

// lateRow is a row of a batch that is not rebuilt yet.
type lateRow struct {
	at  int // in the batch
	of  *lateRows
	row int // of the runs' rows
}

// rebuild makes the lines and the metadata of the batch's late rows. At first it rebuilds these alone, and
// from the expected number of rows on all that is left of a page: then the caller seems to want them all.
func (m *merger) rebuild(ctx context.Context) error {
	defer func() { m.late = m.late[:0] }()
	if len(m.late) == 0 {
		return nil
	}
	slices.SortFunc(m.late, func(a, b lateRow) int { return a.of.page.number - b.of.page.number })
	all := m.yielded > m.q.expect
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(pagesAtOnce)
	for from := 0; from < len(m.late); {
		to := from + 1
		for to < len(m.late) && m.late[to].of == m.late[from].of {
			to++
		}
		rows := m.late[from:to]
		from = to
		g.Go(func() error { return m.rebuildPage(gctx, rows, all) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, l := range m.late {
		m.give(l.at, l.of.data, l.row)
	}
	for _, l := range m.late {
		if !all {
			l.of.data = nil
		} else {
			l.of.page = nil // decoded columns are not needed any more
			m.q.kept.Add(-l.of.kept)
			l.of.kept = 0
		}
	}
	return nil
}

// rebuildPage sets the data of the page of late, and where its rows stand in it.
func (m *merger) rebuildPage(ctx context.Context, late []lateRow, all bool) (err error) {
	of := late[0].of
	rows := of.rows
	if !all {
		slices.SortFunc(late, func(a, b lateRow) int { return a.row - b.row })
		rows = make([]uint32, len(late))
		for i := range late {
			rows[i] = of.rows[late[i].row]
			late[i].row = i
		}
	}
	of.data, err = of.page.rebuild(ctx, setOf(rows, of.page.Rows), true)
	return err
}
