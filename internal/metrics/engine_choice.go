package metrics

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/hune-io/hune/internal/fault"
)

// The engines of PromQL, as the configuration and the parameter engine name them.
const (
	ThanosEngine     = "thanos"
	PrometheusEngine = "prometheus"
)

// CheckEngine reports an engine that there is not. Empty means the configured one.
func CheckEngine(name string) error {
	switch name {
	case "", ThanosEngine, PrometheusEngine:
		return nil
	}
	return fmt.Errorf("unknown engine %q: there are %s and %s", name, ThanosEngine, PrometheusEngine)
}

// choose returns the engine for an expression. Who asks for Thanos's by name learns what it lacks.
func (e *Engine) choose(q *Query, expr parser.Expr) (string, error) {
	asked := q.Engine
	if err := CheckEngine(asked); err != nil {
		return "", fault.New(fault.Invalid, err)
	}
	want := asked
	if want == "" {
		want = e.cfg.Engine
	}
	if want == PrometheusEngine {
		return PrometheusEngine, nil
	}
	lacks := e.lacks(q.Kind, expr)
	if lacks == "" {
		return ThanosEngine, nil
	}
	if asked == ThanosEngine {
		return "", fault.Errorf(fault.Unprocessable, "the engine %s has no %s", ThanosEngine, lacks)
	}
	e.fallbacks.WithLabelValues(strings.ReplaceAll(lacks, " ", "_")).Inc()
	return PrometheusEngine, nil
}

// lacks names what of an expression Thanos's engine would answer otherwise than Prometheus's without saying so.
// What it refuses by itself need not be named here.
func (e *Engine) lacks(kind QueryKind, expr parser.Expr) (what string) {
	if e.features[featureDelayedNameRemoval] {
		return "delayed name removal"
	}
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			if n.Anchored || n.Smoothed {
				what = "extended range selectors"
			}
		case *parser.Call:
			// It sorts answers, but leaves native histograms in what is not one, which Prometheus takes out.
			if (n.Func.Name == "sort" || n.Func.Name == "sort_desc") && (kind == Range || len(path) > 0) {
				what = "sorting of ranges"
			}
		}
		return nil
	})
	return what
}

// features are the experimental parts of PromQL that are turned on.
type features map[string]bool

// The experimental parts of PromQL, named as Prometheus's feature flags.
const (
	featureFunctions          = "promql-experimental-functions"
	featureDurations          = "promql-duration-expr"
	featureExtendedRanges     = "promql-extended-range-selectors"
	featureDelayedNameRemoval = "promql-delayed-name-removal"
)

var allFeatures = []string{featureFunctions, featureDurations, featureExtendedRanges, featureDelayedNameRemoval}

// The parser's switches are global to the process. They are all on, and each engine refuses what its own
// configuration doesn't name.
func init() { enableParser() }

func enableParser() {
	parser.EnableExperimentalFunctions = true
	parser.ExperimentalDurationExpr = true
	parser.EnableExtendedRangeSelectors = true
}

// ReportFeatures tells which of the experimental parts of PromQL are on: functions and keywords, and aggregations.
func ReportFeatures(enabled []string, set func(function bool, name string, on bool), operator func(name string, on bool)) {
	f := newFeatures(enabled)
	for name, fn := range parser.Functions {
		if fn.Experimental {
			set(true, name, f[featureFunctions])
		}
	}
	for _, op := range []parser.ItemType{parser.LIMITK, parser.LIMIT_RATIO} {
		operator(op.String(), f[featureFunctions])
	}
	set(false, "duration_expr", f[featureDurations])
	for _, word := range []string{"anchored", "smoothed"} {
		set(false, word, f[featureExtendedRanges])
	}
	set(false, "delayed_name_removal", f[featureDelayedNameRemoval])
}

func newFeatures(names []string) features {
	f := features{}
	for _, name := range names {
		f[name] = true
	}
	return f
}

func checkFeature(name string) error {
	if !slices.Contains(allFeatures, name) {
		return fmt.Errorf("unknown feature %q: there are %s", name, strings.Join(allFeatures, ", "))
	}
	return nil
}

// check refuses what is not turned on.
func (f features) check(expr parser.Expr) error {
	var err error
	need := func(what, feature string) {
		if !f[feature] && err == nil {
			err = fmt.Errorf("%s is not enabled: metrics.query.features lacks %s", what, feature)
		}
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.Call:
			if n.Func.Experimental {
				need("function "+n.Func.Name+"()", featureFunctions)
			}
		case *parser.AggregateExpr:
			if n.Op.IsExperimentalAggregator() {
				need("aggregation "+n.Op.String()+"()", featureFunctions)
			}
		case *parser.MatrixSelector:
			if n.RangeExpr != nil {
				need("an expression as a duration", featureDurations)
			}
		case *parser.SubqueryExpr:
			if n.RangeExpr != nil || n.StepExpr != nil || n.OriginalOffsetExpr != nil {
				need("an expression as a duration", featureDurations)
			}
		case *parser.VectorSelector:
			if n.OriginalOffsetExpr != nil {
				need("an expression as a duration", featureDurations)
			}
			if n.Anchored || n.Smoothed {
				need("anchored or smoothed", featureExtendedRanges)
			}
		}
		return nil
	})
	return err
}
