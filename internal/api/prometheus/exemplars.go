package prometheus

import (
	"net/http"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/httputil"
	v1 "github.com/prometheus/prometheus/web/api/v1"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/metrics"
)

// exemplars answers query_exemplars as Prometheus does, and with warnings, for which its own handler has no place: other
// servers may be missing from the answer.
func (a *API) exemplars(w http.ResponseWriter, r *http.Request) {
	found, warnings, err := a.findExemplars(r)
	if err != nil {
		a.respond(w, r, nil, err)
		return
	}
	// Prometheus's own encoder knows how exemplars are written.
	text, err := v1.JSONCodec{}.Encode(&v1.Response{Status: "success", Data: found, Warnings: warnings})
	if err != nil {
		a.respond(w, r, nil, err)
		return
	}
	httputil.SetCORS(w, a.opts.CORSOrigin, r)
	w.Header().Set("Content-Type", "application/json")
	if _, err := w.Write(text); err != nil {
		a.opts.Logger.Debug("write answer", "path", r.URL.Path, "err", err)
	}
}

func (a *API) findExemplars(r *http.Request) ([]exemplar.QueryResult, []string, error) {
	start, err := timeParam(r, "start", metrics.MinTime)
	if err != nil {
		return nil, nil, err
	}
	end, err := timeParam(r, "end", metrics.MaxTime)
	if err != nil {
		return nil, nil, err
	}
	if end < start {
		return nil, nil, fault.Invalidf("end timestamp must not be before start timestamp")
	}
	expr, err := metrics.ParseQuery(r.FormValue("query"))
	if err != nil {
		return nil, nil, err
	}
	q := &metrics.Query{Kind: metrics.Exemplars, Start: start, End: end}
	for _, ms := range parser.ExtractSelectors(expr) {
		q.Matchers = append(q.Matchers, metrics.FromMatchers(ms))
	}
	if len(q.Matchers) == 0 {
		return nil, nil, nil
	}
	res, err := a.run(r.Context(), q)
	if err != nil {
		return nil, nil, err
	}
	out := make([]exemplar.QueryResult, len(res.Exemplars))
	for i, s := range res.Exemplars {
		out[i] = exemplar.QueryResult{SeriesLabels: s.Labels, Exemplars: s.Exemplars}
	}
	return out, texts(res.Warnings), nil
}
