// Package inturn runs pieces of a query side by side and takes their answers in order.
package inturn

import "context"

// Run runs n pieces of a query, several at once, and hands their answers to take in order, until it returns false or
// something fails. Then the contexts of those that still run end, and it waits for all that it started. atOnce says
// how many may run when so many are done; one always may.
func Run[R any](ctx context.Context, n int, atOnce func(done int) int, run func(ctx context.Context, i int) (R, error),
	take func(i int, r R) (more bool, err error)) error {
	type answered struct {
		res R
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	started := make([]chan answered, 0, n)
	defer func() {
		cancel()
		for _, c := range started {
			<-c // closed when the piece has ended
		}
	}()
	for done := 0; done < n; done++ {
		for len(started) < n && len(started) < done+max(atOnce(done), 1) {
			i, c := len(started), make(chan answered, 1)
			started = append(started, c)
			go func() {
				defer close(c)
				res, err := run(ctx, i)
				c <- answered{res, err}
			}()
		}
		a := <-started[done]
		if a.err != nil {
			return a.err
		}
		if more, err := take(done, a.res); err != nil || !more {
			return err
		}
	}
	return nil
}
