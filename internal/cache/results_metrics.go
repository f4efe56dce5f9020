package cache

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type resultsMetrics struct {
	looks, takenBack *prometheus.CounterVec
	written, dropped prometheus.Counter
	duration         prometheus.Histogram
	lease            prometheus.GaugeFunc
	refused          prometheus.Counter
}

func newResultsMetrics(s *Results) *resultsMetrics {
	opts := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Name: "hune_result_cache_shared_" + name, Help: help}
	}
	m := &resultsMetrics{
		looks: prometheus.NewCounterVec(opts("looks_total", "Queries that Redis was asked about, by what it said: an answer was found, missed, not needed (own) or "+
			"nothing could be relied on (unsure)."), []string{"found"}),
		takenBack: prometheus.NewCounterVec(opts("taken_back_total", "Late writes and deletes that made results void, by how: Redis was told, nothing had to be done without a lease, "+
			"or it was waited for the lease to end."), []string{"how"}),
		written: prometheus.NewCounter(opts("written_total", "Results written to Redis.")),
		dropped: prometheus.NewCounter(opts("dropped_total", "Results that were not written to Redis: too large, too many at once, or it takes none.")),
		refused: prometheus.NewCounter(opts("lease_failures_total", "Renewals of the lease of this member that failed.")),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "hune_result_cache_shared_duration_seconds", Help: "Time that it took to ask Redis about results.",
			NativeHistogramBucketFactor: 1.1, Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8)}),
		lease: prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "hune_result_cache_shared_lease", Help: "1 if this member may have a lease, without which no member uses shared results."},
			func() float64 {
				s.lease.mu.Lock()
				defer s.lease.mu.Unlock()
				if s.lease.spoilt || !time.Now().Before(s.lease.until) {
					return 0
				}
				return 1
			}),
	}
	for _, found := range []string{"found", "missed", "own", "unsure"} {
		m.looks.WithLabelValues(found)
	}
	for _, how := range []string{"told", "no lease", "waited"} {
		m.takenBack.WithLabelValues(how)
	}
	return m
}

func (m *resultsMetrics) register(reg prometheus.Registerer) error {
	if reg == nil {
		return nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.looks, m.takenBack, m.written, m.dropped, m.refused, m.duration, m.lease} {
		errs = append(errs, reg.Register(c))
	}
	return errors.Join(errs...)
}
