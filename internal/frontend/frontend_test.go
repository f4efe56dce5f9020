package frontend

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/traces/traceql"
)

type runnerFunc func(ctx context.Context, j job.Job) (job.Result, error)

func (f runnerFunc) Run(ctx context.Context, j job.Job) (job.Result, error) { return f(ctx, j) }

func newFrontend(t *testing.T, change func(*limits.QueryLimits), next runnerFunc) *Frontend {
	t.Helper()
	l := limits.DefaultConfig()
	if change != nil {
		change(&l.Queries)
	}
	overrides, err := limits.New(l, nil)
	require.NoError(t, err)
	return New(Options{Config: DefaultConfig(), Next: next, Logs: logql.NewEngine(logql.Options{}), Traces: traceql.NewEngine(traceql.Options{}), Limits: overrides, Logger: slog.New(slog.DiscardHandler),
		Registerer: prometheus.NewRegistry(), Now: func() time.Time { return time.Unix(10_000, 0) }})
}

func TestTimeoutNamesTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFrontend(t, func(q *limits.QueryLimits) { q.Timeout = model.Duration(time.Minute) }, func(ctx context.Context, _ job.Job) (job.Result, error) {
			<-ctx.Done()
			return job.Result{}, errors.New("some layer noticed")
		})
		_, err := f.Run(t.Context(), job.Job{Tenant: "a", Logs: &logs.Query{Kind: logs.Range, Expr: `{app="a"}`}})
		require.Equal(t, fault.Timeout, fault.ClassOf(err))
		require.ErrorContains(t, err, "Request timed out, decrease the duration of the request")
		require.ErrorContains(t, err, "limit of 1m")
	})
}

func TestRangeLimits(t *testing.T) {
	var got job.Job
	f := newFrontend(t, func(q *limits.QueryLimits) {
		q.MaxLength, q.MaxLookback = model.Duration(time.Hour), model.Duration(100*time.Second)
	}, func(_ context.Context, j job.Job) (job.Result, error) {
		got = j
		return job.Result{}, nil
	})
	run := func(j job.Job) error {
		j.Tenant = "a"
		_, err := f.Run(t.Context(), j)
		return err
	}
	asked := &metrics.Query{Kind: metrics.Range, Start: 9_000_000, End: 10_000_000}
	require.NoError(t, run(job.Job{Metrics: asked}))
	require.EqualValues(t, 9_900_000, got.Metrics.Start)
	require.EqualValues(t, 9_000_000, asked.Start, "the caller's query is not changed")
	require.NoError(t, run(job.Job{Logs: &logs.Query{Start: 1, End: 2}}))
	require.EqualValues(t, 9900*time.Second, got.Logs.Start)
	require.EqualValues(t, 9900*time.Second, got.Logs.End, "an empty range, not one upside down")
	require.NoError(t, run(job.Job{Traces: &traces.Query{Kind: traces.ByID}}))
	require.Zero(t, got.Traces.Start, "an ID is found whatever its age")
	require.ErrorContains(t, run(job.Job{Metrics: &metrics.Query{Start: 0, End: 7_200_000}}), "exceeds the limit (query length: 2h0m0s, limit: 1h)")
	require.ErrorContains(t, run(job.Job{Traces: &traces.Query{Start: 1, End: uint64(2 * time.Hour)}}), "exceeds the limit")
}

func TestJobsAreOfOneSignal(t *testing.T) {
	f := newFrontend(t, nil, nil)
	_, err := f.Run(t.Context(), job.Job{Tenant: "a"})
	require.Error(t, err)
	_, err = f.Run(t.Context(), job.Job{Tenant: "a", Logs: &logs.Query{}, Traces: &traces.Query{}})
	require.Error(t, err)
}
