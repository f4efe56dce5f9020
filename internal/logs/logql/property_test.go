package logql

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
)

// TestWindows compares windows made of shared buckets with windows made of the samples in them, for
// all operations.
func TestWindows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		op := rapid.SampledFrom(rangeOps).Draw(t, "op")
		q := 0.5
		e := &RangeAgg{Op: op, Param: &q, Range: LogRange{Interval: 1e9}}
		f := foldOf(e)
		g := grid{start: int64(rapid.IntRange(0, 50).Draw(t, "start")), step: int64(rapid.IntRange(1, 30).Draw(t, "step")),
			n: rapid.IntRange(1, 20).Draw(t, "n"), window: int64(rapid.IntRange(1, 60).Draw(t, "window"))}
		ts := rapid.SliceOfN(rapid.Int64Range(-70, 500), 0, 60).Draw(t, "times")
		slices.Sort(ts)
		var b buckets
		for i, at := range ts {
			if lo, hi := g.steps(at); lo <= hi {
				b.add(&f, lo, hi, at, float64(i%7))
			}
		}
		got := map[int]float64{}
		b.windows(&f, g.n, func(step int, v float64) { got[step] = v })
		for k := range g.n {
			end := g.start + int64(k)*g.step
			var a acc
			for i, at := range ts {
				if at > end-g.window && at <= end {
					if a.n == 0 {
						a.from = at
					}
					a.to = at
					f.add(&a, float64(i%7))
				}
			}
			v, ok := got[k]
			if ok != (a.n > 0) {
				t.Fatalf("%s: step %d: present %v, want %v", op, k, ok, a.n > 0)
			}
			if !ok {
				continue
			}
			want := f.finish(&a)
			if math.Abs(v-want) > 1e-9*max(1, math.Abs(want)) && !(math.IsNaN(v) && math.IsNaN(want)) {
				t.Fatalf("%s: step %d is %v, want %v", op, k, v, want)
			}
		}
	})
}

var genName = rapid.StringMatching(`[a-z_][a-z0-9_]{0,5}`).Filter(func(s string) bool { return !keywords[s] })

// TestFiltersFirst: moving line filters changes no answer. What it does behind decolorize is in pipeline.test.
func TestFiltersFirst(t *testing.T) {
	stages := []string{`| logfmt`, `|= "1"`, `!= "7"`, `| drop n`, `| line_format "{{.n}} {{.app}} 1"`, `| n > 2`, `|~ "[13]"`, `| label_format z="{{.n}}"`}
	m := &memory{}
	for i := range 40 {
		m.add(labels.FromStrings("app", "a"), int64(i), fmt.Sprintf("n=%d x=\x1b[31m%d", i, i%5))
	}
	rapid.Check(t, func(t *rapid.T) {
		text := `{app="a"} ` + strings.Join(rapid.SliceOfN(rapid.SampledFrom(stages), 0, 5).Draw(t, "stages"), " ")
		q, err := ParseLogQuery(text)
		if err != nil {
			t.Fatal(err)
		}
		want := &pipeline{}
		for _, st := range q.Stages {
			c, err := want.compileStage(st)
			if err != nil {
				t.Fatal(err)
			}
			want.steps = append(want.steps, c)
		}
		moved, err := compile(q.Stages)
		if err != nil {
			t.Fatal(err)
		}
		a, b := runAll(m, want), runAll(m, moved)
		if a != b {
			t.Fatalf("%s\nin order: %s\nmoved:    %s", text, a, b)
		}
	})
}

func runAll(m *memory, p *pipeline) string {
	set := newLabelSet(logHints(p.filters))
	var b strings.Builder
	for i := range m.rows {
		base := newStream(0, m.rows[i].labels)
		set.reset(base, nil)
		if line, ok := p.run(m.rows[i].ts, []byte(m.rows[i].line), set); ok {
			fmt.Fprintf(&b, "%s%s;", line, labelText(set.makeLabels(set.final())))
		}
	}
	return b.String()
}

// TestLimits: what a query may cost is bounded, with the class of error that says so.
func TestLimits(t *testing.T) {
	m := &memory{batch: 10}
	for i := range 100 {
		m.add(labels.FromStrings("app", "a", "n", fmt.Sprint(i)), int64(i)*1e9, "x")
	}
	run := func(l Limits, q logs.Query) error {
		q.Kind, q.End, q.Direction = logs.Range, 100e9, logs.Forward
		_, err := NewEngine(Options{Limits: func(string) Limits { return l }}).Run(context.Background(), "t", &q, m)
		return err
	}
	for _, c := range []struct {
		limits Limits
		query  logs.Query
		class  fault.Class
		text   string
	}{
		{Limits{MaxSeries: 5}, logs.Query{Expr: `rate({app="a"}[1m])`, Step: 1e9}, fault.Invalid, "maximum number of series (5) reached"},
		{Limits{MaxEntries: 5}, logs.Query{Expr: `{app="a"}`, Limit: 6}, fault.Invalid, "max entries limit per query exceeded"},
		{Limits{MaxSamples: 50}, logs.Query{Expr: `rate({app="a"}[1m])`, Step: 1e9}, fault.Unprocessable, "hold more than 50 samples"},
		{Limits{MaxLength: 1e9}, logs.Query{Expr: `{app="a"}`}, fault.Invalid, "the query time range exceeds the limit"},
		{Limits{MaxPoints: 10}, logs.Query{Expr: `rate({app="a"}[1m])`, Step: 1e9}, fault.Invalid, "exceeded maximum resolution"},
		{Limits{MaxBytes: 10}, logs.Query{Expr: `{app="a"} |= "x"`}, fault.Invalid, "would read too many bytes (query: 20B, limit: 10B)"},
	} {
		err := run(c.limits, c.query)
		if err == nil || fault.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v (class %v), want %q", c.query.Expr, err, fault.ClassOf(err), c.text)
		}
	}
}

// TestLimitStopsEarly: no more is read than the limit needs.
func TestLimitStopsEarly(t *testing.T) {
	m := &memory{batch: 1}
	for i := range 1000 {
		m.add(labels.FromStrings("app", "a"), int64(i), "x")
	}
	for _, d := range []logs.Direction{logs.Forward, logs.Backward} {
		q := &logs.Query{Kind: logs.Range, Expr: `{app="a"} | logfmt`, End: 1000, Limit: 7, Direction: d}
		if _, err := NewEngine(Options{}).Run(context.Background(), "t", q, m); err != nil {
			t.Fatal(err)
		}
		if m.limit > 8 {
			t.Errorf("direction %v: %d rows were read for a limit of 7", d, m.limit)
		}
	}
}

func TestCancelled(t *testing.T) {
	m := &memory{}
	m.add(labels.FromStrings("app", "a"), 1, "x")
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	_, err := NewEngine(Options{}).Run(ctx, "t", &logs.Query{Kind: logs.Range, Expr: `{app="a"}`, End: 10}, m)
	if !errors.Is(err, cause) {
		t.Errorf("error is %v", err)
	}
}
