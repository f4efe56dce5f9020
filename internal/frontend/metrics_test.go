package frontend

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/metrics"
)

// memory is series of floats that can be changed, as a source.
type memory struct {
	mu     sync.Mutex
	series map[string]map[int64]float64 // by the value of the label i
	failed atomic.Bool                  // answers come with a warning
}

func (s *memory) set(i string, t int64, v float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.series == nil {
		s.series = map[string]map[int64]float64{}
	}
	if s.series[i] == nil {
		s.series[i] = map[int64]float64{}
	}
	s.series[i][t] = v
}

func (s *memory) SelectSeries(_ context.Context, _ string, sel metrics.Select) iter.Seq2[*metrics.ChunkSeries, error] {
	return func(yield func(*metrics.ChunkSeries, error) bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		var names []string
		for i := range s.series {
			names = append(names, i)
		}
		slices.Sort(names)
		for _, i := range names {
			var times []int64
			for t := range s.series[i] {
				if sel.Start <= t && t <= sel.End {
					times = append(times, t)
				}
			}
			if len(times) == 0 {
				continue
			}
			slices.Sort(times)
			chunk := chunkenc.NewXORChunk()
			app, err := chunk.Appender()
			if err != nil {
				yield(nil, err)
				return
			}
			for _, t := range times {
				app.Append(t, s.series[i][t])
			}
			cs := &metrics.ChunkSeries{Labels: labels.FromStrings("__name__", "m_total", "i", i, "g", i[:1]),
				Chunks: []metrics.Chunk{{MinTime: times[0], MaxTime: times[len(times)-1], Encoding: chunkenc.EncXOR, Data: chunk.Bytes()}}}
			if !yield(cs, nil) {
				return
			}
		}
	}
}

func (*memory) LabelNames(context.Context, string, metrics.Select) ([]string, error) { return nil, nil }
func (*memory) LabelValues(context.Context, string, string, metrics.Select) ([]string, error) {
	return nil, nil
}
func (*memory) Exemplars(context.Context, string, int64, int64, [][]metrics.Matcher) ([]metrics.ExemplarSeries, error) {
	return nil, nil
}
func (*memory) Metadata(context.Context, string, string, int) (map[string][]metadata.Metadata, error) {
	return nil, nil
}

// kitchen is a frontend over memory, with a clock.
type kitchen struct {
	*Frontend
	source *memory
	engine *metrics.Engine
	now    time.Time
	jobs   atomic.Int64
	broken atomic.Int64 // so many jobs fail
}

func newKitchen(t *testing.T, change func(*MetricsConfig)) *kitchen {
	t.Helper()
	return newKitchenWith(t, change, func(*Options) {})
}

func newKitchenWith(t *testing.T, change func(*MetricsConfig), options func(*Options)) *kitchen {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	k := &kitchen{source: &memory{}, engine: metrics.NewEngine(metrics.EngineOptions{Config: metrics.DefaultConfig().Query, Logger: quiet}),
		now: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)}
	cfg := DefaultConfig()
	change(&cfg.Metrics)
	require.NoError(t, cfg.Validate())
	overrides, err := limits.New(limits.DefaultConfig(), nil)
	require.NoError(t, err)
	o := Options{Config: cfg, Next: k, Limits: overrides, Logger: quiet, Registerer: prometheus.NewRegistry(),
		Now: func() time.Time { return k.now }, MetricsWindow: time.Hour}
	options(&o)
	k.Frontend = New(o)
	return k
}

// Run implements job.Runner for the frontend, as a querier does.
func (k *kitchen) Run(ctx context.Context, j job.Job) (job.Result, error) {
	k.jobs.Add(1)
	if k.broken.Add(-1) >= 0 {
		return job.Result{}, fault.Errorf(fault.Unavailable, "the querier went away")
	}
	r, err := k.engine.Run(ctx, j.Tenant, j.Metrics, k.source)
	if err == nil && k.source.failed.Load() {
		r.Partial = true
		r.Warnings.Add(errors.New("a block is missing"))
	}
	return job.Result{Metrics: r}, err
}

func (k *kitchen) ask(t require.TestingT, q *metrics.Query) *metrics.Result {
	r, err := k.Frontend.Run(context.Background(), job.Job{Tenant: "a", Metrics: q})
	require.NoError(t, err, q.Expr)
	return r.Metrics
}

// check compares the frontend's answer with that of the engine alone.
func (k *kitchen) check(t require.TestingT, q *metrics.Query) {
	want, err := k.engine.Run(context.Background(), "a", q, k.source)
	require.NoError(t, err, q.Expr)
	sameMatrix(t, want.Value.(promql.Matrix), k.ask(t, q).Value.(promql.Matrix), q.Expr)
}

func sameMatrix(t require.TestingT, want, got promql.Matrix, expr string) {
	require.Equal(t, len(want), len(got), "series of %s", expr)
	for i := range want {
		require.Equal(t, want[i].Metric.String(), got[i].Metric.String(), expr)
		require.Equal(t, len(want[i].Floats), len(got[i].Floats), "points of %s %s", expr, want[i].Metric)
		for j, p := range want[i].Floats {
			require.Equal(t, p.T, got[i].Floats[j].T, expr)
			require.InDelta(t, p.F, got[i].Floats[j].F, 1e-9*max(1, math.Abs(p.F)), "%s %s at %d", expr, want[i].Metric, p.T)
		}
	}
}

var shapes = []string{
	"m_total", "sum(m_total)", "sum by (g) (rate(m_total[10m]))", "count by (g) (m_total > 20)", "min(-m_total)", "max without (i) (increase(m_total[20m]))", "group by (g) (m_total)",
	"avg(m_total)", "topk(2, m_total)", "bottomk by (g) (1, abs(m_total))", "topk by (g) (3, rate(m_total[10m]))", "sum(m_total offset 30m)", "sum(m_total offset -10m)",
	"m_total @ start()", "sum(rate(m_total[10m] @ end()))", "sum(m_total @ 1772452800)", "max_over_time(sum(m_total)[20m:5m])", "sum(m_total) / count(m_total)",
	"max_over_time(m_total[10m:1m] offset -5m)", "quantile(0.5, m_total)", "absent(m_total)", "label_replace(m_total, \"x\", \"$1\", \"i\", \"(.*)\")", "vector(1)", "time()",
}

// Cut by time, by series or both, with and without what was kept, in any order of questions and writes: the frontend
// gives the answers of the engine.
func TestMetricsPartsEqualWholes(t *testing.T) {
	for name, change := range map[string]func(*MetricsConfig){
		"split":   func(c *MetricsConfig) { c.SplitInterval, c.CacheSize = model.Duration(time.Hour), 0 },
		"sharded": func(c *MetricsConfig) { c.MaxShards, c.CacheSize, c.SplitInterval = 3, 0, 0 },
		"cached":  func(c *MetricsConfig) { c.SplitInterval = 0 },
		"all":     func(c *MetricsConfig) { c.SplitInterval, c.MaxShards = model.Duration(2*time.Hour), 4 },
		"small":   func(c *MetricsConfig) { c.CacheSize = 20_000 },
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				k := newKitchen(t, change)
				value := 0.0 // all values differ: which of equal ones topk keeps is open
				write := func(n int, newest time.Time, behind time.Duration) {
					oldest := int64(math.MaxInt64)
					for range n {
						i := fmt.Sprintf("%c%d", 'a'+rune(rapid.IntRange(0, 2).Draw(rt, "g")), rapid.IntRange(0, 2).Draw(rt, "i"))
						at := newest.Add(-time.Duration(rapid.Int64Range(0, int64(behind/time.Second)).Draw(rt, "behind")) * time.Second).UnixMilli()
						value += rapid.Float64Range(0.001, 10).Draw(rt, "more")
						k.source.set(i, at, value)
						oldest = min(oldest, at)
					}
					k.MetricsChanged("a", oldest)
				}
				write(rapid.IntRange(0, 60).Draw(rt, "first"), k.now, 6*time.Hour)
				for range rapid.IntRange(1, 4).Draw(rt, "rounds") {
					step := rapid.SampledFrom([]int64{60_000, 300_000, 420_000}).Draw(rt, "step")
					start := k.now.Add(-time.Duration(rapid.IntRange(0, 360).Draw(rt, "start")) * time.Minute).UnixMilli()
					if rapid.Bool().Draw(rt, "aligned") {
						start -= start % step
					}
					q := &metrics.Query{Kind: metrics.Range, Expr: rapid.SampledFrom(shapes).Draw(rt, "expr"), Start: start, Step: step}
					q.End = start + rapid.Int64Range(0, 80).Draw(rt, "steps")*step + rapid.Int64Range(0, step-1).Draw(rt, "over")
					k.check(rt, q)
					later := *q
					later.Start, later.End = q.Start+5*step, q.End+10*step
					k.check(rt, &later)
					k.now = k.now.Add(time.Duration(rapid.IntRange(0, 40).Draw(rt, "minutes")) * time.Minute)
					write(rapid.IntRange(0, 5).Draw(rt, "more"), k.now, 2*time.Hour)
					k.check(rt, q)
				}
			})
		})
	}
}

func hours(k *kitchen, from, to int, expr string) *metrics.Query {
	return &metrics.Query{Kind: metrics.Range, Expr: expr, Start: k.now.Add(time.Duration(from) * time.Hour).UnixMilli(), End: k.now.Add(time.Duration(to) * time.Hour).UnixMilli(), Step: 60_000}
}

func TestMetricsCache(t *testing.T) {
	k := newKitchen(t, func(*MetricsConfig) {})
	k.source.set("a0", k.now.Add(-4*time.Hour).UnixMilli(), 1)
	jobs := func(q *metrics.Query) int64 {
		before := k.jobs.Load()
		k.check(t, q)
		return k.jobs.Load() - before
	}
	q := hours(k, -6, -2, "sum_over_time(m_total[1h])")
	require.Equal(t, int64(1), jobs(q))
	require.Zero(t, jobs(q), "again")
	young := hours(k, -1, 0, "sum_over_time(m_total[1h])")
	require.Equal(t, int64(1), jobs(young))
	require.Equal(t, int64(1), jobs(young), "what is younger than the window of late samples is not kept")

	k.source.set("a0", k.now.Add(-3*time.Hour).UnixMilli(), 5)
	k.MetricsChanged("b", k.now.Add(-3*time.Hour).UnixMilli())
	before := k.jobs.Load()
	k.ask(t, q)
	require.Equal(t, before, k.jobs.Load(), "another tenant's write")
	k.MetricsChanged("a", k.now.Add(-3*time.Hour).UnixMilli())
	require.Equal(t, int64(1), jobs(q), "late write, or delete")
	require.Zero(t, jobs(q))

	for _, expr := range []string{"m_total @ 1772452800", "m_total @ end()"} {
		jobs(hours(k, -6, -2, expr))
		require.Equal(t, int64(1), jobs(hours(k, -6, -2, expr)), expr)
	}
	stats := hours(k, -6, -2, "sum_over_time(m_total[1h])")
	stats.EnableStats = true
	require.Equal(t, int64(1), jobs(stats), "statistics are of what was read")
}

// An answer that lacks data is given, with its warning, and not kept.
func TestPartialMetricsAreNotKept(t *testing.T) {
	k := newKitchen(t, func(*MetricsConfig) {})
	k.source.set("a0", k.now.Add(-4*time.Hour).UnixMilli(), 1)
	q := hours(k, -6, -2, "m_total")
	k.source.failed.Store(true)
	require.Len(t, k.ask(t, q).Warnings, 1)
	k.source.failed.Store(false)
	require.Empty(t, k.ask(t, q).Warnings)
}

func TestMetricsJobs(t *testing.T) {
	k := newKitchen(t, func(c *MetricsConfig) { c.CacheSize = 0 })
	k.source.set("a0", k.now.Add(-4*time.Hour).UnixMilli(), 1)
	count := func(q *metrics.Query) int64 {
		before := k.jobs.Load()
		k.ask(t, q)
		return k.jobs.Load() - before
	}
	require.Equal(t, int64(3), count(hours(k, -60, 0, "m_total")), "three days are touched")
	require.Equal(t, int64(1), count(hours(k, -3, 0, "m_total")))
	k.broken.Store(1)
	require.Equal(t, int64(2), count(hours(k, -3, 0, "m_total")), "done once more")
	k.broken.Store(2)
	_, err := k.Frontend.Run(t.Context(), job.Job{Tenant: "a", Metrics: hours(k, -3, 0, "m_total")})
	require.Equal(t, fault.Unavailable, fault.ClassOf(err))

	s := newKitchen(t, func(c *MetricsConfig) { c.CacheSize, c.MaxShards = 0, 4 })
	for expr, want := range map[string]int64{
		"sum(rate(m_total[5m]))": 4, "topk(3, m_total)": 4, "avg(m_total)": 1, "sum(m_total) by (g)": 4, "sum({i=\"a\"})": 1, "sum(m_total + m_total)": 1, "m_total": 1,
		"sum(absent(m_total))": 1, "max(-m_total * 2)": 4, "topk(1 + 1, m_total)": 1, "sum(sum by (i) (m_total))": 1, "sum(clamp(m_total, 1, 2))": 4,
	} {
		before := s.jobs.Load()
		s.ask(t, hours(s, -1, 0, expr))
		require.Equal(t, want, s.jobs.Load()-before, expr)
	}
	// Replicas, here told apart by i, come to one share.
	s.source.set("a0", s.now.UnixMilli(), 2)
	s.source.set("a1", s.now.UnixMilli(), 2)
	s.source.set("b0", s.now.UnixMilli(), 3)
	replicas := hours(s, 0, 0, "sum(m_total)")
	replicas.ReplicaLabels = []string{"i"}
	s.check(t, replicas)
	require.Equal(t, 5.0, s.ask(t, replicas).Value.(promql.Matrix)[0].Floats[0].F)
}

func TestAlignedSteps(t *testing.T) {
	k := newKitchen(t, func(c *MetricsConfig) { c.AlignStep = true })
	q := hours(k, -3, -2, "vector(1)")
	q.Start, q.End = q.Start+7, q.End+7
	points := k.ask(t, q).Value.(promql.Matrix)[0].Floats
	require.Zero(t, points[0].T%q.Step)
	require.Len(t, points, 61)
}

func TestLookbackKeepsSteps(t *testing.T) {
	l := limits.DefaultConfig()
	l.Queries.MaxLookback = model.Duration(90 * time.Second)
	overrides, err := limits.New(l, nil)
	require.NoError(t, err)
	k := newKitchen(t, func(*MetricsConfig) {})
	k.limits = overrides
	points := k.ask(t, hours(k, -3, 0, "vector(1)")).Value.(promql.Matrix)[0].Floats
	require.Equal(t, []int64{k.now.Add(-time.Minute).UnixMilli(), k.now.UnixMilli()}, []int64{points[0].T, points[1].T})
	require.Empty(t, k.ask(t, hours(k, -3, -2, "vector(1)")).Value, "too far back altogether")
	before := k.now.Add(-time.Hour).UnixMilli()
	require.Empty(t, k.ask(t, &metrics.Query{Kind: metrics.Instant, Expr: "vector(1)", Start: before, End: before}).Value)
}

// Equal questions at the same time are one question; a caller may add to the warnings of its answer.
func TestEqualQuestionsAreJoined(t *testing.T) {
	synctest.Test(t, joinQuestions)
}

func joinQuestions(t *testing.T) {
	k := newKitchen(t, func(c *MetricsConfig) { c.CacheSize = 0 })
	asked, answer := make(chan struct{}, 6), make(chan struct{})
	var jobs atomic.Int64
	k.next = runnerFunc(func(context.Context, job.Job) (job.Result, error) {
		jobs.Add(1)
		asked <- struct{}{}
		<-answer
		return job.Result{Metrics: &metrics.Result{Value: promql.Matrix{}, Warnings: annotations.New().Add(errors.New("w"))}}, nil
	})
	q := hours(k, -1, 0, "m_total")
	var all sync.WaitGroup
	one := func(q *metrics.Query) {
		all.Go(func() {
			r, err := k.Frontend.Run(context.Background(), job.Job{Tenant: "a", Metrics: q})
			if err == nil {
				r.Metrics.Warnings.Add(errors.New("mine"))
			}
		})
	}
	one(q)
	<-asked
	for range 5 {
		one(q)
	}
	other := *q
	other.Start++
	one(&other)
	synctest.Wait()
	close(answer)
	all.Wait()
	require.Equal(t, int64(2), jobs.Load(), "another time is another question")
}
