package distributor

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/metrics"
)

func sample(at time.Time, v float64) metrics.Sample {
	return metrics.Sample{T: at.UnixMilli(), V: v}
}

func series(lbls labels.Labels, samples ...metrics.Sample) metrics.Series {
	return metrics.Series{Labels: lbls, Samples: samples}
}

func TestPushMetricsRejectsOnlyWhatIsBad(t *testing.T) {
	up := labels.FromStrings("__name__", "up", "job", "a")
	wide := labels.NewBuilder(manyLabels(1000)).Set("__name__", "wide").Labels()
	var dup labels.ScratchBuilder
	dup.Add("__name__", "up")
	dup.Add("job", "a")
	dup.Add("job", "b")
	var unsorted labels.ScratchBuilder
	unsorted.Add("job", "a")
	unsorted.Add("__name__", "up")
	h := func() *histogram.Histogram { return tsdbutil.GenerateTestHistogram(1) }
	broken := h()
	broken.PositiveSpans[0].Length = 7
	far := h()
	far.PositiveSpans[0].Offset = math.MaxInt32
	for name, c := range map[string]struct {
		series metrics.Series
		reason string
		text   string
		count  int
	}{
		"no name": {series(labels.FromStrings("job", "a"), sample(now, 1)), "missing_metric_name", `series {job="a"} has no metric name`, 1},
		"nothing": {series(labels.EmptyLabels(), sample(now, 1)), "missing_labels", "series has no labels", 1},
		"1000 labels": {series(wide, sample(now, 1), sample(now, 2)), "max_label_names_per_series",
			"label_limit exceeded (metric: wide, number of labels: 1001, limit: 30)", 2},
		"long name": {series(labels.FromStrings("__name__", "up", strings.Repeat("n", 1025), "v"), sample(now, 1)), "label_name_too_long",
			"length: 1025, limit: 1024)", 1},
		"long value": {series(labels.FromStrings("__name__", "up", "n", strings.Repeat("v", 2049)), sample(now, 1)), "label_value_too_long",
			"length: 2049, limit: 2048)", 1},
		"not UTF-8":           {series(labels.FromStrings("__name__", "up\xff"), sample(now, 1)), "invalid_labels", "invalid metric name or labels, got", 1},
		"label twice":         {series(dup.Labels(), sample(now, 1)), "duplicate_label_names", "duplicated label job", 1},
		"unsorted":            {series(unsorted.Labels(), sample(now, 1)), "invalid_labels", "are not sorted at __name__", 1},
		"too far ahead":       {series(up, sample(now.Add(time.Hour), 1)), "too_far_in_future", "2026-05-01T13:00:00Z is too far in the future", 1},
		"end of time":         {series(up, metrics.Sample{T: math.MaxInt64}), "too_far_in_future", "timestamp 9223372036854775807 ms is too far", 1},
		"beginning of time":   {series(up, metrics.Sample{T: math.MinInt64}, metrics.Sample{}), "invalid_timestamp", "invalid timestamp: -9223372036854775808", 2},
		"too old":             {series(up, sample(now.Add(-48*time.Hour), 1)), "greater_than_max_sample_age", "too old: 2026-04-29T12:00:00Z", 1},
		"histogram ahead":     {metrics.Series{Labels: up, Histograms: []metrics.HistogramSample{{T: now.Add(time.Hour).UnixMilli(), H: h()}}}, "too_far_in_future", "histogram for series", 1},
		"no histogram":        {metrics.Series{Labels: up, Histograms: []metrics.HistogramSample{{T: now.UnixMilli()}}}, "invalid_native_histogram", "neither integer nor float", 1},
		"two histograms":      {metrics.Series{Labels: up, Histograms: []metrics.HistogramSample{{T: now.UnixMilli(), H: h(), FH: h().ToFloat(nil)}}}, "invalid_native_histogram", "both integer and float", 1},
		"broken histogram":    {metrics.Series{Labels: up, Histograms: []metrics.HistogramSample{{T: now.UnixMilli(), H: broken}}}, "invalid_native_histogram", "spans", 1},
		"far-away buckets":    {metrics.Series{Labels: up, Histograms: []metrics.HistogramSample{{T: now.UnixMilli(), H: far}}}, "invalid_native_histogram", "spans reach bucket index", 1},
		"far-away float":      {metrics.Series{Labels: up, Histograms: []metrics.HistogramSample{{T: now.UnixMilli(), FH: far.ToFloat(nil)}}}, "invalid_native_histogram", "spans reach bucket index", 1},
		"long exemplar":       {metrics.Series{Labels: up, Exemplars: []exemplar.Exemplar{{Labels: labels.FromStrings("trace_id", strings.Repeat("a", 300)), Ts: now.UnixMilli(), HasTs: true}}}, "exemplar_labels_too_long", "have 308 characters, limit: 256", 1},
		"bad exemplar":        {metrics.Series{Labels: up, Exemplars: []exemplar.Exemplar{{Labels: labels.FromStrings("trace_id", "\xff"), Ts: now.UnixMilli(), HasTs: true}}}, "invalid_exemplar", "not valid UTF-8", 1},
		"exemplar ahead":      {metrics.Series{Labels: up, Exemplars: []exemplar.Exemplar{{Ts: now.Add(time.Hour).UnixMilli(), HasTs: true}}}, "too_far_in_future", "exemplar for series", 1},
		"metadata of nothing": {metrics.Series{Metadata: &metadata.Metadata{Help: "x"}}, "missing_labels", "series has no labels", 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(l *limits.Limits) { l.MaxAge = model.Duration(24 * time.Hour) })
			good := series(labels.FromStrings("__name__", "good.utf8 €"), sample(now, 1))
			r, err := f.PushMetrics(as("t1"), &metrics.Batch{Series: []metrics.Series{c.series, good}})
			require.NoError(t, err)
			require.Equal(t, 1, r.Samples)
			require.Len(t, r.Rejected, 1)
			require.Equal(t, c.reason, r.Rejected[0].Reason)
			require.Contains(t, r.Rejected[0].Message, c.text)
			require.Equal(t, c.count, r.Rejected[0].Count)
			require.Less(t, len(r.Rejected[0].Message), 1024)
			require.Equal(t, float64(c.count), f.discardedTotal(t, "metrics", c.reason, "t1"))
			require.Len(t, f.ingester.metrics[0].Series, 1)
			require.Equal(t, "good.utf8 €", f.ingester.metrics[0].Series[0].Labels.Get("__name__"))
		})
	}
}

func TestPushMetricsKeepsTheRestOfASeries(t *testing.T) {
	f := newFixture(t, nil)
	s := metrics.Series{
		Labels:     labels.FromStrings("__name__", "x"),
		Samples:    []metrics.Sample{sample(now, 1), {T: -1}, sample(now.Add(time.Second), 2), sample(now.Add(time.Hour), 3), sample(now.Add(2*time.Second), 4)},
		Histograms: []metrics.HistogramSample{{T: now.UnixMilli()}, {T: now.UnixMilli(), H: tsdbutil.GenerateTestHistogram(1)}},
		Exemplars:  []exemplar.Exemplar{{Labels: labels.FromStrings("a", "b"), Value: 1}},
	}
	r, err := f.PushMetrics(as("t1"), &metrics.Batch{Series: []metrics.Series{s, {Labels: labels.FromStrings("__name__", "nothing")}}})
	require.NoError(t, err)
	require.Equal(t, metrics.PushResult{Samples: 3, Histograms: 1, Exemplars: 1, Rejected: r.Rejected}, r)
	require.Len(t, r.Rejected, 3)
	got := f.ingester.metrics[0]
	require.Len(t, got.Series, 1, "a series without data is not passed on")
	require.Equal(t, []float64{1, 2, 4}, []float64{got.Series[0].Samples[0].V, got.Series[0].Samples[1].V, got.Series[0].Samples[2].V})
}

func TestPushMetricsMergesTheIngestersRejections(t *testing.T) {
	f := newFixture(t, nil)
	f.ingester.rejects = []metrics.Rejection{{Reason: "out_of_order", Message: "out of order sample", Count: 2}, {Reason: "too_far_in_future", Message: "other", Count: 1}}
	x := labels.FromStrings("__name__", "x")
	r, err := f.PushMetrics(as("t1"), &metrics.Batch{Series: []metrics.Series{series(x, sample(now, 1), sample(now.Add(time.Hour), 1))}})
	require.NoError(t, err)
	require.Len(t, r.Rejected, 2)
	require.Equal(t, "too_far_in_future", r.Rejected[0].Reason)
	require.Equal(t, 2, r.Rejected[0].Count)
	require.Equal(t, 2.0, f.discardedTotal(t, "metrics", "out_of_order", "t1"))
	require.Equal(t, 2.0, f.discardedTotal(t, "metrics", "too_far_in_future", "t1"))
}

func TestMetricsRateLimit(t *testing.T) {
	f := newFixture(t, func(l *limits.Limits) { l.Metrics.IngestionRate = 10 })
	x := labels.FromStrings("__name__", "x")
	push := func(n int) error {
		s := series(x)
		for i := range n {
			s.Samples = append(s.Samples, sample(now.Add(time.Duration(i)*time.Millisecond), 1))
		}
		_, err := f.PushMetrics(as("t1"), &metrics.Batch{Series: []metrics.Series{s}})
		return err
	}
	require.NoError(t, push(100), "the default burst is ten seconds")
	err := push(20)
	require.Equal(t, fault.RateLimited, fault.ClassOf(err))
	require.Equal(t, 2*time.Second, fault.RetryAfter(err))
	require.Equal(t, 20.0, f.discardedTotal(t, "metrics", "rate_limited", "t1"))
}
