package traceql

// key names a stored attribute, of the span or of its parent.
type key struct {
	scope  Scope
	name   string
	parent bool
}

func keyOf(a *Attribute) key { return key{a.Scope, a.Name, a.Parent} }

// openedKeys says which kinds of numbers the filters of a query ask of an attribute. A comparison
// with an integer meets integers only, unless another comparison of the same key asks for floats.
type openedKeys map[key]struct{ ints, floats bool }

func (o openedKeys) open(a *Attribute, ints, floats bool) {
	k := keyOf(a)
	was := o[k]
	was.ints, was.floats = was.ints || ints, was.floats || floats
	o[k] = was
}

func (o openedKeys) allows(a *Attribute, literal Kind) (ints, floats bool) {
	was := o[keyOf(a)]
	switch literal {
	case KindInt:
		return true, was.floats
	case KindFloat:
		return was.ints, true
	}
	return true, true
}

// usage is one mention of an attribute. In a comparison with a constant op and value say what is
// wanted of it; otherwise op is empty and any value may be wanted.
type usage struct {
	attr   *Attribute
	op     string
	value  Value
	second bool    // the second scope of an unscoped attribute
	also   []Value // of a chain of exclusions, see noneNode: the other values
}

// usages calls visit for every attribute in e.
func usages(e Expr, visit func(usage)) {
	switch e := e.(type) {
	case *Attribute:
		visit(usage{attr: e})
	case *Unary:
		usages(e.X, visit)
	case *Binary:
		if u, ok := comparison(e); ok {
			visit(u)
			return
		}
		if a, _, _ := exclusion(e); a != nil {
			visit(excluded(e))
			return
		}
		usages(e.L, visit)
		usages(e.R, visit)
	}
}

// excluded joins a chain of exclusions, for which exclusion returned an attribute.
func excluded(b *Binary) usage {
	if u, ok := comparison(b); ok {
		return u
	}
	l, r := excluded(b.L.(*Binary)), excluded(b.R.(*Binary))
	l.also = append(append(l.also, r.value), r.also...)
	return l
}

// comparison returns the usage that b is, if it compares an attribute with a constant.
func comparison(b *Binary) (usage, bool) {
	if exprPrecedence[b.Op] != 2 {
		return usage{}, false
	}
	if a, ok := b.L.(*Attribute); ok {
		if v, ok := constant(b.R); ok {
			return usage{attr: a, op: b.Op, value: v}, true
		}
	}
	if a, ok := b.R.(*Attribute); ok && mirrored[b.Op] != "" {
		if v, ok := constant(b.L); ok {
			return usage{attr: a, op: mirrored[b.Op], value: v}, true
		}
	}
	return usage{}, false
}

// constant evaluates e if it mentions no attribute.
func constant(e Expr) (Value, bool) {
	if referencesSpan(e) {
		return Value{}, false
	}
	n, err := compileExpr(e, nil)
	if err != nil {
		return Value{}, false
	}
	c, ok := n.(constNode)
	return c.v, ok
}

// walkStages calls visit for every stage of p, also inside operators and parentheses.
func walkStages(p Pipeline, visit func(Stage)) {
	for _, s := range p {
		walkStage(s, visit)
	}
}

func walkStage(s Stage, visit func(Stage)) {
	visit(s)
	switch s := s.(type) {
	case *SetOp:
		walkStage(s.L, visit)
		walkStage(s.R, visit)
	case *Wrapped:
		walkStages(s.Pipeline, visit)
	case *ScalarFilter:
		walkScalar(s.L, visit)
		walkScalar(s.R, visit)
	}
}

func walkScalar(s Scalar, visit func(Stage)) {
	switch s := s.(type) {
	case *ScalarOp:
		walkScalar(s.L, visit)
		walkScalar(s.R, visit)
	case *ScalarPipeline:
		walkStages(s.Pipeline, visit)
		walkScalar(s.Scalar, visit)
	}
}

// exprsOf returns the expressions that stand in s itself.
func exprsOf(s Stage) []Expr {
	switch s := s.(type) {
	case *Filter:
		if s.Expr != nil {
			return []Expr{s.Expr}
		}
	case *GroupBy:
		return []Expr{s.Expr}
	case *Select:
		return s.Attrs
	case *ScalarFilter:
		var out []Expr
		for _, side := range []Scalar{s.L, s.R} {
			if a, ok := side.(*Aggregate); ok && a.Arg != nil {
				out = append(out, a.Arg)
			}
		}
		return out
	}
	return nil
}

// openedBy collects what the filters of q open.
func openedBy(q *Query) openedKeys {
	o := openedKeys{}
	visit := func(s Stage) {
		f, ok := s.(*Filter)
		if !ok || f.Expr == nil {
			return
		}
		usages(f.Expr, func(u usage) {
			if u.attr.Intrinsic != IntrinsicNone {
				return
			}
			switch {
			case u.op == "":
				o.open(u.attr, true, true)
			case u.value.Kind == KindInt:
				o.open(u.attr, true, false)
			case u.value.Kind == KindFloat:
				o.open(u.attr, false, true)
			}
		})
	}
	walkStages(q.Pipeline, visit)
	if q.Metrics != nil && q.Metrics.Selection != nil {
		visit(q.Metrics.Selection)
	}
	return o
}
