package generator

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// meters are the generator's metrics about itself.
type meters struct {
	spans, overflowed, failures prometheus.Counter
	sendFailures                prometheus.Counter
	dropped, edges              *prometheus.CounterVec
	active, waiting             prometheus.Gauge
}

func newMeters(reg prometheus.Registerer, q *queue) *meters {
	f := promauto.With(reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "hune_generator_queue_bytes", Help: "Bytes of spans that wait to be counted in derived metrics."},
		func() float64 { return float64(q.bytes.Load()) })
	return &meters{
		spans: f.NewCounter(prometheus.CounterOpts{Name: "hune_generator_spans_total", Help: "Spans that derived metrics have looked at."}),
		overflowed: f.NewCounter(prometheus.CounterOpts{Name: "hune_generator_overflowed_total",
			Help: "Spans and requests counted in overflow series because their tenant has too many active series."}),
		sendFailures: f.NewCounter(prometheus.CounterOpts{Name: "hune_generator_send_failures_total",
			Help: "Messages with sides of requests that another generator did not take; they wait here for their other sides."}),
		failures: f.NewCounter(prometheus.CounterOpts{Name: "hune_generator_write_failures_total", Help: "Writes of derived metrics that failed."}),
		dropped: f.NewCounterVec(prometheus.CounterOpts{Name: "hune_generator_dropped_spans_total",
			Help: "Stored spans that derived metrics don't count, by reason."}, []string{"reason"}),
		edges: f.NewCounterVec(prometheus.CounterOpts{Name: "hune_generator_edges_total",
			Help: "Requests between services, and sides of requests that came to nothing or were sent to the generator that has their trace, by outcome."}, []string{"outcome"}),
		active:  f.NewGauge(prometheus.GaugeOpts{Name: "hune_generator_active_series", Help: "Derived series that are kept up to date."}),
		waiting: f.NewGauge(prometheus.GaugeOpts{Name: "hune_generator_waiting_edges", Help: "Sides of requests that wait for the other."}),
	}
}
