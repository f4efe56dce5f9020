package distributor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/traces"
)

// spans encodes one span for each time; a zero ID marks a bad one.
func spans(t testing.TB, ids []byte, at time.Time) []byte {
	t.Helper()
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "shop")
	ss := rs.ScopeSpans().AppendEmpty()
	for i, id := range ids {
		s := ss.Spans().AppendEmpty()
		s.SetName("GET /cart")
		if id != 0 {
			s.SetTraceID(pcommon.TraceID{id})
		}
		s.SetSpanID(pcommon.SpanID{byte(i + 1)})
		s.SetStartTimestamp(pcommon.NewTimestampFromTime(at))
		s.SetEndTimestamp(pcommon.NewTimestampFromTime(at.Add(time.Millisecond)))
	}
	b, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
	require.NoError(t, err)
	return b
}

func TestPushTraces(t *testing.T) {
	f := newFixture(t, nil)
	good := spans(t, []byte{1, 2}, now)
	r, err := f.PushTraces(as("t1"), &traces.Batch{OTLP: good})
	require.NoError(t, err)
	require.Equal(t, traces.PushResult{Spans: 2}, r)
	require.Equal(t, good, f.ingester.traces[0].OTLP, "a good message is passed on as it is")

	r, err = f.PushTraces(as("t1"), &traces.Batch{OTLP: spans(t, []byte{1, 0, 2}, now)})
	require.NoError(t, err)
	require.Equal(t, 2, r.Spans)
	require.Len(t, r.Rejected, 1)
	require.Equal(t, "invalid_trace_id", r.Rejected[0].Reason)
	require.Equal(t, 1.0, f.discardedTotal(t, "traces", "invalid_trace_id", "t1"))
	kept, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(f.ingester.traces[1].OTLP)
	require.NoError(t, err)
	require.Equal(t, 2, kept.SpanCount())

	for _, at := range []time.Time{now.Add(time.Hour), time.Unix(0, 0)} {
		r, err = f.PushTraces(as("t1"), &traces.Batch{OTLP: spans(t, []byte{1}, at)})
		require.NoError(t, err)
		require.Zero(t, r.Spans)
		require.Len(t, r.Rejected, 1)
	}
	require.Len(t, f.ingester.traces, 2, "nothing left, nothing pushed")

	_, err = f.PushTraces(as("t1"), &traces.Batch{OTLP: []byte("not protobuf")})
	require.Equal(t, fault.Invalid, fault.ClassOf(err))
	require.Equal(t, 1.0, f.discardedTotal(t, "traces", "invalid_trace", "t1"))

	r, err = f.PushTraces(as("t1"), &traces.Batch{})
	require.NoError(t, err)
	require.Zero(t, r.Spans)
}

func TestTracesRateLimit(t *testing.T) {
	b := spans(t, []byte{1, 2, 3}, now)
	f := newFixture(t, func(l *limits.Limits) {
		l.Traces.IngestionRate, l.Traces.IngestionBurst = 10, 300
	})
	_, err := f.PushTraces(as("t1"), &traces.Batch{OTLP: b})
	require.NoError(t, err)
	_, err = f.PushTraces(as("t1"), &traces.Batch{OTLP: b})
	require.Equal(t, fault.RateLimited, fault.ClassOf(err))
	require.ErrorContains(t, err, "3 spans totaling")
	require.Equal(t, 3.0, f.discardedTotal(t, "traces", "rate_limited", "t1"))
}
