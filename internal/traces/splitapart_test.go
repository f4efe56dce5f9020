package traces_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/traces/traceql"
)

const pieceEpoch = uint64(1_700_000_000e9)

// drawSpans draws the spans of a few traces, each a batch of its own to be sent.
func drawSpans(t *rapid.T) (list []*traces.Trace) {
	resources := []*traces.Resource{nil, nil}
	for i := range resources {
		name := fmt.Sprintf("service-%d", i)
		resources[i] = &traces.Resource{ServiceName: name, Attributes: []traces.Attribute{{Key: "service.name", Str: name}, {Key: "pod", Str: fmt.Sprint("pod-", i)}}}
	}
	scope := &traces.Scope{}
	for i := range rapid.IntRange(1, 4).Draw(t, "traces") {
		for k := range rapid.IntRange(1, 8).Draw(t, "spans") {
			s := &traces.Span{ID: traces.SpanID{byte(k + 1), byte(i)}, Name: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "name"), Kind: traces.KindServer,
				Status: traces.Status(rapid.IntRange(0, 2).Draw(t, "status")), Resource: rapid.SampledFrom(resources).Draw(t, "resource"), Scope: scope,
				Start: pieceEpoch + rapid.Uint64Range(0, 20e9).Draw(t, "start"), Attributes: []traces.Attribute{{Key: "a", Type: traces.TypeInt, Int: int64(k % 3)}}}
			if k > 0 {
				s.ParentID = traces.SpanID{byte(rapid.IntRange(1, k).Draw(t, "parent")), byte(i)}
			}
			s.End = s.Start + rapid.Uint64Range(0, 5e9).Draw(t, "length")
			list = append(list, &traces.Trace{ID: traces.ID{1, byte(i)}, Spans: []*traces.Span{s}})
		}
	}
	return list
}

func send(t *rapid.T, h *traces.Head, tr *traces.Trace) {
	s := tr.Spans[0]
	_, err := h.Append(&traces.Batch{OTLP: traces.AppendResourceSpans(nil, s.Resource, s.Scope, []*traces.Trace{tr}), Spans: 1})
	require.NoError(t, err)
}

// TestPiecesAlone: a query that looks at each span alone counts the pieces of a trace as they are, and each span once,
// also where one was sent again after the first was sealed. All others see joined traces, as ever.
func TestPiecesAlone(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.Permutation(drawSpans(t)).Draw(t, "order")
		whole := traces.NewHead(traces.HeadOptions{})
		pieces := traces.NewHead(traces.HeadOptions{SpillDir: dir})
		for i, tr := range list {
			send(t, whole, tr)
			send(t, pieces, tr)
			if rapid.IntRange(0, 3).Draw(t, "again") == 0 {
				send(t, pieces, list[rapid.IntRange(0, i).Draw(t, "which")])
			}
			if rapid.Bool().Draw(t, "seal") {
				require.NoError(t, pieces.SealSome())
			}
		}
		parts := map[string]traces.Part{"head": pieces, "block": blockFile(t, pieces)}
		for _, expr := range []string{
			"{ } | rate() by (resource.service.name)", "{ span.a = 1 } | count_over_time() by (name, resource.pod)", "{ status = error || duration > 1s } | rate()",
			"{ name = \"x\" } || { span.a > 1 } | count_over_time() by (status)", "{ } | quantile_over_time(duration, .5) by (name)", "{ .a != 0 } | max_over_time(duration) by (span.a)",
			"{ } >> { span.a = 1 } | rate() by (name)", "{ parent.span.a = 1 } | count_over_time()", "{ span:childCount > 0 } | count_over_time()", "{ } | rate() by (rootName)",
			"{ span.a = 1 } && { span.a = 2 } | count_over_time()", "{ } | count() > 2 | count_over_time()", "{ traceDuration > 10s } | rate()",
		} {
			want := series(t, whole, expr)
			for name, part := range parts {
				require.Equal(t, want, series(t, part, expr), "%s of %s", expr, name)
				require.Equal(t, want, series(t, part, expr), "%s of %s, asked again", expr, name)
				require.Equal(t, want, series(t, part, expr, otherProcess()), "%s of %s, beside what another process has", expr, name)
			}
		}
	})
}

// otherProcess is what another process may have, which is nothing: each trace must be answered once all the same.
func otherProcess() traces.Part {
	head := traces.NewHead(traces.HeadOptions{})
	src := traces.NewSource(func(context.Context, string, uint64, uint64) ([]traces.Part, error) { return []traces.Part{head}, nil })
	return traces.PartOf(struct{ traces.Source }{src}, "t")
}

func blockFile(t *rapid.T, h *traces.Head) traces.Part {
	dir, err := os.MkdirTemp("", "hune-traces-")
	require.NoError(t, err)
	defer func() { _ = os.RemoveAll(dir) }()
	require.NoError(t, h.WriteBlock(context.Background(), dir, &block.Meta{}))
	data, err := os.ReadFile(filepath.Join(dir, block.DataFile))
	require.NoError(t, err)
	r, err := block.Open(context.Background(), bytesOf(data), "test", int64(len(data)), block.ReaderOptions{})
	require.NoError(t, err)
	b, err := traces.OpenBlock(context.Background(), r)
	require.NoError(t, err)
	return b
}

// bytesOf is an object store of one object.
type bytesOf []byte

func (o bytesOf) ReadRange(_ context.Context, _ string, off, n int64) ([]byte, error) {
	return o[min(off, int64(len(o))):min(off+n, int64(len(o)))], nil
}

// series returns the answer to a metrics query, a line for each series.
func series(t *rapid.T, p traces.Part, expr string, more ...traces.Part) []string {
	source := traces.NewSource(func(context.Context, string, uint64, uint64) ([]traces.Part, error) {
		return append([]traces.Part{p}, more...), nil
	})
	q := &traces.Query{Kind: traces.MetricsRange, Expr: expr, Start: pieceEpoch, End: pieceEpoch + 20e9, Step: 5e9}
	r, err := traceql.NewEngine(traceql.Options{}).Run(context.Background(), "t", q, source)
	require.NoError(t, err, expr)
	var out []string
	for _, s := range r.Series {
		out = append(out, fmt.Sprint(traceql.LabelText(s.Labels), s.Samples))
	}
	slices.Sort(out)
	return out
}
