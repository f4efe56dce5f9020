package logql

import (
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/logs"
)

// Steps are the evaluation times of a query that computes samples: Start, Start+Step, … End, in nanoseconds. What it
// answers for one of them depends on that time alone, so that the answer may be put together from several queries.
type Steps struct {
	Start, End, Step int64
	// Ahead is how far behind an evaluation time the rows can be that count for it: an offset may be negative.
	Ahead time.Duration
	// Key is the query without its times, the same for all spellings.
	Key string
}

// Steps returns the evaluation times of q. ok is false where it has none, where the answer can't be put together,
// and for queries that Run refuses.
func (e *Engine) Steps(tenant string, q *logs.Query) (s Steps, ok bool) {
	if q.Kind != logs.Range || q.Explain || q.Estimate || q.Partial || q.TraceID != "" || q.Shard.Of > 1 || q.RowsEnd != 0 {
		return Steps{}, false
	}
	r := &run{tenant: tenant, q: q, limits: e.limits(tenant).orDefault()}
	expr, err := Parse(q.Expr)
	if err != nil || r.checkLength() != nil {
		return Steps{}, false
	}
	if _, isLog := expr.(*LogQuery); isLog {
		return Steps{}, false
	}
	g, err := r.gridOf()
	// Points have milliseconds: two evaluation times of one can't be told apart.
	if err != nil || g.step%1e6 != 0 {
		return Steps{}, false
	}
	s = Steps{Start: g.start, End: g.start + int64(g.n-1)*g.step, Step: g.step}
	for _, n := range leavesOf[*rangeNode](newPlan(expr, q, 0)) {
		s.Ahead = max(s.Ahead, -n.agg.Range.Offset)
	}
	s.Key = fmt.Sprint(g.step, " ", q.AutoFields, " ", expr)
	return s, true
}

// At returns q for the evaluation times start..end of s.
func (s Steps) At(q *logs.Query, start, end int64) *logs.Query {
	part := *q
	part.Start, part.End, part.Step = start, end, s.Step
	return &part
}

// CheckSeries returns the error of an answer of n series, if they are more than the tenant may ask for.
func (e *Engine) CheckSeries(tenant string, n int) error {
	r := &run{limits: e.limits(tenant).orDefault()}
	return classed(r.tooManySeries(n))
}

// JoinSteps joins answers for times that follow each other, without their statistics.
func JoinSteps(parts []*logs.Result) *logs.Result {
	out, n := &logs.Result{}, 0
	for _, p := range parts {
		n += len(p.Matrix)
	}
	all := make([]logs.SampleSeries, 0, n)
	for _, p := range parts {
		all = append(all, p.Matrix...)
	}
	slices.SortStableFunc(all, func(a, b logs.SampleSeries) int { return labels.Compare(a.Labels, b.Labels) })
	for i := 0; i < len(all); {
		k, points := i, 0
		for ; k < len(all) && labels.Equal(all[i].Labels, all[k].Labels); k++ {
			points += len(all[k].Points)
		}
		one := all[i]
		if k > i+1 {
			one.Points = make([]logs.Point, 0, points)
			for _, s := range all[i:k] {
				one.Points = append(one.Points, s.Points...)
			}
		}
		out.Matrix = append(out.Matrix, one)
		i = k
	}
	return out
}

// CutSteps returns what res, the answer to a query with Steps, says of the evaluation times from..to, without the
// statistics. It shares memory with res.
func CutSteps(res *logs.Result, from, to int64) *logs.Result {
	from, to = from/1e6, to/1e6
	out := &logs.Result{}
	for _, s := range res.Matrix {
		lo, _ := slices.BinarySearchFunc(s.Points, from, func(p logs.Point, t int64) int { return int(p.T - t) })
		hi, _ := slices.BinarySearchFunc(s.Points, to+1, func(p logs.Point, t int64) int { return int(p.T - t) })
		if lo < hi {
			out.Matrix = append(out.Matrix, logs.SampleSeries{Labels: s.Labels, Points: s.Points[lo:hi:hi]})
		}
	}
	return out
}

// SizeOfSteps is what an answer takes in memory, about, in bytes.
func SizeOfSteps(res *logs.Result) int64 {
	n := int64(len(res.Matrix)) * seriesBytes
	for _, s := range res.Matrix {
		n += int64(16*len(s.Points)) + int64(s.Labels.ByteSize())
	}
	return n
}
