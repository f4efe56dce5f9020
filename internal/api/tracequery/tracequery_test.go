package tracequery

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/traces/traceql"
)

// runner has a trace of three spans under every even ID.
type runner struct{}

func (runner) Run(_ context.Context, j job.Job) (job.Result, error) {
	res := &traces.Result{}
	if j.Traces.ID[15]%2 == 0 {
		res.Trace = &traces.Trace{ID: j.Traces.ID, Spans: []*traces.Span{{}, {}, {}}}
	}
	return job.Result{Traces: res}, nil
}

func TestTraces(t *testing.T) {
	ctx := tenant.NewContext(t.Context(), "a")
	ids := []traces.ID{{15: 4}, {15: 1}, {15: 2}, {15: 6}}
	got, err := Reader{Runner: runner{}, MaxSpans: 9}.Traces(ctx, ids, Range{})
	require.NoError(t, err)
	require.Len(t, got, 3)
	for i, id := range []byte{4, 2, 6} {
		require.Equal(t, id, got[i].ID[15])
	}
	_, err = Reader{Runner: runner{}, MaxSpans: 8}.Traces(ctx, ids, Range{})
	require.Equal(t, fault.Unprocessable, fault.ClassOf(err))
	_, err = Reader{Runner: runner{}}.Trace(t.Context(), ids[0], Range{})
	require.ErrorIs(t, err, tenant.ErrMissing)
}

// TestConditions: whatever the texts are, the conditions are TraceQL.
func TestConditions(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		key := rapid.OneOf(rapid.SampledFrom([]string{"", "error", "span.kind", "otel.status_code"}), rapid.String()).Draw(rt, "key")
		value := rapid.OneOf(rapid.SampledFrom([]string{"true", "SERVER", "1", "-1", "0.5", "1e9999.0", "-9223372036854775808", "Error"}), rapid.String()).Draw(rt, "value")
		expr := All([]string{Service(value), Tag(key, value), Duration(">=", 5)})
		if _, err := traceql.Parse(expr); err != nil {
			rt.Fatalf("%s: %v", expr, err)
		}
	})
}

func TestText(t *testing.T) {
	for want, a := range map[string]traces.Attribute{
		"x": {Str: "x"}, "-3": {Type: traces.TypeInt, Int: -3}, "2.5": {Type: traces.TypeFloat, Float: 2.5}, "true": {Type: traces.TypeBool, Int: 1},
		"": {Type: traces.TypeOpaque, Raw: []byte{1}}, `["a","b"]`: {Type: traces.TypeStringArray, Array: []traces.Attribute{{Str: "a"}, {Str: "b"}}},
	} {
		require.Equal(t, want, Text(&a))
	}
}
