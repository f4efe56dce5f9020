package traceql

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/traces"
)

// BenchmarkCoordinate is what it costs a small query that it might have been cut: of 10,000 traces that aren't sealed
// yet, the newest twenty and all by service.
func BenchmarkCoordinate(b *testing.B) {
	head := traces.NewHead(traces.HeadOptions{})
	const n = 10_000
	for _, tr := range benchSource(n).list {
		_, err := head.Append(&traces.Batch{OTLP: traces.ToOTLP(tr)})
		require.NoError(b, err)
	}
	source := traces.NewSource(func(context.Context, string, uint64, uint64) ([]traces.Part, error) { return []traces.Part{head}, nil })
	engine := NewEngine(Options{})
	ask := func(ctx context.Context, q *traces.Query) (*traces.Result, error) {
		return engine.Run(ctx, "t", q, source)
	}
	for name, q := range map[string]*traces.Query{
		"newest": {Kind: traces.Search, Expr: "{ }", Start: epoch, End: epoch + n*1e6},
		"rate":   {Kind: traces.MetricsRange, Expr: "{ } | rate() by (resource.service.name)", Start: epoch, End: epoch + n*1e6, Step: n * 1e6 / 100},
	} {
		for how, s := range map[string]Split{"uncut": {}, "might be cut": {JobSpans: 1_000_000, MaxJobs: 4}} {
			b.Run(name+"/"+how, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					_, err := engine.Coordinate(context.Background(), "t", q, s, ask)
					require.NoError(b, err)
				}
			})
		}
	}
}
