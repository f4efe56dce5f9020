package metrics

import (
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"pgregory.net/rapid"
)

func increments(name string, samples ...Sample) Series {
	return Series{Labels: labels.FromStrings(labels.MetricName, name), Samples: samples, Delta: true}
}

// accumulate returns the samples of the series and the reasons of what was refused.
func accumulate(d *Deltas, limit int, now time.Time, series ...Series) (out []Sample, reasons []string) {
	b := &Batch{Series: series}
	d.Accumulate(b, limit, now, func(reason string, n int, message func() string) {
		for range n {
			reasons = append(reasons, reason)
		}
		if message() == "" {
			panic("no text")
		}
	})
	for _, s := range b.Series {
		out = append(out, s.Samples...)
	}
	return out, reasons
}

func TestDeltas(t *testing.T) {
	d := NewDeltas()
	step := func(want Sample, reason string, samples ...Sample) {
		t.Helper()
		got, reasons := accumulate(d, 0, testNow, increments("m", samples...))
		if reason != "" {
			require.Equal(t, []string{reason}, reasons)
			require.Empty(t, got)
			return
		}
		require.Empty(t, reasons)
		require.Equal(t, want, got[len(got)-1])
	}
	step(Sample{Start: 100, T: 200, V: 3}, "", Sample{Start: 100, T: 200, V: 3})
	step(Sample{Start: 100, T: 300, V: 5}, "", Sample{Start: 200, T: 300, V: 2})
	step(Sample{Start: 100, T: 300, V: 5}, "", Sample{Start: 200, T: 300, V: 2}) // sent again
	step(Sample{}, "delta_out_of_order", Sample{Start: 200, T: 300, V: 4})
	step(Sample{}, "delta_out_of_order", Sample{Start: 100, T: 200, V: 3})
	step(Sample{}, "delta_older_start", Sample{Start: 50, T: 400, V: 3})
	step(Sample{Start: 100, T: 900, V: 6}, "", Sample{Start: 800, T: 900, V: 1}) // after a gap
	step(Sample{Start: 100, T: 1100, V: 9}, "", Sample{Start: 900, T: 1000, V: 1}, Sample{Start: 1000, T: 1100, V: 2})
	step(Sample{Start: 100, T: 1200, V: 4}, "", Sample{Start: 1100, T: 1200, V: -5}) // not monotonic

	cumulative := Series{Labels: labels.FromStrings(labels.MetricName, "m"), Samples: []Sample{{T: 5, V: 7}}}
	got, reasons := accumulate(d, 0, testNow, cumulative)
	require.Empty(t, reasons)
	require.Equal(t, []Sample{{T: 5, V: 7}}, got, "what is not an increment stays as it is")
}

func TestDeltasLimitAndIdle(t *testing.T) {
	d := NewDeltas()
	_, reasons := accumulate(d, 2, testNow, increments("a", Sample{T: 1, V: 1}), increments("b", Sample{T: 1, V: 1}), increments("c", Sample{T: 1, V: 1}, Sample{T: 2, V: 1}))
	require.Equal(t, []string{"delta_series_limit", "delta_series_limit"}, reasons)
	require.Equal(t, 2, d.Len())
	later := testNow.Add(DeltaIdle - 1)
	_, reasons = accumulate(d, 2, later, increments("a", Sample{T: 2, V: 1}))
	require.Empty(t, reasons, "a known series is not new")
	d.Sweep(later.Add(1))
	require.Equal(t, 1, d.Len(), "b was idle")
	got, reasons := accumulate(d, 2, later, increments("a", Sample{T: 3, V: 1}), increments("b", Sample{Start: 8, T: 9, V: 5}))
	require.Empty(t, reasons)
	require.Equal(t, []Sample{{Start: 1, T: 3, V: 3}, {Start: 8, T: 9, V: 5}}, got, "b starts anew, with a start of its own")
}

// Whatever is late, sent again or missing, each increment that was not refused is in the sum once.
func TestDeltasAddUp(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := NewDeltas()
		added := map[int64]float64{}
		newest := int64(0)
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			ts := int64(rapid.IntRange(1, 15).Draw(rt, "t")) * 10
			p := Sample{Start: ts - 10, T: ts, V: float64(rapid.IntRange(1, 3).Draw(rt, "v"))}
			p.Start = max(p.Start, 1)
			got, reasons := accumulate(d, 0, testNow, increments("m", p))
			if len(reasons) > 0 {
				require.Empty(rt, got)
				require.True(rt, ts <= newest, "refused without need")
				continue
			}
			if ts > newest {
				added[ts], newest = p.V, ts
			}
			total := 0.0
			for _, v := range added {
				total += v
			}
			require.Equal(rt, total, got[0].V)
		}
	})
}

func TestDeltasOfHistograms(t *testing.T) {
	d := NewDeltas()
	send := func(start, ts int64, h HistogramSample) ([]HistogramSample, []string) {
		h.Start, h.T = start, ts
		b := &Batch{Series: []Series{{Labels: labels.FromStrings(labels.MetricName, "h"), Histograms: []HistogramSample{h}, Delta: true}}}
		var reasons []string
		d.Accumulate(b, 0, testNow, func(reason string, _ int, message func() string) { reasons = append(reasons, reason+message()[:0]) })
		return b.Series[0].Histograms, reasons
	}
	one := tsdbutil.GenerateTestHistogram(1)
	got, reasons := send(10, 20, HistogramSample{H: one})
	require.Empty(t, reasons)
	require.Equal(t, float64(one.Count), got[0].FH.Count)
	first := got[0].FH
	got, _ = send(20, 30, HistogramSample{FH: tsdbutil.GenerateTestFloatHistogram(2)})
	require.Equal(t, float64(one.Count+tsdbutil.GenerateTestHistogram(2).Count), got[0].FH.Count)
	require.Equal(t, int64(10), got[0].Start)
	require.NoError(t, got[0].FH.Validate())
	require.Equal(t, float64(one.Count), first.Count, "what was handed on is not touched")
	again, _ := send(20, 30, HistogramSample{FH: tsdbutil.GenerateTestFloatHistogram(2)})
	require.True(t, got[0].FH.Equals(again[0].FH))

	_, reasons = send(30, 40, HistogramSample{H: tsdbutil.GenerateTestCustomBucketsHistogram(1)})
	require.Equal(t, []string{"delta_histogram_schema"}, reasons)
	after, _ := send(30, 40, HistogramSample{H: one})
	require.Equal(t, got[0].FH.Count+float64(one.Count), after[0].FH.Count, "the sum is as it was")

	// Buckets anywhere: the sum keeps its size.
	for i := range 50 {
		wide := &histogram.FloatHistogram{Schema: 5, Count: 20, PositiveSpans: []histogram.Span{{Offset: int32(i * 100), Length: 20}}, PositiveBuckets: make([]float64, 20)}
		for j := range wide.PositiveBuckets {
			wide.PositiveBuckets[j] = 1
		}
		after, reasons = send(int64(40+i), int64(41+i), HistogramSample{FH: wide})
		require.Empty(t, reasons)
		require.LessOrEqual(t, len(after[0].FH.PositiveBuckets), maxDeltaBuckets)
	}
	require.NoError(t, after[0].FH.Validate())
}

// OTLP metrics of delta temporality, of every type, are stored as an SDK that counts from its start would send them.
func TestDeltasFromOTLP(t *testing.T) {
	h := openTestHeads(t, testHeadOptions(t, t.TempDir(), nil))
	d := NewDeltas()
	for i := range 3 {
		md := otlpMetrics()
		ms := md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics()
		end := testNow.Add(time.Duration(i) * time.Second)
		for _, m := range ms.All() {
			setDelta(m, end)
		}
		b, rejected, err := FromOTLP(t.Context(), md, DefaultOTLPConfig())
		require.NoError(t, err)
		require.Empty(t, rejected)
		require.Equal(t, pmetric.AggregationTemporalityDelta, ms.At(1).Sum().AggregationTemporality(), "the request is not changed")
		d.Accumulate(b, 0, testNow, func(reason string, _ int, message func() string) { t.Fatal(reason, message()) })
		require.Empty(t, push(t, h, "a", b.Series...).Rejected)
	}
	now := at(2 * time.Second)
	require.Equal(t, []string{`{__name__="requests_total", instance="i-1", job="cart"} 21`}, instant(t, "a", "requests_total", now, h))
	require.Equal(t, []string{`{__name__="latency_seconds_bucket", instance="i-1", job="cart", le="1"} 6`}, instant(t, "a", `latency_seconds_bucket{le="1"}`, now, h))
	require.Equal(t, []string{`{instance="i-1", job="cart"} 9`}, instant(t, "a", "histogram_count(size)", now, h))
	require.Equal(t, []string{`{__name__="process_memory_bytes", instance="i-1", job="cart", pool_name="heap"} 42`}, instant(t, "a", "process_memory_bytes", now, h), "a gauge is none")
	require.Equal(t, []string{`{__name__="target_info", instance="i-1", job="cart", service_version="1.2"} 1`}, instant(t, "a", "target_info", now, h))
	md, err := h.Metadata(t.Context(), "a", "requests_total", 0)
	require.NoError(t, err)
	require.Equal(t, model.MetricTypeCounter, md["requests_total"][0].Type)
}

// setDelta makes the data points of m increments of the second before end.
func setDelta(m pmetric.Metric, end time.Time) {
	stop, start := pcommon.NewTimestampFromTime(end), pcommon.NewTimestampFromTime(end.Add(-time.Second))
	switch m.Type() {
	case pmetric.MetricTypeSum:
		m.Sum().SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		m.Sum().DataPoints().At(0).SetTimestamp(stop)
		m.Sum().DataPoints().At(0).SetStartTimestamp(start)
	case pmetric.MetricTypeHistogram:
		m.Histogram().SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		m.Histogram().DataPoints().At(0).SetTimestamp(stop)
		m.Histogram().DataPoints().At(0).SetStartTimestamp(start)
	case pmetric.MetricTypeExponentialHistogram:
		m.ExponentialHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		m.ExponentialHistogram().DataPoints().At(0).SetTimestamp(stop)
		m.ExponentialHistogram().DataPoints().At(0).SetStartTimestamp(start)
	case pmetric.MetricTypeGauge:
		m.Gauge().DataPoints().At(0).SetTimestamp(stop)
	case pmetric.MetricTypeSummary:
		m.Summary().DataPoints().At(0).SetTimestamp(stop)
	}
}
