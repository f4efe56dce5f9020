package analysis

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/traces"
)

// trace reads spans, one a line: ID PARENT SERVICE START-END [key=value …]; "-" is no parent.
func trace(text string) *traces.Trace {
	t := &traces.Trace{ID: traces.ID{1}}
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		f := strings.Fields(line)
		s := &traces.Span{ID: id(f[0]), ParentID: id(f[1]), Name: "op", Resource: &traces.Resource{ServiceName: f[2]}}
		from, to, _ := strings.Cut(f[3], "-")
		s.Start, s.End = number(from), number(to)
		for _, kv := range f[4:] {
			k, v, _ := strings.Cut(kv, "=")
			if k == "name" {
				s.Name = v
				continue
			}
			s.Attributes = append(s.Attributes, traces.Attribute{Key: k, Str: v})
		}
		t.Spans = append(t.Spans, s)
	}
	return t
}

func id(s string) (out traces.SpanID) {
	if s != "-" {
		out[7] = byte(number(s))
	}
	return out
}

func number(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func ids(spans []*traces.Span) (out []int) {
	for _, s := range spans {
		out = append(out, int(s.ID[7]))
	}
	return out
}

func printPath(t *traces.Trace) string {
	var parts []string
	for _, s := range CriticalPath(t) {
		parts = append(parts, fmt.Sprintf("%d:%d-%d", s.Span.ID[7], s.Start, s.End))
	}
	return strings.Join(parts, " ")
}

func TestCriticalPath(t *testing.T) {
	for _, tc := range []struct{ name, trace, want string }{
		{"alone", "1 - a 0-10", "1:0-10"},
		{"one after the other", "1 - a 0-100\n2 1 b 10-40\n3 1 b 50-90", "1:0-10 2:10-40 1:40-50 3:50-90 1:90-100"},
		{"the longer of two side by side", "1 - a 0-100\n2 1 b 10-80\n3 1 c 10-60", "1:0-10 2:10-80 1:80-100"},
		{"what was over when the last began", "1 - a 0-100\n2 1 b 0-60\n3 1 c 50-100\n4 1 d 10-45", "1:0-10 4:10-45 1:45-50 3:50-100"},
		{"grandchildren", "1 - a 0-100\n2 1 b 10-90\n3 2 c 20-80", "1:0-10 2:10-20 3:20-80 2:80-90 1:90-100"},
		{"goes on after its parent", "1 - a 0-100\n2 1 b 50-200", "1:0-50 2:50-100"},
		{"another clock", "1 - a 100-200\n2 1 b 0-50", "1:100-200"},
		{"no root", "1 9 a 5-10\n2 1 b 6-8", "1:5-6 2:6-8 1:8-10"},
		{"the root proper", "1 9 a 0-10\n2 - b 5-20", "2:5-20"},
		{"ends before it starts", "1 - a 10-5", ""},
		{"its own parent", "1 1 a 0-10", "1:0-10"},
		{"a circle", "1 2 a 0-10\n2 1 b 2-8", "1:0-2 2:2-8 1:8-10"},
	} {
		t.Run(tc.name, func(t *testing.T) { require.Equal(t, tc.want, printPath(trace(tc.trace))) })
	}
	require.Empty(t, CriticalPath(&traces.Trace{}))
}

func TestServiceTimes(t *testing.T) {
	tr := trace("1 - a 0-100\n2 1 b 10-60\n3 1 b 40-80\n4 2 c 20-30\n5 1 b 90-150")
	tr.Spans[3].Status = traces.StatusError
	require.Equal(t, []ServiceTime{
		{Service: "b", Spans: 3, Self: 40 + 40 + 60, Critical: 50},
		{Service: "a", Spans: 1, Self: 100 - 70 - 10, Critical: 50},
		{Service: "c", Spans: 1, Errors: 1, Self: 10},
	}, ServiceTimes(tr))
}

func genTrace(t *rapid.T) *traces.Trace {
	var b strings.Builder
	n := rapid.IntRange(1, 9).Draw(t, "spans")
	for i := range n {
		parent := "-"
		if p := rapid.IntRange(0, n+1).Draw(t, "parent"); p > 0 {
			parent = strconv.Itoa(p)
		}
		start := rapid.IntRange(0, 20).Draw(t, "start")
		fmt.Fprintf(&b, "%d %s %s %d-%d name=%s a=%d\n", rapid.IntRange(1, i+1).Draw(t, "id"), parent,
			rapid.SampledFrom([]string{"x", "y"}).Draw(t, "service"), start, rapid.IntRange(0, 30).Draw(t, "end"),
			rapid.SampledFrom([]string{"p", "q"}).Draw(t, "name"), rapid.IntRange(0, 1).Draw(t, "a"))
	}
	return trace(b.String())
}

// TestAnyTrace: what holds for traces in every state.
func TestAnyTrace(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tr, other := genTrace(rt), genTrace(rt)

		tree := newTree(tr)
		root := tr.Spans[tree.main()]
		at := root.Start
		for _, s := range CriticalPath(tr) {
			if s.Start != at || s.End <= s.Start {
				rt.Fatalf("the path has a gap or an overlap at %d: %s", at, printPath(tr))
			}
			at = s.End
		}
		if at != end(root) {
			rt.Fatalf("the path ends at %d, the trace at %d", at, end(root))
		}
		var self, spans uint64
		for _, st := range ServiceTimes(tr) {
			spans += uint64(st.Spans)
			self += st.Self
		}
		if spans != uint64(len(tr.Spans)) {
			rt.Fatalf("%d spans of %d", spans, len(tr.Spans))
		}

		seen := map[*traces.Span]int{}
		for _, row := range Diff(tr, other) {
			seen[row.Base]++
			seen[row.Compare]++
		}
		for _, s := range append(append([]*traces.Span(nil), tr.Spans...), other.Spans...) {
			if seen[s] != 1 {
				rt.Fatalf("a span is in %d rows of the difference", seen[s])
			}
		}
		for _, row := range Diff(tr, tr) {
			if row.Base != row.Compare || len(row.Attributes) > 0 {
				rt.Fatalf("a trace differs from itself")
			}
		}

		keep := tr.Spans[:rapid.IntRange(0, len(tr.Spans)).Draw(rt, "keep")]
		small := Part(tr, keep, Around{rapid.IntRange(-1, 2).Draw(rt, "up"), rapid.IntRange(-1, 2).Draw(rt, "down")})
		if len(small.Spans) < len(keep) || len(keep) == 0 && len(small.Spans) > 0 {
			rt.Fatalf("kept %d of %d", len(small.Spans), len(keep))
		}
	})
}

func TestPart(t *testing.T) {
	tr := trace("1 - a 0-9\n2 1 a 0-9\n3 2 a 0-9\n4 3 a 0-9\n5 4 a 0-9\n6 1 a 0-9")
	f := func(keep int, a Around, want ...int) {
		t.Helper()
		require.Equal(t, want, ids(Part(tr, tr.Spans[keep-1:keep], a).Spans))
	}
	f(3, Around{}, 3)
	f(3, Around{Ancestors: 1}, 2, 3)
	f(3, Around{Ancestors: -1}, 1, 2, 3)
	f(3, Around{Descendants: 1}, 3, 4)
	f(3, Around{Descendants: -1}, 3, 4, 5)
	f(1, Around{Descendants: 1}, 1, 2, 6)
	require.Equal(t, []int{2, 3, 4, 5}, ids(Part(tr, []*traces.Span{tr.Spans[1], tr.Spans[3]}, Around{Descendants: 1}).Spans))
}

func TestDiff(t *testing.T) {
	base := trace("1 - a 0-9 v=1\n2 1 b 1-2 name=x\n3 1 b 3-4 name=y\n4 3 c 3-4 n=1 m=2")
	comp := trace("1 - a 0-9 v=2\n3 1 b 3-4 name=y\n4 3 c 3-4 n=1 k=3\n5 1 d 5-6\n6 1 b 7-8 name=y")
	var rows []string
	for _, r := range Diff(base, comp) {
		side := func(s *traces.Span) string {
			if s == nil {
				return "-"
			}
			return strconv.Itoa(int(s.ID[7]))
		}
		row := fmt.Sprintf("%d %s %s", r.Depth, side(r.Base), side(r.Compare))
		for _, a := range r.Attributes {
			row += fmt.Sprintf(" %s.%s", a.Scope, a.Key)
		}
		rows = append(rows, row)
	}
	require.Equal(t, []string{"0 1 1 span.v", "1 2 -", "1 3 3", "2 4 4 span.k span.m", "1 - 5", "1 - 6"}, rows)
}
