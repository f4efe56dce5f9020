package frontend

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/traces/traceql"
)

// storedTraces is a head with a span a minute for 1000 minutes, each a trace, as a source.
func storedTraces(t *testing.T) traces.Source {
	h := traces.NewHead(traces.HeadOptions{})
	for i := range 1000 {
		at := uint64(time.Minute) * uint64(i+60)
		tr := &traces.Trace{Spans: []*traces.Span{{Name: fmt.Sprint("n", i%3), Start: at, End: at + 1e6, Resource: &traces.Resource{}, Scope: &traces.Scope{}}}}
		tr.ID[0], tr.ID[1], tr.Spans[0].ID[0] = byte(i>>8), byte(i)|1, 1
		tr.ID[2] = byte(i)
		_, err := h.Append(&traces.Batch{OTLP: traces.ToOTLP(tr)})
		require.NoError(t, err)
	}
	return traces.NewSource(func(context.Context, string, uint64, uint64) ([]traces.Part, error) { return []traces.Part{h}, nil })
}

// cuttingTraces is a frontend that cuts queries of traces into jobs of 100 spans.
func cuttingTraces(t *testing.T, next runnerFunc) *Frontend {
	f := newFrontend(t, func(q *limits.QueryLimits) { *q = limits.QueryLimits{} }, next)
	f.cfg.Traces.JobSpans = 100
	return f
}

func rateQuery() *traces.Query {
	return &traces.Query{Kind: traces.MetricsRange, Expr: "{ } | rate() by (name) | topk(2)", Start: uint64(time.Hour), End: uint64(18 * time.Hour), Step: uint64(time.Hour)}
}

func searchQuery(limit int) *traces.Query {
	return &traces.Query{Kind: traces.Search, Expr: `{ name = "n1" }`, Limit: limit}
}

func TestCutTraces(t *testing.T) {
	src, engine := storedTraces(t), traceql.NewEngine(traceql.Options{})
	var jobs atomic.Int64
	f := cuttingTraces(t, func(ctx context.Context, j job.Job) (job.Result, error) {
		jobs.Add(1)
		res, err := engine.Run(ctx, j.Tenant, j.Traces, src)
		return job.Result{Traces: res}, err
	})
	for _, q := range []*traces.Query{rateQuery(), searchQuery(1000), searchQuery(20)} {
		jobs.Store(0)
		got, err := f.Run(t.Context(), job.Job{Tenant: "t", Traces: q})
		require.NoError(t, err)
		want, err := engine.Run(t.Context(), "t", q, src)
		require.NoError(t, err)
		require.Equal(t, want.Found, got.Traces.Found)
		require.Equal(t, want.Series, got.Traces.Series)
		require.EqualValues(t, 10, got.Traces.Inspected.TotalJobs)
		if q.Limit == 20 {
			require.EqualValues(t, 2, jobs.Load(), "the estimate, and the newest tenth has enough")
		} else {
			require.EqualValues(t, 11, jobs.Load())
		}
	}
	jobs.Store(0)
	f.cfg.Traces.JobSpans = 1000
	_, err := f.Run(t.Context(), job.Job{Tenant: "t", Traces: rateQuery()})
	require.NoError(t, err)
	require.EqualValues(t, 1, jobs.Load(), "what is small is asked for once")
}

// A job of traces that fails for a reason that may pass is done once more, and once only.
func TestJobsOfTracesAreDoneOnceMore(t *testing.T) {
	src, engine := storedTraces(t), traceql.NewEngine(traceql.Options{})
	for _, c := range []struct {
		err      error
		failures int
		retried  bool
	}{
		{fault.Errorf(fault.Unavailable, "a block was deleted"), 1, true},
		{errors.New("a disk had a bad moment"), 1, true},
		{fault.Errorf(fault.Unavailable, "a block was deleted"), 2, false},
		{fault.Errorf(fault.Unprocessable, "over a limit"), 1, false},
	} {
		var mu sync.Mutex
		failed := map[uint64]int{}
		f := cuttingTraces(t, func(ctx context.Context, j job.Job) (job.Result, error) {
			mu.Lock()
			failed[j.Traces.Start]++
			fails := j.Traces.Whole != nil && failed[j.Traces.Start] <= c.failures
			mu.Unlock()
			if fails {
				return job.Result{}, c.err
			}
			res, err := engine.Run(ctx, j.Tenant, j.Traces, src)
			return job.Result{Traces: res}, err
		})
		_, err := f.Run(t.Context(), job.Job{Tenant: "t", Traces: searchQuery(1000)})
		if c.retried {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, c.err)
		}
	}
}

// As for logs.
func TestCancelledQueriesOfTracesEndTheirJobs(t *testing.T) {
	requireCancelEnds(t, cuttingTraces, job.Job{Tenant: "t", Traces: rateQuery()}, func(j job.Job) (job.Result, bool) {
		return job.Result{Traces: &traces.Result{Estimate: &traces.Estimate{Spans: 800}}}, j.Traces.CutAbove != 0
	})
}

// What explain says of how a query is cut is how it is cut.
func TestExplainedCutOfTraces(t *testing.T) {
	src, engine := storedTraces(t), traceql.NewEngine(traceql.Options{})
	var mu sync.Mutex
	var asked []traces.Range
	f := cuttingTraces(t, func(ctx context.Context, j job.Job) (job.Result, error) {
		if j.Traces.Whole != nil {
			mu.Lock()
			asked = append(asked, traces.Range{Start: j.Traces.Start, End: j.Traces.End})
			mu.Unlock()
		}
		res, err := engine.Run(ctx, j.Tenant, j.Traces, src)
		return job.Result{Traces: res}, err
	})
	explain := func(q *traces.Query) *traces.Plan {
		asked = nil
		e := *q
		e.Explain = true
		r, err := f.Run(t.Context(), job.Job{Tenant: "t", Traces: &e})
		require.NoError(t, err)
		require.Empty(t, asked, "explain runs nothing")
		require.EqualValues(t, 1000, r.Traces.Plan.Estimate.Spans)
		return r.Traces.Plan
	}
	for want, q := range map[string]*traces.Query{
		"merge jobs=10 by=time first=10\n└ topk(2)\n  └ rate() by (name) ": rateQuery(),
		"merge jobs=10 by=time first=2\n└ search limit=2000 ":              searchQuery(2000),
		"merge jobs=10 by=time first=1\n└ search limit=20 ":                searchQuery(20),
	} {
		plan := explain(q)
		require.Contains(t, plan.Text, want)
		require.Contains(t, plan.Text, "    └ scan ")
		_, err := f.Run(t.Context(), job.Job{Tenant: "t", Traces: q})
		require.NoError(t, err)
		require.Len(t, plan.Jobs, 10)
		if q.Limit == 20 {
			require.Equal(t, plan.Jobs[:1], asked, "the newest has enough")
		} else {
			require.ElementsMatch(t, plan.Jobs, asked)
		}
	}
	f.cfg.Traces.JobSpans = 1000
	plan := explain(rateQuery())
	require.Empty(t, plan.Jobs)
	require.NotContains(t, plan.Text, "merge")
}
