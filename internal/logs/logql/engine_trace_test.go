package logql

import (
	"fmt"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/logs"
)

const soughtTrace = "4bf92f3577b34da6a3ce929d0e0e4736"

// The rows of a trace are found in a block and in a head at once, in any stream and at any time.
func TestTraceRows(t *testing.T) {
	other := "00000000000000000000000000000001"
	var stored, recent []row
	for i := range int64(200) {
		at := i * 3600e9
		stored = append(stored, row{labels: labels.FromStrings("app", fmt.Sprint("a", i%3)), ts: at, line: `level=info took=5 trace_id=` + other})
	}
	stored[7].line = `level=error took=7 trace_id=` + soughtTrace
	stored[150].metadata = []logs.Label{{Name: "trace_id", Value: soughtTrace}}
	recent = append(recent, row{labels: labels.FromStrings("app", "b"), ts: 300 * 3600e9, line: `{"traceID":"` + soughtTrace + `"}`},
		row{labels: labels.FromStrings("app", "b"), ts: 301 * 3600e9, line: `{"traceID":"` + other + `"}`})
	src := sourceOf(blockOf(t, t.TempDir(), fill(logs.HeadOptions{}, stored)), fill(logs.HeadOptions{}, recent))
	e := NewEngine(Options{})
	const end = int64(9e18)
	ask := func(q logs.Query) []string {
		t.Helper()
		q.TraceID = soughtTrace
		res, err := e.Run(t.Context(), "t", &q, src)
		require.NoError(t, err)
		var out []string
		for _, s := range res.Streams {
			for _, en := range s.Entries {
				out = append(out, fmt.Sprint(s.Labels.Get("app"), " ", en.Timestamp/3600e9))
			}
		}
		return out
	}
	require.Equal(t, []string{"a1 7", "a0 150", "b 300"}, ask(logs.Query{Kind: logs.TraceRows, End: end, Direction: logs.Forward}))
	require.Equal(t, []string{"b 300", "a0 150"}, ask(logs.Query{Kind: logs.TraceRows, End: end, Limit: 2}))
	require.Equal(t, []string{"a1 7"}, ask(logs.Query{Kind: logs.TraceRows, Expr: `{app=~"a.*"} | logfmt | took > 6`, End: end}))
	require.Equal(t, []string{"a0 150"}, ask(logs.Query{Kind: logs.TraceRows, Start: 100 * 3600e9, End: 200 * 3600e9}))
	require.Equal(t, []string{"a1 7"}, ask(logs.Query{Kind: logs.Range, Expr: `{app=~".+"} |= "error"`, End: 10 * 3600e9}))

	res, err := e.Run(t.Context(), "t", &logs.Query{Kind: logs.Instant, Expr: `sum(count_over_time({app=~".+"}[400h]))`, Start: 301 * 3600e9, End: 301 * 3600e9, TraceID: soughtTrace}, src)
	require.NoError(t, err)
	require.Equal(t, 3.0, res.Vector[0].V)

	for _, c := range []struct {
		q    logs.Query
		want string
	}{
		{logs.Query{Kind: logs.TraceRows, End: end}, "a trace ID is needed"},
		{logs.Query{Kind: logs.TraceRows, End: end, TraceID: "abc"}, `trace ID "abc": want 32 hexadecimal digits`},
		{logs.Query{Kind: logs.TraceRows, End: end, TraceID: soughtTrace, Expr: `rate({app="a"}[1m])`}, "only log selector is supported"},
		{logs.Query{Kind: logs.TraceRows, End: end, TraceID: soughtTrace, Limit: 5001}, "max entries limit per query exceeded, limit > max_entries_limit_per_query (5001 > 5000)"},
	} {
		_, err := e.Run(t.Context(), "t", &c.q, src)
		require.EqualError(t, err, c.want)
	}
}
