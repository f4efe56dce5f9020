package logql

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/grafana/regexp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
)

// value is what an expression yields: a number, or series.
type value struct {
	scalar bool
	number float64
	series []*series
}

// evaluator computes sample expressions over a grid, a whole series at a time.
type evaluator struct {
	r    *run
	grid grid
}

// sampleQuery answers with samples.
func (r *run) sampleQuery(expr Expr, p planNode) error {
	g, err := r.gridOf()
	if err != nil {
		return err
	}
	if r.q.Kind == logs.Range && contains(expr, func(e Expr) bool { v, ok := e.(*VectorAgg); return ok && v.Op == AggApproxTopK }) {
		return fault.New(fault.Internal, errors.New("count min sketches are only supported on instant queries"))
	}
	ev := &evaluator{r: r, grid: g}
	if r.q.Partial {
		return ev.partial(p)
	}
	v, err := ev.eval(p)
	if err != nil {
		return err
	}
	if r.q.Kind == logs.Instant {
		return r.instantResult(expr, v)
	}
	if v.scalar {
		s, err := r.newSeries(labels.EmptyLabels(), g.n)
		if err != nil {
			return err
		}
		for i := range s.values {
			s.values[i] = v.number
		}
		v.series = []*series{s}
	}
	return r.matrixResult(g, v.series)
}

// gridOf returns the evaluation times: the ends of a range are moved to multiples of the step.
func (r *run) gridOf() (grid, error) {
	if r.q.Kind == logs.Instant {
		return grid{start: r.q.End, step: 1, n: 1}, nil
	}
	step := r.q.Step
	if step <= 0 {
		step = DefaultStep(r.q.Start, r.q.End)
	}
	start := floorTo(r.q.Start, step)
	end := -floorTo(-r.q.End, step)
	n := (end-start)/step + 1
	if n > int64(r.limits.MaxPoints)+2 {
		return grid{}, errorString("exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter")
	}
	return grid{start: start, step: step, n: int(n)}, nil
}

// DefaultStep is the step of a query that names none, all in nanoseconds: about 250 points, whole
// seconds, at least one.
func DefaultStep(start, end int64) int64 {
	const second = 1_000_000_000
	return max((end-start)/second/250, 1) * second
}

func floorTo(t, step int64) int64 {
	m := t % step
	if m < 0 {
		m += step
	}
	return t - m
}

func (r *run) tooManySeries(n int) error {
	if n <= r.limits.MaxSeries {
		return nil
	}
	return fmt.Errorf("maximum number of series (%d) reached for a single query; consider reducing query cardinality by adding more specific "+
		"stream selectors, reducing the time range, or aggregating results with functions like sum(), count() or topk()", r.limits.MaxSeries)
}

func (r *run) matrixResult(g grid, all []*series) error {
	for _, s := range all {
		var points []logs.Point
		for k, v := range s.values {
			if !isAbsent(v) {
				points = append(points, logs.Point{T: (g.start + int64(k)*g.step) / 1e6, V: v})
			}
		}
		if len(points) > 0 {
			r.res.Matrix = append(r.res.Matrix, logs.SampleSeries{Labels: s.labels, Points: points})
		}
	}
	slices.SortStableFunc(r.res.Matrix, func(a, b logs.SampleSeries) int { return labels.Compare(a.Labels, b.Labels) })
	r.res.Matrix = joinEqual(r.res.Matrix)
	return r.tooManySeries(len(r.res.Matrix))
}

// joinEqual makes one of series with equal labels, which label_replace can leave: it then has several
// points at one time, as with Loki.
func joinEqual(all []logs.SampleSeries) []logs.SampleSeries {
	out := all[:0]
	for _, s := range all {
		if n := len(out); n > 0 && labels.Equal(out[n-1].Labels, s.Labels) {
			out[n-1].Points = append(out[n-1].Points, s.Points...)
			slices.SortStableFunc(out[n-1].Points, func(a, b logs.Point) int { return cmp.Compare(a.T, b.T) })
			continue
		}
		out = append(out, s)
	}
	return out
}

func (r *run) instantResult(expr Expr, v value) error {
	t := r.q.End / 1e6
	if v.scalar {
		r.res.Scalar = &logs.Point{T: t, V: v.number}
		return nil
	}
	for _, s := range v.series {
		if !isAbsent(s.values[0]) {
			r.res.Vector = append(r.res.Vector, logs.VectorSample{Labels: s.labels, Point: logs.Point{T: t, V: s.values[0]}})
		}
	}
	descending, ordered := resultOrder(expr)
	r.res.Ordered = ordered
	slices.SortFunc(r.res.Vector, func(a, b logs.VectorSample) int { return labels.Compare(a.Labels, b.Labels) })
	if ordered {
		sort.SliceStable(r.res.Vector, func(i, j int) bool {
			a, b := r.res.Vector[i].V, r.res.Vector[j].V
			if descending {
				return a > b
			}
			return a < b
		})
	}
	return r.tooManySeries(len(r.res.Vector))
}

func resultOrder(e Expr) (descending, ordered bool) {
	if v, ok := e.(*VectorAgg); ok {
		switch v.Op {
		case AggSortDesc, AggApproxTopK:
			return true, true
		case AggSort:
			return false, true
		}
	}
	return false, false
}

// contains reports whether e or something inside it is what is looked for.
func contains(e Expr, is func(Expr) bool) bool {
	if is(e) {
		return true
	}
	switch e := e.(type) {
	case *VectorAgg:
		return contains(e.Expr, is)
	case *BinOp:
		return contains(e.Left, is) || contains(e.Right, is)
	case *LabelReplace:
		return contains(e.Expr, is)
	case *Variants:
		return slices.ContainsFunc(e.Variants, func(v Expr) bool { return contains(v, is) })
	}
	return false
}

// eval computes a node.
func (ev *evaluator) eval(n planNode) (value, error) {
	switch n := n.(type) {
	case *numberNode:
		return value{scalar: true, number: n.value}, nil
	case *constantNode:
		s, err := ev.r.newSeries(labels.EmptyLabels(), ev.grid.n)
		if err != nil {
			return value{}, err
		}
		for i := range s.values {
			s.values[i] = n.value
		}
		return value{series: []*series{s}}, nil
	case *rangeNode:
		s, err := ev.rangeAgg(n)
		return value{series: s}, err
	case *vectorNode:
		return ev.vectorAgg(n)
	case *binaryNode:
		return ev.binOp(n)
	case *replaceNode:
		return ev.labelReplace(n)
	case *variantsNode:
		return ev.variants(n)
	}
	return value{}, fault.Errorf(fault.NotYet, "%T is not supported yet", n)
}

func (ev *evaluator) vectorAgg(n *vectorNode) (value, error) {
	e, grouping := n.agg, groupingOf(n.agg)
	in, err := ev.eval(n.in)
	if err != nil {
		return value{}, err
	}
	if in.scalar {
		return value{}, fmt.Errorf("%s of a number: it takes series", e.Op)
	}
	switch e.Op {
	case AggSort, AggSortDesc:
		return in, nil
	case AggTopK, AggBottomK, AggApproxTopK:
		ev.selectK(e, grouping, in.series)
		return in, nil
	}
	out, err := ev.aggregate(e.Op, grouping, in.series)
	return value{series: out}, err
}

// group puts series into groups. It returns the group of each and the groups' labels.
func group(g *Grouping, in []*series) ([]int, []labels.Labels) {
	groupOf := make([]int, len(in))
	var all []labels.Labels
	index := map[string]int{}
	b := labels.NewBuilder(labels.EmptyLabels())
	var key []byte
	for i, s := range in {
		b.Reset(s.labels)
		if g.Without {
			b.Del(g.Labels...)
		} else {
			b.Keep(g.Labels...)
		}
		ls := b.Labels().WithoutEmpty()
		key = ls.Bytes(key[:0])
		n, ok := index[string(key)]
		if !ok {
			n = len(all)
			index[string(key)] = n
			all = append(all, ls)
		}
		groupOf[i] = n
	}
	return groupOf, all
}

func (ev *evaluator) aggregate(op string, g *Grouping, in []*series) ([]*series, error) {
	groupOf, groups := group(g, in)
	out := make([]*series, len(groups))
	for i, ls := range groups {
		var err error
		if out[i], err = ev.r.newSeries(ls, ev.grid.n); err != nil {
			return nil, err
		}
	}
	accs := make([]acc, len(groups))
	f := vectorFold(op)
	for k := 0; k < ev.grid.n; k++ {
		clear(accs)
		for i, s := range in {
			if v := s.values[k]; !isAbsent(v) {
				f.add(&accs[groupOf[i]], v)
			}
		}
		for i := range accs {
			if accs[i].n > 0 {
				out[i].values[k] = f.finish(&accs[i])
			}
		}
	}
	return out, nil
}

func vectorFold(op string) fold {
	switch op {
	case AggSum:
		return sums(func(a *acc) float64 { return a.sum })
	case AggAvg:
		return sums(func(a *acc) float64 { return a.sum / a.n })
	case AggCount:
		return sums(func(a *acc) float64 { return a.n })
	case AggMin:
		return extreme(func(a, b float64) bool { return a < b })
	case AggMax:
		return extreme(func(a, b float64) bool { return a > b })
	case AggStdvar:
		return deviation(func(a *acc) float64 { return a.extra / a.n })
	default:
		return deviation(func(a *acc) float64 { return math.Sqrt(a.extra / a.n) })
	}
}

// selectK leaves of each group the k largest or smallest of each instant.
func (ev *evaluator) selectK(e *VectorAgg, g *Grouping, in []*series) {
	groupOf, groups := group(g, in)
	members := make([][]int, len(groups))
	for i, n := range groupOf {
		members[n] = append(members[n], i)
	}
	if ev.r.q.Kind == logs.Range {
		// Of equal values the first labels win, so that the answer for an evaluation time depends on nothing but that
		// time. An instant query takes the series whose first row is oldest, as Loki does.
		for _, m := range members {
			slices.SortStableFunc(m, func(a, b int) int { return labels.Compare(in[a].labels, in[b].labels) })
		}
	}
	var present []int
	for k := 0; k < ev.grid.n; k++ {
		for _, m := range members {
			present = present[:0]
			for _, i := range m {
				if !isAbsent(in[i].values[k]) {
					present = append(present, i)
				}
			}
			if len(present) <= e.Param {
				continue
			}
			slices.SortStableFunc(present, func(a, b int) int {
				return compareK(in[a].values[k], in[b].values[k], e.Op == AggBottomK)
			})
			for _, i := range present[e.Param:] {
				in[i].values[k] = absentValue()
			}
		}
	}
}

// compareK sorts the wanted values first and NaN last.
func compareK(a, b float64, smallest bool) int {
	switch {
	case math.IsNaN(a) && math.IsNaN(b) || a == b:
		return 0
	case math.IsNaN(a):
		return 1
	case math.IsNaN(b):
		return -1
	case (a < b) == smallest:
		return -1
	}
	return 1
}

func (ev *evaluator) labelReplace(n *replaceNode) (value, error) {
	e := n.replace
	in, err := ev.eval(n.in)
	if err != nil || in.scalar {
		return in, err
	}
	re, err := regexp.Compile(replaceRegexp(e.Regex))
	if err != nil {
		return value{}, invalidf("invalid regex in label_replace: %s", err)
	}
	b := labels.NewBuilder(labels.EmptyLabels())
	for _, s := range in.series {
		src := s.labels.Get(e.Src)
		at := re.FindStringSubmatchIndex(src)
		if at == nil {
			continue
		}
		b.Reset(s.labels)
		b.Set(e.Dst, string(re.ExpandString(nil, e.Replacement, src, at)))
		s.labels = b.Labels()
	}
	return in, nil
}

// variants evaluates each variant over the common range and tells its series apart by a label.
func (ev *evaluator) variants(n *variantsNode) (value, error) {
	var out value
	b := labels.NewBuilder(labels.EmptyLabels())
	for i, v := range n.variants {
		got, err := ev.eval(v)
		if err != nil {
			return value{}, err
		}
		for _, s := range got.series {
			b.Reset(s.labels)
			b.Set(variantLabel, fmt.Sprint(i))
			s.labels = b.Labels()
		}
		out.series = append(out.series, got.series...)
	}
	return out, nil
}

// withRange is e with the stages of the common range before its own and the common window.
func withRange(e Expr, of LogRange) Expr {
	switch e := e.(type) {
	case *RangeAgg:
		c := *e
		c.Range.Query = &LogQuery{Matchers: of.Query.Matchers, Stages: slices.Concat(of.Query.Stages, e.Range.Query.Stages)}
		c.Range.Interval, c.Range.Offset = of.Interval, of.Offset
		return &c
	case *VectorAgg:
		c := *e
		c.Expr = withRange(e.Expr, of)
		return &c
	case *BinOp:
		c := *e
		c.Left, c.Right = withRange(e.Left, of), withRange(e.Right, of)
		return &c
	case *LabelReplace:
		c := *e
		c.Expr = withRange(e.Expr, of)
		return &c
	}
	return e
}
