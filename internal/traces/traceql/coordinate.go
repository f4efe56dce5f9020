package traceql

import (
	"bytes"
	"context"
	"math"
	"slices"
	"time"

	"github.com/hune-io/hune/internal/inturn"
	"github.com/hune-io/hune/internal/traces"
)

// Split says into how many jobs a query is cut. The zero Split cuts nothing.
type Split struct {
	JobSpans int64 // that a job is to look at, about
	MaxJobs  int   // of one query at once
	// Pieces, where it is set, is into what every query that can be is cut.
	Pieces int
}

// Ask runs a job. It is called from several goroutines at once.
type Ask func(ctx context.Context, q *traces.Query) (*traces.Result, error)

// What bounds how a query is cut: how many pieces there may be, and how short one may be in nanoseconds. A trace that is
// in several is read for each.
const (
	maxPieces  = 128
	leastPiece = uint64(time.Minute)
)

// Coordinate answers q by jobs: one, or as many as s says, of which it merges the answers. They are the same as those of
// Run. When ctx ends or a search has found enough, the contexts of jobs that still run end.
//
// Queries are cut by time. A job that comes upon a trace puts it together from all of the query's range, so whole traces
// are judged; a search leaves to each job the traces that start in its piece, and a metrics query over a range the
// steps of it. Which job answers for a trace or a span is told by the data alone, not by the blocks that it is in, which
// may be others for each job.
//
// Traces by ID, tags and values without a filter, compare(), and sums and averages for one instant are one job.
func (e *Engine) Coordinate(ctx context.Context, tenant string, q *traces.Query, s Split, ask Ask) (*traces.Result, error) {
	above := s.JobSpans
	if s.Pieces > 0 {
		above = -1 // whatever there is
	}
	if above == 0 {
		return ask(ctx, q)
	}
	plain := *q
	plain.Explain = false
	c := e.coordinator(&plain)
	if c == nil {
		return ask(ctx, q)
	}
	if q.Explain {
		r, err := ask(ctx, q)
		if err == nil && r.Plan != nil && r.Plan.Estimate.Spans > above {
			r.Plan = inJobs(r.Plan, s.cut(c, &r.Plan.Estimate), min(c.atOnce(0), s.MaxJobs))
		}
		return r, err
	}
	first := *q
	first.CutAbove = above
	whole, err := ask(ctx, &first)
	if err != nil || whole.Estimate == nil {
		return whole, err
	}
	pieces := s.cut(c, whole.Estimate)
	if len(pieces) < 2 && s.Pieces == 0 {
		return ask(ctx, q)
	}
	return e.merge(ctx, c, pieces, s.MaxJobs, ask)
}

// cut returns the pieces of a query about as much as the estimate says.
func (s Split) cut(c coordinator, estimate *traces.Estimate) []*traces.Query {
	n := s.Pieces
	if n == 0 {
		n = int(min((estimate.Spans+s.JobSpans-1)/s.JobSpans, maxPieces))
	}
	return c.cut(n, s.Pieces > 0, estimate.Range)
}

// coordinator knows how the queries of a kind are cut and their answers merged.
type coordinator interface {
	// cut returns the pieces, newest first: n or fewer, as long as they should be if they aren't forced. data is the range in
	// which there is something, zero if it isn't known.
	cut(n int, forced bool, data traces.Range) []*traces.Query
	// add takes the answers to pieces in this order, and returns false when it wants no more.
	add(i int, r *traces.Result) (more bool, err error)
	// atOnce returns how many jobs may run when so many are done, if nothing else bounds them.
	atOnce(done int) int
	// result returns the merged answer.
	result() *traces.Result
}

// coordinator returns nil for a query that is one job.
func (e *Engine) coordinator(q *traces.Query) coordinator {
	if q.Explain || q.Whole != nil {
		return nil
	}
	switch q.Kind {
	case traces.Search, traces.Tags, traces.TagValues:
		if q.Expr == "" && q.Kind != traces.Search || q.Kind == traces.Tags && q.Scope == "intrinsic" || q.End < q.Start {
			return nil
		}
		p, err := parseProgram(orEverything(q.Expr))
		if err != nil || p.need.id != "" {
			return nil // the one job says what is wrong, or looks the trace up
		}
		if q.Kind == traces.Search {
			limit, _ := searchLimits(q)
			return &searchMerge{cutByTime: cutByTime{q}, limit: limit}
		}
		return &tagsMerge{cutByTime: cutByTime{q}, values: newValueSet(e.valuesLimit(q))}
	case traces.MetricsRange:
		if c := newMetricsMerge(e, q); c != nil {
			return c
		}
	case traces.MetricsInstant:
		if c := newInstantMerge(e, q); c != nil {
			return c
		}
	}
	return nil
}

func (e *Engine) merge(ctx context.Context, c coordinator, pieces []*traces.Query, maxJobs int, ask Ask) (*traces.Result, error) {
	seen := traces.Inspected{TotalJobs: int64(len(pieces))}
	run := func(ctx context.Context, i int) (*traces.Result, error) { return ask(ctx, pieces[i]) }
	atOnce := func(done int) int { return min(c.atOnce(done), maxJobs) }
	err := inturn.Run(ctx, len(pieces), atOnce, run, func(i int, r *traces.Result) (bool, error) {
		seen.Add(&r.Inspected)
		seen.Jobs++
		if err := e.tooMany(&seen); err != nil {
			return false, err
		}
		return c.add(i, r)
	})
	if err != nil {
		return nil, err
	}
	out := c.result()
	out.Inspected = seen
	return out, nil
}

// estimate returns what the source has in the range of a query.
func (e *Engine) estimate(ctx context.Context, tenant string, q *traces.Query, src traces.Source) (traces.Estimate, error) {
	start, end := q.Start, q.End
	if q.Kind == traces.MetricsRange {
		w, err := rangeWindow(q.Start, q.End, q.Step)
		if err != nil {
			return traces.Estimate{}, err
		}
		start, end = w.from()+1, w.to()
	}
	return traces.EstimateOf(ctx, src, tenant, start, end)
}

// startsBefore reports whether a trace that starts then belongs to an older piece of a search than q is.
func startsBefore(q *traces.Query, start uint64) bool {
	return q.Whole != nil && q.Start > q.Whole.Start && start < q.Start
}

// orEverything is the query that an empty text stands for.
func orEverything(expr string) string {
	if expr == "" {
		return "{ }"
	}
	return expr
}

// cutByTime cuts queries whose answers don't depend on where they are cut.
type cutByTime struct{ q *traces.Query }

func (c cutByTime) cut(n int, forced bool, data traces.Range) []*traces.Query {
	whole := traces.Range{Start: c.q.Start, End: c.q.End}
	last := whole.End
	if whole == (traces.Range{}) {
		last = math.MaxInt64
	}
	from, to := whole.Start, last
	if data != (traces.Range{}) {
		from, to = max(from, data.Start), min(to, data.End)
	}
	if to < from {
		from, to = whole.Start, last // what there was is gone
	}
	if length := to - from; !forced {
		n = int(min(uint64(n), max(length/leastPiece, 1)))
	} else {
		n = int(min(uint64(n), length+1))
	}
	width := (to-from)/uint64(n) + 1
	var out []*traces.Query
	for end := last; ; {
		piece := *c.q
		piece.Whole, piece.End = &whole, end
		if i := n - 1 - len(out); i > 0 {
			piece.Start = from + uint64(i)*width
		}
		if piece.Start > piece.End {
			n-- // the newest one is shorter than the others, or empty
			continue
		}
		out = append(out, &piece)
		if piece.Start == c.q.Start {
			return out
		}
		end = piece.Start - 1
	}
}

// searchMerge gathers what the pieces of a search find.
type searchMerge struct {
	cutByTime
	limit int
	list  []traces.FoundTrace
	found map[traces.ID]struct{} // in several pieces
}

// atOnce begins with the newest piece alone, which often has enough, unless very many traces are wanted.
func (m *searchMerge) atOnce(done int) int { return max(1<<min(done, 8), m.limit/manyTraces) }

// manyTraces is how many traces a search is expected to find in a piece, at least where it wants so many.
const manyTraces = 1000

func (m *searchMerge) add(_ int, r *traces.Result) (bool, error) {
	if len(m.list) == 0 {
		m.list = r.Found
		return len(m.list) < m.limit, nil
	}
	// A trace of which an earlier span has come meanwhile may be found in two pieces.
	if m.found == nil {
		m.found = make(map[traces.ID]struct{}, 2*(len(m.list)+len(r.Found)))
		for i := range m.list {
			m.found[m.list[i].ID] = struct{}{}
		}
	}
	m.list = slices.Grow(m.list, len(r.Found))
	for i := range r.Found {
		f := &r.Found[i]
		if _, again := m.found[f.ID]; !again {
			m.found[f.ID] = struct{}{}
			m.list = append(m.list, *f)
		}
	}
	return len(m.list) < m.limit, nil
}

func (m *searchMerge) result() *traces.Result {
	SortFound(m.list)
	return &traces.Result{Found: slices.Clip(m.list[:min(m.limit, len(m.list))])}
}

// tagsMerge unites tags or values.
type tagsMerge struct {
	cutByTime
	tags   map[traces.TagScope]map[string]bool
	values *valueSet
}

func (*tagsMerge) atOnce(int) int { return math.MaxInt }

func (m *tagsMerge) add(_ int, r *traces.Result) (bool, error) {
	for scope, keys := range r.Tags {
		if m.tags == nil {
			m.tags = map[traces.TagScope]map[string]bool{}
		}
		if m.tags[scope] == nil {
			m.tags[scope] = map[string]bool{}
		}
		for _, k := range keys {
			m.tags[scope][k] = true
		}
	}
	for i := range r.Values {
		m.values.add(answeredValue(&r.Values[i]))
	}
	return m.q.Kind == traces.Tags || len(m.values.list) < m.values.limit, nil
}

func (m *tagsMerge) result() *traces.Result {
	if m.q.Kind == traces.TagValues {
		return &traces.Result{Values: m.values.attributes()}
	}
	out := &traces.Result{Tags: map[traces.TagScope][]string{}}
	for scope, keys := range m.tags {
		if scope == "intrinsic" {
			out.Tags[scope] = IntrinsicTags // in their order
		} else {
			out.Tags[scope] = sortedKeys(keys)
		}
	}
	return out
}

// answeredValue is the value that valueSet.attributes made a.
func answeredValue(a *traces.Attribute) Value {
	switch a.Key {
	case "duration":
		if d, err := time.ParseDuration(a.Str); err == nil {
			return durationValue(int64(d))
		}
	case "keyword":
		if i := slices.Index(statusNames, a.Str); i >= 0 {
			return statusValue(traces.Status(i))
		}
		if i := slices.Index(kindNames, a.Str); i >= 0 {
			return spanKindValue(traces.Kind(i))
		}
	}
	return fromAttribute(a)
}

// labelsKey is a text that equal labels share and no others.
func labelsKey(labels []traces.Attribute) string {
	var b bytes.Buffer
	var buf []byte
	for i := range labels {
		buf = appendIdentity(buf[:0], stringValue(labels[i].Key))
		buf = appendIdentity(buf, fromAttribute(&labels[i]))
		b.Write(buf)
	}
	return b.String()
}
