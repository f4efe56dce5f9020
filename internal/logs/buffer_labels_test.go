package logs

import (
	"context"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

// What is listed changes with each new stream, sealed or not, and doesn't with one whose entries were refused.
func TestLabelStringsOfHead(t *testing.T) {
	h := NewHead(HeadOptions{})
	add := func(line, name, value string) {
		h.Append(&Batch{Streams: []Stream{{Labels: labels.FromStrings("app", "a", name, value), Entries: []Entry{{Timestamp: 5, Line: line}}}}})
	}
	list := func(name string) []string {
		got, err := h.labelStrings(context.Background(), 0, 10, nil, name)
		require.NoError(t, err)
		return got
	}
	check := func(names, pods string) {
		for range 2 {
			require.Equal(t, strings.Fields(names), list(""))
			require.Equal(t, strings.Fields(pods), append([]string{}, list("pod")...))
			require.Empty(t, list("none"))
			list("pod")[0] = "overwritten" // the answer is the caller's
		}
	}
	add("line", "pod", "b")
	add("line", "pod", "d")
	check("app pod", "b d")
	add("line", "pod", "c")
	add("line", "pod", "a")
	check("app pod", "a b c d")
	add(strings.Repeat("x", maxLine+1), "huge", "1")
	check("app pod", "a b c d")
	require.NoError(t, h.Seal(context.Background()))
	check("app pod", "a b c d")
	add("line", "pod", "e")
	add("line", "zone", "1")
	check("app pod zone", "a b c d e")
	require.Empty(t, h.active.strings(6, 10, []matcherSet{nil}, "pod"))
}
