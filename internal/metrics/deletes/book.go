// Package deletes keeps the users' requests to delete samples: a small object for each tenant in the
// bucket, TENANT/metrics/deletes.json, and its compiled form in memory, which heads, stores and
// compactions ask.
//
// A request hides its samples from the moment it is accepted. Compaction then writes blocks without
// them, and once no block and no ingester holds such samples any more the request is processed: it is
// kept for the record and hides nothing, so samples that come to its time range later are seen. It is about
// what was stored when it was accepted: a range without an end is cut there.
//
// Object stores have no transactions. One process alone may write: the one with the compactor role,
// which serves the API for that reason. Within it a lock orders the writers, and none writes on what it
// has not just read. Other processes read, with each refresh of their list of blocks.
package deletes

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/metrics"
)

const (
	// maxRequests bounds the requests of a tenant that are not processed: each is asked about every series
	// that it may concern.
	maxRequests = 1000
	// maxSelector bounds a request's selector, in bytes.
	maxSelector = 16 << 10
	// remember is how long, and maxProcessed how many, processed requests are listed.
	remember     = 30 * 24 * time.Hour
	maxProcessed = 1000
)

// Options are what the program gives a Book.
type Options struct {
	Bucket     objstore.Bucket
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// Book knows the requests of all tenants. Safe for concurrent use.
type Book struct {
	opts Options

	// write orders everything that reads an object and makes what it read known, so that a refresh
	// never puts an older page in the place of a newer one.
	write sync.Mutex

	mu      sync.RWMutex
	tenants map[string]*known

	unreadable map[string]bool // tenants already complained about; guarded by write
	requests   *prometheus.CounterVec
	active     prometheus.Gauge
	bad        prometheus.Counter
}

// known is a tenant's page with its requests that hide samples, compiled. It never changes.
type known struct {
	page   *page
	active *metrics.Deletions // nil: none
}

// New returns a book that knows nothing yet.
func New(opts Options) *Book {
	f := promauto.With(opts.Registerer)
	return &Book{opts: opts, tenants: map[string]*known{}, unreadable: map[string]bool{},
		requests: f.NewCounterVec(prometheus.CounterOpts{Name: "hune_metrics_delete_requests_total", Help: "Requests to delete samples, by what became of them: received or processed."}, []string{"event"}),
		active:   f.NewGauge(prometheus.GaugeOpts{Name: "hune_metrics_delete_requests_active", Help: "Requests to delete samples that are not processed: they hide samples from queries."}),
		bad:      f.NewCounter(prometheus.CounterOpts{Name: "hune_metrics_delete_unreadable_total", Help: "Lists of requests to delete samples, or requests in them, found unreadable."}),
	}
}

// Active returns what is to be hidden of a tenant's metrics; nil if nothing is.
func (b *Book) Active(tenant string) *metrics.Deletions {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if k := b.tenants[tenant]; k != nil {
		return k.active
	}
	return nil
}

// Add accepts requests, one for each selector, for the samples from start to end in milliseconds, both
// inclusive; all of them or none. The samples are hidden when it returns nil. A request that is there
// already and not processed is not taken twice. Errors are classed.
func (b *Book) Add(ctx context.Context, tenant string, selectors []string, start, end int64) error {
	now := b.opts.Now().UTC().Truncate(time.Millisecond)
	var wanted []Request
	for _, s := range selectors {
		if len(s) > maxSelector {
			return fault.Invalidf("selector of %d bytes is longer than %d", len(s), maxSelector)
		}
		r := Request{Selector: s, Start: start, End: end, Created: now}
		if _, err := r.deletion(); err != nil {
			return err
		}
		wanted = append(wanted, r)
	}
	added := 0
	err := b.change(ctx, tenant, func(p *page) error {
		p.forget(now)
		for _, r := range wanted {
			if slices.ContainsFunc(p.Requests, func(o Request) bool { return o.covers(r) }) {
				continue
			}
			if p.active() >= maxRequests {
				return fault.Errorf(fault.Unprocessable, "the tenant has %d delete requests that are not processed, the most that are taken", maxRequests)
			}
			r.ID = p.newID()
			p.Requests = append(p.Requests, r)
			added++
		}
		if added == 0 {
			return errUnchanged
		}
		return nil
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	if err == nil {
		b.requests.WithLabelValues("received").Add(float64(added))
	}
	return err
}

// covers reports whether all that other asks for is asked for by r already.
func (r Request) covers(other Request) bool {
	return r.Processed.IsZero() && r.Selector == other.Selector && r.Start <= other.Start && r.End >= other.End
}

// List returns a tenant's requests, the oldest first, as the bucket has them.
func (b *Book) List(ctx context.Context, tenant string) ([]Request, error) {
	p, err := read(ctx, b.opts.Bucket, tenant)
	if err != nil {
		return nil, err
	}
	return p.Requests, nil
}

// Finish notes that no sample of these requests is stored any more.
func (b *Book) Finish(ctx context.Context, tenant string, ids []string) error {
	now, n := b.opts.Now().UTC().Truncate(time.Millisecond), 0
	err := b.change(ctx, tenant, func(p *page) error {
		for i := range p.Requests {
			if r := &p.Requests[i]; r.Processed.IsZero() && slices.Contains(ids, r.ID) {
				r.Processed = now
				n++
			}
		}
		if n == 0 {
			return errUnchanged
		}
		return nil
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	if err == nil {
		b.requests.WithLabelValues("processed").Add(float64(n))
	}
	return err
}

// errUnchanged ends a change that has nothing to write.
var errUnchanged = errors.New("unchanged")

// change reads a tenant's page, lets f change it and writes it.
func (b *Book) change(ctx context.Context, tenant string, f func(*page) error) error {
	b.write.Lock()
	defer b.write.Unlock()
	p, err := read(ctx, b.opts.Bucket, tenant)
	if err != nil {
		return err
	}
	if err := f(p); err != nil {
		if errors.Is(err, errUnchanged) {
			b.learn(tenant, p)
		}
		return err
	}
	if err := write(ctx, b.opts.Bucket, tenant, p); err != nil {
		return err
	}
	b.learn(tenant, p)
	return nil
}

// Refresh reads the requests of the given tenants, which are all there are. An object that can't be
// read leaves what is known of its tenant as it is; a bucket that can't be is an error.
func (b *Book) Refresh(ctx context.Context, tenants []string) error {
	for _, tenant := range tenants {
		if err := b.refresh(ctx, tenant); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for tenant, k := range b.tenants {
		// A tenant whose first object is its first request is not in an older list.
		if k.active == nil && !slices.Contains(tenants, tenant) {
			delete(b.tenants, tenant)
		}
	}
	return nil
}

func (b *Book) refresh(ctx context.Context, tenant string) error {
	b.write.Lock()
	defer b.write.Unlock()
	p, err := read(ctx, b.opts.Bucket, tenant)
	switch {
	case err == nil:
		delete(b.unreadable, tenant)
		b.learn(tenant, p)
	case !errors.Is(err, ErrUnreadable):
		return err
	case !b.unreadable[tenant]:
		b.unreadable[tenant] = true
		b.bad.Inc()
		b.opts.Logger.Error("requests to delete samples can't be read, those known before are kept", "tenant", tenant, "err", err)
	}
	return nil
}

// learn makes a page known. b.write must be held.
func (b *Book) learn(tenant string, p *page) {
	b.mu.RLock()
	old := b.tenants[tenant]
	b.mu.RUnlock()
	if old != nil && slices.Equal(old.page.Requests, p.Requests) {
		return
	}
	var list []metrics.Deletion
	for _, r := range p.Requests {
		if !r.Processed.IsZero() {
			continue
		}
		d, err := r.deletion()
		if err != nil {
			// Another version took a selector that this one doesn't understand: the others still hide.
			b.bad.Inc()
			b.opts.Logger.Error("request to delete samples can't be understood and hides nothing", "tenant", tenant, "request", r.ID, "err", err)
			continue
		}
		list = append(list, d)
	}
	b.mu.Lock()
	b.tenants[tenant] = &known{page: p, active: metrics.NewDeletions(list)}
	n := 0
	for _, k := range b.tenants {
		n += k.active.Len()
	}
	b.mu.Unlock()
	b.active.Set(float64(n))
}

func (p *page) active() (n int) {
	for _, r := range p.Requests {
		if r.Processed.IsZero() {
			n++
		}
	}
	return n
}

// forget drops processed requests that are old or too many.
func (p *page) forget(now time.Time) {
	surplus := len(p.Requests) - p.active() - maxProcessed
	p.Requests = slices.DeleteFunc(p.Requests, func(r Request) bool {
		if r.Processed.IsZero() {
			return false
		}
		surplus--
		return surplus >= 0 || now.Sub(r.Processed) > remember
	})
}

// newID returns an ID of eight hexadecimal digits that no request of p has.
func (p *page) newID() string {
	for {
		var raw [4]byte
		_, _ = rand.Read(raw[:]) // never fails
		id := hex.EncodeToString(raw[:])
		if !slices.ContainsFunc(p.Requests, func(r Request) bool { return r.ID == id }) {
			return id
		}
	}
}
