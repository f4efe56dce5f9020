package generator

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/traces"
)

// The native form agrees with Prometheus's client bucket by bucket, at every resolution.
func TestNativeAgreesWithClient(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Help: "h", NativeHistogramBucketFactor: 1.1,
			NativeHistogramMaxBucketNumber: nativeBuckets})
		var d distribution
		d.init(form{native: true}, nil)
		wide := rapid.Float64Range(-12, 6)
		for _, e := range rapid.SliceOfN(wide, 1, 400).Draw(t, "exponents") {
			v := math.Pow(10, e)
			switch {
			case e < -11.5:
				v = 0
			case e > 5:
				v = math.Exp2(math.Floor(e)) // a bound itself
			}
			want.Observe(v)
			d.observe(v, 1, &traces.ID{}, 1)
		}
		var m dto.Metric
		require.NoError(t, want.Write(&m))
		got := d.histogram()
		require.NoError(t, got.Validate())
		require.Equal(t, m.Histogram.GetSampleCount(), uint64(got.Count))
		require.Equal(t, m.Histogram.GetZeroCount(), uint64(got.ZeroCount))
		require.LessOrEqual(t, len(got.PositiveBuckets), nativeBuckets)
		// The client counts the bucket of zero too, so that it may be one step coarser.
		require.GreaterOrEqual(t, got.Schema, m.Histogram.GetSchema())
		if got.Schema > m.Histogram.GetSchema() {
			got = got.CopyToSchema(m.Histogram.GetSchema())
		}
		client := &histogram.FloatHistogram{Schema: m.Histogram.GetSchema(), ZeroThreshold: got.ZeroThreshold, ZeroCount: got.ZeroCount, Count: got.Count, Sum: got.Sum}
		total := 0.0
		for _, s := range m.Histogram.PositiveSpan {
			client.PositiveSpans = append(client.PositiveSpans, histogram.Span{Offset: s.GetOffset(), Length: s.GetLength()})
		}
		for _, delta := range m.Histogram.PositiveDelta {
			total += float64(delta)
			client.PositiveBuckets = append(client.PositiveBuckets, total)
		}
		require.Equal(t, client.Compact(0).String(), got.Compact(0).String())
	})
}

func TestFormsOfHistograms(t *testing.T) {
	for _, c := range []struct {
		form            string
		classic, native bool
	}{{"classic", true, false}, {"native", false, true}, {"both", true, true}} {
		t.Run(c.form, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, r, _ := start(t, func(l *limits.Limits) { l.Traces.Generator.Histograms = c.form }, nil)
				g.Observe("a", encode(t, time.Now(), span{service: "cart", trace: 7, id: 1, name: "n", kind: traces.KindInternal, took: time.Second}))
				sleep(tick)
				if !c.native {
					require.Empty(t, r.all("traces_spanmetrics_latency"))
				} else {
					s := r.get(t, "traces_spanmetrics_latency")
					require.Len(t, s.Histograms, 2)
					require.Zero(t, s.Histograms[0].FH.Count)
					require.Equal(t, 1.0, s.Histograms[1].FH.Count)
					require.NoError(t, s.Histograms[1].FH.Validate())
					require.Len(t, s.Exemplars, 1)
				}
				require.Len(t, r.all("traces_spanmetrics_latency_bucket"), map[bool]int{true: 15}[c.classic])
			})
		})
	}
}
