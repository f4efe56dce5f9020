package metrics

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/schema"
)

// The nodes of plans. Each computes what Prometheus's engine does, in the same order of operations; the functions
// themselves are Prometheus's. Series lose their names where they do in the engine.

// nearSelector is the newest sample of each series.
type nearSelector struct {
	matchers         []*labels.Matcher
	offset, lookback int64
}

func (n *nearSelector) apart() bool { return oneName(n.matchers) }

func (n *nearSelector) eval(r *nearReader) (out promql.Vector) {
	at := r.at - n.offset
	r.each(n.matchers, func(ls labels.Labels) bool {
		if v, ok := r.newest(at-n.lookback, at); ok {
			out = append(out, promql.Sample{Metric: ls, F: v})
		}
		return !r.unknown
	})
	return out
}

// nearCall is what calls of functions have in common.
type nearCall struct {
	name   string
	f      promql.FunctionCall
	args   parser.Expressions
	in     nearNode        // the argument that is a vector
	values []promql.Vector // the arguments but the range
}

// nearRangeCall is a function of the samples of each series in a range.
type nearRangeCall struct {
	nearCall
	matchers      []*labels.Matcher
	offset, width int64
}

func (n *nearRangeCall) apart() bool { return n.name != keepsName || oneName(n.matchers) }

// keepsName is the function of a range whose series keep their names: it is an offset that depends on the series.
const keepsName = "last_over_time"

func (n *nearRangeCall) eval(r *nearReader) (out promql.Vector) {
	to := r.at - n.offset
	in := make(promql.Matrix, 1)
	helper := &promql.EvalNodeHelper{Ts: r.at, Out: make(promql.Vector, 0, 1)}
	r.each(n.matchers, func(ls labels.Labels) bool {
		samples := r.window(to-n.width, to)
		if r.unknown || len(samples) == 0 {
			return !r.unknown
		}
		in[0] = promql.Series{Metric: ls, Floats: samples}
		got, _ := n.f(n.values, in, n.args, helper)
		helper.Out = got[:0]
		if len(got) == 0 {
			return true
		}
		if n.name != keepsName {
			ls = ls.DropReserved(schema.IsMetadataLabel)
		}
		out = append(out, promql.Sample{Metric: ls, F: got[0].F})
		return true
	})
	if n.name != keepsName && !oneName(n.matchers) {
		r.distinct(out)
	}
	return out
}

// distinct gives the query up if two series have come to have the same labels.
func (r *nearReader) distinct(v promql.Vector) {
	if v.ContainsSameLabelset() {
		r.unknown = true
	}
}

// nearVectorCall is a function of each sample of a vector.
type nearVectorCall struct{ nearCall }

func (n *nearVectorCall) apart() bool { return true }

func (n *nearVectorCall) eval(r *nearReader) promql.Vector {
	in := n.in.eval(r)
	if r.unknown || len(in) == 0 {
		return nil
	}
	values := append([]promql.Vector(nil), n.values...)
	values[0] = in
	out, _ := n.f(values, nil, n.args, &promql.EvalNodeHelper{Ts: r.at, Out: make(promql.Vector, 0, len(in))})
	if !n.in.apart() {
		r.distinct(out)
	}
	return out
}

// nearScalarOp is an operation on each sample of a vector and a number.
type nearScalarOp struct {
	in       nearNode
	op       parser.ItemType
	number   float64
	swap     bool // the number is on the left
	wantBool bool
}

// filters reports whether the operation is a comparison that keeps samples as they are, or doesn't.
func (n *nearScalarOp) filters() bool { return n.op.IsComparisonOperator() && !n.wantBool }

func (n *nearScalarOp) apart() bool { return !n.filters() || n.in.apart() }

func (n *nearScalarOp) eval(r *nearReader) promql.Vector {
	in := n.in.eval(r)
	out := in[:0]
	for _, s := range in {
		lhs, rhs := s.F, n.number
		if n.swap {
			lhs, rhs = rhs, lhs
		}
		v := operate(n.op, lhs, rhs)
		if n.filters() {
			if v == 1 {
				out = append(out, s)
			}
			continue
		}
		s.F, s.Metric = v, s.Metric.DropReserved(schema.IsMetadataLabel)
		out = append(out, s)
	}
	if !n.filters() && !n.in.apart() {
		r.distinct(out)
	}
	return out
}

// operate computes an operation on two numbers; that of a comparison is 1 or 0.
func operate(op parser.ItemType, lhs, rhs float64) float64 {
	holds := false
	switch op {
	case parser.ADD:
		return lhs + rhs
	case parser.SUB:
		return lhs - rhs
	case parser.MUL:
		return lhs * rhs
	case parser.DIV:
		return lhs / rhs
	case parser.POW:
		return math.Pow(lhs, rhs)
	case parser.MOD:
		return math.Mod(lhs, rhs)
	case parser.ATAN2:
		return math.Atan2(lhs, rhs)
	case parser.EQLC:
		holds = lhs == rhs
	case parser.NEQ:
		holds = lhs != rhs
	case parser.GTR:
		holds = lhs > rhs
	case parser.LSS:
		holds = lhs < rhs
	case parser.GTE:
		holds = lhs >= rhs
	case parser.LTE:
		holds = lhs <= rhs
	}
	if holds {
		return 1
	}
	return 0
}

// nearAggregate aggregates a vector.
type nearAggregate struct {
	in      nearNode
	op      parser.ItemType
	names   []string // sorted
	without bool
}

// nearGroup is a group of an aggregation under way. c is what rounding has lost of v.
type nearGroup struct {
	labels      labels.Labels
	v, c, count float64
}

func (n *nearAggregate) apart() bool {
	return n.without || !slices.Contains(n.names, labels.MetricName)
}

func (n *nearAggregate) eval(r *nearReader) promql.Vector {
	in := n.in.eval(r)
	if r.unknown || len(in) == 0 {
		return nil
	}
	var groups []nearGroup
	places := map[uint64]int{}
	var buf []byte
	lb := labels.NewBuilder(labels.EmptyLabels())
	for _, s := range in {
		var key uint64
		switch {
		case n.without:
			key, buf = s.Metric.HashWithoutLabels(buf, n.names...)
		case len(n.names) > 0:
			key, buf = s.Metric.HashForLabels(buf, n.names...)
		}
		i, ok := places[key]
		if !ok {
			places[key] = len(groups)
			groups = append(groups, nearGroup{labels: n.labels(lb, s.Metric), v: s.F, count: 1})
			continue
		}
		n.add(r, &groups[i], s.F)
	}
	out := make(promql.Vector, len(groups))
	for i, g := range groups {
		out[i] = promql.Sample{Metric: g.labels, F: n.result(g)}
	}
	return out
}

func (n *nearAggregate) labels(lb *labels.Builder, ls labels.Labels) labels.Labels {
	switch {
	case n.without:
		lb.Reset(ls)
		return lb.Del(n.names...).Del(labels.MetricName).Labels()
	case len(n.names) > 0:
		lb.Reset(ls)
		return lb.Keep(n.names...).Labels()
	}
	return labels.EmptyLabels()
}

// add adds a value to a group that has one.
func (n *nearAggregate) add(r *nearReader, g *nearGroup, v float64) {
	g.count++
	switch n.op {
	case parser.SUM, parser.AVG:
		g.v, g.c = kahan(v, g.v, g.c)
		if n.op == parser.AVG && math.IsInf(g.v, 0) {
			r.unknown = true // the engine takes the mean in another way then
		}
	case parser.MIN:
		if g.v > v || math.IsNaN(g.v) {
			g.v = v
		}
	case parser.MAX:
		if g.v < v || math.IsNaN(g.v) {
			g.v = v
		}
	}
}

func (n *nearAggregate) result(g nearGroup) float64 {
	switch n.op {
	case parser.SUM:
		return g.v + g.c
	case parser.AVG:
		return g.v/g.count + g.c/g.count
	case parser.COUNT:
		return g.count
	case parser.GROUP:
		return 1
	}
	return g.v
}
