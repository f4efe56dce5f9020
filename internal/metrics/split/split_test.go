package split

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/metrics"
)

func plan(t *testing.T, expr string) *Plan {
	t.Helper()
	p, err := New(&metrics.Query{Kind: metrics.Range, Expr: expr, Start: 1000, End: 9000, Step: 1000})
	require.NoError(t, err, expr)
	return p
}

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		expr, want string
		fixed      bool
		ahead      time.Duration
		shardable  bool
	}{
		{"m", "m", false, 0, false},
		{"sum(m)", "sum(m)", false, 0, true},
		{"sum(rate(m[5m] @ start()))", "sum(rate(m[5m] @ 1.000))", true, 0, true},
		{"m @ end() - m @ 3", "m @ 9.000 - m @ 3.000", true, 0, false},
		{"m offset -5m", "m offset -5m", false, 5 * time.Minute, false},
		{"max_over_time(m[1h:1m] offset -1m)", "max_over_time(m[1h:1m] offset -1m)", false, time.Minute, false},
		{"max_over_time((m offset -2m)[1h:1m] offset -1m)", "max_over_time((m offset -2m)[1h:1m] offset -1m)", false, 3 * time.Minute, false},
		{"sum({job=\"a\"})", "sum({job=\"a\"})", false, 0, false}, // series that lose their names could meet
		{"sum(a + b)", "sum(a + b)", false, 0, false},
		{"sum(1 - a)", "sum(1 - a)", false, 0, true},
		{"(count by (x) (a))", "(count by (x) (a))", false, 0, true},
		{"quantile(0.5, a)", "quantile(0.5, a)", false, 0, false},
	} {
		p := plan(t, c.expr)
		require.Equal(t, c.want, p.Query.Expr)
		require.Equal(t, c.fixed, p.Fixed, c.expr)
		require.Equal(t, c.ahead, p.Ahead, c.expr)
		require.Equal(t, c.shardable, p.Shardable, c.expr)
	}
	_, err := New(&metrics.Query{Kind: metrics.Range, Expr: "m offset (1m + 2m)", Step: 1})
	require.True(t, Whole(err))
	_, err = New(&metrics.Query{Kind: metrics.Range, Expr: "m[", Step: 1})
	require.Error(t, err)
	require.False(t, Whole(err))
}

func TestKey(t *testing.T) {
	q := metrics.Query{Kind: metrics.Range, Expr: "sum( m )", Start: 1000, End: 9000, Step: 1000}
	key := func(change func(*metrics.Query)) string {
		other := q
		change(&other)
		p, err := New(&other)
		require.NoError(t, err)
		return p.Key()
	}
	same := key(func(*metrics.Query) {})
	require.Equal(t, same, key(func(q *metrics.Query) { q.Start, q.End = 4000, 5000 }))
	require.Equal(t, same, key(func(q *metrics.Query) { q.Expr = "sum(m)" }))
	for name, change := range map[string]func(*metrics.Query){
		"phase": func(q *metrics.Query) { q.Start++ }, "step": func(q *metrics.Query) { q.Step = 500 }, "lookback": func(q *metrics.Query) { q.LookbackDelta = 1 },
		"resolution": func(q *metrics.Query) { q.MaxResolution = 1 }, "engine": func(q *metrics.Query) { q.Engine = "x" }, "replicas": func(q *metrics.Query) { q.ReplicaLabels = []string{"r"} },
		"stores": func(q *metrics.Query) { q.Stores = [][]metrics.Matcher{{{Name: "a"}}} }, "whole": func(q *metrics.Query) { q.WholeAnswer = true },
	} {
		require.NotEqual(t, same, key(change), name)
	}
}

func TestIntervals(t *testing.T) {
	p := plan(t, "m")
	require.Equal(t, []Interval{{1000, 9000}}, p.Intervals(1000, 9500, 0))
	require.Equal(t, []Interval{{1000, 3000}, {4000, 7000}, {8000, 9000}}, p.Intervals(1000, 9500, 4*time.Second))
	require.Equal(t, []Interval{{-5000, -5000}, {-4000, -1000}, {0, 1000}}, p.Intervals(-5000, 1999, 4*time.Second))
	require.Equal(t, []Interval{{1500, 3500}, {4500, 5500}}, p.Intervals(1500, 5500, 4*time.Second))
}

func TestCutAndJoin(t *testing.T) {
	series := func(name string, times ...int64) promql.Series {
		s := promql.Series{Metric: labels.FromStrings("n", name)}
		for _, at := range times {
			s.Floats = append(s.Floats, promql.FPoint{T: at, F: float64(at)})
		}
		return s
	}
	all := &metrics.Result{Value: promql.Matrix{series("a", 1, 2, 3, 4), series("b", 1), series("c", 4)}}
	first, second := Cut(all, 1, 2), Cut(all, 3, 4)
	require.Equal(t, promql.Matrix{series("a", 1, 2), series("b", 1)}, first.Value)
	require.Equal(t, promql.Matrix{series("a", 3, 4), series("c", 4)}, second.Value)
	require.Equal(t, all.Value, Join([]*metrics.Result{first, second}).Value)
	require.Equal(t, promql.Matrix{series("a", 1, 2), series("b", 1)}, first.Value, "unchanged by what was joined to it")
	require.Greater(t, Size(all), Size(first))
}
