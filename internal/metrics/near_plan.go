package metrics

import (
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// nearPlan is an expression that Near can answer.
type nearPlan struct {
	root nearNode
	// oldest and newest are how long before the time of the query the window ends and begins that it reads, in
	// milliseconds; newest is negative if an offset leads to the future.
	oldest, newest int64
}

// nearNode is a part of the expression that is a vector.
type nearNode interface {
	eval(r *nearReader) promql.Vector
	// apart reports whether the series of the vector certainly stay apart when they lose their names.
	apart() bool
}

// nearRange is the longest range of a selector: longer ones read much.
const nearRange = time.Hour

// nearFunctions are the functions that are called as they are, on each series of a range or on a vector. They are
// Prometheus's own. What is not here treats series otherwise, or histograms.
var nearFunctions = map[string]bool{
	"rate": true, "increase": true, "delta": true, "irate": true, "idelta": true, "deriv": true, "predict_linear": true,
	"changes": true, "resets": true, "avg_over_time": true, "min_over_time": true, "max_over_time": true, "sum_over_time": true,
	"count_over_time": true, "last_over_time": true, "present_over_time": true, "quantile_over_time": true, "stddev_over_time": true,
	"stdvar_over_time": true,
	"abs":              true, "ceil": true, "floor": true, "round": true, "clamp": true, "clamp_min": true, "clamp_max": true, "sqrt": true,
	"exp": true, "ln": true, "log2": true, "log10": true, "sgn": true,
}

// nearAggregations are the aggregations of near_eval.go.
var nearAggregations = []parser.ItemType{parser.SUM, parser.AVG, parser.MIN, parser.MAX, parser.COUNT, parser.GROUP}

// planNear makes a plan of an expression, or returns nil.
func (e *Engine) planNear(expr string) *nearPlan {
	parsed, err := parser.ParseExpr(expr)
	if err != nil || e.features.check(parsed) != nil || e.features[featureDelayedNameRemoval] || len(e.cfg.ReplicaLabels) > 0 {
		return nil
	}
	p := &nearPlanner{lookback: time.Duration(e.cfg.LookbackDelta).Milliseconds(), plan: &nearPlan{oldest: minSpan, newest: maxSpan}}
	if p.plan.root = p.vector(parsed); p.plan.root == nil {
		return nil
	}
	return p.plan
}

// Before any selector is seen.
const (
	minSpan = -1 << 62
	maxSpan = 1 << 62
)

type nearPlanner struct {
	lookback int64
	plan     *nearPlan
}

// reads notes that the plan reads from … to, both in milliseconds before the time of the query.
func (p *nearPlanner) reads(from, to int64) {
	p.plan.oldest, p.plan.newest = max(p.plan.oldest, from), min(p.plan.newest, to)
}

// vector plans an expression that is a vector. Nil says that it isn't one, or not one of Near's.
func (p *nearPlanner) vector(expr parser.Expr) nearNode {
	switch e := expr.(type) {
	case *parser.ParenExpr:
		return p.vector(e.Expr)
	case *parser.VectorSelector:
		if !p.plain(e) {
			return nil
		}
		offset := e.Offset.Milliseconds()
		p.reads(offset+p.lookback, offset)
		return &nearSelector{matchers: e.LabelMatchers, offset: offset, lookback: p.lookback}
	case *parser.Call:
		return p.call(e)
	case *parser.AggregateExpr:
		if e.Param != nil || !slices.Contains(nearAggregations, e.Op) {
			return nil
		}
		in := p.vector(e.Expr)
		if in == nil {
			return nil
		}
		names := slices.Sorted(slices.Values(e.Grouping))
		return &nearAggregate{in: in, op: e.Op, names: slices.Compact(names), without: e.Without}
	case *parser.BinaryExpr:
		return p.binary(e)
	}
	return nil
}

// plain reports whether a selector is one without modifiers but a fixed offset, which it makes the selector's own.
func (p *nearPlanner) plain(s *parser.VectorSelector) bool {
	if s.Timestamp != nil || s.StartOrEnd != 0 || s.OriginalOffsetExpr != nil || s.Anchored || s.Smoothed {
		return false
	}
	s.Offset = s.OriginalOffset
	return true
}

func (p *nearPlanner) call(e *parser.Call) nearNode {
	if !nearFunctions[e.Func.Name] {
		return nil
	}
	call := nearCall{name: e.Func.Name, f: promql.FunctionCalls[e.Func.Name], args: e.Args}
	var matrix *parser.MatrixSelector
	for i, arg := range e.Args {
		switch e.Func.ArgTypes[min(i, len(e.Func.ArgTypes)-1)] {
		case parser.ValueTypeMatrix:
			m, ok := arg.(*parser.MatrixSelector)
			if !ok { // a subquery
				return nil
			}
			matrix = m
		case parser.ValueTypeVector:
			if call.in = p.vector(arg); call.in == nil {
				return nil
			}
			call.values = append(call.values, nil) // set by the evaluation: it comes first
		default:
			v, ok := number(arg)
			if !ok {
				return nil
			}
			call.values = append(call.values, promql.Vector{{F: v}})
		}
	}
	if matrix == nil {
		if call.in == nil { // it works on the time, or on numbers
			return nil
		}
		return &nearVectorCall{call}
	}
	s, ok := matrix.VectorSelector.(*parser.VectorSelector)
	if !ok || matrix.RangeExpr != nil || matrix.Range > nearRange || !p.plain(s) {
		return nil
	}
	offset, width := s.Offset.Milliseconds(), matrix.Range.Milliseconds()
	p.reads(offset+width, offset)
	return &nearRangeCall{nearCall: call, matchers: s.LabelMatchers, offset: offset, width: width}
}

// binary plans an operation on a vector and a number.
func (p *nearPlanner) binary(e *parser.BinaryExpr) nearNode {
	b := nearScalarOp{op: e.Op, wantBool: e.ReturnBool}
	side := e.LHS
	v, ok := number(e.RHS)
	if !ok {
		if v, ok = number(e.LHS); !ok {
			return nil
		}
		side, b.swap = e.RHS, true
	}
	b.number = v
	if b.in = p.vector(side); b.in == nil {
		return nil
	}
	return &b
}

// number returns the value of an expression that is a number as it stands.
func number(expr parser.Expr) (float64, bool) {
	switch e := expr.(type) {
	case *parser.NumberLiteral:
		return e.Val, true
	case *parser.ParenExpr:
		return number(e.Expr)
	case *parser.UnaryExpr:
		v, ok := number(e.Expr)
		if e.Op == parser.SUB {
			v = -v
		}
		return v, ok
	}
	return 0, false
}

// oneName reports whether all series that matchers select have one name, so that they differ in their other labels.
func oneName(matchers []*labels.Matcher) bool {
	return slices.ContainsFunc(matchers, func(m *labels.Matcher) bool {
		return m.Name == labels.MetricName && m.Type == labels.MatchEqual
	})
}
