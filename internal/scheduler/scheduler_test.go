package scheduler

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/logs"
)

func run(ctx context.Context, s *Scheduler, tenant, expr string) <-chan answer {
	done := make(chan answer, 1)
	go func() {
		r, err := s.Run(ctx, job.Job{Tenant: tenant, Logs: &logs.Query{Expr: expr}})
		done <- answer{r, err}
	}()
	return done
}

// A tenant with many jobs must not make another wait behind them.
func TestTenantsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(DefaultConfig(), prometheus.NewRegistry())
		ctx := t.Context()
		for range 3 {
			run(ctx, s, "busy", "b")
			synctest.Wait()
		}
		quiet := run(ctx, s, "quiet", "q")
		synctest.Wait()

		var order []string
		for range 4 {
			_, ticket, err := s.Take(ctx)
			require.NoError(t, err)
			order = append(order, ticket.Job.Tenant)
			s.Finish(ticket.ID, job.Result{Logs: &logs.Result{Strings: []string{ticket.Job.Logs.Expr}}}, nil)
		}
		require.Equal(t, []string{"busy", "quiet", "busy", "busy"}, order)
		a := <-quiet
		require.NoError(t, a.err)
		require.Equal(t, []string{"q"}, a.result.Logs.Strings)
	})
}

func TestFullQueueRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{MaxOutstandingPerTenant: 1}, prometheus.NewRegistry())
		first := run(t.Context(), s, "a", "1")
		synctest.Wait()
		_, err := s.Run(t.Context(), job.Job{Tenant: "a"})
		require.Equal(t, fault.RateLimited, fault.ClassOf(err))
		require.Positive(t, fault.RetryAfter(err))

		s.Close()
		a := <-first
		require.Equal(t, fault.Unavailable, fault.ClassOf(a.err))
		_, err = s.Run(t.Context(), job.Job{Tenant: "b"})
		require.Equal(t, fault.Unavailable, fault.ClassOf(err))
	})
}

func TestCanceledJobLeavesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(DefaultConfig(), prometheus.NewRegistry())
		ctx, cancel := context.WithCancel(t.Context())
		gone := run(ctx, s, "a", "gone")
		synctest.Wait()
		stays := run(t.Context(), s, "b", "stays")
		synctest.Wait()
		cancel()
		a := <-gone
		require.ErrorIs(t, a.err, context.Canceled)

		_, ticket, err := s.Take(t.Context())
		require.NoError(t, err)
		require.Equal(t, "stays", ticket.Job.Logs.Expr)
		s.Finish(ticket.ID, job.Result{}, errors.New("boom"))
		a = <-stays
		require.EqualError(t, a.err, "boom")
		require.Zero(t, s.length())
	})
}

// Cancelling a taken job ends the context that its querier holds, and the late answer is dropped.
func TestCancelReachesTheQuerier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(DefaultConfig(), prometheus.NewRegistry())
		ctx, cancel := context.WithCancel(t.Context())
		gone := run(ctx, s, "a", "gone")
		jobCtx, ticket, err := s.Take(t.Context())
		require.NoError(t, err)
		cancel()
		<-jobCtx.Done()
		<-gone
		s.Finish(ticket.ID, job.Result{}, nil)
	})
}

func TestConcurrentUse(t *testing.T) {
	s := New(DefaultConfig(), prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(t.Context())
	var workers, callers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for {
				_, ticket, err := s.Take(ctx)
				if err != nil {
					return
				}
				s.Finish(ticket.ID, job.Result{Logs: &logs.Result{Strings: []string{ticket.Job.Logs.Expr}}}, nil)
			}
		})
	}
	for i := range 200 {
		callers.Go(func() {
			name := string(rune('a' + i%7))
			r, err := s.Run(ctx, job.Job{Tenant: name, Logs: &logs.Query{Expr: name}})
			if err != nil || r.Logs.Strings[0] != name {
				t.Errorf("job of %s: %v %v", name, r, err)
			}
		})
	}
	callers.Wait()
	cancel()
	workers.Wait()
	require.Empty(t, s.taken)
}
