package inturn

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Answers come in order whatever is done first, no more run than may, and all that was started has ended in the end.
func TestRun(t *testing.T) {
	bad := errors.New("bad")
	for _, c := range []struct {
		name           string
		fails, enough  int // the piece that fails, and the last one that is wanted; -1: none
		taken, started int
		want           error
	}{
		{"all", -1, -1, 10, 10, nil},
		{"enough", -1, 3, 4, 6, nil},
		{"a failure", 5, -1, 5, 8, bad},
		{"a failure of what isn't wanted", 5, 3, 4, 6, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var running, started, most atomic.Int64
				var taken []int
				err := Run(t.Context(), 10, func(int) int { return 3 }, func(ctx context.Context, i int) (int, error) {
					started.Add(1)
					most.Store(max(most.Load(), running.Add(1)))
					defer running.Add(-1)
					select {
					case <-time.After(time.Duration(1+i%2) * time.Second):
					case <-ctx.Done():
						return 0, context.Cause(ctx)
					}
					if i == c.fails {
						return 0, bad
					}
					return i, nil
				}, func(i, r int) (bool, error) {
					require.Equal(t, i, r)
					taken = append(taken, r)
					return i != c.enough, nil
				})
				require.ErrorIs(t, err, c.want)
				require.Zero(t, running.Load())
				require.Len(t, taken, c.taken)
				require.IsIncreasing(t, append(taken, 100))
				require.EqualValues(t, c.started, started.Load())
				require.LessOrEqual(t, most.Load(), int64(3))
			})
		})
	}
}
