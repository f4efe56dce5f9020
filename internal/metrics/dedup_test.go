package metrics

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
)

// Two replicas scrape the same counter at different times, and each is away for a while: one series comes
// out, without gaps, false resets and doubled values.
func TestReplicasAreOneInQueries(t *testing.T) {
	h := openTestHeads(t, testHeadOptions(t, t.TempDir(), nil))
	replica := func(name string) labels.Labels {
		return labels.FromStrings(labels.MetricName, "reqs_total", "job", "api", "replica", name)
	}
	a, b := Series{Labels: replica("a")}, Series{Labels: replica("b")}
	ha, hb := Series{Labels: labels.FromStrings(labels.MetricName, "h", "replica", "a")}, Series{Labels: labels.FromStrings(labels.MetricName, "h", "replica", "b")}
	for i := range 240 { // every 15 seconds for an hour
		ts := at(-time.Hour) + int64(i)*15_000
		if i < 100 || i > 140 {
			a.Samples = append(a.Samples, Sample{T: ts, V: float64(i)})
			ha.Histograms = append(ha.Histograms, HistogramSample{T: ts, H: tsdbutil.GenerateTestHistogram(int64(i))})
		}
		if i < 180 {
			b.Samples = append(b.Samples, Sample{T: ts + 7_000, V: float64(i) + 0.5})
			hb.Histograms = append(hb.Histograms, HistogramSample{T: ts + 7_000, H: tsdbutil.GenerateTestHistogram(int64(i))})
		}
	}
	require.Empty(t, push(t, h, "a", a, b, ha, hb).Rejected)
	e := newTestEngine()
	run := func(q Query) promql.Matrix {
		q.Kind, q.Start, q.End, q.Step = Range, at(-50*time.Minute), at(-time.Minute), 60_000
		r, err := e.Run(t.Context(), "a", &q, h)
		require.NoError(t, err)
		return r.Value.(promql.Matrix)
	}
	require.Len(t, run(Query{Expr: "reqs_total"}), 2, "apart by default")
	m := run(Query{Expr: "reqs_total", ReplicaLabels: []string{"replica"}})
	require.Len(t, m, 1)
	require.Equal(t, `{__name__="reqs_total", job="api"}`, m[0].Metric.String())
	require.Len(t, m[0].Floats, 50, "no gaps")
	for _, q := range []Query{{Expr: "sum(rate(reqs_total[5m]))"}, {Expr: "increase(reqs_total[5m]) / 300"}} {
		q.ReplicaLabels = []string{"replica"}
		m := run(q)
		require.Len(t, m, 1, q.Expr)
		for _, p := range m[0].Floats {
			require.InDelta(t, 1/15.0, p.F, 0.01, "%s at %d", q.Expr, p.T)
		}
	}
	m = run(Query{Expr: "histogram_count(h)", ReplicaLabels: []string{"replica"}})
	require.Len(t, m, 1)
	require.Len(t, m[0].Floats, 50)

	// The configuration has the default, a query the last word.
	e.cfg.ReplicaLabels = []string{"replica"}
	require.Len(t, run(Query{Expr: "reqs_total"}), 1)
	require.Len(t, run(Query{Expr: "reqs_total", NoDedup: true}), 2)
	require.Len(t, run(Query{Expr: "reqs_total", ReplicaLabels: []string{"other"}}), 2)
	r, err := e.Run(t.Context(), "a", &Query{Kind: SeriesKind, Start: MinTime, End: MaxTime, Matchers: [][]Matcher{{{Name: "job", Value: "api"}}, {{Name: "replica", Value: "a"}}}}, h)
	require.NoError(t, err)
	require.Equal(t, `[{__name__="h"} {__name__="reqs_total", job="api"}]`, fmt.Sprint(r.Series))
	r, err = e.Run(t.Context(), "a", &Query{Kind: LabelNames, Start: MinTime, End: MaxTime}, h)
	require.NoError(t, err)
	require.Equal(t, []string{"__name__", "job"}, r.Strings)
}

// Blocks of Thanos sidecars: their external labels are labels of their series, so that servers are told
// apart, and replicas can be deduplicated by them. Those of Hune's own blocks are not shown.
func TestExternalLabelsOfForeignBlocks(t *testing.T) {
	t.Parallel()
	bkt := objstore.NewInMemBucket()
	for _, replica := range []string{"x", "y"} {
		putBlock(t, bkt, map[string]string{"cluster": "eu", "prometheus_replica": replica}, 0, 2*time.Hour, time.Minute)
	}
	putBlock(t, bkt, map[string]string{"cluster": "us", "prometheus_replica": "x"}, 0, 2*time.Hour, time.Minute)
	putBlock(t, bkt, map[string]string{"tenant": "a", "replica": "0", "region": "r"}, 0, 2*time.Hour, time.Minute)
	store := newTestStore(t, bkt)
	require.NoError(t, store.Refresh(t.Context()))
	all := Select{Start: math.MinInt64 + 1, End: math.MaxInt64 - 1}
	series := func(ms ...Matcher) (out []string) {
		s := all
		s.Matchers = append(ms, Matcher{Name: labels.MetricName, Value: "gauge"})
		found, err := Gather(t.Context(), "a", s, 0, store)
		require.NoError(t, err)
		for _, f := range found {
			out = append(out, f.Labels.String())
		}
		return out
	}
	require.Equal(t, []string{
		`{__name__="gauge", cluster="eu", job="test", prometheus_replica="x"}`, `{__name__="gauge", cluster="eu", job="test", prometheus_replica="y"}`,
		`{__name__="gauge", cluster="us", job="test", prometheus_replica="x"}`, `{__name__="gauge", job="test"}`}, series())
	require.Len(t, series(Matcher{Name: "cluster", Value: "eu"}), 2)
	require.Len(t, series(Matcher{Type: labels.MatchNotEqual, Name: "cluster", Value: "eu"}), 2)
	require.Len(t, series(Matcher{Name: "cluster"}), 1)
	names, err := store.LabelNames(t.Context(), "a", all)
	require.NoError(t, err)
	require.Equal(t, []string{"__name__", "cluster", "job", "prometheus_replica"}, names)
	values, err := store.LabelValues(t.Context(), "a", "cluster", all)
	require.NoError(t, err)
	require.Equal(t, []string{"eu", "us"}, values)
	only := all
	only.Matchers = []Matcher{{Name: "cluster", Value: "us"}}
	values, err = store.LabelValues(t.Context(), "a", "prometheus_replica", only)
	require.NoError(t, err)
	require.Equal(t, []string{"x"}, values)
	e := newTestEngine()
	r, err := e.Run(t.Context(), "a", &Query{Kind: Instant, Expr: "count by (cluster) (gauge)", Start: day0.Add(time.Hour).UnixMilli(), End: day0.Add(time.Hour).UnixMilli(),
		ReplicaLabels: []string{"prometheus_replica"}}, store)
	require.NoError(t, err)
	require.Equal(t, 3, len(r.Value.(promql.Vector)))
	for _, s := range r.Value.(promql.Vector) {
		require.Equal(t, 1.0, s.F, s.Metric)
	}

	// A request to delete may name them, too.
	requests := &fakeDeletes{}
	requests.add(t, `{cluster="eu"}`, math.MinInt64, math.MaxInt64)
	store.opts.Deleted = requests.Active
	require.Len(t, series(), 2)
	s := newShop(t, bkt, 24*time.Hour)
	s.opts.Deletes = requests
	_, err = s.CleanTombstones(t.Context(), "a")
	require.NoError(t, err)
	store.opts.Deleted = nil
	require.NoError(t, store.Refresh(t.Context()))
	require.Len(t, series(), 2)
}
