package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang/snappy"
	"github.com/klauspost/compress/zstd"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	protobuf = "application/x-protobuf"
	jsonType = "application/json"
)

func otlpMetrics(name string, now time.Time) pmetricotlp.ExportRequest {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("service.name", "checkout")
	rm.Resource().Attributes().PutStr("service.instance.id", "i-1")
	ms := rm.ScopeMetrics().AppendEmpty().Metrics()
	g := ms.AppendEmpty()
	g.SetName(name)
	dp := g.SetEmptyGauge().DataPoints().AppendEmpty()
	dp.SetTimestamp(pcommon.NewTimestampFromTime(now))
	dp.SetDoubleValue(42)
	h := ms.AppendEmpty()
	h.SetName(name + ".native")
	eh := h.SetEmptyExponentialHistogram()
	eh.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	hp := eh.DataPoints().AppendEmpty()
	hp.SetTimestamp(pcommon.NewTimestampFromTime(now))
	hp.SetStartTimestamp(pcommon.NewTimestampFromTime(now.Add(-time.Minute)))
	hp.SetScale(1)
	hp.SetCount(6)
	hp.SetSum(12)
	hp.Positive().BucketCounts().FromRaw([]uint64{1, 2, 3})
	return pmetricotlp.NewExportRequestFromMetrics(md)
}

func otlpLogs(service, line string, now time.Time) plogotlp.ExportRequest {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("service.name", service)
	lr := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	lr.SetTimestamp(pcommon.NewTimestampFromTime(now))
	lr.SetSeverityText("ERROR")
	lr.SetSeverityNumber(plog.SeverityNumberError)
	lr.Body().SetStr(line)
	lr.Attributes().PutStr("http.route", "/cart")
	lr.SetTraceID(pcommon.TraceID{1, 2, 3})
	return plogotlp.NewExportRequestFromLogs(ld)
}

func otlpTraces(id byte, service, name string, now time.Time) ptraceotlp.ExportRequest {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", service)
	spans := rs.ScopeSpans().AppendEmpty().Spans()
	root := spans.AppendEmpty()
	root.SetTraceID(pcommon.TraceID{15: id})
	root.SetSpanID(pcommon.SpanID{7: 1})
	root.SetName(name)
	root.SetKind(ptrace.SpanKindServer)
	root.SetStartTimestamp(pcommon.NewTimestampFromTime(now))
	root.SetEndTimestamp(pcommon.NewTimestampFromTime(now.Add(250 * time.Millisecond)))
	root.Attributes().PutStr("http.route", "/cart")
	root.Status().SetCode(ptrace.StatusCodeError)
	child := spans.AppendEmpty()
	root.CopyTo(child)
	child.SetSpanID(pcommon.SpanID{7: 2})
	child.SetParentSpanID(root.SpanID())
	child.SetName(name + " child")
	child.SetKind(ptrace.SpanKindClient)
	return ptraceotlp.NewExportRequestFromTraces(td)
}

type marshaler interface {
	MarshalProto() ([]byte, error)
	MarshalJSON() ([]byte, error)
}

// Every protocol in, all three APIs out: from the head, from the bucket, and after a kill.
func TestEveryProtocolFromSocketToBucketAndBack(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir, quiet)
	now := time.Now().Truncate(time.Millisecond)
	must := func(status int, body string) {
		t.Helper()
		require.Less(t, status, 300, body)
	}
	proto := func(m marshaler) []byte { b, err := m.MarshalProto(); require.NoError(t, err); return b }
	asJSON := func(m marshaler) []byte { b, err := m.MarshalJSON(); require.NoError(t, err); return b }
	zipped := func(b []byte) []byte {
		var buf bytes.Buffer
		w := gzip.NewWriter(&buf)
		_, err := w.Write(b)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		return buf.Bytes()
	}
	zst, err := zstd.NewWriter(nil)
	require.NoError(t, err)

	// OTLP over HTTP on the main port: protobuf and JSON, plain, gzip and zstd.
	must(p.post("/v1/metrics", protobuf, proto(otlpMetrics("otlp.proto", now)), nil))
	must(p.post("/v1/metrics", jsonType, zipped(asJSON(otlpMetrics("otlp.json", now))), map[string]string{"Content-Encoding": "gzip"}))
	must(p.post("/api/v1/otlp/v1/metrics", protobuf, zst.EncodeAll(proto(otlpMetrics("otlp.prom", now)), nil), map[string]string{"Content-Encoding": "zstd"}))
	must(p.post("/v1/logs", protobuf, proto(otlpLogs("checkout", "from otlp proto", now)), nil))
	must(p.post("/v1/logs", jsonType, asJSON(otlpLogs("checkout", "from otlp json", now)), nil))
	must(p.post("/otlp/v1/logs", protobuf, proto(otlpLogs("checkout", "from loki otlp", now)), nil))
	must(p.post("/v1/traces", protobuf, proto(otlpTraces(1, "checkout", "otlp proto", now)), nil))
	must(p.post("/v1/traces", jsonType, asJSON(otlpTraces(2, "checkout", "otlp json", now)), nil))
	// The collector's receivers: gRPC and HTTP on their own ports; gRPC on the main port too.
	for addr, id := range map[string]byte{p.grpc: 3, strings.TrimPrefix(p.url, "http://"): 4} {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err = ptraceotlp.NewGRPCClient(conn).Export(ctx, otlpTraces(id, "checkout", "otlp grpc", now))
		require.NoError(t, err)
		_, err = plogotlp.NewGRPCClient(conn).Export(ctx, otlpLogs("checkout", fmt.Sprintf("from grpc %d", id), now))
		require.NoError(t, err)
		_, err = pmetricotlp.NewGRPCClient(conn).Export(ctx, otlpMetrics(fmt.Sprintf("otlp.grpc.%d", id), now))
		require.NoError(t, err)
		cancel()
		require.NoError(t, conn.Close())
	}
	resp, err := http.Post(p.otlp+"/v1/traces", jsonType, bytes.NewReader(asJSON(otlpTraces(5, "checkout", "otlp receiver", now))))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	// Prometheus remote write 1.0 and 2.0.
	must(p.post("/api/v1/write", protobuf, remoteWrite("rw_one", now, map[string]float64{"a": 1}), map[string]string{"Content-Encoding": "snappy"}))
	rw2 := writev2.Request{Symbols: []string{"", "__name__", "rw_two", "id", "b"}, Timeseries: []writev2.TimeSeries{{
		LabelsRefs: []uint32{1, 2, 3, 4}, Samples: []writev2.Sample{{Value: 2, Timestamp: now.UnixMilli()}}}}}
	data, err := rw2.Marshal()
	require.NoError(t, err)
	must(p.post("/api/v1/write", protobuf+";proto=io.prometheus.write.v2.Request", snappy.Encode(nil, data), map[string]string{"Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": "2.0.0"}))
	// Loki push, Zipkin.
	must(p.post("/loki/api/v1/push", jsonType, []byte(fmt.Sprintf(`{"streams":[{"stream":{"app":"web"},"values":[["%d","level=warn msg=\"from loki\"",{"trace_id":"0102"}]]}]}`, now.UnixNano())), nil))
	must(p.post("/api/v2/spans", jsonType, []byte(fmt.Sprintf(`[{"traceId":"00000000000000000000000000000006","id":"0000000000000001","name":"zipkin","timestamp":%d,"duration":1000,"kind":"SERVER","localEndpoint":{"serviceName":"zip"}}]`, now.UnixMicro())), nil))

	check := func(where string) {
		t.Helper()
		at := now.Add(time.Second)
		for _, q := range []struct{ query, label, want string }{
			{`{"otlp.proto"}`, "job", "checkout"}, {`{"otlp.json"}`, "job", "checkout"}, {`otlp_prom`, "job", "checkout"},
			{`rw_one`, "id", "a"}, {`rw_two`, "id", "b"},
		} {
			query := q.query
			got := p.promVector(query, at, q.label, nil)
			if len(got) == 0 { // the translation strategy decides on dots
				got = p.promVector(strings.NewReplacer(".", "_", `{"`, "", `"}`, "").Replace(query), at, q.label, nil)
			}
			require.Contains(t, got, q.want, "%s: %s", where, query)
		}
		require.Equal(t, map[string]string{"checkout": "6"}, p.promVector(`histogram_count(otlp_proto_native)`, at, "job", nil), where)

		from, to := now.Add(-time.Minute), now.Add(time.Minute)
		lines := p.lokiLines(`{service_name="checkout"} | detected_level="error" | http_route="/cart"`, from, to, nil)
		require.Equal(t, map[string]int{"from otlp proto": 1, "from otlp json": 1, "from loki otlp": 1, "from grpc 3": 1, "from grpc 4": 1}, lines, where)
		require.Equal(t, map[string]int{`level=warn msg="from loki"`: 1}, p.lokiLines(`{app="web"} |= "loki" | logfmt | level="warn" | trace_id="0102"`, from, to, nil), where)

		for id := range 5 {
			names := p.spanNames(fmt.Sprintf("%032x", id+1), nil)
			require.Len(t, names, 2, "%s: trace %d", where, id+1)
		}
		require.Equal(t, map[string]int{"zipkin": 1}, p.spanNames("6", nil), where)
		var found struct {
			Traces []struct{ TraceID, RootServiceName, RootTraceName string }
		}
		p.getJSON("/api/search", url.Values{"q": {`{resource.service.name="checkout" && name=~".*child" && status=error && duration > 100ms}`},
			"limit": {"50"}, "start": {fmt.Sprint(from.Unix())}, "end": {fmt.Sprint(to.Unix())}}, &found)
		require.Len(t, found.Traces, 5, where)
		var labels struct{ Data []string }
		p.getJSON("/loki/api/v1/label/service_name/values", url.Values{"start": {fmt.Sprint(from.UnixNano())}, "end": {fmt.Sprint(to.UnixNano())}}, &labels)
		require.Equal(t, []string{"checkout", "web"}, labels.Data, where)
		var counts struct {
			Data struct {
				Result []struct {
					Metric map[string]string
					Value  []any
				}
			}
		}
		p.getJSON("/loki/api/v1/query", url.Values{"query": {`sum by (service_name) (count_over_time({service_name=~".+"}[5m]))`}, "time": {fmt.Sprint(to.UnixNano())}}, &counts)
		require.Len(t, counts.Data.Result, 2, where)
	}
	check("head")
	p.flush()
	check("head and bucket")
	p.kill()
	p = start(t, dir, quiet)
	check("after kill -9")
	p.stop()
}

// A live tail over a websocket gets what is pushed after it began.
func TestTail(t *testing.T) {
	p := start(t, t.TempDir(), quiet)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, strings.Replace(p.url, "http", "ws", 1)+"/loki/api/v1/tail?query="+url.QueryEscape(`{app="tail"} |= "keep"`), nil)
	require.NoError(t, err)
	defer func() { _ = conn.CloseNow() }()
	// The subscription is there when the server has seen the request: push until something arrives.
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			for _, line := range []string{"keep", "drop"} {
				resp, err := http.Post(p.url+"/loki/api/v1/push", jsonType, bytes.NewReader(lokiPush(map[string]string{"app": "tail"},
					[][2]string{{fmt.Sprint(time.Now().UnixNano()), fmt.Sprint(line, " ", i)}})))
				if err == nil {
					_ = resp.Body.Close()
				}
			}
			pause(20 * time.Millisecond)
		}
	}()
	seen := 0
	for seen < 5 {
		_, data, err := conn.Read(ctx)
		require.NoError(t, err)
		var frame struct {
			Streams []struct {
				Stream map[string]string
				Values [][]string
			}
		}
		require.NoError(t, json.Unmarshal(data, &frame), string(data))
		for _, s := range frame.Streams {
			require.Equal(t, "tail", s.Stream["app"])
			for _, v := range s.Values {
				require.Contains(t, v[1], "keep")
				seen++
			}
		}
	}
}

// The bucket is S3: another process serves it, blocks go there and are read from there.
func TestBucketInS3(t *testing.T) {
	s3addr := freeAddr(t)
	start(t, t.TempDir(), append([]string{"HUNE_S3_LISTEN=" + s3addr, "HUNE_S3_ACCESS_KEY=key", "HUNE_S3_SECRET_KEY=secretsecret", "HUNE_S3_BUCKETS=[hune]"}, quiet...), "--role", "s3")
	env := append([]string{`HUNE_STORAGE_PROVIDER=s3`,
		fmt.Sprintf(`HUNE_STORAGE_S3={bucket: hune, endpoint: %q, access_key: key, secret_key: secretsecret, insecure: true}`, s3addr)}, quiet...)
	dir := t.TempDir()
	p := start(t, dir, env)
	now := time.Now()
	status, body := p.post("/loki/api/v1/push", jsonType, lokiPush(map[string]string{"app": "s3"}, [][2]string{{fmt.Sprint(now.UnixNano()), "in s3"}}), nil)
	require.Equal(t, http.StatusNoContent, status, body)
	status, body = p.post("/v1/traces", jsonType, oneSpan(strings.Repeat("0c", 16), "0102030405060708", "s3", "in s3", now, now.Add(time.Second)), nil)
	require.Equal(t, http.StatusOK, status, body)
	status, body = p.post("/api/v1/write", protobuf, remoteWrite("in_s3", now, map[string]float64{"a": 7}), map[string]string{"Content-Encoding": "snappy"})
	require.Equal(t, http.StatusNoContent, status, body)
	p.flush()
	p.stop()

	// Another process, with nothing of its own, answers from the bucket.
	other := start(t, t.TempDir(), env)
	require.Equal(t, map[string]int{"in s3": 1}, other.lokiLines(`{app="s3"}`, now.Add(-time.Minute), now.Add(time.Minute), nil))
	require.Equal(t, map[string]int{"in s3": 1}, other.spanNames(strings.Repeat("0c", 16), nil))
	require.Equal(t, map[string]string{"a": "7"}, other.promVector("in_s3", now.Add(time.Second), "id", nil))
}

// A newcomer sees live data of Hune and of the host without doing anything, and the command line asks for it.
func TestLiveDataAtTheFirstVisit(t *testing.T) {
	p := start(t, t.TempDir(), []string{"HUNE_COLLECTOR_HOST_METRICS_INTERVAL=1s"})
	require.Eventually(t, func() bool {
		now := time.Now()
		return len(p.promVector("up", now, "job", nil)) > 0 &&
			len(p.promVector(`{__name__=~"system_.*"}`, now, "__name__", nil)) > 5 &&
			len(p.lokiLines(`{service_name="hune"}`, now.Add(-time.Minute), now, nil)) > 0
	}, 30*time.Second, 200*time.Millisecond, "metrics of Hune and the host, and Hune's log")
	require.Eventually(t, func() bool {
		var found struct{ Traces []any }
		p.getJSON("/api/search", url.Values{"q": {`{resource.service.name="hune"}`}}, &found)
		return len(found.Traces) > 0
	}, 30*time.Second, 200*time.Millisecond, "Hune's traces")

	code, out, errs := runCLI(t, nil, "demo", "--endpoint", p.grpc, "--rate", "50", "--duration", "3s", "--seed", "7")
	require.Zero(t, code, "%s%s", out, errs)
	code, out, errs = runCLI(t, nil, "query", "--url", p.url, "traces", `{resource.service.namespace="shop" && name=~"POST.*"}`)
	require.Zero(t, code, errs)
	require.Contains(t, out, "DURATION")
	require.Greater(t, strings.Count(out, "\n"), 1, out)
	traceID := strings.Fields(strings.Split(out, "\n")[1])[2]
	traceID = strings.Repeat("0", 32-len(traceID)) + traceID // searches leave out leading zeros
	code, out, errs = runCLI(t, nil, "query", "--url", p.url, "traces", traceID)
	require.Zero(t, code, errs)
	require.Contains(t, out, "storefront")
	code, out, errs = runCLI(t, nil, "query", "--url", p.url, "logs", fmt.Sprintf(`{service_name=~".+"} | trace_id=%q`, traceID))
	require.Zero(t, code, errs)
	require.NotEmpty(t, out, "logs of the trace %s", traceID)
	code, out, errs = runCLI(t, nil, "query", "--url", p.url, "--json", "--instant", "metrics", `count({__name__=~".+"})`)
	require.Zero(t, code, errs)
	require.Contains(t, out, `"resultType":"vector"`)
	code, _, errs = runCLI(t, nil, "query", "--url", p.url, "metrics", `sum(`)
	require.Equal(t, 1, code)
	require.Contains(t, errs, "parse error")
}
