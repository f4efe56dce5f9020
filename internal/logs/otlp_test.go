package logs

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

func TestFromOTLP(t *testing.T) {
	now := time.Unix(1000, 7)
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	attrs := rl.Resource().Attributes()
	attrs.PutStr("service.name", "cart")
	attrs.PutStr("k8s.pod.name", "cart-0")
	attrs.PutStr("host.name", "h1")
	attrs.PutStr("shared", "resource")
	rl.Resource().SetDroppedAttributesCount(3)
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName("lib")
	sl.Scope().SetVersion("1.2")
	sl.Scope().Attributes().PutStr("shared", "scope")
	sl.Scope().Attributes().PutInt("scope.n", 4)

	r := sl.LogRecords().AppendEmpty()
	r.SetTimestamp(42)
	r.SetObservedTimestamp(43)
	r.Body().SetStr("hello")
	r.SetSeverityNumber(plog.SeverityNumberWarn)
	r.SetSeverityText("Warn")
	r.SetTraceID(pcommon.TraceID{1, 15: 2})
	r.SetSpanID(pcommon.SpanID{3, 7: 4})
	r.SetFlags(1)
	r.SetDroppedAttributesCount(2)
	r.SetEventName("checkout")
	r.Attributes().PutStr("shared", "record")
	nested := r.Attributes().PutEmptyMap("http")
	nested.PutInt("status.code", 200)
	nested.PutEmptyMap("inner").PutBool("ok", true)
	r.Attributes().PutEmptySlice("list").AppendEmpty().SetDouble(1.5)
	r.Attributes().PutStr("empty", "")

	r = sl.LogRecords().AppendEmpty()
	r.SetObservedTimestamp(44)
	r.Body().SetEmptyMap().PutStr("msg", "structured")

	rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetInt(7)

	bad := sl.LogRecords().AppendEmpty()
	bad.SetTimestamp(math.MaxUint64)

	// The same labels again, from another resource: one stream.
	again := ld.ResourceLogs().AppendEmpty()
	again.Resource().Attributes().PutStr("k8s.pod.name", "cart-0")
	again.Resource().Attributes().PutStr("service.name", "cart")
	again.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().SetTimestamp(50)
	// No label attributes, and no records at all.
	ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr("bare")
	ld.ResourceLogs().AppendEmpty().Resource().Attributes().PutStr("service.name", "silent")

	b, rejected, msg := FromOTLP(ld, OTLPOptions{Now: now})
	require.Equal(t, 1, rejected)
	require.Contains(t, msg, "18446744073709551615")
	require.Len(t, b.Streams, 2)
	s := b.Streams[0]
	require.Equal(t, `{k8s_pod_name="cart-0", service_name="cart"}`, s.Labels.String())
	require.Equal(t, []Entry{
		{42, "hello", []Label{
			{"dropped_attributes_count", "2"}, {"event_name", "checkout"}, {"flags", "1"}, {"host_name", "h1"},
			{"http_inner_ok", "true"}, {"http_status_code", "200"}, {"list", "[1.5]"}, {"observed_timestamp", "43"},
			{"resource_dropped_attributes_count", "3"}, {"scope_n", "4"}, {"scope_name", "lib"}, {"scope_version", "1.2"},
			{"severity_number", "13"}, {"severity_text", "Warn"}, {"shared", "record"}, {"span_id", "0300000000000004"},
			{"trace_id", "01000000000000000000000000000002"},
		}},
		{44, `{"msg":"structured"}`, []Label{
			{"host_name", "h1"}, {"observed_timestamp", "44"}, {"resource_dropped_attributes_count", "3"}, {"scope_n", "4"},
			{"scope_name", "lib"}, {"scope_version", "1.2"}, {"shared", "scope"},
		}},
		{now.UnixNano(), "7", []Label{{"host_name", "h1"}, {"resource_dropped_attributes_count", "3"}, {"shared", "resource"}}},
		{50, "", []Label{}},
	}, s.Entries)

	bare := b.Streams[1]
	require.True(t, bare.Labels.IsEmpty())
	NewEnricher(DefaultEnrichOptions()).Stream(&bare)
	require.Equal(t, `{service_name="unknown_service"}`, bare.Labels.String())

	NewEnricher(DefaultEnrichOptions()).Stream(&s)
	require.Contains(t, s.Entries[0].Metadata, Label{DetectedLevel, LevelWarn})
}

func TestFromOTLPOtherLabels(t *testing.T) {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("service.name", "cart")
	rl.Resource().Attributes().PutStr("team", "\xff")
	rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	b, _, _ := FromOTLP(ld, OTLPOptions{ResourceLabels: []string{"team"}, Now: time.Unix(1, 0)})
	require.Equal(t, "\uFFFD", b.Streams[0].Labels.Get("team"))
	require.Equal(t, []Label{{"service_name", "cart"}}, b.Streams[0].Entries[0].Metadata)
}

// Attributes nested deeper than anyone nests them end as JSON text.
func TestFromOTLPDeep(t *testing.T) {
	ld := plog.NewLogs()
	r := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	m := r.Attributes().PutEmptyMap("m")
	for range 100 {
		m = m.PutEmptyMap("m")
	}
	m.PutStr("leaf", "x")
	b, _, _ := FromOTLP(ld, OTLPOptions{Now: time.Unix(1, 0)})
	md := b.Streams[0].Entries[0].Metadata
	require.Len(t, md, 1)
	require.Contains(t, md[0].Value, `{"m":`)
}

func BenchmarkFromOTLP(b *testing.B) {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("service.name", "cart")
	rl.Resource().Attributes().PutStr("host.name", "h1")
	sl := rl.ScopeLogs().AppendEmpty()
	line := benchLines["json"]
	const n = 1000
	for i := range n {
		r := sl.LogRecords().AppendEmpty()
		r.SetTimestamp(pcommon.Timestamp(i + 1))
		r.Body().SetStr(line)
		r.Attributes().PutStr("http.method", "GET")
		r.SetSeverityNumber(9)
		r.SetTraceID(pcommon.TraceID{1, byte(i), byte(i >> 8)})
	}
	b.SetBytes(int64(n * len(line)))
	b.ReportAllocs()
	for b.Loop() {
		FromOTLP(ld, OTLPOptions{Now: time.Unix(1, 0)})
	}
}
