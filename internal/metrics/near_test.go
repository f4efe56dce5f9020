package metrics

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"pgregory.net/rapid"
)

// nearSeriesOf are series with what makes a difference: resets, markers of staleness, gaps, numbers that aren't.
func nearSeriesOf() []Series {
	var out []Series
	for i := range 12 {
		for _, name := range []string{"load", "requests_total"} {
			s := Series{Labels: labels.FromStrings(labels.MetricName, name, "job", fmt.Sprint("j", i%3), "n", fmt.Sprint(i))}
			for k := range 60 {
				v := float64(k*(i+1)) / 2
				switch {
				case name == "load":
					v = float64((k*7+i*3)%11) - 5
				case i%4 == 1 && k > 30:
					v = float64(k - 30) // a reset
				}
				switch {
				case i == 5 && k%9 == 8:
					v = math.Float64frombits(value.StaleNaN)
				case i == 6 && k%5 == 0:
					v = math.NaN()
				case i == 7 && k%6 == 0 && name == "load":
					v = math.Inf(1 - 2*(k%2))
				case i == 8 && k > 20 && k < 50: // a gap
					continue
				case i == 9 && k > 55:
					v = math.Float64frombits(value.StaleNaN)
				}
				s.Samples = append(s.Samples, Sample{T: at(time.Duration(k-59) * 15 * time.Second), V: v})
			}
			out = append(out, s)
		}
	}
	return out
}

// nearExpression draws an expression that Near plans.
func nearExpression(t *rapid.T, depth int) string {
	pick := func(name string, from ...string) string { return rapid.SampledFrom(from).Draw(t, name) }
	selector := func() string {
		return pick("selector", `load`, `load{job="j1"}`, `requests_total{n!="3"}`, `requests_total`, `{job=~"j[01]"}`, `{__name__=~"load|requests_total",n="2"}`, `nothing`)
	}
	offset := func() string { return pick("offset", "", "", " offset 1m", " offset -30s") }
	if depth == 0 {
		if rapid.Bool().Draw(t, "range") {
			call := pick("over", "rate(%s)", "increase(%s)", "delta(%s)", "irate(%s)", "idelta(%s)", "deriv(%s)", "predict_linear(%s, 60)", "changes(%s)", "resets(%s)",
				"avg_over_time(%s)", "min_over_time(%s)", "max_over_time(%s)", "sum_over_time(%s)", "count_over_time(%s)", "last_over_time(%s)",
				"present_over_time(%s)", "quantile_over_time(0.5, %s)", "stddev_over_time(%s)", "stdvar_over_time(%s)")
			return fmt.Sprintf(call, selector()+pick("width", "[1m]", "[5m]", "[13m]")+offset())
		}
		return selector() + offset()
	}
	in := nearExpression(t, depth-1)
	switch pick("node", "op", "op", "swapped", "bool", "aggregate", "aggregate", "function") {
	case "op":
		return fmt.Sprintf("(%s) %s %s", in, pick("operator", "+", "-", "*", "/", "%", "^", "==", "!=", ">", "<", ">=", "<=", "atan2"), pick("number", "0", "-2", "3.5", "NaN"))
	case "swapped":
		return fmt.Sprintf("%s %s (%s)", pick("number", "1", "-1"), pick("operator", "+", "-", "/", ">", "<="), in)
	case "bool":
		return fmt.Sprintf("(%s) %s bool 2", in, pick("operator", "==", ">", "<="))
	case "function":
		return fmt.Sprintf(pick("function", "abs(%s)", "ceil(%s)", "floor(%s)", "round(%s, 2)", "round(%s)", "clamp(%s, -1, 4)", "clamp_min(%s, 1)", "sgn(%s)", "sqrt(%s)"), in)
	}
	return fmt.Sprintf("%s%s(%s)", pick("aggregation", "sum", "avg", "min", "max", "count", "group"), pick("grouping", "", " by (job)", " without (n)", " by (__name__, job)", " by (nothing)"), in)
}

// What Near answers is what Prometheus's engine does.
func TestNearAgreesWithPrometheus(t *testing.T) {
	h := openTestHeads(t, quickOptions(t, t.TempDir(), nil))
	push(t, h, "a", nearSeriesOf()...)
	e := newTestEngine()
	near := NewNear(e, h, newTestStore(t, objstore.NewInMemBucket()))
	answered := 0
	rapid.Check(t, func(rt *rapid.T) {
		for range 20 {
			expr := nearExpression(rt, rapid.IntRange(0, 3).Draw(rt, "depth"))
			when := at(-time.Duration(rapid.IntRange(0, 900).Draw(rt, "seconds ago")) * time.Second)
			want, err := e.Run(testContext, "a", &Query{Kind: Instant, Expr: expr, Start: when, End: when, Engine: PrometheusEngine}, h)
			got, ok := near.Instant(testContext, "a", expr, when)
			if err != nil { // two series of the same labels, which the engine has the words for
				require.False(rt, ok, "%s: %v", expr, err)
				continue
			}
			if !ok { // a mean of infinite numbers, or series that would have been the same
				continue
			}
			answered++
			requireSameVector(rt, expr, want.Value.(promql.Vector), got)
		}
	})
	require.Greater(t, answered, 100, "most expressions are Near's")
}

func requireSameVector(t require.TestingT, expr string, want, got promql.Vector) {
	require.Len(t, got, len(want), expr)
	byLabels := func(a, b promql.Sample) int { return labels.Compare(a.Metric, b.Metric) }
	want, got = slices.Clone(want), slices.Clone(got)
	slices.SortFunc(want, byLabels)
	slices.SortFunc(got, byLabels)
	for i := range want {
		require.Equal(t, want[i].Metric.String(), got[i].Metric.String(), expr)
		require.Equal(t, want[i].T, got[i].T, expr)
		if w, g := want[i].F, got[i].F; w != g && !(math.IsNaN(w) && math.IsNaN(g)) {
			// Sums may be taken in another order.
			require.InEpsilon(t, w, g, 1e-9, "%s of %s", expr, want[i].Metric)
		}
	}
}

// What isn't all in the head, or isn't of its kinds, Near leaves to others.
func TestNearKnowsItsLimits(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	open := func(change func(*HeadOptions)) (*Heads, *Near) {
		o := quickOptions(t, t.TempDir(), bkt)
		if change != nil {
			change(&o)
		}
		h := openTestHeads(t, o)
		push(t, h, "a", nearSeriesOf()...)
		return h, NewNear(newTestEngine(), h, newTestStore(t, bkt))
	}
	h, near := open(nil)
	ask := func(n *Near, expr string, when int64) bool {
		_, ok := n.Instant(context.Background(), "a", expr, when)
		return ok
	}
	require.True(t, ask(near, "sum(load)", at(0)))
	for _, expr := range []string{"load + load", "topk(1, load)", "load @ 0", "absent(load)", "time()", "1", "max_over_time(load[5m:1m])", "rate(load[2h])",
		"label_replace(load, 'a', 'b', 'c', 'd')", "histogram_quantile(0.9, load)", "sum(", "vector(1)", "scalar(load)", "sort(load)", "timestamp(load)"} {
		require.False(t, ask(near, expr, at(0)), expr)
	}
	_, ok := near.Instant(t.Context(), "b", "load", at(0))
	require.False(t, ok, "a tenant without a head may have blocks")

	// Late samples, histograms, many series.
	push(t, h, "late", floats("load", Sample{T: at(0), V: 1}))
	push(t, h, "late", floats("load", Sample{T: at(-time.Minute), V: 1}))
	_, ok = near.Instant(t.Context(), "late", "load", at(0))
	require.False(t, ok, "a sample that came out of order")
	push(t, h, "native", Series{Labels: labels.FromStrings(labels.MetricName, "load"),
		Histograms: []HistogramSample{{T: at(0), H: tsdbutil.GenerateTestHistogram(1)}}})
	_, ok = near.Instant(t.Context(), "native", "load", at(0))
	require.False(t, ok, "a native histogram")
	var many []Series
	for i := range nearSeries + 1 {
		many = append(many, Series{Labels: labels.FromStrings(labels.MetricName, "load", "n", fmt.Sprint(i)), Samples: []Sample{{T: at(0), V: 1}}})
	}
	push(t, h, "many", many...)
	_, ok = near.Instant(t.Context(), "many", "sum(load)", at(0))
	require.False(t, ok, "many series")

	// Deleted samples.
	_, hiding := open(func(o *HeadOptions) {
		o.Deleted = func(string) *Deletions {
			return NewDeletions([]Deletion{{ID: "d", Start: at(-time.Minute), End: at(0)}})
		}
	})
	require.False(t, ask(hiding, "load", at(0)))
	require.True(t, ask(hiding, "load", at(-6*time.Minute)), "what is deleted is later")

	// Blocks on the disk.
	require.NoError(t, h.Flush(t.Context()))
	require.False(t, ask(near, "load", at(0)))
}

// BenchmarkNear is one rule's question: ten of many series.
func BenchmarkNear(b *testing.B) {
	h := openTestHeads(b, quickOptions(b, b.TempDir(), nil))
	for shard := range 1000 {
		var batch []Series
		for n := range 10 {
			s := Series{Labels: labels.FromStrings(labels.MetricName, "load", "n", fmt.Sprint(n), "shard", fmt.Sprint(shard))}
			for k := range 20 {
				s.Samples = append(s.Samples, Sample{T: at(time.Duration(k-19) * 15 * time.Second), V: float64(n)})
			}
			batch = append(batch, s)
		}
		push(b, h, "a", batch...)
	}
	near := NewNear(newTestEngine(), h, newTestStore(b, objstore.NewInMemBucket()))
	for _, expr := range []string{`load{shard="%d"} > 100`, `rate(load{shard="%d"}[5m]) > 100`, `sum by (n) (load{shard="%d"}) > 100`} {
		b.Run(expr, func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				if _, ok := near.Instant(b.Context(), "a", fmt.Sprintf(expr, i%1000), at(0)); !ok {
					b.Fatal("not answered")
				}
			}
		})
	}
}
