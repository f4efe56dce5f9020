package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

func zip(b []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, _ = w.Write(b)
	_ = w.Close()
	return buf.Bytes()
}

// Every fault gets a status and a text that names it, and the server is as well afterwards as before.
func TestBadInput(t *testing.T) {
	p := start(t, t.TempDir(), append([]string{"HUNE_HTTP_MAX_BODY_BYTES=4MiB", "HUNE_HTTP_MAX_DECOMPRESSED_BYTES=16MiB"}, quiet...))
	now := fmt.Sprint(time.Now().UnixNano())
	bomb := zip(make([]byte, 64<<20))
	snappyHeader := map[string]string{"Content-Encoding": "snappy"}
	push := func(stream, values string) string {
		return fmt.Sprintf(`{"streams":[{"stream":%s,"values":%s}]}`, stream, values)
	}
	series := func(labels ...string) []byte {
		ts := prompb.TimeSeries{Samples: []prompb.Sample{{Value: 1, Timestamp: time.Now().UnixMilli()}}}
		for i := 0; i+1 < len(labels); i += 2 {
			ts.Labels = append(ts.Labels, prompb.Label{Name: labels[i], Value: labels[i+1]})
		}
		data, err := (&prompb.WriteRequest{Timeseries: []prompb.TimeSeries{ts}}).Marshal()
		require.NoError(t, err)
		return snappy.Encode(nil, data)
	}
	manyLabels := map[string]string{}
	for i := range 1000 {
		manyLabels[fmt.Sprintf("l%d", i)] = "v"
	}
	many, err := json.Marshal(manyLabels)
	require.NoError(t, err)

	for _, c := range []struct {
		name, path, contentType string
		body                    []byte
		header                  map[string]string
		status                  int
		want                    string
	}{
		{"malformed OTLP protobuf", "/v1/traces", protobuf, []byte{0xff, 0xff, 0xff}, nil, 400, ""},
		{"malformed OTLP JSON", "/v1/logs", jsonType, []byte(`{"resourceLogs":[`), nil, 400, ""},
		{"OTLP of another kind", "/v1/metrics", "text/plain", []byte("x"), nil, 415, "text/plain"},
		{"OTLP gzip bomb", "/v1/logs", protobuf, bomb, map[string]string{"Content-Encoding": "gzip"}, 413, "16777216"},
		{"OTLP not gzip", "/v1/logs", protobuf, []byte("plain"), map[string]string{"Content-Encoding": "gzip"}, 400, "gzip"},
		{"OTLP unknown encoding", "/v1/logs", protobuf, nil, map[string]string{"Content-Encoding": "br"}, 415, "br"},
		{"OTLP empty body", "/v1/logs", protobuf, nil, nil, 200, ""},
		{"oversized body", "/v1/traces", protobuf, make([]byte, 5<<20), nil, 413, "4194304"},
		{"Loki: not JSON", "/loki/api/v1/push", jsonType, []byte(`{"streams":`), nil, 400, ""},
		{"Loki: not snappy", "/loki/api/v1/push", protobuf, []byte("hello"), nil, 400, "snappy"},
		{"Loki: bad timestamp", "/loki/api/v1/push", jsonType, []byte(push(`{"a":"b"}`, `[["soon","x"]]`)), nil, 400, "soon"},
		{"Loki: no labels", "/loki/api/v1/push", jsonType, []byte(push(`{}`, `[["`+now+`","x"]]`)), nil, 400, "label"},
		{"Loki: invalid label name", "/loki/api/v1/push", jsonType, []byte(push(`{"a b":"c"}`, `[["`+now+`","x"]]`)), nil, 400, "a b"},
		{"Loki: 10 MB line", "/loki/api/v1/push", jsonType, []byte(push(`{"a":"b"}`, `[["`+now+`","`+strings.Repeat("x", 3<<20)+`"]]`)), nil, 400, "max entry size"},
		{"Loki: 1,000 labels", "/loki/api/v1/push", jsonType, []byte(push(string(many), `[["`+now+`","x"]]`)), nil, 400, "1000"},
		{"Loki: far future", "/loki/api/v1/push", jsonType, []byte(push(`{"a":"b"}`, `[["9000000000000000000","x"]]`)), nil, 400, "too new"},
		{"remote write: not snappy", "/api/v1/write", protobuf, []byte("hello"), snappyHeader, 400, "snappy"},
		{"remote write: not protobuf", "/api/v1/write", protobuf, snappy.Encode(nil, []byte("hello")), snappyHeader, 400, ""},
		{"remote write: no name", "/api/v1/write", protobuf, series("job", "x"), snappyHeader, 400, "name"},
		{"remote write: empty label name", "/api/v1/write", protobuf, series("__name__", "x", "", "y"), snappyHeader, 400, ""},
		{"remote write: invalid UTF-8", "/api/v1/write", protobuf, series("__name__", "x", "job", "\xff"), snappyHeader, 400, "UTF-8"},
		{"remote write: unknown protocol", "/api/v1/write", protobuf + ";proto=io.prometheus.write.v3.Request", series("__name__", "x"), snappyHeader, 415, ""},
		{"Zipkin: not JSON", "/api/v2/spans", jsonType, []byte(`[{`), nil, 400, ""},
		{"unknown path", "/loki/api/v2/push", jsonType, nil, nil, 404, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, body := p.post(c.path, c.contentType, c.body, c.header)
			require.Equal(t, c.status, status, body)
			require.Contains(t, body, c.want)
			require.NotContains(t, body, "goroutine ")
		})
	}

	for _, c := range []struct {
		name, path string
		params     url.Values
		status     int
		want       string
	}{
		{"PromQL", "/api/v1/query", url.Values{"query": {"sum(("}}, 400, "parse error"},
		{"PromQL range upside down", "/api/v1/query_range", url.Values{"query": {"up"}, "start": {"2"}, "end": {"1"}, "step": {"1"}}, 400, "end timestamp"},
		{"PromQL too many points", "/api/v1/query_range", url.Values{"query": {"up"}, "start": {"0"}, "end": {"1000000"}, "step": {"1"}}, 400, "11,000"},
		{"LogQL", "/loki/api/v1/query_range", url.Values{"query": {`{a="b"} |`}}, 400, "parse error"},
		{"LogQL without a matcher", "/loki/api/v1/query_range", url.Values{"query": {`{}`}}, 400, "matcher"},
		{"LogQL time", "/loki/api/v1/query_range", url.Values{"query": {`{a="b"}`}, "start": {"yesterday"}}, 400, "yesterday"},
		{"TraceQL", "/api/search", url.Values{"q": {`{ status = `}}, 400, ""},
		{"trace ID", "/api/v2/traces/xyz", nil, 400, "hex"},
		{"trace ID too long", "/api/traces/" + strings.Repeat("0", 34), nil, 400, "128 bits"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, body := p.get(c.path, c.params, nil)
			require.Equal(t, c.status, status, body)
			require.Contains(t, body, c.want)
		})
	}
	status, _ := p.get("/ready", nil, nil)
	require.Equal(t, http.StatusOK, status)
	require.NotContains(t, p.log.String(), "panic")
}

// One bad record in a batch costs nothing else, and the sender is told.
func TestTheRestOfABatchIsKept(t *testing.T) {
	p := start(t, t.TempDir(), quiet)
	now := time.Now()
	at := func(d time.Duration) string { return fmt.Sprint(now.Add(d).UnixNano()) }
	long := strings.Repeat("x", 300<<10)

	status, body := p.post("/loki/api/v1/push", jsonType, lokiPush(map[string]string{"app": "mixed"}, [][2]string{{at(0), "good"}, {at(1), long}, {at(time.Hour), "future"}, {at(2), "also good"}}), nil)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, "max entry size")
	require.Contains(t, body, "too new")
	require.Equal(t, map[string]int{"good": 1, "also good": 1}, p.lokiLines(`{app="mixed"}`, now.Add(-time.Minute), now.Add(2*time.Hour), nil))

	ld := plog.NewLogs()
	records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for _, line := range []string{"kept", long} {
		lr := records.AppendEmpty()
		lr.SetTimestamp(pcommon.NewTimestampFromTime(time.Unix(100, 0)))
		lr.Body().SetStr(line)
	}
	ld.ResourceLogs().At(0).Resource().Attributes().PutStr("service.name", "partial")
	request, err := plogotlp.NewExportRequestFromLogs(ld).MarshalJSON()
	require.NoError(t, err)
	status, body = p.post("/v1/logs", jsonType, request, nil)
	require.Equal(t, http.StatusOK, status, body)
	response := plogotlp.NewExportResponse()
	require.NoError(t, response.UnmarshalJSON([]byte(body)))
	require.EqualValues(t, 1, response.PartialSuccess().RejectedLogRecords(), body)
	require.Contains(t, response.PartialSuccess().ErrorMessage(), "max entry size")
	// Old times are welcome.
	require.Equal(t, map[string]int{"kept": 1}, p.lokiLines(`{service_name="partial"}`, time.Unix(50, 0), time.Unix(200, 0), nil))

	td := ptrace.NewTraces()
	spans := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	good := spans.AppendEmpty()
	good.SetTraceID([16]byte{1})
	good.SetSpanID([8]byte{1})
	good.SetName("good")
	good.SetStartTimestamp(1)
	good.SetEndTimestamp(2)
	noID := spans.AppendEmpty()
	noID.SetName("no ID")
	data, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
	require.NoError(t, err)
	status, body = p.post("/v1/traces", protobuf, data, nil)
	require.Equal(t, http.StatusOK, status, body)
	answer := ptraceotlp.NewExportResponse()
	require.NoError(t, answer.UnmarshalProto([]byte(body)))
	require.EqualValues(t, 1, answer.PartialSuccess().RejectedSpans())
	require.Equal(t, map[string]int{"good": 1}, p.spanNames("01"+strings.Repeat("0", 30), nil))

	req := prompb.WriteRequest{}
	for _, l := range [][]prompb.Label{{{Name: "__name__", Value: "kept"}}, {{Name: "job", Value: "nameless"}}} {
		req.Timeseries = append(req.Timeseries, prompb.TimeSeries{Labels: l, Samples: []prompb.Sample{{Value: 5, Timestamp: now.UnixMilli()}}})
	}
	data, err = req.Marshal()
	require.NoError(t, err)
	status, body = p.post("/api/v1/write", protobuf, snappy.Encode(nil, data), map[string]string{"Content-Encoding": "snappy"})
	require.Equal(t, http.StatusBadRequest, status, body)
	require.Contains(t, body, "nameless")
	require.Equal(t, map[string]string{"": "5"}, p.promVector("kept", now.Add(time.Second), "job", nil))

	status, body = p.post("/api/v2/spans", jsonType, []byte(fmt.Sprintf(`[{"traceId":"00000000000000000000000000000abc","id":"0000000000000001","name":"fine","timestamp":%d,"duration":1},{"id":"nonsense"}]`, now.UnixMicro())), nil)
	require.Less(t, status, 500, body)
	require.Equal(t, map[string]int{"fine": 1}, p.spanNames("abc", nil))
}
