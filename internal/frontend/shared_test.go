package frontend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/cache"
	"github.com/hune-io/hune/internal/cache/redistest"
	"github.com/hune-io/hune/internal/frontend/resultcache"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/metrics/split"
)

// sharedResults are those of two members, over one server, that have their leases.
func sharedResults(t testing.TB, deleted *[2]atomic.Uint64) [2]*cache.Results {
	t.Helper()
	server := redistest.New(t)
	server.Start()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	var out [2]*cache.Results
	for i := range out {
		logger := slog.New(slog.DiscardHandler)
		cfg := cache.DefaultConfig().Redis
		cfg.Addresses = []string{server.Addr}
		redis, err := cache.NewRedis(cfg, logger, nil)
		require.NoError(t, err)
		out[i], err = cache.NewResults(redis, cache.ResultsOptions{Self: func() string { return fmt.Sprint(i) }, Others: func() []string { return []string{fmt.Sprint(1 - i)} },
			Settled: time.Hour, Deleted: deleted[i].Load, Logger: logger})
		require.NoError(t, err)
		running.Go(func() { _ = redis.Run(ctx) })
		running.Go(func() { _ = out[i].Run(ctx) })
	}
	for _, s := range out {
		require.Eventually(t, func() bool {
			v, _ := s.Look(ctx, "t", "", false)
			return v.State == cache.Sure
		}, time.Minute, 5*time.Millisecond, "all leases are there")
	}
	return out
}

// What one frontend has answered another need not ask for, unless it knows of other deletions, or a write took it back: also
// from what it has kept itself.
func TestFrontendsShareAnswers(t *testing.T) {
	var deleted [2]atomic.Uint64
	shared := sharedResults(t, &deleted)
	source := &memory{}
	member := func(i int) *kitchen {
		k := newKitchenWith(t, func(*MetricsConfig) {}, func(o *Options) {
			o.MetricsResults, o.MetricsDeleted = shared[i], func(string) uint64 { return deleted[i].Load() }
		})
		k.source = source
		return k
	}
	first := member(0)
	q := hours(first, -6, -2, `sum_over_time({__name__="m_total"}[1h])`)
	source.set("a0", first.now.Add(-4*time.Hour).UnixMilli(), 1)
	jobs := func(k *kitchen) int64 {
		before := k.jobs.Load()
		k.check(t, q)
		return k.jobs.Load() - before
	}
	// One whose memory is empty every time.
	finds := func(i int) {
		t.Helper()
		require.Eventually(t, func() bool { return jobs(member(i)) == 0 }, time.Minute, time.Millisecond)
	}
	require.Equal(t, int64(1), jobs(first))
	require.Zero(t, jobs(first), "from its own memory")
	finds(1)

	deleted[1].Store(1)
	require.Equal(t, int64(1), jobs(member(1)), "the first one has not heard of the deletion")
	deleted[0].Store(1)
	require.Equal(t, int64(1), jobs(first), "what was kept is from before it")
	finds(0)
	finds(1)

	source.set("a0", first.now.Add(-3*time.Hour).UnixMilli(), 5)
	require.NoError(t, shared[1].TakeBack(t.Context(), "a"))
	require.Equal(t, int64(1), jobs(first))
	require.NoError(t, shared[1].TakeBack(t.Context(), "other"))
	require.Zero(t, jobs(first))
}

// BenchmarkFoundInRedis answers a range query of as many series, 361 steps each, from what another member has answered.
func BenchmarkFoundInRedis(b *testing.B) {
	shared := sharedResults(b, new([2]atomic.Uint64))
	for _, series := range []int{1, 20, 200} {
		b.Run(fmt.Sprintf("series=%d", series), func(b *testing.B) {
			r := resultcache.Request{Tenant: "t", Key: fmt.Sprint(series), Start: 0, End: 360 * 60_000, Step: 60_000, Fresh: 1 << 40}
			answer := func(_ context.Context, start, end int64) (*metrics.Result, error) {
				m := promql.Matrix{}
				for i := range series {
					s := promql.Series{Metric: labels.FromStrings("__name__", "x", "instance", fmt.Sprint(i), "job", "api")}
					for at := start; at <= end; at += r.Step {
						s.Floats = append(s.Floats, promql.FPoint{T: at, F: math.Sin(float64(at) * float64(i))})
					}
					m = append(m, s)
				}
				return &metrics.Result{Value: m}, nil
			}
			var caches [2]*resultcache.Cache[*metrics.Result]
			for i := range caches {
				caches[i] = resultcache.New(resultcache.Options[*metrics.Result]{Size: 1, Name: "metrics", Shared: shared[i], Registerer: prometheus.NewRegistry(),
					Codec: resultcache.Codec[*metrics.Result]{Cut: split.Cut, Join: split.Join, Size: split.Size, Append: split.Append, Decode: split.Decode}})
			}
			_, _, err := caches[0].Get(b.Context(), r, answer)
			require.NoError(b, err)
			none := func(context.Context, int64, int64) (*metrics.Result, error) {
				return nil, errors.New("it is not there yet")
			}
			require.Eventually(b, func() bool {
				_, _, err := caches[1].Get(b.Context(), r, none)
				return err == nil
			}, time.Minute, 5*time.Millisecond, "the answer is written")
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := caches[1].Get(b.Context(), r, none); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
