package limits

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/hune-io/hune/internal/fault"
)

// nested puts n arrays (or lists) around a string, and padding beside it that makes the check look.
func nested(v pcommon.Value, n int, list bool) {
	for range n {
		if list {
			v = v.SetEmptyMap().PutEmpty("k")
		} else {
			v = v.SetEmptySlice().AppendEmpty()
		}
	}
	v.SetStr("x")
}

func bigLogs(t *testing.T, n int, list bool, where func(plog.LogRecord, plog.ResourceLogs) pcommon.Value) []byte {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	lr := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	lr.SetTimestamp(1)
	lr.Body().SetStr(strings.Repeat("p", smallMessage))
	nested(where(lr, rl), n, list)
	b, err := plogotlp.NewExportRequestFromLogs(ld).MarshalProto()
	require.NoError(t, err)
	return b
}

func TestLogsNesting(t *testing.T) {
	places := map[string]func(plog.LogRecord, plog.ResourceLogs) pcommon.Value{
		"attribute": func(lr plog.LogRecord, _ plog.ResourceLogs) pcommon.Value { return lr.Attributes().PutEmpty("a") },
		"resource": func(_ plog.LogRecord, rl plog.ResourceLogs) pcommon.Value {
			return rl.Resource().Attributes().PutEmpty("a")
		},
		"scope": func(_ plog.LogRecord, rl plog.ResourceLogs) pcommon.Value {
			return rl.ScopeLogs().At(0).Scope().Attributes().PutEmpty("a")
		},
		"body": func(_ plog.LogRecord, rl plog.ResourceLogs) pcommon.Value {
			return rl.ScopeLogs().At(0).LogRecords().AppendEmpty().Body()
		},
	}
	for name, where := range places {
		for _, list := range []bool{false, true} {
			require.NoError(t, CheckOTLPLogs(bigLogs(t, MaxNesting-1, list, where)), name)
			require.ErrorIs(t, CheckOTLPLogs(bigLogs(t, MaxNesting, list, where)), ErrNesting, name)
		}
	}
}

func TestMetricsNesting(t *testing.T) {
	places := map[string]func(pmetric.Metric) pcommon.Value{
		"gauge": func(m pmetric.Metric) pcommon.Value {
			return m.SetEmptyGauge().DataPoints().AppendEmpty().Attributes().PutEmpty("a")
		},
		"sum": func(m pmetric.Metric) pcommon.Value {
			return m.SetEmptySum().DataPoints().AppendEmpty().Attributes().PutEmpty("a")
		},
		"sum exemplar": func(m pmetric.Metric) pcommon.Value {
			return m.SetEmptySum().DataPoints().AppendEmpty().Exemplars().AppendEmpty().FilteredAttributes().PutEmpty("a")
		},
		"histogram": func(m pmetric.Metric) pcommon.Value {
			return m.SetEmptyHistogram().DataPoints().AppendEmpty().Attributes().PutEmpty("a")
		},
		"histogram exemplar": func(m pmetric.Metric) pcommon.Value {
			return m.SetEmptyHistogram().DataPoints().AppendEmpty().Exemplars().AppendEmpty().FilteredAttributes().PutEmpty("a")
		},
		"exponential": func(m pmetric.Metric) pcommon.Value {
			return m.SetEmptyExponentialHistogram().DataPoints().AppendEmpty().Attributes().PutEmpty("a")
		},
		"exponential exemplar": func(m pmetric.Metric) pcommon.Value {
			return m.SetEmptyExponentialHistogram().DataPoints().AppendEmpty().Exemplars().AppendEmpty().FilteredAttributes().PutEmpty("a")
		},
		"summary": func(m pmetric.Metric) pcommon.Value {
			return m.SetEmptySummary().DataPoints().AppendEmpty().Attributes().PutEmpty("a")
		},
		"metadata": func(m pmetric.Metric) pcommon.Value { return m.Metadata().PutEmpty("a") },
	}
	for name, where := range places {
		for n, want := range map[int]error{MaxNesting - 1: nil, MaxNesting: ErrNesting} {
			md := pmetric.NewMetrics()
			rm := md.ResourceMetrics().AppendEmpty()
			rm.Resource().Attributes().PutStr("pad", strings.Repeat("p", smallMessage))
			m := rm.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
			m.SetName("m")
			nested(where(m), n, true)
			b, err := pmetricotlp.NewExportRequestFromMetrics(md).MarshalProto()
			require.NoError(t, err)
			require.ErrorIs(t, CheckOTLPMetrics(b), want, "%s %d", name, n)
		}
	}
}

func TestJSONNesting(t *testing.T) {
	ld := plog.NewLogs()
	nested(ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Attributes().PutEmpty("a"), MaxNesting, true)
	b, err := plogotlp.NewExportRequestFromLogs(ld).MarshalJSON()
	require.NoError(t, err)
	require.NoError(t, CheckOTLPJSON(b), "what the protobuf form may hold, the JSON form may hold")
	require.NoError(t, CheckOTLPJSON([]byte(`{"a":"`+strings.Repeat("[", 5000)+`\"{{{","b":[]}`)))
	require.ErrorIs(t, CheckOTLPJSON(bytes.Repeat([]byte("["), 5000)), ErrNesting)
	require.NoError(t, CheckOTLPJSON([]byte(strings.Repeat("[]{}", 5000))))
	require.NoError(t, CheckOTLPJSON([]byte(`"\`)))
}

// deepest writes n nested arrays from the inside out: the message that a generated decoder would
// recurse into until the process dies.
func deepest(n int) []byte {
	var out []byte // backwards
	header := func(tag byte) {
		size := binary.AppendUvarint(nil, uint64(len(out)))
		for i := len(size) - 1; i >= 0; i-- {
			out = append(out, size[i])
		}
		out = append(out, tag)
	}
	for range n {
		header(0x0a) // ArrayValue.values
		header(0x2a) // AnyValue.array_value
	}
	for _, tag := range []byte{0x2a, 0x12, 0x12, 0x0a} {
		header(tag)
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}

func TestDeepestMessageIsRefused(t *testing.T) {
	require.ErrorIs(t, CheckOTLPLogs(deepest(3_000_000)), ErrNesting)
	require.NoError(t, CheckOTLPLogs(deepest(3000)), "small messages are left to the decoder")
	require.NoError(t, plogotlp.NewExportRequest().UnmarshalProto(deepest(3000)), "which survives them")
}

func TestTracesNesting(t *testing.T) {
	places := map[string]func(ptrace.Span) pcommon.Value{
		"span":  func(s ptrace.Span) pcommon.Value { return s.Attributes().PutEmpty("a") },
		"event": func(s ptrace.Span) pcommon.Value { return s.Events().AppendEmpty().Attributes().PutEmpty("a") },
		"link":  func(s ptrace.Span) pcommon.Value { return s.Links().AppendEmpty().Attributes().PutEmpty("a") },
	}
	for name, where := range places {
		for n, want := range map[int]error{MaxNesting - 1: nil, MaxNesting: ErrNesting} {
			td := ptrace.NewTraces()
			s := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
			s.SetName(strings.Repeat("p", smallMessage))
			nested(where(s), n, false)
			b, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
			require.NoError(t, err)
			require.ErrorIs(t, CheckOTLPTraces(b), want, "%s %d", name, n)
		}
	}
}

// Empty records are the cheapest way to make a decoder allocate.
func TestTooManyRecords(t *testing.T) {
	records := bytes.Repeat([]byte{0x12, 0}, MaxFields)
	for _, tag := range []byte{0x12, 0x0a} { // scope_logs, resource_logs
		records = append(binary.AppendUvarint([]byte{tag}, uint64(len(records))), records...)
	}
	require.ErrorIs(t, CheckOTLPLogs(records), ErrTooMany)
	require.ErrorIs(t, CheckOTLPMetrics(records), ErrTooMany)
	require.ErrorIs(t, CheckOTLPTraces(records), ErrTooMany)
	require.Equal(t, fault.TooLarge, fault.ClassOf(ErrTooMany))
	text := `{"resourceLogs":[` + strings.Repeat("{},", 2*MaxFields) + `]}`
	require.ErrorIs(t, CheckOTLPJSON([]byte(text)), ErrTooMany)
}

func FuzzOTLP(f *testing.F) {
	f.Add(deepest(10))
	f.Add([]byte(`{"resourceLogs":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		padded := append([]byte{0x12, 0x80, 0x80, 0x04}, make([]byte, smallMessage)...) // field 2, unknown at the root
		padded = append(padded, data...)
		if CheckOTLPLogs(padded) == nil {
			_ = plogotlp.NewExportRequest().UnmarshalProto(padded)
		}
		if CheckOTLPMetrics(padded) == nil {
			_ = pmetricotlp.NewExportRequest().UnmarshalProto(padded)
		}
		_ = CheckOTLPJSON(data)
	})
}

func BenchmarkCheckOTLPLogs(b *testing.B) {
	ld := plog.NewLogs()
	sl := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty()
	for range 1000 {
		lr := sl.LogRecords().AppendEmpty()
		lr.Body().SetStr("GET /api/v1/things 200 in 12ms from 10.0.0.7, user agent curl/8.5.0")
		lr.Attributes().PutStr("http.request.method", "GET")
		lr.Attributes().PutStr("k8s.pod.name", "api-5d9f8c6b7-x2x4z")
		lr.Attributes().PutInt("http.response.status_code", 200)
	}
	data, err := plogotlp.NewExportRequestFromLogs(ld).MarshalProto()
	require.NoError(b, err)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := CheckOTLPLogs(data); err != nil {
			b.Fatal(err)
		}
	}
}
