package traceql

import (
	"context"
	"reflect"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/traces"
)

// TestData runs the files in testdata. Commands:
//
//	parse            a query: prints it as the printer does, or the error
//	load             spans, see loadTraces
//	eval [limit=N] [spss=N]     a search, see printFound
//	metrics range=A..B [step=S] a metrics query; without a step an instant one
//	values tag=T     distinct values of an attribute, with the input as filter
//	select           a query: what is asked of the source
//	complete         a query with § at the cursor: what may stand there
//	faults           a query: what is wrong with it, with the bytes at fault and a hint
func TestData(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var source *memory
		engine := NewEngine(Options{})
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			q := &traces.Query{Expr: d.Input}
			var arg string
			switch d.Cmd {
			case "parse":
				return parseAndPrint(t, d.Input)
			case "complete":
				return printCompletion(d.Input)
			case "faults":
				return printFaults(d.Input)
			case "load":
				source = loadTraces(t, d.Input)
				return ""
			case "select":
				return printSelect(t, d.Input)
			case "eval":
				q.Kind, q.SpansPerSpanSet = traces.Search, 100
				d.MaybeScanArgs(t, "limit", &q.Limit)
				d.MaybeScanArgs(t, "spss", &q.SpansPerSpanSet)
			case "values":
				q.Kind = traces.TagValues
				d.ScanArgs(t, "tag", &q.Tag)
			case "metrics":
				q.Kind = traces.MetricsInstant
				d.ScanArgs(t, "range", &arg)
				q.Start, q.End = scanRange(t, arg)
				if d.MaybeScanArgs(t, "step", &arg) {
					q.Kind, q.Step = traces.MetricsRange, uint64(mustDuration(t, arg))
				}
			default:
				t.Fatalf("unknown command %q", d.Cmd)
			}
			res, err := engine.Run(context.Background(), "t", q, source)
			switch {
			case err != nil:
				return "error: " + err.Error() + "\n"
			case d.Cmd == "eval":
				return printFound(res.Found)
			case d.Cmd == "values":
				return printValues(res.Values)
			}
			return printSeries(res.Series)
		})
	})
}

func parseAndPrint(t *testing.T, text string) string {
	q, err := Parse(text)
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	again, err := Parse(q.String())
	if err != nil || !reflect.DeepEqual(q, again) {
		t.Errorf("%s prints as %s, which reads as something else: %v", text, q, err)
	}
	return q.String() + "\n"
}

func TestRoundTripKeepsMeaning(t *testing.T) {
	// Printing twice gives the same text: the printer reaches its fixed point at once.
	for _, text := range seedQueries {
		q, err := ParseOnly(text)
		if err != nil {
			continue
		}
		again, err := ParseOnly(q.String())
		if err != nil {
			t.Errorf("%s prints as %s: %v", text, q, err)
			continue
		}
		if !reflect.DeepEqual(q, again) {
			t.Errorf("%s prints as %s, which reads as %s", text, q, again)
		}
	}
}

func TestLenientFilter(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := LenientFilter(in); got != want {
			t.Errorf("LenientFilter(%q) = %q, want %q", in, got, want)
		}
	}
	f("", "")
	f("{", "")
	f("{}", "")
	f("not a query", "")
	f("{ .a = 1 }", "{ .a = 1 }")
	f("{ .a = 1 || .b = 2 }", "{ (.a = 1) || (.b = 2) }")
	f("{ .a = }", "")
	f("{ .a = 1 && .b = }", "{ .a = 1 }")
	f("{ .a = 1 && .b", "{ .a = 1 && .b }")
	f(`{ .a = "x" && .b = "unclosed }`, `{ .a = "x" }`)
	f("{ .a = 1 || .b = }", "")
	f("{ .a = 1 } && { .b = 2 }", "")
	f("{ .a = 1 } && {", "")
	f("{ .a = 1 } | count() > 1", "")
	f("{ name = 3 }", "")
}

func TestParseAttribute(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		a, err := ParseAttribute(in)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = a.String()
		}
		if got != want {
			t.Errorf("ParseAttribute(%q) = %q, want %q", in, got, want)
		}
	}
	f(".service.name", ".service.name")
	f(`span."a b"`, `span."a b"`)
	f("span:name", "name")
	f("event:name", "event:name")
	f("service.name", "failed to parse identifier service.name: parse error at line 1, col 2: unknown identifier: service")
	f("span.a = 1", "failed to parse identifier span.a = 1: parse error at line 1, col 9: syntax error: unexpected =, expecting }")
	f("", "failed to parse identifier : parse error at line 1, col 2: syntax error: unexpected }")
}

func TestMatchSpans(t *testing.T) {
	tr := loadTraces(t, fuzzTraces).list[0]
	f := func(filter string, want ...string) {
		t.Helper()
		spans, err := MatchSpans(filter, tr)
		require.NoError(t, err)
		var names []string
		for _, s := range spans {
			names = append(names, s.Name)
		}
		require.Equal(t, want, names)
	}
	f("{ }", "GET", "SEL")
	f("{ status = error }", "SEL")
	f("{ traceDuration > 1s }")
	f(`{ parent.span.b = "x" }`, "SEL")
	for _, text := range []string{"{", "{ } > { }", "{ } | count() > 1", "{ } | rate()", "{ 1 / 0 > 1 }"} {
		_, err := MatchSpans(text, tr)
		require.Error(t, err, text)
	}
}
