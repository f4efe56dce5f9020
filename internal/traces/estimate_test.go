package traces

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEstimate: what a source has in a range is told of blocks, sealed row groups and spans that are not sealed yet,
// also through a source that hides traces.
func TestEstimate(t *testing.T) {
	ctx := context.Background()
	const n = 4700 // a second apart in hundredths, 14 spans each
	sent := shop(n, 10e6)
	b := blockOf(t, sent)
	h := NewHead(HeadOptions{SpillDir: t.TempDir()})
	for i := 0; i < n; i += 100 {
		_, err := h.Append(&Batch{OTLP: request(sent[i : i+100])})
		require.NoError(t, err)
		require.NoError(t, h.Seal(ctx))
	}
	estimate := func(start, end uint64, parts ...Part) Estimate {
		src := NewSource(func(context.Context, string, uint64, uint64) ([]Part, error) { return parts, nil })
		e, err := EstimateOf(ctx, Hide(src, func(string) *IDSet { return nil }), "t", start, end)
		require.NoError(t, err)
		if e.Spans > 0 {
			require.NotZero(t, e.Range.Start)
			require.Greater(t, e.Range.End, e.Range.Start)
			require.LessOrEqual(t, e.Range.End, uint64(genBase+10e6*n+60e9))
		}
		return e
	}
	all := Estimate{Traces: n, Spans: 14 * n}
	groups := int64(len(b.entries))
	require.Greater(t, groups, int64(1))
	start, end := b.TimeRange()
	require.Equal(t, Estimate{Blocks: 1, RowGroups: groups, Traces: all.Traces, Spans: all.Spans, Range: Range{start, end}}, estimate(0, 0, b))

	recent := estimate(0, 0, h)
	require.Zero(t, recent.Blocks)
	require.Positive(t, recent.RowGroups)
	require.Positive(t, recent.Recent)
	require.Less(t, recent.Recent, recent.Spans)
	require.Equal(t, all, Estimate{Traces: recent.Traces, Spans: recent.Spans})
	both := recent
	both.Add(estimate(0, 0, b))
	require.Equal(t, both, estimate(0, 0, b, PartOf(NewSource(func(context.Context, string, uint64, uint64) ([]Part, error) { return []Part{h}, nil }), "t")))

	some := estimate(genBase+46e9, 0, b, h)
	require.Positive(t, some.Spans)
	require.Less(t, some.Spans, 2*all.Spans, "all that is in the block and the head")
	require.Less(t, some.RowGroups, both.RowGroups)
	require.Equal(t, Estimate{}, estimate(1, 2, b, h))
	e, err := EstimateOf(ctx, struct{ Source }{}, "t", 0, 0)
	require.NoError(t, err)
	require.Equal(t, Estimate{}, e, "a source that doesn't know")
}
