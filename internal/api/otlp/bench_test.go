package otlp

import (
	"fmt"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

const records = 1000

func benchmark(b *testing.B, path, contentType string, data []byte) {
	h, _ := newHandler(b, nil)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if w := post(h, path, contentType, "", data); w.Code != 200 {
			b.Fatal(w.Code, w.Body)
		}
	}
	b.ReportMetric(float64(b.N)*records/b.Elapsed().Seconds(), "records/s")
}

func both(b *testing.B, path string, r request) {
	b.Run("protobuf", func(b *testing.B) { benchmark(b, path, pb, encode(b, r, pb)) })
	b.Run("json", func(b *testing.B) { benchmark(b, path, js, encode(b, r, js)) })
}

func resource(m pcommon.Map) {
	m.PutStr("service.name", "shop")
	m.PutStr("k8s.pod.name", "shop-5d9f8c6b7-x2x4z")
	m.PutStr("host.name", "node-7")
}

func BenchmarkLogs(b *testing.B) {
	r := plogotlp.NewExportRequest()
	rl := r.Logs().ResourceLogs().AppendEmpty()
	resource(rl.Resource().Attributes())
	sl := rl.ScopeLogs().AppendEmpty()
	for i := range records {
		lr := sl.LogRecords().AppendEmpty()
		lr.SetTimestamp(pcommon.Timestamp(now.UnixNano() + int64(i)))
		lr.SetSeverityNumber(9)
		lr.Body().SetStr(fmt.Sprintf("GET /api/v1/things/%d 200 in %dms from 10.0.0.7, user agent curl/8.5.0", i, i))
		lr.Attributes().PutStr("http.request.method", "GET")
		lr.Attributes().PutInt("http.response.status_code", 200)
		lr.SetTraceID(pcommon.TraceID{1, byte(i)})
	}
	both(b, "/v1/logs", r)
}

func BenchmarkTraces(b *testing.B) {
	r := ptraceotlp.NewExportRequest()
	rs := r.Traces().ResourceSpans().AppendEmpty()
	resource(rs.Resource().Attributes())
	ss := rs.ScopeSpans().AppendEmpty()
	for i := range records {
		s := ss.Spans().AppendEmpty()
		s.SetName("GET /api/v1/things")
		s.SetTraceID(pcommon.TraceID{1, byte(i / 10)})
		s.SetSpanID(pcommon.SpanID{1, byte(i), byte(i >> 8)})
		s.SetStartTimestamp(pcommon.Timestamp(now.UnixNano() + int64(i)))
		s.SetEndTimestamp(pcommon.Timestamp(now.UnixNano() + int64(i) + 1e6))
		s.Attributes().PutStr("http.request.method", "GET")
		s.Attributes().PutInt("http.response.status_code", 200)
	}
	both(b, "/v1/traces", r)
}

func BenchmarkMetrics(b *testing.B) {
	r := pmetricotlp.NewExportRequest()
	rm := r.Metrics().ResourceMetrics().AppendEmpty()
	resource(rm.Resource().Attributes())
	sm := rm.ScopeMetrics().AppendEmpty()
	for i := range records / 10 {
		m := sm.Metrics().AppendEmpty()
		m.SetName(fmt.Sprint("http.server.active_requests.", i))
		g := m.SetEmptyGauge()
		for j := range 10 {
			p := g.DataPoints().AppendEmpty()
			p.SetTimestamp(pcommon.Timestamp(now.UnixNano()))
			p.SetDoubleValue(float64(j))
			p.Attributes().PutStr("http.request.method", "GET")
			p.Attributes().PutInt("worker", int64(j))
		}
	}
	both(b, "/v1/metrics", r)
}
