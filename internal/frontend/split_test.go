package frontend

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
)

// Libraries of object stores start goroutines as they are loaded; everything else must end.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

// stored is a head with a line a minute for 1000 minutes of 20 streams, as a source.
func stored() logs.Source {
	h := logs.NewHead(logs.HeadOptions{})
	b := &logs.Batch{}
	for pod := range 20 {
		s := logs.Stream{Labels: labels.FromStrings("app", "a", "pod", fmt.Sprint(pod))}
		for i := range 50 {
			s.Entries = append(s.Entries, logs.Entry{Timestamp: int64(time.Minute) * int64(i*20+pod), Line: fmt.Sprintf("n=%04d", i*20+pod)})
		}
		b.Streams = append(b.Streams, s)
	}
	h.Append(b)
	return logs.NewSource(func(context.Context, string, int64, int64) ([]logs.Part, error) { return []logs.Part{h}, nil })
}

// cutting is a frontend that cuts queries into jobs of 1000 bytes of lines.
func cutting(t *testing.T, next runnerFunc) *Frontend {
	f := newFrontend(t, func(q *limits.QueryLimits) { q.Timeout = 0 }, next)
	f.cfg.Logs.JobSize = 1000
	return f
}

func countQuery() *logs.Query {
	return &logs.Query{Kind: logs.Range, Expr: `sum by (pod) (count_over_time({app="a"} | logfmt | n > 100 [1h]))`, Start: int64(time.Hour),
		End: int64(16 * time.Hour), Step: int64(time.Hour)}
}

func TestCutQueries(t *testing.T) {
	src, engine := stored(), logql.NewEngine(logql.Options{})
	var jobs atomic.Int64
	f := cutting(t, func(ctx context.Context, j job.Job) (job.Result, error) {
		jobs.Add(1)
		res, err := engine.Run(ctx, j.Tenant, j.Logs, src)
		return job.Result{Logs: res}, err
	})
	got, err := f.Run(t.Context(), job.Job{Tenant: "t", Logs: countQuery()})
	require.NoError(t, err)
	want, err := engine.Run(t.Context(), "t", countQuery(), src)
	require.NoError(t, err)
	require.Equal(t, want.Matrix, got.Logs.Matrix)
	require.EqualValues(t, 6, got.Logs.Stats.Jobs)
	require.EqualValues(t, 7, jobs.Load(), "and one for the estimate")
}

// A job that fails for a reason that may pass is done once more, and once only.
func TestJobsAreDoneOnceMore(t *testing.T) {
	src, engine := stored(), logql.NewEngine(logql.Options{})
	for _, c := range []struct {
		err      error
		failures int
		retried  bool
	}{
		{fault.Errorf(fault.Unavailable, "a block was deleted"), 1, true},
		{errors.New("a disk had a bad moment"), 1, true},
		{fault.Errorf(fault.Unavailable, "a block was deleted"), 2, false},
		{fault.Errorf(fault.Unprocessable, "over a limit"), 1, false},
		{fault.Errorf(fault.RateLimited, "too many"), 1, false},
	} {
		var mu sync.Mutex
		type part struct {
			start int64
			shard logs.Shard
		}
		failed := map[part]int{}
		f := cutting(t, func(ctx context.Context, j job.Job) (job.Result, error) {
			mu.Lock()
			p := part{j.Logs.RowsStart, j.Logs.Shard}
			failed[p]++
			fails := j.Logs.Partial && failed[p] <= c.failures
			mu.Unlock()
			if fails {
				return job.Result{}, c.err
			}
			res, err := engine.Run(ctx, j.Tenant, j.Logs, src)
			return job.Result{Logs: res}, err
		})
		_, err := f.Run(t.Context(), job.Job{Tenant: "t", Logs: countQuery()})
		if c.retried {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, c.err)
		}
	}
}

// A request that nobody waits for any more ends its jobs, those that wait for a slot included.
func TestCancelledQueriesEndTheirJobs(t *testing.T) {
	requireCancelEnds(t, cutting, job.Job{Tenant: "t", Logs: countQuery()}, func(j job.Job) (job.Result, bool) {
		return job.Result{Logs: &logs.Result{Estimates: []logs.Estimate{{Bytes: 8000}}}}, j.Logs.Estimate
	})
}

// requireCancelEnds asks j twice of a frontend that cuts it, and gives up while jobs run and wait. Estimate answers a
// job that asks for an estimate, and reports whether it does.
func requireCancelEnds(t *testing.T, cutting func(*testing.T, runnerFunc) *Frontend, j job.Job, estimate func(job.Job) (job.Result, bool)) {
	synctest.Test(t, func(t *testing.T) {
		var running atomic.Int64
		f := cutting(t, func(ctx context.Context, j job.Job) (job.Result, error) {
			if res, ok := estimate(j); ok {
				return res, nil
			}
			running.Add(1)
			defer running.Add(-1)
			<-ctx.Done()
			return job.Result{}, context.Cause(ctx)
		})
		f.slots.most = 3
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := f.Run(ctx, j)
				done <- err
			}()
		}
		synctest.Wait()
		require.EqualValues(t, 3, running.Load(), "the slots of the tenant")
		cancel()
		for range 2 {
			require.ErrorIs(t, <-done, context.Canceled)
		}
		require.Zero(t, running.Load())
		require.Empty(t, f.slots.tenants)
	})
}

// Another tenant does not wait for the slots of one that uses all of its own.
func TestSlotsAreOfTenants(t *testing.T) {
	s := slots{most: 1}
	first, err := s.take(t.Context(), "a")
	require.NoError(t, err)
	other, err := s.take(t.Context(), "b")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.take(ctx, "a")
	require.ErrorIs(t, err, context.Canceled)
	first()
	again, err := s.take(t.Context(), "a")
	require.NoError(t, err)
	again()
	other()
	require.Empty(t, s.tenants)
}

func TestConfig(t *testing.T) {
	require.NoError(t, DefaultConfig().Validate())
	for _, change := range []func(*Config){
		func(c *Config) { c.SlowQuery = -1 },
		func(c *Config) { c.Logs.JobSize = -1 },
		func(c *Config) { c.Logs.MaxShards = 0 },
		func(c *Config) { c.Logs.MaxJobs = 0 },
		func(c *Config) { c.Traces.JobSpans = -1 },
		func(c *Config) { c.Traces.MaxJobs = 0 },
		func(c *Config) { c.ResultsCache.Size = -1 },
		func(c *Config) { c.ResultsCache.MaxFreshness = -1 },
	} {
		c := DefaultConfig()
		change(&c)
		require.Error(t, c.Validate())
	}
}
