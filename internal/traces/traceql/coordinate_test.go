package traceql

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/traces"
)

// inPieces answers a query by n jobs, if it can be cut.
func inPieces(engine *Engine, n int, q *traces.Query, src traces.Source) (*traces.Result, error) {
	return engine.Coordinate(context.Background(), "t", q, Split{Pieces: n, MaxJobs: 3}, func(ctx context.Context, q *traces.Query) (*traces.Result, error) {
		return engine.Run(ctx, "t", q, src)
	})
}

// genScattered draws traces that are partly in several places, some spans twice, and some over much time.
func genScattered(t *testing.T, rt *rapid.T) traces.Source {
	head := traces.NewHead(traces.HeadOptions{})
	sent, list := genColumnTraces(t, rt)
	var stored [][]byte
	for i, tr := range list {
		if rapid.Bool().Draw(rt, "long") {
			for k, s := range tr.Spans {
				s.Start, s.End = s.Start+uint64(k)*3e9, s.End+uint64(k)*3e9
			}
			sent[i] = traces.ToOTLP(tr)
		}
		switch rapid.IntRange(0, 3).Draw(rt, "where") {
		case 0:
			cut := rapid.IntRange(0, len(tr.Spans)-1).Draw(rt, "first of the head")
			_, err := head.Append(&traces.Batch{OTLP: traces.ToOTLP(&traces.Trace{ID: tr.ID, Spans: tr.Spans[cut:]})})
			require.NoError(rt, err)
			if cut == 0 {
				continue
			}
			extra := min(cut+rapid.IntRange(0, 1).Draw(rt, "twice"), len(tr.Spans))
			stored = append(stored, traces.ToOTLP(&traces.Trace{ID: tr.ID, Spans: tr.Spans[:extra]}))
		case 1:
			_, err := head.Append(&traces.Batch{OTLP: sent[i]})
			require.NoError(rt, err)
		default:
			stored = append(stored, sent[i])
		}
	}
	parts := []traces.Part{head}
	for len(stored) > 0 {
		n := rapid.IntRange(1, len(stored)).Draw(rt, "of the block")
		parts = append(parts, blockOf(t, rt, stored[:n]))
		stored = stored[n:]
	}
	return traces.NewSource(func(context.Context, string, uint64, uint64) ([]traces.Part, error) { return parts, nil })
}

// drawRange draws a range of time; zeros are any time.
func drawRange(rt *rapid.T) (start, end uint64) {
	if rapid.Bool().Draw(rt, "any time") {
		return 0, 0
	}
	start = epoch + uint64(rapid.SampledFrom([]int{-1e9, 0, 3, 4e6, 5e9}).Draw(rt, "start"))
	return start, start + uint64(rapid.SampledFrom([]int{0, 2, 5e6, 6e9, 60e9}).Draw(rt, "length"))
}

// TestSearchInPieces: a search that is cut finds what the whole one finds, in its order, and shows the same of it.
func TestSearchInPieces(t *testing.T) {
	engine := NewEngine(Options{})
	found := 0
	rapid.Check(t, func(rt *rapid.T) {
		src := genScattered(t, rt)
		for range 10 {
			q := &traces.Query{Kind: traces.Search, Expr: genQuery(rt), SpansPerSpanSet: rapid.SampledFrom([]int{1, 10}).Draw(rt, "spss"), Limit: rapid.SampledFrom([]int{0, 1, 2, 1000}).Draw(rt, "limit")}
			q.Start, q.End = drawRange(rt)
			want, werr := engine.Run(context.Background(), "t", q, src)
			if werr != nil {
				continue
			}
			got, err := inPieces(engine, rapid.IntRange(1, 9).Draw(rt, "pieces"), q, src)
			require.NoError(rt, err)
			if !reflect.DeepEqual(want.Found, got.Found) && len(want.Found)+len(got.Found) > 0 {
				rt.Fatalf("%s\nin pieces:\n%swhole:\n%s", q.Expr, printFound(got.Found), printFound(want.Found))
			}
			found += len(want.Found)
		}
	})
	require.Positive(t, found)
}

// genCutMetrics draws a metrics query with what is done after the merge.
func genCutMetrics(rt *rapid.T) string {
	return genMetrics(rt) + rapid.SampledFrom([]string{"", "", " | topk(2)", " | bottomk(1)", " > 0.01", " | topk(3) < 5"}).Draw(rt, "second")
}

// TestMetricsInPieces: a metrics query that is cut has the samples of the whole one, to the last digit.
func TestMetricsInPieces(t *testing.T) {
	engine := NewEngine(Options{})
	samples := 0
	rapid.Check(t, func(rt *rapid.T) {
		src := genScattered(t, rt)
		for range 10 {
			q := &traces.Query{Kind: traces.MetricsRange, Expr: genCutMetrics(rt), Step: rapid.SampledFrom([]uint64{1e6, 3e6, 1e9, 7e9, 60e9}).Draw(rt, "step")}
			q.Start = epoch + uint64(rapid.SampledFrom([]int{-1e9, 0, 3, 5e9}).Draw(rt, "start"))
			q.End = q.Start + uint64(rapid.IntRange(0, 20).Draw(rt, "steps"))*q.Step
			want, werr := engine.Run(context.Background(), "t", q, src)
			if werr != nil {
				continue
			}
			got, err := inPieces(engine, rapid.IntRange(1, 9).Draw(rt, "pieces"), q, src)
			require.NoError(rt, err)
			require.Equal(rt, sortedLines(printSeries(want.Series)), sortedLines(printSeries(got.Series)), "%s step %d", q.Expr, q.Step)
			for _, s := range want.Series {
				samples += len(s.Samples)
			}
		}
	})
	require.Positive(t, samples)
}

// TestInstantInPieces: a metrics query for one instant that is cut has the values of the whole one, to the last digit.
func TestInstantInPieces(t *testing.T) {
	engine := NewEngine(Options{})
	samples, cut := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		src := genScattered(t, rt)
		for range 10 {
			q := &traces.Query{Kind: traces.MetricsInstant, Expr: genCutMetrics(rt)}
			q.Start = epoch + uint64(rapid.SampledFrom([]int{-1e9, 0, 3, 5e9}).Draw(rt, "start"))
			q.End = q.Start + uint64(rapid.SampledFrom([]int{1, 5, 3e6, 7e9, 60e9}).Draw(rt, "length"))
			want, werr := engine.Run(context.Background(), "t", q, src)
			if werr != nil {
				continue
			}
			got, err := inPieces(engine, rapid.IntRange(1, 9).Draw(rt, "pieces"), q, src)
			require.NoError(rt, err)
			require.Equal(rt, sortedLines(printSeries(want.Series)), sortedLines(printSeries(got.Series)), q.Expr)
			samples += len(want.Series)
			if got.Inspected.TotalJobs > 1 {
				cut++
			}
		}
	})
	require.Positive(t, samples)
	require.Positive(t, cut)
}

// TestTagsInPieces: tags and values of spans that a filter leaves are those of the whole query.
func TestTagsInPieces(t *testing.T) {
	engine := NewEngine(Options{})
	rapid.Check(t, func(rt *rapid.T) {
		src := genScattered(t, rt)
		for range 10 {
			q := &traces.Query{Kind: traces.Tags, Expr: "{ " + genExpr(rt, 1) + " }", Scope: rapid.SampledFrom([]traces.TagScope{"", "span", "resource", "intrinsic"}).Draw(rt, "scope")}
			if rapid.Bool().Draw(rt, "values") {
				q.Kind, q.Tag = traces.TagValues, rapid.SampledFrom([]string{".a", "span.a", "status", "kind", "duration", "name", "rootName", "span:childCount"}).Draw(rt, "tag")
			}
			q.Start, q.End = drawRange(rt)
			want, werr := engine.Run(context.Background(), "t", q, src)
			if werr != nil {
				continue
			}
			got, err := inPieces(engine, rapid.IntRange(1, 9).Draw(rt, "pieces"), q, src)
			require.NoError(rt, err)
			require.Equal(rt, want.Tags, got.Tags, q.Expr)
			require.Equal(rt, len(want.Values), len(got.Values))
			for i := range want.Values {
				require.Equal(rt, want.Values[i], got.Values[i], q.Expr)
			}
			if q.Kind == traces.TagValues && len(want.Values) > 1 {
				q.Limit = 1
				got, err = inPieces(engine, 5, q, src)
				require.NoError(rt, err)
				require.Len(rt, got.Values, 1)
				require.Contains(rt, want.Values, got.Values[0])
			}
		}
	})
}

// aDay is n traces of one span each, over a day.
func aDay(t *testing.T, n int) traces.Source {
	head := traces.NewHead(traces.HeadOptions{})
	for i := range n {
		at := epoch + uint64(i)*uint64(24*time.Hour)/uint64(n)
		tr := &traces.Trace{Spans: []*traces.Span{{ID: spanID(i + 1), Name: fmt.Sprint("n", i%3), Start: at, End: at + 1e6, Resource: &traces.Resource{}, Scope: &traces.Scope{}}}}
		tr.ID[0], tr.ID[1], tr.ID[15] = byte(i>>8), byte(i), 1
		_, err := head.Append(&traces.Batch{OTLP: traces.ToOTLP(tr)})
		require.NoError(t, err)
	}
	return traces.NewSource(func(context.Context, string, uint64, uint64) ([]traces.Part, error) { return []traces.Part{head}, nil })
}

// asked answers jobs and remembers them.
type asked struct {
	engine *Engine
	src    traces.Source
	mu     sync.Mutex
	jobs   []traces.Query
}

func (a *asked) ask(ctx context.Context, q *traces.Query) (*traces.Result, error) {
	a.mu.Lock()
	a.jobs = append(a.jobs, *q)
	a.mu.Unlock()
	return a.engine.Run(ctx, "t", q, a.src)
}

// TestCutBySize: what is small is one job, and asked for once; what is large is as many as its spans are worth, of
// which a search does what it needs.
func TestCutBySize(t *testing.T) {
	src, engine := aDay(t, 1000), NewEngine(Options{})
	day := traces.Query{Start: epoch, End: epoch + uint64(24*time.Hour), Step: uint64(time.Hour), Limit: 300}
	run := func(kind traces.QueryKind, expr string, s Split) (*traces.Result, []traces.Query) {
		a := &asked{engine: engine, src: src}
		q := day
		q.Kind, q.Expr, q.Tag = kind, expr, "name"
		r, err := engine.Coordinate(t.Context(), "t", &q, s, a.ask)
		require.NoError(t, err)
		whole, err := engine.Run(t.Context(), "t", &q, src)
		require.NoError(t, err)
		require.Equal(t, whole.Found, r.Found)
		require.Equal(t, printSeries(whole.Series), printSeries(r.Series))
		require.Equal(t, whole.Values, r.Values)
		return r, a.jobs
	}
	for _, s := range []Split{{}, {JobSpans: 1000, MaxJobs: 4}} {
		for kind, expr := range map[traces.QueryKind]string{traces.Search: "{ }", traces.MetricsRange: "{ } | rate()", traces.TagValues: `{ name != "n1" }`} {
			r, jobs := run(kind, expr, s)
			require.Len(t, jobs, 1)
			done, total := r.Inspected.JobCounts()
			require.Equal(t, [2]int64{1, 1}, [2]int64{done, total})
		}
	}
	tenth := Split{JobSpans: 100, MaxJobs: 4}
	r, jobs := run(traces.Search, `{ name = "n1" }`, tenth)
	require.EqualValues(t, 10, r.Inspected.TotalJobs)
	require.EqualValues(t, 9, r.Inspected.Jobs, "333 match, so 300 take all but the last tenth")
	require.Len(t, jobs, 11, "one is the estimate")

	day.Limit = 20
	r, jobs = run(traces.Search, `{ name = "n1" }`, tenth)
	require.Equal(t, traces.Inspected{Traces: r.Inspected.Traces, Spans: r.Inspected.Spans, Jobs: 1, TotalJobs: 10}, r.Inspected)
	require.LessOrEqual(t, r.Inspected.Spans, int64(100))
	require.Len(t, jobs, 2, "the newest tenth has enough")

	r, jobs = run(traces.MetricsRange, `{ } | rate() by (name) | topk(1)`, tenth)
	require.EqualValues(t, 10, r.Inspected.TotalJobs)
	require.EqualValues(t, 10, r.Inspected.Jobs)
	require.Len(t, jobs, 11)
	for _, j := range jobs[1:] {
		require.Equal(t, "{ } | rate() by (name)", j.Expr)
	}
	for _, expr := range []string{"{ } | rate()", "{ } | quantile_over_time(duration, .5, .9) by (name) | topk(1)"} {
		_, jobs = run(traces.MetricsInstant, expr, tenth)
		require.Len(t, jobs, 11, expr)
	}
	for _, whole := range []struct {
		kind traces.QueryKind
		expr string
	}{{traces.MetricsInstant, "{ } | sum_over_time(duration)"}, {traces.MetricsInstant, "{ } | compare({ status = error })"}, {traces.MetricsRange, "{ } | compare({ status = error })"}, {traces.Search, `{ trace:id = "1" }`}, {traces.TagValues, ""}} {
		_, jobs = run(whole.kind, whole.expr, tenth)
		require.Len(t, jobs, 1, whole.expr)
	}
}

// TestExemplarsInPieces: the budget is that of the whole query, and the query's own hint goes before the request.
func TestExemplarsInPieces(t *testing.T) {
	src, engine := aDay(t, 1000), NewEngine(Options{})
	for _, c := range []struct {
		expr     string
		asked, n int
	}{{"{ } | rate()", 24, 24}, {"{ } | rate()", 10, 10}, {"{ } | rate() with(exemplars=5)", 100, 5}, {"{ } | rate() with(exemplars=false)", 100, 0}, {"{ } | avg_over_time(duration) by (name)", 0, 0}} {
		q := &traces.Query{Kind: traces.MetricsRange, Expr: c.expr, Start: epoch, End: epoch + uint64(24*time.Hour), Step: uint64(time.Hour), Exemplars: c.asked}
		whole, err := engine.Run(t.Context(), "t", q, src)
		require.NoError(t, err)
		cut, err := inPieces(engine, 7, q, src)
		require.NoError(t, err)
		count := func(r *traces.Result) (n int) {
			for _, s := range r.Series {
				n += len(s.Exemplars)
			}
			return n
		}
		require.Equal(t, c.n, count(whole), c.expr)
		require.Equal(t, c.n, count(cut), c.expr)
	}
}

// TestBoundsOfPieces: the bounds on a query are of all its jobs together.
func TestBoundsOfPieces(t *testing.T) {
	src := aDay(t, 1000)
	q := &traces.Query{Kind: traces.MetricsRange, Expr: "{ } | rate() by (span:id)", Start: epoch, End: epoch + uint64(24*time.Hour), Step: uint64(time.Hour)}
	for _, o := range []Options{{MaxSeries: 500}, {MaxSpansRead: 500}} {
		_, want := NewEngine(o).Run(t.Context(), "t", q, src)
		require.Equal(t, fault.Unprocessable, fault.ClassOf(want))
		_, err := inPieces(NewEngine(o), 10, q, src)
		require.Equal(t, want.Error(), err.Error())
	}
}

// TestFailingPieces: an error of a piece is the query's, and ends the other jobs; what a search doesn't need may fail.
func TestFailingPieces(t *testing.T) {
	src, engine := aDay(t, 100), NewEngine(Options{})
	q := &traces.Query{Kind: traces.Search, Expr: "{ }", Start: epoch, End: epoch + uint64(24*time.Hour), Limit: 20}
	bad := errors.New("a disk had a bad moment")
	ask := func(oldest bool) Ask {
		return func(ctx context.Context, p *traces.Query) (*traces.Result, error) {
			if p.Whole != nil && (p.Start == q.Start) == oldest {
				return nil, bad
			}
			return engine.Run(ctx, "t", p, src)
		}
	}
	split := Split{Pieces: 5, MaxJobs: 5}
	r, err := engine.Coordinate(t.Context(), "t", q, split, ask(true))
	require.NoError(t, err)
	require.Len(t, r.Found, 20)
	_, err = engine.Coordinate(t.Context(), "t", q, split, ask(false))
	require.ErrorIs(t, err, bad)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = engine.Coordinate(ctx, "t", q, split, func(ctx context.Context, p *traces.Query) (*traces.Result, error) {
		if p.Whole != nil {
			cancel()
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		return engine.Run(ctx, "t", p, src)
	})
	require.ErrorIs(t, err, context.Canceled)
}

// FuzzCutByTime: pieces have every time once, newest first.
func FuzzCutByTime(f *testing.F) {
	f.Add(uint64(0), uint64(0), uint64(0), uint64(0), 7, true)
	f.Add(uint64(10), uint64(11), uint64(0), uint64(0), 7, true)
	f.Add(uint64(10), uint64(17), uint64(87), uint64(87), 7, true)
	f.Add(epoch, epoch+3600e9, epoch+60e9, epoch+70e9, 7, false)
	f.Fuzz(func(t *testing.T, start, end, from, to uint64, n int, forced bool) {
		if end < start || to < from || end > 1<<62 || to > 1<<62 || n < 1 || n > maxPieces {
			return
		}
		pieces := cutByTime{&traces.Query{Start: start, End: end}}.cut(n, forced, traces.Range{Start: from, End: to})
		require.NotEmpty(t, pieces)
		require.LessOrEqual(t, len(pieces), n)
		slices.Reverse(pieces)
		require.Equal(t, start, pieces[0].Start)
		for i, p := range pieces {
			require.LessOrEqual(t, p.Start, p.End)
			require.Equal(t, traces.Range{Start: start, End: end}, *p.Whole)
			if i > 0 {
				require.Equal(t, pieces[i-1].End+1, p.Start)
			}
		}
		if last := pieces[len(pieces)-1].End; start != 0 || end != 0 {
			require.Equal(t, end, last)
		}
	})
}
