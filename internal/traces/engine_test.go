package traces_test

import (
	"context"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/demo"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/traces/traceql"
)

// everything is a source that leaves nothing out: the truth for sources that do.
type everything struct {
	traces.Source
	list []*traces.Trace
}

func (e everything) SelectTraces(context.Context, string, traces.Select) iter.Seq2[*traces.Trace, error] {
	return func(yield func(*traces.Trace, error) bool) {
		for _, t := range e.list {
			if !yield(t, nil) {
				return
			}
		}
	}
}

type file struct{ data []byte }

func (f file) ReadRange(_ context.Context, _ string, off, n int64) ([]byte, error) {
	return f.data[off:min(off+n, int64(len(f.data)))], nil
}

func shipped(t testing.TB, h *traces.Head) *traces.Block {
	dir := t.TempDir()
	var meta block.Meta
	require.NoError(t, h.WriteBlock(t.Context(), dir, &meta))
	data, err := os.ReadFile(filepath.Join(dir, block.DataFile))
	require.NoError(t, err)
	r, err := block.Open(t.Context(), file{data}, "block", meta.Data.Size, block.ReaderOptions{})
	require.NoError(t, err)
	b, err := traces.OpenBlock(t.Context(), r)
	require.NoError(t, err)
	return b
}

func sourceOf(parts ...traces.Part) traces.Source {
	return traces.NewSource(func(context.Context, string, uint64, uint64) ([]traces.Part, error) { return parts, nil })
}

// TestEngineSeesTheSame asks TraceQL over the demo's shop: what a head, a block and a mix of both
// leave out must never change an answer.
func TestEngineSeesTheSame(t *testing.T) {
	start := time.Date(2025, 6, 1, 12, 10, 30, 0, time.UTC) // an incident begins after half a minute
	gen := demo.NewGenerator(demo.GeneratorOptions{Seed: 11, Start: start, Rate: 4})
	whole := traces.NewHead(traces.HeadOptions{})
	pieces := []*traces.Head{traces.NewHead(traces.HeadOptions{}), traces.NewHead(traces.HeadOptions{}), traces.NewHead(traces.HeadOptions{})}
	var all []byte
	for step := range 60 {
		td, _, _ := gen.Next()
		// The services of a trace report apart: spread them over three heads as cuts would.
		for i, rs := range td.ResourceSpans().All() {
			one := ptrace.NewTraces()
			rs.CopyTo(one.ResourceSpans().AppendEmpty())
			data, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(one)
			require.NoError(t, err)
			all = append(all, data...)
			for _, h := range []*traces.Head{whole, pieces[min(step/20+(i+step)%7/6, 2)]} {
				_, err := h.Append(&traces.Batch{OTLP: data})
				require.NoError(t, err)
			}
		}
	}
	list, err := traces.DecodeOTLP(all)
	require.NoError(t, err)
	sort.SliceStable(list, func(i, j int) bool {
		a, _ := list[i].Bounds()
		b, _ := list[j].Bounds()
		return a > b
	})
	truth := everything{list: list}
	sources := map[string]traces.Source{
		"head": sourceOf(whole), "block": sourceOf(shipped(t, whole)),
		"pieces": sourceOf(shipped(t, pieces[0]), pieces[1], shipped(t, pieces[2])),
		"behind": sourceOf(shipped(t, pieces[0]), traces.PartOf(sourceOf(pieces[1], shipped(t, pieces[2])), "t")),
	}
	engine := traceql.NewEngine(traceql.Options{})
	found := 0
	for _, expr := range []string{
		`{}`, `{ status = error }`, `{ status != ok && duration > 300ms }`, `{ kind = consumer }`, `{ name =~ ".*Checkout.*" }`, `{ name !~ "GET.*" }`,
		`{ resource.service.name = "payment" }`, `{ resource.service.name =~ "c.*t" && span.db.system = "redis" }`,
		`{ span.http.response.status_code >= 500 }`, `{ span.http.response.status_code != 200 }`, `{ .db.system = "postgresql" || .rpc.grpc.status_code = 13 }`,
		`{ span.app.experiments = "fast-checkout" }`, `{ span.app.user.id = "u-3" }`, `{ span.nowhere = 1 }`, `{ span.nowhere != nil }`, `{ event.exception.message =~ ".*timeout.*" }`,
		`{ link.messaging.operation.type = "receive" }`, `{ resource.service.name = "storefront" } && { resource.service.name = "fraud" }`,
		`{ resource.service.name = "checkout" } >> { status = error }`, `{ resource.service.name = "email" } || { span.app.search.term = "rope" }`,
		`{ rootServiceName = "storefront" && span.db.response.returned_rows > 40 }`, `{ traceDuration > 1s }`, `{ resource.service.namespace = "shop" } | count() > 25`,
	} {
		for _, window := range [][2]time.Duration{{0, 0}, {5 * time.Second, 20 * time.Second}, {40 * time.Second, 45 * time.Second}} {
			q := &traces.Query{Kind: traces.Search, Expr: expr, Limit: 10_000, SpansPerSpanSet: 100}
			if window[1] > 0 {
				q.Start, q.End = uint64(start.Add(window[0]).UnixNano()), uint64(start.Add(window[1]).UnixNano())
			}
			want, err := engine.Run(t.Context(), "t", q, truth)
			require.NoError(t, err, expr)
			found += len(want.Found)
			for name, src := range sources {
				got, err := engine.Run(t.Context(), "t", q, src)
				require.NoError(t, err, expr)
				require.Equal(t, ids(want), ids(got), "%s from %s", expr, name)
				if name == "head" || name == "block" { // pieces number their spans anew
					require.Equal(t, want.Found, got.Found, "%s from %s", expr, name)
				}
			}
		}
	}
	require.Greater(t, found, 500, "the questions have answers")
	for name, src := range sources {
		for _, tr := range list[:20] {
			got, err := src.TraceByID(t.Context(), "t", tr.ID, 0, 0)
			require.NoError(t, err)
			require.Len(t, got.Spans, len(tr.Spans), name)
		}
	}
}

func ids(r *traces.Result) []string {
	out := []string{}
	for _, f := range r.Found {
		out = append(out, f.ID.String())
	}
	slices.Sort(out)
	return out
}
