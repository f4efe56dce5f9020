package logql

import (
	"slices"
	"time"

	"github.com/hune-io/hune/internal/logs"
)

// A plan is how a query is answered: a tree of nodes, of which each makes something out of what its inputs
// make. The syntax tree is made into a plan (newPlan), the plan is changed by functions node → node
// (optimizers, plan_optimize.go) and then evaluated (engine_eval.go, engine_log.go). It prints as text and as
// plain data (plan_text.go), which is what tests, explain and logs show.
//
// Nodes are immutable: who changes one makes another.
type planNode interface {
	inputs() []planNode
	// over returns the node over other inputs, as many as it has.
	over(inputs []planNode) planNode
	// text says what the node does: a word, and what it is told.
	text() (op string, args []planArg)
}

// planArg is something that a node is told. Flags have no name.
type planArg struct{ name, value string }

// leaf is embedded by nodes without inputs, which return themselves.
type leaf struct{}

func (leaf) inputs() []planNode { return nil }

// The nodes.
type (
	// scanNode reads rows.
	scanNode struct {
		leaf
		matchers []logs.Matcher
		filters  []logs.LineFilter // permission for the source to leave out rows
		// window and offset say, for a range aggregation, which rows an evaluation time sees.
		window, offset time.Duration
		// columns is what of a row is looked at; nil: not known, or all.
		columns []string
		limited bool // the limit of the query may be the source's: all that it gives passes
	}
	// stagesNode runs rows through stages.
	stagesNode struct {
		in     planNode
		stages []Stage
	}
	// limitNode makes the entries of an answer.
	limitNode struct {
		in        planNode
		limit     int
		direction logs.Direction
		interval  time.Duration
	}
	// rangeNode makes samples of the rows in a window.
	rangeNode struct {
		in  planNode
		agg *RangeAgg
		// around is the grouping of a sum directly around it, by which it may group already; nil: there is
		// none.
		around *Grouping
		// doubled: it is one of variants, in which metadata count as labels of the stream, too.
		doubled bool
	}
	// vectorNode makes one series of several.
	vectorNode struct {
		in  planNode
		agg *VectorAgg
	}
	binaryNode struct {
		left, right planNode
		op          *BinOp
	}
	replaceNode struct {
		in      planNode
		replace *LabelReplace
	}
	// numberNode is a number, constantNode a number as a series without labels.
	numberNode struct {
		leaf
		value float64
	}
	constantNode struct {
		leaf
		value float64
	}
	// variantsNode is the series of all its inputs, told apart by a label.
	variantsNode struct{ variants []planNode }
	// mergeNode has its input done in parts, by jobs. It stands below a rangeNode or a limitNode.
	mergeNode struct {
		in     planNode
		pieces []timePiece // in the order of the query
		shards int
	}
)

// timePiece is a range [from, to) of the times of rows.
type timePiece struct{ from, to int64 }

func (n *scanNode) over([]planNode) planNode     { return n }
func (n *numberNode) over([]planNode) planNode   { return n }
func (n *constantNode) over([]planNode) planNode { return n }

func (n *stagesNode) inputs() []planNode   { return []planNode{n.in} }
func (n *limitNode) inputs() []planNode    { return []planNode{n.in} }
func (n *rangeNode) inputs() []planNode    { return []planNode{n.in} }
func (n *vectorNode) inputs() []planNode   { return []planNode{n.in} }
func (n *replaceNode) inputs() []planNode  { return []planNode{n.in} }
func (n *mergeNode) inputs() []planNode    { return []planNode{n.in} }
func (n *binaryNode) inputs() []planNode   { return []planNode{n.left, n.right} }
func (n *variantsNode) inputs() []planNode { return n.variants }

func (n *stagesNode) over(in []planNode) planNode {
	c := *n
	c.in = in[0]
	return &c
}

func (n *limitNode) over(in []planNode) planNode {
	c := *n
	c.in = in[0]
	return &c
}

func (n *rangeNode) over(in []planNode) planNode {
	c := *n
	c.in = in[0]
	return &c
}

func (n *vectorNode) over(in []planNode) planNode {
	c := *n
	c.in = in[0]
	return &c
}

func (n *replaceNode) over(in []planNode) planNode {
	c := *n
	c.in = in[0]
	return &c
}

func (n *mergeNode) over(in []planNode) planNode {
	c := *n
	c.in = in[0]
	return &c
}

func (n *binaryNode) over(in []planNode) planNode {
	c := *n
	c.left, c.right = in[0], in[1]
	return &c
}

func (n *variantsNode) over(in []planNode) planNode { return &variantsNode{variants: in} }

// newPlan makes the plan of a query as it is written.
func newPlan(e Expr, q *logs.Query, limit int) planNode {
	if lq, ok := e.(*LogQuery); ok {
		return &limitNode{in: rowsNode(lq, 0, 0), limit: limit, direction: q.Direction, interval: time.Duration(q.Interval)}
	}
	return samplesNode(e, false)
}

func rowsNode(q *LogQuery, window, offset time.Duration) planNode {
	var n planNode = &scanNode{matchers: q.Matchers, window: window, offset: offset}
	if len(q.Stages) > 0 {
		n = &stagesNode{in: n, stages: q.Stages}
	}
	return n
}

func samplesNode(e Expr, doubled bool) planNode {
	switch e := e.(type) {
	case *Literal:
		return &numberNode{value: e.Value}
	case *Vector:
		return &constantNode{value: e.Value}
	case *RangeAgg:
		return &rangeNode{in: rowsNode(e.Range.Query, e.Range.Interval, e.Range.Offset), agg: e, doubled: doubled}
	case *VectorAgg:
		return &vectorNode{in: samplesNode(e.Expr, doubled), agg: e}
	case *BinOp:
		return &binaryNode{left: samplesNode(e.Left, doubled), right: samplesNode(e.Right, doubled), op: e}
	case *LabelReplace:
		return &replaceNode{in: samplesNode(e.Expr, doubled), replace: e}
	case *Variants:
		n := &variantsNode{}
		for _, v := range e.Variants {
			n.variants = append(n.variants, samplesNode(withRange(v, e.Of), true))
		}
		return n
	}
	panic("logql: the parser made an expression that no plan has a node for")
}

// rewrite changes a plan from its leaves up.
func rewrite(n planNode, change func(planNode) planNode) planNode {
	in := n.inputs()
	if len(in) == 0 {
		return change(n)
	}
	changed := make([]planNode, len(in))
	for i := range in {
		changed[i] = rewrite(in[i], change)
	}
	if !slices.Equal(in, changed) {
		n = n.over(changed)
	}
	return change(n)
}

// leavesOf returns the nodes of type T in a plan, from left to right.
func leavesOf[T planNode](n planNode) []T {
	var out []T
	var visit func(planNode)
	visit = func(n planNode) {
		if t, ok := n.(T); ok {
			out = append(out, t)
		}
		for _, in := range n.inputs() {
			visit(in)
		}
	}
	visit(n)
	return out
}

// scanOf returns the scan at the end of a chain of nodes over rows.
func scanOf(n planNode) *scanNode { return leavesOf[*scanNode](n)[0] }

// stagesOf returns the stages of a chain of nodes over rows.
func stagesOf(n planNode) []Stage {
	for _, s := range leavesOf[*stagesNode](n) {
		return s.stages
	}
	return nil
}
