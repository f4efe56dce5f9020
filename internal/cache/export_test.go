package cache

import (
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// Quicken makes tests wait less: for leases to end, and before it is connected again.
func (s *Results) Quicken() {
	s.times = leaseTimes{valid: 150 * time.Millisecond, renew: 20 * time.Millisecond, slack: 15 * time.Millisecond}
	s.redis.pause = 5 * time.Millisecond
}

// Found returns how many answers were found.
func (s *Results) Found() int {
	return int(testutil.ToFloat64(s.metrics.looks.WithLabelValues("found")))
}

// Queued returns how many answers wait to be written.
func (s *Results) Queued() int { return len(s.queue) }
