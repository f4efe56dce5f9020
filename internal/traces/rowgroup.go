package traces

import "context"

// RowGroup is spans in columns on their way to a question: traces in order of their start, the spans of a
// trace in pre-order. It lets a question be answered without building spans. It is used by one goroutine.
type RowGroup struct {
	g     *group
	apart []bool // traces that have pieces elsewhere, nil: none
}

// Rows and Traces return how many spans and traces there are.
func (r *RowGroup) Rows() int   { return r.g.entry.spans }
func (r *RowGroup) Traces() int { return r.g.entry.traces }

// Apart reports whether a trace has pieces elsewhere, or is answered whole for another reason.
func (r *RowGroup) Apart(trace int) bool { return r.apart != nil && r.apart[trace] }

// Twins reports whether some span has the ID of another span of its trace, Repeats whether some span, event
// or link has several attributes of one key: then the first one counts, while Attribute tests all.
func (r *RowGroup) Twins() bool   { return r.g.entry.twins }
func (r *RowGroup) Repeats() bool { return r.g.entry.repeats }

// First returns the first row of each trace, and the number of rows. It must not be changed.
func (r *RowGroup) First(ctx context.Context) ([]int, error) {
	err := r.g.spine(ctx)
	return r.g.first, err
}

// TraceTimes returns when each trace starts and ends. They must not be changed.
func (r *RowGroup) TraceTimes(ctx context.Context) (starts, ends []uint64, err error) {
	err = r.g.spine(ctx)
	return r.g.starts, r.g.ends, err
}

// Bounds returns the earliest start and the latest end of a trace.
func (r *RowGroup) Bounds() (start, end uint64) { return r.g.entry.minStart, r.g.entry.maxEnd }
