package traceql

import "github.com/hune-io/hune/internal/fault"

// scalarStage is `aggregate op number`: it keeps the sets that pass and notes the aggregate.
type scalarStage struct {
	fn    string
	arg   evalNode // nil for count
	name  string
	op    string
	value Value
}

func compileScalarFilter(f *ScalarFilter, opened openedKeys) (execStage, error) {
	agg, ok := f.L.(*Aggregate)
	lit, ok2 := f.R.(*ScalarLiteral)
	if !ok || !ok2 {
		return nil, fault.Errorf(fault.NotYet, "scalar filters other than aggregate and number are not supported yet: %s", f)
	}
	s := &scalarStage{fn: agg.Fn, name: agg.String(), op: f.Op, value: lit.Value}
	if agg.Arg != nil {
		var err error
		if s.arg, err = compileExpr(agg.Arg, opened); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *scalarStage) run(env *spanEnv, in []spanSet) []spanSet {
	var out []spanSet
	for _, set := range in {
		v := s.aggregate(env, set.spans)
		if compare(s.op, v, s.value) {
			attrs := append(set.attrs[:len(set.attrs):len(set.attrs)], v.attribute(s.name))
			out = append(out, spanSet{set.spans, attrs})
		}
	}
	return out
}

// aggregate works on the spans that have a number; without any there is no value.
func (s *scalarStage) aggregate(env *spanEnv, spans []int) Value {
	if s.arg == nil {
		return intValue(int64(len(spans)))
	}
	var acc Value
	n := 0
	for _, i := range spans {
		env.set(env.view, i)
		v := s.arg.eval(env).single()
		if !v.isNumber() {
			continue
		}
		n++
		switch {
		case n == 1:
			acc = v
		case s.fn == "min" && compare("<", v, acc), s.fn == "max" && compare(">", v, acc):
			acc = v
		case s.fn == "sum", s.fn == "avg":
			acc, _ = arithmetic("+", acc, v)
		}
	}
	if s.fn != "avg" || n == 0 {
		return acc
	}
	if acc.Kind == KindDuration {
		return durationValue(acc.n / int64(n))
	}
	return floatValue(acc.number() / float64(n))
}
