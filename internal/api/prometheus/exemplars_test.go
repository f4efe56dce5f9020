package prometheus

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/metrics"
)

// Exemplars are written as Prometheus writes them, and its faults are told in its words; what other servers have left out
// is a warning, of metadata as well.
func TestExemplarsAndMetadataWithWarnings(t *testing.T) {
	var got *metrics.Query
	warned := errors.New("store endpoint far:1 is left out of the answer")
	s := newServer(t, func(o *Options) {
		o.Runner = runnerFunc(func(_ context.Context, j job.Job) (job.Result, error) {
			got = j.Metrics
			r := &metrics.Result{}
			if got.Kind == metrics.Exemplars {
				r.Exemplars = []metrics.ExemplarSeries{{Labels: labels.FromStrings("__name__", "m"), Exemplars: []exemplar.Exemplar{{Labels: labels.FromStrings("trace_id", "t"), Value: .5, Ts: 1500, HasTs: true}}}}
			}
			if got.Metric != "quiet" && len(got.Matchers) < 2 {
				r.Warnings.Add(warned)
			}
			return job.Result{Metrics: r}, nil
		})
	})
	series := `[{"seriesLabels":{"__name__":"m"},"exemplars":[{"labels":{"trace_id":"t"},"value":"0.5","timestamp":1.500}]}]`
	for path, want := range map[string]string{
		"query_exemplars?query=m&start=1&end=2": `{"status":"success","data":` + series + `,"warnings":["` + warned.Error() + `"]}`,
		"query_exemplars?query=m%2Bn":           `{"status":"success","data":` + series + `}`,
		"metadata?metric=m":                     `{"status":"success","data":{},"warnings":["` + warned.Error() + `"]}`,
		"metadata?metric=quiet":                 `{"status":"success","data":{}}`,
		"metadata?limit=0":                      `{"status":"success","data":{}}`,
		"query_exemplars?query=1":               `{"status":"success","data":null}`,
		"query_exemplars?query=m&start=2&end=1": `{"status":"error","errorType":"bad_data","error":"end timestamp must not be before start timestamp"}`,
		"query_exemplars?query=m&start=x":       `{"status":"error","errorType":"bad_data","error":"invalid parameter \"start\": cannot parse \"x\" to a valid timestamp"}`,
		"query_exemplars?query=m{":              `{"status":"error","errorType":"bad_data","error":"1:3: parse error: unexpected end of input inside braces"}`,
		"query_exemplars":                       `{"status":"error","errorType":"bad_data","error":"unknown position: parse error: no expression found in input"}`,
	} {
		w := s.get("/api/v1/" + path)
		require.JSONEq(t, want, w.Body.String(), path)
		require.Equal(t, w.Code == http.StatusOK, want[:18] == `{"status":"success`, path)
	}
	require.Equal(t, http.StatusOK, s.get("/api/v1/query_exemplars?query=m&start=1&end=2&partial_response=false").Code)
	require.Equal(t, metrics.Query{Kind: metrics.Exemplars, Start: 1000, End: 2000, WholeAnswer: true, Matchers: [][]metrics.Matcher{{{Type: labels.MatchEqual, Name: "__name__", Value: "m"}}}}, *got)
	require.Equal(t, http.StatusOK, s.get("/api/v1/metadata?partial_response=false").Code)
	require.True(t, got.WholeAnswer)
}
