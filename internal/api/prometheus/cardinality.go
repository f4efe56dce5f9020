package prometheus

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/metrics"
)

// The bounds of the cardinality API. How many entries a list has is Mimir's; the series that are looked at are
// bounded, so that a question can't take all memory.
const (
	cardinalityLimit    = 20
	maxCardinalityLimit = 500
	maxCardinalityNames = 100
	maxCountedSeries    = 1_000_000
)

// How far back series count: with samples in the head's range of time, or recently.
const (
	inMemoryRange = 2 * time.Hour
	activeRange   = 20 * time.Minute
)

// registerCardinality adds Mimir's cardinality API.
func (a *API) registerCardinality(mux *http.ServeMux) {
	for name, h := range map[string]func(*http.Request) (any, error){
		"label_names": a.labelNamesCardinality, "label_values": a.labelValuesCardinality, "active_series": a.activeSeries,
	} {
		handler := a.whenReady(func(w http.ResponseWriter, r *http.Request) {
			answer, err := h(r)
			if err != nil {
				http.Error(w, err.Error(), fault.Status(err))
				return
			}
			w.Header().Set("Content-Type", "application/json")
			if err := json.NewEncoder(w).Encode(answer); err != nil {
				a.opts.Logger.Debug("write answer", "path", r.URL.Path, "err", err)
			}
		})
		mux.HandleFunc("GET /api/v1/cardinality/"+name, handler)
		mux.HandleFunc("POST /api/v1/cardinality/"+name, handler)
	}
}

type labelNameCount struct {
	Name   string `json:"label_name"`
	Values int    `json:"label_values_count"`
}

type labelNamesAnswer struct {
	Total       int              `json:"label_values_count_total"`
	Names       int              `json:"label_names_count"`
	Cardinality []labelNameCount `json:"cardinality"`
}

// labelNamesCardinality counts the values of each label name, the largest first.
func (a *API) labelNamesCardinality(r *http.Request) (any, error) {
	limit, err := cardinalityParam(r)
	if err != nil {
		return nil, err
	}
	series, err := a.countedSeries(r, false)
	if err != nil {
		return nil, err
	}
	values := map[string]map[string]struct{}{}
	for _, ls := range series {
		ls.Range(func(l labels.Label) {
			if values[l.Name] == nil {
				values[l.Name] = map[string]struct{}{}
			}
			values[l.Name][l.Value] = struct{}{}
		})
	}
	out := labelNamesAnswer{Names: len(values), Cardinality: []labelNameCount{}}
	for name, vs := range values {
		out.Total += len(vs)
		out.Cardinality = append(out.Cardinality, labelNameCount{name, len(vs)})
	}
	slices.SortFunc(out.Cardinality, func(a, b labelNameCount) int {
		return cmp.Or(cmp.Compare(b.Values, a.Values), strings.Compare(a.Name, b.Name))
	})
	out.Cardinality = out.Cardinality[:min(limit, len(out.Cardinality))]
	return out, nil
}

type labelValueCount struct {
	Value  string `json:"label_value"`
	Series int    `json:"series_count"`
}

type labelCount struct {
	Name        string            `json:"label_name"`
	Values      int               `json:"label_values_count"`
	Series      int               `json:"series_count"`
	Cardinality []labelValueCount `json:"cardinality"`
}

type labelValuesAnswer struct {
	Total  int          `json:"series_count_total"`
	Labels []labelCount `json:"labels"`
}

// labelValuesCardinality counts the series of each value of the labels asked for, the largest first.
func (a *API) labelValuesCardinality(r *http.Request) (any, error) {
	limit, err := cardinalityParam(r)
	if err != nil {
		return nil, err
	}
	names := slices.Compact(slices.Sorted(slices.Values(r.Form["label_names[]"])))
	if len(names) == 0 {
		return nil, fault.Invalidf("'label_names[]' param is required")
	}
	if len(names) > maxCardinalityNames {
		return nil, fault.Invalidf("'label_names[]' param cannot have more than '%d' values", maxCardinalityNames)
	}
	series, err := a.countedSeries(r, false)
	if err != nil {
		return nil, err
	}
	out := labelValuesAnswer{Total: len(series), Labels: []labelCount{}}
	for _, name := range names {
		out.Labels = append(out.Labels, countValues(series, name, limit))
	}
	slices.SortStableFunc(out.Labels, func(a, b labelCount) int { return cmp.Compare(b.Series, a.Series) })
	return out, nil
}

func countValues(series []labels.Labels, name string, limit int) labelCount {
	counts := map[string]int{}
	out := labelCount{Name: name, Cardinality: []labelValueCount{}}
	for _, ls := range series {
		if v := ls.Get(name); v != "" {
			counts[v]++
			out.Series++
		}
	}
	out.Values = len(counts)
	for v, n := range counts {
		out.Cardinality = append(out.Cardinality, labelValueCount{v, n})
	}
	slices.SortFunc(out.Cardinality, func(a, b labelValueCount) int {
		return cmp.Or(cmp.Compare(b.Series, a.Series), strings.Compare(a.Value, b.Value))
	})
	out.Cardinality = slices.Clip(out.Cardinality[:min(limit, len(out.Cardinality))])
	return out
}

// activeSeries lists the series that a selector matches and that had samples recently.
func (a *API) activeSeries(r *http.Request) (any, error) {
	if err := r.ParseForm(); err != nil {
		return nil, fault.Invalidf("error parsing form values: %w", err)
	}
	if r.FormValue("selector") == "" {
		return nil, fault.Invalidf("'selector' param is required")
	}
	series, err := a.countedSeries(r, true)
	if series == nil {
		series = []labels.Labels{}
	}
	return map[string][]labels.Labels{"data": series}, err
}

// cardinalityParam parses the form and returns the limit of the lists.
func cardinalityParam(r *http.Request) (int, error) {
	if err := r.ParseForm(); err != nil {
		return 0, fault.Invalidf("error parsing form values: %w", err)
	}
	text := r.FormValue("limit")
	if text == "" {
		return cardinalityLimit, nil
	}
	limit, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return 0, fault.Invalidf("'limit' param must be a number, not %q", text)
	case limit < 0:
		return 0, fault.Invalidf("'limit' param cannot be less than '0'")
	case limit > maxCardinalityLimit:
		return 0, fault.Invalidf("'limit' param cannot be greater than '%d'", maxCardinalityLimit)
	}
	return limit, nil
}

// countedSeries returns the series that count.
func (a *API) countedSeries(r *http.Request, active bool) ([]labels.Labels, error) {
	var ms []metrics.Matcher
	if text := r.FormValue("selector"); text != "" {
		parsed, err := parser.ParseMetricSelector(text)
		if err != nil {
			return nil, fault.Invalidf("invalid parameter \"selector\": %w", err)
		}
		ms = metrics.FromMatchers(parsed)
	} else {
		ms = []metrics.Matcher{{Type: labels.MatchNotEqual, Name: labels.MetricName}}
	}
	switch method := r.FormValue("count_method"); method {
	case "", "inmemory":
	case "active":
		active = true
	default:
		return nil, fault.Invalidf("invalid 'count_method' param '%s'. valid options are: [inmemory,active]", method)
	}
	back := inMemoryRange
	if active {
		back = activeRange
	}
	now := a.opts.Now()
	res, err := a.run(r.Context(), &metrics.Query{Kind: metrics.SeriesKind, Matchers: [][]metrics.Matcher{ms}, Start: now.Add(-back).UnixMilli(), End: now.UnixMilli(),
		Limit: maxCountedSeries + 1})
	if err != nil {
		return nil, err
	}
	if len(res.Series) > maxCountedSeries {
		return nil, fault.Errorf(fault.Unprocessable, "more than %d series match: narrow the selector", maxCountedSeries)
	}
	return res.Series, nil
}
