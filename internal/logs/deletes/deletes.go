// Package deletes knows what the users' requests to delete logs hide: the rows that a log query lets pass. The
// requests are kept by the package deletes below it.
package deletes

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/deletes"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
	"github.com/hune-io/hune/internal/signal"
)

// Request is one wish of a user to delete logs: its Start and End bound the rows.
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
	*deletes.Book[*logs.Deletions]
}

// New returns a book that knows nothing yet.
func New(o Options) *Book {
	return &Book{deletes.New(deletes.Options[*logs.Deletions]{Signal: signal.Logs, Bucket: o.Bucket, Logger: o.Logger, Registerer: o.Registerer, Now: o.Now, Compile: compile})}
}

// Add accepts a request for the rows from start to end, both inclusive. They are hidden when it returns
// nil. Errors are classed.
func (b *Book) Add(ctx context.Context, tenant, query string, start, end int64) (Request, error) {
	if err := deletes.Check(query); err != nil {
		return Request{}, err
	}
	r := Request{Query: query, Start: start, End: end}
	if _, err := deletion(r); err != nil {
		return Request{}, err
	}
	return b.Book.Add(ctx, tenant, r, nil)
}

// Begin notes, before blocks are written without the rows of these requests, that it is so. It returns
// those of them that are still there to be carried out.
func (b *Book) Begin(ctx context.Context, tenant string, ids []string) (*logs.Deletions, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	if err := b.Book.Begin(ctx, tenant, ids); err != nil {
		return nil, err
	}
	return b.Active(tenant).Without(func(id string) bool { return !slices.Contains(ids, id) }), nil
}

func compile(_ context.Context, _ string, pending []Request, bad func(Request, error)) (*logs.Deletions, error) {
	var list []logs.Deletion
	for _, r := range pending {
		d, err := deletion(r)
		if err != nil {
			bad(r, err)
			continue
		}
		list = append(list, d)
	}
	if len(list) == 0 {
		return nil, nil
	}
	return logs.CompileDeletions(list)
}

// deletion compiles r.
func deletion(r Request) (logs.Deletion, error) {
	end := r.End
	if end < math.MaxInt64 {
		end++
	}
	return logql.NewDeletion(r.ID, r.Query, r.Start, end)
}
