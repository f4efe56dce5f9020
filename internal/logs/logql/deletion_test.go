package logql

import (
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/logs"
)

func TestNewDeletion(t *testing.T) {
	const line = `{"status": 500, "user": "eve"} trailing`
	md := []logs.Label{{Name: "trace_id", Value: "abc"}}
	f := func(query string, exact, want bool) {
		t.Helper()
		d, err := NewDeletion("id", query, 10, 20)
		require.NoError(t, err, query)
		require.Equal(t, []any{"id", int64(10), int64(20)}, []any{d.ID, d.Start, d.End})
		require.Equal(t, exact, d.NewTest == nil, query)
		head := logs.NewHead(logs.HeadOptions{})
		head.Append(&logs.Batch{Streams: []logs.Stream{{Labels: labels.FromStrings("app", "a"), Entries: []logs.Entry{{Timestamp: 15, Line: line, Metadata: md}}}}})
		compiled, err := logs.CompileDeletions([]logs.Deletion{d})
		require.NoError(t, err)
		matched, err := compiled.Matched(t.Context(), head)
		require.NoError(t, err)
		require.Equal(t, want, len(matched) == 1, query)
	}
	f(`{app="a"}`, true, true)
	f(`{app="b"}`, true, false)
	f(`{app="a"} |= "eve"`, true, true)
	f(`{app="a"} |= "eve" != "trailing"`, true, false)
	f(`{app="a"} |~ "e.e" or "x"`, true, true)
	f(`{app="a"} |> "<_>500<_>"`, false, true)
	f(`{app="a"} |> "<_>404<_>"`, false, false)
	f(`{app="a"} | json | status = "500"`, false, true)
	f(`{app="a"} | json | status = "404"`, false, false)
	f(`{app="a"} |= "eve" | json | user = "bob"`, false, false)
	f(`{app="a"} | trace_id = "abc"`, false, true)
	f(`{app="a"} | trace_id = "def"`, false, false)
	f(`{app="a"} | line_format "{{.app}}" |= "eve"`, false, false)

	for query, want := range map[string]string{
		`{app="a"`:                       "parse error",
		`count_over_time({app="a"}[1m])`: "only log selector is supported",
		`{app="a"} | distinct app`:       "can't tell what to delete",
		`{app="a"} |~ "("`:               "error parsing regexp",
		`{app=~".*"}`:                    "at least one regexp or equality matcher",
	} {
		_, err := NewDeletion("id", query, 0, 1)
		require.ErrorContains(t, err, want, query)
	}
}

// A test remembers what it knows of a stream, and mixes up none.
func TestRowTestKnowsItsStream(t *testing.T) {
	d, err := NewDeletion("id", `{app=~".+"} | app = "7"`, 0, 1)
	require.NoError(t, err)
	test := d.NewTest()
	for range 2 {
		require.True(t, test(labels.FromStrings("app", "7"), 0, []byte("x"), nil))
		require.False(t, test(labels.FromStrings("app", "8"), 0, []byte("x"), nil))
	}
}
