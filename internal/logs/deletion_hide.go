package logs

import (
	"context"
	"iter"
	"sync"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// WithoutDeleted returns p without the rows that d deletes. If d can't concern p at all it is p
// itself. Series and Volume are p's own: what is deleted leaves them when it leaves the block.
func WithoutDeleted(p Part, d *Deletions) Part {
	oldest, newest := p.TimeRange()
	if d = d.Overlapping(oldest, newest); d == nil {
		return p
	}
	return &hidingPart{p, d}
}

// hidingPart answers without rows that are deleted but still stored.
type hidingPart struct {
	Part
	deletions *Deletions
}

// SelectRows implements Part.
func (p *hidingPart) SelectRows(ctx context.Context, s Select) iter.Seq2[*Rows, error] {
	d := p.deletions.concerning(s)
	if d == nil {
		return p.Part.SelectRows(ctx, s)
	}
	// How many rows must be read for s.Limit of them to be left is not known before.
	limit := s.Limit
	s.Limit = 0
	return func(yield func(*Rows, error) bool) {
		hidden := &hiddenRows{test: d.newTester()}
		given := 0
		for rows, err := range p.Part.SelectRows(ctx, s) {
			if err != nil {
				yield(nil, err)
				return
			}
			rows = hidden.filter(rows)
			if n := len(rows.Timestamps); limit > 0 && given+n >= limit {
				rows = cutRows(rows, limit-given)
			}
			given += len(rows.Timestamps)
			if len(rows.Timestamps) > 0 && !yield(rows, nil) {
				return
			}
			if limit > 0 && given == limit {
				return
			}
		}
	}
}

// cutRows returns the first n rows.
func cutRows(r *Rows, n int) *Rows {
	out := *r
	out.Stream, out.Timestamps, out.Lines = r.Stream[:n], r.Timestamps[:n], r.Lines[:n]
	if r.Metadata != nil {
		out.Metadata = r.Metadata[:n]
	}
	return &out
}

// hiddenRows takes deleted rows out of batches. It is used by one goroutine.
type hiddenRows struct {
	test *tester
	out  Rows
}

// filter returns the rows that are not deleted: rows itself if that is all of them, else memory of h,
// valid until the next call.
func (h *hiddenRows) filter(rows *Rows) *Rows {
	h.test.begin(rows.Streams)
	first := 0
	for first < len(rows.Timestamps) && !h.test.deletesRow(rows, first) {
		first++
	}
	if first == len(rows.Timestamps) {
		return rows // Fast path: nothing is copied.
	}
	o := &h.out
	o.Streams, o.Dropped = rows.Streams, rows.Dropped
	o.Stream = append(o.Stream[:0], rows.Stream[:first]...)
	o.Timestamps = append(o.Timestamps[:0], rows.Timestamps[:first]...)
	o.Lines = append(o.Lines[:0], rows.Lines[:first]...)
	o.Metadata = o.Metadata[:0]
	if rows.Metadata != nil {
		o.Metadata = append(o.Metadata, rows.Metadata[:first]...)
	}
	for i := first + 1; i < len(rows.Timestamps); i++ {
		if h.test.deletesRow(rows, i) {
			continue
		}
		o.Stream = append(o.Stream, rows.Stream[i])
		o.Timestamps = append(o.Timestamps, rows.Timestamps[i])
		o.Lines = append(o.Lines, rows.Lines[i])
		if rows.Metadata != nil {
			o.Metadata = append(o.Metadata, rows.Metadata[i])
		}
	}
	if rows.Metadata == nil {
		kept := *o
		kept.Metadata = nil
		return &kept
	}
	return o
}

// Scan implements Part.
func (p *hidingPart) Scan(ctx context.Context, s Select, visit func(context.Context, *Page) error) error {
	d := p.deletions.concerning(s)
	if d == nil {
		return p.Part.Scan(ctx, s, visit)
	}
	testers := sync.Pool{New: func() any { return d.newTester() }}
	return p.Part.Scan(ctx, s, func(ctx context.Context, page *Page) error {
		t := testers.Get().(*tester)
		err := t.hide(ctx, page)
		testers.Put(t)
		if err != nil || page.Among.IsNone() {
			return err
		}
		return visit(ctx, page)
	})
}

// hide takes the deleted rows out of those that are meant.
func (t *tester) hide(ctx context.Context, p *Page) error {
	t.begin(p.Streams)
	for i := range t.rules {
		deleted, err := t.rules[i].among(ctx, p, t)
		if err != nil {
			return err
		}
		if p.Among = p.Among.And(deleted.Not()); p.Among.IsNone() {
			return nil
		}
	}
	return nil
}

// among returns those of the rows that are meant which r deletes. What the columns can tell is asked of
// them, and only for the rest are rows rebuilt.
func (r *rule) among(ctx context.Context, p *Page, t *tester) (column.Set, error) {
	set, err := r.window(ctx, p, t)
	if err != nil || set.IsNone() {
		return set, err
	}
	columns := p.HasColumns()
	if columns && len(r.filters) > 0 {
		window := set
		err := p.Ask(ctx, func(reader *column.Reader) {
			set = window
			for i := range r.filters {
				set = r.filters[i].among(reader, p.Lines(), set)
			}
		})
		if err != nil || set.IsNone() {
			return set, err
		}
	}
	if r.test == nil && (columns || len(r.filters) == 0) {
		return set, nil
	}
	return r.tested(ctx, p, set)
}

// window returns those of the rows that are meant whose stream and time r is about.
func (r *rule) window(ctx context.Context, p *Page, t *tester) (column.Set, error) {
	set := block.NewBitmap(p.Rows)
	var ts []int64
	found := false
	for _, run := range p.Runs {
		if !t.stream(run.Stream).has(r) {
			continue
		}
		if ts == nil {
			var err error
			if ts, err = p.Timestamps(ctx); err != nil {
				return column.None, err
			}
		}
		for row := run.First; row < run.First+run.Rows; row++ {
			if ts[row] >= r.Start && ts[row] < r.End {
				set.Set(row)
				found = true
			}
		}
	}
	if !found {
		return column.None, nil
	}
	return p.Among.And(column.SetOf(set)), nil
}

func (s *testedStream) has(r *rule) bool {
	for _, other := range s.rules {
		if other == r {
			return true
		}
	}
	return false
}

// tested returns those of the rows in set that r deletes, by looking at each.
func (r *rule) tested(ctx context.Context, p *Page, set column.Set) (column.Set, error) {
	var rows []int // in the order in which Each gives them
	for _, run := range p.Runs {
		for row := run.First; row < run.First+run.Rows; row++ {
			if set.Has(row) {
				rows = append(rows, row)
			}
		}
	}
	hit := block.NewBitmap(p.Rows)
	k, found := 0, false
	err := p.Each(ctx, set, func(stream uint32, ts int64, line []byte, md []Label) bool {
		if r.deletes(p.Streams[stream], ts, line, md) {
			hit.Set(rows[k])
			found = true
		}
		k++
		return true
	})
	if err != nil || !found {
		return column.None, err
	}
	return column.SetOf(hit), nil
}
