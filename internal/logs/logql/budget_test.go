package logql

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
)

// flood is a source of as many rows as anyone wants, of which it keeps one.
type flood struct {
	memory
	rows   int64
	batch  int64 // rows at a time
	line   func(i int64, buf []byte) []byte
	given  atomic.Int64
	ended  atomic.Bool
	noting func(i int64) // called before row i
}

func (f *flood) SelectRows(ctx context.Context, _ string, s logs.Select) iter.Seq2[*logs.Rows, error] {
	return func(yield func(*logs.Rows, error) bool) {
		defer f.ended.Store(true)
		rows := &logs.Rows{Streams: []labels.Labels{labels.FromStrings("app", "a")}}
		for i := range f.rows {
			if f.noting != nil {
				f.noting(i)
			}
			if ctx.Err() != nil {
				return
			}
			ts := s.Start + i
			if s.Direction == logs.Backward {
				ts = s.End - 1 - i
			}
			rows.Stream, rows.Timestamps = append(rows.Stream, 0), append(rows.Timestamps, ts)
			rows.Lines = append(rows.Lines, f.line(i, nil))
			if f.given.Add(1)%max(f.batch, 1) != 0 {
				continue
			}
			if !yield(rows, nil) {
				return
			}
			rows.Stream, rows.Timestamps, rows.Lines = rows.Stream[:0], rows.Timestamps[:0], rows.Lines[:0]
		}
	}
}

func (f *flood) Scan(ctx context.Context, tenant string, s logs.Select, visit func(context.Context, *logs.Page) error) error {
	s.Direction = logs.Forward
	return logs.ScanRows(ctx, s, f.SelectRows(ctx, tenant, s), visit)
}

// TestHugeAnswers: a query whose answer would be 10 GB ends with an error once it holds what it may, and gives
// all of it back.
func TestHugeAnswers(t *testing.T) {
	const most = 32 << 20
	long := make([]byte, 1<<20)
	for _, c := range []struct {
		name  string
		query logs.Query
		line  func(i int64, buf []byte) []byte
		rows  int64
	}{
		{"entries", logs.Query{Expr: `{app="a"}`, Limit: 10_000}, func(_ int64, buf []byte) []byte { return append(buf, long...) }, 10_000},
		{"parsed labels", logs.Query{Expr: `{app="a"} | logfmt`, Limit: 1 << 30}, func(i int64, buf []byte) []byte { return fmt.Appendf(buf, "id=%d", i) }, 100_000_000},
		{"series", logs.Query{Expr: `count_over_time({app="a"} | logfmt [1s])`, Step: 1e9}, func(i int64, buf []byte) []byte { return fmt.Appendf(buf, "id=%d", i) }, 100_000_000},
		{"values", logs.Query{Expr: `quantile_over_time(0.5, {app="a"} | logfmt | unwrap id [1s]) by (app)`, Step: 1e9},
			func(i int64, buf []byte) []byte { return fmt.Appendf(buf, "id=%d", i) }, 1_000_000_000},
		{"in parts", logs.Query{Expr: `{app="a"} | logfmt | id != "x"`, Limit: 1 << 30}, func(i int64, buf []byte) []byte { return fmt.Appendf(buf, "id=%d", i) }, 100_000_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			memory := NewMemory(0)
			e := NewEngine(Options{Memory: memory, Limits: func(string) Limits { return Limits{MaxMemory: most, MaxEntries: 1 << 30} }})
			src := &flood{rows: c.rows, batch: max(1, min(500, c.rows/10_000)), line: c.line}
			q := c.query
			q.Kind, q.End = logs.Range, 1e9
			split := Split{}
			if c.name == "in parts" {
				split = Split{Pieces: 3, Shards: 2, MaxJobs: 4}
			}
			_, err := e.Coordinate(t.Context(), "t", &q, split, asking(e, src))
			require.Equal(t, fault.Unprocessable, fault.ClassOf(err), "%v", err)
			require.ErrorContains(t, err, "hold more than the limit of 32MiB in memory")
			now, peak := memory.Held()
			require.Zero(t, now, "all was given back")
			// Each job is bounded alone, and one entry or page may reach beyond.
			require.LessOrEqual(t, peak, int64(max(split.MaxJobs, 1)+1)*(most+8<<20))
			require.Greater(t, peak, int64(most/2), "it is what counts")
		})
	}
}

// TestManyQueriesTogether: 200 range queries at once never hold more than all may together; those that would
// are told to come again.
func TestManyQueriesTogether(t *testing.T) {
	var rows []row
	for i := range 4000 {
		rows = append(rows, row{labels: labels.FromStrings("app", "a", "pod", fmt.Sprint(i%50)), ts: int64(i) * 1e9, line: fmt.Sprintf("n=%d", i)})
	}
	src := sourceOf(fill(logs.HeadOptions{}, rows))
	q := &logs.Query{Kind: logs.Range, Expr: `sum by (pod) (count_over_time({app="a"} | logfmt | n > 5 [5m]))`, End: 4000e9, Step: 10e9}
	one, err := NewEngine(Options{}).Run(t.Context(), "t", q, src)
	require.NoError(t, err)
	most := 3 * one.Stats.MemoryBytes
	memory := NewMemory(most)
	e := NewEngine(Options{Memory: memory})
	var ok, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			split := Split{}
			if i%2 == 0 {
				split = Split{Pieces: 4, Shards: 2, MaxJobs: 4}
			}
			res, err := e.Coordinate(t.Context(), "t", q, split, asking(e, src))
			switch {
			case err == nil && answerText(res) == answerText(one):
				ok.Add(1)
			case fault.ClassOf(err) == fault.Unavailable && fault.RetryAfter(err) > 0:
				refused.Add(1)
			default:
				t.Errorf("another answer, or error: %v", err)
			}
		})
	}
	wg.Wait()
	now, peak := memory.Held()
	require.Zero(t, now)
	require.LessOrEqual(t, peak, most)
	require.EqualValues(t, 200, ok.Load()+refused.Load())
	// All may have been refused, each for what the others held at the time. Alone, a query finds room.
	res, err := e.Coordinate(t.Context(), "t", q, Split{}, asking(e, src))
	require.NoError(t, err)
	require.Equal(t, answerText(one), answerText(res))
}

// TestLinesAndBytesAreBounded: what is looked at is bounded for the query as a whole, also where jobs each look
// at less.
func TestLinesAndBytesAreBounded(t *testing.T) {
	var rows []row
	for i := range 1000 {
		rows = append(rows, row{labels: labels.FromStrings("app", "a", "pod", fmt.Sprint(i%5)), ts: int64(i) * 1e9, line: "0123456789"})
	}
	src := sourceOf(fill(logs.HeadOptions{}, rows))
	for _, c := range []struct {
		limits Limits
		text   string
	}{
		{Limits{MaxBytes: 3000}, "the query would read too many bytes"},
		{Limits{MaxLines: 300}, "the query would read too many lines"},
	} {
		e := NewEngine(Options{Limits: func(string) Limits { return c.limits }})
		for _, expr := range []string{`sum(count_over_time({app="a"} | json [1m]))`, `{app="a"} | json | x = "y"`} {
			for _, s := range []Split{{}, {Pieces: 10, Shards: 1, MaxJobs: 1}} {
				_, err := e.Coordinate(t.Context(), "t", &logs.Query{Kind: logs.Range, Expr: expr, End: 1000e9, Step: 60e9, Limit: 10}, s, asking(e, src))
				require.Equal(t, fault.Invalid, fault.ClassOf(err), "%v", err)
				require.ErrorContains(t, err, c.text)
			}
		}
	}
}

// TestCancelledSources: a query that nobody waits for any more stops the source that it reads.
func TestCancelledSources(t *testing.T) {
	for _, expr := range []string{`{app="a"} |= "x"`, `{app="a"} | logfmt | id = "x"`, `sum(count_over_time({app="a"} | logfmt [1s]))`, `last_over_time({app="a"} | logfmt | unwrap id [1s])`} {
		for _, s := range []Split{{}, {Pieces: 2, Shards: 2, MaxJobs: 4}} {
			ctx, cancel := context.WithCancel(t.Context())
			src := &flood{rows: 1 << 40, line: func(i int64, buf []byte) []byte { return fmt.Appendf(buf, "id=%d", i%10) }}
			src.noting = func(i int64) {
				if i == 5000 {
					cancel()
				}
			}
			e := NewEngine(Options{})
			_, err := e.Coordinate(ctx, "t", &logs.Query{Kind: logs.Range, Expr: expr, End: 1e12, Step: 1e9, Limit: 10}, s, asking(e, src))
			require.ErrorIs(t, err, context.Canceled, expr)
			require.True(t, src.ended.Load())
			require.Less(t, src.given.Load(), int64(100_000), expr)
		}
	}
}
