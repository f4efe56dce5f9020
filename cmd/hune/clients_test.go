package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	grpcgzip "google.golang.org/grpc/encoding/gzip"
)

// Sessions as clients have them: the requests, in their order and spelling, that Grafana's data
// sources, its drilldown apps, promtool, logcli and the senders make.

// postForm sends a form, as Grafana does by default, and reads the answer into v.
func (p *process) postForm(path string, params url.Values, v any) {
	p.t.Helper()
	status, body := p.post(path, form, []byte(params.Encode()), nil)
	require.Equal(p.t, http.StatusOK, status, "%s: %s", path, body)
	require.NoError(p.t, json.Unmarshal([]byte(body), v), body)
}

// promStrings is an answer that lists names.
type promStrings struct {
	Status string
	Data   []string
}

// promMatrix is an answer of query_range.
type promMatrix struct {
	Data struct {
		ResultType string
		Result     []struct {
			Metric     map[string]string
			Values     [][2]any
			Histograms [][2]any
		}
	}
}

// float reads a sample's value.
func float(t *testing.T, v any) float64 {
	t.Helper()
	f, err := strconv.ParseFloat(v.(string), 64)
	require.NoError(t, err)
	return f
}

// promSeries is what a Prometheus sends by remote write 1.0: counters with exemplars and metadata, a
// native histogram.
func promSeries(now time.Time) []byte {
	req := &prompb.WriteRequest{Metadata: []prompb.MetricMetadata{
		{MetricFamilyName: "http_requests_total", Type: prompb.MetricMetadata_COUNTER, Help: "Requests answered.", Unit: ""}}}
	pairs := func(kv ...string) (out []prompb.Label) {
		for i := 0; i < len(kv); i += 2 {
			out = append(out, prompb.Label{Name: kv[i], Value: kv[i+1]})
		}
		return out
	}
	for n, code := range []string{"200", "500"} {
		ts := prompb.TimeSeries{Labels: pairs("__name__", "http_requests_total", "code", code, "instance", "i-1", "job", "api")}
		for i := range 21 {
			ts.Samples = append(ts.Samples, prompb.Sample{Timestamp: now.Add(time.Duration(i-20) * 15 * time.Second).UnixMilli(), Value: float64(i * 15 * (n + 1))})
		}
		ts.Exemplars = []prompb.Exemplar{{Labels: pairs("trace_id", "abc"+code), Value: 0.5, Timestamp: now.Add(-time.Minute).UnixMilli()}}
		req.Timeseries = append(req.Timeseries, ts)
	}
	hist := prompb.TimeSeries{Labels: pairs("__name__", "latency_seconds", "job", "api")}
	for i := range 21 {
		n := int64(i + 1)
		hist.Histograms = append(hist.Histograms, prompb.Histogram{Count: &prompb.Histogram_CountInt{CountInt: uint64(4 * n)}, Sum: float64(10 * n),
			Schema: 0, ZeroThreshold: 1e-128, ZeroCount: &prompb.Histogram_ZeroCountInt{}, PositiveSpans: []prompb.BucketSpan{{Offset: 1, Length: 2}},
			PositiveDeltas: []int64{2 * n, 0}, Timestamp: now.Add(time.Duration(i-20) * 15 * time.Second).UnixMilli()})
	}
	req.Timeseries = append(req.Timeseries, hist)
	data, err := req.Marshal()
	if err != nil {
		panic(err)
	}
	return snappy.Encode(nil, data)
}

func TestGrafanaPrometheusSession(t *testing.T) {
	p := start(t, t.TempDir(), quiet)
	now := time.Now().Truncate(time.Second)
	code, body := p.post("/api/v1/write", protobuf, promSeries(now), map[string]string{"Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": "0.1.0"})
	require.Less(t, code, 300, body)
	start, end := fmt.Sprint(now.Add(-5*time.Minute).Unix()), fmt.Sprint(now.Unix())

	// A panel: POST, with a step.
	var m promMatrix
	p.postForm("/api/v1/query_range", url.Values{"query": {`sum by (code) (rate(http_requests_total{job="api"}[1m]))`}, "start": {start}, "end": {end}, "step": {"15"}}, &m)
	require.Equal(t, "matrix", m.Data.ResultType)
	require.Len(t, m.Data.Result, 2)
	require.Equal(t, map[string]string{"code": "200"}, m.Data.Result[0].Metric)
	last := m.Data.Result[0].Values[len(m.Data.Result[0].Values)-1]
	require.EqualValues(t, now.Unix(), last[0])
	require.InDelta(t, 1, float(t, last[1]), 1e-9)
	// Native histograms: a quantile over them, and themselves for a heatmap.
	m = promMatrix{}
	p.postForm("/api/v1/query_range", url.Values{"query": {`histogram_quantile(0.5, sum(rate(latency_seconds[2m])))`}, "start": {start}, "end": {end}, "step": {"15"}}, &m)
	require.Len(t, m.Data.Result, 1)
	require.InDelta(t, 2, float(t, m.Data.Result[0].Values[10][1]), 1e-9)
	m = promMatrix{}
	p.postForm("/api/v1/query_range", url.Values{"query": {`latency_seconds`}, "start": {start}, "end": {end}, "step": {"15"}}, &m)
	require.Len(t, m.Data.Result[0].Histograms, 21)
	var heat struct{ Count, Sum string }
	raw, err := json.Marshal(m.Data.Result[0].Histograms[20][1])
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &heat))
	require.Equal(t, "84", heat.Count)
	require.Equal(t, "210", heat.Sum)
	// A table: instant.
	var v struct {
		Data struct {
			ResultType string
			Result     []struct{ Metric map[string]string }
		}
	}
	p.postForm("/api/v1/query", url.Values{"query": {`topk(1, http_requests_total)`}, "time": {end}}, &v)
	require.Len(t, v.Data.Result, 1)
	require.Equal(t, "500", v.Data.Result[0].Metric["code"])

	// The builder, the metrics browser and variables.
	var names promStrings
	p.getJSON("/api/v1/label/__name__/values", url.Values{"match[]": {`{job="api"}`}, "start": {start}, "end": {end}, "limit": {"40000"}}, &names)
	require.Equal(t, []string{"http_requests_total", "latency_seconds"}, names.Data)
	p.postForm("/api/v1/labels", url.Values{"match[]": {`http_requests_total`}, "start": {start}, "end": {end}, "limit": {"40000"}}, &names)
	require.Equal(t, []string{"__name__", "code", "instance", "job"}, names.Data)
	p.getJSON("/api/v1/label/code/values", url.Values{"match[]": {`{code="500"}`}, "start": {start}, "end": {end}}, &names)
	require.Equal(t, []string{"500"}, names.Data)
	var series struct{ Data []map[string]string }
	p.postForm("/api/v1/series", url.Values{"match[]": {`http_requests_total`, `latency_seconds`}, "start": {start}, "end": {end}}, &series)
	require.Len(t, series.Data, 3)
	var metadata struct {
		Data map[string][]struct{ Type, Help string }
	}
	p.getJSON("/api/v1/metadata", url.Values{"limit": {"40000"}}, &metadata)
	require.Equal(t, "counter", metadata.Data["http_requests_total"][0].Type)
	require.Equal(t, "Requests answered.", metadata.Data["http_requests_total"][0].Help)
	var exemplars struct {
		Data []struct {
			SeriesLabels map[string]string
			Exemplars    []struct {
				Labels map[string]string
				Value  string
			}
		}
	}
	p.getJSON("/api/v1/query_exemplars", url.Values{"query": {`sum(rate(http_requests_total{code="500"}[1m]))`}, "start": {start}, "end": {end}}, &exemplars)
	require.Len(t, exemplars.Data, 1)
	require.Equal(t, "abc500", exemplars.Data[0].Exemplars[0].Labels["trace_id"])

	// promtool: query instant, range, series and labels; check healthy and ready; and what it says of a mistake.
	for path, params := range map[string]url.Values{
		"/api/v1/query": {"query": {"http_requests_total"}, "time": {now.Format(time.RFC3339Nano)}}, "/api/v1/query_range": {"query": {"http_requests_total"}, "start": {start}, "end": {end}, "step": {"14"}},
		"/api/v1/series": {"match[]": {"http_requests_total"}, "start": {start}, "end": {end}}} {
		var any struct{ Status string }
		p.postForm(path, params, &any)
		require.Equal(t, "success", any.Status)
	}
	code, body = p.post("/api/v1/query", form, []byte(url.Values{"query": {"sum("}}.Encode()), nil)
	require.Equal(t, http.StatusBadRequest, code)
	require.Contains(t, body, `"errorType":"bad_data"`)
	require.Contains(t, body, "1:5: parse error")
	code, body = p.post("/api/v1/query_range", form, []byte(url.Values{"query": {"up"}, "start": {"0"}, "end": {end}, "step": {"1"}}.Encode()), nil)
	require.Equal(t, http.StatusBadRequest, code, body)
}

// Remote write 2.0: native histograms and floats with created timestamps, and the counts of what was
// written in the answer.
func TestRemoteWriteTwo(t *testing.T) {
	p := start(t, t.TempDir(), append([]string{"HUNE_METRICS_START_TIMESTAMP_ZERO=true"}, quiet...))
	now := time.Now().Truncate(time.Second)
	created := now.Add(-2 * time.Minute).UnixMilli()
	req := writev2.Request{Symbols: []string{"", "__name__", "jobs_total", "job", "batch", "wait_seconds", "Jobs done."}}
	counter := writev2.TimeSeries{LabelsRefs: []uint32{1, 2, 3, 4}, Metadata: writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_COUNTER, HelpRef: 6}}
	hist := writev2.TimeSeries{LabelsRefs: []uint32{1, 5, 3, 4}, Metadata: writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_HISTOGRAM}}
	for i := range 5 {
		ts := now.Add(time.Duration(i-4) * 15 * time.Second).UnixMilli()
		n := int64(i + 1)
		counter.Samples = append(counter.Samples, writev2.Sample{Value: float64(60 * n), Timestamp: ts, StartTimestamp: created})
		hist.Histograms = append(hist.Histograms, writev2.Histogram{Count: &writev2.Histogram_CountInt{CountInt: uint64(4 * n)}, Sum: 10, Timestamp: ts, StartTimestamp: created,
			ZeroThreshold: 1e-128, ZeroCount: &writev2.Histogram_ZeroCountInt{}, PositiveSpans: []writev2.BucketSpan{{Offset: 1, Length: 2}}, PositiveDeltas: []int64{2 * n, 0}})
	}
	req.Timeseries = []writev2.TimeSeries{counter, hist}
	data, err := req.Marshal()
	require.NoError(t, err)
	post, err := http.NewRequest(http.MethodPost, p.url+"/api/v1/write", bytes.NewReader(snappy.Encode(nil, data)))
	require.NoError(t, err)
	post.Header = http.Header{"Content-Type": {protobuf + ";proto=io.prometheus.write.v2.Request"}, "Content-Encoding": {"snappy"},
		"X-Prometheus-Remote-Write-Version": {"2.0.0"}, "User-Agent": {"Prometheus/3.9.1"}}
	resp, err := http.DefaultClient.Do(post)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusNoContent, resp.StatusCode)
	require.Equal(t, "5", resp.Header.Get("X-Prometheus-Remote-Write-Samples-Written"))
	require.Equal(t, "5", resp.Header.Get("X-Prometheus-Remote-Write-Histograms-Written"))
	require.Equal(t, "0", resp.Header.Get("X-Prometheus-Remote-Write-Exemplars-Written"))

	require.Equal(t, "300", p.promVector(`jobs_total`, now, "job", nil)["batch"])
	// The zero at the start makes the first value count: 300 in the two minutes since, not 240.
	require.Equal(t, "300", p.promVector(`jobs_total - jobs_total @ `+fmt.Sprint(created/1000+1), now, "job", nil)["batch"])
	require.Equal(t, "2", p.promVector(`histogram_quantile(0.5, wait_seconds)`, now, "job", nil)["batch"])
	require.Equal(t, "0", p.promVector(`histogram_count(wait_seconds @ `+fmt.Sprint(created/1000+1)+`)`, now, "job", nil)["batch"])
	p.flush()
	require.Equal(t, "2", p.promVector(`histogram_quantile(0.5, wait_seconds)`, now, "job", nil)["batch"])
}

// lokiAnswer is an answer of Loki's query paths.
type lokiAnswer struct {
	Data struct {
		ResultType    string
		EncodingFlags []string
		Result        []struct {
			Stream map[string]string
			Metric map[string]string
			Values [][]any
		}
		Stats map[string]any
	}
}

func TestGrafanaLokiSession(t *testing.T) {
	p := start(t, t.TempDir(), quiet)
	now := time.Now()
	push := func(ago time.Duration, level, line string) {
		t.Helper()
		code, body := p.post("/loki/api/v1/push", protobuf, lokiProto(`{app="web", env="prod"}`, now.Add(-ago), line, [2]string{"trace_id", "t-" + level}), nil)
		require.Equal(t, http.StatusNoContent, code, body)
	}
	push(3*time.Second, "info", `level=info msg="cart opened" user=3 took=20ms`)
	push(2*time.Second, "error", `level=error msg="card refused" user=4 took=90ms`)
	push(1*time.Second, "info", `level=info msg="cart opened" user=5 took=30ms`)
	from, to := now.Add(-time.Hour), now.Add(time.Minute)
	nanos := func(extra url.Values) url.Values {
		extra.Set("start", fmt.Sprint(from.UnixNano()))
		extra.Set("end", fmt.Sprint(to.UnixNano()))
		return extra
	}
	iso := func(extra url.Values) url.Values {
		extra.Set("start", from.UTC().Format("2006-01-02T15:04:05.000Z"))
		extra.Set("end", to.UTC().Format("2006-01-02T15:04:05.000Z"))
		return extra
	}

	// Explore: newest first, labels apart.
	for direction, want := range map[string][]string{"backward": {"5", "4", "3"}, "forward": {"3", "4", "5"}} {
		status, body := p.get("/loki/api/v1/query_range", nanos(url.Values{"query": {`{app="web"} | logfmt`}, "limit": {"1000"}, "direction": {direction}, "step": {"15000ms"}}),
			map[string]string{"X-Loki-Response-Encoding-Flags": "categorize-labels", "X-Query-Tags": "Source=grafana"})
		require.Equal(t, http.StatusOK, status, body)
		var a lokiAnswer
		require.NoError(t, json.Unmarshal([]byte(body), &a))
		require.Equal(t, []string{"categorize-labels"}, a.Data.EncodingFlags)
		require.Len(t, a.Data.Result, 1, body)
		require.Equal(t, map[string]string{"app": "web", "env": "prod", "service_name": "web"}, a.Data.Result[0].Stream)
		var users []string
		for _, v := range a.Data.Result[0].Values {
			categories := v[2].(map[string]any)
			require.Contains(t, categories["structuredMetadata"], "trace_id")
			require.Contains(t, categories["structuredMetadata"], "detected_level")
			users = append(users, categories["parsed"].(map[string]any)["user"].(string))
		}
		require.Equal(t, want, users, direction)
		require.Contains(t, a.Data.Stats, "summary")
	}
	// Its histogram above the lines, and a metric panel.
	var a lokiAnswer
	p.getJSON("/loki/api/v1/query_range", nanos(url.Values{"query": {`sum by (level, detected_level) (count_over_time({app="web"}[1m]))`}, "step": {"60000ms"}, "direction": {"backward"}}), &a)
	require.Equal(t, "matrix", a.Data.ResultType)
	require.Len(t, a.Data.Result, 2)
	p.getJSON("/loki/api/v1/query_range", nanos(url.Values{"query": {`max_over_time({app="web"} | logfmt | unwrap duration(took) [5m]) by (app)`}, "step": {"60s"}}), &a)
	points := a.Data.Result[len(a.Data.Result)-1].Values
	require.Equal(t, 0.09, float(t, points[len(points)-1][1])) // the first minute may end between the lines
	// The builder and variables.
	var list promStrings
	p.getJSON("/loki/api/v1/labels", nanos(url.Values{}), &list)
	require.Equal(t, []string{"app", "env", "service_name"}, list.Data)
	p.getJSON("/loki/api/v1/labels", nanos(url.Values{"query": {`{app="web"}`}}), &list)
	require.Equal(t, []string{"app", "env", "service_name"}, list.Data)
	p.getJSON("/loki/api/v1/label/env/values", nanos(url.Values{"query": {`{app="web"}`}}), &list)
	require.Equal(t, []string{"prod"}, list.Data)
	list = promStrings{}
	p.getJSON("/loki/api/v1/label/env/values", nanos(url.Values{"query": {`{app="other"}`}}), &list)
	require.Empty(t, list.Data)
	// The hint of how much a query reads.
	var stats struct{ Streams, Chunks, Bytes, Entries int }
	p.getJSON("/loki/api/v1/index/stats", nanos(url.Values{"query": {`{app="web"}`}}), &stats)
	require.Equal(t, 1, stats.Streams)
	require.Equal(t, 3, stats.Entries)
	require.Positive(t, stats.Bytes)

	// Logs Drilldown, with its ISO times.
	var volume struct {
		Data struct {
			ResultType string
			Result     []struct {
				Metric map[string]string
				Value  []any
			}
		}
	}
	p.getJSON("/loki/api/v1/index/volume", iso(url.Values{"query": {`{service_name=~".+"}`}, "limit": {"5000"}, "targetLabels": {"service_name"}, "aggregateBy": {"series"}}), &volume)
	require.Equal(t, map[string]string{"service_name": "web"}, volume.Data.Result[0].Metric)
	require.Positive(t, float(t, volume.Data.Result[0].Value[1]))
	p.getJSON("/loki/api/v1/index/volume_range", iso(url.Values{"query": {`{service_name=~".+"}`}, "step": {"60s"}}), &a)
	require.Equal(t, "matrix", a.Data.ResultType)
	require.NotEmpty(t, a.Data.Result)
	var labels struct {
		DetectedLabels []struct {
			Label       string
			Cardinality int
		}
	}
	p.getJSON("/loki/api/v1/detected_labels", iso(url.Values{"query": {`{service_name="web"}`}}), &labels)
	require.True(t, slices.ContainsFunc(labels.DetectedLabels, func(l struct {
		Label       string
		Cardinality int
	}) bool {
		return l.Label == "env" && l.Cardinality == 1
	}), labels)
	var fields struct {
		Fields []struct {
			Label, Type string
			Cardinality int
			Parsers     []string
		}
	}
	p.getJSON("/loki/api/v1/detected_fields", iso(url.Values{"query": {`{service_name="web"}`}, "limit": {"100"}, "line_limit": {"1000"}}), &fields)
	types := map[string]string{}
	for _, f := range fields.Fields {
		types[f.Label] = f.Type
	}
	require.Equal(t, map[string]string{"level": "string", "msg": "string", "user": "int", "took": "duration", "trace_id": "string", "detected_level": "string"}, types)
	var values struct{ Values []string }
	p.getJSON("/loki/api/v1/detected_field/user/values", iso(url.Values{"query": {`{service_name="web"} | logfmt`}}), &values)
	require.ElementsMatch(t, []string{"3", "4", "5"}, values.Values)
	var patterns struct {
		Data []struct {
			Pattern string
			Samples [][]int
		}
	}
	p.getJSON("/loki/api/v1/patterns", iso(url.Values{"query": {`{service_name="web"}`}, "step": {"60s"}}), &patterns)
	require.NotEmpty(t, patterns.Data)
	require.Contains(t, patterns.Data[0].Pattern, "<_>")

	// logcli: series by POST, a query with its short parameters, and what it says of a mistake.
	var series struct{ Data []map[string]string }
	p.postForm("/loki/api/v1/series", nanos(url.Values{"match[]": {`{app="web"}`}}), &series)
	require.Equal(t, []map[string]string{{"app": "web", "env": "prod", "service_name": "web"}}, series.Data)
	p.getJSON("/loki/api/v1/query_range", url.Values{"query": {`{app="web"}`}, "limit": {"2"}, "since": {"1h"}}, &a)
	lines := 0
	for _, r := range a.Data.Result {
		lines += len(r.Values)
	}
	require.Equal(t, 2, lines)
	code, body := p.get("/loki/api/v1/query_range", url.Values{"query": {`{app="web"`}}, nil)
	require.Equal(t, http.StatusBadRequest, code)
	require.Contains(t, body, "parse error at line 1")

	// Live: from a moment ago on.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, strings.Replace(p.url, "http", "ws", 1)+"/loki/api/v1/tail?"+
		url.Values{"query": {`{app="web"} |= "refused"`}, "start": {fmt.Sprint(from.UnixNano())}, "limit": {"10"}}.Encode(), nil)
	require.NoError(t, err)
	defer func() { _ = conn.CloseNow() }()
	_, frame, err := conn.Read(ctx)
	require.NoError(t, err)
	require.Contains(t, string(frame), "card refused")
}

func TestGrafanaTempoSession(t *testing.T) {
	p := start(t, t.TempDir(), quiet)
	now := time.Now()
	data, err := otlpTraces(9, "checkout", "GET /cart", now.Add(-time.Minute)).MarshalProto()
	require.NoError(t, err)
	code, body := p.post("/v1/traces", protobuf, data, nil)
	require.Equal(t, http.StatusOK, code, body)
	seconds := func(extra url.Values) url.Values {
		extra.Set("start", fmt.Sprint(now.Add(-time.Hour).Unix()))
		extra.Set("end", fmt.Sprint(now.Add(time.Minute).Unix()))
		return extra
	}
	id := fmt.Sprintf("%032x", 9)

	// Autocomplete.
	var tags struct {
		Scopes []struct {
			Name string
			Tags []string
		}
	}
	p.getJSON("/api/v2/search/tags", seconds(url.Values{"limit": {"5000"}}), &tags)
	scopes := map[string][]string{}
	for _, s := range tags.Scopes {
		scopes[s.Name] = s.Tags
	}
	require.Contains(t, scopes["resource"], "service.name")
	require.Contains(t, scopes["span"], "http.route")
	require.Contains(t, scopes["intrinsic"], "duration")
	p.getJSON("/api/v2/search/tags", seconds(url.Values{"scope": {"span"}}), &tags)
	require.Len(t, tags.Scopes, 1)
	var values struct {
		TagValues []struct{ Type, Value string }
	}
	for tag, want := range map[string]string{"resource.service.name": "checkout", "span.http.route": "/cart", "name": "GET /cart", "status": "error", ".service.name": "checkout"} {
		values.TagValues = nil
		p.getJSON("/api/v2/search/tag/"+tag+"/values", seconds(url.Values{"q": {`{ kind = server && }`}}), &values)
		require.Condition(t, func() bool {
			return slices.ContainsFunc(values.TagValues, func(v struct{ Type, Value string }) bool { return v.Value == want })
		}, "%s: %v", tag, values)
	}
	// Search, by query and by tags, as milliseconds and nanoseconds in text.
	var found struct {
		Traces []struct {
			TraceID, RootServiceName, RootTraceName, StartTimeUnixNano string
			DurationMs                                                 int
			SpanSets                                                   []struct {
				Matched int
				Spans   []struct{ SpanID, StartTimeUnixNano, DurationNanos string }
			}
		}
	}
	for _, params := range []url.Values{{"q": {`{ resource.service.name = "checkout" && duration > 100ms }`}, "limit": {"20"}, "spss": {"3"}},
		{"tags": {`service.name=checkout http.route="/cart"`}, "minDuration": {"100ms"}, "maxDuration": {"5s"}}} {
		found.Traces = nil
		p.getJSON("/api/search", seconds(params), &found)
		require.Len(t, found.Traces, 1, params)
		require.Equal(t, "checkout", found.Traces[0].RootServiceName)
		require.Equal(t, "GET /cart", found.Traces[0].RootTraceName)
		require.Equal(t, 250, found.Traces[0].DurationMs)
		require.Equal(t, strings.TrimLeft(id, "0"), strings.TrimLeft(found.Traces[0].TraceID, "0"))
	}
	require.NotEmpty(t, found.Traces[0].StartTimeUnixNano)
	// The trace itself, with and without leading zeros, with and without a time range.
	for _, ref := range []string{id, "9"} {
		require.Len(t, p.spanNames(ref, nil), 2)
	}
	status, body := p.get("/api/v2/traces/"+id, seconds(url.Values{}), map[string]string{"Accept": "application/protobuf"})
	require.Equal(t, http.StatusOK, status, body)
	// An unknown one is empty in version 2, as Grafana expects it.
	status, body = p.get("/api/v2/traces/"+strings.Repeat("9", 32), nil, nil)
	require.Equal(t, http.StatusOK, status, body)
	require.Contains(t, body, `"trace":{}`)
	status, body = p.get("/api/v2/traces/not-hex", nil, nil)
	require.Equal(t, http.StatusBadRequest, status, body)
	// Traces Drilldown: metrics from spans.
	var series struct {
		Series []struct {
			Labels  []any
			Samples []struct{ Value float64 }
		}
	}
	p.getJSON("/api/metrics/query_range", seconds(url.Values{"q": {`{ status = error } | count_over_time() by (resource.service.name)`}, "step": {"60s"}}), &series)
	require.Len(t, series.Series, 1)
	sum := 0.0
	for _, s := range series.Series[0].Samples {
		sum += s.Value
	}
	require.Equal(t, 2.0, sum)
	p.getJSON("/api/metrics/query", seconds(url.Values{"q": {`{} | quantile_over_time(duration, .5)`}}), &series)
	require.Len(t, series.Series, 1)
	status, body = p.get("/api/search", url.Values{"q": {`{ resource.service.name = `}}, nil)
	require.Equal(t, http.StatusBadRequest, status)
	require.NotEmpty(t, body)
}

// An OpenTelemetry SDK with OTEL_EXPORTER_OTLP_COMPRESSION=gzip, to the collector's port and to the
// main one; a Zipkin reporter with gzip.
func TestCompressedSenders(t *testing.T) {
	p := start(t, t.TempDir(), quiet)
	now := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	main := p.dial()
	p.url, p.grpc = "http://"+p.grpc, strings.TrimPrefix(p.url, "http://")
	receiver := p.dial()
	p.url, p.grpc = "http://"+p.grpc, strings.TrimPrefix(p.url, "http://")
	for id, conn := range []*grpc.ClientConn{receiver, main} {
		zip := grpc.UseCompressor(grpcgzip.Name)
		_, err := ptraceotlp.NewGRPCClient(conn).Export(ctx, otlpTraces(byte(id+1), "sdk", fmt.Sprint("span ", id), now), zip)
		require.NoError(t, err)
		_, err = plogotlp.NewGRPCClient(conn).Export(ctx, otlpLogs("sdk", fmt.Sprint("line ", id), now), zip)
		require.NoError(t, err)
		_, err = pmetricotlp.NewGRPCClient(conn).Export(ctx, otlpMetrics(fmt.Sprint("gauge", id), now), zip)
		require.NoError(t, err)
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, err := fmt.Fprintf(w, `[{"traceId":"000000000000000a","id":"000000000000000b","name":"charge","timestamp":%d,"duration":20000,"kind":"CLIENT",
		"localEndpoint":{"serviceName":"zip"},"remoteEndpoint":{"serviceName":"bank","ipv4":"10.0.0.1","port":443},
		"tags":{"http.method":"POST","error":"refused"},"annotations":[{"timestamp":%d,"value":"retry"}]}]`, now.UnixMicro(), now.UnixMicro())
	require.NoError(t, err)
	require.NoError(t, w.Close())
	code, body := p.post("/api/v2/spans", jsonType, zipped.Bytes(), map[string]string{"Content-Encoding": "gzip"})
	require.Equal(t, http.StatusAccepted, code, body)

	for id := range 2 {
		require.Len(t, p.spanNames(fmt.Sprintf("%032x", id+1), nil), 2)
		require.Equal(t, map[string]string{"checkout": "42"}, p.promVector(fmt.Sprint("gauge", id), now.Add(time.Second), "job", nil))
	}
	require.Equal(t, map[string]int{"line 0": 1, "line 1": 1}, p.lokiLines(`{service_name="sdk"}`, now.Add(-time.Minute), now.Add(time.Minute), nil))
	var found struct {
		Traces []struct{ RootServiceName string }
	}
	p.getJSON("/api/search", url.Values{"q": {`{ resource.service.name = "zip" && kind = client && status = error && span.http.method = "POST" && event:name = "retry" && duration = 20ms }`}}, &found)
	require.Len(t, found.Traces, 1)
}
