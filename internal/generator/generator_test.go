package generator

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/traces"
)

const tick = 15 * time.Second

// A span becomes a call, a size, a duration in a bucket with an exemplar, and its resource a target.
func TestSpanMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, r, _ := start(t, nil, nil)
		began := time.Now()
		sleep(time.Second)
		b := encode(t, time.Now(),
			span{service: "cart", trace: 1, id: 1, name: "GET /cart", kind: traces.KindServer, took: 30 * time.Millisecond,
				onResource: []traces.Attribute{text("service.namespace", "shop"), text("service.instance.id", "cart-1"), text("host.name", "n1")}},
			span{service: "cart", trace: 2, id: 1, name: "GET /cart", kind: traces.KindServer, took: 50 * time.Millisecond},
			span{service: "cart", trace: 3, id: 1, name: "GET /cart", kind: traces.KindServer, status: traces.StatusError, message: "boom"})
		g.Observe("a", b)
		sleep(tick)
		ok := r.get(t, "traces_spanmetrics_calls_total", "service", "cart", "span_name", "GET /cart", "span_kind", "SPAN_KIND_SERVER", "status_code", "STATUS_CODE_UNSET")
		require.Equal(t, 5, ok.Labels.Len(), ok.Labels)
		require.Equal(t, began.Add(time.Second).UnixMilli(), ok.Samples[0].T, "a zero when it began")
		require.Zero(t, ok.Samples[0].V)
		require.Equal(t, began.Add(tick).UnixMilli(), ok.Samples[1].T)
		require.Equal(t, ok.Samples[0].T, ok.Samples[1].Start)
		require.Equal(t, 2.0, newest(ok))
		require.Equal(t, model.MetricTypeCounter, ok.Metadata.Type)
		require.Equal(t, 1.0, newest(r.get(t, "traces_spanmetrics_calls_total", "status_code", "STATUS_CODE_ERROR")))
		require.Greater(t, newest(r.get(t, "traces_spanmetrics_size_total", "status_code", "STATUS_CODE_UNSET")), 60.0)

		require.Equal(t, 2.0, newest(r.get(t, "traces_spanmetrics_latency_count", "status_code", "STATUS_CODE_UNSET")))
		require.InDelta(t, 0.08, newest(r.get(t, "traces_spanmetrics_latency_sum", "status_code", "STATUS_CODE_UNSET")), 1e-9)
		for le, want := range map[string]float64{"0.016": 0, "0.032": 1, "0.064": 2, "+Inf": 2} {
			require.Equal(t, want, newest(r.get(t, "traces_spanmetrics_latency_bucket", "status_code", "STATUS_CODE_UNSET", "le", le)), le)
		}
		slowest := r.get(t, "traces_spanmetrics_latency_bucket", "status_code", "STATUS_CODE_UNSET", "le", "0.064")
		require.Len(t, slowest.Exemplars, 1)
		require.Equal(t, `{traceID="00000000000000000000000000000002"}`, slowest.Exemplars[0].Labels.String())
		require.InDelta(t, 0.05, slowest.Exemplars[0].Value, 1e-9)

		target := r.get(t, "traces_target_info")
		require.Equal(t, `{__name__="traces_target_info", host_name="n1", instance="cart-1", job="shop/cart"}`, target.Labels.String())
		require.Equal(t, 1.0, newest(target))

		// Without spans the values stay, and so does the exemplar's absence.
		sleep(tick)
		require.Len(t, r.get(t, "traces_spanmetrics_calls_total", "status_code", "STATUS_CODE_UNSET").Samples, 3)
		require.Len(t, r.get(t, "traces_spanmetrics_latency_bucket", "status_code", "STATUS_CODE_UNSET", "le", "0.064").Exemplars, 1)
	})
}

func TestDimensions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, r, _ := start(t, func(l *limits.Limits) {
			m := &l.Traces.Generator.SpanMetrics
			m.Dimensions = []string{"http.method", "service", "k8s.pod", "http-method"}
			m.DimensionMappings = []limits.DimensionMapping{{Name: "env/zone", SourceLabels: []string{"env", "zone"}, Join: "-"}}
			m.IntrinsicDimensions.StatusMessage, m.IntrinsicDimensions.SpanName, m.JobAndInstanceLabels = true, false, true
			m.TargetInfoExcludedDimensions = []string{"secret"}
			m.SpanMultiplierKey = "ratio"
			l.Metrics.MaxLabelValueLength = 18
		}, nil)
		g.Observe("a", encode(t, time.Now(), span{service: "cart", trace: 1, id: 1, name: "n", kind: traces.KindInternal, message: "a message that is long",
			attributes: []traces.Attribute{text("http.method", "GET"), text("service", "x"), text("k8s.pod", "of the span"), text("zone", "b"),
				{Key: "ratio", Type: traces.TypeFloat, Float: 0.25}},
			onResource: []traces.Attribute{text("k8s.pod", "p1"), text("env", "prod"), text("secret", "s"), text("service.instance.id", "i")}}))
		sleep(tick)
		calls := r.get(t, "traces_spanmetrics_calls_total")
		require.Equal(t, `{__name__="traces_spanmetrics_calls_total", __service="x", env_zone="prod-b", http_method="GET", instance="i", job="cart", k8s_pod="p1", `+
			`service="cart", span_kind="SPAN_KIND_INTERNAL", status_code="STATUS_CODE_UNSET", status_message="a message that is "}`, calls.Labels.String())
		require.Equal(t, 4.0, newest(calls))
		require.Empty(t, r.get(t, "traces_target_info").Labels.Get("secret"))
	})
}

// Series that got no spans end with a marker, and begin again with a zero.
func TestStaleness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, r, _ := start(t, nil, func(c *Config) { c.StaleAfter = model.Duration(2 * time.Minute) })
		one := func() {
			g.Observe("a", encode(t, time.Now(), span{service: "cart", trace: 1, id: 1, name: "n", kind: traces.KindServer, took: time.Second,
				onResource: []traces.Attribute{text("host.name", "n1")}}))
		}
		sleep(time.Second)
		one()
		sleep(2 * tick)
		calls := func() *metrics.Series { return r.get(t, "traces_spanmetrics_calls_total") }
		require.Equal(t, 1.0, newest(calls()))
		sleep(2 * time.Minute)
		require.True(t, isStale(calls()))
		for _, name := range []string{"traces_target_info", "traces_spanmetrics_latency_count", "traces_service_graph_request_total"} {
			require.True(t, isStale(r.get(t, name)), name)
		}
		for _, b := range r.all("traces_spanmetrics_latency_bucket") {
			require.True(t, isStale(b))
		}
		ended := len(calls().Samples)
		sleep(time.Minute)
		require.Len(t, calls().Samples, ended, "nothing after the end")
		require.Zero(t, tenants(g), "a tenant without series is forgotten")
		one()
		sleep(tick)
		samples := calls().Samples
		require.Equal(t, []float64{0, 1}, []float64{samples[ended].V, samples[ended+1].V})
		for i := 1; i < len(samples); i++ {
			require.Greater(t, samples[i].T, samples[i-1].T)
		}
	})
}

// Above the limit spans are counted together; nothing grows.
func TestOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, r, reg := start(t, func(l *limits.Limits) {
			l.Traces.Generator.MaxActiveSeries = 60
			l.Traces.Generator.SpanMetrics.EnableTargetInfo = false
		}, nil)
		for i := range 100 {
			g.Observe("a", encode(t, time.Now(), span{service: "cart", trace: uint64(i + 1), id: 1, name: "op" + string(rune('A'+i)), kind: traces.KindInternal}))
		}
		sleep(tick)
		require.Len(t, r.all("traces_spanmetrics_calls_total"), 4, "three entries of 19 series, and the one of the overflow")
		require.Equal(t, 97.0, newest(r.get(t, "traces_spanmetrics_calls_total", "metric_overflow", "true")))
		require.Equal(t, 97.0, newest(r.get(t, "traces_spanmetrics_latency_count", "metric_overflow", "true")))
		require.Equal(t, 97.0, gathered(t, reg, "hune_generator_overflowed_total"))
	})
}

// A write that fails loses nothing: counters go on, and the zero comes with the write that succeeds.
func TestWriteFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, r, reg := start(t, nil, nil)
		r.fail(errors.New("no room"))
		g.Observe("a", encode(t, time.Now(), span{service: "cart", trace: 1, id: 1, name: "n", kind: traces.KindInternal}))
		sleep(tick + time.Second)
		r.fail(nil)
		sleep(tick)
		calls := r.get(t, "traces_spanmetrics_calls_total")
		require.Len(t, calls.Samples, 2)
		require.Zero(t, calls.Samples[0].V)
		require.Equal(t, 1.0, calls.Samples[1].V)
		require.Equal(t, 1.0, gathered(t, reg, "hune_generator_write_failures_total"))
	})
}

// A stop writes what was counted since the last collection.
func TestStopWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, r, reg := start(t, nil, nil)
		g.Observe("a", encode(t, time.Now(), span{service: "cart", trace: 1, id: 1, name: "n", kind: traces.KindInternal}))
		sleep(time.Second)
		stop(t, g)
		require.Equal(t, 1.0, newest(r.get(t, "traces_spanmetrics_calls_total")))
		g.Observe("a", encode(t, time.Now(), span{service: "cart", trace: 1, id: 1, name: "n"}))
		require.Equal(t, 1.0, gathered(t, reg, "hune_generator_dropped_spans_total"))
	})
}

// Spans that ended long ago or will end, tenants that don't want metrics, and malformed bytes.
func TestNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, r, reg := start(t, nil, nil)
		at := func(d time.Duration) span {
			return span{service: "cart", trace: 1, id: 1, name: "n", kind: traces.KindInternal, ended: time.Now().Add(d)}
		}
		g.Observe("a", encode(t, time.Now(), at(-31*time.Second), at(-29*time.Second), at(29*time.Second), at(31*time.Second)))
		g.Observe("a", &traces.Batch{Spans: 3, OTLP: []byte("\x0a\x7fnothing")})
		sleep(tick)
		require.Equal(t, 2.0, newest(r.get(t, "traces_spanmetrics_calls_total")))
		require.NoError(t, testutil.GatherAndCompare(reg, reader(`# HELP hune_generator_dropped_spans_total Stored spans that derived metrics don't count, by reason.
# TYPE hune_generator_dropped_spans_total counter
hune_generator_dropped_spans_total{reason="malformed"} 3
hune_generator_dropped_spans_total{reason="outside_slack"} 2
`), "hune_generator_dropped_spans_total"))

		off, none, _ := start(t, func(l *limits.Limits) { l.Traces.Generator.Enabled = false }, nil)
		off.Observe("a", encode(t, time.Now(), at(0)))
		sleep(tick)
		require.Empty(t, none.all("traces_spanmetrics_calls_total"))
	})
}

// The queue is bounded by bytes and by batches, but takes one batch of any size.
func TestQueueIsBounded(t *testing.T) {
	q := newQueue(100)
	put := func(n int) bool { return q.put("a", time.Unix(1, 0), &traces.Batch{OTLP: make([]byte, n), Spans: 1}) }
	require.True(t, put(1000), "alone")
	require.False(t, put(1))
	q.release(<-q.batches)
	require.True(t, put(60))
	require.False(t, put(60))
	require.True(t, put(40))
	q.release(<-q.batches)
	q.release(<-q.batches)
	require.Zero(t, q.bytes.Load())
	for range maxQueued {
		require.True(t, put(0))
	}
	require.False(t, put(0))
}

// Other settings end the series of before and begin new ones.
func TestSettingsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, r, _ := start(t, nil, nil)
		one := span{service: "cart", trace: 1, id: 1, name: "n", kind: traces.KindInternal, attributes: []traces.Attribute{text("x", "y")}}
		g.Observe("a", encode(t, time.Now(), one))
		sleep(tick + time.Second)
		l := limits.DefaultConfig()
		l.Traces.Generator.SpanMetrics.Dimensions = []string{"x"}
		require.NoError(t, g.opts.Limits.(*limits.Overrides).Reload(l, nil))
		sleep(tick)
		before := r.get(t, "traces_spanmetrics_calls_total")
		require.True(t, isStale(before))
		g.Observe("a", encode(t, time.Now(), one))
		sleep(tick)
		require.Equal(t, 1.0, newest(r.get(t, "traces_spanmetrics_calls_total", "x", "y")))
	})
}

// Tenants are apart, and a limit of one is its own.
func TestTenants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, r, _ := start(t, nil, nil)
		for _, id := range []string{"a", "b", "b"} {
			g.Observe(id, encode(t, time.Now(), span{service: "cart", trace: 1, id: 1, name: "n", kind: traces.KindInternal}))
		}
		sleep(tick)
		const name = `{__name__="traces_spanmetrics_calls_total", service="cart", span_kind="SPAN_KIND_INTERNAL", span_name="n", status_code="STATUS_CODE_UNSET"}`
		r.mu.Lock()
		defer r.mu.Unlock()
		require.Equal(t, 1.0, newest(r.series["a "+name]))
		require.Equal(t, 2.0, newest(r.series["b "+name]))
	})
}

func TestConfigFaults(t *testing.T) {
	require.NoError(t, DefaultConfig().Validate())
	err := Config{Interval: 1, StaleAfter: 0}.Validate()
	for _, want := range []string{"is shorter than 1s", "stale_after: ", "queue_bytes: must be positive"} {
		require.ErrorContains(t, err, want)
	}
}

// A tenant may have only some of the metrics of spans, and write them less often.
func TestPartsAndIntervalOfATenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, r, _ := start(t, func(l *limits.Limits) {
			l.Traces.Generator.SpanMetrics.Latency, l.Traces.Generator.SpanMetrics.Size = false, false
			l.Traces.Generator.CollectionInterval = model.Duration(3 * tick)
		}, nil)
		count := func() int { return len(r.get(t, "traces_spanmetrics_calls_total").Samples) }
		for range 2 {
			sleep(time.Second)
			g.Observe("a", encode(t, time.Now(), span{service: "cart", trace: 1, id: 1, name: "GET /cart", kind: traces.KindServer, took: time.Millisecond}))
			sleep(tick - time.Second)
		}
		require.Equal(t, 2, count(), "a zero and the first value")
		sleep(2 * tick)
		require.Equal(t, 3, count())
		require.Equal(t, 2.0, newest(r.get(t, "traces_spanmetrics_calls_total")))
		require.Empty(t, r.all("traces_spanmetrics_latency_count"))
		require.Empty(t, r.all("traces_spanmetrics_size_total"))
	})
}

// The remembered series of a resource are those of name, kind and status, also where many share a place, and none that
// has ended.
func TestRecentSpans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, r, _ := start(t, nil, nil)
		sleep(time.Second)
		var spans []span
		for i := range 4 * recentSpans {
			for k := range 3 {
				spans = append(spans, span{service: "cart", trace: uint64(1 + k), id: uint64(1 + i), name: fmt.Sprintf("job %03d", i), kind: traces.Kind(1 + i%2), status: traces.Status(k % 2)})
			}
		}
		for range 2 {
			g.Observe("a", encode(t, time.Now(), spans...))
		}
		sleep(tick)
		counts := func(unset, failed float64) {
			t.Helper()
			for i := range 4 * recentSpans {
				name := fmt.Sprintf("job %03d", i)
				require.Equal(t, unset, newest(r.get(t, "traces_spanmetrics_calls_total", "span_name", name, "status_code", "STATUS_CODE_UNSET")), name)
				require.Equal(t, failed, newest(r.get(t, "traces_spanmetrics_calls_total", "span_name", name, "status_code", "STATUS_CODE_OK")), name)
			}
		}
		counts(4, 2)
		sleep(time.Duration(DefaultConfig().StaleAfter) + 2*tick)
		require.True(t, isStale(r.get(t, "traces_spanmetrics_calls_total", "span_name", "job 000", "status_code", "STATUS_CODE_UNSET")))
		g.Observe("a", encode(t, time.Now(), spans...))
		sleep(tick)
		counts(2, 1)
	})
}
