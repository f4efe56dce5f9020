package prometheus

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/index"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/prometheus/prometheus/util/httputil"
	v1 "github.com/prometheus/prometheus/web/api/v1"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/tenant"
)

// respond answers in Prometheus's envelope.
func (a *API) respond(w http.ResponseWriter, r *http.Request, data any, err error, warnings ...string) {
	httputil.SetCORS(w, a.opts.CORSOrigin, r)
	w.Header().Set("Content-Type", "application/json")
	resp := map[string]any{"status": "success", "data": data}
	if len(warnings) > 0 {
		resp["warnings"] = warnings
	}
	if err != nil {
		w.WriteHeader(fault.Status(err))
		resp = map[string]any{"status": "error", "errorType": errorType(err), "error": err.Error()}
	}
	if err := json.NewEncoder(w).Encode(resp); err != nil {
		a.opts.Logger.Debug("write answer", "path", r.URL.Path, "err", err)
	}
}

// errorType is the word of Prometheus's API for an error.
func errorType(err error) string {
	switch fault.ClassOf(err) {
	case fault.Invalid, fault.TooLarge:
		return "bad_data"
	case fault.Unprocessable:
		return "execution"
	case fault.NotFound:
		return "not_found"
	case fault.Unavailable:
		return "unavailable"
	case fault.Timeout:
		return "timeout"
	case fault.Canceled:
		return "canceled"
	}
	return "internal"
}

// limitParam reads a number that must not be negative; absent is 0, which means all.
func limitParam(r *http.Request, name string) (int, error) {
	s := r.FormValue(name)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fault.Invalidf("%s must be a number", name)
	}
	return max(n, 0), nil // Prometheus takes negative numbers for "all"
}

func (a *API) metadata(w http.ResponseWriter, r *http.Request) {
	answer, warnings, err := a.findMetadata(r)
	a.respond(w, r, answer, err, warnings...)
}

func (a *API) findMetadata(r *http.Request) (map[string][]metadata.Metadata, []string, error) {
	limit, err := limitParam(r, "limit")
	if err != nil {
		return nil, nil, err
	}
	perMetric, err := limitParam(r, "limit_per_metric")
	if err != nil {
		return nil, nil, err
	}
	if s := r.FormValue("limit"); s == "0" {
		return map[string][]metadata.Metadata{}, nil, nil
	}
	res, err := a.run(r.Context(), &metrics.Query{Kind: metrics.Metadata, Metric: r.FormValue("metric"), Limit: limit, LimitPerMetric: perMetric})
	if err != nil {
		return nil, nil, err
	}
	if res.Metadata == nil {
		res.Metadata = map[string][]metadata.Metadata{}
	}
	return res.Metadata, texts(res.Warnings), nil
}

// texts are warnings as text.
func texts(all annotations.Annotations) []string {
	warnings, _ := all.AsStrings("", 0, 0)
	return warnings
}

func (a *API) statusConfig(w http.ResponseWriter, r *http.Request) {
	yaml := ""
	if a.opts.ConfigYAML != nil {
		yaml = a.opts.ConfigYAML()
	}
	a.respond(w, r, map[string]string{"yaml": yaml}, nil)
}

// maxStats is the most entries that status/tsdb lists, as in Prometheus.
const maxStats = 10_000

func (a *API) statusTSDB(w http.ResponseWriter, r *http.Request) {
	status, err := a.tsdbStatus(r)
	a.respond(w, r, status, err)
}

func (a *API) tsdbStatus(r *http.Request) (*v1.TSDBStatus, error) {
	limit := 10
	if s := r.FormValue("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return nil, fault.Invalidf("limit must be a positive number")
		}
		if n > maxStats {
			return nil, fault.Invalidf("limit must not exceed %d", maxStats)
		}
		limit = n
	}
	id, err := a.headTenant(r)
	if err != nil {
		return nil, err
	}
	stats, chunks, err := a.opts.Head.Stats(id, labels.MetricName, limit)
	if err != nil {
		return nil, err
	}
	if stats == nil {
		stats = &tsdb.Stats{IndexPostingStats: &index.PostingsStats{}}
	}
	p := stats.IndexPostingStats
	return &v1.TSDBStatus{
		HeadStats: v1.HeadStats{NumSeries: stats.NumSeries, ChunkCount: chunks, MinTime: stats.MinTime, MaxTime: stats.MaxTime,
			NumLabelPairs: p.NumLabelPairs},
		SeriesCountByMetricName:     v1.TSDBStatsFromIndexStats(p.CardinalityMetricsStats),
		LabelValueCountByLabelName:  v1.TSDBStatsFromIndexStats(p.CardinalityLabelStats),
		MemoryInBytesByLabelName:    v1.TSDBStatsFromIndexStats(p.LabelValueStats),
		SeriesCountByLabelValuePair: v1.TSDBStatsFromIndexStats(p.LabelValuePairsStats),
	}, nil
}

func (a *API) statusBlocks(w http.ResponseWriter, r *http.Request) {
	id, err := a.headTenant(r)
	if err != nil {
		a.respond(w, r, nil, err)
		return
	}
	blocks, err := a.opts.Head.BlockMetas(id)
	if blocks == nil {
		blocks = []tsdb.BlockMeta{}
	}
	a.respond(w, r, map[string]any{"blocks": blocks}, err)
}

func (a *API) headTenant(r *http.Request) (string, error) {
	id, err := tenant.FromContext(r.Context())
	if err != nil {
		return "", fault.New(fault.Invalid, err)
	}
	if a.opts.Head == nil {
		return "", fault.Errorf(fault.Unavailable, "this process has no metrics database")
	}
	return id, nil
}
