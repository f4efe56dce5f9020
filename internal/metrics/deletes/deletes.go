// Package deletes knows what the users' requests to delete metrics hide: the samples of the series that a
// selector matches. The requests are kept by the package deletes below it, with times in milliseconds. A request is
// about what was stored when it was accepted: a range without an end is cut there.
package deletes

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/deletes"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/signal"
)

// Request is one wish of a user to delete samples: it has a Selector, and its Start and End are Unix milliseconds.
type Request = deletes.Request

// Options are what the program gives a Book.
type Options struct {
	Bucket     objstore.Bucket
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// Book knows the requests of all tenants. Safe for concurrent use.
type Book struct {
	*deletes.Book[*metrics.Deletions]
}

// New returns a book that knows nothing yet.
func New(o Options) *Book {
	return &Book{deletes.New(deletes.Options[*metrics.Deletions]{Signal: signal.Metrics, Bucket: o.Bucket, Logger: o.Logger, Registerer: o.Registerer, Now: o.Now, Compile: compile})}
}

// Add accepts requests, one for each selector, for the samples from start to end in milliseconds, both
// inclusive; all of them or none. The samples are hidden when it returns nil. What another request that is not
// processed asks for already is not taken twice. Errors are classed.
func (b *Book) Add(ctx context.Context, tenant string, selectors []string, start, end int64) error {
	wanted := make([]Request, len(selectors))
	for i, s := range selectors {
		if err := deletes.Check(s); err != nil {
			return err
		}
		wanted[i] = Request{Selector: s, Start: start, End: end}
		if _, err := deletion(wanted[i]); err != nil {
			return err
		}
	}
	return b.AddAll(ctx, tenant, wanted, covers)
}

// covers reports whether all that other asks for is asked for by r already.
func covers(r, other Request) bool {
	return r.Selector == other.Selector && r.Start <= other.Start && r.End >= other.End
}

func compile(_ context.Context, _ string, pending []Request, bad func(Request, error)) (*metrics.Deletions, error) {
	var list []metrics.Deletion
	for _, r := range pending {
		d, err := deletion(r)
		if err != nil {
			bad(r, err)
			continue
		}
		list = append(list, d)
	}
	return metrics.NewDeletions(list), nil
}

// deletion compiles r.
func deletion(r Request) (metrics.Deletion, error) {
	ms, err := metrics.ParseSelector(r.Selector)
	return metrics.Deletion{ID: r.ID, Matchers: ms, Start: r.Start, End: r.End}, err
}
