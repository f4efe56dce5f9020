package prometheus

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"
)

func TestCardinality(t *testing.T) {
	s := newServer(t)
	at := func(ago time.Duration) prompb.Sample { return prompb.Sample{Value: 1, Timestamp: at(-ago)} }
	w := s.writeV1(
		series(pairs("__name__", "a", "job", "x", "pod", "1"), at(0)),
		series(pairs("__name__", "a", "job", "x", "pod", "2"), at(0)),
		series(pairs("__name__", "b", "job", "y", "pod", "3"), at(30*time.Minute)))
	require.Equal(t, http.StatusNoContent, w.Code, w.Body)
	for _, c := range []struct{ path, want string }{
		{"label_names", `{"label_values_count_total":7,"label_names_count":3,"cardinality":[{"label_name":"pod","label_values_count":3},{"label_name":"__name__","label_values_count":2},{"label_name":"job","label_values_count":2}]}`},
		{"label_names?limit=1&selector={job=\"x\"}", `{"label_values_count_total":4,"label_names_count":3,"cardinality":[{"label_name":"pod","label_values_count":2}]}`},
		{"label_names?count_method=active&limit=0", `{"label_values_count_total":4,"label_names_count":3,"cardinality":[]}`},
		{"label_values?label_names[]=job&label_names[]=absent", `{"series_count_total":3,"labels":[
			{"label_name":"job","label_values_count":2,"series_count":3,"cardinality":[{"label_value":"x","series_count":2},{"label_value":"y","series_count":1}]},
			{"label_name":"absent","label_values_count":0,"series_count":0,"cardinality":[]}]}`},
		{"label_values?label_names[]=pod&limit=1&selector=a", `{"series_count_total":2,"labels":[
			{"label_name":"pod","label_values_count":2,"series_count":2,"cardinality":[{"label_value":"1","series_count":1}]}]}`},
		{"active_series?selector={pod=~\"1|3\"}", `{"data":[{"__name__":"a","job":"x","pod":"1"}]}`},
		{"active_series?selector=absent", `{"data":[]}`},
	} {
		w := s.get("/api/v1/cardinality/" + c.path)
		require.Equal(t, http.StatusOK, w.Code, "%s: %s", c.path, w.Body)
		require.JSONEq(t, c.want, w.Body.String(), c.path)
	}
	form := url.Values{"label_names[]": {"job"}, "limit": {"1"}}
	r := httptest.NewRequest(http.MethodPost, "/api/v1/cardinality/label_values", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	require.Contains(t, s.do(r).Body.String(), `"series_count_total":3`)

	for path, text := range map[string]string{
		"label_values": "'label_names[]' param is required", "active_series": "'selector' param is required",
		"label_names?limit=-1": "cannot be less than '0'", "label_names?limit=501": "cannot be greater than '500'", "label_names?limit=x": "must be a number",
		"label_names?selector={": "invalid parameter \"selector\"", "label_names?count_method=all": "valid options are: [inmemory,active]",
		"label_values?" + manyNames(101): "cannot have more than '100' values",
	} {
		w := s.get("/api/v1/cardinality/" + path)
		require.Equal(t, http.StatusBadRequest, w.Code, path)
		require.Contains(t, w.Body.String(), text)
	}
}

func manyNames(n int) string {
	var out []string
	for i := range n {
		out = append(out, "label_names[]="+strings.Repeat("x", i+1))
	}
	return strings.Join(out, "&")
}
