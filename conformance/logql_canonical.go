package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// logqlBody is an answer as JSON, or as text without the newline at its end.
func logqlBody(raw []byte) any {
	var v any
	if json.Unmarshal(raw, &v) == nil {
		return v
	}
	return strings.TrimRight(string(raw), "\n")
}

// logqlSeriesNames matches the label set in a pipeline error: which of several failing series is
// named depends on which was read first.
var logqlSeriesNames = regexp.MustCompile(`(?s)(pipeline error: '[^']*' for series: )'\{.*\}'\.`)

// logqlCanonical takes out what varies from run to run and orders what has no order. The rules are in
// logql/README.md.
func logqlCanonical(q *logqlQuery, body any) any {
	if text, ok := body.(string); ok {
		return logqlSeriesNames.ReplaceAllString(strings.TrimRight(text, "\n"), "$1'{...}'.")
	}
	top, ok := body.(object)
	if !ok {
		return body
	}
	if data, ok := top["data"].(object); ok {
		delete(data, "stats")
		if result, ok := data["result"].([]any); ok {
			switch {
			case data["resultType"] == "streams":
				sortBy(result, func(v any) string { return labelKey(v.(object)["stream"]) })
			case data["resultType"] == "matrix" || data["resultType"] == "vector" && !q.Ordered:
				sortBy(result, func(v any) string { return labelKey(v.(object)["metric"]) })
			case data["resultType"] == "vector":
				settleTies(result)
			}
		}
	}
	list, _ := top["data"].([]any)
	switch q.Kind {
	case "series":
		sortBy(list, labelKey)
	case "labels", "label_values":
		sortBy(list, func(v any) string { return fmt.Sprint(v) })
	case "index_stats":
		delete(top, "chunks")
	case "patterns":
		sortBy(list, func(v any) string { return field(v, "pattern") + "\x00" + field(v, "level") })
	case "detected_labels":
		labels, _ := top["detectedLabels"].([]any)
		sortBy(labels, func(v any) string { return field(v, "label") })
	}
	return top
}

func sortBy(list []any, key func(any) string) {
	slices.SortStableFunc(list, func(a, b any) int { return strings.Compare(key(a), key(b)) })
}

// labelKey is the text that label sets are ordered by.
func labelKey(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // maps of strings
	return b.String()
}

// settleTies orders runs of equal values by label set.
func settleTies(list []any) {
	value := func(i int) string { return fmt.Sprint(list[i].(object)["value"].([]any)[1]) }
	for i := 0; i < len(list); {
		j := i
		for j < len(list) && value(j) == value(i) {
			j++
		}
		run := list[i:j]
		sort.SliceStable(run, func(a, b int) bool {
			return labelKey(run[a].(object)["metric"]) < labelKey(run[b].(object)["metric"])
		})
		i = j
	}
}

// logqlCompare says how got differs from want, or "".
func logqlCompare(q *logqlQuery, status int, want, got any) string {
	if status == 200 {
		switch q.Kind {
		case "detected_fields":
			return compareFields(want, got)
		case "patterns":
			return compareTotals(patternTotal(want), patternTotal(got), 0.05)
		case "index_stats":
			return compareStats(want, got)
		case "volume", "volume_range":
			return compareVolumes(want, got)
		}
	}
	return logqlDiff(want, got, "")
}

// compareFields compares names, types and parsers: cardinalities are estimates.
func compareFields(want, got any) string {
	w, _ := want.(object)
	g, _ := got.(object)
	if values, ok := w["values"]; ok {
		a, _ := values.([]any)
		b, _ := g["values"].([]any)
		sortBy(a, func(v any) string { return fmt.Sprint(v) })
		sortBy(b, func(v any) string { return fmt.Sprint(v) })
		return logqlDiff(any(a), any(b), ".values")
	}
	return logqlDiff(any(fieldNames(w)), any(fieldNames(g)), ".fields")
}

func fieldNames(body object) []any {
	fields, _ := body["fields"].([]any)
	var out []any
	for _, f := range fields {
		o := f.(object)
		parsers, _ := o["parsers"].([]any)
		sortBy(parsers, func(v any) string { return fmt.Sprint(v) })
		out = append(out, fmt.Sprint(o["label"], " ", o["type"], " ", parsers))
	}
	sortBy(out, func(v any) string { return v.(string) })
	return out
}

func patternTotal(body any) float64 {
	total := 0.0
	list, _ := body.(object)["data"].([]any)
	for _, p := range list {
		for _, s := range p.(object)["samples"].([]any) {
			total += s.([]any)[1].(float64)
		}
	}
	return total
}

func compareTotals(want, got, tolerance float64) string {
	if math.Abs(want-got) <= tolerance*max(math.Abs(want), math.Abs(got), 1) {
		return ""
	}
	return fmt.Sprintf("total %g, want %g", got, want)
}

func compareStats(want, got any) string {
	w, g := want.(object), got.(object)
	for _, name := range []string{"streams", "entries"} {
		if w[name] != g[name] {
			return fmt.Sprintf("%s %v, want %v", name, g[name], w[name])
		}
	}
	return compareTotals(w["bytes"].(float64), g["bytes"].(float64), 0.1)
}

// compareVolumes compares series and, roughly, their sums.
func compareVolumes(want, got any) string {
	w, g := volumeTotals(want), volumeTotals(got)
	for key, total := range w {
		other, ok := g[key]
		if !ok {
			return "missing " + key
		}
		if total == 0 {
			continue
		}
		if d := compareTotals(total, other, 0.1); d != "" {
			return key + d
		}
	}
	for key := range g {
		if _, ok := w[key]; !ok {
			return "unexpected " + key
		}
	}
	return ""
}

func volumeTotals(body any) map[string]float64 {
	out := map[string]float64{}
	data, _ := body.(object)["data"].(object)
	result, _ := data["result"].([]any)
	for _, s := range result {
		o := s.(object)
		points, ok := o["values"].([]any)
		if !ok {
			points = []any{o["value"]}
		}
		total := 0.0
		for _, p := range points {
			v, _ := strconv.ParseFloat(p.([]any)[1].(string), 64)
			total += v
		}
		out[labelKey(o["metric"])] = total
	}
	return out
}

// logqlDiff names the first place where got differs from want. Sample values, which are strings,
// compare as numbers.
func logqlDiff(want, got any, path string) string {
	switch w := want.(type) {
	case object:
		g, ok := got.(object)
		if !ok {
			break
		}
		for _, k := range sortedKeys(w) {
			if _, ok := g[k]; !ok {
				return fmt.Sprintf("%s.%s is missing, want %.200v", path, k, w[k])
			}
			if d := logqlDiff(w[k], g[k], path+"."+k); d != "" {
				return d
			}
		}
		for _, k := range sortedKeys(g) {
			if _, ok := w[k]; !ok {
				return fmt.Sprintf("%s.%s should not be there: %.200v", path, k, g[k])
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok {
			break
		}
		for i := range min(len(w), len(g)) {
			if d := logqlDiff(w[i], g[i], fmt.Sprintf("%s[%d]", path, i)); d != "" {
				return d
			}
		}
		if len(w) != len(g) {
			return fmt.Sprintf("%s has %d elements, want %d", path, len(g), len(w))
		}
		return ""
	default:
		if same(want, got) {
			return ""
		}
	}
	return fmt.Sprintf("%s is %.300v, want %.300v", path, got, want)
}

func sortedKeys(m object) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func same(want, got any) bool {
	if want == got {
		return true
	}
	w, wok := number(want)
	g, gok := number(got)
	if !wok || !gok || fmt.Sprintf("%T", want) != fmt.Sprintf("%T", got) {
		return false
	}
	return math.Abs(w-g) <= max(1e-9*max(math.Abs(w), math.Abs(g)), 1e-12)
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case string:
		f, err := strconv.ParseFloat(v, 64)
		return f, err == nil
	}
	return 0, false
}
