package logql

import (
	"slices"

	"github.com/grafana/regexp"

	"github.com/hune-io/hune/internal/logs"
)

// validate checks what the grammar can't say.
func validate(e Expr) error {
	switch e := e.(type) {
	case *LogQuery:
		return validateMatchers(e.Matchers)
	case *RangeAgg:
		return validateRangeAgg(e)
	case *VectorAgg:
		return validateVectorAgg(e)
	case *BinOp:
		if err := validate(e.Left); err != nil {
			return err
		}
		return validate(e.Right)
	case *LabelReplace:
		if _, err := regexp.Compile(replaceRegexp(e.Regex)); err != nil {
			return invalidf("invalid regex in label_replace: %s", err)
		}
		return validate(e.Expr)
	case *Variants:
		if err := validateMatchers(e.Of.Query.Matchers); err != nil {
			return err
		}
		for _, v := range e.Variants {
			if err := validate(v); err != nil {
				return err
			}
		}
	}
	return nil
}

func replaceRegexp(re string) string { return "^(?:" + re + ")$" }

func validateMatchers(ms []logs.Matcher) error {
	if slices.ContainsFunc(ms, func(m logs.Matcher) bool { return !emptyCompatible(m) }) {
		return nil
	}
	return invalidf("%s", emptyMatchersText)
}

var (
	opsWithoutUnwrap = []string{OpBytes, OpBytesRate, OpCount, OpRate, OpAbsent}
	opsWithUnwrap    = []string{
		OpAvg, OpSum, OpMax, OpMin, OpStddev, OpStdvar, OpQuantile, OpRate, OpRateCounter, OpAbsent, OpFirst, OpLast,
	}
	opsWithGrouping = []string{OpAvg, OpStddev, OpStdvar, OpQuantile, OpMax, OpMin, OpFirst, OpLast}
)

func validateRangeAgg(e *RangeAgg) error {
	switch {
	case e.Op == OpQuantile && e.Param == nil:
		return invalidf("parameter required for operation %s", e.Op)
	case e.Op != OpQuantile && e.Param != nil:
		return invalidf("parameter %s not supported for operation %s", formatFloat(*e.Param), e.Op)
	case e.Grouping != nil && !slices.Contains(opsWithGrouping, e.Op):
		return invalidf("grouping not allowed for %s aggregation", e.Op)
	case e.Range.Unwrap != nil && !slices.Contains(opsWithUnwrap, e.Op):
		return invalidf("invalid aggregation %s with unwrap", e.Op)
	case e.Range.Unwrap == nil && !slices.Contains(opsWithoutUnwrap, e.Op):
		return invalidf("invalid aggregation %s without unwrap", e.Op)
	}
	return validateMatchers(e.Range.Query.Matchers)
}

func validateVectorAgg(e *VectorAgg) error {
	switch {
	case (e.Op == AggSort || e.Op == AggSortDesc) && e.Grouping != nil && len(e.Grouping.Labels) > 0:
		return invalidf("sort and sort_desc doesn't allow grouping by ")
	case e.Op == AggApproxTopK && e.Grouping != nil:
		return invalidf("grouping not allowed for %s aggregation", e.Op)
	}
	return validate(e.Expr)
}
