// Package deletes keeps the users' requests to delete data of a signal: a small object for each tenant in the
// bucket, TENANT/SIGNAL/deletes.json, and its compiled form in memory, which queries and compactions ask.
// What a request means, the signals know: packages metrics/deletes, logs/deletes and traces/deletes.
//
// A request hides what it is about from the moment it is accepted. Compaction then writes blocks without
// that, and once no block and no ingester holds any of it the request is processed: it is kept for the
// record and hides nothing, so data that comes to its time range later is seen.
//
// Object stores have no transactions. One process alone may write: the one with the compactor role,
// which serves the API for that reason; of several in a cluster the one that works on the signal of the tenant. Within it a lock orders the writers, and none writes on what it
// has not just read. Other processes read, with each refresh of their list of blocks.
package deletes

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/signal"
)

const (
	// maxRequests bounds the requests of a tenant that are not processed: each is asked about every row
	// that it may concern.
	maxRequests = 1000
	// maxQuery bounds a request's query, in bytes.
	maxQuery = 16 << 10
	// remember is how long, and maxProcessed how many, processed requests are listed.
	remember     = 30 * 24 * time.Hour
	maxProcessed = 1000
)

// Options are what the program and the signal give a Book.
type Options[H Hidden] struct {
	Signal signal.Signal
	// Compile makes one of a tenant's requests that are not processed, of which there is one at least. Bad is
	// called for each that can't be understood: it hides nothing, the others still do. It is not called
	// by two goroutines at a time.
	Compile func(ctx context.Context, tenant string, pending []Request, bad func(r Request, err error)) (H, error)
	// Written is called after each write of a tenant's requests, with those that are not processed. Optional.
	Written func(ctx context.Context, tenant string, pending []Request)

	Bucket     objstore.Bucket
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// Hidden is what requests hide, compiled. Its zero value hides nothing.
type Hidden interface {
	comparable
	// Len is how many requests there are.
	Len() int
}

// Book knows the requests of all tenants. Safe for concurrent use.
type Book[H Hidden] struct {
	opts Options[H]

	// write orders everything that reads an object and makes what it read known, so that a refresh
	// never puts an older page in the place of a newer one.
	write sync.Mutex

	mu      sync.RWMutex
	tenants map[string]*known[H]
	changes map[string]uint64 // how often what is known of a tenant changed
	all     uint64            // Versions

	unreadable map[string]bool // tenants already complained about; guarded by write
	requests   *prometheus.CounterVec
	active     prometheus.Gauge
	bad        prometheus.Counter
}

// known is a tenant's page with its requests that hide rows, compiled. It never changes.
type known[H Hidden] struct {
	page    *page
	active  H // zero: none
	version uint64
}

// New returns a book that knows nothing yet.
func New[H Hidden](opts Options[H]) *Book[H] {
	f := promauto.With(opts.Registerer)
	name, what := "log", "logs"
	switch opts.Signal {
	case signal.Metrics:
		name, what = "metrics", "samples"
	case signal.Traces:
		name, what = "trace", "traces"
	}
	return &Book[H]{opts: opts, tenants: map[string]*known[H]{}, changes: map[string]uint64{}, unreadable: map[string]bool{},
		requests: f.NewCounterVec(prometheus.CounterOpts{Name: "hune_" + name + "_delete_requests_total", Help: "Requests to delete " + what + ", by what became of them: received, cancelled or processed."}, []string{"event"}),
		active:   f.NewGauge(prometheus.GaugeOpts{Name: "hune_" + name + "_delete_requests_active", Help: "Requests to delete " + what + " that are not processed: they hide what they are about from queries."}),
		bad:      f.NewCounter(prometheus.CounterOpts{Name: "hune_" + name + "_delete_unreadable_total", Help: "Lists of delete requests, or requests in them, found unreadable."}),
	}
}

// Active returns what is to be hidden of a tenant; the zero value if nothing is.
func (b *Book[H]) Active(tenant string) (active H) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if k := b.tenants[tenant]; k != nil {
		return k.active
	}
	return active
}

// Check reports what is wrong with a query whatever it says.
func Check(query string) error {
	if len(query) > maxQuery {
		return fault.Invalidf("query of %d bytes is longer than %d", len(query), maxQuery)
	}
	return nil
}

// Changes returns how often the requests of a tenant changed: while it is the same, so is what they hide.
func (b *Book[H]) Changes(tenant string) uint64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.changes[tenant]
}

// Version returns a number that stands for a tenant's requests and which of them are processed: in every process that
// knows the same ones the same. 0 if there are none, or none is known.
func (b *Book[H]) Version(tenant string) uint64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if k := b.tenants[tenant]; k != nil {
		return k.version
	}
	return 0
}

// Versions is the same number for all processes in which Version is the same for all tenants; as long as nothing is known
// of any, 0.
func (b *Book[H]) Versions() uint64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.all
}

// set makes k what is known of a tenant; nil: nothing. b.mu must be held.
func (b *Book[H]) set(tenant string, k *known[H]) {
	part := func(k *known[H]) uint64 {
		if k == nil || k.version == 0 {
			return 0
		}
		return xxhash.Sum64String(fmt.Sprintf("%d %s", k.version, tenant))
	}
	b.all ^= part(b.tenants[tenant]) ^ part(k)
	if k == nil {
		delete(b.tenants, tenant)
		return
	}
	b.tenants[tenant] = k
}

// Add accepts a request, to which it gives an ID and a time. What it is about is hidden when it returns nil.
// prepare, where set, is called with the request before it is kept. Errors are classed.
func (b *Book[H]) Add(ctx context.Context, tenant string, r Request, prepare func(Request) error) (Request, error) {
	err := b.change(ctx, tenant, func(p *page) error {
		if err := b.append(p, &r); err != nil {
			return err
		}
		if prepare != nil {
			return prepare(r)
		}
		return nil
	})
	if err != nil {
		return Request{}, err
	}
	b.requests.WithLabelValues("received").Inc()
	return r, nil
}

// AddAll accepts requests as Add does, all of them or none. Those that covers says another one asks for already,
// which is not processed, are left out.
func (b *Book[H]) AddAll(ctx context.Context, tenant string, list []Request, covers func(r, other Request) bool) error {
	added := 0
	err := b.change(ctx, tenant, func(p *page) error {
		for _, r := range list {
			if slices.ContainsFunc(p.Requests, func(o Request) bool { return o.Processed.IsZero() && covers(o, r) }) {
				continue
			}
			if err := b.append(p, &r); err != nil {
				return err
			}
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

// append completes a request and puts it on its page.
func (b *Book[H]) append(p *page, r *Request) error {
	r.Created = b.opts.Now().UTC().Truncate(time.Millisecond)
	p.forget(r.Created)
	if p.active() >= maxRequests {
		return fault.Errorf(fault.Unprocessable, "the tenant has %d delete requests that are not processed, the most that are taken", maxRequests)
	}
	r.ID = p.newID()
	p.Requests = append(p.Requests, *r)
	return nil
}

// List returns a tenant's requests, the oldest first, as the bucket has them.
func (b *Book[H]) List(ctx context.Context, tenant string) ([]Request, error) {
	p, err := read(ctx, b.opts.Bucket, b.opts.Signal, tenant)
	if err != nil {
		return nil, err
	}
	return p.Requests, nil
}

// Cancel takes back a request: what is still stored is seen again. Of one that has begun, that
// is only some of them, and force must say that this is understood; of one that is processed, none.
func (b *Book[H]) Cancel(ctx context.Context, tenant, id string, force bool) error {
	err := b.change(ctx, tenant, func(p *page) error {
		i := slices.IndexFunc(p.Requests, func(r Request) bool { return r.ID == id })
		switch {
		case i < 0:
			return fault.Errorf(fault.NotFound, "could not find delete request with given id")
		case !p.Requests[i].Processed.IsZero():
			return fault.Invalidf("deletion of request which is in process or already processed is not allowed")
		case p.Requests[i].Begun && !force:
			return fault.Invalidf("Cancellation of partially completed delete request is not allowed. To force, use the ?force query parameter")
		}
		p.Requests = slices.Delete(p.Requests, i, i+1)
		return nil
	})
	if err == nil {
		b.requests.WithLabelValues("cancelled").Inc()
	}
	return err
}

// Pending returns a tenant's requests that are not processed, as far as they are known.
func (b *Book[H]) Pending(tenant string) []Request {
	b.mu.RLock()
	defer b.mu.RUnlock()
	k := b.tenants[tenant]
	if k == nil {
		return nil
	}
	return k.page.pending()
}

// Begin notes, before blocks are written without what these requests are about, that it is so. Those of them
// that are Active afterwards are still there to be carried out.
func (b *Book[H]) Begin(ctx context.Context, tenant string, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	return b.mark(ctx, tenant, ids, func(r *Request) bool {
		change := !r.Begun
		r.Begun = true
		return change
	})
}

// Finish notes that nothing of what these requests are about is stored any more.
func (b *Book[H]) Finish(ctx context.Context, tenant string, ids []string) error {
	now, n := b.opts.Now().UTC().Truncate(time.Millisecond), 0
	err := b.mark(ctx, tenant, ids, func(r *Request) bool {
		r.Processed = now
		n++
		return true
	})
	if err == nil {
		b.requests.WithLabelValues("processed").Add(float64(n))
	}
	return err
}

// errUnchanged ends a change that has nothing to write.
var errUnchanged = errors.New("unchanged")

func (b *Book[H]) mark(ctx context.Context, tenant string, ids []string, change func(*Request) bool) error {
	err := b.change(ctx, tenant, func(p *page) error {
		changed := false
		for i := range p.Requests {
			if r := &p.Requests[i]; r.Processed.IsZero() && slices.Contains(ids, r.ID) && change(r) {
				changed = true
			}
		}
		if !changed {
			return errUnchanged
		}
		return nil
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}

// change reads a tenant's page, lets f change it and writes it.
func (b *Book[H]) change(ctx context.Context, tenant string, f func(*page) error) error {
	b.write.Lock()
	defer b.write.Unlock()
	p, err := read(ctx, b.opts.Bucket, b.opts.Signal, tenant)
	if err != nil {
		return err
	}
	if err := f(p); err != nil {
		if errors.Is(err, errUnchanged) {
			b.learn(ctx, tenant, p)
		}
		return err
	}
	if err := write(ctx, b.opts.Bucket, b.opts.Signal, tenant, p); err != nil {
		return err
	}
	b.learn(ctx, tenant, p)
	if b.opts.Written != nil {
		b.opts.Written(ctx, tenant, p.pending())
	}
	return nil
}

// Refresh reads the requests of the given tenants, which are all there are. An object that can't be
// read leaves what is known of its tenant as it is; a bucket that can't be is an error.
func (b *Book[H]) Refresh(ctx context.Context, tenants []string) error {
	for _, tenant := range tenants {
		if err := b.refresh(ctx, tenant); err != nil {
			return err
		}
	}
	var none H
	b.mu.Lock()
	defer b.mu.Unlock()
	for tenant, k := range b.tenants {
		// A tenant whose first object is its first request is not in an older list.
		if k.active == none && !slices.Contains(tenants, tenant) {
			b.set(tenant, nil)
		}
	}
	return nil
}

func (b *Book[H]) refresh(ctx context.Context, tenant string) error {
	b.write.Lock()
	defer b.write.Unlock()
	p, err := read(ctx, b.opts.Bucket, b.opts.Signal, tenant)
	switch {
	case err == nil:
		delete(b.unreadable, tenant)
		b.learn(ctx, tenant, p)
	case !errors.Is(err, ErrUnreadable):
		return err
	case !b.unreadable[tenant]:
		b.unreadable[tenant] = true
		b.bad.Inc()
		b.opts.Logger.Error("delete requests can't be read, those known before are kept", "tenant", tenant, "err", err)
	}
	return nil
}

// learn makes a page known. b.write must be held.
func (b *Book[H]) learn(ctx context.Context, tenant string, p *page) {
	b.mu.RLock()
	old := b.tenants[tenant]
	b.mu.RUnlock()
	if old != nil && slices.Equal(old.page.Requests, p.Requests) {
		return
	}
	k := &known[H]{page: p, version: p.version()}
	if pending := p.pending(); len(pending) > 0 {
		compiled, err := b.opts.Compile(ctx, tenant, pending, func(r Request, err error) {
			// Another version took a query that this one doesn't understand: the others still hide.
			b.bad.Inc()
			b.opts.Logger.Error("delete request can't be understood and hides nothing", "tenant", tenant, "request", r.ID, "err", err)
		})
		if err != nil {
			b.bad.Inc()
			b.opts.Logger.Error("delete requests can't be compiled, those known before are kept", "tenant", tenant, "err", err)
			return
		}
		k.active = compiled
	}
	b.mu.Lock()
	b.set(tenant, k)
	b.changes[tenant]++
	n := 0
	for _, k := range b.tenants {
		n += k.active.Len()
	}
	b.mu.Unlock()
	b.active.Set(float64(n))
}

// pending returns the requests that are not processed.
func (p *page) pending() []Request {
	return slices.DeleteFunc(slices.Clone(p.Requests), func(r Request) bool { return !r.Processed.IsZero() })
}

// version is Book.Version of a tenant with this page.
func (p *page) version() uint64 {
	if len(p.Requests) == 0 {
		return 0
	}
	d := xxhash.New()
	for _, r := range p.Requests {
		_, _ = fmt.Fprintf(d, "%s %d,", r.ID, r.Processed.UnixMilli())
	}
	return d.Sum64()
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

// newID returns an ID of eight hexadecimal digits, as Loki's are, that no request of p has.
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
