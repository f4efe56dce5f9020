package loki

import (
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/logs"
)

// Entries of several label sets become one stream, whose order is that of the query, also where each
// set has one entry alone.
func TestCategorizedEntriesKeepTheDirection(t *testing.T) {
	set := func(level string, ts ...int64) logs.StreamResult {
		s := logs.StreamResult{Labels: labels.FromStrings("app", "a", "level", level)}
		for _, t := range ts {
			s.Entries = append(s.Entries, logs.ResultEntry{Timestamp: t, Metadata: []logs.Label{{Name: "level", Value: level}}})
		}
		return s
	}
	times := func(d logs.Direction, all ...logs.StreamResult) (out []int64) {
		groups := categorize(all, d)
		require.Len(t, groups, 1)
		require.Equal(t, labels.FromStrings("app", "a"), groups[0].Labels)
		for _, e := range groups[0].Entries {
			out = append(out, e.Timestamp)
		}
		return out
	}
	require.Equal(t, []int64{3, 2, 1}, times(logs.Backward, set("error", 2), set("info", 1), set("warn", 3)))
	require.Equal(t, []int64{4, 3, 2, 1}, times(logs.Backward, set("error", 3, 2), set("info", 4, 1)))
	require.Equal(t, []int64{1, 2, 3}, times(logs.Forward, set("error", 2), set("info", 1), set("warn", 3)))
}
