package logql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
)

// asking is how jobs reach src: as a querier would run them.
func asking(e *Engine, src logs.Source) Ask {
	return func(ctx context.Context, q *logs.Query) (*logs.Result, error) { return e.Run(ctx, "t", q, src) }
}

// TestSplit: what jobs find and is merged is what one job finds, whatever the numbers of pieces and shards.
func TestSplit(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		distinct := rapid.Bool().Draw(t, "distinct times")
		rows := dice{rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))}.rows(distinct)
		at, err := os.MkdirTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(at)
		src := sourceOf(partsOf(t, at, rows)...)
		limits := func(string) Limits { return Limits{MaxSeries: 10000} }
		e := NewEngine(Options{Limits: limits, NoPushdown: rapid.IntRange(0, 4).Draw(t, "line by line") == 0})
		for range 8 {
			q := genQuery(t, distinct)
			want, wantErr := NewEngine(Options{Limits: limits}).Run(context.Background(), "t", q, src)
			s := Split{MaxJobs: rapid.IntRange(1, 5).Draw(t, "at once"), Pieces: rapid.SampledFrom([]int{1, 2, 5, 40}).Draw(t, "pieces"),
				Shards: rapid.SampledFrom([]int{1, 2, 7}).Draw(t, "shards")}
			got, err := e.Coordinate(context.Background(), "t", q, s, asking(e, src))
			if fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Fatalf("%s in %+v\n%s\nerror: %v\nwant:  %v", q.Expr, s, rowsText(rows), err, wantErr)
			}
			sameAnswers(t, q, got, want, err, rows)
		}
	})
}

func TestSplitNumbers(t *testing.T) {
	const hour = int64(time.Hour)
	// Pages that are short and of one stream: nothing is done twice.
	ideal := func(bytes, streams int64) logs.Estimate {
		return logs.Estimate{Bytes: bytes, Streams: streams, Pages: 1000, Runs: 1000}
	}
	for _, c := range []struct {
		what           string
		e              logs.Estimate
		length         int64
		byStream       bool
		pieces, shards int
	}{
		{"nothing", logs.Estimate{}, hour, true, 1, 1},
		{"what a job is worth", ideal(100, 9), hour, true, 1, 1},
		{"a little more", ideal(101, 9), hour, true, 2, 1},
		{"ten times as much", ideal(1000, 9), hour, true, 10, 1},
		{"no piece is shorter than a minute", ideal(100_000, 9), hour, false, 60, 1},
		{"many streams", ideal(100_000, 900), hour, true, 60, 16},
		{"no shard without a stream", ideal(100_000, 9), hour, true, 60, 9},
		{"more than there can be", ideal(1<<60, 1<<40), 1000 * hour, true, maxPieces, 16},
		{"a short time", ideal(1000, 9), 1, true, 1, 9},
		{"pages as long as all of it are cut by no time", logs.Estimate{Bytes: 1000, Streams: 10, Pages: 100, Runs: 100, PageSeconds: 100 * 3600}, hour, true, 1, 10},
		{"pages of all streams are cut by no stream", logs.Estimate{Bytes: 1000, Streams: 10, Pages: 100, Runs: 1000, PageSeconds: 36}, hour, true, 10, 1},
		{"and such pages not at all", logs.Estimate{Bytes: 1000, Streams: 10, Pages: 100, Runs: 1000, PageSeconds: 100 * 3600}, hour, true, 1, 1},
		{"ten pages open at a time: a tenth is done twice with each cut", logs.Estimate{Bytes: 1000, Streams: 10, Pages: 100, Runs: 1000, PageSeconds: 10 * 3600}, hour, true, 2, 1},
	} {
		pieces, shards := Split{JobBytes: 100, MaxShards: 16}.numbers(c.e, 0, c.length, c.byStream)
		require.Equal(t, [2]int{c.pieces, c.shards}, [2]int{pieces, shards}, c.what)
	}
}

func TestCutTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.Int64Range(-1000, 1000).Draw(t, "from")
		to := from + rapid.Int64Range(0, 1000).Draw(t, "length")
		n := rapid.IntRange(1, 50).Draw(t, "n")
		pieces := cutTime(from, to, n, rapid.Int64Range(-50, 50).Draw(t, "anchor"), rapid.Int64Range(0, 40).Draw(t, "step"))
		require.LessOrEqual(t, len(pieces), n)
		at := from
		for _, p := range pieces {
			require.Equal(t, at, p.from)
			require.Less(t, p.from, p.to)
			at = p.to
		}
		require.Equal(t, to, at)
	})
	require.Equal(t, []timePiece{{1, 31}, {31, 61}, {61, 95}}, cutTime(1, 95, 3, 1, 10))
}

// errorsFirst is rows of which some have errors that end a query. Which is the first, the order of time tells.
func TestSplitErrorsAreThoseOfTheFirstRow(t *testing.T) {
	var rows []row
	for i := range 400 {
		line := fmt.Sprintf("lat=%d", i)
		if i > 100 && i%7 == 0 {
			line = fmt.Sprintf("lat=x%d", i)
		}
		rows = append(rows, row{labels: labels.FromStrings("app", "a", "pod", fmt.Sprint(i%13)), ts: int64(i) * 1e9, line: line})
	}
	src := sourceOf(fill(logs.HeadOptions{}, rows))
	e := NewEngine(Options{})
	q := &logs.Query{Kind: logs.Range, Expr: `sum_over_time({app="a"} | logfmt | unwrap lat [10s])`, Start: 0, End: 400e9, Step: 10e9}
	_, want := e.Run(t.Context(), "t", q, src)
	require.ErrorContains(t, want, "SampleExtractionErr")
	for _, shards := range []int{1, 7} {
		_, err := e.Coordinate(t.Context(), "t", q, Split{MaxJobs: 4, Pieces: 5, Shards: shards}, asking(e, src))
		require.EqualError(t, err, want.Error())
		require.Equal(t, fault.Invalid, fault.ClassOf(err))
	}
}

// A query that has all it wants, and one that nobody waits for any more, ends its jobs.
func TestSplitEndsItsJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("the client has gone")
		var started, ended atomic.Int64
		e := NewEngine(Options{})
		done := make(chan error, 1)
		go func() {
			_, err := e.Coordinate(ctx, "t", &logs.Query{Kind: logs.Range, Expr: `sum(rate({app="a"} | json [1m]))`, End: 1e12, Step: 1e9},
				Split{MaxJobs: 3, Pieces: 9, Shards: 1}, func(ctx context.Context, _ *logs.Query) (*logs.Result, error) {
					started.Add(1)
					defer ended.Add(1)
					<-ctx.Done()
					return nil, context.Cause(ctx)
				})
			done <- err
		}()
		synctest.Wait()
		require.EqualValues(t, 3, started.Load())
		cancel(gone)
		require.ErrorIs(t, <-done, gone)
		require.EqualValues(t, 3, ended.Load())
	})
}

// TestSplitStopsAtTheLimit: the newest piece is looked at first, and alone; the rest only if it isn't enough.
func TestSplitStopsAtTheLimit(t *testing.T) {
	var rows []row
	for i := range 1000 {
		rows = append(rows, row{labels: labels.FromStrings("app", "a"), ts: int64(i) * 1e9, line: fmt.Sprintf("n=%d", i)})
	}
	src := sourceOf(fill(logs.HeadOptions{}, rows))
	e := NewEngine(Options{})
	for _, c := range []struct {
		expr string
		jobs int
	}{
		{`{app="a"} | logfmt | n > 5`, 1},
		{`{app="a"} | logfmt | n < 895`, 3}, // the newest piece has none, the next two run at once
	} {
		var mu sync.Mutex
		var asked []int64
		res, err := e.Coordinate(t.Context(), "t", &logs.Query{Kind: logs.Range, Expr: c.expr, End: 1000e9, Limit: 10}, Split{MaxJobs: 8, Pieces: 10, Shards: 1},
			func(ctx context.Context, q *logs.Query) (*logs.Result, error) {
				mu.Lock()
				asked = append(asked, q.RowsEnd)
				mu.Unlock()
				return e.Run(ctx, "t", q, src)
			})
		require.NoError(t, err)
		require.Len(t, res.Streams, 10, c.expr) // n is a label
		require.Len(t, asked, c.jobs, c.expr)
		require.EqualValues(t, 1000e9, asked[0])
		require.EqualValues(t, 10, res.Stats.Pieces)
	}
}

// TestSplitStats: the totals are those of all jobs.
func TestSplitStats(t *testing.T) {
	var rows []row
	for i := range 1000 {
		rows = append(rows, row{labels: labels.FromStrings("app", "a", "pod", fmt.Sprint(i%20)), ts: int64(i) * 1e9, line: fmt.Sprintf("n=%d", i)})
	}
	src := sourceOf(fill(logs.HeadOptions{}, rows))
	e := NewEngine(Options{})
	q := &logs.Query{Kind: logs.Range, Expr: `sum(count_over_time({app="a"} | logfmt | n < 500 [1m]))`, Start: 60e9, End: 1020e9, Step: 60e9}
	one, err := e.Run(t.Context(), "t", q, src)
	require.NoError(t, err)
	res, err := e.Coordinate(t.Context(), "t", q, Split{MaxJobs: 4, Pieces: 5, Shards: 3}, asking(e, src))
	require.NoError(t, err)
	require.Equal(t, one.Stats.LinesProcessed, res.Stats.LinesProcessed)
	require.Equal(t, one.Stats.BytesProcessed, res.Stats.BytesProcessed)
	require.Equal(t, one.Stats.PostFilterLines, res.Stats.PostFilterLines)
	require.EqualValues(t, 499, res.Stats.PostFilterLines) // the row at 0 is in no window
	require.EqualValues(t, 15, res.Stats.Jobs)
	require.EqualValues(t, 5, res.Stats.Pieces)
	require.EqualValues(t, 3, res.Stats.Shards)
	require.Positive(t, res.Stats.MemoryBytes)
}

// TestSplitByEstimate: small queries are one job as they are, and large ones as many as it takes.
func TestSplitByEstimate(t *testing.T) {
	var rows []row
	for i := range 1000 {
		rows = append(rows, row{labels: labels.FromStrings("app", "a"), ts: int64(i) * 60e9, line: fmt.Sprintf("n=%04d", i)})
	}
	src := sourceOf(blockOf(t, t.TempDir(), fill(logs.HeadOptions{Block: logs.BlockOptions{PageRows: 25}}, rows)))
	e := NewEngine(Options{})
	for _, c := range []struct {
		expr     string
		jobBytes int64
		jobs     int64
	}{
		{`sum(count_over_time({app="a"}[1h]))`, 100_000, 0},
		{`sum(count_over_time({app="a"}[1h]))`, 1000, 6},
		{`sum(count_over_time({app="a"}[1h])) / sum(count_over_time({app="none"}[1h]))`, 1000, 7}, // the small side is a job, too
		{`{app="a"} | logfmt | n > 5000`, 1000, 6},
		{`{app="a"}`, 1, 0},
		{`{app="a"} | logfmt | distinct n`, 1, 0},
	} {
		q := &logs.Query{Kind: logs.Range, Expr: c.expr, Start: 0, End: 60_000e9, Step: 3600e9, Limit: 10}
		res, err := e.Coordinate(t.Context(), "t", q, Split{JobBytes: c.jobBytes, MaxShards: 4, MaxJobs: 4}, asking(e, src))
		require.NoError(t, err)
		require.Equal(t, c.jobs, res.Stats.Jobs, c.expr)
		want, err := e.Run(t.Context(), "t", q, src)
		require.NoError(t, err)
		require.Equal(t, answerText(want), answerText(res))
	}
}

// TestBucketsSort: by time, stable, and by an order where one is given.
func TestBucketsSort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b buckets
		for i := range rapid.IntRange(1, 60).Draw(t, "n") {
			lo := rapid.IntRange(0, 9).Draw(t, "lo")
			b = append(b, bucket{lo: lo, hi: lo + rapid.IntRange(-1, 3).Draw(t, "length"), acc: acc{n: float64(rapid.IntRange(0, 3).Draw(t, "count")), sum: float64(i)}})
		}
		for _, order := range []func(a, b *acc) int{nil, compareAccs} {
			want := slices.Clone(b)
			slices.SortStableFunc(want, func(x, y bucket) int {
				c := cmp.Or(cmp.Compare(x.lo, y.lo), cmp.Compare(x.hi, y.hi))
				if c == 0 && order != nil {
					c = order(&x.acc, &y.acc)
				}
				return c
			})
			require.Equal(t, want, slices.Clone(b).sorted(order))
		}
	})
}
