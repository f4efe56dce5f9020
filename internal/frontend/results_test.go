package frontend

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
)

// cachedQueries are of every kind of answer over time.
var cachedQueries = []string{
	`sum by (pod) (count_over_time({app="a"} | logfmt | n > 10 [5m]))`,
	`topk(2, sum by (pod) (rate({app="a"}[10m])))`,
	`max_over_time({app="a"} | logfmt | unwrap n [7m]) by (pod)`,
	`quantile_over_time(0.5, {app="a"} | logfmt | unwrap n [15m]) by (pod)`,
	`last_over_time({app="a"} | logfmt | unwrap n [7m]) by (pod)`,
	`absent_over_time({app="a", pod="1"}[3m])`,
	`count_over_time({app="a"}[5m] offset 10m) / on (pod) count_over_time({app="a"}[5m])`,
	`sum(count_over_time({app="a"}[5m] offset -10m)) or vector(0)`,
	`label_replace(sum by (pod) (count_over_time({app="a"}[5m])), "x", "one", "pod", ".*")`,
	`vector(1) + 1`,
	`{app="a"}`,
	`sum(count_over_time({app="a"} | nonsense [5m]))`,
}

// liveSource is a head as a source.
func liveSource(h *logs.Head) logs.Source {
	return logs.NewSource(func(context.Context, string, int64, int64) ([]logs.Part, error) { return []logs.Part{h}, nil })
}

// Answers with the cache are those without it, while rows are written and time goes on.
func TestCachedAnswersAreUncached(t *testing.T) {
	engine := logql.NewEngine(logql.Options{})
	found := int64(0)
	rapid.Check(t, func(rt *rapid.T) {
		h := logs.NewHead(logs.HeadOptions{})
		src := liveSource(h)
		now := int64(2 * time.Hour)
		f := newFrontend(t, nil, func(ctx context.Context, j job.Job) (job.Result, error) {
			res, err := engine.Run(ctx, j.Tenant, j.Logs, src)
			return job.Result{Logs: res}, err
		})
		f.now = func() time.Time { return time.Unix(0, now) }
		expr := rapid.SampledFrom(cachedQueries).Draw(rt, "query")
		for i := range rapid.IntRange(2, 40).Draw(rt, "actions") {
			switch rapid.IntRange(0, 4).Draw(rt, "action") {
			case 0, 1:
				at := now - int64(time.Second)*rapid.Int64Range(0, rapid.SampledFrom([]int64{600, 3600}).Draw(rt, "most")).Draw(rt, "age")
				b := &logs.Batch{Streams: []logs.Stream{{Labels: labels.FromStrings("app", "a", "pod", fmt.Sprint(i%3)),
					Entries: []logs.Entry{{Timestamp: at, Line: fmt.Sprintf("n=%d", i)}}}}}
				h.Append(b)
				oldest, ok := b.Oldest()
				require.True(rt, ok)
				f.LogsWritten("t", oldest)
			case 2:
				now += int64(time.Second) * rapid.Int64Range(0, 1200).Draw(rt, "later")
			default:
				q := logs.Query{Kind: logs.Range, Expr: expr, Step: int64(time.Minute) * rapid.Int64Range(1, 2).Draw(rt, "step")}
				q.End = now - int64(time.Minute)*rapid.SampledFrom([]int64{0, 0, 5, 30}).Draw(rt, "end")
				q.Start = q.End - int64(time.Minute)*rapid.Int64Range(0, 60).Draw(rt, "length")
				want, wantErr := engine.Run(rt.Context(), "t", &q, src)
				got, err := f.Run(rt.Context(), job.Job{Tenant: "t", Logs: &q})
				if wantErr != nil {
					require.EqualError(rt, err, wantErr.Error())
					continue
				}
				require.NoError(rt, err, q.Expr)
				require.Equal(rt, want.Matrix, got.Logs.Matrix, "%s", q.Expr)
				require.Equal(rt, len(want.Streams), len(got.Logs.Streams))
				found += got.Logs.Stats.Cache.Found
			}
		}
	})
	require.Positive(t, found, "the cache was used")
}

// A dashboard that is shown again looks at the new rows only, until a request to delete changes what there is.
func TestShownAgain(t *testing.T) {
	src, engine := stored(), logql.NewEngine(logql.Options{})
	var lines atomic.Int64
	f := newFrontend(t, nil, func(ctx context.Context, j job.Job) (job.Result, error) {
		res, err := engine.Run(ctx, j.Tenant, j.Logs, src)
		if err == nil {
			lines.Add(res.Stats.LinesProcessed)
		}
		return job.Result{Logs: res}, err
	})
	deleted := uint64(0)
	f.deleted = func(string) uint64 { return deleted }
	f.now = func() time.Time { return time.Unix(0, int64(16*time.Hour)) }
	ask := func() logs.QueryStats {
		lines.Store(0)
		res, err := f.Run(t.Context(), job.Job{Tenant: "t", Logs: countQuery()})
		require.NoError(t, err)
		require.NotEmpty(t, res.Logs.Matrix)
		require.Equal(t, lines.Load(), res.Logs.Stats.LinesProcessed)
		return res.Logs.Stats
	}
	require.Equal(t, logs.CacheStats{Requested: 16, Stored: 15}, ask().Cache)
	all := lines.Load()
	require.Equal(t, logs.CacheStats{Requested: 16, Found: 15, FoundNanoseconds: int64(15 * time.Hour)}, ask().Cache)
	require.Less(t, lines.Load(), all/10)
	deleted++
	require.Zero(t, ask().Cache.Found)
	f.LogsWritten("t", int64(10*time.Hour))
	require.EqualValues(t, 9, ask().Cache.Found)
	f.LogsWritten("t", int64(16*time.Hour))
	require.EqualValues(t, 15, ask().Cache.Found, "not late")
}

// Parts that each have few enough series may have too many together.
func TestSeriesOfCachedAnswersAreCounted(t *testing.T) {
	h := logs.NewHead(logs.HeadOptions{})
	for i := range 10 {
		h.Append(&logs.Batch{Streams: []logs.Stream{{Labels: labels.FromStrings("app", "a", "pod", fmt.Sprint(i)),
			Entries: []logs.Entry{{Timestamp: int64(time.Minute) * int64(i+1), Line: "x"}}}}})
	}
	engine, src := logql.NewEngine(logql.Options{Limits: func(string) logql.Limits { return logql.Limits{MaxSeries: 6} }}), liveSource(h)
	f := newFrontend(t, nil, func(ctx context.Context, j job.Job) (job.Result, error) {
		res, err := engine.Run(ctx, j.Tenant, j.Logs, src)
		return job.Result{Logs: res}, err
	})
	f.logs = engine
	ask := func(from, to int64) error {
		_, err := f.Run(t.Context(), job.Job{Tenant: "t", Logs: &logs.Query{Kind: logs.Range, Expr: `count_over_time({app="a"}[1m])`,
			Start: from * int64(time.Minute), End: to * int64(time.Minute), Step: int64(time.Minute)}})
		return err
	}
	require.NoError(t, ask(1, 5))
	require.NoError(t, ask(6, 10))
	require.ErrorContains(t, ask(1, 10), "maximum number of series (6) reached")
}

// Whoever asks what is being answered waits for that answer: one job is done.
func TestEqualQueriesAreJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var jobs atomic.Int64
		f := newFrontend(t, func(q *limits.QueryLimits) { q.Timeout = 0 }, func(_ context.Context, j job.Job) (job.Result, error) {
			jobs.Add(1)
			<-release
			return job.Result{Logs: &logs.Result{Strings: []string{"a"}, Matrix: []logs.SampleSeries{{Points: []logs.Point{{T: 1, V: 1}}}}}}, nil
		})
		f.cfg.Logs.JobSize = 0
		var wg sync.WaitGroup
		ask := func(q logs.Query) {
			wg.Go(func() {
				_, err := f.Run(t.Context(), job.Job{Tenant: "t", Logs: &q})
				require.NoError(t, err)
			})
			synctest.Wait()
		}
		for i := range 3 {
			ask(logs.Query{Kind: logs.LabelNames, Tags: fmt.Sprint(i)})
			ask(*countQuery())
		}
		require.EqualValues(t, 2, jobs.Load())
		ask(logs.Query{Kind: logs.LabelValues, Label: "x"})
		ask(logs.Query{Kind: logs.LabelValues, Label: "y"})
		require.EqualValues(t, 4, jobs.Load())
		entries := logs.Query{Kind: logs.Range, Expr: `{app="a"}`, End: 1}
		ask(entries)
		ask(entries)
		require.EqualValues(t, 6, jobs.Load(), "entries are not shared")
		close(release)
		wg.Wait()
	})
}
