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
	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/metrics"
)

func TestPushOTLPMetrics(t *testing.T) {
	f := newFixture(t, nil)
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("service.name", "shop")
	ms := rm.ScopeMetrics().AppendEmpty().Metrics()
	for _, temporality := range []pmetric.AggregationTemporality{pmetric.AggregationTemporalityCumulative, pmetric.AggregationTemporalityUnspecified} {
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

// Increments are added up by tenant, over requests; one that comes again is not added again.
func TestPushOTLPDeltas(t *testing.T) {
	f := newFixture(t, func(l *limits.Limits) { l.Metrics.MaxDeltaSeries = 1 })
	push := func(tenant, name string, seconds int, v int64) metrics.PushResult {
		md := pmetric.NewMetrics()
		m := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
		m.SetName(name)
		sum := m.SetEmptySum()
		sum.SetIsMonotonic(true)
		sum.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		p := sum.DataPoints().AppendEmpty()
		p.SetStartTimestamp(pcommon.NewTimestampFromTime(now.Add(time.Duration(seconds-1) * time.Second)))
		p.SetTimestamp(pcommon.NewTimestampFromTime(now.Add(time.Duration(seconds) * time.Second)))
		p.SetIntValue(v)
		r, err := f.PushOTLPMetrics(as(tenant), md)
		require.NoError(t, err)
		return r
	}
	stored := func() metrics.Sample {
		last := f.ingester.metrics[len(f.ingester.metrics)-1]
		return last.Series[0].Samples[0]
	}
	push("a", "orders", 1, 3)
	push("a", "orders", 2, 4)
	want := metrics.Sample{Start: now.UnixMilli(), T: now.Add(2 * time.Second).UnixMilli(), V: 7}
	require.Equal(t, want, stored())
	push("a", "orders", 2, 4)
	require.Equal(t, want, stored())
	push("b", "orders", 2, 4)
	require.Equal(t, 4.0, stored().V)

	r := push("a", "orders", 1, 3)
	require.Equal(t, "delta_out_of_order", r.Rejected[0].Reason)
	require.Equal(t, 1.0, f.discardedTotal(t, "metrics", "delta_out_of_order", "a"))
	r = push("a", "refunds", 1, 3)
	require.Equal(t, "delta_series_limit", r.Rejected[0].Reason)
	require.Equal(t, 2, f.deltas.len())

	f.now = f.now.Add(metrics.DeltaIdle)
	push("a", "orders", 3, 1)
	require.Len(t, f.deltas.tenants, 1, "b is idle")
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
