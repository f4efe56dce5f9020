package distributor

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hune-io/hune/internal/metrics"
)

// sweepDeltasEvery is how often idle series and tenants are looked for.
const sweepDeltasEvery = time.Minute

// deltas keeps the sums of increments of each tenant that sends such. Increments of one series must reach one distributor,
// which sendDeltas sees to: each adds up what it sees.
type deltas struct {
	mu      sync.Mutex
	tenants map[string]*tenantDeltas
	swept   time.Time
}

type tenantDeltas struct {
	*metrics.Deltas
	heard time.Time
}

func newDeltas(reg prometheus.Registerer) *deltas {
	d := &deltas{tenants: map[string]*tenantDeltas{}}
	gauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "hune_distributor_delta_series",
		Help: "Series of delta temporality whose sums are remembered.",
	}, func() float64 { return float64(d.len()) })
	if reg != nil {
		reg.MustRegister(gauge)
	}
	return d
}

func (d *deltas) len() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, t := range d.tenants {
		n += t.Len()
	}
	return n
}

// of returns the sums of a tenant, and forgets those of tenants that are idle.
func (d *deltas) of(tenant string, now time.Time) *metrics.Deltas {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(d.swept) >= sweepDeltasEvery {
		d.swept = now
		for id, t := range d.tenants {
			// A tenant that was heard lately may be in use, though it has no sums yet.
			if t.Sweep(now); t.Len() == 0 && now.Sub(t.heard) >= metrics.DeltaIdle {
				delete(d.tenants, id)
			}
		}
	}
	t := d.tenants[tenant]
	if t == nil {
		t = &tenantDeltas{Deltas: metrics.NewDeltas()}
		d.tenants[tenant] = t
	}
	t.heard = now
	return t.Deltas
}

// forget drops the sums that gone says yes to, by tenant and the bytes of the labels.
func (d *deltas) forget(gone func(tenant, labels string) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, t := range d.tenants {
		t.Forget(func(labels string) bool { return gone(id, labels) })
	}
}

// accumulate turns increments into sums and returns how many were cut out.
func (d *deltas) accumulate(w *write, b *metrics.Batch) (cut int) {
	if !hasDeltas(b) {
		return 0
	}
	d.of(w.tenant, w.now).Accumulate(b, w.limits.Metrics.MaxDeltaSeries, w.now, func(reason string, n int, message func() string) {
		cut += n
		w.rejected.add(reason, n, func() string { return clip(message()) })
	})
	return cut
}

func hasDeltas(b *metrics.Batch) bool {
	for i := range b.Series {
		if b.Series[i].Delta {
			return true
		}
	}
	return false
}
