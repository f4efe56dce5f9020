package metrics

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/config"
)

// leastExemplars is the room for exemplars of a tenant that has none.
const leastExemplars = 64

// exemplarRoom is how many exemplars the TSDB has memory for. That of all that a tenant may have is most of what a database
// takes before its first series, and many tenants have none: it grows as they come, so that none is dropped for want of it.
type exemplarRoom struct {
	size atomic.Int64

	mu   sync.Mutex
	came int64 // since the storage was last asked how many it has, in batches that are committed
	at   int64 // how many it had then
	now  int64 // in batches that are not committed yet
}

// fitExemplars gives back the room that the replay of the log did not need. The database is not in use yet.
func (t *head) fitExemplars() {
	most := int64(t.opts.Config.MaxExemplars)
	if most <= leastExemplars {
		t.room.size.Store(most)
		return
	}
	t.room.at = t.heldExemplars()
	t.resizeExemplars(roomFor(t.room.at, most))
}

// roomFor is the room for n exemplars: a power of two, as far as there may be so many.
func roomFor(n, most int64) int64 {
	return min(most, max(leastExemplars, int64(1)<<bits.Len64(uint64(max(n-1, 0)))))
}

// heldExemplars is how many exemplars the TSDB has.
func (t *head) heldExemplars() int64 {
	return int64(t.gauge("prometheus_tsdb_exemplar_exemplars_in_storage"))
}

func (t *head) resizeExemplars(size int64) {
	if size == t.room.size.Load() {
		return
	}
	window := config.TSDBConfig{OutOfOrderTimeWindow: time.Duration(t.opts.Config.OutOfOrderWindow).Milliseconds()}
	t.db.Head().ApplyConfig(&config.Config{StorageConfig: config.StorageConfig{TSDBConfig: &window,
		ExemplarsConfig: &config.ExemplarsConfig{MaxExemplars: size}}}, nil)
	t.room.size.Store(size)
}

// makeRoom sees to it that the exemplars of a batch push out others only when the tenant has as many as it may have. What it
// returns is called when the batch is committed.
func (t *head) makeRoom(b *Batch) (committed func()) {
	most := int64(t.opts.Config.MaxExemplars)
	if t.room.size.Load() >= most {
		return func() {}
	}
	n := int64(0)
	for i := range b.Series {
		n += int64(len(b.Series[i].Exemplars))
	}
	if n == 0 {
		return func() {}
	}
	r := &t.room
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now += n
	if size := r.size.Load(); r.at+r.came+r.now > size {
		// Most that come are there already: senders repeat them.
		r.at, r.came = t.heldExemplars(), 0
		if need := r.at + r.now; need > size {
			t.resizeExemplars(roomFor(2*need, most))
		}
	}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.now, r.came = r.now-n, r.came+n
	}
}
