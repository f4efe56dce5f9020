package resultcache

import (
	"context"
	"sync"
)

// Flights joins equal questions: who asks one that is being answered waits for that answer. The zero Flights is
// ready to use. Safe for concurrent use.
type Flights[T any] struct {
	mu   sync.Mutex
	open map[string]*flight[T]
}

// flight is a question that is being answered. v and err are set when done is closed.
type flight[T any] struct {
	done chan struct{}
	v    T
	err  error
	// abandoned says that who asked first gave up, which is no answer for the others.
	abandoned bool
}

// Do answers the question key by ask, or by the answer that somebody else waits for already: joined. An answer that
// several share must not be changed.
func (f *Flights[T]) Do(ctx context.Context, key string, ask func(context.Context) (T, error)) (v T, joined bool, err error) {
	for {
		f.mu.Lock()
		other := f.open[key]
		if other == nil {
			own := &flight[T]{done: make(chan struct{}), abandoned: true}
			if f.open == nil {
				f.open = map[string]*flight[T]{}
			}
			f.open[key] = own
			f.mu.Unlock()
			return f.lead(ctx, key, own, ask)
		}
		f.mu.Unlock()
		select {
		case <-other.done:
			if !other.abandoned {
				return other.v, true, other.err
			}
		case <-ctx.Done():
			return v, true, context.Cause(ctx)
		}
	}
}

// lead asks. A panic leaves the flight abandoned: the others ask for themselves.
func (f *Flights[T]) lead(ctx context.Context, key string, own *flight[T], ask func(context.Context) (T, error)) (v T, joined bool, err error) {
	defer func() {
		f.mu.Lock()
		delete(f.open, key)
		f.mu.Unlock()
		close(own.done)
	}()
	own.v, own.err = ask(ctx)
	own.abandoned = own.err != nil && ctx.Err() != nil
	return own.v, false, own.err
}
