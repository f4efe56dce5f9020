package logs

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// Span is a range of time [Start, End), in nanoseconds.
type Span struct{ Start, End int64 }

// StreamSpans limits a select to some times of some streams, or to all but those.
type StreamSpans struct {
	Only bool // these times alone; else all others
	// Times are spans, ascending and apart, by the hash of a stream's labels, see StreamHash.
	Times map[uint64][]Span
}

// limit returns what is left of the spans of the stream with hash h.
func (s *StreamSpans) limit(h uint64, spans []Span) []Span {
	if s.Only {
		return intersect(spans, s.Times[h])
	}
	if times := s.Times[h]; len(times) > 0 {
		return intersect(spans, complement(times))
	}
	return spans
}

// complement returns all of time but for spans.
func complement(spans []Span) []Span {
	out := make([]Span, 0, len(spans)+1)
	from := int64(math.MinInt64)
	for _, s := range spans {
		if from < s.Start {
			out = append(out, Span{from, s.Start})
		}
		from = s.End
	}
	if from < math.MaxInt64 {
		out = append(out, Span{from, math.MaxInt64})
	}
	return out
}

// intersect returns the times that are in both, which ascend and are apart.
func intersect(a, b []Span) []Span {
	var out []Span
	for len(a) > 0 && len(b) > 0 {
		if both := (Span{max(a[0].Start, b[0].Start), min(a[0].End, b[0].End)}); both.Start < both.End {
			out = append(out, both)
		}
		if a[0].End < b[0].End {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return out
}

// spansOf returns the times that q wants of the stream with labels ls. Nil with whole set is the usual case:
// all of [q.start, q.end).
func (q *selection) spansOf(ls labels.Labels) (spans []Span, whole bool) {
	if len(q.spans) == 0 {
		return nil, true
	}
	h := StreamHash(ls)
	if !slices.ContainsFunc(q.spans, func(s StreamSpans) bool { return s.Only || len(s.Times[h]) > 0 }) {
		return nil, true
	}
	spans = []Span{{math.MinInt64, math.MaxInt64}}
	for i := range q.spans {
		spans = q.spans[i].limit(h, spans)
	}
	return spans, false
}

// touch reports whether spans have an instant in common with r and with [start, end).
func (r timeRange) touch(spans []Span, start, end int64) bool {
	return slices.ContainsFunc(spans, func(s Span) bool {
		from, to := max(s.Start, start), min(s.End, end)
		return from < to && r.overlaps(from, to)
	})
}

// keepSpans keeps the rows of r, which ascend in time, that are in spans.
func (r *run) keepSpans(spans []Span) {
	ts, rows := []int64(nil), []uint32(nil)
	for _, s := range spans {
		lo, _ := slices.BinarySearch(r.ts, s.Start)
		hi, _ := slices.BinarySearch(r.ts, s.End)
		for i := lo; i < hi; i++ {
			ts, rows = append(ts, r.ts[i]), append(rows, uint32(r.row(i)))
		}
	}
	r.ts, r.rows = ts, rows
}
