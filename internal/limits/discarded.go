package limits

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hune-io/hune/internal/signal"
)

// maxCountedTenants bounds the label values of the metric: tenants beyond it share "other", so
// that a client that invents tenants can't grow our memory.
const maxCountedTenants = 1000

const otherTenants = "other"

// Discarded counts what was rejected: samples, lines and spans, by reason and tenant, as
// hune_discarded_total. Safe for concurrent use.
type Discarded struct {
	total *prometheus.CounterVec

	mu      sync.RWMutex
	tenants map[string]struct{}
}

// NewDiscarded registers the metric with reg, which may be nil.
func NewDiscarded(reg prometheus.Registerer) *Discarded {
	d := &Discarded{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hune_discarded_total",
			Help: "Samples, log lines and spans that were rejected, by signal, reason and tenant.",
		}, []string{"signal", "reason", "tenant"}),
		tenants: make(map[string]struct{}),
	}
	if reg != nil {
		reg.MustRegister(d.total)
	}
	return d
}

// Add counts n rejected records. Reason must come from a fixed set of words, never from input.
func (d *Discarded) Add(s signal.Signal, reason, tenant string, n int) {
	if n <= 0 {
		return
	}
	d.total.WithLabelValues(string(s), reason, d.label(tenant)).Add(float64(n))
}

func (d *Discarded) label(tenant string) string {
	d.mu.RLock()
	_, known := d.tenants[tenant]
	d.mu.RUnlock()
	if known {
		return tenant
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.tenants) >= maxCountedTenants {
		return otherTenants
	}
	d.tenants[tenant] = struct{}{}
	return tenant
}
