package generator

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/traces"
)

func TestLabelName(t *testing.T) {
	for in, want := range map[string]string{"http.method": "http_method", "2nd": "_2nd", "": "_", "service": "__service", "le": "__le",
		"ok_1": "ok_1", "é": "__", "span-name": "__span_name", "span name": "__span_name"} {
		require.Equal(t, want, labelName(in), in)
	}
}

func TestThresholdMultiplier(t *testing.T) {
	for in, want := range map[string]float64{"": 0, "ot=th:0": 1, "ot=th:8": 2, "ot=th:c": 4, "a=b, ot=rv:ff;th:f": 16, "ot=th:": 0, "ot=th:x": 0,
		"xot=th:8": 0, "ot=th:ffffffffffffff": 1 << 56, "ot=th:fffffffffffffff": 0} {
		require.Equal(t, want, thresholdMultiplier(in), in)
	}
}

func TestMultiplier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, r, _ := start(t, func(l *limits.Limits) { l.Traces.Generator.SpanMetrics.SpanMultiplierKey = "ratio" }, nil)
		for i, a := range []traces.Attribute{{Key: "ratio", Type: traces.TypeFloat, Float: 0.5}, {Key: "ratio", Type: traces.TypeInt, Int: 1}, text("ratio", "0.1"),
			text("ratio", "x"), {Key: "ratio", Type: traces.TypeFloat, Float: -1}, {Key: "ratio", Type: traces.TypeBool, Int: 1}, text("other", "0.1")} {
			g.Observe("a", encode(t, time.Now(), span{service: "cart", trace: 1, id: 1, name: fmt.Sprint(i), kind: traces.KindInternal, attributes: []traces.Attribute{a}}))
		}
		sleep(tick)
		for i, want := range []float64{2, 1, 10, 1, 1, 1, 1} {
			require.Equal(t, want, newest(r.get(t, "traces_spanmetrics_calls_total", "span_name", fmt.Sprint(i))))
			require.Equal(t, want, newest(r.get(t, "traces_spanmetrics_latency_count", "span_name", fmt.Sprint(i))))
		}
	})
}

// A resource with more attributes than a series may have labels keeps job, instance and as many as fit.
func TestTargetInfoFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, r, _ := start(t, func(l *limits.Limits) { l.Metrics.MaxLabelNamesPerSeries = 10 }, nil)
		var attributes []traces.Attribute
		for i := range 40 {
			attributes = append(attributes, text(fmt.Sprintf("a%02d", i), "v"))
		}
		attributes = append(attributes, text("service.instance.id", "i"))
		g.Observe("a", encode(t, time.Now(), span{service: "cart", trace: 1, id: 1, name: "n", kind: traces.KindInternal, onResource: attributes}))
		sleep(tick)
		ls := r.get(t, "traces_target_info", "job", "cart", "instance", "i").Labels
		require.LessOrEqual(t, ls.Len(), 10)
		require.True(t, ls.Has("a00"))
	})
}

// Every span that was observed is counted once, whoever brought it while collections were under way.
func TestCountsAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, r, reg := start(t, nil, func(c *Config) { c.Interval = 1e9 })
		b := encode(t, time.Now(), span{service: "cart", trace: 1, id: 1, name: "n", kind: traces.KindInternal})
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for range 100 {
					time.Sleep(time.Duration(w+1) * time.Millisecond)
					g.Observe("a", b)
				}
			})
		}
		wg.Wait()
		sleep(2 * time.Second)
		require.Equal(t, 800.0, newest(r.get(t, "traces_spanmetrics_calls_total")))
		require.Equal(t, 800.0, newest(r.get(t, "traces_spanmetrics_latency_count")))
		require.Zero(t, gathered(t, reg, "hune_generator_dropped_spans_total"))
	})
}
