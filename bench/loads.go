package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
)

// The data sets are small worlds made from a fixed seed; their times end now.
var loads = []func(scale float64) *load{lokiJSON, lokiProto, otlpLogs, otlpLogsJSON, otlpTraces, otlpTracesGRPC, zipkinJSON, otlpMetrics, remoteWrite1, remoteWrite2}

const (
	protobufType = "application/x-protobuf"
	jsonType     = "application/json"
)

func rng() *rand.Rand { return rand.New(rand.NewPCG(7, 11)) }

func scaled(n int, scale float64) int { return max(1, int(float64(n)*scale)) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// logLine is one line of an invented application: JSON, logfmt or an access log.
func logLine(r *rand.Rand, kind int) string {
	paths := []string{"/cart", "/checkout", "/product", "/search", "/login", "/api/v1/items"}
	levels := []string{"info", "info", "info", "info", "warn", "error", "debug"}
	switch kind % 3 {
	case 0:
		return fmt.Sprintf(`{"level":%q,"msg":"request completed","method":"GET","path":%q,"status":%d,"latency_ms":%d,"user":"u%d","trace_id":"%016x%016x"}`,
			levels[r.IntN(len(levels))], paths[r.IntN(len(paths))], 200+100*r.IntN(4), r.IntN(2000), r.IntN(50000), r.Uint64(), r.Uint64())
	case 1:
		return fmt.Sprintf(`level=%s msg="order placed" order=%d amount=%d.%02d currency=EUR duration=%dms span=%016x`,
			levels[r.IntN(len(levels))], r.IntN(1e9), r.IntN(500), r.IntN(100), r.IntN(900), r.Uint64())
	default:
		return fmt.Sprintf(`10.%d.%d.%d - - "GET %s?id=%d HTTP/1.1" %d %d "-" "Mozilla/5.0 (X11; Linux x86_64)"`,
			r.IntN(256), r.IntN(256), r.IntN(256), paths[r.IntN(len(paths))], r.IntN(1e6), 200+100*r.IntN(4), r.IntN(50000))
	}
}

// logBatches calls each with the lines of one request: 20 streams, about 1 MB.
func logBatches(scale float64, each func(stream int, lines []string, first time.Time)) (records int, raw int64) {
	r := rng()
	total := int64(float64(1e9) * scale)
	now := time.Now().Add(-time.Hour)
	const perStream = 300
	for raw < total {
		for stream := range 20 {
			lines := make([]string, perStream)
			for i := range lines {
				lines[i] = logLine(r, stream)
				raw += int64(len(lines[i]))
			}
			each(stream, lines, now)
			records += perStream
		}
		now = now.Add(perStream * time.Microsecond)
	}
	return records, raw
}

func streamLabels(stream int) map[string]string {
	return map[string]string{"app": "app-" + strconv.Itoa(stream), "env": "prod", "host": "host-" + strconv.Itoa(stream%5)}
}

func lokiJSON(scale float64) *load {
	l := &load{name: "Loki push, JSON", path: "/loki/api/v1/push", contentType: jsonType}
	l.records, l.raw = logBatches(scale*0.3, func(stream int, lines []string, first time.Time) {
		values := make([][2]string, len(lines))
		for i, line := range lines {
			values[i] = [2]string{strconv.FormatInt(first.UnixNano()+int64(i)*1000, 10), line}
		}
		l.requests = append(l.requests, must(json.Marshal(map[string]any{"streams": []any{map[string]any{"stream": streamLabels(stream), "values": values}}})))
	})
	return l
}

func lokiProto(scale float64) *load {
	l := &load{name: "Loki push, protobuf", path: "/loki/api/v1/push", contentType: protobufType}
	l.records, l.raw = logBatches(scale*0.3, func(stream int, lines []string, first time.Time) {
		s := push.Stream{Labels: fmt.Sprintf(`{app="app-%d", env="prod", host="host-%d"}`, stream, stream%5)}
		for i, line := range lines {
			s.Entries = append(s.Entries, push.Entry{Timestamp: first.Add(time.Duration(i) * time.Microsecond), Line: line})
		}
		req := push.PushRequest{Streams: []push.Stream{s}}
		l.requests = append(l.requests, snappy.Encode(nil, must(req.Marshal())))
	})
	return l
}

func otlpLogs(scale float64) *load {
	l := &load{name: "OTLP logs, HTTP protobuf", path: "/v1/logs", contentType: protobufType}
	l.records, l.raw = logBatches(scale*0.3, func(stream int, lines []string, first time.Time) {
		ld := plog.NewLogs()
		rl := ld.ResourceLogs().AppendEmpty()
		rl.Resource().Attributes().PutStr("service.name", "app-"+strconv.Itoa(stream))
		out := rl.ScopeLogs().AppendEmpty().LogRecords()
		for i, line := range lines {
			lr := out.AppendEmpty()
			lr.SetTimestamp(pcommon.NewTimestampFromTime(first.Add(time.Duration(i) * time.Microsecond)))
			lr.SetSeverityNumber(plog.SeverityNumberInfo)
			lr.Body().SetStr(line)
		}
		l.requests = append(l.requests, must(plogotlp.NewExportRequestFromLogs(ld).MarshalProto()))
	})
	return l
}

// otlpLogsJSON is otlpLogs in OTLP's JSON form.
func otlpLogsJSON(scale float64) *load {
	l := otlpLogs(scale)
	l.name, l.contentType = "OTLP logs, HTTP JSON", jsonType
	for i, body := range l.requests {
		req := plogotlp.NewExportRequest()
		if err := req.UnmarshalProto(body); err != nil {
			panic(err)
		}
		l.requests[i] = must(req.MarshalJSON())
	}
	return l
}

// otlpTracesGRPC sends otlpTraces through the collector's receiver.
func otlpTracesGRPC(scale float64) *load {
	l := otlpTraces(scale)
	l.name = "OTLP traces, gRPC (collector)"
	l.export = func(ctx context.Context, conn *grpc.ClientConn, body []byte) error {
		req := ptraceotlp.NewExportRequest()
		if err := req.UnmarshalProto(body); err != nil {
			return err
		}
		_, err := ptraceotlp.NewGRPCClient(conn).Export(ctx, req)
		return err
	}
	return l
}

// zipkinJSON is traces like those of otlpTraces as a Zipkin client sends them, without resources.
func zipkinJSON(scale float64) *load {
	l := &load{name: "Zipkin v2, JSON", path: "/api/v2/spans", contentType: jsonType}
	r := rng()
	traces := scaled(1_000_000/spansPerTrace, scale*0.1)
	now := time.Now().Add(-30 * time.Minute)
	const perRequest = 20
	for done := 0; done < traces; done += perRequest {
		var spans []map[string]any
		for t := range perRequest {
			start := now.Add(time.Duration(done+t) * 25 * time.Minute / time.Duration(traces))
			spans = append(spans, zipkinTrace(r, start)...)
		}
		body := must(json.Marshal(spans))
		l.records += len(spans)
		l.raw += int64(len(body))
		l.requests = append(l.requests, body)
	}
	return l
}

func zipkinTrace(r *rand.Rand, start time.Time) []map[string]any {
	id := fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64()|1)
	var spans []map[string]any
	var ids [spansPerTrace]string
	for i := range spansPerTrace {
		ids[i] = fmt.Sprintf("%016x", r.Uint64()|1)
		span := map[string]any{"traceId": id, "id": ids[i], "name": "operation " + strconv.Itoa(i), "kind": "SERVER",
			"timestamp": start.UnixMicro() + int64(i)*1000, "duration": 1 + r.IntN(200_000),
			"localEndpoint": map[string]any{"serviceName": "service-" + strconv.Itoa(i%traceServices)},
			"tags": map[string]string{"http.method": "GET", "http.route": "/route/" + strconv.Itoa(r.IntN(20)), "http.status_code": "200",
				"app.user.id": strconv.Itoa(r.IntN(50000)), "app.request.id": fmt.Sprintf("%016x", r.Uint64())}}
		if i > 0 {
			span["parentId"] = ids[(i-1)/2]
		}
		spans = append(spans, span)
	}
	return spans
}

const (
	traceServices = 12
	spansPerTrace = 14
)

// otlpTraces is 12 services with 4 pods, 14 spans a trace, 15 attributes a span.
func otlpTraces(scale float64) *load {
	l := &load{name: "OTLP traces, HTTP protobuf", path: "/v1/traces", contentType: protobufType}
	r := rng()
	traces := scaled(1_000_000/spansPerTrace, scale*0.3)
	now := time.Now().Add(-30 * time.Minute)
	const perRequest = 20
	for done := 0; done < traces; done += perRequest {
		td := ptrace.NewTraces()
		byService := map[int]ptrace.SpanSlice{}
		for t := range perRequest {
			start := now.Add(time.Duration(done+t) * 25 * time.Minute / time.Duration(traces))
			fillTrace(r, td, byService, start)
		}
		body := must(ptraceotlp.NewExportRequestFromTraces(td).MarshalProto())
		l.records += td.SpanCount()
		l.raw += int64(len(body))
		l.requests = append(l.requests, body)
	}
	return l
}

func fillTrace(r *rand.Rand, td ptrace.Traces, byService map[int]ptrace.SpanSlice, start time.Time) {
	var id pcommon.TraceID
	for i := range id {
		id[i] = byte(r.Uint32())
	}
	user, request := r.IntN(50000), r.Uint64()
	failed := r.IntN(90) == 0
	var ids [spansPerTrace]pcommon.SpanID
	for i := range ids {
		binary.LittleEndian.PutUint64(ids[i][:], r.Uint64()|1)
	}
	for i := range spansPerTrace {
		service := i % traceServices
		spans, ok := byService[service]
		if !ok {
			rs := td.ResourceSpans().AppendEmpty()
			fillResource(r, rs.Resource().Attributes(), service)
			ss := rs.ScopeSpans().AppendEmpty()
			ss.Scope().SetName("bench")
			spans = ss.Spans()
			byService[service] = spans
		}
		s := spans.AppendEmpty()
		s.SetTraceID(id)
		s.SetSpanID(ids[i])
		if i > 0 {
			s.SetParentSpanID(ids[(i-1)/2])
		}
		s.SetName("operation " + strconv.Itoa(service*3+i%3))
		s.SetKind(ptrace.SpanKind(1 + i%5))
		begin := start.Add(time.Duration(i) * time.Millisecond)
		s.SetStartTimestamp(pcommon.NewTimestampFromTime(begin))
		s.SetEndTimestamp(pcommon.NewTimestampFromTime(begin.Add(time.Duration(r.IntN(200_000)) * time.Microsecond)))
		fillSpan(r, s.Attributes(), user, request)
		if failed && i > 10 {
			s.Status().SetCode(ptrace.StatusCodeError)
			e := s.Events().AppendEmpty()
			e.SetName("exception")
			e.Attributes().PutStr("exception.type", "TimeoutError")
		}
	}
}

func fillResource(r *rand.Rand, m pcommon.Map, service int) {
	name := "service-" + strconv.Itoa(service)
	m.PutStr("service.name", name)
	m.PutStr("service.namespace", "shop")
	m.PutStr("service.version", "1.4.2")
	m.PutStr("service.instance.id", fmt.Sprintf("%s-%d", name, r.IntN(4)))
	m.PutStr("deployment.environment.name", "prod")
	for _, k := range []string{"k8s.cluster.name", "k8s.namespace.name", "k8s.node.name", "k8s.pod.name", "k8s.container.name", "host.name", "os.type", "cloud.region"} {
		m.PutStr(k, k+"-"+strconv.Itoa(service%4))
	}
}

func fillSpan(r *rand.Rand, m pcommon.Map, user int, request uint64) {
	m.PutStr("http.request.method", "GET")
	m.PutStr("http.route", "/route/"+strconv.Itoa(r.IntN(20)))
	m.PutStr("url.path", "/route/"+strconv.Itoa(r.IntN(1000)))
	m.PutInt("http.response.status_code", int64(200+100*r.IntN(4)))
	m.PutInt("http.response.body.size", int64(r.IntN(100000)))
	m.PutStr("server.address", "10.0.0."+strconv.Itoa(r.IntN(50)))
	m.PutInt("server.port", 8080)
	m.PutStr("network.protocol.version", "1.1")
	m.PutStr("user_agent.original", "bench/1.0")
	m.PutInt("app.user.id", int64(user))
	m.PutStr("app.request.id", fmt.Sprintf("%016x", request))
	m.PutBool("app.cached", r.IntN(2) == 0)
	m.PutDouble("app.cost", r.Float64())
	m.PutInt("thread.id", int64(r.IntN(64)))
	m.PutStr("thread.name", "worker-"+strconv.Itoa(r.IntN(64)))
}

// metricRounds calls each for every request: 100 k series in requests of 1,000, at several instants.
func metricRounds(scale float64, each func(first, n int, t time.Time)) int {
	series := scaled(100_000, scale)
	const rounds, perRequest = 5, 1000
	now := time.Now().Add(-rounds * 15 * time.Second)
	for round := range rounds {
		for first := 0; first < series; first += perRequest {
			each(first, min(perRequest, series-first), now.Add(time.Duration(round)*15*time.Second))
		}
	}
	return series * rounds
}

func seriesLabels(i int) [][2]string {
	return [][2]string{{"__name__", "bench_metric_" + strconv.Itoa(i%100)}, {"instance", "host-" + strconv.Itoa(i/100) + ":9100"}, {"job", "job-" + strconv.Itoa(i%10)}, {"mode", "idle"}}
}

func remoteWrite1(scale float64) *load {
	l := &load{name: "remote write 1.0", path: "/api/v1/write", contentType: protobufType, header: []string{"Content-Encoding", "snappy"}}
	r := rng()
	l.records = metricRounds(scale, func(first, n int, t time.Time) {
		req := &prompb.WriteRequest{}
		for i := range n {
			ts := prompb.TimeSeries{Samples: []prompb.Sample{{Timestamp: t.UnixMilli(), Value: float64(r.IntN(1e6))}}}
			for _, kv := range seriesLabels(first + i) {
				ts.Labels = append(ts.Labels, prompb.Label{Name: kv[0], Value: kv[1]})
			}
			req.Timeseries = append(req.Timeseries, ts)
		}
		data := must(req.Marshal())
		l.raw += int64(len(data))
		l.requests = append(l.requests, snappy.Encode(nil, data))
	})
	return l
}

func remoteWrite2(scale float64) *load {
	l := &load{name: "remote write 2.0", path: "/api/v1/write", contentType: protobufType + ";proto=io.prometheus.write.v2.Request",
		header: []string{"Content-Encoding", "snappy", "X-Prometheus-Remote-Write-Version", "2.0.0"}}
	r := rng()
	l.records = metricRounds(scale, func(first, n int, t time.Time) {
		symbols := map[string]uint32{"": 0}
		req := &writev2.Request{Symbols: []string{""}}
		ref := func(s string) uint32 {
			if id, ok := symbols[s]; ok {
				return id
			}
			id := uint32(len(req.Symbols))
			symbols[s] = id
			req.Symbols = append(req.Symbols, s)
			return id
		}
		for i := range n {
			ts := writev2.TimeSeries{Samples: []writev2.Sample{{Timestamp: t.UnixMilli(), Value: float64(r.IntN(1e6))}}}
			for _, kv := range seriesLabels(first + i) {
				ts.LabelsRefs = append(ts.LabelsRefs, ref(kv[0]), ref(kv[1]))
			}
			req.Timeseries = append(req.Timeseries, ts)
		}
		data := must(req.Marshal())
		l.raw += int64(len(data))
		l.requests = append(l.requests, snappy.Encode(nil, data))
	})
	return l
}

func otlpMetrics(scale float64) *load {
	l := &load{name: "OTLP metrics, HTTP protobuf", path: "/v1/metrics", contentType: protobufType}
	r := rng()
	l.records = metricRounds(scale, func(first, n int, t time.Time) {
		md := pmetric.NewMetrics()
		rm := md.ResourceMetrics().AppendEmpty()
		rm.Resource().Attributes().PutStr("service.name", "bench")
		rm.Resource().Attributes().PutStr("service.instance.id", strconv.Itoa(first))
		ms := rm.ScopeMetrics().AppendEmpty().Metrics()
		for i := range n {
			m := ms.AppendEmpty()
			m.SetName("bench.metric." + strconv.Itoa((first+i)%100))
			dp := m.SetEmptyGauge().DataPoints().AppendEmpty()
			dp.SetTimestamp(pcommon.NewTimestampFromTime(t))
			dp.SetDoubleValue(float64(r.IntN(1e6)))
			dp.Attributes().PutStr("host", "host-"+strconv.Itoa((first+i)/100))
		}
		data := must(pmetricotlp.NewExportRequestFromMetrics(md).MarshalProto())
		l.raw += int64(len(data))
		l.requests = append(l.requests, data)
	})
	return l
}
