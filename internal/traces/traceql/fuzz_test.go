package traceql

import (
	"context"
	"reflect"
	"testing"

	"github.com/hune-io/hune/internal/traces"
)

var seedQueries = []string{
	"{ }", "{ .a = 1 }", `{ span."a b" =~ "x.*" && duration > 1h30m }`, "{ .a } >> { .b } && ({ .c } !~ { .d })",
	"{ .a = 1 } | count() > 2 | by(.b) | coalesce() | select(.c, name)", "{ } | rate() by (.a) > 1 | topk(3)",
	"{ } | quantile_over_time(duration, .5, 0.9)", "{ } | compare({ status = error }, 3, 1, 2)", "1 < count()",
	"({ .a } | count() > 1) || ({ .b } | avg(.x) = 2.5)", "{ -2 ^ 2 = -4 || !(.a) }", "{ parent.span.x = nil }",
	"{ .a = maxInt } with (most_recent=true, x=-1.5)", "({ } | count()) > 3", "{ .a = `\"` /* c */ } // d",
	"{ event:name = 'x' }", "{ span:id = \"a\" && link:spanID != \"\" }", "by(.a)", "{ .a = 1.5e300 && .b = 2d }",
	"{ .5x = 1 }", "{ .\"5x\" = 1 && parent.\"span.a\" = 2 }", "{ (-1) ^ 2 = 1 }", "{} | min(duration) > -1ms",
}

var fuzzTraces = `
a . web  GET 0ms+100ms kind:server a=1 b=x r:region=eu tags=[red,green]
a .. db  SEL 20ms+30ms status:error a=2.5 e:exception@5ms e:type=Deadlock l:b
b . web  GET 1000ms+10ms a=true
b .. -   job 1002ms+0ms orphan a=-3`

// FuzzParse: no input panics, what is read prints to text that reads the same, and what passes the
// checks runs.
func FuzzParse(f *testing.F) {
	for _, q := range seedQueries {
		f.Add(q)
	}
	source := loadTraces(f, fuzzTraces)
	engine := NewEngine(Options{})
	f.Fuzz(func(t *testing.T, text string) {
		_ = LenientFilter(text)
		_, _ = ParseAttribute(text)
		q, err := ParseOnly(text)
		if err != nil {
			return
		}
		printed := q.String()
		again, err := ParseOnly(printed)
		if err != nil {
			t.Fatalf("%q prints as %q: %v", text, printed, err)
		}
		if !reflect.DeepEqual(q, again) {
			t.Fatalf("%q prints as %q, which reads as %q", text, printed, again)
		}
		if Check(q) != nil {
			return
		}
		kind := traces.Search
		if q.IsMetrics() {
			kind = traces.MetricsInstant
		}
		_, _ = engine.Run(context.Background(), "t", &traces.Query{Kind: kind, Expr: text, Start: epoch - 1, End: epoch + 1e10}, source)
	})
}
