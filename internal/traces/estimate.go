package traces

import (
	"context"
	"fmt"
)

// Plan is how a query would be answered, and what it would look at.
type Plan struct {
	Text     string
	Estimate Estimate
	Jobs     []Range // into which the query is cut, newest first; none: it is one job
}

// Estimate is what a source has in a range of time, by its indexes alone: an upper bound of what a query looks at,
// since values rule out row groups and a search mostly stops early. A trace in pieces counts once for each.
type Estimate struct {
	Blocks    int64 `json:"blocks"`
	RowGroups int64 `json:"rowGroups"` // those of recent spans too
	Traces    int64 `json:"traces"`
	Spans     int64 `json:"spans"`
	Recent    int64 `json:"recentSpans"` // of these, that are in no row group yet and are looked at one by one

	Range Range `json:"-"` // from the earliest start to the latest end, zero if there is nothing
}

// Add adds another estimate.
func (e *Estimate) Add(o Estimate) {
	e.Blocks += o.Blocks
	e.RowGroups += o.RowGroups
	e.Traces += o.Traces
	e.Spans += o.Spans
	e.Recent += o.Recent
	switch {
	case e.Range == Range{}:
		e.Range = o.Range
	case o.Range != Range{}:
		e.Range = Range{min(e.Range.Start, o.Range.Start), max(e.Range.End, o.Range.End)}
	}
}

// Estimator is what a Source is that knows what it has in a range of time (both zero: any). MergedSource is one.
type Estimator interface {
	Estimate(ctx context.Context, tenant string, start, end uint64) (Estimate, error)
}

// EstimateOf returns what a source has in a range, nothing where it doesn't know.
func EstimateOf(ctx context.Context, src Source, tenant string, start, end uint64) (Estimate, error) {
	if e, ok := src.(Estimator); ok {
		return e.Estimate(ctx, tenant, start, end)
	}
	return Estimate{}, nil
}

// estimator is a part that knows what it has of a range.
type estimator interface{ estimate(s *Select) Estimate }

// Estimate implements Estimator.
func (m *MergedSource) Estimate(ctx context.Context, tenant string, start, end uint64) (out Estimate, err error) {
	parts, err := m.around(ctx, tenant, start, end)
	if err != nil {
		return out, fmt.Errorf("estimate: %w", err)
	}
	for _, p := range parts {
		switch p := p.(type) {
		case *sourcePart:
			one, err := EstimateOf(ctx, p.src, p.tenant, start, end)
			if err != nil {
				return out, err
			}
			out.Add(one)
		case estimator:
			out.Add(p.estimate(&Select{Start: start, End: end}))
		}
	}
	return out, nil
}

// Estimate implements Estimator. What is hidden counts: it is passed over, not left unread.
func (s *hidingSource) Estimate(ctx context.Context, tenant string, start, end uint64) (Estimate, error) {
	return EstimateOf(ctx, s.Source, tenant, start, end)
}

func (s *groupSet) estimate(q *Select) (out Estimate) {
	for i := range s.entries {
		if e := &s.entries[i]; q.overlaps(e.minStart, e.maxEnd) {
			out.Add(Estimate{RowGroups: 1, Traces: int64(e.traces), Spans: int64(e.spans), Range: Range{e.minStart, e.maxEnd}})
		}
	}
	return out
}

func (b *Block) estimate(q *Select) Estimate {
	out := b.groupSet.estimate(q)
	if out.RowGroups > 0 {
		out.Blocks = 1
	}
	return out
}

// estimate counts all spans that are not sealed yet, which are never many, wherever in the head's range they are: to look
// at each would cost more than many a small question.
func (h *Head) estimate(q *Select) (out Estimate) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.open > 0 && q.overlaps(h.start, h.end) {
		n := int64(h.open)
		out = Estimate{Traces: int64(len(h.traces)), Spans: n, Recent: n, Range: Range{h.start, h.end}}
	}
	if h.closing != nil {
		out.Add(h.closing.estimate(q))
	}
	if len(h.sealed.groups) > 0 {
		out.Add(h.sealed.part().estimate(q))
	}
	return out
}

func (h *headSnapshot) estimate(q *Select) (out Estimate) {
	for i := range h.traces {
		if t := &h.traces[i]; q.overlaps(t.start, t.end) {
			n := int64(len(t.spans))
			out.Add(Estimate{Traces: 1, Spans: n, Recent: n, Range: Range{t.start, t.end}})
		}
	}
	return out
}
