// Package split says how a PromQL query over a range of time can be taken apart, and joins the answers of its parts.
//
// There are two ways. By time: every step of a query is computed for itself, so a range can be cut anywhere between
// two steps. By series: an aggregation whose operands are computed series by series can be done by shares of the
// series, and the shares be aggregated once more.
//
// What is cut and put together again is the same as the whole, but for the last digits of sums, which are added up
// in another order, and for which of equal values topk keeps.
package split

import (
	"fmt"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/metrics"
)

// Plan is what there is to know of a query to take it apart.
type Plan struct {
	// Query is the query in a form that doesn't depend on its range: @ start() and @ end() have become times.
	Query metrics.Query
	// Fixed says that an @ is in the expression: every step depends on what is stored at that time.
	Fixed bool
	// Ahead is how far behind a step the samples can be that its value depends on: the negative offsets.
	Ahead time.Duration
	// Shardable says that Shard can be used.
	Shardable bool

	root *parser.AggregateExpr // of a shardable query
	k    int                   // of topk and bottomk
}

// New returns the plan of a range query.
func New(q *metrics.Query) (*Plan, error) {
	expr, err := metrics.ParseQuery(q.Expr)
	if err != nil {
		return nil, err
	}
	p := &Plan{Query: *q}
	if err := p.settle(expr); err != nil {
		return nil, err
	}
	p.Query.Expr = expr.String()
	p.root, p.k, p.Shardable = shardable(expr)
	return p, nil
}

// settle replaces @ start() and @ end(), and looks at the times of the selectors.
func (p *Plan) settle(expr parser.Expr) error {
	var err error
	at := func(timestamp **int64, startOrEnd *parser.ItemType) {
		switch *startOrEnd {
		case parser.START:
			t := p.Query.Start
			*timestamp = &t
		case parser.END:
			t := p.Query.End
			*timestamp = &t
		}
		*startOrEnd = 0
		p.Fixed = p.Fixed || *timestamp != nil
	}
	ahead := func(path []parser.Node, offset time.Duration) {
		// Offsets of subqueries around add up.
		for _, n := range path {
			if s, ok := n.(*parser.SubqueryExpr); ok {
				offset += min(s.OriginalOffset, 0)
			}
		}
		p.Ahead = max(p.Ahead, -offset)
	}
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			at(&n.Timestamp, &n.StartOrEnd)
			ahead(path, n.OriginalOffset)
			if n.OriginalOffsetExpr != nil || n.Smoothed {
				err = errDynamic // how far ahead it looks isn't known here
			}
		case *parser.SubqueryExpr:
			at(&n.Timestamp, &n.StartOrEnd)
			ahead(path, n.OriginalOffset)
			if n.OriginalOffsetExpr != nil {
				err = errDynamic
			}
		}
		return nil
	})
	return err
}

// errDynamic is New's error for expressions that are better left whole.
var errDynamic = fmt.Errorf("the times that a query reads are not known before it runs")

// Whole reports whether an error of New means that a query is right but can't be taken apart.
func Whole(err error) bool { return err == errDynamic }

// Key is the query without its times; equal keys and times have equal answers.
func (p *Plan) Key() string {
	q := p.Query
	phase := q.Start % q.Step
	q.Start, q.End, q.EnableStats, q.PerStepStats = 0, 0, false, false
	return fmt.Sprintf("%d %#v", phase, q)
}

// Part returns the query of the steps start … end.
func (p *Plan) Part(start, end int64) *metrics.Query {
	q := p.Query
	q.Start, q.End = start, end
	return &q
}

// Interval is a range of steps, both ends inclusive.
type Interval struct{ Start, End int64 }

// Intervals cuts the steps start … end at multiples of every, in milliseconds; 0 doesn't cut.
func (p *Plan) Intervals(start, end int64, every time.Duration) []Interval {
	step, width := p.Query.Step, every.Milliseconds()
	last := start + (end-start)/step*step
	if width <= step {
		return []Interval{{start, last}}
	}
	var out []Interval
	for start <= last {
		border := (floorDiv(start, width) + 1) * width // the first time of the next interval
		to := min(last, start+(border-1-start)/step*step)
		out = append(out, Interval{start, to})
		start = to + step
	}
	return out
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// matrix returns the series of an answer to a range query.
func matrix(r *metrics.Result) (promql.Matrix, error) {
	switch v := r.Value.(type) {
	case promql.Matrix:
		return v, nil
	case nil:
		return nil, nil
	}
	return nil, fault.Errorf(fault.Internal, "the answer to a range query is a %s", r.Value.Type())
}
