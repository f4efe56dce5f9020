package wal

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics has no label of its own: the program that has several logs wraps the registerer.
type metrics struct {
	reg prometheus.Registerer
	all []prometheus.Collector

	fsync       prometheus.Histogram
	batch       prometheus.Histogram
	records     prometheus.Counter
	bytes       prometheus.Counter
	rejected    prometheus.Counter
	corruptions prometheus.Counter
	segments    prometheus.Gauge
	queueBytes  prometheus.Gauge
	failed      prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{reg: reg}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "hune_wal_" + name, Help: help})
		m.all = append(m.all, c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "hune_wal_" + name, Help: help})
		m.all = append(m.all, g)
		return g
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "hune_wal_" + name, Help: help, Buckets: buckets})
		m.all = append(m.all, h)
		return h
	}
	m.fsync = histogram("fsync_duration_seconds", "How long a sync of the log took.", prometheus.ExponentialBuckets(0.0001, 2, 16))
	m.batch = histogram("batch_records", "Records written with one sync.", prometheus.ExponentialBuckets(1, 2, 12))
	m.records = counter("records_total", "Records appended.")
	m.bytes = counter("bytes_total", "Bytes of records appended.")
	m.rejected = counter("rejected_total", "Records given up because the log was full or slow.")
	m.corruptions = counter("corruptions_total", "Damaged places found, and records that could not be decoded, during replay.")
	m.segments = gauge("segments", "Segments on disk.")
	m.queueBytes = gauge("queue_bytes", "Bytes of records waiting to be written.")
	m.failed = gauge("failed", "1 after a write or sync has failed: nothing is accepted any more.")
	return m, m.register()
}

func (m *metrics) register() error {
	if m.reg == nil {
		return nil
	}
	for i, c := range m.all {
		if err := m.reg.Register(c); err != nil {
			m.all = m.all[:i]
			m.unregister()
			var dup prometheus.AlreadyRegisteredError
			if errors.As(err, &dup) {
				return errors.New("another write-ahead log has the same metrics registry")
			}
			return err
		}
	}
	return nil
}

func (m *metrics) unregister() {
	if m.reg == nil {
		return
	}
	for _, c := range m.all {
		m.reg.Unregister(c)
	}
}
