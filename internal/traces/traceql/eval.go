package traceql

import (
	"errors"
	"strings"

	"github.com/hune-io/hune/internal/traces"
)

var (
	errDivisionByZero = errors.New("division by zero")
	errModuloByZero   = errors.New("modulo by zero")
)

// spanEnv is what an expression is evaluated on: one span of one trace. err keeps the first fault.
type spanEnv struct {
	view *traceView
	i    int
	span *traces.Span
	err  error
}

func (e *spanEnv) set(v *traceView, i int) { e.view, e.i, e.span = v, i, v.spans[i] }

// evalNode is a compiled expression.
type evalNode interface{ eval(e *spanEnv) Value }

type constNode struct{ v Value }

func (n constNode) eval(*spanEnv) Value { return n.v }

// compileExpr turns a checked expression into nodes. opened says which kinds of numbers a
// comparison of an attribute with a number may meet.
func compileExpr(e Expr, opened openedKeys) (evalNode, error) {
	switch e := e.(type) {
	case *Literal:
		return constNode{e.Value}, nil
	case *Attribute:
		return compileAttribute(e), nil
	case *Unary:
		x, err := compileExpr(e.X, opened)
		if err != nil {
			return nil, err
		}
		return fold(&unaryNode{e.Op, x}, x), nil
	case *Binary:
		return compileBinary(e, opened)
	}
	return nil, errors.New("unknown expression")
}

// fold evaluates n now if its operands are constants and doing so can't fail.
func fold(n evalNode, operands ...evalNode) evalNode {
	for _, o := range operands {
		if _, ok := o.(constNode); !ok {
			return n
		}
	}
	env := &spanEnv{}
	if v := n.eval(env); env.err == nil {
		return constNode{v}
	}
	return n
}

func compileBinary(b *Binary, opened openedKeys) (evalNode, error) {
	l, err := compileExpr(b.L, opened)
	if err != nil {
		return nil, err
	}
	r, err := compileExpr(b.R, opened)
	if err != nil {
		return nil, err
	}
	switch b.Op {
	case "&&", "||":
		if b.Op == "&&" {
			if n, ok := notIn(b, l, r); ok {
				return n, nil
			}
		}
		return fold(&logicNode{and: b.Op == "&&", l: l, r: r}, l, r), nil
	case "=~", "!~":
		lit := b.R.(*Literal) // Check has seen to it
		re, err := compileRegex(lit.Value.s)
		if err != nil {
			return nil, err
		}
		return &regexNode{re: re, not: b.Op == "!~", x: l}, nil
	case "=", "!=", "<", "<=", ">", ">=":
		return compileComparison(b, l, r, opened), nil
	}
	return fold(&arithNode{b.Op, l, r}, l, r), nil
}

func compileComparison(b *Binary, l, r evalNode, opened openedKeys) evalNode {
	op := b.Op
	if lc, ok := l.(constNode); ok {
		if rc, ok := r.(constNode); ok {
			return constNode{boolValue(compare(op, lc.v, rc.v))}
		}
		// Put the constant to the right; what is asked stays the same.
		l, r, op = r, l, mirrored[op]
		b = &Binary{op, b.R, b.L}
	}
	rc, ok := r.(constNode)
	if !ok {
		return &compareNode{op, l, r}
	}
	if rc.v.Kind == KindNil {
		return &nilNode{not: op == "!=", x: l}
	}
	n := &literalNode{op: op, x: l, v: rc.v, ints: true, floats: true}
	if a, ok := b.L.(*Attribute); ok && a.Intrinsic == IntrinsicNone {
		n.ints, n.floats = opened.allows(a, rc.v.Kind)
	} else if ok && (a.Intrinsic == IntrinsicTraceID || a.Intrinsic == IntrinsicLinkTraceID) && rc.v.Kind == KindString {
		n.v = stringValue(trimID(rc.v.s)) // trace IDs are compared without leading zeros
	}
	return n
}

var mirrored = map[string]string{"=": "=", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}

func trimID(s string) string { return strings.TrimLeft(s, "0") }

// literalNode compares an operand with a constant that is not nil.
type literalNode struct {
	op           string
	x            evalNode
	v            Value
	ints, floats bool // kinds of stored numbers that the constant meets
}

func (n *literalNode) eval(e *spanEnv) Value {
	x := n.x.eval(e)
	if x.Kind != KindArray {
		return boolValue(n.test(&x))
	}
	for i := range x.arr {
		if n.testAny(&x.arr[i]) {
			return boolValue(true)
		}
	}
	return boolValue(false)
}

func (n *literalNode) testAny(x *Value) bool {
	if x.Kind != KindArray {
		return n.test(x)
	}
	for i := range x.arr { // arrays on several events
		if n.test(&x.arr[i]) {
			return true
		}
	}
	return false
}

func (n *literalNode) test(x *Value) bool {
	if x.Kind == KindInt && !n.ints || x.Kind == KindFloat && !n.floats {
		return false
	}
	return compare(n.op, *x, n.v)
}

// nilNode asks whether the operand has no value.
type nilNode struct {
	not bool
	x   evalNode
}

func (n *nilNode) eval(e *spanEnv) Value {
	return boolValue((n.x.eval(e).Kind == KindNil) != n.not)
}

type compareNode struct {
	op   string
	l, r evalNode
}

func (n *compareNode) eval(e *spanEnv) Value {
	l, r := n.l.eval(e), n.r.eval(e)
	return boolValue(anyPair(l, r, func(a, b Value) bool { return compare(n.op, a, b) }))
}

// anyPair reports whether test holds for some pair of elements.
func anyPair(l, r Value, test func(a, b Value) bool) bool {
	if l.Kind == KindArray {
		for _, a := range l.arr {
			if anyPair(a, r, test) {
				return true
			}
		}
		return false
	}
	if r.Kind == KindArray {
		for _, b := range r.arr {
			if anyPair(l, b, test) {
				return true
			}
		}
		return false
	}
	return test(l, r)
}

// compare compares two single values. Different types never meet, numbers do; nil meets nothing.
func compare(op string, a, b Value) bool {
	var c int
	switch {
	case a.Kind == KindNil || b.Kind == KindNil:
		return false
	case a.Kind == KindString && b.Kind == KindString:
		if op == "=" {
			return a.s == b.s
		}
		c = strings.Compare(a.s, b.s)
	case a.Kind == b.Kind && a.Kind != KindFloat, a.Kind != KindFloat && b.Kind != KindFloat && a.isNumber() && b.isNumber():
		c = cmpInt(a.n, b.n)
	case a.isNumber() && b.isNumber():
		x, y := a.number(), b.number()
		if x != x || y != y {
			return op == "!="
		}
		c = cmpFloat(x, y)
	default:
		return false
	}
	switch op {
	case "=":
		return c == 0
	case "!=":
		return c != 0
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

func cmpInt(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func cmpFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

type logicNode struct {
	and  bool
	l, r evalNode
}

func (n *logicNode) eval(e *spanEnv) Value {
	if l := n.l.eval(e).isTrue(); l != n.and {
		return boolValue(l)
	}
	return boolValue(n.r.eval(e).isTrue())
}

type regexNode struct {
	re  interface{ MatchString(string) bool }
	not bool
	x   evalNode
}

func (n *regexNode) eval(e *spanEnv) Value {
	return boolValue(anyPair(n.x.eval(e), Value{}, func(a, _ Value) bool { return n.test(&a) }))
}

func (n *regexNode) test(v *Value) bool {
	return v.Kind == KindString && n.re.MatchString(v.s) != n.not
}

type unaryNode struct {
	op string
	x  evalNode
}

func (n *unaryNode) eval(e *spanEnv) Value {
	x := n.x.eval(e).single()
	switch {
	case n.op == "!" && x.Kind == KindBool:
		return boolValue(x.n == 0)
	case n.op == "-" && x.isNumber():
		return negate(x)
	}
	return Value{}
}

// arithNode calculates. Without a number on both sides there is no value. Integers stay integers;
// a duration with an integer stays a duration.
type arithNode struct {
	op   string
	l, r evalNode
}

func (n *arithNode) eval(e *spanEnv) Value {
	l, r := n.l.eval(e).single(), n.r.eval(e).single()
	if !l.isNumber() || !r.isNumber() {
		return Value{}
	}
	v, err := arithmetic(n.op, l, r)
	if err != nil && e.err == nil {
		e.err = err
	}
	return v
}
