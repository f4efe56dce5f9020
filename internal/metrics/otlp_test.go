package metrics

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// otlpMetrics has one metric of each type, of a service with a version.
func otlpMetrics() pmetric.Metrics {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("service.name", "cart")
	rm.Resource().Attributes().PutStr("service.instance.id", "i-1")
	rm.Resource().Attributes().PutStr("service.version", "1.2")
	ms := rm.ScopeMetrics().AppendEmpty().Metrics()
	now := pcommon.NewTimestampFromTime(testNow)

	gauge := ms.AppendEmpty()
	gauge.SetName("process.memory")
	gauge.SetUnit("By")
	gauge.SetDescription("Memory in use.")
	dp := gauge.SetEmptyGauge().DataPoints().AppendEmpty()
	dp.SetTimestamp(now)
	dp.SetIntValue(42)
	dp.Attributes().PutStr("pool.name", "heap")

	sum := ms.AppendEmpty()
	sum.SetName("requests")
	s := sum.SetEmptySum()
	s.SetIsMonotonic(true)
	s.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	dp = s.DataPoints().AppendEmpty()
	dp.SetTimestamp(now)
	dp.SetStartTimestamp(pcommon.NewTimestampFromTime(testNow.Add(-time.Hour)))
	dp.SetDoubleValue(7)
	e := dp.Exemplars().AppendEmpty()
	e.SetTimestamp(now)
	e.SetDoubleValue(1)
	e.SetTraceID([16]byte{1})

	hist := ms.AppendEmpty()
	hist.SetName("latency")
	hist.SetUnit("s")
	h := hist.SetEmptyHistogram()
	h.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	hp := h.DataPoints().AppendEmpty()
	hp.SetTimestamp(now)
	hp.SetCount(3)
	hp.SetSum(1.5)
	hp.ExplicitBounds().FromRaw([]float64{0.1, 1})
	hp.BucketCounts().FromRaw([]uint64{1, 1, 1})

	exp := ms.AppendEmpty()
	exp.SetName("size")
	eh := exp.SetEmptyExponentialHistogram()
	eh.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	ep := eh.DataPoints().AppendEmpty()
	ep.SetTimestamp(now)
	ep.SetCount(3)
	ep.SetSum(9)
	ep.SetScale(2)
	ep.Positive().BucketCounts().FromRaw([]uint64{1, 2})

	sm := ms.AppendEmpty()
	sm.SetName("quantiles")
	sp := sm.SetEmptySummary().DataPoints().AppendEmpty()
	sp.SetTimestamp(now)
	sp.SetCount(1)
	sp.SetSum(2)
	q := sp.QuantileValues().AppendEmpty()
	q.SetQuantile(0.5)
	q.SetValue(2)
	return md
}

func seriesText(b *Batch) []string {
	var out []string
	for _, s := range b.Series {
		for _, p := range s.Samples {
			out = append(out, fmt.Sprintf("%s %v", s.Labels, p.V))
		}
		for range s.Histograms {
			out = append(out, fmt.Sprintf("%s histogram", s.Labels))
		}
	}
	return out
}

func TestFromOTLP(t *testing.T) {
	b, rejected, err := FromOTLP(t.Context(), otlpMetrics(), DefaultOTLPConfig())
	require.NoError(t, err)
	require.Empty(t, rejected)
	require.Equal(t, []string{
		`{__name__="process_memory_bytes", instance="i-1", job="cart", pool_name="heap"} 42`,
		`{__name__="requests_total", instance="i-1", job="cart"} 7`,
		`{__name__="latency_seconds_sum", instance="i-1", job="cart"} 1.5`,
		`{__name__="latency_seconds_count", instance="i-1", job="cart"} 3`,
		`{__name__="latency_seconds_bucket", instance="i-1", job="cart", le="0.1"} 1`,
		`{__name__="latency_seconds_bucket", instance="i-1", job="cart", le="1"} 2`,
		`{__name__="latency_seconds_bucket", instance="i-1", job="cart", le="+Inf"} 3`,
		`{__name__="size", instance="i-1", job="cart"} histogram`,
		`{__name__="quantiles_sum", instance="i-1", job="cart"} 2`,
		`{__name__="quantiles_count", instance="i-1", job="cart"} 1`,
		`{__name__="quantiles", instance="i-1", job="cart", quantile="0.5"} 2`,
		`{__name__="target_info", instance="i-1", job="cart", service_version="1.2"} 1`,
	}, seriesText(b))
	counter := b.Series[1]
	require.Equal(t, Sample{Start: at(-time.Hour), T: at(0), V: 7}, counter.Samples[0])
	require.Equal(t, model.MetricTypeCounter, counter.Metadata.Type)
	require.Equal(t, "01000000000000000000000000000000", counter.Exemplars[0].Labels.Get("trace_id"))
	require.Equal(t, "Memory in use.", b.Series[0].Metadata.Help)

	// All of it is stored and found.
	h := openTestHeads(t, testHeadOptions(t, t.TempDir(), nil))
	require.Empty(t, push(t, h, "a", b.Series...).Rejected)
	require.Len(t, instant(t, "a", `{job="cart"}`, at(0), h), 12)
	require.Equal(t, []string{"{} 3"}, instant(t, "a", `histogram_count(sum(size))`, at(0), h))
}

func TestFromOTLPStrategies(t *testing.T) {
	for strategy, want := range map[string]string{
		"UnderscoreEscapingWithSuffixes":    "process_memory_bytes",
		"UnderscoreEscapingWithoutSuffixes": "process_memory",
		"NoUTF8EscapingWithSuffixes":        "process.memory_bytes",
		"NoTranslation":                     "process.memory",
	} {
		cfg := DefaultOTLPConfig()
		cfg.TranslationStrategy = strategy
		cfg.PromoteResourceAttributes = []string{"service.version"}
		cfg.KeepIdentifyingResourceAttributes = true
		require.NoError(t, cfg.Validate())
		b, _, err := FromOTLP(t.Context(), otlpMetrics(), cfg)
		require.NoError(t, err)
		ls := b.Series[0].Labels
		require.Equal(t, want, ls.Get(labels.MetricName))
		version, name := "service_version", "service_name"
		if strategy == "NoTranslation" || strategy == "NoUTF8EscapingWithSuffixes" {
			version, name = "service.version", "service.name"
		}
		require.Equal(t, "1.2", ls.Get(version))
		info := b.Series[len(b.Series)-1].Labels
		require.Equal(t, targetInfo, info.Get(labels.MetricName))
		require.Equal(t, "cart", info.Get(name))
	}
}

// One bad metric does not lose the others.
func TestFromOTLPRejections(t *testing.T) {
	md := otlpMetrics()
	ms := md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics()
	delta := ms.AppendEmpty()
	delta.SetName("delta")
	s := delta.SetEmptySum()
	s.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
	s.DataPoints().AppendEmpty().SetTimestamp(pcommon.NewTimestampFromTime(testNow))
	s.DataPoints().AppendEmpty().SetTimestamp(pcommon.NewTimestampFromTime(testNow))
	unspecified := ms.AppendEmpty()
	unspecified.SetName("unspecified")
	u := unspecified.SetEmptyHistogram()
	u.DataPoints().AppendEmpty()
	u.DataPoints().AppendEmpty()
	ms.AppendEmpty().SetName("no type")
	ms.AppendEmpty().SetEmptyGauge().DataPoints().AppendEmpty().SetTimestamp(pcommon.NewTimestampFromTime(testNow)) // no name
	empty := ms.AppendEmpty()                                                                                       // no points: nothing is lost
	empty.SetName("empty")
	empty.SetEmptyGauge()
	bad := ms.AppendEmpty()
	bad.SetName("bad")
	dp := bad.SetEmptyGauge().DataPoints().AppendEmpty()
	dp.SetTimestamp(pcommon.NewTimestampFromTime(testNow))
	dp.Attributes().PutStr("text", "\xff")

	b, rejected, err := FromOTLP(t.Context(), md, DefaultOTLPConfig())
	require.NoError(t, err)
	require.Len(t, seriesText(b), 14, "the good metrics are all there")
	counts := map[string]int{}
	for _, r := range rejected {
		counts[r.Reason] = r.Count
	}
	require.Equal(t, map[string]int{"temporality": 2, "invalid_metric": 2, "invalid_labels": 1}, counts)
	require.Contains(t, rejected[0].Message, `metric "unspecified" has no temporality`)
}

// A data point without a timestamp must not make the converter write target_info from 1970 on.
func TestFromOTLPBoundsTargetInfo(t *testing.T) {
	md := otlpMetrics()
	g := md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Gauge()
	g.DataPoints().AppendEmpty().SetIntValue(1)
	b, rejected, err := FromOTLP(t.Context(), md, DefaultOTLPConfig())
	require.NoError(t, err)
	require.Empty(t, rejected)
	info := b.Series[len(b.Series)-1]
	require.Equal(t, targetInfo, info.Labels.Get(labels.MetricName))
	require.Equal(t, []Sample{{T: at(0), V: 1}}, info.Samples)
}

func FuzzFromOTLP(f *testing.F) {
	m := pmetric.ProtoMarshaler{}
	seed, err := m.MarshalMetrics(otlpMetrics())
	require.NoError(f, err)
	f.Add(seed, byte(0))
	f.Add(seed, byte(3))
	u := pmetric.ProtoUnmarshaler{}
	f.Fuzz(func(t *testing.T, data []byte, strategy byte) {
		md, err := u.UnmarshalMetrics(data)
		if err != nil {
			return
		}
		cfg := DefaultOTLPConfig()
		cfg.TranslationStrategy = translationStrategies[int(strategy)%len(translationStrategies)]
		cfg.PromoteAllResourceAttributes = strategy&4 != 0
		cfg.ConvertHistogramsToNHCB = strategy&8 != 0
		cfg.PromoteScopeMetadata = strategy&16 != 0
		b, _, err := FromOTLP(t.Context(), md, cfg)
		require.NoError(t, err)
		for _, s := range b.Series {
			require.NotEmpty(t, s.Labels.Get(labels.MetricName))
			require.True(t, s.Labels.IsValid(model.UTF8Validation))
			require.LessOrEqual(t, len(s.Samples), md.DataPointCount()+maxTargetInfo*max(1, md.ResourceMetrics().Len()))
		}
	})
}
