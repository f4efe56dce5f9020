// Package deletes keeps the users' requests to delete logs: a small object for each tenant in the
// bucket, TENANT/logs/deletes.json, and its compiled form in memory, which queries and compactions ask.
//
// A request hides its rows from the moment it is accepted. Compaction then writes blocks without them,
// and once no block and no ingester holds such rows any more the request is processed: it is kept for
// the record and hides nothing, so rows that come to its time range later are seen.
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
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
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
	changes map[string]uint64 // how often what is known of a tenant changed

	unreadable map[string]bool // tenants already complained about; guarded by write
	requests   *prometheus.CounterVec
	active     prometheus.Gauge
	bad        prometheus.Counter
}

// known is a tenant's page with its requests that hide rows, compiled. It never changes.
type known struct {
	page   *page
	active *logs.Deletions // nil: none
}

// New returns a book that knows nothing yet.
func New(opts Options) *Book {
	f := promauto.With(opts.Registerer)
	return &Book{opts: opts, tenants: map[string]*known{}, changes: map[string]uint64{}, unreadable: map[string]bool{},
		requests: f.NewCounterVec(prometheus.CounterOpts{Name: "hune_log_delete_requests_total", Help: "Requests to delete logs, by what became of them: received, cancelled or processed."}, []string{"event"}),
		active:   f.NewGauge(prometheus.GaugeOpts{Name: "hune_log_delete_requests_active", Help: "Requests to delete logs that are not processed: they hide rows from queries."}),
		bad:      f.NewCounter(prometheus.CounterOpts{Name: "hune_log_delete_unreadable_total", Help: "Lists of delete requests, or requests in them, found unreadable."}),
	}
}

// Active returns what is to be hidden of a tenant's logs; nil if nothing is.
func (b *Book) Active(tenant string) *logs.Deletions {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if k := b.tenants[tenant]; k != nil {
		return k.active
	}
	return nil
}

// Changes returns how often the requests of a tenant changed: while it is the same, so is what they hide.
func (b *Book) Changes(tenant string) uint64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.changes[tenant]
}

// Add accepts a request for the rows from start to end, both inclusive. They are hidden when it returns
// nil. Errors are classed.
func (b *Book) Add(ctx context.Context, tenant, query string, start, end int64) (Request, error) {
	if len(query) > maxQuery {
		return Request{}, fault.Invalidf("query of %d bytes is longer than %d", len(query), maxQuery)
	}
	r := Request{Query: query, Start: start, End: end, Created: b.opts.Now().UTC().Truncate(time.Millisecond)}
	if _, err := r.deletion(); err != nil {
		return Request{}, err
	}
	err := b.change(ctx, tenant, func(p *page) error {
		p.forget(r.Created)
		if p.active() >= maxRequests {
			return fault.Errorf(fault.Unprocessable, "the tenant has %d delete requests that are not processed, the most that are taken", maxRequests)
		}
		r.ID = p.newID()
		p.Requests = append(p.Requests, r)
		return nil
	})
	if err != nil {
		return Request{}, err
	}
	b.requests.WithLabelValues("received").Inc()
	return r, nil
}

// List returns a tenant's requests, the oldest first, as the bucket has them.
func (b *Book) List(ctx context.Context, tenant string) ([]Request, error) {
	p, err := read(ctx, b.opts.Bucket, tenant)
	if err != nil {
		return nil, err
	}
	return p.Requests, nil
}

// Cancel takes back a request: rows that are still stored are seen again. Of one that has begun, that
// is only some of them, and force must say that this is understood; of one that is processed, none.
func (b *Book) Cancel(ctx context.Context, tenant, id string, force bool) error {
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
func (b *Book) Pending(tenant string) []Request {
	b.mu.RLock()
	defer b.mu.RUnlock()
	k := b.tenants[tenant]
	if k == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(k.page.Requests), func(r Request) bool { return !r.Processed.IsZero() })
}

// Begin notes, before blocks are written without the rows of these requests, that it is so. It returns
// those of them that are still there to be carried out.
func (b *Book) Begin(ctx context.Context, tenant string, ids []string) (*logs.Deletions, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	if err := b.mark(ctx, tenant, ids, func(r *Request) bool {
		change := !r.Begun
		r.Begun = true
		return change
	}); err != nil {
		return nil, err
	}
	return b.Active(tenant).Without(func(id string) bool { return !slices.Contains(ids, id) }), nil
}

// Finish notes that no row of these requests is stored any more.
func (b *Book) Finish(ctx context.Context, tenant string, ids []string) error {
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

func (b *Book) mark(ctx context.Context, tenant string, ids []string, change func(*Request) bool) error {
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
		b.opts.Logger.Error("delete requests can't be read, those known before are kept", "tenant", tenant, "err", err)
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
	k := &known{page: p}
	var list []logs.Deletion
	for _, r := range p.Requests {
		if !r.Processed.IsZero() {
			continue
		}
		d, err := r.deletion()
		if err != nil {
			// Another version took a query that this one doesn't understand: the others still hide.
			b.bad.Inc()
			b.opts.Logger.Error("delete request can't be understood and hides nothing", "tenant", tenant, "request", r.ID, "err", err)
			continue
		}
		list = append(list, d)
	}
	if len(list) > 0 {
		compiled, err := logs.CompileDeletions(list)
		if err != nil {
			b.bad.Inc()
			b.opts.Logger.Error("delete requests can't be compiled, those known before are kept", "tenant", tenant, "err", err)
			return
		}
		k.active = compiled
	}
	b.mu.Lock()
	b.tenants[tenant] = k
	b.changes[tenant]++
	n := 0
	for _, k := range b.tenants {
		n += k.active.Len()
	}
	b.mu.Unlock()
	b.active.Set(float64(n))
}

// deletion compiles r.
func (r Request) deletion() (logs.Deletion, error) {
	end := r.End
	if end < math.MaxInt64 {
		end++
	}
	return logql.NewDeletion(r.ID, r.Query, r.Start, end)
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
