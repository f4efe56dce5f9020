package metrics

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/parser/posrange"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/thanos-io/promql-engine/execution"
	"github.com/thanos-io/promql-engine/execution/model"
	"github.com/thanos-io/promql-engine/logicalplan"
	thanosquery "github.com/thanos-io/promql-engine/query"
	promstorage "github.com/thanos-io/promql-engine/storage/prometheus"
	thanoswarnings "github.com/thanos-io/promql-engine/warnings"
)

// fuse replaces, in a plan of Thanos's engine, an aggregation of the rates or the current values of series by one
// operator. Operators hand series on step by step, which costs more than the arithmetic; the fused one decodes each
// series once, computes all of its steps, and adds them to those of its group. What it computes is what
// Prometheus's engine computes, in another order of the series.
type fuse struct {
	run      *querier
	maxCells int
}

// Optimize implements logicalplan.Optimizer.
func (f fuse) Optimize(plan logicalplan.Node, _ *thanosquery.Options) (logicalplan.Node, annotations.Annotations) {
	logicalplan.TraverseBottomUp(nil, &plan, func(_, node *logicalplan.Node) bool {
		if a, ok := (*node).(*logicalplan.Aggregation); ok {
			if fused := f.fused(a); fused != nil {
				*node = fused
			}
		}
		return false
	})
	return plan, nil
}

// fused returns the node for an aggregation, nil where it can't be fused.
func (f fuse) fused(a *logicalplan.Aggregation) *fusedNode {
	switch a.Op {
	case parser.SUM, parser.COUNT, parser.MIN, parser.MAX, parser.AVG, parser.GROUP:
	default:
		return nil
	}
	n := &fusedNode{Aggregation: a, run: f.run, maxCells: f.maxCells, fn: a.Op.String()}
	inner := a.Expr
	for {
		p, ok := inner.(*logicalplan.Parens)
		if !ok {
			break
		}
		inner = p.Expr
	}
	switch e := inner.(type) {
	case *logicalplan.VectorSelector:
		n.selector = e
	case *logicalplan.FunctionCall:
		if e.Func.Name != "rate" && e.Func.Name != "increase" || len(e.Args) != 1 {
			return nil
		}
		m, ok := e.Args[0].(*logicalplan.MatrixSelector)
		if !ok {
			return nil
		}
		n.selector, n.fn, n.width = m.VectorSelector, e.Func.Name, m.Range.Milliseconds()
	}
	if n.selector == nil || n.selector.Timestamp != nil || n.selector.SelectTimestamp || len(n.selector.Filters) > 0 || !named(n.selector.LabelMatchers) {
		return nil
	}
	return n
}

// named reports whether matchers select series of one name. Others could become equal when they lose it, which is
// an error that a fused operator would not notice.
func named(ms []*labels.Matcher) bool {
	return slices.ContainsFunc(ms, func(m *labels.Matcher) bool {
		return m.Name == labels.MetricName && m.Type == labels.MatchEqual && m.Value != ""
	})
}

// fusedNode is the node of a plan that becomes a fused operator.
type fusedNode struct {
	*logicalplan.Aggregation
	run      *querier
	maxCells int
	selector *logicalplan.VectorSelector
	fn       string // rate, increase, or the name of the aggregation
	width    int64  // of the range in milliseconds; 0: the current value
}

// MakeExecutionOperator implements logicalplan.UserDefinedExpr.
func (n *fusedNode) MakeExecutionOperator(_ context.Context, opts *thanosquery.Options, _ storage.SelectHints) (model.VectorOperator, error) {
	o := &fusedOperator{fusedNode: n, opts: opts, start: opts.Start.UnixMilli(), step: max(1, opts.Step.Milliseconds()), steps: opts.TotalSteps(),
		offset: n.selector.Offset.Milliseconds(), lookback: opts.LookbackDelta.Milliseconds()}
	return o, nil
}

// maxCells bounds the values that a fused operator holds at once, of all groups and steps, for each processor:
// 2 M are some 40 MB.
const maxCells = 2 << 20

// fusedOperator computes everything when its series are asked for, and hands out the steps one by one.
type fusedOperator struct {
	*fusedNode
	opts             *thanosquery.Options
	start, step      int64
	steps            int
	offset, lookback int64

	loaded bool
	err    error
	groups []labels.Labels
	cells  *cells
	next   int
	// other does the work where the answer would be too large to hold.
	other model.VectorOperator
}

// Explain implements model.VectorOperator.
func (o *fusedOperator) Explain() []model.VectorOperator { return nil }

func (o *fusedOperator) String() string { return fmt.Sprintf("[fused] %s", o.Aggregation) }

// Series implements model.VectorOperator.
func (o *fusedOperator) Series(ctx context.Context) ([]labels.Labels, error) {
	if !o.loaded {
		o.loaded, o.err = true, o.load(ctx)
	}
	if o.err != nil {
		return nil, o.err
	}
	if o.other != nil {
		return o.other.Series(ctx)
	}
	return o.groups, nil
}

// Next implements model.VectorOperator.
func (o *fusedOperator) Next(ctx context.Context, buf []model.StepVector) (int, error) {
	if _, err := o.Series(ctx); err != nil {
		return 0, err
	}
	if o.other != nil {
		return o.other.Next(ctx, buf)
	}
	n := 0
	for ; n < min(len(buf), o.opts.StepsBatch) && o.next < o.steps; n++ {
		buf[n].Reset(o.start + int64(o.next)*o.step)
		for g := range o.groups {
			if v, ok := o.cells.value(g*o.steps + o.next); ok {
				buf[n].AppendSampleWithSizeHint(uint64(g), v, len(o.groups))
			}
		}
		o.next++
	}
	return n, nil
}

// load selects the series and computes.
func (o *fusedOperator) load(ctx context.Context) error {
	found, err := o.run.fetch(ctx, Select{Matchers: FromMatchers(o.selector.LabelMatchers),
		Start: o.first() + 1, End: o.last()})
	if err != nil {
		return err
	}
	if err := resolveAggregates(found, aggregateOf(o.fn)); err != nil {
		return err
	}
	if holdsHistograms(found) {
		return errNativeHistograms
	}
	groups, ids := o.group(found)
	if len(groups)*o.steps > o.maxCells {
		return o.delegate(ctx, found)
	}
	o.opts.SampleTracker.Add(len(groups) * o.steps)
	if err := o.opts.SampleTracker.CheckLimit(); err != nil {
		return err
	}
	all, err := o.compute(ctx, found, ids, len(groups))
	if err != nil {
		return err
	}
	if all.overflown() {
		return o.delegate(ctx, found)
	}
	o.groups, o.cells = groups, all
	if o.width > 0 && len(found) > 0 && all.any() {
		o.warnOfName(ctx, found[0].Labels.Get(labels.MetricName))
	}
	return nil
}

// first is the time behind which samples count, last that of the last one.
func (o *fusedOperator) first() int64 {
	if o.width > 0 {
		return o.start - o.offset - o.width
	}
	return o.start - o.offset - o.lookback
}

func (o *fusedOperator) last() int64 { return o.start + int64(o.steps-1)*o.step - o.offset }

// warnOfName says what Prometheus says of rates of what doesn't look like a counter.
func (o *fusedOperator) warnOfName(ctx context.Context, name string) {
	for _, suffix := range []string{"_total", "_sum", "_count", "_bucket"} {
		if strings.HasSuffix(name, suffix) {
			return
		}
	}
	thanoswarnings.AddToContext(annotations.NewPossibleNonCounterInfo(name, posrange.PositionRange{}), ctx)
}

// delegate lets the engine's own operators aggregate the series.
func (o *fusedOperator) delegate(ctx context.Context, found []ChunkSeries) error {
	scanners, err := promstorage.NewPrometheusScanners(fetched(found), o.opts, nil)
	if err != nil {
		return err
	}
	o.other, err = execution.New(ctx, o.Aggregation, scanners, o.opts)
	return err
}

// fetched is series as the storage of one selection.
type fetched []ChunkSeries

func (f fetched) Querier(int64, int64) (storage.Querier, error) { return fetchedQuerier{list: f}, nil }

type fetchedQuerier struct {
	storage.LabelQuerier // nil: nobody asks
	list                 []ChunkSeries
}

func (f fetchedQuerier) Select(context.Context, bool, *storage.SelectHints, ...*labels.Matcher) storage.SeriesSet {
	return NewSeriesSet(f.list, nil)
}

func (fetchedQuerier) Close() error { return nil }

// group returns the labels of the groups and the group of each series.
func (o *fusedOperator) group(found []ChunkSeries) (groups []labels.Labels, ids []int32) {
	names := slices.Clone(o.Grouping)
	if o.width > 0 && !o.Without {
		names = slices.DeleteFunc(names, func(n string) bool { return n == labels.MetricName })
	}
	if o.Without {
		names = append(names, labels.MetricName)
	}
	slices.Sort(names)
	known := map[string]int32{}
	ids = make([]int32, len(found))
	var buf []byte
	b := labels.NewBuilder(labels.EmptyLabels())
	for i := range found {
		ls := found[i].Labels
		if o.Without {
			buf = ls.BytesWithoutLabels(buf, names...)
		} else {
			buf = ls.BytesWithLabels(buf, names...)
		}
		id, ok := known[string(buf)]
		if !ok {
			id = int32(len(groups))
			known[string(buf)] = id
			b.Reset(ls)
			if o.Without {
				b.Del(names...)
			} else {
				b.Keep(names...)
			}
			groups = append(groups, b.Labels())
		}
		ids[i] = id
	}
	return groups, ids
}

// cells are the values of groups and steps: cell g*steps+k is step k of group g.
type cells struct {
	op    parser.ItemType
	v     []float64
	c     []float64 // what Kahan's summation carries, of sums
	count []int32   // how many values are in a cell
}

func newCells(op parser.ItemType, n int) *cells {
	s := &cells{op: op, v: make([]float64, n), count: make([]int32, n)}
	if op == parser.SUM || op == parser.AVG {
		s.c = make([]float64, n)
	}
	return s
}

// add adds the value of a series.
func (s *cells) add(i int, v float64) {
	switch s.op {
	case parser.SUM, parser.AVG:
		s.v[i], s.c[i] = kahan(v, s.v[i], s.c[i])
	case parser.MIN:
		if s.count[i] == 0 || v < s.v[i] || math.IsNaN(s.v[i]) {
			s.v[i] = v
		}
	case parser.MAX:
		if s.count[i] == 0 || v > s.v[i] || math.IsNaN(s.v[i]) {
			s.v[i] = v
		}
	}
	s.count[i]++
}

// merge adds the cells of another processor.
func (s *cells) merge(other *cells) {
	for i, n := range other.count {
		if n == 0 {
			continue
		}
		s.add(i, other.v[i])
		if s.c != nil {
			s.c[i] += other.c[i]
		}
		s.count[i] += n - 1
	}
}

// kahan is a step of Kahan's summation as Neumaier improved it, the way Prometheus does it.
func kahan(inc, sum, c float64) (float64, float64) {
	t := sum + inc
	switch {
	case math.IsInf(t, 0):
		c = 0
	case math.Abs(sum) >= math.Abs(inc):
		c += (sum - t) + inc
	default:
		c += (inc - t) + sum
	}
	return t, c
}

// value returns a cell, if it has one.
func (s *cells) value(i int) (float64, bool) {
	n := s.count[i]
	if n == 0 {
		return 0, false
	}
	switch s.op {
	case parser.SUM:
		return s.v[i] + s.c[i], true
	case parser.AVG:
		return s.v[i]/float64(n) + s.c[i]/float64(n), true
	case parser.COUNT:
		return float64(n), true
	case parser.GROUP:
		return 1, true
	}
	return s.v[i], true
}

func (s *cells) any() bool { return slices.ContainsFunc(s.count, func(n int32) bool { return n > 0 }) }

// overflown reports averages whose sum is too large for a float, for which there is another way to compute them.
func (s *cells) overflown() bool {
	return s.op == parser.AVG && slices.ContainsFunc(s.v, func(v float64) bool { return math.IsInf(v, 0) })
}
