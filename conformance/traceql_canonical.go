package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
)

// The canonical form of answers, as the README of the corpus defines it. It is applied to both
// sides, so that both are sorted by the same text.

type object = map[string]any

// traceqlFixedTags have columns of their own in the recorded server, which lists them or not
// depending on its storage.
var traceqlFixedTags = []string{
	"service.name", "k8s.cluster.name", "k8s.namespace.name", "k8s.pod.name", "k8s.container.name", "http.method",
	"http.url", "http.status_code", "http.request.method", "http.response.status_code", "http.route", "url.path",
	"url.route", "server.address", "server.port",
}

func traceqlCanonical(q *traceqlQuery, body []byte) any {
	var v any
	if json.Unmarshal(body, &v) != nil {
		return strings.TrimSpace(string(bytes.ToValidUTF8(body, []byte("\ufffd"))))
	}
	return traceqlCanonicalValue(q, v)
}

func traceqlText(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return b.String()
}

// traceqlSort sorts a list by a text of its elements.
func traceqlSort(list []any, key func(any) string) {
	keys := make(map[int]string, len(list))
	order := make([]int, len(list))
	for i := range list {
		keys[i], order[i] = key(list[i]), i
	}
	sort.SliceStable(order, func(a, b int) bool { return keys[order[a]] < keys[order[b]] })
	sorted := make([]any, len(list))
	for k, i := range order {
		sorted[k] = list[i]
	}
	copy(list, sorted)
}

func field(v any, name string) string {
	s, _ := v.(object)[name].(string)
	return s
}

// traceqlSortPairs orders every list of objects with a key.
func traceqlSortPairs(v any) any {
	switch v := v.(type) {
	case object:
		for k := range v {
			v[k] = traceqlSortPairs(v[k])
		}
	case []any:
		pairs := len(v) > 0
		for i := range v {
			v[i] = traceqlSortPairs(v[i])
			o, ok := v[i].(object)
			_, has := o["key"]
			pairs = pairs && ok && has
		}
		if pairs {
			traceqlSort(v, traceqlText)
		}
	}
	return v
}

func traceqlCanonicalValue(q *traceqlQuery, v any) any {
	body, ok := v.(object)
	if !ok {
		return v
	}
	delete(body, "metrics")
	switch q.endpoint() {
	case "search":
		traceqlSearchForm(q, body)
	case "trace_v1":
		traceqlTraceForm(body)
	case "trace_v2":
		if t, ok := body["trace"].(object); ok {
			traceqlTraceForm(t)
		}
	case "tags":
		body["tagNames"] = traceqlTagsForm(body["tagNames"])
	case "tag_values":
		if list, ok := body["tagValues"].([]any); ok {
			traceqlSort(list, traceqlText)
		}
	case "tags_v2":
		traceqlScopesForm(body)
	case "tag_values_v2":
		if list, ok := body["tagValues"].([]any); ok {
			traceqlSort(list, func(v any) string { return field(v, "type") + "\x00" + field(v, "value") })
		}
	case "metrics_range", "metrics_instant":
		traceqlSeriesForm(q, body)
	}
	return body
}

func traceqlSearchForm(q *traceqlQuery, body object) {
	list, _ := body["traces"].([]any)
	if list == nil {
		list = []any{}
	}
	for _, t := range list {
		t := t.(object)
		if sets, ok := t["spanSets"].([]any); ok {
			for i := range sets {
				sets[i] = traceqlSpanSetForm(sets[i])
			}
			traceqlSort(sets, traceqlText)
			delete(t, "spanSet")
		}
	}
	if !q.Ordered {
		traceqlSort(list, func(v any) string { return fmt.Sprintf("%032s", field(v, "traceID")) })
	}
	body["traces"] = list
}

func traceqlSpanSetForm(v any) any {
	v = traceqlSortPairs(v)
	if spans, ok := v.(object)["spans"].([]any); ok {
		traceqlSort(spans, func(s any) string {
			return field(s, "startTimeUnixNano") + "\x00" + field(s, "spanID") + "\x00" + traceqlText(s)
		})
	}
	return v
}

// traceqlTraceForm merges equal resources and equal scopes and orders everything.
func traceqlTraceForm(t object) {
	traceqlSortPairs(t)
	name := "resourceSpans"
	if t[name] == nil {
		name = "batches"
	}
	list, ok := t[name].([]any)
	if !ok {
		return
	}
	resources := traceqlMerge(list, "scopeSpans")
	for _, r := range resources {
		scopes := traceqlMerge(r.(object)["scopeSpans"].([]any), "spans")
		for _, s := range scopes {
			spans := s.(object)["spans"].([]any)
			for _, span := range spans {
				if links, ok := span.(object)["links"].([]any); ok {
					traceqlSort(links, traceqlText)
				}
			}
			traceqlSort(spans, func(s any) string {
				return field(s, "startTimeUnixNano") + "\x00" + field(s, "spanId") + "\x00" + traceqlText(s)
			})
		}
		traceqlSort(scopes, traceqlText)
		r.(object)["scopeSpans"] = scopes
	}
	traceqlSort(resources, traceqlText)
	t[name] = resources
}

// traceqlMerge joins the objects of a list that are equal but for one field, a list.
func traceqlMerge(list []any, name string) []any {
	at := map[string]object{}
	var out []any
	for _, v := range list {
		o := v.(object)
		inner, _ := o[name].([]any)
		delete(o, name)
		k := traceqlText(o)
		first := at[k]
		if first == nil {
			first = o
			at[k] = o
			out = append(out, o)
		}
		joined, _ := first["\x00joined"].([]any)
		first["\x00joined"] = append(joined, inner...)
	}
	for _, o := range at {
		o[name] = o["\x00joined"]
		delete(o, "\x00joined")
	}
	return out
}

func traceqlTagsForm(v any) any {
	list, ok := v.([]any)
	if !ok {
		return v
	}
	list = slices.DeleteFunc(slices.Clone(list), func(v any) bool {
		s, _ := v.(string)
		return slices.Contains(traceqlFixedTags, s)
	})
	traceqlSort(list, traceqlText)
	return list
}

func traceqlScopesForm(body object) {
	list, ok := body["scopes"].([]any)
	if !ok {
		return
	}
	kept := []any{}
	for _, s := range list {
		o := s.(object)
		o["tags"] = traceqlTagsForm(o["tags"])
		if tags, _ := o["tags"].([]any); len(tags) > 0 {
			kept = append(kept, o)
		}
	}
	traceqlSort(kept, func(v any) string { return field(v, "name") })
	body["scopes"] = kept
}

func traceqlSeriesForm(q *traceqlQuery, body object) {
	list, ok := body["series"].([]any)
	if !ok {
		return
	}
	for _, s := range list {
		s := s.(object)
		delete(s, "promLabels")
		delete(s, "exemplars")
		traceqlSortPairs(s["labels"])
	}
	if q.CompareTop > 0 {
		list = traceqlWithoutTies(list, q.CompareTop)
	}
	traceqlSort(list, func(v any) string { return traceqlText(v.(object)["labels"]) })
	body["series"] = list
}

func traceqlTotal(s any) float64 {
	o := s.(object)
	samples, ok := o["samples"].([]any)
	if !ok {
		samples = []any{o}
	}
	total := 0.0
	for _, p := range samples {
		v, _ := p.(object)["value"].(float64)
		total += v
	}
	return total
}

// traceqlWithoutTies removes what compare() chose freely: the rarest values of a full group.
func traceqlWithoutTies(list []any, top int) []any {
	groups := map[string][]any{}
	for _, s := range list {
		var meta []any
		var names []string
		labels, _ := s.(object)["labels"].([]any)
		for _, l := range labels {
			if strings.HasPrefix(field(l, "key"), "__meta") {
				meta = append(meta, l)
			} else {
				names = append(names, field(l, "key"))
			}
		}
		slices.Sort(names)
		k := traceqlText([]any{meta, names})
		groups[k] = append(groups[k], s)
	}
	out := []any{}
	for _, g := range groups {
		if len(g) >= top {
			low := traceqlTotal(g[0])
			for _, s := range g {
				low = math.Min(low, traceqlTotal(s))
			}
			g = slices.DeleteFunc(g, func(s any) bool { return traceqlTotal(s) <= low })
		}
		out = append(out, g...)
	}
	return out
}

// traceqlDiff describes the first difference, or is empty. Floats may differ by 1e-9 of their size.
func traceqlDiff(want, got any, path string) string {
	switch w := want.(type) {
	case float64:
		g, ok := got.(float64)
		if ok && (w == g || math.Abs(w-g) <= 1e-9*math.Max(math.Abs(w), math.Abs(g)) || math.Abs(w-g) <= 1e-12) {
			return ""
		}
	case object:
		g, ok := got.(object)
		if !ok {
			break
		}
		for k := range g {
			if _, has := w[k]; !has {
				return fmt.Sprintf("%s.%s: unexpected %.200s", path, k, traceqlText(g[k]))
			}
		}
		keys := make([]string, 0, len(w))
		for k := range w {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			gv, has := g[k]
			if !has {
				return fmt.Sprintf("%s.%s: missing, want %.200s", path, k, traceqlText(w[k]))
			}
			if d := traceqlDiff(w[k], gv, path+"."+k); d != "" {
				return d
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok {
			break
		}
		if len(w) != len(g) {
			return fmt.Sprintf("%s: %d elements, want %d: %.300s; want %.300s", path, len(g), len(w), traceqlText(g), traceqlText(w))
		}
		for i := range w {
			if d := traceqlDiff(w[i], g[i], fmt.Sprintf("%s[%d]", path, i)); d != "" {
				return d
			}
		}
		return ""
	default:
		if want == got {
			return ""
		}
	}
	return fmt.Sprintf("%s: %.300s, want %.300s", path, traceqlText(got), traceqlText(want))
}
