package logql

import (
	"context"
	"fmt"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/loggen"
	"github.com/hune-io/hune/internal/logs"
)

// BenchmarkPushdown compares queries answered from columns with the same row by row, over a block of 30 MB
// of lines that is read anew each time. What a real system would do without columns is "rows": rebuild the
// lines that the source's filters leave, and run them through the stages.
func BenchmarkPushdown(b *testing.B) {
	const size = 30 << 20
	for _, c := range []struct {
		set     string
		queries [][2]string
	}{
		{"json", [][2]string{
			{"count", `sum(count_over_time({app="a"}[1m]))`},
			{"count by stream", `count_over_time({app="a"}[1m])`},
			{"word", `sum(count_over_time({app="a"} |= "request completed" [1m]))`},
			{"regex", `sum(count_over_time({app="a"} |~ "status\":5\\d\\d" [1m]))`},
			{"status", `sum(count_over_time({app="a"} | json | status >= 500 [1m]))`},
			{"status by", `sum by (status, level) (count_over_time({app="a"} | json | status >= 500 [1m]))`},
			{"by level", `sum by (level) (count_over_time({app="a"} | json [1m]))`},
			{"unwrap", `sum(sum_over_time({app="a"} | json | unwrap latency_ms [1m]))`},
			{"quantile", `quantile_over_time(0.99, {app="a"} | json | unwrap latency_ms [1m]) by (method)`},
			{"lines", `{app="a"} | json | status >= 500`},
			{"lines, no match", `{app="a"} | json | status = 999`},
		}},
		{"logfmt", [][2]string{
			{"count", `sum(count_over_time({app="a"}[1m]))`},
			{"status", `sum(count_over_time({app="a"} | logfmt | status >= 500 [1m]))`},
			{"by level", `sum by (level) (count_over_time({app="a"} | logfmt [1m]))`},
			{"unwrap", `sum(sum_over_time({app="a"} | logfmt | unwrap duration(duration) | __error__="" [1m]))`},
		}},
	} {
		set, ok := loggen.Find(c.set)
		if !ok {
			b.Fatalf("no set %s", c.set)
		}
		src, end := benchSource(b, set, size)
		for _, q := range c.queries {
			for _, rows := range []bool{false, true} {
				b.Run(fmt.Sprintf("%s/%s/rows=%v", c.set, q[0], rows), func(b *testing.B) {
					e := NewEngine(Options{NoPushdown: rows})
					query := &logs.Query{Kind: logs.Range, Expr: q[1], End: end, Step: end/100 + 1, Limit: 1000}
					b.SetBytes(size)
					for b.Loop() {
						if _, err := e.Run(context.Background(), "t", query, src); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

// benchSource makes a source over a block of bytes of a set's lines, and returns the time behind its last
// row.
func benchSource(b *testing.B, set loggen.Set, bytes int) (logs.Source, int64) {
	h := logs.NewHead(logs.HeadOptions{})
	lines := set.Lines(1, bytes)
	entries := make([]logs.Entry, lines.Len())
	for i := range entries {
		entries[i] = logs.Entry{Timestamp: int64(i) * 1e6, Line: string(lines.At(i))}
	}
	h.Append(&logs.Batch{Streams: []logs.Stream{{Labels: labels.FromStrings("app", "a"), Entries: entries}}})
	return sourceOf(blockOf(b, b.TempDir(), h)), int64(len(entries)) * 1e6
}
