package distributor

import (
	"math"
	"sync"
	"time"

	"github.com/hune-io/hune/internal/fault"
)

// defaultBurst is how much of the rate may come at once when no burst is configured.
const defaultBurst = 10 * time.Second

// maxIdleBuckets is how many buckets are kept before full ones are dropped. A full bucket is the
// same as none, so dropping it forgets nothing.
const maxIdleBuckets = 10_000

// rounding is what tokens may lack: sums of times and rates are not exact, and who has waited as long as was said must pass.
// A token is a byte or a record.
const rounding = 1e-3

// buckets is a token bucket for each tenant that has a rate. Safe for concurrent use.
type buckets struct {
	mu      sync.Mutex
	tenants map[string]*bucket
	sweepAt int
}

type bucket struct {
	tokens float64
	burst  float64 // as of the last take
	rate   float64
	last   time.Time
}

func newBuckets() *buckets {
	return &buckets{tenants: make(map[string]*bucket), sweepAt: maxIdleBuckets}
}

// take asks for n tokens and returns how long to wait if they are not there. Rate and burst are
// those of the tenant now, so a change of configuration needs nothing else; rate must be positive.
//
// A request larger than the burst passes when the bucket is full and leaves it in debt: it would
// otherwise be refused for ever, and the average holds all the same.
func (b *buckets) take(tenant string, n int, rate, burst float64, now time.Time) (wait time.Duration, ok bool) {
	if burst <= 0 {
		burst = rate * defaultBurst.Seconds()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.tenants[tenant]
	if t == nil {
		b.sweep(now)
		t = &bucket{tokens: burst, last: now}
		b.tenants[tenant] = t
	}
	t.rate, t.burst = rate, burst
	t.fill(now)
	need := min(float64(n), burst)
	if need-t.tokens > rounding {
		seconds := min((need-t.tokens)/rate, 3600)
		return time.Duration(math.Ceil(seconds*1000)) * time.Millisecond, false
	}
	t.tokens -= float64(n)
	return 0, true
}

func (t *bucket) fill(now time.Time) {
	if elapsed := now.Sub(t.last); elapsed > 0 {
		t.tokens = min(t.burst, t.tokens+elapsed.Seconds()*t.rate)
		t.last = now
	}
}

// sweep drops full buckets once there are many. The next sweep waits until the rest has doubled,
// so its cost is spread over as many insertions. b.mu must be held.
func (b *buckets) sweep(now time.Time) {
	if len(b.tenants) < b.sweepAt {
		return
	}
	for id, t := range b.tenants {
		if t.fill(now); t.tokens >= t.burst {
			delete(b.tenants, id)
		}
	}
	b.sweepAt = max(maxIdleBuckets, 2*len(b.tenants))
}

// limitRate refuses a whole write that is over the tenant's rate. records is what is counted as
// discarded, n what the rate is about.
func (d *Distributor) limitRate(w *write, n, records int, rate, burst float64, message func() string) error {
	if rate <= 0 || n == 0 {
		return nil
	}
	wait, ok := d.buckets[w.signal].take(w.tenant, n, rate, burst, w.now)
	if ok {
		return nil
	}
	d.discarded.Add(w.signal, reasonRateLimited, w.tenant, records)
	return &fault.Error{Class: fault.RateLimited, Reason: reasonRateLimited, RetryAfter: wait, Err: textError(message())}
}

type textError string

func (e textError) Error() string { return string(e) }
