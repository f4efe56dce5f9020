package metrics

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/util/annotations"
)

type warningsKey struct{}

// warnings collects what a query's sources have to say beside the answer.
type warnings struct {
	mu  sync.Mutex
	all annotations.Annotations

	stores atomic.Int64 // that Query.Stores chose
}

// WithWarnings returns a context in which sources can leave warnings, and a function that returns
// those left so far.
func WithWarnings(ctx context.Context) (context.Context, func() annotations.Annotations) {
	w := &warnings{}
	return context.WithValue(ctx, warningsKey{}, w), func() annotations.Annotations {
		w.mu.Lock()
		defer w.mu.Unlock()
		var out annotations.Annotations
		return out.Merge(w.all)
	}
}

// errNoStore is a warning: the answer is whole, of nothing.
var errNoStore = errors.New("no store matches storeMatch[]: /api/v1/stores lists them")

// noStore reports whether a query chose stores by which none is meant.
func noStore(ctx context.Context, q *Query) bool {
	w, ok := ctx.Value(warningsKey{}).(*warnings)
	return ok && len(q.Stores) > 0 && w.stores.Load() == 0
}

// addWarning leaves a warning for the user of the query, if anyone listens.
func addWarning(ctx context.Context, err error) {
	if w, ok := ctx.Value(warningsKey{}).(*warnings); ok {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.all.Add(err)
	}
}
