package distributor

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hune-io/hune/internal/fault"
)

func TestPushOTLPMetrics(t *testing.T) {
	f := newFixture(t, nil)
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("service.name", "shop")
	ms := rm.ScopeMetrics().AppendEmpty().Metrics()
	for _, temporality := range []pmetric.AggregationTemporality{pmetric.AggregationTemporalityCumulative, pmetric.AggregationTemporalityDelta} {
		m := ms.AppendEmpty()
		m.SetName("orders")
		m.SetUnit("1")
		sum := m.SetEmptySum()
		sum.SetIsMonotonic(true)
		sum.SetAggregationTemporality(temporality)
		p := sum.DataPoints().AppendEmpty()
		p.SetTimestamp(pcommon.NewTimestampFromTime(now))
		p.SetIntValue(7)
	}
	r, err := f.PushOTLPMetrics(as("t1"), md)
	require.NoError(t, err)
	require.Equal(t, 1, r.Samples)
	require.Len(t, r.Rejected, 1)
	require.Equal(t, "temporality", r.Rejected[0].Reason)
	require.Equal(t, 1.0, f.discardedTotal(t, "metrics", "temporality", "t1"))
	require.Equal(t, `{__name__="orders_total", job="shop"}`, f.ingester.metrics[0].Series[0].Labels.String())

	_, err = f.PushOTLPMetrics(t.Context(), md)
	require.Equal(t, fault.Invalid, fault.ClassOf(err), "no tenant")
}

func TestPushOTLPLogs(t *testing.T) {
	f := newFixture(t, nil)
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("service.name", "shop")
	lrs := rl.ScopeLogs().AppendEmpty().LogRecords()
	good := lrs.AppendEmpty()
	good.SetTimestamp(pcommon.NewTimestampFromTime(now))
	good.Body().SetStr("hello")
	bad := lrs.AppendEmpty()
	bad.SetTimestamp(1 << 63)
	ahead := lrs.AppendEmpty()
	ahead.SetTimestamp(pcommon.NewTimestampFromTime(now.Add(time.Hour)))
	untimed := lrs.AppendEmpty()
	untimed.Body().SetStr("now")
	r, err := f.PushOTLPLogs(as("t1"), ld)
	require.NoError(t, err)
	require.Equal(t, 2, r.Entries)
	require.Len(t, r.Rejected, 2)
	require.Equal(t, 1.0, f.discardedTotal(t, "logs", "invalid_timestamp", "t1"))
	s := f.ingester.logs[0].Streams[0]
	require.Equal(t, `{service_name="shop"}`, s.Labels.String())
	require.Equal(t, now.UnixNano(), s.Entries[1].Timestamp)

	rl.Resource().Attributes().Clear()
	r, err = f.PushOTLPLogs(as("t1"), ld)
	require.NoError(t, err)
	require.Equal(t, 2, r.Entries)
	require.Equal(t, `{service_name="unknown_service"}`, f.ingester.logs[1].Streams[0].Labels.String())

	f.ingester.err = errors.New("disk")
	_, err = f.PushOTLPLogs(as("t1"), ld)
	require.ErrorContains(t, err, "disk")
}

func TestPushOTLPTraces(t *testing.T) {
	f := newFixture(t, nil)
	data := spans(t, []byte{1, 0}, now)
	td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(data)
	require.NoError(t, err)
	r, err := f.PushOTLPTraces(as("t1"), td)
	require.NoError(t, err)
	require.Equal(t, 1, r.Spans)
	require.Len(t, r.Rejected, 1)
}
