package logs

import (
	"context"
	"math"
)

// Estimate bounds from above what a Select has to look at, as far as indexes tell: which rows pass filters
// they don't know.
type Estimate struct {
	Blocks, Pages int64 // pages of blocks and of recent rows
	Streams       int64 // a stream counts in each part that has rows of it
	Rows          int64
	Bytes         int64 // of lines and metadata, uncompressed
	StoredBytes   int64 // of the pages, as they stand in the bucket: all columns
	// Runs and PageSeconds say what cutting costs: a page is opened by each share of the streams that has one
	// of its runs (rows of one stream), and by each piece of time that it reaches into.
	Runs        int64
	PageSeconds float64 // how long pages are in the range of time, all together
}

// Add adds what another part has.
func (e *Estimate) Add(o Estimate) {
	e.Blocks += o.Blocks
	e.Pages += o.Pages
	e.Streams += o.Streams
	e.Rows += o.Rows
	e.Bytes += o.Bytes
	e.StoredBytes += o.StoredBytes
	e.Runs += o.Runs
	e.PageSeconds += o.PageSeconds
}

// estimate sums over the parts.
func (u *union) estimate(ctx context.Context, sel Select) (Estimate, error) {
	parts, err := u.pruned(ctx, sel)
	if err != nil {
		return Estimate{}, err
	}
	answers, err := askParts(ctx, parts, func(ctx context.Context, p Part) (Estimate, error) { return p.Estimate(ctx, sel) })
	var sum Estimate
	for _, e := range answers {
		sum.Add(e)
	}
	return sum, err
}

// Estimate implements Part. It reads nothing but, for a trace, the filter of IDs.
func (s *pageSet) Estimate(ctx context.Context, sel Select) (Estimate, error) {
	q, err := compileSelect(ctx, sel)
	if err != nil {
		return Estimate{}, err
	}
	found, err := s.begin(ctx, q)
	if err != nil {
		return Estimate{}, err
	}
	var e Estimate
	has := map[uint32]struct{}{}
	whole := uint64(0) // bytes of the pages that are read
	for i := range s.index.pages {
		if s.timesOf(q, i, found) == noTime {
			continue
		}
		p := &s.index.pages[i]
		e.Pages++
		e.PageSeconds += p.seconds(q.start, q.end)
		whole += p.lineBytes
		for k := range p.runs {
			r := &p.runs[k]
			if !found.has(r.stream) || !r.overlaps(q.start, q.end) {
				continue
			}
			has[r.stream] = struct{}{}
			e.Runs++
			part := r.share(q.start, q.end)
			e.Rows += int64(math.Ceil(float64(r.rows) * part))
			e.Bytes += int64(math.Ceil(float64(r.bytes) * part))
		}
	}
	e.Streams = int64(len(has))
	if e.Pages > 0 && s.stored > 0 {
		e.Blocks = 1
		e.StoredBytes = int64(float64(s.stored) * float64(whole) / float64(max(s.index.lineBytes, 1)))
	}
	return e, nil
}

// share returns how much of r, which overlaps [start, end), lies in it, if its rows are spread evenly.
func (r timeRange) share(start, end int64) float64 {
	if r.inside(start, end) {
		return 1
	}
	lo, hi := max(r.min, start), min(r.max, end-1)
	return (float64(hi-lo) + 1) / (float64(r.max-r.min) + 1)
}

// seconds returns how much of r, which overlaps [start, end), lies in it.
func (r timeRange) seconds(start, end int64) float64 {
	return float64(min(r.max, end-1)-max(r.min, start)) / 1e9
}

// Estimate implements Part.
func (h *buffer) Estimate(ctx context.Context, sel Select) (Estimate, error) {
	q, err := compileSelect(ctx, sel)
	if err != nil {
		return Estimate{}, err
	}
	views, _ := h.views([]matcherSet{q.matchers}, q.start, q.end)
	views = q.shard.views(views)
	e := Estimate{Streams: int64(len(views))}
	for i := range views {
		views[i].chunks(q.start, q.end, func(_ int, c *headChunk) {
			part := c.share(q.start, q.end)
			e.Pages++
			e.Runs++
			e.PageSeconds += c.seconds(q.start, q.end)
			e.Rows += int64(math.Ceil(float64(len(c.ts)) * part))
			e.Bytes += int64(math.Ceil(float64(int64(len(c.lines))+c.metadataSize) * part))
		})
	}
	return e, nil
}

// Estimate implements Part.
func (h *Head) Estimate(ctx context.Context, s Select) (Estimate, error) {
	return h.union().estimate(ctx, s)
}

// Estimate implements Part.
func (p *lazyPart) Estimate(ctx context.Context, s Select) (Estimate, error) {
	part, err := p.forSelect(ctx, s)
	if err != nil {
		return Estimate{}, err
	}
	return part.Estimate(ctx, s)
}

// Estimate implements Part.
func (noRows) Estimate(context.Context, Select) (Estimate, error) { return Estimate{}, nil }

// Estimate implements Part.
func (p *remotePart) Estimate(ctx context.Context, s Select) (Estimate, error) {
	return p.src.Estimate(ctx, p.tenant, s)
}

// Estimate implements Source. Rows that several parts have are counted in each.
func (s *partsSource) Estimate(ctx context.Context, tenant string, sel Select) (Estimate, error) {
	u, err := s.union(ctx, tenant, sel.Start, sel.End)
	if err != nil {
		return Estimate{}, err
	}
	return u.estimate(ctx, sel)
}
