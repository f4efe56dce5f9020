package split

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/hune-io/hune/internal/metrics"
)

// shardable returns the aggregation that an expression is, if what it aggregates is computed series by series.
func shardable(expr parser.Expr) (root *parser.AggregateExpr, k int, ok bool) {
	for {
		p, paren := expr.(*parser.ParenExpr)
		if !paren {
			break
		}
		expr = p.Expr
	}
	root, ok = expr.(*parser.AggregateExpr)
	if !ok || !bySeries(root.Expr) {
		return nil, 0, false
	}
	switch root.Op {
	case parser.SUM, parser.COUNT, parser.MIN, parser.MAX, parser.GROUP:
		return root, 0, true
	case parser.TOPK, parser.BOTTOMK:
		n, number := root.Param.(*parser.NumberLiteral)
		if !number || n.Val < 1 || n.Val > math.MaxInt32 {
			return nil, 0, false
		}
		return root, int(n.Val), true
	}
	return nil, 0, false
}

// functions that look at one series at a time and keep its labels, but for the name.
var functions = map[string]bool{
	"abs": true, "avg_over_time": true, "ceil": true, "changes": true, "clamp": true, "clamp_max": true, "clamp_min": true,
	"count_over_time": true, "delta": true, "deriv": true, "exp": true, "floor": true, "idelta": true, "increase": true, "irate": true,
	"last_over_time": true, "ln": true, "log10": true, "log2": true, "max_over_time": true, "min_over_time": true, "present_over_time": true,
	"predict_linear": true, "quantile_over_time": true, "rate": true, "resets": true, "round": true, "sgn": true, "sqrt": true,
	"stddev_over_time": true, "stdvar_over_time": true, "sum_over_time": true, "timestamp": true,
}

// bySeries reports whether each series of the answer of an expression follows from one stored series. Series that
// lose their name may become equal, which is an error that shares could hide: the name must be given.
func bySeries(expr parser.Expr) bool {
	switch e := expr.(type) {
	case *parser.ParenExpr:
		return bySeries(e.Expr)
	case *parser.VectorSelector:
		return slices.ContainsFunc(e.LabelMatchers, func(m *labels.Matcher) bool {
			return m.Name == labels.MetricName && m.Type == labels.MatchEqual && m.Value != ""
		})
	case *parser.MatrixSelector:
		return bySeries(e.VectorSelector)
	case *parser.Call:
		return functions[e.Func.Name] && oneOperand(e.Args)
	case *parser.UnaryExpr:
		return bySeries(e.Expr)
	case *parser.BinaryExpr:
		return number(e.LHS) && bySeries(e.RHS) || bySeries(e.LHS) && number(e.RHS)
	}
	return false
}

// oneOperand reports whether of the arguments one is computed by series and the others are numbers.
func oneOperand(args parser.Expressions) bool {
	n := 0
	for _, a := range args {
		switch {
		case number(a):
		case bySeries(a):
			n++
		default:
			return false
		}
	}
	return n == 1
}

func number(e parser.Expr) bool {
	switch e := e.(type) {
	case *parser.NumberLiteral:
		return true
	case *parser.ParenExpr:
		return number(e.Expr)
	case *parser.UnaryExpr:
		return number(e.Expr)
	}
	return false
}

// Shard returns the query of share index of count of the series.
func (p *Plan) Shard(q *metrics.Query, index, count int) *metrics.Query {
	share := *q
	share.Shard = metrics.Shard{Index: index, Count: count}
	return &share
}

// Merge aggregates the answers of all shares of a query. It reports false where they hold native histograms, which
// are not added up here.
func (p *Plan) Merge(shares []*metrics.Result) (*metrics.Result, bool, error) {
	out := &metrics.Result{}
	m := merger{plan: p, index: map[uint64][]int{}}
	for _, share := range shares {
		series, err := matrix(share)
		if err != nil {
			return nil, false, err
		}
		for _, s := range series {
			if len(s.Histograms) > 0 {
				return nil, false, nil
			}
			m.take(s)
		}
		perStep := out.Stats.PerStep
		add(out, share)
		out.Stats.PerStep = sumSteps(perStep, share.Stats.PerStep)
	}
	out.Value = m.finish()
	return out, true, nil
}

func sumSteps(a, b []int64) []int64 {
	if len(a) != len(b) {
		return append(a, b...)
	}
	for i := range a {
		a[i] += b[i]
	}
	return a
}

// merger puts series of several shares together.
type merger struct {
	plan  *Plan
	all   promql.Matrix
	index map[uint64][]int // by hash of the labels
}

func (m *merger) take(s promql.Series) {
	i := place(&m.all, m.index, s.Metric)
	if m.plan.k > 0 || len(m.all[i].Floats) == 0 {
		m.all[i].Floats = append(m.all[i].Floats, s.Floats...)
		return
	}
	m.all[i].Floats = combine(m.all[i].Floats, s.Floats, m.plan.root.Op)
}

// place returns where in all a series is; a new one is appended.
func place(all *promql.Matrix, index map[uint64][]int, ls labels.Labels) int {
	h := ls.Hash()
	for _, i := range index[h] {
		if labels.Equal((*all)[i].Metric, ls) {
			return i
		}
	}
	*all = append(*all, promql.Series{Metric: ls})
	i := len(*all) - 1
	index[h] = append(index[h], i)
	return i
}

// combine merges two lists of points, in order of time, by the aggregation.
func combine(a, b []promql.FPoint, op parser.ItemType) []promql.FPoint {
	out := make([]promql.FPoint, 0, max(len(a), len(b)))
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].T < b[0].T:
			out, a = append(out, a[0]), a[1:]
		case a[0].T > b[0].T:
			out, b = append(out, b[0]), b[1:]
		default:
			out = append(out, promql.FPoint{T: a[0].T, F: aggregate(a[0].F, b[0].F, op)})
			a, b = a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

func aggregate(a, b float64, op parser.ItemType) float64 {
	switch op {
	case parser.SUM, parser.COUNT:
		return a + b
	case parser.MIN: // NaN gives way to every number
		if b < a || math.IsNaN(a) {
			return b
		}
	case parser.MAX:
		if b > a || math.IsNaN(a) {
			return b
		}
	}
	return a
}

func (m *merger) finish() promql.Matrix {
	all := m.all
	if m.plan.k > 0 {
		all = m.best()
	}
	if all == nil {
		all = promql.Matrix{}
	}
	sort.Sort(all)
	return all
}

// candidate is a point of series i that topk may keep.
type candidate struct {
	series int
	v      float64
}

// best keeps of each group and step what topk or bottomk wants.
func (m *merger) best() promql.Matrix {
	type cell struct {
		group uint64
		t     int64
	}
	cells := map[cell][]candidate{}
	grouping := slices.Clone(m.plan.root.Grouping)
	slices.Sort(grouping)
	for i, s := range m.all {
		g := groupOf(s.Metric, grouping, m.plan.root.Without)
		for _, p := range s.Floats {
			c := cell{g, p.T}
			cells[c] = append(cells[c], candidate{i, p.F})
		}
	}
	kept := make([]map[int64]bool, len(m.all))
	for c, list := range cells {
		slices.SortStableFunc(list, m.better)
		for _, x := range list[:min(len(list), m.plan.k)] {
			if kept[x.series] == nil {
				kept[x.series] = map[int64]bool{}
			}
			kept[x.series][c.t] = true
		}
	}
	out := promql.Matrix{}
	for i, s := range m.all {
		s.Floats = slices.DeleteFunc(s.Floats, func(p promql.FPoint) bool { return !kept[i][p.T] })
		if len(s.Floats) > 0 {
			out = append(out, s)
		}
	}
	return out
}

// better orders candidates; NaN comes last.
func (m *merger) better(a, b candidate) int {
	switch an, bn := math.IsNaN(a.v), math.IsNaN(b.v); {
	case an || bn:
		return cmp.Compare(boolInt(an), boolInt(bn))
	case m.plan.root.Op == parser.TOPK:
		return cmp.Compare(b.v, a.v)
	}
	return cmp.Compare(a.v, b.v)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func groupOf(ls labels.Labels, grouping []string, without bool) uint64 {
	var h uint64
	var buf []byte
	if without {
		h, _ = ls.HashWithoutLabels(buf, grouping...)
	} else {
		h, _ = ls.HashForLabels(buf, grouping...)
	}
	return h
}
