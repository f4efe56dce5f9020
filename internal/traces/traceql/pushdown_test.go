package traceql

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/traces"
)

var (
	genAttrs    = []string{".a", "parent.a", "parent.resource.service.name", "span.a", "resource.a", "span.b", "event.a", "link.a", "instrumentation.a", "resource.service.name", ".service.name"}
	genLiterals = []string{"1", "2", "1.0", "2.5", "true", "false", `"x"`, `""`, "`y`", "1ms"}
	genCompare  = []string{"=", "!=", "<", "<=", ">", ">="}
)

// genExpr draws a filter expression; most pass the type checks.
func genExpr(t *rapid.T, depth int) string {
	pick := func(label string, list []string) string { return rapid.SampledFrom(list).Draw(t, label) }
	switch n := rapid.IntRange(0, 12).Draw(t, "expr"); {
	case n < 3 && depth > 0:
		return fmt.Sprintf("(%s) && (%s)", genExpr(t, depth-1), genExpr(t, depth-1))
	case n < 5 && depth > 0:
		return fmt.Sprintf("(%s) || (%s)", genExpr(t, depth-1), genExpr(t, depth-1))
	case n == 5 && depth > 0:
		return "!(" + genExpr(t, depth-1) + ")"
	case n == 6:
		return pick("attr", genAttrs) + pick("regex", []string{` =~ "x|"`, ` !~ "x"`, ` =~ "[xy].*"`})
	case n == 7:
		return pick("attr", genAttrs) + pick("nil", []string{" = nil", " != nil"})
	case n == 8:
		return pick("intrinsic", []string{`name = "x"`, `name != ""`, "status = error", "status != ok", "kind = server",
			"duration > 1ms", "duration <= 2ms", "traceDuration > 1ms", "nestedSetParent = -1", `event:name = "x"`, "span:childCount > 0",
			`trace:id = "61"`, `rootServiceName = "x"`, "parent = nil", `parent != nil`, `span.a != 1 && span.a != 2`, `name !~ "x" && name !~ "y.*"`})
	case n == 9:
		return fmt.Sprintf("%s + %s %s %s", pick("attr", genAttrs), pick("literal", genLiterals[:3]), pick("op", genCompare), pick("literal", genLiterals[:4]))
	case n == 10:
		return fmt.Sprintf("%s %s %s", pick("literal", genLiterals), pick("op", genCompare), pick("attr", genAttrs))
	case n == 11:
		return fmt.Sprintf("%s %s %s", pick("attr", genAttrs), pick("op", genCompare), pick("attr", genAttrs))
	}
	return fmt.Sprintf("%s %s %s", pick("attr", genAttrs), pick("op", genCompare), pick("literal", genLiterals))
}

// genSet draws a span set expression.
func genSet(t *rapid.T, depth int) string {
	if depth == 0 || rapid.Bool().Draw(t, "leaf") {
		return "{ " + genExpr(t, 2) + " }"
	}
	op := rapid.SampledFrom([]string{"&&", "||", ">", "<", ">>", "<<", "~", "!>", "!<<", "!~", "&>", "&>>", "&~"}).Draw(t, "op")
	return "(" + genSet(t, depth-1) + " " + op + " " + genSet(t, depth-1) + ")"
}

func genQuery(t *rapid.T) string {
	q := genSet(t, 2)
	for range rapid.IntRange(0, 2).Draw(t, "stages") {
		q += rapid.SampledFrom([]string{
			" | { " + genExpr(t, 1) + " }", " | count() > 1", " | by(.a)", " | coalesce()", " | select(span.b, .a)",
			" | avg(span.a) >= 1", " | max(duration) > 1ms", " | by(name) | min(span.b * 2) < 3",
		}).Draw(t, "stage")
	}
	return q
}

// genTrace draws the text form of a trace, see loadTraces.
func genTrace(t *rapid.T, name string) string {
	var b strings.Builder
	depth := 1
	for i := range rapid.IntRange(1, 6).Draw(t, "spans") {
		if i > 0 {
			depth = rapid.IntRange(1, depth+1).Draw(t, "depth")
		}
		fmt.Fprintf(&b, "%s %s %s %s %dms+%dms", name, strings.Repeat(".", depth), rapid.SampledFrom([]string{"x", "y", "-"}).Draw(t, "service"),
			rapid.SampledFrom([]string{"x", "y"}).Draw(t, "name"), rapid.IntRange(0, 9).Draw(t, "start"), rapid.IntRange(0, 4).Draw(t, "length"))
		for range rapid.IntRange(0, 5).Draw(t, "fields") {
			field := rapid.SampledFrom([]string{"a=", "b=", "r:a=", "s:a=", "kind:server", "status:error", "e:x@1ms", "l:a", "orphan"}).Draw(t, "field")
			if strings.HasSuffix(field, "=") {
				field += rapid.SampledFrom([]string{"1", "2", "1.0", "2.5", "true", "false", "x", "y", "[1,2]", "[x,y]", "[2.5]", "opaque"}).Draw(t, "value")
			}
			if field == "e:x@1ms" || field == "l:a" {
				field += " " + field[:2] + "a=" + rapid.SampledFrom([]string{"1", "2.5", "x", "[1,2]"}).Draw(t, "child")
			}
			b.WriteString(" " + field)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestPushDown: a head, which leaves out what the conditions allow, gives the same answers as a
// source that leaves out nothing.
func TestPushDown(t *testing.T) {
	engine := NewEngine(Options{})
	rapid.Check(t, func(rt *rapid.T) {
		var text string
		for i := range rapid.IntRange(1, 3).Draw(rt, "traces") {
			text += genTrace(rt, string(rune('a'+i)))
		}
		head := traces.NewHead(traces.HeadOptions{})
		all := &memory{}
		for _, tr := range loadTraces(t, text).list {
			raw := traces.ToOTLP(tr)
			if _, err := head.Append(&traces.Batch{OTLP: raw, Spans: len(tr.Spans)}); err != nil {
				rt.Fatal(err)
			}
			decoded, err := traces.DecodeOTLP(raw)
			if err != nil {
				rt.Fatal(err)
			}
			all.list = append(all.list, decoded...)
		}
		source := traces.NewSource(func(context.Context, string, uint64, uint64) ([]traces.Part, error) { return []traces.Part{head}, nil })
		for range 20 {
			expr := genQuery(rt)
			if _, err := Parse(expr); err != nil {
				continue
			}
			q := &traces.Query{Kind: traces.Search, Expr: expr, SpansPerSpanSet: 10}
			want, werr := engine.Run(context.Background(), "t", q, all)
			got, gerr := engine.Run(context.Background(), "t", q, source)
			if werr != nil || gerr != nil {
				continue // a division by zero may hide behind a condition
			}
			if !reflect.DeepEqual(want.Found, got.Found) {
				rt.Fatalf("%s\n%s\nwith conditions:\n%swithout:\n%s", expr, text, printFound(got.Found), printFound(want.Found))
			}
		}
	})
}

// TestPrintGenerated: queries of every shape print to text that reads the same.
func TestPrintGenerated(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := genQuery(rt)
		q, err := ParseOnly(text)
		if err != nil {
			rt.Fatalf("%s: %v", text, err)
		}
		again, err := ParseOnly(q.String())
		if err != nil || !reflect.DeepEqual(q, again) {
			rt.Fatalf("%s prints as %s: %v", text, q, err)
		}
	})
}
