package collector

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// The line protocols of before OpenTelemetry, from packet to pusher.
func TestLineProtocols(t *testing.T) {
	s := &sink{metrics: make(chan pmetric.Metrics, 100)}
	graphite, statsd, influx := freeAddr(t), freeAddr(t), freeAddr(t)
	cfg := config(t, fmt.Sprintf(`
config:
  receivers:
    carbon: {endpoint: %q, transport: tcp}
    statsd: {endpoint: %q, transport: tcp, aggregation_interval: 100ms, is_monotonic_counter: true}
    influxdb: {endpoint: %q}
  exporters: {hune: {}}
  service:
    pipelines:
      metrics: {receivers: [carbon, statsd, influxdb], exporters: [hune]}
`, graphite, statsd, influx))
	require.NoError(t, cfg.Validate())
	run(t, Options{Config: cfg, Pusher: s, OTLPGRPC: "256.0.0.1:1"})
	send := func(addr, text string) {
		c, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		_, err = c.Write([]byte(text))
		require.NoError(t, err)
		require.NoError(t, c.Close())
	}
	now := time.Now()
	for _, c := range []struct {
		name string
		send func()
		want string
	}{
		{"graphite", func() { send(graphite, fmt.Sprintf("shop.orders;zone=eu 7 %d\n", now.Unix())) }, "shop.orders Gauge map[zone:eu] 7"},
		{"statsd counter", func() { send(statsd, "orders:3|c|#zone:eu\norders:4|c|#zone:eu\n") }, "orders Sum Delta map[zone:eu] 7"},
		{"statsd gauge", func() { send(statsd, "queue:5|g\n") }, "queue Gauge map[] 5"},
		{"influx", func() {
			resp, body := post(t, influx, "/api/v2/write?precision=s", "text/plain", fmt.Appendf(nil, "cpu,host=a usage=0.5 %d\n", now.Unix()))
			require.Equal(t, 204, resp.StatusCode, body)
		}, "cpu_usage Gauge map[host:a] 0.5"},
		{"influx v1", func() {
			resp, body := post(t, influx, "/write?precision=s", "text/plain", fmt.Appendf(nil, "mem,host=a free=2i %d\n", now.Unix()))
			require.Equal(t, 204, resp.StatusCode, body)
		}, "mem_free Gauge map[host:a] 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.send()
			deadline := time.After(30 * time.Second)
			for {
				select {
				case md := <-s.metrics:
					for _, line := range numberLines(md) {
						if line == c.want {
							return
						}
						t.Log(line)
					}
				case <-deadline:
					t.Fatalf("%s never came", c.want)
				}
			}
		})
	}
	resp, body := post(t, influx, "/write", "text/plain", []byte("nonsense"))
	require.Equal(t, 400, resp.StatusCode, body)
}

// numberLines is a text for each data point of gauges and sums.
func numberLines(md pmetric.Metrics) (out []string) {
	for _, rm := range md.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				what, points := m.Type().String(), pmetric.NewNumberDataPointSlice()
				switch m.Type() {
				case pmetric.MetricTypeGauge:
					points = m.Gauge().DataPoints()
				case pmetric.MetricTypeSum:
					points = m.Sum().DataPoints()
					what += " " + m.Sum().AggregationTemporality().String()
				}
				for _, p := range points.All() {
					v := p.DoubleValue()
					if p.ValueType() == pmetric.NumberDataPointValueTypeInt {
						v = float64(p.IntValue())
					}
					out = append(out, fmt.Sprintf("%s %s %v %v", m.Name(), what, p.Attributes().AsRaw(), v))
				}
			}
		}
	}
	return out
}
