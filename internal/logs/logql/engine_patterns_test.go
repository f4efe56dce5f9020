package logql

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/loggen"
	"github.com/hune-io/hune/internal/logs"
)

// patternSource is a block of a set's lines in three streams and two pages or more, with levels, and a head of
// some more; end is behind the last row.
func patternSource(tb testing.TB, name string, bytes int) (src logs.Source, rows int, end int64) {
	tb.Helper()
	set, ok := loggen.Find(name)
	require.True(tb, ok)
	lines := set.Lines(1, bytes)
	ts := loggen.Timestamps(1, lines.Len())
	stored, recent := logs.NewHead(logs.HeadOptions{Block: logs.BlockOptions{PageRows: lines.Len() / 3}}), logs.NewHead(logs.HeadOptions{})
	enricher := logs.NewEnricher(logs.DefaultEnrichOptions())
	for i := range lines.Len() {
		s := logs.Stream{Labels: labels.FromStrings("app", string(rune('a'+i%3))), Entries: []logs.Entry{{Timestamp: ts[i], Line: string(lines.At(i))}}}
		enricher.Stream(&s)
		h := stored
		if i >= lines.Len()*9/10 {
			h = recent
		}
		h.Append(&logs.Batch{Streams: []logs.Stream{s}})
	}
	return sourceOf(blockOf(tb, tb.TempDir(), stored), recent), lines.Len(), ts[len(ts)-1] + 1
}

func byLevel(all []logs.PatternSeries) map[string]float64 {
	out := map[string]float64{}
	for _, p := range all {
		for _, pt := range p.Points {
			out[p.Level] += pt.V
		}
	}
	return out
}

// Rows that are counted by their templates are those that would be read, each at its time and level.
func TestPatternsOfTemplates(t *testing.T) {
	for _, name := range []string{"hdfs", "openssh", "json", "logfmt"} {
		src, rows, end := patternSource(t, name, 200_000)
		q := &logs.Query{Kind: logs.Patterns, Expr: `{app=~"a|b"}`, End: end, Step: 60e9}
		res, err := NewEngine(Options{}).Run(t.Context(), "t", q, src)
		require.NoError(t, err)
		plain, err := NewEngine(Options{NoPushdown: true}).Run(t.Context(), "t", q, src)
		require.NoError(t, err)
		require.Equal(t, byLevel(plain.Pattern), byLevel(res.Pattern), name)
		total := 0.0
		for _, n := range byLevel(res.Pattern) {
			total += n
		}
		require.InDelta(t, float64(rows)*2/3, total, 2, name)
		again, err := NewEngine(Options{}).Run(t.Context(), "t", q, src)
		require.NoError(t, err)
		require.Equal(t, res.Pattern, again.Pattern, "the order in which pages are done makes no difference")
		for _, p := range res.Pattern {
			require.True(t, slices.IsSortedFunc(p.Points, func(a, b logs.Point) int { return int(a.T - b.T) }))
		}
		require.Contains(t, res.Pattern[0].Pattern, wildcard)
	}
	// A filter, and rows of a part of the time.
	src, _, end := patternSource(t, "hdfs", 200_000)
	q := &logs.Query{Kind: logs.Patterns, Expr: `{app="a"} |= "PacketResponder"`, Start: end / 1000 * 999, End: end, Step: 60e9}
	q.Start = end - (end-loggen.Timestamps(1, 1)[0])/2
	res, err := NewEngine(Options{}).Run(t.Context(), "t", q, src)
	require.NoError(t, err)
	plain, err := NewEngine(Options{NoPushdown: true}).Run(t.Context(), "t", q, src)
	require.NoError(t, err)
	require.NotEmpty(t, res.Pattern)
	require.Equal(t, byLevel(plain.Pattern), byLevel(res.Pattern))
	for _, p := range res.Pattern {
		require.True(t, strings.Contains(p.Pattern, "PacketResponder"), p.Pattern)
	}
}

func TestPatternsOfLines(t *testing.T) {
	for _, c := range []struct {
		want  string
		lines []string
	}{
		{`GET <_> took=<_> ok`, []string{"GET /a/1 took=5ms ok", "GET /b/22 took=17ms ok"}},
		{`{"level":"info","msg":"done","status":<_>,"user":"<_>"}`, []string{`{"level":"info","msg":"done","status":200,"user":"ann"}`, `{"level":"info","msg":"done","status":404,"user":"bob"}`}},
		{`{"a":{"b":<_>,"c":"x"},"d":<_>}`, []string{`{"a":{"b":5,"c":"x"},"d":null}`, `{"a":{"b":7,"c":"x"},"d":"z"}`}},
		{`{"a":true}`, []string{`{"a":true}`}},
		{`<_> started <_>`, []string{`{t-1} started 5`, `{t-2} started 6`}},
		{`{"id":"<_>"}`, []string{`{"id":"a-1"}`, `{"id":"b-2"}`}},
	} {
		m := &memory{}
		for i, line := range c.lines {
			m.add(labels.FromStrings("app", "a"), int64(i), line)
		}
		res, err := NewEngine(Options{}).Run(t.Context(), "t", &logs.Query{Kind: logs.Patterns, Expr: `{app="a"}`, End: 10e9, Step: 1e9}, m)
		require.NoError(t, err)
		require.Len(t, res.Pattern, 1, c.want)
		require.Equal(t, c.want, res.Pattern[0].Pattern)
		// It finds the lines that it was made of.
		found, err := NewEngine(Options{}).Run(t.Context(), "t", &logs.Query{Kind: logs.Range, Expr: "{app=\"a\"} |> `" + c.want + "`", End: 10e9, Step: 1e9}, m)
		require.NoError(t, err)
		n := 0
		for _, s := range found.Streams {
			n += len(s.Entries)
		}
		require.Equal(t, len(c.lines), n, c.want)
	}
}

func BenchmarkPatterns(b *testing.B) {
	for _, name := range []string{"hdfs", "json"} {
		src, _, end := patternSource(b, name, 8<<20)
		for what, e := range map[string]*Engine{"columns": NewEngine(Options{}), "rows": NewEngine(Options{NoPushdown: true})} {
			b.Run(name+"/"+what, func(b *testing.B) {
				b.SetBytes(8 << 20)
				for b.Loop() {
					q := &logs.Query{Kind: logs.Patterns, Expr: `{app=~".+"}`, End: end, Step: 60e9}
					if _, err := e.Run(b.Context(), "t", q, src); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
