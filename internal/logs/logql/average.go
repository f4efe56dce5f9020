package logql

import "slices"

// dividedAverages rewrites avg_over_time as Loki 3.7 does before it hands a query to its queriers: where the
// averages of several shards have to be put together, avg_over_time(q | unwrap x [r]) by (l) is
//
//	sum by (l) (sum_over_time(q | unwrap x [r])) / sum by (l) (count_over_time(q [r]))
//
// which divides by all lines, also by those without a value and those that a filter behind the unwrap refuses.
// Dashboards and alerts made for Loki show these numbers, so they are answered here, too.
//
// It concerns averages that are grouped, or whose query drops, keeps or renames labels, unless they stand inside
// an aggregation that Loki computes on each shard.
func dividedAverages(e Expr) Expr {
	switch e := e.(type) {
	case *RangeAgg:
		if e.Op == OpAvg && (e.Grouping != nil && !keepsLabels(e.Grouping) || reducesLabels(e)) {
			return dividedAverage(e)
		}
	case *VectorAgg:
		if !onShards(e) || (e.Op == AggMin || e.Op == AggMax) && reducesLabels(e.Expr) {
			c := *e
			c.Expr = dividedAverages(e.Expr)
			return &c
		}
	case *BinOp:
		c := *e
		c.Left, c.Right = dividedAverages(e.Left), dividedAverages(e.Right)
		return &c
	case *LabelReplace:
		c := *e
		c.Expr = dividedAverages(e.Expr)
		return &c
	}
	return e
}

func dividedAverage(e *RangeAgg) Expr {
	by := e.Grouping
	if by == nil {
		by = &Grouping{Without: true}
	}
	lines := e.Range
	lines.Unwrap = nil
	linesBy := by
	if by.Without {
		linesBy = &Grouping{Without: true, Labels: append(slices.Clip(by.Labels), e.Range.Unwrap.Label)}
	}
	return &BinOp{
		Op:    "/",
		Left:  &VectorAgg{Op: AggSum, Grouping: by, Expr: &RangeAgg{Op: OpSum, Range: e.Range}},
		Right: &VectorAgg{Op: AggSum, Grouping: linesBy, Expr: &RangeAgg{Op: OpCount, Range: lines}},
	}
}

func keepsLabels(g *Grouping) bool { return g.Without && len(g.Labels) == 0 }

// reducesLabels reports whether series of several streams may have the same labels in e.
func reducesLabels(e Expr) bool {
	return contains(e, func(e Expr) bool {
		switch e := e.(type) {
		case *RangeAgg:
			return e.Grouping != nil && len(e.Grouping.Labels) > 0 || slices.ContainsFunc(e.Range.Query.Stages, mergesStreams)
		case *VectorAgg:
			return e.Grouping != nil && len(e.Grouping.Labels) > 0
		}
		return false
	})
}

func mergesStreams(s Stage) bool {
	switch s := s.(type) {
	case *DropKeep:
		return true
	case *LabelFormat:
		return slices.ContainsFunc(s.Formats, func(f Format) bool { return f.Rename })
	}
	return false
}

// onShards reports whether Loki computes e on each shard.
func onShards(e Expr) bool {
	switch e := e.(type) {
	case *Literal, *Vector:
		return true
	case *RangeAgg:
		switch e.Op {
		case OpAvg, OpCount, OpFirst, OpLast, OpRate, OpBytes, OpBytesRate, OpSum, OpMax, OpMin:
			return true
		}
	case *VectorAgg:
		return aggregatesOnShards(e)
	case *BinOp:
		m := e.Matching
		return (e.Op == "+" || e.Op == "*") && (m == nil || !m.On && len(m.Labels) == 0) && onShards(e.Left) && onShards(e.Right)
	}
	return false
}

func aggregatesOnShards(e *VectorAgg) bool {
	if !onShards(e.Expr) {
		return false
	}
	switch e.Op {
	case AggSum:
		inner, ok := e.Expr.(*VectorAgg)
		return !ok || inner.Op != AggMin && inner.Op != AggMax
	case AggCount, AggAvg:
		return !reducesLabels(e.Expr)
	case AggMin, AggMax:
		_, ok := e.Expr.(*RangeAgg)
		return ok
	}
	return false
}
