package metrics

import (
	"context"
	"sync"

	"github.com/prometheus/prometheus/util/annotations"
)

type warningsKey struct{}

// warnings collects what a query's sources have to say beside the answer.
type warnings struct {
	mu  sync.Mutex
	all annotations.Annotations
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

// addWarning leaves a warning for the user of the query, if anyone listens.
func addWarning(ctx context.Context, err error) {
	if w, ok := ctx.Value(warningsKey{}).(*warnings); ok {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.all.Add(err)
	}
}
