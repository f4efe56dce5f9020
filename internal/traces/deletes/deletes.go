// Package deletes knows what the users' requests to delete traces hide. The requests are kept by the package
// deletes below it.
//
// A request is about whole traces: those that a search with its query and range finds when it is made, as they
// are then and with what they still get until the request is processed. Which these are is kept beside the
// requests, in TENANT/traces/deletes/REQUEST.ids, before a request is accepted: a trace is in many pieces, of which few
// may say why it is to go, and once compaction has removed one of those nothing else would.
package deletes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/deletes"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/traces/traceql"
)

// maxTraces bounds the traces of a tenant that wait to be deleted, of all its requests: every process holds 40
// bytes of each, and looks for them in every block that it asks.
const maxTraces = 1_000_000

// Request is one wish of a user to delete traces: its Start and End bound the search.
type Request = deletes.Request

// Options are what the program gives a Book.
type Options struct {
	Bucket     objstore.Bucket
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
	// Find returns the traces that a search finds. More than limit are an error.
	Find func(ctx context.Context, tenant, query string, start, end uint64, limit int) ([]traces.ID, error)
}

// Book knows the requests of all tenants. Safe for concurrent use.
type Book struct {
	*deletes.Book[*Hidden]
	opts Options

	mu   sync.Mutex
	sets map[string]map[string]*traces.IDSet // of requests that are not processed, by tenant and request
}

// Hidden is the traces that the requests of a tenant hide. It never changes; nil hides nothing.
type Hidden struct {
	requests []hiddenRequest
	all      *traces.IDSet
}

type hiddenRequest struct {
	id  string
	set *traces.IDSet
}

// Len returns how many requests there are.
func (h *Hidden) Len() int {
	if h == nil {
		return 0
	}
	return len(h.requests)
}

// All returns the traces of all requests.
func (h *Hidden) All() *traces.IDSet {
	if h == nil {
		return nil
	}
	return h.all
}

// Of returns the traces of some requests.
func (h *Hidden) Of(requests []string) *traces.IDSet {
	var sets []*traces.IDSet
	h.Each(func(id string, set *traces.IDSet) {
		if slices.Contains(requests, id) {
			sets = append(sets, set)
		}
	})
	return traces.UnionIDs(sets...)
}

// Each calls visit for each request.
func (h *Hidden) Each(visit func(request string, set *traces.IDSet)) {
	if h == nil {
		return
	}
	for _, r := range h.requests {
		visit(r.id, r.set)
	}
}

// New returns a book that knows nothing yet.
func New(o Options) *Book {
	b := &Book{opts: o, sets: map[string]map[string]*traces.IDSet{}}
	b.Book = deletes.New(deletes.Options[*Hidden]{Signal: signal.Traces, Bucket: o.Bucket, Logger: o.Logger, Registerer: o.Registerer, Now: o.Now,
		Compile: b.compile, Written: b.sweep})
	return b
}

// Add accepts a request for the traces that a search finds which overlap the time from start to end. They are
// hidden when it returns nil. Errors are classed.
func (b *Book) Add(ctx context.Context, tenant, query string, start, end int64) (Request, error) {
	if err := deletes.Check(query); err != nil {
		return Request{}, err
	}
	if err := traceql.CheckSearch(query); err != nil {
		return Request{}, err
	}
	hidden := b.Active(tenant).All().Len()
	ids, err := b.opts.Find(ctx, tenant, query, uint64(max(start, 0)), uint64(max(end, 0)), maxTraces)
	if err != nil {
		return Request{}, err
	}
	set := traces.NewIDSet(ids)
	if hidden+set.Len() > maxTraces {
		return Request{}, fault.Errorf(fault.Unprocessable, "the query finds %d traces, and %d others wait to be deleted: %d are the most that are taken", set.Len(), hidden, maxTraces)
	}
	return b.Book.Add(ctx, tenant, Request{Query: query, Start: start, End: end, Found: set.Len()}, func(r Request) error {
		if err := writeIDs(ctx, b.opts.Bucket, idsPath(tenant, r.ID), set); err != nil {
			return err
		}
		b.keep(tenant, r.ID, set)
		return nil
	})
}

func (b *Book) keep(tenant, request string, set *traces.IDSet) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sets[tenant] == nil {
		b.sets[tenant] = map[string]*traces.IDSet{}
	}
	b.sets[tenant][request] = set
}

func (b *Book) kept(tenant, request string) (*traces.IDSet, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	set, ok := b.sets[tenant][request]
	return set, ok
}

// Hidden returns the traces of a tenant that are not to be seen.
func (b *Book) Hidden(tenant string) *traces.IDSet { return b.Active(tenant).All() }

func (b *Book) compile(ctx context.Context, tenant string, pending []Request, bad func(Request, error)) (*Hidden, error) {
	h := &Hidden{}
	fresh := map[string]*traces.IDSet{}
	for _, r := range pending {
		set, ok := b.kept(tenant, r.ID)
		if !ok {
			var err error
			set, err = readIDs(ctx, b.opts.Bucket, idsPath(tenant, r.ID))
			switch {
			case errors.Is(err, errUnreadable):
				bad(r, err)
				continue
			case err != nil:
				return nil, err
			}
		}
		fresh[r.ID] = set
		h.requests = append(h.requests, hiddenRequest{r.ID, set})
	}
	b.mu.Lock()
	b.sets[tenant] = fresh
	b.mu.Unlock()
	sets := make([]*traces.IDSet, len(h.requests))
	for i := range h.requests {
		sets[i] = h.requests[i].set
	}
	h.all = traces.UnionIDs(sets...)
	if len(h.requests) == 0 {
		return nil, nil
	}
	return h, nil
}

// sweep deletes the lists of requests that hide nothing any more, and those that were written for a request
// which wasn't accepted in the end.
func (b *Book) sweep(ctx context.Context, tenant string, pending []Request) {
	var rest []string
	err := b.opts.Bucket.Iter(ctx, path.Dir(idsPath(tenant, "x"))+"/", func(name string) error {
		request := strings.TrimSuffix(path.Base(name), idsSuffix)
		if strings.HasSuffix(name, idsSuffix) && !slices.ContainsFunc(pending, func(r Request) bool { return r.ID == request }) {
			rest = append(rest, name)
		}
		return nil
	})
	for _, name := range rest {
		if err == nil {
			err = b.opts.Bucket.Delete(ctx, name)
		}
	}
	if err != nil {
		b.opts.Logger.Warn("lists of deleted traces can't be removed, it will be tried again with the next request", "tenant", tenant, "err", fmt.Errorf("sweep: %w", err))
	}
}
