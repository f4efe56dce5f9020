package traceql

import (
	"errors"
	"fmt"

	"github.com/grafana/regexp"
)

// TypeError is a query that can be read but makes no sense: operands whose types never meet, an
// invalid regular expression, a filter that is no condition.
type TypeError struct{ Msg string }

func (e *TypeError) Error() string { return e.Msg }

func typeErrorf(format string, args ...any) error {
	return &TypeError{fmt.Sprintf(format, args...)}
}

// kindAny is the type of stored attributes, which is known only at run time.
const kindAny Kind = 255

// Check reports whether the types in q fit. Errors are *TypeError.
func Check(q *Query) error {
	if err := checkPipeline(q.Pipeline); err != nil {
		return err
	}
	if q.Metrics == nil {
		return nil
	}
	if s := q.Metrics.Selection; s != nil {
		if err := checkStage(s); err != nil {
			return err
		}
	}
	for _, a := range append([]*Attribute{q.Metrics.Attr}, q.Metrics.By...) {
		if a == nil {
			continue
		}
		if _, err := typeOf(a); err != nil {
			return err
		}
	}
	return nil
}

// CheckMetrics reports what only running a metrics query would refuse.
func (q *Query) CheckMetrics() error {
	if q.Metrics == nil {
		return errors.New("not a metrics query")
	}
	for _, f := range q.Metrics.Quantiles {
		if f < 0 || f > 1 {
			return fmt.Errorf("quantile must be between 0 and 1: %v", f)
		}
	}
	if q.Metrics.Fn == "compare" {
		if len(q.Second) > 0 {
			return errors.New("`compare()` cannot be used with second stage functions")
		}
		if q.Metrics.Top <= 0 || q.Metrics.Top > maxCompareTop {
			return fmt.Errorf("compare() top number of values must be an integer between 1 and %d", maxCompareTop)
		}
		if err := checkCompareTimes(q.Metrics.Start, q.Metrics.End); err != nil {
			return err
		}
	}
	for _, s := range q.Second {
		if (s.Op == "topk" || s.Op == "bottomk") && s.N <= 0 {
			return errors.New("limit must be greater than 0")
		}
	}
	return nil
}

func checkCompareTimes(start, end int64) error {
	switch {
	case start == 0 && end == 0:
		return nil
	case start <= 0 || end <= 0:
		return errors.New("compare() timestamps must be positive integer unix nanoseconds")
	case end <= start:
		return errors.New("compare() end timestamp must be greater than start timestamp")
	}
	return nil
}

// maxCompareTop bounds the values that compare() keeps per attribute.
const maxCompareTop = 1000

func checkPipeline(p Pipeline) error {
	for _, s := range p {
		if err := checkStage(s); err != nil {
			return err
		}
	}
	return nil
}

func checkStage(s Stage) error {
	switch s := s.(type) {
	case *Filter:
		if s.Expr == nil {
			return nil
		}
		t, err := typeOf(s.Expr)
		if err != nil {
			return err
		}
		if t != KindBool && t != kindAny {
			return typeErrorf("span filter field expressions must resolve to a boolean: %s", s)
		}
	case *SetOp:
		if err := checkStage(s.L); err != nil {
			return err
		}
		return checkStage(s.R)
	case *Wrapped:
		return checkPipeline(s.Pipeline)
	case *GroupBy:
		if _, err := typeOf(s.Expr); err != nil {
			return err
		}
		if !referencesSpan(s.Expr) {
			return typeErrorf("grouping field expressions must reference the span: %s", s)
		}
	case *Select:
		for _, a := range s.Attrs {
			if _, err := typeOf(a); err != nil {
				return err
			}
		}
	case *ScalarFilter:
		return checkScalarFilter(s)
	}
	return nil
}

func checkScalarFilter(f *ScalarFilter) error {
	lt, err := scalarType(f.L)
	if err != nil {
		return err
	}
	rt, err := scalarType(f.R)
	if err != nil {
		return err
	}
	if !sameType(lt, rt) {
		return typeErrorf("binary operations must operate on the same type: %s", f)
	}
	// The reference prints its own format verb here; clients know the text with it.
	const verb = "(%v)"
	if _, ok := f.L.(*Aggregate); !ok {
		return &TypeError{"scalar filter lhs of type " + verb + " not yet supported"}
	}
	if _, ok := f.R.(*ScalarLiteral); !ok {
		return &TypeError{"scalar filter rhs of type " + verb + " not yet supported"}
	}
	return nil
}

func scalarType(s Scalar) (Kind, error) {
	switch s := s.(type) {
	case *Aggregate:
		if s.Arg == nil {
			return KindInt, nil
		}
		t, err := typeOf(s.Arg)
		if err != nil {
			return 0, err
		}
		if !t.isNumber() && t != kindAny {
			return 0, typeErrorf("aggregate field expressions must resolve to a number type: %s", s)
		}
		if !referencesSpan(s.Arg) {
			return 0, typeErrorf("aggregate field expressions must reference the span: %s", s)
		}
		return t, nil
	case *ScalarLiteral:
		return s.Value.Kind, nil
	case *ScalarOp:
		if _, err := scalarType(s.L); err != nil {
			return 0, err
		}
		return scalarType(s.R)
	case *ScalarPipeline:
		if err := checkPipeline(s.Pipeline); err != nil {
			return 0, err
		}
		return scalarType(s.Scalar)
	}
	return kindAny, nil
}

func referencesSpan(e Expr) bool {
	switch e := e.(type) {
	case *Binary:
		return referencesSpan(e.L) || referencesSpan(e.R)
	case *Unary:
		return referencesSpan(e.X)
	case *Attribute:
		return true
	}
	return false
}

// typeOf returns the static type of e and checks everything below it.
func typeOf(e Expr) (Kind, error) {
	switch e := e.(type) {
	case *Literal:
		return e.Value.Kind, nil
	case *Attribute:
		if e.Intrinsic != IntrinsicNone {
			return intrinsics[e.Intrinsic].kind, nil
		}
		return kindAny, nil
	case *Unary:
		t, err := typeOf(e.X)
		if err != nil {
			return 0, err
		}
		if t != kindAny && (e.Op == "!" && t != KindBool || e.Op == "-" && !t.isNumber()) {
			return 0, typeErrorf("illegal operation for the given type: %s", e)
		}
		return t, nil
	case *Binary:
		return typeOfBinary(e)
	}
	return kindAny, nil
}

func typeOfBinary(b *Binary) (Kind, error) {
	lt, err := typeOf(b.L)
	if err != nil {
		return 0, err
	}
	rt, err := typeOf(b.R)
	if err != nil {
		return 0, err
	}
	if err := checkNil(b, lt, rt); err != nil {
		return 0, err
	}
	if !sameType(lt, rt) {
		return 0, typeErrorf("binary operations must operate on the same type: %s", b)
	}
	if !legal(b.Op, lt) || !legal(b.Op, rt) {
		return 0, typeErrorf("illegal operation for the given types: %s", b)
	}
	if b.Op == "=~" || b.Op == "!~" {
		if err := checkRegex(b.R); err != nil {
			return 0, err
		}
	}
	if exprPrecedence[b.Op] <= 2 {
		return KindBool, nil
	}
	switch {
	case lt == kindAny || rt == kindAny:
		return kindAny, nil
	case lt == KindDuration || rt == KindDuration:
		return KindDuration, nil
	case lt == KindFloat || rt == KindFloat:
		return KindFloat, nil
	}
	return KindInt, nil
}

// checkNil refuses to compare with nil what every span has.
func checkNil(b *Binary, lt, rt Kind) error {
	a, ok := b.L.(*Attribute)
	if !ok || rt != KindNil {
		if a, ok = b.R.(*Attribute); !ok || lt != KindNil {
			return nil
		}
	}
	if b.Op != "=" && b.Op != "!=" {
		return nil
	}
	if a.Intrinsic == IntrinsicParent { // a root has none
		return nil
	}
	if a.Intrinsic != IntrinsicNone {
		return typeErrorf("%s%snil is not valid because intrinsics cannot be nil", a, b.Op)
	}
	if a.isServiceName() && b.Op == "=" {
		return typeErrorf("%s%snil is not valid because %s cannot be nil", a, b.Op, a)
	}
	return nil
}

func checkRegex(e Expr) error {
	lit, ok := e.(*Literal)
	if !ok || lit.Value.Kind != KindString {
		return typeErrorf("invalid type for =~ or !~: %s", e)
	}
	if _, err := compileRegex(lit.Value.s); err != nil {
		return typeErrorf("invalid regex: %s", lit)
	}
	return nil
}

// compileRegex anchors at both ends; a dot matches a line break too, as in Prometheus.
func compileRegex(s string) (*regexp.Regexp, error) {
	return regexp.Compile("^(?s:" + s + ")$")
}

func sameType(a, b Kind) bool {
	return a == b || a == kindAny || b == kindAny || a == KindNil || b == KindNil || a.isNumber() && b.isNumber()
}

// legal reports whether op works on values of kind k.
func legal(op string, k Kind) bool {
	if k == kindAny {
		return true
	}
	switch op {
	case "=", "!=":
		return true
	case "<", "<=", ">", ">=":
		return k.isNumber() || k == KindString
	case "=~", "!~":
		return k == KindString
	case "&&", "||":
		return k == KindBool
	}
	return k.isNumber()
}
