package logql

import (
	"context"
	"fmt"
	"iter"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/logs"
)

func BenchmarkParse(b *testing.B) {
	for _, q := range []string{
		`{app="api"} |= "error"`,
		`sum by (level) (count_over_time({cluster="eu", namespace=~"shop|cart"} |= "error" | json | status >= 500 and method!="GET" [5m]))`,
	} {
		b.Run(fmt.Sprint(len(q)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// repeater is a source that hands out the same rows over and over.
type repeater struct {
	rows logs.Rows
	n    int
}

func newRepeater(lines []string) *repeater {
	s := &repeater{}
	for i := range 8 {
		s.rows.Streams = append(s.rows.Streams, labels.FromStrings("app", "api", "cluster", "eu-north", "env", "prod", "instance", fmt.Sprintf("api-%d", i), "namespace", "shop", "service_name", "api"))
	}
	for i := range 1000 {
		s.rows.Stream = append(s.rows.Stream, uint32(i%8))
		s.rows.Timestamps = append(s.rows.Timestamps, int64(i)*1e6)
		s.rows.Lines = append(s.rows.Lines, []byte(fmt.Sprintf(lines[i%len(lines)], i)))
		s.rows.Metadata = append(s.rows.Metadata, []logs.Label{{Name: "detected_level", Value: []string{"info", "warn"}[i%2]}})
	}
	return s
}

func (s *repeater) SelectRows(context.Context, string, logs.Select) iter.Seq2[*logs.Rows, error] {
	return func(yield func(*logs.Rows, error) bool) {
		for range s.n {
			if !yield(&s.rows, nil) {
				return
			}
		}
	}
}

func (s *repeater) Series(context.Context, string, int64, int64, [][]logs.Matcher) ([]labels.Labels, error) {
	return s.rows.Streams, nil
}

func (s *repeater) Volume(context.Context, string, logs.VolumeQuery) ([]logs.Volume, error) {
	return nil, nil
}

func (s *repeater) Scan(ctx context.Context, tenant string, sel logs.Select, visit func(context.Context, *logs.Page) error) error {
	return logs.ScanRows(ctx, sel, s.SelectRows(ctx, tenant, sel), visit)
}

func (s *repeater) Extents(context.Context, string, int64, int64, []logs.Matcher) ([]logs.Extent, error) {
	return nil, nil
}

func (s *repeater) Estimate(context.Context, string, logs.Select) (logs.Estimate, error) {
	return logs.Estimate{}, nil
}

// BenchmarkEngine measures lines a second through the whole engine: a row is decoded, filtered,
// parsed and folded.
func BenchmarkEngine(b *testing.B) {
	logfmt := []string{
		`level=info msg="routed request %d" method=GET path=/v1/cart/17 status=200 duration=63ms size=465B upstream=10.0.2.191:8080`,
		`level=error msg="retrying call %d" method=POST path=/v1/cart/9 status=502 duration=1.2s size=1KB upstream=10.0.2.17:8080`,
	}
	json := []string{
		`{"ts":"2026-01-15T00:00:00Z","level":"info","msg":"reserve anvil %d","method":"GET","status":200,"latency_ms":17.25,"user":{"id":1004,"name":"Ines"}}`,
		`{"ts":"2026-01-15T00:00:00Z","level":"error","msg":"seal \"kite\" %d","method":"POST","status":503,"latency_ms":170.5,"user":{"id":1005,"name":"Jukka"}}`,
	}
	for _, c := range []struct {
		name, query string
		lines       []string
	}{
		{"count", `sum(count_over_time({app="api"}[1m]))`, logfmt},
		{"filter", `sum(count_over_time({app="api"} |= "retrying" [1m]))`, logfmt},
		{"regex", `sum(count_over_time({app="api"} |~ "status=5\\d\\d" [1m]))`, logfmt},
		{"by_metadata", `sum by (detected_level) (count_over_time({app="api"}[1m]))`, logfmt},
		{"all_labels", `count_over_time({app="api"}[1m])`, logfmt},
		{"logfmt", `sum by (status) (count_over_time({app="api"} | logfmt [1m]))`, logfmt},
		{"logfmt_filter", `sum by (method) (count_over_time({app="api"} | logfmt | status >= 500 and duration > 1s [1m]))`, logfmt},
		{"json", `sum by (status) (count_over_time({app="api"} | json [1m]))`, json},
		{"json_unwrap", `quantile_over_time(0.9, {app="api"} | json | unwrap latency_ms [1m]) by (method)`, json},
		{"line_format", `sum(bytes_over_time({app="api"} | logfmt | line_format "{{.method}} {{.status}}" [1m]))`, logfmt},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := newRepeater(c.lines)
			s.n = (b.N + 999) / 1000
			q := &logs.Query{Kind: logs.Instant, Expr: c.query, Start: 1e10, End: 1e10}
			b.ReportAllocs()
			b.SetBytes(int64(len(c.lines[0])))
			b.ResetTimer()
			res, err := NewEngine(Options{}).Run(context.Background(), "t", q, s)
			if err != nil {
				b.Fatal(err)
			}
			if len(res.Vector) == 0 {
				b.Fatal("no answer")
			}
			b.ReportMetric(float64(s.n*1000)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}
