package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/loggen"
	"github.com/hune-io/hune/internal/logs"
)

// BenchmarkCold asks for all lines, the newest, and the queries of the search part one by one, to be profiled:
//
//	go test ./bench/logs -run '^$' -bench 'Cold/json/' -cpuprofile cpu.out
func BenchmarkCold(b *testing.B) {
	for _, set := range loggen.Sets() {
		if set.Adversarial {
			continue
		}
		b.Run(set.Name, func(b *testing.B) { benchmarkCold(b, set) })
	}
}

func benchmarkCold(b *testing.B, set loggen.Set) {
	ctx := context.Background()
	in := &bench{size: 16 << 20, seed: 1, dir: b.TempDir()}
	c := in.corpus(set)
	s, err := in.store(ctx, c)
	require.NoError(b, err)
	defer func() { require.NoError(b, s.close()) }()
	b.Run("all", func(b *testing.B) { s.benchmark(ctx, b, selectAll(everything(set))) })
	newest := everything(set)
	newest.Direction, newest.Limit = logs.Backward, 100
	b.Run("newest100", func(b *testing.B) { s.benchmark(ctx, b, selectAll(newest)) })
	for i, q := range set.Queries {
		needle, ok := q.Needle(c.lines)
		require.True(b, ok)
		b.Run(fmt.Sprintf("%d/%s", i, q.Kind), func(b *testing.B) {
			s.benchmark(ctx, b, func(ctx context.Context, blk *logs.Block) error {
				_, err := answer(ctx, blk, c, q, needle)
				return err
			})
		})
	}
}

// benchmark asks a cold block. The least processor time says more than the mean on a busy machine.
func (s *stored) benchmark(ctx context.Context, b *testing.B, ask func(context.Context, *logs.Block) error) {
	b.ReportAllocs()
	best := time.Hour
	for range b.N {
		b.StopTimer()
		blk, err := s.open(ctx)
		require.NoError(b, err)
		b.StartTimer()
		began := cpuTime()
		require.NoError(b, ask(ctx, blk))
		best = min(best, cpuTime()-began)
	}
	b.ReportMetric(float64(best.Microseconds()), "least-cpu-us")
}
