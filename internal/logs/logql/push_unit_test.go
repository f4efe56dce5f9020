package logql

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
)

// TestPushPlan pins down how far plans go. The oracle test would not notice a plan that gives up early.
func TestPushPlan(t *testing.T) {
	for _, c := range []struct {
		stages  string
		filters int
		lines   int
		exact   bool
	}{
		{``, 0, 0, true},
		{`|= "x" !~ "y"`, 0, 0, true},
		{`|> "<_>x<_>"`, 0, 1, true},
		{`|= ip("10.0.0.0/8") | json | a > 5`, 1, 1, false},
		{`|= ip("10.0.0.0/8") or "x"`, 0, 1, false},
		{`!= ip("10.0.0.0/8")`, 0, 0, false},
		{`| json`, 0, 0, true},
		{`| json | a > 5 and b = "x" | c != "y"`, 2, 0, true},
		{`| json a="b.c" | a > 5`, 1, 0, true},
		{`| json a="b[0]" | a > 5`, 0, 0, false},
		{`| json a="b", c="b.d" | a > 5`, 0, 0, false},
		{`| logfmt --keep-empty | a > 5 | drop __error__ | b = "x"`, 2, 0, true},
		{`| level = "x" | json | a > 5`, 2, 0, true},
		{`| json | a > 5 | line_format "{{.a}}"`, 1, 0, false},
		{`| json | a > 5 | line_format "{{.a}}" | b = "x"`, 1, 0, false},
		// b may not convert, and a is asked for before that is known.
		{`| json | a > 5 | line_format "{{.a}}" | b > 5`, 0, 0, false},
		{`| json | a = "x" | line_format "{{.a}}" | b > 5`, 1, 0, false},
		{`| json | a > 5 | drop b | b = "x" | c = "y"`, 2, 0, false},
		{`| json | keep a, b | a > 5 | c = "y"`, 1, 0, false},
		{`| json | label_format a=b | a = "x" | c = "y"`, 1, 0, false},
		{"| json | label_format a=b | a > 5 | __error__ =~ `.+`", 0, 0, false},
		{`| json | logfmt | a = "x"`, 0, 0, false},
		{`| json | a = "x" | logfmt | b = "x"`, 1, 0, false},
		{`| json | distinct a | b = "x"`, 0, 0, false},
		{`| pattern "<a> - <b>" | b = "x"`, 0, 1, false},
		{`| pattern "<a> - <b>" | b != "x"`, 0, 0, false},
		{`| pattern "<a> - <b>" | a > 1`, 0, 1, false},
		{`| pattern "<a> - <b>" | a > 1 | b > 1`, 0, 0, false},
		{`| pattern "<a> - <b>" | a > 1 and b = ip("10.0.0.0/8")`, 0, 1, false},
		{"| regexp `(?P<a>\\d+)ms` | a > 1", 0, 1, false},
		{`| unpack | a = "x"`, 0, 1, false},
		{"| unpack | a =~ `x.*`", 0, 1, false},
		{"| unpack | a_b =~ `x.*`", 0, 0, false},
		{`| unpack | a != "x" | b > 5`, 0, 0, false},
		{`| unpack | a = "x" |> "<_>y<_>" |= ip("10.0.0.1")`, 0, 1, false},
	} {
		q, err := ParseLogQuery(`{app="a"} ` + c.stages)
		require.NoError(t, err, c.stages)
		p := newPushPlan(q.Stages, pushScope{hints: &hints{}})
		require.Equal(t, []any{c.filters, c.lines, c.exact}, []any{len(p.filters), len(p.lines), p.exact}, c.stages)
	}
}

// TestMakesLabel: a path names a label just when the parser says so.
func TestMakesLabel(t *testing.T) {
	key := rapid.OneOf(rapid.SampledFrom([]string{"", "a", "b", "a_b", "9", " a", "é", "_", "a b", "\xff", "a\t"}), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.SliceOfN(key, 1, 3).Draw(t, "path")
		st := newJSONStep()
		st.s = newLabelSetOf(&hints{})
		for _, k := range path {
			st.push([]byte(k))
		}
		want := st.s.sanitized(st.prefix)
		other := rapid.SampledFrom([]string{"a", "a_b", "a_a", "_9", "_", "__", want + "_"}).Draw(t, "other")
		if got := makesLabel(path, want); got != (want != "") {
			t.Fatalf("%q makes %q: %v", path, want, got)
		}
		if makesLabel(path, other) != (other == want) {
			t.Fatalf("%q makes %q, not %q", path, want, other)
		}
	})
}

// TestDecimals: floats that are made of the slots of a template are those that strconv reads.
func TestDecimals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.StringMatching(`[0-9]{1,6}`)
		rows := make([]row, 40)
		sum := 0.0
		for i := range rows {
			v := strconv.Itoa(rapid.IntRange(0, 999_999_999).Draw(t, "whole"))
			if rapid.IntRange(0, 9).Draw(t, "with a fraction") > 0 {
				v += "." + part.Draw(t, "part")
			}
			rows[i] = row{labels: labels.FromStrings("app", "a"), ts: int64(i), line: `{"n":` + v + `}`}
			x, err := strconv.ParseFloat(v, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum = max(sum, x)
		}
		h := fill(logs.HeadOptions{}, rows)
		if err := h.Seal(context.Background()); err != nil {
			t.Fatal(err)
		}
		q := &logs.Query{Kind: logs.Instant, Expr: `max(max_over_time({app="a"} | json | unwrap n [1m]))`, Start: 1e9, End: 1e9}
		res, err := NewEngine(Options{}).Run(context.Background(), "t", q, sourceOf(h))
		if err != nil {
			t.Fatal(err)
		}
		if res.Vector[0].V != sum {
			t.Fatalf("%v, want %v", res.Vector[0].V, sum)
		}
	})
}

// TestGridUntil: the windows of a time stay the same until the time that until says, and no longer.
func TestGridUntil(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := grid{start: rapid.Int64Range(-50, 50).Draw(t, "start"), step: rapid.Int64Range(1, 30).Draw(t, "step"),
			n: rapid.IntRange(1, 10).Draw(t, "n"), window: rapid.Int64Range(1, 60).Draw(t, "window")}
		ts := rapid.Int64Range(-200, 500).Draw(t, "time")
		lo, hi := g.steps(ts)
		end := g.until(lo, hi)
		for _, at := range []int64{ts, (ts + end) / 2, end} {
			if a, b := g.steps(at); at >= ts && (a != lo || b != hi) {
				t.Fatalf("%d has windows %d-%d, %d has %d-%d", ts, lo, hi, at, a, b)
			}
		}
		if a, b := g.steps(end + 1); end >= ts && a == lo && b == hi {
			t.Fatalf("%d has windows %d-%d as %d has", end+1, lo, hi, ts)
		}
	})
}

// TestJoinedBuckets: buckets that came in any order are those that come in order of time.
func TestJoinedBuckets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := sums(func(a *acc) float64 { return a.sum })
		g := grid{step: 10, n: 20, window: 25}
		ts := rapid.SliceOfN(rapid.Int64Range(0, 150), 1, 40).Draw(t, "times")
		var any, ordered buckets
		add := func(b *buckets, at int64) {
			if lo, hi := g.steps(at); lo <= hi {
				b.add(&f, lo, hi, at, float64(at))
			}
		}
		for _, at := range ts {
			add(&any, at)
		}
		slices.Sort(ts)
		for _, at := range ts {
			add(&ordered, at)
		}
		any = any.joined(&f, compareAccs)
		if len(any) != len(ordered) {
			t.Fatalf("%d buckets, want %d", len(any), len(ordered))
		}
		for i := range any {
			if a, b := any[i], ordered[i]; a.lo != b.lo || a.hi != b.hi || a.acc.n != b.acc.n || a.acc.sum != b.acc.sum {
				t.Fatalf("bucket %d is %+v, want %+v", i, a, b)
			}
		}
	})
}

// manyPages is a block of pages of 50 rows with numbers whose sum depends on the order.
func manyPages(t *testing.T) logs.Source {
	rows := make([]row, 3000)
	for i := range rows {
		rows[i] = row{labels: labels.FromStrings("app", "a", "n", fmt.Sprint(i%3)), ts: int64(i) * 1e6,
			line: fmt.Sprintf(`{"lat":%d.%d,"k":"%d"}`, i*i%1000, i*7919%100_000, i%500)}
	}
	h := fill(logs.HeadOptions{Block: logs.BlockOptions{PageRows: 50}}, rows)
	return sourceOf(blockOf(t, t.TempDir(), h))
}

// TestScanIsDeterministic: sums of floats don't depend on which page is done first.
func TestScanIsDeterministic(t *testing.T) {
	src := manyPages(t)
	q := &logs.Query{Kind: logs.Instant, Expr: `sum_over_time({app="a"} | json | unwrap lat [1m])`, Start: 60e9, End: 60e9}
	q.Expr = "sum(" + q.Expr + ")"
	var first uint64
	for i := range 30 {
		res, err := NewEngine(Options{}).Run(t.Context(), "t", q, src)
		require.NoError(t, err)
		bits := math.Float64bits(res.Vector[0].V)
		if i == 0 {
			first = bits
		}
		require.Equal(t, first, bits)
	}
}

// TestScanLimits: limits hold for scans of columns, too, and the rows of a page are counted once.
func TestScanLimits(t *testing.T) {
	src := manyPages(t)
	run := func(ctx context.Context, l Limits, expr string) (*logs.Result, error) {
		q := &logs.Query{Kind: logs.Range, Expr: expr, End: 3e9, Step: 1e8}
		return NewEngine(Options{Limits: func(string) Limits { return l }}).Run(ctx, "t", q, src)
	}
	const each = `sum by (k) (count_over_time({app="a"} | json [1s]))`
	_, err := run(t.Context(), Limits{MaxBytes: 1000}, `sum(count_over_time({app="a"}[1s]))`)
	require.Equal(t, fault.Invalid, fault.ClassOf(err))
	require.ErrorContains(t, err, "limit: 1000B); consider adding more specific stream selectors")
	_, err = run(t.Context(), Limits{MaxSamples: 2000}, each)
	require.ErrorContains(t, err, "hold more than 2000 samples")
	_, err = run(t.Context(), Limits{MaxSeries: 10}, each)
	require.ErrorContains(t, err, "maximum number of series (10) reached")

	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	_, err = run(ctx, Limits{}, each)
	require.ErrorIs(t, err, cause)

	for _, expr := range []string{`sum(count_over_time({app="a"}[10s]))`, `sum(bytes_over_time({app="a"}[10s]))`, `sum(sum_over_time({app="a"} | json | unwrap lat [10s]))`} {
		ctx, stats := logs.WithStats(t.Context())
		res, err := run(ctx, Limits{}, expr)
		require.NoError(t, err)
		require.EqualValues(t, 3000, res.Stats.LinesProcessed, expr)
		require.Equal(t, stats.Snapshot().LinesProcessed, res.Stats.LinesProcessed, expr)
		require.Equal(t, stats.Snapshot().BytesProcessed, res.Stats.BytesProcessed, expr)
		require.Positive(t, res.Stats.Pages)
	}
}

// TestNarrowReadsLess: a filter that no page can pass leaves nothing to rebuild.
func TestNarrowReadsLess(t *testing.T) {
	rows := make([]row, 8000)
	d := dice{rand.New(rand.NewPCG(1, 2))}
	for i := range rows {
		rows[i] = row{labels: labels.FromStrings("app", "a"), ts: int64(i) * 1e6, line: fmt.Sprintf(`{"lat":%d,"id":"%x-%x"}`, i%1000, d.Uint64(), d.Uint64())}
	}
	src := sourceOf(blockOf(t, t.TempDir(), fill(logs.HeadOptions{}, rows)))
	read := func(noPushdown bool) int64 {
		q := &logs.Query{Kind: logs.Range, Expr: `{app="a"} | json | lat > 5000`, End: 10e9, Limit: 10}
		res, err := NewEngine(Options{NoPushdown: noPushdown}).Run(t.Context(), "t", q, src)
		require.NoError(t, err)
		require.Empty(t, res.Streams)
		return res.Stats.BytesRead
	}
	require.Less(t, read(false), read(true)/2)
}

// TestReadsThatFail: a page that can't be read is the fault of the source, wherever it is noticed.
func TestReadsThatFail(t *testing.T) {
	var fails error
	rows := make([]row, 300)
	for i := range rows {
		rows[i] = row{labels: labels.FromStrings("app", "a"), ts: int64(i) * 1e6, line: fmt.Sprintf(`{"lat":%d}`, i*i)}
	}
	b := failingBlock(t, t.TempDir(), fill(logs.HeadOptions{Block: logs.BlockOptions{PageRows: 100}}, rows), &fails)
	fails = errors.New("bucket is on fire")
	for _, expr := range []string{
		`{app="a"} | json | lat > 5`, `sum(count_over_time({app="a"}[1m]))`, `sum(count_over_time({app="a"} | json | lat > 5 [1m]))`,
		`sum(bytes_over_time({app="a"}[1m]))`, `sum(sum_over_time({app="a"} | json | unwrap lat [1m]))`,
	} {
		_, err := NewEngine(Options{}).Run(t.Context(), "t", &logs.Query{Kind: logs.Range, Expr: expr, End: 60e9, Step: 1e9, Limit: 10}, sourceOf(b))
		require.ErrorIs(t, err, fails, expr)
		require.Equal(t, fault.Internal, fault.ClassOf(err), expr)
	}
}

// TestErrorsOfRowsStayInOrder: the error of a scan is that of the first row, whichever page is first.
func TestErrorsOfRowsStayInOrder(t *testing.T) {
	rows := make([]row, 400)
	for i := range rows {
		rows[i] = row{labels: labels.FromStrings("app", "a"), ts: int64(i) * 1e6, line: fmt.Sprintf(`{"lat":"%d","k":"x"}`, i)}
		if i >= 120 && i%20 == 0 {
			rows[i].line = fmt.Sprintf(`{"lat":"none %d","k":"x"}`, i)
		}
	}
	h := fill(logs.HeadOptions{Block: logs.BlockOptions{PageRows: 30}}, rows)
	require.NoError(t, h.Seal(t.Context()))
	q := &logs.Query{Kind: logs.Instant, Expr: `sum(sum_over_time({app="a"} | json | unwrap lat [1m]))`, Start: 60e9, End: 60e9}
	for range 20 {
		_, err := NewEngine(Options{}).Run(t.Context(), "t", q, sourceOf(h))
		require.ErrorContains(t, err, "SampleExtractionErr")
		require.True(t, strings.Contains(err.Error(), `none 120`), err)
	}
}
