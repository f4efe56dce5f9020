package main

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/traces/traceql"
)

// oneBlock writes spans of the generated set as one block and opens it.
func oneBlock(b *testing.B, spans int) (*generator, traces.Source) {
	b.Helper()
	g := newGenerator(1, spans, 0)
	head := traces.NewHead(traces.HeadOptions{})
	require.NoError(b, g.batches(func(body []byte) error {
		if _, err := head.Append(&traces.Batch{OTLP: body}); err != nil {
			return err
		}
		return head.Seal(b.Context())
	}))
	dir := b.TempDir()
	require.NoError(b, head.WriteBlock(b.Context(), dir, &block.Meta{}))
	f, err := os.Open(filepath.Join(dir, block.DataFile))
	require.NoError(b, err)
	b.Cleanup(func() { _ = f.Close() })
	info, err := f.Stat()
	require.NoError(b, err)
	r, err := block.Open(b.Context(), ranges{f}, "bench", info.Size(), block.ReaderOptions{})
	require.NoError(b, err)
	part, err := traces.OpenBlock(b.Context(), r)
	require.NoError(b, err)
	return g, traces.NewSource(func(context.Context, string, uint64, uint64) ([]traces.Part, error) { return []traces.Part{part}, nil })
}

// processorTime is that of the process so far, collection of garbage included.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measured runs one benchmark and reports the processor time of an operation: on a machine that others use too,
// the time of the clock says little.
func measured(b *testing.B, name string, op func(b *testing.B, i int)) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		began := processorTime(b)
		n := 0
		for ; b.Loop(); n++ {
			op(b, n)
		}
		b.ReportMetric((processorTime(b)-began).Seconds()*1000/float64(n), "cpu-ms/op")
	})
}

// BenchmarkQueries asks a block of the generated set without a server.
func BenchmarkQueries(b *testing.B) {
	const spans = 1_000_000
	g, src := oneBlock(b, spans)
	engine := traceql.NewEngine(traceql.Options{})
	from, to := uint64(g.from.UnixNano()), uint64(g.from.Add(length).UnixNano())
	for _, q := range []struct {
		name, expr string
		limit      int
	}{
		{"needle", `{ span.app.request.id = "` + g.requests[50] + `" }`, 20},
		{"slow errors", `{ status = error && duration > 50ms }`, 100_000},
		{"structural newest", `{ resource.service.name = "frontend" } >> { span.db.system = "postgresql" && status = error }`, 20},
		{"structural all", `{ resource.service.name = "frontend" } >> { span.db.system = "postgresql" && status = error }`, 100_000},
		{"rate by service", `{ } | rate() by (resource.service.name)`, 0},
		{"p99 by service", `{ } | quantile_over_time(duration, .99) by (resource.service.name)`, 0},
	} {
		query := &traces.Query{Kind: traces.Search, Expr: q.expr, Start: from, End: to, Limit: q.limit}
		if q.limit == 0 {
			query.Kind, query.Step = traces.MetricsRange, 15e9
		}
		measured(b, q.name, func(b *testing.B, _ int) {
			_, err := engine.Run(b.Context(), "t", query, src)
			require.NoError(b, err)
		})
	}
	measured(b, "by ID", func(b *testing.B, i int) {
		t, err := src.TraceByID(b.Context(), "t", g.ids[i%len(g.ids)], 0, 0)
		require.NoError(b, err)
		require.Len(b, t.Spans, spansPerTrace)
	})
}
