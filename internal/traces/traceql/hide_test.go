package traceql

import (
	"context"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/traces"
)

// TestHidden: with some traces hidden, every question is answered as if they were not there, wherever their pieces are:
// in blocks of columns, in a head, or in several of these.
func TestHidden(t *testing.T) {
	engine := NewEngine(Options{})
	rapid.Check(t, func(rt *rapid.T) {
		sent, list := genColumnTraces(t, rt)
		parts := []traces.Part{blockOf(t, rt, sent)}
		if rapid.Bool().Draw(rt, "twice") { // as of a replica
			parts = append(parts, blockOf(t, rt, sent[:1+len(sent)/2]))
		}
		if rapid.Bool().Draw(rt, "recent") {
			head := traces.NewHead(traces.HeadOptions{})
			for _, otlp := range sent[len(sent)/2:] {
				_, err := head.Append(&traces.Batch{OTLP: otlp})
				require.NoError(rt, err)
			}
			parts = append(parts, traces.PartOf(traces.NewSource(func(context.Context, string, uint64, uint64) ([]traces.Part, error) {
				return []traces.Part{head}, nil
			}), "t"))
		}
		var hidden []traces.ID
		seen := &memory{}
		for _, tr := range list {
			if rapid.Bool().Draw(rt, "hidden") {
				hidden = append(hidden, tr.ID)
			} else {
				seen.list = append(seen.list, tr)
			}
		}
		set := traces.NewIDSet(slices.Clone(hidden))
		source := traces.Hide(traces.NewSource(func(context.Context, string, uint64, uint64) ([]traces.Part, error) { return parts, nil }),
			func(string) *traces.IDSet { return set })
		for _, tr := range list {
			got, err := source.TraceByID(t.Context(), "t", tr.ID, 0, 0)
			require.NoError(rt, err)
			require.Equal(rt, set.Has(tr.ID), got == nil)
		}
		for range 10 {
			q := &traces.Query{Kind: traces.Search, Expr: genQuery(rt), SpansPerSpanSet: rapid.SampledFrom([]int{1, 10}).Draw(rt, "spss"), Limit: 1000}
			if want, got, ok := both(t, engine, q, seen, source); ok && !reflect.DeepEqual(want.Found, got.Found) {
				rt.Fatalf("%s\nhidden:\n%snot there:\n%s", q.Expr, printFound(got.Found), printFound(want.Found))
			} else if ok {
				q.Kind = traces.SearchIDs
				ids, err := engine.Run(t.Context(), "t", q, source)
				require.NoError(rt, err)
				require.Equal(rt, found(want), traces.NewIDSet(ids.IDs).IDs(), "%s: the same traces as the search", q.Expr)
			}
			q = &traces.Query{Kind: traces.MetricsRange, Expr: genMetrics(rt), Start: epoch, End: epoch + 20e9, Step: 7e9}
			if want, got, ok := both(t, engine, q, seen, source); ok {
				require.Equal(rt, sortedLines(printSeries(want.Series)), sortedLines(printSeries(got.Series)), q.Expr)
			}
		}
	})
}

// both asks two sources. ok is false where the query is none, or where one of them meets a division by zero.
func both(t *testing.T, engine *Engine, q *traces.Query, a, b traces.Source) (x, y *traces.Result, ok bool) {
	x, xerr := engine.Run(t.Context(), "t", q, a)
	y, yerr := engine.Run(t.Context(), "t", q, b)
	return x, y, xerr == nil && yerr == nil
}

func found(r *traces.Result) []traces.ID {
	var ids []traces.ID
	for _, f := range r.Found {
		ids = append(ids, f.ID)
	}
	return traces.NewIDSet(ids).IDs()
}

func TestSearchIDs(t *testing.T) {
	engine := NewEngine(Options{})
	source := loadTraces(t, "a . x x 0ms+1ms\nb . x y 1ms+1ms\nc . y x 2ms+1ms")
	ask := func(expr string, limit int) ([]traces.ID, error) {
		r, err := engine.Run(t.Context(), "t", &traces.Query{Kind: traces.SearchIDs, Expr: expr, Limit: limit}, source)
		if err != nil {
			return nil, err
		}
		return traces.NewIDSet(r.IDs).IDs(), nil
	}
	ids, err := ask(`{ name = "x" }`, 2)
	require.NoError(t, err)
	require.Equal(t, []traces.ID{traceID("a"), traceID("c")}, ids)
	_, err = ask(`{ name = "x" }`, 1)
	require.Equal(t, fault.Unprocessable, fault.ClassOf(err))
	require.ErrorContains(t, err, "more than 1 traces")
	for _, expr := range []string{"", "{", "{ } | rate()", "{ 1 + true }"} {
		require.Equal(t, fault.Invalid, fault.ClassOf(CheckSearch(expr)), expr)
	}
	require.NoError(t, CheckSearch(`{ name = "x" } | count() > 3`))
}
