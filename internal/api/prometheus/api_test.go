package prometheus

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/tenant"
)

func loaded(t *testing.T, change ...func(*Options)) *server {
	s := newServer(t, change...)
	var all []prompb.TimeSeries
	for _, job := range []string{"a", "b"} {
		ts := series(pairs("__name__", "reqs_total", "job", job))
		for i := range 21 {
			ts.Samples = append(ts.Samples, prompb.Sample{Value: float64(i), Timestamp: at(time.Duration(i-20) * 15 * time.Second)})
		}
		all = append(all, ts)
	}
	w := s.writeV1(all...)
	require.Equal(t, http.StatusNoContent, w.Code, w.Body)
	return s
}

func TestQueryAPI(t *testing.T) {
	s := loaded(t)
	for _, c := range []struct{ path, want string }{
		{"query?query=1%2B1", `{"resultType":"scalar","result":[1772362800,"2"]}`}, // Grafana's health check
		{"query?query=sum(reqs_total)-sum(reqs_total%20offset%2015s)", `{"resultType":"vector","result":[{"metric":{},"value":[1772362800,"2"]}]}`},
		{"query?query=reqs_total&limit=1&time=1772362800", `{"resultType":"vector","result":[{"metric":{"__name__":"reqs_total","job":"a"},"value":[1772362800,"20"]}]}`},
		{"query?query=%22x%22", `{"resultType":"string","result":[1772362800,"x"]}`},
		{"query_range?query=sum(reqs_total)&start=1772362770&end=1772362800&step=15", `{"resultType":"matrix","result":[{"metric":{},"values":[[1772362770,"36"],[1772362785,"38"],[1772362800,"40"]]}]}`},
		{"labels", `["__name__","job"]`},
		{"labels?match[]=reqs_total&match[]=other", `["__name__","job"]`},
		{"label/job/values", `["a","b"]`},
		{"label/job/values?limit=1", `["a"]`},
		{"label/U__job/values", `["a","b"]`},
		{"label/__name__/values?match[]={job=%22a%22}", `["reqs_total"]`},
		{"series?match[]={job=%22b%22}", `[{"__name__":"reqs_total","job":"b"}]`},
		{"series?match[]={job=%22b%22}&match[]={job=%22a%22}", `[{"__name__":"reqs_total","job":"a"},{"__name__":"reqs_total","job":"b"}]`},
		{"format_query?query=sum(a)by(b)", `"sum by (b) (a)"`},
		{"rules", `{"groups":[]}`},
		{"alerts", `{"alerts":[]}`},
		{"alertmanagers", `{"activeAlertmanagers":[],"droppedAlertmanagers":[]}`},
		{"targets", `{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{}}`},
		{"scrape_pools", `{"scrapePools":[]}`},
		{"metadata", `{}`},
		{"status/config", `{"yaml":"metrics: {}\n"}`},
		{"status/flags", `{"http":":4320"}`},
		{"status/walreplay", `{"min":0,"max":0,"current":0}`},
		{"status/tsdb/blocks", `{"blocks":[]}`},
		{"notifications", `[]`},
	} {
		require.JSONEq(t, c.want, s.data("/api/v1/"+c.path), c.path)
	}
	require.Contains(t, s.data("/api/v1/parse_query?query=a"), `"vectorSelector"`)
	require.Contains(t, s.data("/api/v1/status/tsdb"), `"numSeries":2`)
	require.Contains(t, s.data("/api/v1/status/runtimeinfo"), `"startTime"`)
	features := s.data("/api/v1/features")
	require.Contains(t, features, `"info":false`)
	require.Contains(t, features, `"rate":true`)
	info := s.data("/api/v1/status/buildinfo")
	require.Contains(t, info, `"version":"3.9.1"`)
	require.NotContains(t, info, "features", "Grafana would take us for Mimir")
	require.NotContains(t, info, "application")

	stats := s.data("/api/v1/query_range?query=sum(reqs_total)&start=1772362770&end=1772362800&step=15&stats=all")
	require.Contains(t, stats, `"totalQueryableSamples":6`)
	require.Contains(t, stats, `"totalQueryableSamplesPerStep":[[1772362770,2],[1772362785,2],[1772362800,2]]`)
}

func TestQueryByPost(t *testing.T) {
	s := loaded(t)
	for _, path := range []string{"query", "query_range", "labels", "series", "format_query", "parse_query", "query_exemplars"} {
		form := url.Values{"query": {"reqs_total"}, "match[]": {"reqs_total"}, "start": {"1772362770"}, "end": {"1772362800"}, "step": {"15"}}
		r := httptest.NewRequest(http.MethodPost, "/api/v1/"+path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := s.do(r)
		require.Equal(t, http.StatusOK, w.Code, "%s: %s", path, w.Body)
	}
}

func TestQueryErrors(t *testing.T) {
	s := loaded(t)
	for _, c := range []struct {
		path   string
		status int
		text   string
	}{
		{"query?query=sum(", 400, `"errorType":"bad_data"`},
		{"query", 400, `"errorType":"bad_data"`},
		{"query?query=a&time=x", 400, `"errorType":"bad_data"`},
		{"query_range?query=a&start=2&end=1&step=1", 400, "end timestamp must not be before start time"},
		{"query_range?query=a&start=0&end=20000&step=1", 400, "11,000 points"},
		{"query_range?query=a[5m]&start=0&end=1&step=1", 400, "must be Scalar or instant Vector"},
		{"query_range?query=a&start=0&end=1&step=0", 400, "zero or negative"},
		{"query?query=reqs_total&engine=other", 400, `unknown engine \"other\"`},
		{"query?query=info(reqs_total)", 400, "not enabled"},
		{"query?query=reqs_total&dedup=maybe", 400, `invalid parameter \"dedup\"`},
		{"query?query=reqs_total&partial_response=x", 400, `invalid parameter \"partial_response\"`},
		{"query?query=reqs_total&replicaLabels[]=__name__", 400, `invalid parameter \"replicaLabels[]\"`},
		{"series?match[]=reqs_total&storeMatch[]={", 400, `invalid parameter \"storeMatch[]\"`},
		{"labels?dedup=2", 400, `"errorType":"bad_data"`},
		{"label/job/values?dedup=2", 400, `"errorType":"bad_data"`},
		{"query?query=reqs_total%2Bon()reqs_total", 422, `"errorType":"execution"`},
		{"series", 400, "no match[]"},
		{"series?match[]={}", 400, "at least one non-empty matcher"},
		{"label/a%FF/values", 400, "invalid label name"},
		{"metadata?limit=x", 400, "limit must be a number"},
		{"status/tsdb?limit=0", 400, "limit must be a positive number"},
	} {
		w := s.get("/api/v1/" + c.path)
		require.Equal(t, c.status, w.Code, "%s: %s", c.path, w.Body)
		require.Contains(t, w.Body.String(), c.text, c.path)
	}
	for class, want := range map[fault.Class]struct {
		status int
		text   string
	}{
		fault.Timeout: {503, "timeout"}, fault.Canceled: {499, "canceled"}, fault.Internal: {500, "internal"},
		fault.RateLimited: {429, "execution"}, fault.Unavailable: {503, "unavailable"}, fault.Unprocessable: {422, "execution"},
	} {
		s.run = func() error { return fault.New(class, errors.New("boom")) }
		w := s.get("/api/v1/query?query=a")
		require.Equal(t, want.status, w.Code, w.Body)
		require.Contains(t, w.Body.String(), `"errorType":"`+want.text+`"`)
	}
}

func TestNotReady(t *testing.T) {
	s := newServer(t, func(o *Options) { o.Ready = func() error { return errors.New("replaying") } })
	for _, path := range []string{"/api/v1/query?query=1", "/api/v1/metadata", "/federate"} {
		w := s.get(path)
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Contains(t, w.Body.String(), "replaying")
	}
}

func TestWithoutDistributor(t *testing.T) {
	s := newServer(t, func(o *Options) { o.Pusher, o.Head = nil, nil })
	require.Equal(t, http.StatusNotFound, s.writeV1().Code)
	require.Equal(t, http.StatusNotFound, s.otlp(mediaProtobuf, nil).Code)
	require.Equal(t, http.StatusServiceUnavailable, s.get("/api/v1/status/tsdb").Code)
	require.Equal(t, http.StatusOK, s.get("/api/v1/query?query=1").Code)
}

func TestNoForeignOrigins(t *testing.T) {
	s := loaded(t)
	for _, path := range []string{"/api/v1/query?query=1", "/api/v1/metadata"} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Origin", "https://evil.example")
		require.Empty(t, s.do(r).Header().Get("Access-Control-Allow-Origin"))
	}
}

func TestAdminIsDisabled(t *testing.T) {
	s := newServer(t)
	w := s.do(httptest.NewRequest(http.MethodPost, "/api/v1/admin/tsdb/delete_series?match[]=a", nil))
	require.GreaterOrEqual(t, w.Code, 400)
	require.Contains(t, w.Body.String(), "admin APIs disabled")
}

func TestFederate(t *testing.T) {
	s := loaded(t)
	w := s.get("/federate?match[]=reqs_total")
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "# TYPE reqs_total untyped\nreqs_total{job=\"a\"} 20 1772362800000\nreqs_total{job=\"b\"} 20 1772362800000\n", w.Body.String())
	require.Equal(t, http.StatusBadRequest, s.get("/federate?match[]={").Code)
	require.Empty(t, s.get("/federate?match[]=absent").Body.String())
}

// Native histograms are federated in protobuf, those with bounds of their own as classic ones in text, too.
func TestFederateHistograms(t *testing.T) {
	s := newServer(t)
	native, custom := tsdbutil.GenerateTestHistogram(3), tsdbutil.GenerateTestCustomBucketsHistogram(3)
	_, err := s.heads.Append(t.Context(), tenant.Anonymous, &metrics.Batch{Series: []metrics.Series{
		{Labels: labels.FromStrings("__name__", "native"), Histograms: []metrics.HistogramSample{{T: at(0), H: native}}},
		{Labels: labels.FromStrings("__name__", "custom"), Histograms: []metrics.HistogramSample{{T: at(0), H: custom}}},
		{Labels: labels.FromStrings("__name__", "float"), Samples: []metrics.Sample{{T: at(0), V: 7}}},
	}})
	require.NoError(t, err)
	text := s.get("/federate?match[]={__name__=~\".%2B\"}").Body.String()
	require.NotContains(t, text, "native")
	require.Contains(t, text, "# TYPE custom histogram")
	require.Contains(t, text, `custom_bucket{le="+Inf"}`)
	require.Contains(t, text, "float 7")

	r := httptest.NewRequest(http.MethodGet, "/federate?match[]=native", nil)
	r.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	w := s.do(r)
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	var family dto.MetricFamily
	require.NoError(t, expfmt.NewDecoder(w.Body, expfmt.ResponseFormat(w.Header())).Decode(&family))
	got := family.Metric[0].Histogram
	require.Equal(t, dto.MetricType_HISTOGRAM, family.GetType())
	require.Equal(t, float64(native.Count), got.GetSampleCountFloat())
	require.Equal(t, native.ToFloat(nil).PositiveBuckets, got.GetPositiveCount())
	require.Len(t, got.GetNegativeSpan(), len(native.NegativeSpans))
}

// What Thanos's parameters ask for reaches the query that is run.
func TestThanosParameters(t *testing.T) {
	var got *metrics.Query
	s := loaded(t, func(o *Options) {
		next := o.Runner
		o.Runner = runnerFunc(func(ctx context.Context, j job.Job) (job.Result, error) {
			got = j.Metrics
			return next.Run(ctx, j)
		})
	})
	for _, path := range []string{"query?query=reqs_total", "query_range?query=reqs_total&start=1772362770&end=1772362800&step=15", "series?match[]=reqs_total", "labels?x=", "label/job/values?x="} {
		s.data("/api/v1/" + path)
		require.Empty(t, got.ReplicaLabels, path)
		require.False(t, got.NoDedup || got.WholeAnswer, path)
		s.data("/api/v1/" + path + "&dedup=false&partial_response=false&storeMatch[]={zone=\"a\"}")
		require.True(t, got.NoDedup && got.WholeAnswer, path)
		require.Equal(t, [][]metrics.Matcher{{{Type: labels.MatchEqual, Name: "zone", Value: "a"}}}, got.Stores, path)
		s.data("/api/v1/" + path + "&replicaLabels[]=r&replicaLabels[]=s")
		require.Equal(t, []string{"r", "s"}, got.ReplicaLabels, path)
	}
	require.JSONEq(t, `{"resultType":"vector","result":[{"metric":{"__name__":"reqs_total"},"value":[1772362800,"20"]}]}`, s.data("/api/v1/query?query=reqs_total&replicaLabels[]=job"))
	require.JSONEq(t, `["__name__"]`, s.data("/api/v1/labels?replicaLabels[]=job"))
	require.JSONEq(t, `[{"__name__":"reqs_total"}]`, s.data("/api/v1/series?match[]=reqs_total&replicaLabels[]=job"))
	s.data("/api/v1/query?query=reqs_total&engine=prometheus&stats=1")
	require.Equal(t, metrics.PrometheusEngine, got.Engine)
	require.True(t, got.EnableStats)
}

// Whether an answer may be partial is said by the request, and else by the configuration.
func TestPartialResponseByDefault(t *testing.T) {
	for _, whole := range []bool{false, true} {
		var got *metrics.Query
		s := loaded(t, func(o *Options) {
			o.WholeAnswers = whole
			next := o.Runner
			o.Runner = runnerFunc(func(ctx context.Context, j job.Job) (job.Result, error) {
				got = j.Metrics
				return next.Run(ctx, j)
			})
		})
		for _, path := range []string{"query?query=reqs_total", "series?match[]=reqs_total", "label/job/values?x="} {
			s.data("/api/v1/" + path)
			require.Equal(t, whole, got.WholeAnswer, path)
			s.data("/api/v1/" + path + "&partial_response=true")
			require.False(t, got.WholeAnswer, path)
			s.data("/api/v1/" + path + "&partial_response=0")
			require.True(t, got.WholeAnswer, path)
		}
		require.Equal(t, 200, s.get("/federate?match[]=reqs_total").Code)
		require.Equal(t, whole, got.WholeAnswer)
	}
}

// The stores are listed as a Thanos Querier does.
func TestStoresAPI(t *testing.T) {
	require.JSONEq(t, `{}`, loaded(t).data("/api/v1/stores"))
	s := loaded(t, func(o *Options) {
		o.Stores = func(id string) []metrics.StoreStatus {
			return []metrics.StoreStatus{
				{Address: "local/head", Component: "receive", LabelSets: []labels.Labels{labels.FromStrings("tenant", id)}, MinTime: 1, MaxTime: 2, Checked: testNow},
				{Address: "far:1", Err: errors.New("down"), Checked: testNow},
			}
		}
	})
	require.JSONEq(t, `{
		"receive": [{"name": "local/head", "lastCheck": "2026-03-01T11:00:00Z", "lastError": null, "labelSets": [{"tenant": "anonymous"}], "minTime": 1, "maxTime": 2}],
		"unknown": [{"name": "far:1", "lastCheck": "2026-03-01T11:00:00Z", "lastError": "down", "labelSets": [], "minTime": 0, "maxTime": 0}]}`, s.data("/api/v1/stores"))
}

type runnerFunc func(context.Context, job.Job) (job.Result, error)

func (f runnerFunc) Run(ctx context.Context, j job.Job) (job.Result, error) { return f(ctx, j) }

func TestRemoteRead(t *testing.T) {
	s := loaded(t)
	read := func(types ...prompb.ReadRequest_ResponseType) *httptest.ResponseRecorder {
		q, err := remote.ToQuery(at(-time.Minute), at(0), nil, nil)
		require.NoError(t, err)
		q.Matchers = []*prompb.LabelMatcher{{Type: prompb.LabelMatcher_EQ, Name: "job", Value: "b"}}
		req := prompb.ReadRequest{Queries: []*prompb.Query{q}, AcceptedResponseTypes: types}
		data, err := req.Marshal()
		require.NoError(t, err)
		r := httptest.NewRequest(http.MethodPost, "/api/v1/read", bytes.NewReader(snappy.Encode(nil, data)))
		return s.do(r)
	}
	w := read()
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	data, err := snappy.Decode(nil, w.Body.Bytes())
	require.NoError(t, err)
	var resp prompb.ReadResponse
	require.NoError(t, resp.Unmarshal(data))
	require.Len(t, resp.Results[0].Timeseries, 1)
	require.Len(t, resp.Results[0].Timeseries[0].Samples, 5)

	w = read(prompb.ReadRequest_STREAMED_XOR_CHUNKS)
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	stream := remote.NewChunkedReader(w.Body, 1<<20, nil)
	var frame prompb.ChunkedReadResponse
	require.NoError(t, stream.NextProto(&frame))
	require.Len(t, frame.ChunkedSeries, 1)
	require.NotEmpty(t, frame.ChunkedSeries[0].Chunks)
	require.ErrorIs(t, stream.NextProto(&frame), io.EOF)
}

// Senders of alerts to the first version of Alertmanager's API learn why they are not heard.
func TestAlertsOfTheFirstVersionAreGone(t *testing.T) {
	s := newServer(t)
	w := s.do(httptest.NewRequest(http.MethodPost, "/api/v1/alerts", strings.NewReader("[]")))
	require.Equal(t, http.StatusGone, w.Code)
	require.Contains(t, w.Body.String(), "/api/v2/alerts")
	require.JSONEq(t, `{"alerts":[]}`, s.data("/api/v1/alerts"))
}
