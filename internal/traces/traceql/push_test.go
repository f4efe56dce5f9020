package traceql

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/traces"
)

// blockOf writes traces, as they were sent, as a block and opens it.
func blockOf(t testing.TB, rt *rapid.T, sent [][]byte) traces.Part {
	head := traces.NewHead(traces.HeadOptions{})
	for _, otlp := range sent {
		if _, err := head.Append(&traces.Batch{OTLP: otlp}); err != nil {
			rt.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp(t.TempDir(), "block")
	if err != nil {
		rt.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := head.WriteBlock(context.Background(), dir, &block.Meta{}); err != nil {
		rt.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, block.DataFile))
	if err != nil {
		rt.Fatal(err)
	}
	r, err := block.Open(context.Background(), object(data), "test", int64(len(data)), block.ReaderOptions{})
	if err != nil {
		rt.Fatal(err)
	}
	b, err := traces.OpenBlock(context.Background(), r)
	if err != nil {
		rt.Fatal(err)
	}
	return b
}

// object is an object store of one object.
type object []byte

func (o object) ReadRange(_ context.Context, _ string, off, n int64) ([]byte, error) {
	return o[min(off, int64(len(o))):min(off+n, int64(len(o)))], nil
}

// genColumnTraces draws traces that stand in columns of every kind: of some there are many alike. It returns
// them as they are sent, and as they are once they have arrived.
func genColumnTraces(t testing.TB, rt *rapid.T) (sent [][]byte, list []*traces.Trace) {
	var text string
	for i := range rapid.IntRange(1, 4).Draw(rt, "traces") {
		one := genTrace(rt, string(rune('a'+i)))
		text += one
	}
	list = loadTraces(t, text).list
	copies := rapid.SampledFrom([]int{0, 0, 3, 20}).Draw(rt, "copies")
	for i, tr := range list {
		for k := range copies {
			c := &traces.Trace{ID: tr.ID}
			c.ID[0], c.ID[1] = byte(k+1), byte(i)
			for _, s := range tr.Spans {
				o := *s
				o.Start += uint64(k) * 1e9
				o.End += uint64(k) * 1e9
				c.Spans = append(c.Spans, &o)
			}
			list = append(list, c)
		}
	}
	for i, tr := range list {
		sent = append(sent, traces.ToOTLP(tr))
		decoded, err := traces.DecodeOTLP(sent[i])
		if err != nil {
			rt.Fatal(err)
		}
		list[i] = decoded[0]
	}
	return sent, list
}

// TestPushSearch: a block, whose columns are asked before spans are built, gives the same answers as traces in
// memory that are evaluated span by span, also where some of the traces have pieces in a second block.
func TestPushSearch(t *testing.T) {
	engine := NewEngine(Options{})
	rapid.Check(t, func(rt *rapid.T) {
		sent, list := genColumnTraces(t, rt)
		all := &memory{list}
		parts := []traces.Part{blockOf(t, rt, sent)}
		if rapid.Bool().Draw(rt, "twice") { // as of a replica
			parts = append(parts, blockOf(t, rt, sent[:1+len(sent)/2]))
		}
		source := traces.NewSource(func(context.Context, string, uint64, uint64) ([]traces.Part, error) { return parts, nil })
		for range 20 {
			expr := genQuery(rt)
			if _, err := Parse(expr); err != nil {
				continue
			}
			q := &traces.Query{Kind: traces.Search, Expr: expr, SpansPerSpanSet: rapid.SampledFrom([]int{1, 2, 10}).Draw(rt, "spss"), Limit: 1000}
			want, werr := engine.Run(context.Background(), "t", q, all)
			got, gerr := engine.Run(context.Background(), "t", q, source)
			if werr != nil || gerr != nil {
				continue // a division by zero may hide behind a condition
			}
			if !reflect.DeepEqual(want.Found, got.Found) {
				rt.Fatalf("%s\nfrom columns:\n%sfrom spans:\n%s", expr, printFound(got.Found), printFound(want.Found))
			}
		}
	})
}

// sortedLines sorts lines: series whose labels differ in type alone print the same and come in any order.
func sortedLines(s string) string {
	lines := strings.Split(s, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// genMetrics draws a metrics query.
func genMetrics(t *rapid.T) string {
	q := genSet(t, 1)
	if rapid.Bool().Draw(t, "filter") {
		q += " | { " + genExpr(t, 1) + " }"
	}
	q += " | " + rapid.SampledFrom([]string{"rate()", "count_over_time()", "quantile_over_time(duration, .5, .99)", "histogram_over_time(duration)",
		"min_over_time(duration)", "max_over_time(duration)", "avg_over_time(duration)", "sum_over_time(duration)", "sum_over_time(span.a)"}).Draw(t, "function")
	by := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"name", "status", "kind", "resource.service.name", "resource.a", "span.a", "span.b", ".a", ".service.name", "rootName"}), 0, 2, rapid.ID[string]).Draw(t, "by")
	if len(by) > 0 {
		q += " by (" + strings.Join(by, ", ") + ")"
	}
	return q
}

// TestPushMetrics: what is counted class by class is what is counted span by span, also where traces have pieces
// in several places.
func TestPushMetrics(t *testing.T) {
	engine := NewEngine(Options{})
	rapid.Check(t, func(rt *rapid.T) {
		sent, list := genColumnTraces(t, rt)
		all := &memory{list}
		parts := []traces.Part{blockOf(t, rt, sent)}
		if rapid.Bool().Draw(rt, "twice") { // as of a replica
			parts = append(parts, blockOf(t, rt, sent[:1+len(sent)/2]))
		}
		source := traces.NewSource(func(context.Context, string, uint64, uint64) ([]traces.Part, error) { return parts, nil })
		for range 20 {
			expr := genMetrics(rt)
			if _, err := Parse(expr); err != nil {
				continue
			}
			q := &traces.Query{Kind: traces.MetricsRange, Expr: expr, Start: epoch, End: epoch + 20e9,
				Step: rapid.SampledFrom([]uint64{1e6, 3e6, 1e9, 7e9, 60e9}).Draw(rt, "step")}
			if q.Step < 1e9 {
				q.End = epoch + 20e6
			}
			want, werr := engine.Run(context.Background(), "t", q, all)
			got, gerr := engine.Run(context.Background(), "t", q, source)
			if werr != nil || gerr != nil {
				continue
			}
			if w, g := sortedLines(printSeries(want.Series)), sortedLines(printSeries(got.Series)); w != g {
				rt.Fatalf("%s step %d\nfrom columns:\n%sfrom spans:\n%s", expr, q.Step, g, w)
			}
		}
	})
}
