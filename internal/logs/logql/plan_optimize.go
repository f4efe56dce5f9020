package logql

import (
	"slices"
)

// optimizers are applied to every plan, in this order. What is particular to them is said at each.
var optimizers = []func(planNode) planNode{groupEarly, filterEarly, nameColumns}

func optimized(n planNode) planNode {
	for _, o := range optimizers {
		n = rewrite(n, o)
	}
	return n
}

// sumsAway are the range operations whose series a sum may group already while rows are read.
var sumsAway = []string{OpBytes, OpBytesRate, OpSum, OpRate, OpCount}

// groupEarly has a range aggregation group by the labels of the sum around it. It then asks parsers for these
// labels only. That changes answers, see hints, and is what Loki does.
func groupEarly(n planNode) planNode {
	v, ok := n.(*vectorNode)
	if !ok || v.agg.Op != AggSum {
		return n
	}
	r, ok := v.in.(*rangeNode)
	if !ok || !slices.Contains(sumsAway, r.agg.Op) {
		return n
	}
	c := *r
	c.around = groupingOf(v.agg)
	return v.over([]planNode{&c})
}

// groupingOf is the grouping of an aggregation, of which none is one by no label.
func groupingOf(e *VectorAgg) *Grouping {
	if e.Grouping == nil {
		return &Grouping{}
	}
	return e.Grouping
}

// filterEarly tells the source of the line filters that come before anything that changes lines, and of a
// limit where nothing else drops rows.
func filterEarly(n planNode) planNode {
	switch n := n.(type) {
	case *stagesNode:
		scan, ok := n.in.(*scanNode)
		if !ok {
			return n
		}
		c := *scan
		c.filters = pushdown(n.stages)
		return n.over([]planNode{&c})
	case *limitNode:
		if n.interval == 0 && keepsAll(stagesOf(n.in)) {
			return n.over([]planNode{rewrite(n.in, func(n planNode) planNode {
				if s, ok := n.(*scanNode); ok {
					c := *s
					c.limited = true
					return &c
				}
				return n
			})})
		}
	}
	return n
}

// allColumns stands for every label and every field.
const allColumns = "*"

// nameColumns notes what of a row a range aggregation looks at: labels, fields and the line.
func nameColumns(n planNode) planNode {
	var columns []string
	switch n := n.(type) {
	case *limitNode:
		columns = []string{allColumns}
	case *rangeNode:
		columns = n.columns()
	}
	if columns == nil {
		return n
	}
	return n.over([]planNode{rewrite(n.inputs()[0], func(n planNode) planNode {
		if s, ok := n.(*scanNode); ok {
			c := *s
			c.columns = columns
			return &c
		}
		return n
	})})
}

// columns returns nil where stages don't compile.
func (n *rangeNode) columns() []string {
	x, err := newExtractor(nil, n)
	if err != nil {
		return nil
	}
	h := x.set.hints
	var out []string
	switch {
	case n.doubled || !h.none && h.required == nil:
		out = append(out, allColumns)
	default:
		for _, name := range h.required {
			// Of a label and the one that it takes the place of, both are asked for.
			if name != errorLabel && name != errorDetailsLabel {
				out = append(out, name)
			}
		}
		for _, name := range x.p.needed {
			if name != errorLabel && name != errorDetailsLabel && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
		slices.Sort(out)
	}
	if n.readsLines(h) {
		out = append(out, "line")
	}
	if out == nil {
		out = []string{"rows"} // their number is enough
	}
	return out
}

// readsLines reports whether an answer depends on more of lines than the fields that are asked for.
func (n *rangeNode) readsLines(h *hints) bool {
	if n.agg.Range.Unwrap == nil && (n.agg.Op == OpBytes || n.agg.Op == OpBytesRate) {
		return true
	}
	return slices.ContainsFunc(stagesOf(n.in), func(st Stage) bool {
		switch st := st.(type) {
		case *LineFilter, *LineFormat, *Decolorize:
			return true
		case *Parser:
			return !h.none && st.Kind != ParseJSON && st.Kind != ParseLogfmt
		}
		return false
	})
}
