package traceql

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/traces"
)

// This file is a second evaluator of pipelines and metrics: loops over lists of spans, word by word from what the
// language says. It shares nothing with the engine, not even the parser: queries are drawn as text together with
// what they mean.

// naiveSpan is a span as the naive evaluator sees it.
type naiveSpan struct {
	trace, id        int
	service, name, g string // g: span.g, "" for none
	status           string
	start, duration  int64 // nanoseconds, start since epoch
	n                int64 // span.n where hasN
	f                float64
	hasN, hasF, hasG bool
	kindServer       bool
}

// naiveValue is a value: text where it is no number.
type naiveValue struct {
	text     string
	number   float64
	isNumber bool
	integer  bool // it prints without a fraction, and its average doesn't
	duration bool
}

func naiveText(s string) naiveValue { return naiveValue{text: s} }
func naiveInt(n int64) naiveValue {
	return naiveValue{number: float64(n), isNumber: true, integer: true, text: strconv.FormatInt(n, 10)}
}
func naiveFloat(f float64) naiveValue {
	return naiveValue{number: f, isNumber: true, text: strconv.FormatFloat(f, 'g', -1, 64)}
}

func naiveDuration(n int64) naiveValue {
	v := naiveInt(n)
	v.duration, v.text = true, time.Duration(n).String()
	return v
}

var missing = naiveText("nil")

type naiveExpr struct {
	text string
	of   func(*naiveSpan) naiveValue
}

var (
	naiveN = naiveExpr{"span.n", func(s *naiveSpan) naiveValue {
		if !s.hasN {
			return missing
		}
		return naiveInt(s.n)
	}}
	naiveF = naiveExpr{"span.f", func(s *naiveSpan) naiveValue {
		if !s.hasF {
			return missing
		}
		return naiveFloat(s.f)
	}}
	naiveG = naiveExpr{"span.g", func(s *naiveSpan) naiveValue {
		if !s.hasG {
			return missing
		}
		return naiveText(s.g)
	}}
	naiveTook   = naiveExpr{"duration", func(s *naiveSpan) naiveValue { return naiveDuration(s.duration) }}
	naiveGroups = []naiveExpr{{"name", func(s *naiveSpan) naiveValue { return naiveText(s.name) }}, {"status", func(s *naiveSpan) naiveValue { return naiveText(s.status) }},
		{"resource.service.name", func(s *naiveSpan) naiveValue { return naiveText(s.service) }}, naiveG, naiveN}
	naiveNumbers = []naiveExpr{naiveN, naiveF, naiveTook}
)

// naiveFilter is a condition with its meaning.
type naiveFilter struct {
	text string
	test func(*naiveSpan) bool
}

var naiveFilters = []naiveFilter{
	{"true", func(*naiveSpan) bool { return true }},
	{`name = "x"`, func(s *naiveSpan) bool { return s.name == "x" }},
	{`name != "x"`, func(s *naiveSpan) bool { return s.name != "x" }},
	{"status = error", func(s *naiveSpan) bool { return s.status == "error" }},
	{"kind = server", func(s *naiveSpan) bool { return s.kindServer }},
	{"duration > 5ms", func(s *naiveSpan) bool { return s.duration > 5e6 }},
	{"span.n > 3", func(s *naiveSpan) bool { return s.hasN && s.n > 3 }},
	{"span.n != 4", func(s *naiveSpan) bool { return s.hasN && s.n != 4 }},
	{"span.f <= 1.5", func(s *naiveSpan) bool { return s.hasF && s.f <= 1.5 }},
	{`span.g = "u"`, func(s *naiveSpan) bool { return s.hasG && s.g == "u" }},
	{`span.g != "u"`, func(s *naiveSpan) bool { return s.hasG && s.g != "u" }},
	{`span.g =~ "u|v"`, func(s *naiveSpan) bool { return s.g == "u" || s.g == "v" }},
	{"span.g != nil", func(s *naiveSpan) bool { return s.hasG }},
	{`resource.service.name = "web"`, func(s *naiveSpan) bool { return s.service == "web" }},
}

func drawFilter(t *rapid.T) naiveFilter {
	a := rapid.SampledFrom(naiveFilters).Draw(t, "filter")
	switch rapid.IntRange(0, 3).Draw(t, "combine") {
	case 0:
		b := drawFilter(t)
		return naiveFilter{"(" + a.text + " && " + b.text + ")", func(s *naiveSpan) bool { return a.test(s) && b.test(s) }}
	case 1:
		b := drawFilter(t)
		return naiveFilter{"(" + a.text + " || " + b.text + ")", func(s *naiveSpan) bool { return a.test(s) || b.test(s) }}
	}
	return a
}

// drawNaive draws traces, for both evaluators.
func drawNaive(t *rapid.T) (spans []*naiveSpan, source *memory) {
	source = &memory{}
	for trace := range rapid.IntRange(1, 4).Draw(t, "traces") {
		tr := &traces.Trace{ID: traceID(string(rune('a' + trace)))}
		for i := range rapid.IntRange(1, 8).Draw(t, "spans") {
			n := &naiveSpan{trace: trace, id: 100*(trace+1) + i,
				service: rapid.SampledFrom([]string{"web", "api", ""}).Draw(t, "service"), name: rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "name"),
				status: rapid.SampledFrom([]string{"unset", "ok", "error"}).Draw(t, "status"), kindServer: rapid.Bool().Draw(t, "server"),
				start: 1e6 * int64(rapid.IntRange(1, 30_000).Draw(t, "start")), duration: rapid.SampledFrom([]int64{0, 1, 2, 3, 5e6, 5e6 + 1, 8e6, 1e9}).Draw(t, "duration"),
				hasN: rapid.Bool().Draw(t, "has n"), hasF: rapid.Bool().Draw(t, "has f"), hasG: rapid.Bool().Draw(t, "has g")}
			s := &traces.Span{Order: uint32(i), ID: spanID(n.id), Name: n.name, Status: traces.Status(indexOf(statusNames, n.status)), Kind: traces.Kind(indexOf(kindNames, "client")),
				Start: epoch + uint64(n.start), End: epoch + uint64(n.start+n.duration), Resource: &traces.Resource{ServiceName: n.service}, Scope: &traces.Scope{}}
			if n.service != "" {
				s.Resource.Attributes = []traces.Attribute{{Key: "service.name", Str: n.service}}
			}
			if n.kindServer {
				s.Kind = traces.KindServer
			}
			if n.hasN {
				n.n = int64(rapid.IntRange(-3, 20).Draw(t, "n"))
				s.Attributes = append(s.Attributes, traces.Attribute{Key: "n", Type: traces.TypeInt, Int: n.n})
			}
			if n.hasF {
				n.f = float64(rapid.IntRange(-8, 8).Draw(t, "f")) / 4
				s.Attributes = append(s.Attributes, traces.Attribute{Key: "f", Type: traces.TypeFloat, Float: n.f})
			}
			if n.hasG {
				n.g = rapid.SampledFrom([]string{"u", "v", "w"}).Draw(t, "g")
				s.Attributes = append(s.Attributes, traces.Attribute{Key: "g", Str: n.g})
			}
			spans = append(spans, n)
			tr.Spans = append(tr.Spans, s)
		}
		source.list = append(source.list, tr)
	}
	return spans, source
}

// naiveSet is spans of a trace with what stages said of them.
type naiveSet struct {
	spans []*naiveSpan
	notes []string
}

type naiveStage struct {
	text string
	run  func([]naiveSet) []naiveSet
}

func stageOf(f naiveFilter) naiveStage {
	return naiveStage{"{ " + f.text + " }", func(in []naiveSet) (out []naiveSet) {
		for _, set := range in {
			kept := naiveSet{notes: set.notes}
			for _, s := range set.spans {
				if f.test(s) {
					kept.spans = append(kept.spans, s)
				}
			}
			if len(kept.spans) > 0 {
				out = append(out, kept)
			}
		}
		return out
	}}
}

func groupBy(e naiveExpr) naiveStage {
	name := "by(" + e.text + ")"
	return naiveStage{name, func(in []naiveSet) (out []naiveSet) {
		for _, set := range in {
			for _, first := range set.spans {
				group := naiveSet{notes: append(slices.Clone(set.notes), name+"="+e.of(first).text)}
				for _, s := range set.spans {
					if e.of(s) == e.of(first) {
						group.spans = append(group.spans, s)
					}
				}
				if group.spans[0] == first { // else it was made before
					out = append(out, group)
				}
			}
		}
		return out
	}}
}

var naiveCompare = map[string]func(a, b float64) bool{
	">": func(a, b float64) bool { return a > b }, "<": func(a, b float64) bool { return a < b }, ">=": func(a, b float64) bool { return a >= b },
	"<=": func(a, b float64) bool { return a <= b }, "=": func(a, b float64) bool { return a == b }, "!=": func(a, b float64) bool { return a != b },
}

// naiveAggregate is an aggregate of the values that are numbers; ok is false where none is.
func naiveAggregate(fn string, values []naiveValue) (v naiveValue, ok bool) {
	var numbers []naiveValue
	for _, v := range values {
		if v.isNumber {
			numbers = append(numbers, v)
		}
	}
	if len(numbers) == 0 {
		return v, false
	}
	sum, best := 0.0, numbers[0]
	for _, v := range numbers {
		sum += v.number
		if fn == "min" && v.number < best.number || fn == "max" && v.number > best.number {
			best = v
		}
	}
	switch {
	case fn == "min" || fn == "max":
		return best, true
	case fn == "avg" && numbers[0].duration:
		return naiveDuration(int64(sum) / int64(len(numbers))), true
	case fn == "avg":
		return naiveFloat(sum / float64(len(numbers))), true
	case numbers[0].duration:
		return naiveDuration(int64(sum)), true
	case numbers[0].integer:
		return naiveInt(int64(sum)), true
	}
	return naiveFloat(sum), true
}

func drawAggregate(t *rapid.T) naiveStage {
	op := rapid.SampledFrom([]string{">", "<", ">=", "<=", "=", "!="}).Draw(t, "op")
	fn := rapid.SampledFrom([]string{"count", "avg", "min", "max", "sum"}).Draw(t, "aggregate")
	if fn == "count" {
		limit := rapid.IntRange(0, 4).Draw(t, "limit")
		return naiveStage{fmt.Sprintf("count() %s %d", op, limit), func(in []naiveSet) (out []naiveSet) {
			for _, set := range in {
				if naiveCompare[op](float64(len(set.spans)), float64(limit)) {
					out = append(out, naiveSet{set.spans, append(slices.Clone(set.notes), fmt.Sprintf("count()=%d", len(set.spans)))})
				}
			}
			return out
		}}
	}
	e := rapid.SampledFrom(naiveNumbers).Draw(t, "of")
	limit, text := float64(rapid.IntRange(-2, 12).Draw(t, "limit")), ""
	if text = strconv.Itoa(int(limit)); e.text == "duration" {
		limit, text = 5e6, "5ms"
	}
	name := fn + "(" + e.text + ")"
	return naiveStage{name + " " + op + " " + text, func(in []naiveSet) (out []naiveSet) {
		for _, set := range in {
			var values []naiveValue
			for _, s := range set.spans {
				values = append(values, e.of(s))
			}
			if v, ok := naiveAggregate(fn, values); ok && naiveCompare[op](v.number, limit) {
				out = append(out, naiveSet{set.spans, append(slices.Clone(set.notes), name+"="+v.text)})
			}
		}
		return out
	}}
}

// coalesce joins the sets of a trace; what was said of them is no longer true of it.
var coalesceNaive = naiveStage{"coalesce()", func(in []naiveSet) []naiveSet {
	if len(in) == 0 {
		return nil
	}
	one := naiveSet{}
	for _, set := range in {
		one.spans = append(one.spans, set.spans...)
	}
	slices.SortFunc(one.spans, func(a, b *naiveSpan) int { return a.id - b.id })
	one.spans = slices.Compact(one.spans)
	return []naiveSet{one}
}}

// naivePrint is a set as text, with the values of some expressions at each span.
func naivePrint(trace int, ids []string, notes []string) string {
	slices.Sort(ids)
	return fmt.Sprintf("%c: %s | %s", 'a'+trace, strings.Join(ids, " "), strings.Join(notes, " "))
}

// TestNaivePipelines: filters, by, aggregates, coalesce and select find and say what the naive evaluator does.
func TestNaivePipelines(t *testing.T) {
	engine := NewEngine(Options{})
	found := 0
	rapid.Check(t, func(rt *rapid.T) {
		spans, source := drawNaive(rt)
		for range 10 {
			stages := []naiveStage{stageOf(drawFilter(rt))}
			for range rapid.IntRange(0, 3).Draw(rt, "stages") {
				switch rapid.IntRange(0, 4).Draw(rt, "stage") {
				case 0:
					stages = append(stages, groupBy(rapid.SampledFrom(naiveGroups).Draw(rt, "by")))
				case 1:
					stages = append(stages, coalesceNaive)
				case 2:
					stages = append(stages, stageOf(drawFilter(rt)))
				default:
					stages = append(stages, drawAggregate(rt))
				}
			}
			var texts, want []string
			for _, s := range stages {
				texts = append(texts, s.text)
			}
			expr := strings.Join(texts, " | ") + " | select(span.n, span.g)"
			for trace := range source.list {
				sets := []naiveSet{{}}
				for _, s := range spans {
					if s.trace == trace {
						sets[0].spans = append(sets[0].spans, s)
					}
				}
				for _, stage := range stages {
					sets = stage.run(sets)
				}
				for _, set := range sets {
					var ids []string
					for _, s := range set.spans {
						ids = append(ids, fmt.Sprintf("%d n=%s g=%s", s.id, naiveN.of(s).text, naiveG.of(s).text))
					}
					want = append(want, naivePrint(trace, ids, set.notes))
				}
			}
			got := enginePrint(t, rt, engine, expr, source)
			slices.Sort(want)
			if !slices.Equal(want, got) {
				rt.Fatalf("%s\nengine:\n%s\nby definition:\n%s", expr, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			found += len(want)
		}
	})
	require.Greater(t, found, 100)
}

func enginePrint(t *testing.T, rt *rapid.T, engine *Engine, expr string, source *memory) (out []string) {
	r, err := engine.Run(t.Context(), "t", &traces.Query{Kind: traces.Search, Expr: expr, Limit: 100, SpansPerSpanSet: 100}, source)
	if err != nil {
		rt.Fatalf("%s: %v", expr, err)
	}
	for _, f := range r.Found {
		for _, set := range f.SpanSets {
			var ids, notes []string
			for _, s := range set.Spans {
				n, g := "nil", "nil"
				for _, a := range s.Attributes {
					switch a.Key {
					case "n":
						n = printAttribute(&a)
					case "g":
						g = printAttribute(&a)
					}
				}
				ids = append(ids, fmt.Sprintf("%d n=%s g=%s", int(s.ID[6])<<8|int(s.ID[7]), n, g))
			}
			for _, a := range set.Attributes {
				notes = append(notes, a.Key+"="+printAttribute(&a))
			}
			out = append(out, naivePrint(int(f.ID[15]-'a'), ids, notes))
		}
	}
	slices.Sort(out)
	return out
}

func printAttribute(a *traces.Attribute) string {
	switch a.Type {
	case traces.TypeInt:
		return strconv.FormatInt(a.Int, 10)
	case traces.TypeFloat:
		return strconv.FormatFloat(a.Float, 'g', -1, 64)
	}
	return a.Str
}

// naiveSeries counts what a metrics function says of some spans: the value of each step that has one, by label. Steps
// end at their edges and hold them. A count of everything (always) is there even if there is nothing.
func naiveSeries(always bool, fn string, of *naiveExpr, quantile float64, spans []*naiveSpan, step int64, edges []int64) map[string]map[int64]float64 {
	out := map[string]map[int64]float64{}
	in := func(s *naiveSpan, edge int64) bool { return s.start > edge-step && s.start <= edge }
	set := func(label string, edge int64, v float64) {
		if out[label] == nil {
			out[label] = map[int64]float64{}
		}
		out[label][edge] = v
	}
	// Buckets are powers of two: bucket b holds what is above 2^(b-1) and up to 2^b.
	bucket := func(v naiveValue) int {
		if !v.integer || v.number < 2 {
			return -1
		}
		b := 1
		for math.Pow(2, float64(b)) < v.number {
			b++
		}
		return b
	}
	scale := func(v float64) float64 {
		if of != nil && of.text == "duration" {
			return v / 1e9
		}
		return v
	}
	seen := map[int]bool{}
	any := of == nil && always
	for _, s := range spans {
		for _, edge := range edges {
			if in(s, edge) && of != nil {
				seen[bucket(of.of(s))] = true
				any = any || of.of(s).isNumber
			}
			any = any || in(s, edge) && of == nil
		}
	}
	for _, edge := range edges {
		var values []naiveValue
		var buckets []int
		count := 0
		for _, s := range spans {
			if !in(s, edge) {
				continue
			}
			count++
			if of != nil {
				values = append(values, of.of(s))
				if b := bucket(of.of(s)); b > 0 {
					buckets = append(buckets, b)
				}
			}
		}
		slices.Sort(buckets)
		switch fn {
		case "rate":
			if any {
				set("", edge, float64(count)/(float64(step)/1e9))
			}
		case "count_over_time":
			if any {
				set("", edge, float64(count))
			}
		case "histogram_over_time":
			for b := range seen {
				n := 0
				for _, x := range buckets {
					if x == b {
						n++
					}
				}
				if b > 0 {
					set("__bucket="+strconv.FormatFloat(scale(math.Pow(2, float64(b))), 'g', 6, 64), edge, float64(n))
				}
			}
		case "quantile_over_time":
			delete(seen, -1)
			if len(seen) == 0 {
				continue
			}
			v := 0.0
			if len(buckets) > 0 {
				rank := max(1, int(math.Ceil(quantile*float64(len(buckets)))))
				b := buckets[rank-1]
				before, among, low := 0, 0, b-1
				for _, x := range buckets {
					switch {
					case x < b:
						before, low = before+1, x
					case x == b:
						among++
					}
				}
				v = scale(math.Pow(2, float64(low)+float64(b-low)*float64(rank-before)/float64(among)))
			}
			set("p="+strconv.FormatFloat(quantile, 'g', 6, 64), edge, v)
		default:
			aggregate := strings.TrimSuffix(fn, "_over_time")
			if v, ok := naiveAggregate(aggregate, values); ok {
				n := v.number
				if aggregate == "avg" { // of durations too without rounding
					sum, k := 0.0, 0.0
					for _, v := range values {
						if v.isNumber {
							sum, k = sum+v.number, k+1
						}
					}
					n = sum / k
				}
				set("", edge, scale(n))
			}
		}
	}
	return out
}

// TestNaiveMetrics: metrics functions count what the naive evaluator counts.
func TestNaiveMetrics(t *testing.T) {
	engine := NewEngine(Options{})
	series := 0
	rapid.Check(t, func(rt *rapid.T) {
		spans, source := drawNaive(rt)
		for range 10 {
			f := drawFilter(rt)
			fn := rapid.SampledFrom([]string{"rate", "count_over_time", "min_over_time", "max_over_time", "avg_over_time", "sum_over_time", "quantile_over_time", "histogram_over_time"}).Draw(rt, "function")
			var of *naiveExpr
			args, quantile := "", 0.0
			if fn != "rate" && fn != "count_over_time" {
				of = &naiveNumbers[rapid.IntRange(0, 2).Draw(rt, "of")]
				args = of.text
			}
			if fn == "quantile_over_time" {
				quantile = rapid.SampledFrom([]float64{0, .25, .5, .9, 1}).Draw(rt, "quantile")
				args += ", " + strconv.FormatFloat(quantile, 'f', -1, 64)
			}
			by := rapid.SampledFrom(append([]naiveExpr{{}}, naiveGroups...)).Draw(rt, "by")
			expr := "{ " + f.text + " } | " + fn + "(" + args + ")"
			groups := map[string][]*naiveSpan{}
			if by.of == nil {
				groups[""] = nil
			}
			for _, s := range spans {
				if !f.test(s) {
					continue
				}
				key := ""
				if by.of != nil {
					key = by.text + "=" + by.of(s).text
				}
				groups[key] = append(groups[key], s)
			}
			if by.of != nil {
				expr += " by (" + by.text + ")"
			}
			step := rapid.SampledFrom([]int64{1e9, 3e9, 10e9, 30e9}).Draw(rt, "step")
			// Edges are multiples of the step since 1970, from the start outwards.
			first := int64(epoch) / step * step
			var edges []int64
			for edge := first; ; edge += step {
				edges = append(edges, edge-int64(epoch))
				if edge >= int64(epoch)+30e9 {
					break
				}
			}
			want := map[string]float64{}
			for key, list := range groups {
				for label, points := range naiveSeries(by.of == nil, fn, of, quantile, list, step, edges) {
					for edge, v := range points {
						want[fmt.Sprintf("{%s %s} %d", key, label, (edge+int64(epoch))/1e6)] = v
					}
				}
			}
			got := engineSeries(t, rt, engine, &traces.Query{Kind: traces.MetricsRange, Expr: expr, Start: epoch, End: epoch + 30e9, Step: uint64(step)}, source)
			same := func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Max(1, math.Abs(a)) } // sums are made in another order
			if !maps.EqualFunc(want, got, same) {
				rt.Fatalf("%s step %d\nengine: %v\nby definition: %v", expr, step, got, want)
			}
			series += len(want)
		}
	})
	require.Greater(t, series, 100)
}

func engineSeries(t *testing.T, rt *rapid.T, engine *Engine, q *traces.Query, source *memory) map[string]float64 {
	out := map[string]float64{}
	r, err := inPieces(engine, rapid.IntRange(0, 7).Draw(rt, "pieces"), q, source) // 0: it isn't cut
	if err != nil {
		rt.Fatalf("%s: %v", q.Expr, err)
	}
	for _, s := range r.Series {
		key, label := "", ""
		for _, a := range s.Labels {
			text := printAttribute(&a)
			if a.Type == traces.TypeFloat {
				text = strconv.FormatFloat(a.Float, 'g', 6, 64)
			}
			switch a.Key {
			case "__name__":
			case "__bucket", "p":
				label = a.Key + "=" + text
			default:
				key = a.Key + "=" + text
			}
		}
		for _, p := range s.Samples {
			if !p.Missing {
				out[fmt.Sprintf("{%s %s} %d", key, label, p.T)] = p.V
			}
		}
	}
	return out
}
