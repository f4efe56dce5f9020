package logs

import (
	"context"
	"iter"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/block"
)

// selectMemory bounds what a select without limit decodes at one time, about, in bytes of lines and
// metadata. The pages of many streams cover the same time, so all of them must be open for the rows
// to come in order of time; a select of more is done in slices of time, which reads pages that
// several slices need once for each.
const selectMemory = 256 << 20

// SelectRows implements Part.
func (s *pageSet) SelectRows(ctx context.Context, sel Select) iter.Seq2[*Rows, error] {
	return func(yield func(*Rows, error) bool) {
		q, err := compileSelect(ctx, sel)
		if err != nil {
			yield(nil, err)
			return
		}
		found, err := s.begin(ctx, q)
		if err != nil {
			yield(nil, err)
			return
		}
		parts := s.timeSlices(q, found, selectMemory)
		if q.stats != nil && len(parts) > 0 {
			q.stats.blocks.Add(1)
		}
		for _, r := range parts {
			part := *q
			part.start, part.end = r.min, r.max
			if !s.selectSlice(ctx, &part, found, yield) {
				return
			}
		}
	}
}

// begin finds the streams that q asks for, and the pages where the trace may be.
func (s *pageSet) begin(ctx context.Context, q *selection) (*foundStreams, error) {
	found, err := s.find(q.matchers)
	if err != nil {
		return nil, err
	}
	if q.trace != nil && found.Next(0) >= 0 {
		q.tracePages, err = s.store.traceID(ctx, q.trace.hash, q.stats)
	}
	return newFoundStreams(s.streams, q.shard.among(s.streams, found), q), err
}

// selectSlice yields the rows of one slice of time and reports whether to go on.
func (s *pageSet) selectSlice(ctx context.Context, q *selection, found *foundStreams, yield func(*Rows, error) bool) (more bool) {
	var pieces []piece
	for i := range s.index.pages {
		if p, ok := s.piece(q, i, found); ok {
			pieces = append(pieces, p)
		}
	}
	more = true
	mergePieces(ctx, q, found.labels, pieces, pagesAtOnce, func(rows *Rows, err error) bool {
		more = yield(rows, err) && err == nil
		return more
	})
	return more
}

// timeSlices cuts the time range of a select into slices [min, max) of which each needs about memory
// bytes, in the direction of the select; none if there is nothing to read.
func (s *pageSet) timeSlices(q *selection, found *foundStreams, memory uint64) []timeRange {
	times, size := noTime, uint64(0)
	for i := range s.index.pages {
		if p, ok := s.piece(q, i, found); ok {
			times.join(p.timeRange)
			size += s.index.pages[i].lineBytes + s.index.pages[i].metadataBytes
		}
	}
	if size == 0 && times == noTime {
		return nil
	}
	whole := timeRange{max(q.start, times.min), q.end}
	if times.max < q.end {
		whole.max = times.max + 1
	}
	n := min(size/memory+1, 1024)
	width := (uint64(whole.max) - uint64(whole.min)) / n
	if n == 1 || q.limit > 0 || width == 0 {
		return []timeRange{whole}
	}
	out := make([]timeRange, n)
	for i := range out {
		out[i] = timeRange{int64(uint64(whole.min) + uint64(i)*width), int64(uint64(whole.min) + uint64(i+1)*width)}
	}
	out[n-1].max = whole.max
	if q.direction == Backward {
		slices.Reverse(out)
	}
	return out
}

// piece makes page i a piece of a select, unless it has no row of the found streams in the time
// range.
func (s *pageSet) piece(q *selection, i int, found *foundStreams) (piece, bool) {
	times := s.timesOf(q, i, found)
	if times == noTime {
		return piece{}, false
	}
	return piece{timeRange: times, open: func(ctx context.Context, q *selection) ([]run, error) {
		p := s.page(i, q.stats)
		if err := p.narrowed(ctx, q, found); err != nil || p.Among.IsNone() {
			return nil, err
		}
		return p.runs(ctx, q, found)
	}}, true
}

// timesOf returns the time range of the runs of page i that are of the found streams and overlap the
// select's time range; noTime if the page has no row that q can want.
func (s *pageSet) timesOf(q *selection, i int, found *foundStreams) timeRange {
	e := &s.index.pages[i]
	times := noTime
	if !e.overlaps(q.start, q.end) || len(q.levels) > 0 && !e.levels.mayHave(q.levels) || q.trace != nil && !q.tracePages.Has(i) {
		return times
	}
	for k := range e.runs {
		if r := &e.runs[k]; found.wants(r, q.start, q.end) {
			times.join(r.timeRange)
		}
	}
	return times
}

// narrowed finds the rows of p that q asks for. It opens the page if the index doesn't tell.
func (p *Page) narrowed(ctx context.Context, q *selection, found *foundStreams) error {
	p.Streams = found.load(p.set.index.pages[p.number].runs)
	err := p.narrow(ctx, q, found)
	if err == nil && q.narrow != nil && !p.Among.IsNone() {
		p.Among, err = q.narrow(ctx, p)
	}
	return err
}

// Scan implements Part.
func (s *pageSet) Scan(ctx context.Context, sel Select, visit func(context.Context, *Page) error) error {
	q, err := compileSelect(ctx, sel)
	if err != nil {
		return err
	}
	found, err := s.begin(ctx, q)
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(pagesAtOnce)
	counted := false
	for i := range s.index.pages {
		if s.timesOf(q, i, found) == noTime {
			continue
		}
		if gctx.Err() != nil {
			break
		}
		if q.stats != nil && !counted {
			q.stats.blocks.Add(1)
			counted = true
		}
		g.Go(func() error {
			p := s.page(i, q.stats)
			p.mem = &block.Buffers{}
			defer p.release()
			if err := p.narrowed(gctx, q, found); err != nil || p.Among.IsNone() {
				return err
			}
			return visit(gctx, p)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}
