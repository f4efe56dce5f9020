package metrics

import (
	"context"
	"log/slog"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/promql-engine/logicalplan"
	thanosquery "github.com/thanos-io/promql-engine/query"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/fault"
)

func engineWith(change func(*QueryConfig)) *Engine {
	cfg := DefaultConfig().Query
	if change != nil {
		change(&cfg)
	}
	return NewEngine(EngineOptions{Config: cfg, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
}

func TestEngineChoice(t *testing.T) {
	h := openTestHeads(t, quickOptions(t, t.TempDir(), nil))
	push(t, h, "a", floats("m", Sample{T: at(0), V: 1}), floats("n", Sample{T: at(0), V: 2}))
	all := func(c *QueryConfig) { c.Features = []string{featureFunctions, featureDurations, featureExtendedRanges} }
	prom := func(c *QueryConfig) { c.Engine = PrometheusEngine }
	for _, c := range []struct {
		name       string
		cfg        func(*QueryConfig)
		expr, ask  string
		want, fell string // the engine that answered, why it was not Thanos's
		err        string
	}{
		{"default", nil, "m", "", ThanosEngine, "", ""},
		{"configured", prom, "m", "", PrometheusEngine, "", ""},
		{"asked", nil, "m", PrometheusEngine, PrometheusEngine, "", ""},
		{"asked against the configuration", prom, "m", ThanosEngine, ThanosEngine, "", ""},
		{"unknown", nil, "m", "other", "", "", `unknown engine "other"`},
		{"a function that Thanos's lacks", all, "info(m)", "", PrometheusEngine, "unimplemented", ""},
		{"the same by name", all, "info(m)", ThanosEngine, "", "", "info"},
		{"without a word of Thanos's", all, "rate(m[5m] smoothed)", "", PrometheusEngine, "extended_range_selectors", ""},
		{"the same by name", all, "rate(m[5m] smoothed)", ThanosEngine, "", "", "has no extended range selectors"},
		{"experimental function", nil, "mad_over_time(m[5m])", "", "", "", "function mad_over_time() is not enabled"},
		{"experimental aggregation", nil, "limitk(1, m)", "", "", "", "aggregation limitk() is not enabled"},
		{"experimental duration", nil, "rate(m[5m+1m])", "", "", "", "an expression as a duration is not enabled"},
		{"experimental selector", nil, "rate(m[5m] anchored)", "", "", "", "anchored or smoothed is not enabled"},
		{"sorting a range", nil, "sort(m)", "", PrometheusEngine, "sorting_of_ranges", ""},
		{"sorting inside", nil, "count(sort(m))", "", PrometheusEngine, "sorting_of_ranges", ""},
		{"enabled function", all, "limitk(1, m)", "", ThanosEngine, "", ""},
		{"enabled duration", all, "rate(m[5m+1m])", "", ThanosEngine, "", ""},
		{"labels that two series get", nil, `label_replace({job="test"}, "__name__", "x", "", "")`, PrometheusEngine, PrometheusEngine, "", "same labelset"},
	} {
		e := engineWith(c.cfg)
		_, err := e.Run(t.Context(), "a", &Query{Kind: Range, Expr: c.expr, Start: at(0), End: at(0), Step: 1, Engine: c.ask}, h)
		if c.err != "" {
			require.ErrorContains(t, err, c.err, c.name)
			require.True(t, fault.Permanent(err), c.name)
			continue
		}
		require.NoError(t, err, c.name)
		require.Equal(t, 1.0, testutil.ToFloat64(e.queries.WithLabelValues(c.want)), c.name)
		if c.fell != "" {
			require.Equal(t, 1.0, testutil.ToFloat64(e.fallbacks.WithLabelValues(c.fell)), c.name)
		} else {
			require.Zero(t, testutil.CollectAndCount(e.fallbacks), c.name)
		}
	}
}

// Series that follow each other and get the same labels are one series to Prometheus, which then is asked.
func TestSeriesThatFollowEachOther(t *testing.T) {
	h := openTestHeads(t, quickOptions(t, t.TempDir(), nil))
	one := Series{Labels: labels.FromStrings("__name__", "m", "pod", "a"), Samples: []Sample{{T: at(-20 * time.Minute), V: 1}}}
	two := Series{Labels: labels.FromStrings("__name__", "m", "pod", "b"), Samples: []Sample{{T: at(0), V: 2}}}
	push(t, h, "a", one, two)
	e := engineWith(nil)
	r, err := e.Run(t.Context(), "a", &Query{Kind: Range, Expr: `label_replace(m, "pod", "x", "", "")`, Start: at(-20 * time.Minute), End: at(0), Step: 20 * 60_000}, h)
	require.NoError(t, err)
	require.Len(t, r.Value.(promql.Matrix), 1)
	require.Equal(t, 1.0, testutil.ToFloat64(e.fallbacks.WithLabelValues("duplicate_labels")))
}

func TestQueryLimits(t *testing.T) {
	h := openTestHeads(t, quickOptions(t, t.TempDir(), nil))
	for i := range 60 {
		push(t, h, "a", floats("m", Sample{T: at(time.Duration(i-59) * 15 * time.Second), V: float64(i)}), floats("n", Sample{T: at(time.Duration(i-59) * 15 * time.Second), V: 1}))
	}
	q := &Query{Kind: Range, Expr: `rate({job="test"}[10m])`, Start: at(-10 * time.Minute), End: at(0), Step: 15_000}
	for _, engine := range []string{ThanosEngine, PrometheusEngine} {
		for _, c := range []struct {
			name  string
			set   func(*QueryConfig)
			class fault.Class
			text  string
		}{
			{"samples", func(c *QueryConfig) { c.MaxSamples = 10 }, fault.Unprocessable, "query processing would load too many samples into memory in query execution"},
			{"bytes", func(c *QueryConfig) { c.MaxBytes = 10 }, fault.Unprocessable, "metrics.query.max_bytes"},
			{"time", func(c *QueryConfig) { c.Timeout = model.Duration(1) }, fault.Timeout, "query timed out in"},
		} {
			e := engineWith(func(cfg *QueryConfig) { cfg.Engine = engine; c.set(cfg) })
			_, err := e.Run(t.Context(), "a", q, h)
			require.ErrorContains(t, err, c.text, "%s %s", engine, c.name)
			require.Equal(t, c.class, fault.ClassOf(err), "%s %s: %v", engine, c.name, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := engineWith(func(cfg *QueryConfig) { cfg.Engine = engine }).Run(ctx, "a", q, h)
		require.Equal(t, fault.Canceled, fault.ClassOf(err), "%s: %v", engine, err)
	}
}

// What both engines say of the samples that they read.
func TestEngineStatistics(t *testing.T) {
	h := openTestHeads(t, quickOptions(t, t.TempDir(), nil))
	for i := range 20 {
		push(t, h, "a", floats("m", Sample{T: at(time.Duration(i-19) * 15 * time.Second), V: float64(i)}))
	}
	for _, expr := range []string{"m", "sum(m)", "rate(m[1m])"} {
		var all []QueryStats
		for _, engine := range []string{PrometheusEngine, ThanosEngine} {
			r, err := engineWith(nil).Run(t.Context(), "a", &Query{Kind: Range, Expr: expr, Start: at(-2 * time.Minute), End: at(0), Step: 30_000, Engine: engine, EnableStats: true, PerStepStats: true}, h)
			require.NoError(t, err)
			r.Stats.PeakSamples = 0 // of what is in memory at once, which is their own affair
			all = append(all, r.Stats)
		}
		require.Equal(t, all[0], all[1], expr)
	}
}

// engineQueries are compared on random data.
var engineQueries = append([]string{
	`m{i!="0"}`, `sum by (i) (rate(m[5m]))`, `avg(increase(m[4m]))`, `min by (i) (m)`, `max(m)`, `count(m)`, `group(m)`, `stddev(m)`, `topk(2, m)`,
	`quantile(0.5, m)`, `count_values("v", m)`, `sum(m) by (i) / on (i) count(m) by (i)`, `m > 20`, `m > bool 20`, `m or on () vector(1)`, `absent(m{i="9"})`,
	`sum by (__name__, i) (rate(m[5m]))`, `avg by (i, __name__) (m)`, `sum without (i) (increase(m[7m] offset 1m))`, `min without (i) (rate(m[1m]))`, `count(rate(m[2m]))`,
	`sum(m) / sum(rate(m[5m]))`, `avg((m offset -2m))`, `group by (i) (increase(m[90s]))`, `max_over_time(sum by (i) (rate(m[2m]))[6m:1m])`, `sum(rate(m[5m] @ end()))`,
	`sum_over_time(m[3m])`, `avg_over_time(m[3m])`, `min_over_time(m[3m])`, `last_over_time(m[3m])`, `stdvar_over_time(m[3m])`, `irate(m[3m])`, `delta(m[5m])`,
	`changes(m[5m])`, `resets(m[5m])`, `deriv(m[5m])`, `predict_linear(m[5m], 60)`, `quantile_over_time(0.9, m[5m])`, `max_over_time(rate(m[2m])[6m:1m])`,
	`sum(m offset 3m)`, `sum(m @ start())`, `timestamp(m)`, `-m`, `clamp_max(m, 10)`, `label_join(m, "j", "-", "i", "i")`, `histogram_count(m)`, `sort_desc(m)`, `scalar(m{i="0"})`,
	`sum(rate(m[5m]))`, `sum without (i) (m)`, `present_over_time(m[1m])`, `absent_over_time(m[1m])`, `idelta(m[3m])`, `histogram_quantile(0.9, sum(rate(m[5m])))`,
}, propertyQueries...)

// Both engines give the same answers for random series.
func TestEnginesAgree(t *testing.T) {
	t.Parallel()
	prom, thanos, tight := engineWith(func(c *QueryConfig) { c.Engine = PrometheusEngine }), engineWith(nil), engineWith(nil)
	tight.maxCells = 100 // fused operators give up at run time
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "round")
		require.NoError(rt, err)
		h, err := OpenHeads(testContext, quickOptions(t, dir, nil))
		require.NoError(rt, err)
		defer h.Close()
		for _, wave := range randomBatches(rt) {
			spread(wave)
			_, err := h.Append(testContext, "a", &Batch{Series: wave})
			require.NoError(rt, err)
		}
		step := rapid.SampledFrom([]int64{1000, 15_000, 37_000, 300_000}).Draw(rt, "step")
		for _, expr := range engineQueries {
			q := &Query{Kind: Range, Expr: expr, Start: at(-time.Hour), End: at(-time.Hour) + 200*step, Step: step}
			want, err := prom.Run(testContext, "a", q, h)
			if rapid.Bool().Draw(rt, "tight") {
				thanos, tight = tight, thanos
			}
			got, err2 := thanos.Run(testContext, "a", q, h)
			if err != nil {
				require.Error(rt, err2, expr)
				continue
			}
			require.NoError(rt, err2, expr)
			requireSame(rt, want.Value, got.Value, expr)
		}
	})
}

// spread moves samples to multiples of 10 ms: Thanos's engine loses a sample of a range that is exactly one
// millisecond after another.
func spread(wave []Series) {
	for i := range wave {
		for j := range wave[i].Samples {
			wave[i].Samples[j].T -= wave[i].Samples[j].T % 10
		}
		for j := range wave[i].Histograms {
			wave[i].Histograms[j].T -= wave[i].Histograms[j].T % 10
		}
	}
}

// Which aggregations are fused.
func TestFused(t *testing.T) {
	for expr, want := range map[string]int{
		"sum(m)": 1, "sum by (a) (rate(m[5m]))": 1, "avg(increase(m[5m] offset 1m)) / count(m)": 2, "max((m))": 1, "histogram_quantile(0.9, sum by (le) (rate(b[5m])))": 1,
		"m": 0, "sum(m @ 5)": 0, "topk(1, m)": 0, "sum(rate({a=\"b\"}[5m]))": 0, "sum(-m)": 0, "sum(delta(m[5m]))": 0, "sum(timestamp(m))": 0, "stddev(m)": 0,
		"max_over_time(sum(m)[5m:1m])": 1, "sum(sum by (a) (m))": 1,
	} {
		opts := &thanosquery.Options{Start: time.Unix(0, 0), End: time.Unix(600, 0), Step: time.Minute, NoStepSubqueryIntervalFn: func(d time.Duration) time.Duration { return d }}
		parsed, err := ParseQuery(expr)
		require.NoError(t, err)
		plan, err := logicalplan.NewFromAST(parsed, opts, logicalplan.PlanOptions{})
		require.NoError(t, err)
		optimized, _ := plan.Optimize(append(slices.Clone(logicalplan.DefaultOptimizers), fuse{&querier{}, maxCells}))
		root, n := optimized.Root(), 0
		logicalplan.TraverseBottomUp(nil, &root, func(_, node *logicalplan.Node) bool {
			if _, ok := (*node).(*fusedNode); ok {
				n++
			}
			return false
		})
		require.Equal(t, want, n, expr)
	}
}

// requireSame compares answers; floats may differ in their last digits, for sums add up in another order.
func requireSame(t require.TestingT, want, got parser.Value, expr string) {
	w, g := want.(promql.Matrix), got.(promql.Matrix)
	require.Equal(t, len(w), len(g), "series of %s", expr)
	for i := range w {
		require.Equal(t, w[i].Metric.String(), g[i].Metric.String(), expr)
		require.Equal(t, len(w[i].Floats), len(g[i].Floats), "floats of %s %s", expr, w[i].Metric)
		for j, p := range w[i].Floats {
			require.Equal(t, p.T, g[i].Floats[j].T, expr)
			require.True(t, almost(p.F, g[i].Floats[j].F), "%s %s at %d: want %v, got %v", expr, w[i].Metric, p.T, p.F, g[i].Floats[j].F)
		}
		require.Equal(t, len(w[i].Histograms), len(g[i].Histograms), "histograms of %s %s", expr, w[i].Metric)
		for j, p := range w[i].Histograms {
			require.Equal(t, p.T, g[i].Histograms[j].T, expr)
			require.True(t, almost(p.H.Count, g[i].Histograms[j].H.Count) && almost(p.H.Sum, g[i].Histograms[j].H.Sum), expr)
		}
	}
}

func almost(a, b float64) bool {
	if math.IsNaN(a) || math.IsNaN(b) || math.IsInf(a, 0) || math.IsInf(b, 0) || a == b {
		return math.Float64bits(a) == math.Float64bits(b) || a == b || math.IsNaN(a) && math.IsNaN(b)
	}
	return math.Abs(a-b) <= 1e-9*max(math.Abs(a), math.Abs(b), 1e-3)
}
