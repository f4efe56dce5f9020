package logql

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/logs"
)

var (
	askedLabels = []string{"a", "b", "status", "lat", "level", "app", "pod", "a_b", "_9k", "_", "a_extracted", "level_extracted", "b_c", "trace", "nothing", "msg"}
	askedTexts  = []string{"", "error", "x", "200", "503", "é", "null", "1", "say", "info", "A"}
)

func pick(t *rapid.T, from []string) string { return rapid.SampledFrom(from).Draw(t, "pick") }

func genLabelFilter(t *rapid.T, depth int) string {
	name := rapid.SampledFrom(askedLabels).Draw(t, "label")
	cmp := rapid.SampledFrom([]string{"==", "!=", ">", ">=", "<", "<="}).Draw(t, "comparison")
	switch rapid.IntRange(0, 11).Draw(t, "filter") {
	case 0, 1, 2:
		return name + rapid.SampledFrom([]string{"=", "!="}).Draw(t, "match") + strconv.Quote(pick(t, askedTexts))
	case 3:
		return name + rapid.SampledFrom([]string{"=~", "!~"}).Draw(t, "match") + "`" + pick(t, []string{".+", "err.*|x", "5..", "", "[0-9]+", ".*\n?"}) + "`"
	case 4, 5, 6:
		return name + " " + cmp + " " + pick(t, []string{"0", "200", "400", "12.5", "1000", "-1", "9007199254740992"})
	case 7:
		return name + " " + cmp + " " + pick(t, []string{"10ms", "1s", "2m"})
	case 8:
		return name + " " + cmp + " " + pick(t, []string{"1KB", "2MiB", "200B"})
	case 9:
		return name + rapid.SampledFrom([]string{" = ", " != "}).Draw(t, "match") + `ip("10.0.0.0/8")`
	case 10:
		return "__error__" + rapid.SampledFrom([]string{`=""`, `!=""`, `=~".+"`, `!="JSONParserErr"`}).Draw(t, "error filter")
	}
	if depth > 1 {
		return name + `="x"`
	}
	return genLabelFilter(t, depth+1) + rapid.SampledFrom([]string{" and ", " or ", ", "}).Draw(t, "join") + genLabelFilter(t, depth+1)
}

func genParser(t *rapid.T) string {
	switch rapid.IntRange(0, 11).Draw(t, "parser") {
	case 0, 1, 2, 3:
		return "| json"
	case 4:
		return "| json " + pick(t, []string{`b="a.b"`, `status="status", b="b"`, `x="a[0]"`, `a="lat", b="nothing"`, `a="a", b="a.b"`, `lat`, `msg="[\"a.b\"]"`})
	case 5, 6:
		return "| logfmt"
	case 7:
		return "| logfmt " + pick(t, []string{"--strict", "--keep-empty", `b="a"`, `status, lat`, `a="lat", b="nothing"`, `--keep-empty a, b`})
	case 8:
		return "| pattern `" + pick(t, []string{"<a> <b>", "GET <a> <_> <b> in <lat>ms", "<_>took <a> in <b>ms", `{"a":<a>,<b>}`}) + "`"
	case 9:
		return "| regexp `" + pick(t, []string{`(?P<a>\w+) in (?P<lat>[0-9.]+)ms`, `"a":"(?P<a>[^"]*)"`, `a=(?P<a>\S+)`}) + "`"
	}
	return "| unpack"
}

func genLineFilter(t *rapid.T) string {
	switch rapid.IntRange(0, 5).Draw(t, "line filter") {
	case 0:
		return "|> `" + pick(t, []string{"<_>error<_>", "GET <_> in <_>ms", `{<_>"a"<_>`, "<_>=<_>"}) + "`"
	case 1:
		return "!> `" + pick(t, []string{"<_>error<_>", "GET <_> in <_>ms", "<_>:<_>"}) + "`" + rapid.SampledFrom([]string{"", " or `<_>x`"}).Draw(t, "or")
	case 2:
		return rapid.SampledFrom([]string{"|~", "!~"}).Draw(t, "match") + " `" + pick(t, []string{"err|x", `\d{3}`, "(?i)ERROR", `"a":`, "^a"}) + "`"
	case 3:
		return rapid.SampledFrom([]string{"|=", "!="}).Draw(t, "match") + ` ip("10.0.0.0/8")`
	}
	return rapid.SampledFrom([]string{"|=", "!="}).Draw(t, "match") + " " + strconv.Quote(pick(t, []string{"error", "a", "5", "", "é"})) +
		rapid.SampledFrom([]string{"", "", ` or "503"`}).Draw(t, "or")
}

func genStages(t *rapid.T, log bool) string {
	var b strings.Builder
	if rapid.Bool().Draw(t, "parser first") {
		b.WriteString(" " + genParser(t))
	}
	for range rapid.IntRange(0, 4).Draw(t, "stages") {
		b.WriteByte(' ')
		switch rapid.IntRange(0, 13).Draw(t, "stage") {
		case 0:
			b.WriteString(genParser(t))
		case 3:
			b.WriteString(genLineFilter(t))
		case 4:
			b.WriteString("| " + pick(t, []string{"drop __error__", "drop __error__, __error_details__", "drop a, lat", `drop level="error"`, `drop __error__="LabelFilterErr"`}))
		case 5:
			b.WriteString("| keep " + pick(t, []string{"a, b", `level="error", status`, "lat"}))
		case 6:
			b.WriteString("| " + pick(t, []string{"line_format `{{.a}} {{.b}}`", "label_format a=b", "label_format status=`{{.lat}}`", "label_format x=`{{ .a | int | div 0 }}`", "decolorize"}))
		case 7:
			if log {
				b.WriteString("| distinct a")
			}
		default:
			b.WriteString("| " + genLabelFilter(t, 0))
		}
	}
	return b.String()
}

func genGrouping(t *rapid.T) string {
	return rapid.SampledFrom([]string{"", " by ()", " by (a)", " by (level)", " by (status, app)", " by (a_extracted, b)", " by (nothing)", " without (app)", " without (a, level)", " by (trace, pod)"}).Draw(t, "grouping")
}

func genMetric(t *rapid.T, ordered bool) string {
	stages := genStages(t, false)
	selector := pick(t, []string{`{app=~".+"}`, `{app="a"}`, `{app="a", level=""}`})
	window := pick(t, []string{"[10s]", "[1m]", "[1s]", "[1m] offset 5s"})
	q := ""
	if rapid.Bool().Draw(t, "unwrap") {
		op := pick(t, []string{OpSum, OpAvg, OpMin, OpMax, OpStddev, OpStdvar, "quantile_over_time", OpFirst, OpLast, OpRate, OpRateCounter, OpAbsent})
		u := pick(t, []string{"lat", "a", "status", "b", "duration(lat)", "bytes(b)", "duration_seconds(a)", "a_b", "level"})
		after := pick(t, []string{"", "", ` | __error__=""`, ` | __error__!=""`, " | a > 1", ` | level="error"`})
		arg := ""
		if op == OpQuantile {
			arg = "0.9, "
		}
		q = op + "(" + arg + selector + stages + " | unwrap " + u + after + " " + window + ")"
		if op != OpSum && op != OpRate && op != OpRateCounter && op != OpAbsent {
			q += genGrouping(t)
		}
	} else {
		op := pick(t, []string{OpCount, OpCount, OpRate, OpBytes, OpBytesRate, OpAbsent})
		q = op + "(" + selector + stages + " " + window + ")"
	}
	switch n := rapid.IntRange(0, 4).Draw(t, "around"); {
	case n == 0:
		return q
	case n == 1 && ordered:
		return "topk(2, " + q + ")"
	}
	return "sum" + genGrouping(t) + " (" + q + ")"
}

// TestPushdown: what columns answer is what the stages say of each row.
func TestPushdown(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		// Which of equal series topk takes follows the order of their first rows, and that of rows of one
		// instant may be lost between pages.
		distinct := rapid.Bool().Draw(t, "distinct times")
		rows := dice{rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))}.rows(distinct)
		at, err := os.MkdirTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(at)
		src := sourceOf(partsOf(t, at, rows)...)
		for range 12 {
			compareAnswers(t, genQuery(t, distinct), src, rows)
		}
	})
}

// genQuery draws a query. ordered: it may depend on which of two rows of one instant comes first.
func genQuery(t *rapid.T, ordered bool) *logs.Query {
	q := &logs.Query{Kind: logs.Range, Start: 0, End: int64(rapid.SampledFrom([]int{20e9, 100e9, 1000e9}).Draw(t, "end")),
		AutoFields: rapid.IntRange(0, 3).Draw(t, "auto fields") == 0}
	if !rapid.Bool().Draw(t, "metric") {
		q.Expr = pick(t, []string{`{app=~".+"}`, `{app="a"}`}) + genStages(t, true)
		q.Limit = rapid.SampledFrom([]int{1, 5, 1000}).Draw(t, "limit")
		q.Direction = rapid.SampledFrom([]logs.Direction{logs.Forward, logs.Backward}).Draw(t, "direction")
		return q
	}
	q.Expr, q.Step = genMetric(t, ordered), int64(rapid.SampledFrom([]int{1e9, 7e9, 60e9}).Draw(t, "step"))
	if rapid.IntRange(0, 4).Draw(t, "instant") == 0 {
		q.Kind, q.Start = logs.Instant, q.End
	}
	return q
}

// compareAnswers runs q with and without columns.
func compareAnswers(t interface {
	Fatalf(string, ...any)
}, q *logs.Query, src logs.Source, rows []row) {
	limits := func(string) Limits { return Limits{MaxSeries: 10000} }
	want, wantErr := NewEngine(Options{Limits: limits, NoPushdown: true}).Run(context.Background(), "t", q, src)
	got, err := NewEngine(Options{Limits: limits}).Run(context.Background(), "t", q, src)
	if fmt.Sprint(err) != fmt.Sprint(wantErr) {
		t.Fatalf("%s\n%s\nerror: %v\nwant:  %v", q.Expr, rowsText(rows), err, wantErr)
	}
	sameAnswers(t, q, got, want, err, rows)
}

// sameAnswers compares answers that came without an error.
func sameAnswers(t interface {
	Fatalf(string, ...any)
}, q *logs.Query, got, want *logs.Result, err error, rows []row) {
	if err != nil {
		return
	}
	if a, b := answerText(got), answerText(want); a != b {
		t.Fatalf("%s\n%s\ngot:\n%s\nwant:\n%s", q.Expr, rowsText(rows), a, b)
	}
	sameSamples(t, q.Expr, got, want)
}

func rowsText(rows []row) string {
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "%s %d %v %q\n", r.labels, r.ts, r.metadata, r.line)
	}
	return b.String()
}

// answerText prints all of an answer but values of samples.
func answerText(res *logs.Result) string {
	var b strings.Builder
	for _, s := range res.Streams {
		fmt.Fprintf(&b, "%s\n", labelText(s.Labels))
		for _, e := range s.Entries {
			fmt.Fprintf(&b, "  %d %q %v %v\n", e.Timestamp, e.Line, e.Metadata, e.Parsed)
		}
	}
	for _, s := range res.Matrix {
		fmt.Fprintf(&b, "%s", labelText(s.Labels))
		for _, p := range s.Points {
			fmt.Fprintf(&b, " %d=%.6g", p.T, p.V)
		}
		b.WriteString("\n")
	}
	for _, s := range res.Vector {
		fmt.Fprintf(&b, "%s %d=%.6g\n", labelText(s.Labels), s.T, s.V)
	}
	return b.String()
}

func sameSamples(t interface{ Fatalf(string, ...any) }, expr string, got, want *logs.Result) {
	same := func(ls labels.Labels, a, b float64) {
		if a != b && !(math.IsNaN(a) && math.IsNaN(b)) && math.Abs(a-b) > 1e-9*math.Max(math.Abs(a), math.Abs(b)) {
			t.Fatalf("%s: %s is %v, want %v", expr, ls, a, b)
		}
	}
	for i, s := range got.Matrix {
		for k, p := range s.Points {
			same(s.Labels, p.V, want.Matrix[i].Points[k].V)
		}
	}
	for i, s := range got.Vector {
		same(s.Labels, s.V, want.Vector[i].V)
	}
}
