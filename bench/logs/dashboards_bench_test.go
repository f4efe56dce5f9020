package main

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/loggen"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
)

// BenchmarkDashboards asks the queries of the dashboards part of a cold block, to be profiled:
//
//	go test ./bench/logs -run '^$' -bench 'Dashboards/newest_100$' -cpuprofile cpu.out
func BenchmarkDashboards(b *testing.B) {
	ctx := context.Background()
	in := &bench{size: 64 << 20, seed: 1, runs: 1, dir: b.TempDir()}
	in.sets = slices.DeleteFunc(loggen.Sets(), func(s loggen.Set) bool { return s.Name != "json" && s.Name != "logfmt" })
	d, err := in.dashboards(ctx)
	require.NoError(b, err)
	defer func() { require.NoError(b, d.file.f.Close()) }()
	engine := logql.NewEngine(logql.Options{Limits: func(string) logql.Limits { return logql.Limits{MaxSeries: 10_000} }})
	for _, q := range dashboardQueries {
		query := &logs.Query{Kind: logs.Range, Expr: q.expr, End: int64(dashboardDay), Step: int64(q.step), Limit: q.limit}
		b.Run(q.name, func(b *testing.B) {
			b.ReportAllocs()
			best := time.Hour
			for range b.N {
				b.StopTimer()
				src, err := d.open(ctx)
				require.NoError(b, err)
				b.StartTimer()
				began := cpuTime()
				_, err = engine.Run(ctx, tenantID, query, src)
				require.NoError(b, err)
				best = min(best, cpuTime()-began)
			}
			b.ReportMetric(float64(best.Microseconds()), "least-cpu-us")
		})
	}
}
