package traceql

// noneNode is `a != x && a != y …` or `a !~ x && a !~ y …` on one attribute. Since Tempo 3 reads
// such a chain as "not in", an array (or several events) needs one element that passes all the
// comparisons, not one for each.
type noneNode struct {
	x     evalNode
	tests []func(*Value) bool
}

func (n *noneNode) eval(e *spanEnv) Value {
	return boolValue(n.passes(n.x.eval(e)))
}

func (n *noneNode) passes(v Value) bool {
	if v.Kind == KindArray {
		for i := range v.arr {
			if n.passes(v.arr[i]) {
				return true
			}
		}
		return false
	}
	for _, test := range n.tests {
		if !test(&v) {
			return false
		}
	}
	return true
}

// notIn returns the node for b, an &&, if both its sides exclude values of one type of one
// attribute.
func notIn(b *Binary, l, r evalNode) (evalNode, bool) {
	la, lk, lop := exclusion(b.L)
	ra, rk, rop := exclusion(b.R)
	if la == nil || ra == nil || *la != *ra || lk != rk || lop != rop {
		return nil, false
	}
	lx, lt := testsOf(l)
	_, rt := testsOf(r)
	if lt == nil || rt == nil {
		return nil, false
	}
	return &noneNode{lx, append(lt, rt...)}, true
}

// exclusion returns the attribute that e excludes values of, with their type and != or !~; nil for
// other expressions.
func exclusion(e Expr) (*Attribute, Kind, string) {
	b, ok := e.(*Binary)
	if !ok {
		return nil, 0, ""
	}
	switch b.Op {
	case "!=", "!~":
		if u, ok := comparison(b); ok && u.value.Kind != KindNil {
			return u.attr, u.value.Kind, b.Op
		}
	case "&&":
		la, lk, lop := exclusion(b.L)
		ra, rk, rop := exclusion(b.R)
		if la != nil && ra != nil && *la == *ra && lk == rk && lop == rop {
			return la, lk, lop
		}
	}
	return nil, 0, ""
}

// testsOf returns the operand of a compiled exclusion and its tests of a single value.
func testsOf(n evalNode) (evalNode, []func(*Value) bool) {
	switch n := n.(type) {
	case *literalNode:
		return n.x, []func(*Value) bool{n.test}
	case *regexNode:
		return n.x, []func(*Value) bool{n.test}
	case *noneNode:
		return n.x, n.tests
	}
	return nil, nil
}
