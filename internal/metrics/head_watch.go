package metrics

import (
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// watchedRegistry is the registry that a TSDB puts its metrics in. It finds among them the counts
// of failed writes to the logs. There is no other way to know: the TSDB goes on after a failed write,
// and says nothing when it was of out-of-order samples. But what was written in part makes the log
// unreadable from there on, and with it all that is acknowledged later.
type watchedRegistry struct {
	*prometheus.Registry

	mu     sync.Mutex
	failed []prometheus.Collector
}

func newWatchedRegistry() *watchedRegistry {
	return &watchedRegistry{Registry: prometheus.NewRegistry()}
}

// Register implements prometheus.Registerer.
func (r *watchedRegistry) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc, 16)
	go func() {
		c.Describe(descs)
		close(descs)
	}()
	for d := range descs {
		if strings.Contains(d.String(), `writes_failed_total"`) {
			r.mu.Lock()
			r.failed = append(r.failed, c)
			r.mu.Unlock()
		}
	}
	return r.Registry.Register(c)
}

// MustRegister implements prometheus.Registerer.
func (r *watchedRegistry) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := r.Register(c); err != nil {
			panic(err)
		}
	}
}

// writesFailed reports whether a write to a log has ever failed.
func (r *watchedRegistry) writesFailed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.failed {
		ch := make(chan prometheus.Metric, 1)
		c.Collect(ch)
		var m dto.Metric
		if (<-ch).Write(&m) == nil && m.GetCounter().GetValue() > 0 {
			return true
		}
	}
	return false
}
