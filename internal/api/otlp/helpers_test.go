package otlp

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/hune-io/hune/internal/distributor"
	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// store is an ingester that remembers how much it got, or fails.
type store struct {
	samples, entries, spans int
	tenants                 map[string]int
	otlp                    []byte
	err                     error
}

func (s *store) note(tenant string) error {
	if s.err == nil {
		s.tenants[tenant]++
	}
	return s.err
}

func (s *store) PushMetrics(_ context.Context, tenant string, b *metrics.Batch) (r metrics.PushResult, err error) {
	for _, x := range b.Series {
		r.Samples += len(x.Samples)
		r.Histograms += len(x.Histograms)
	}
	s.samples += r.Samples + r.Histograms
	return r, s.note(tenant)
}

func (s *store) PushLogs(_ context.Context, tenant string, b *logs.Batch) (r logs.PushResult, err error) {
	for _, x := range b.Streams {
		r.Entries += len(x.Entries)
	}
	s.entries += r.Entries
	return r, s.note(tenant)
}

func (s *store) PushTraces(_ context.Context, tenant string, b *traces.Batch) (r traces.PushResult, err error) {
	s.spans += b.Spans
	s.otlp = append([]byte(nil), b.OTLP...)
	return traces.PushResult{Spans: b.Spans}, s.note(tenant)
}

// newHandler returns a handler on a real distributor.
func newHandler(t testing.TB, change func(*limits.Limits)) (*Handler, *store) {
	t.Helper()
	l := limits.DefaultConfig()
	if change != nil {
		change(&l)
	}
	o, err := limits.New(l, nil)
	require.NoError(t, err)
	s := &store{tenants: map[string]int{}}
	d := distributor.New(distributor.Options{Limits: o, Ingester: s, Now: func() time.Time { return now }})
	return New(Options{Pusher: d}), s
}

func as(id string) context.Context { return tenant.NewContext(context.Background(), id) }

// The requests hold one good record, and one bad one if asked for.

func metricsRequestOf(bad bool) pmetricotlp.ExportRequest {
	req := pmetricotlp.NewExportRequest()
	sm := req.Metrics().ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty()
	for _, at := range times(bad) {
		m := sm.Metrics().AppendEmpty()
		m.SetName("temperature")
		p := m.SetEmptyGauge().DataPoints().AppendEmpty()
		p.SetTimestamp(pcommon.NewTimestampFromTime(at))
		p.SetDoubleValue(21)
	}
	return req
}

func logsRequestOf(bad bool) plogotlp.ExportRequest {
	req := plogotlp.NewExportRequest()
	sl := req.Logs().ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty()
	for _, at := range times(bad) {
		lr := sl.LogRecords().AppendEmpty()
		lr.SetTimestamp(pcommon.NewTimestampFromTime(at))
		lr.Body().SetStr("hello")
	}
	return req
}

func tracesRequestOf(bad bool) ptraceotlp.ExportRequest {
	req := ptraceotlp.NewExportRequest()
	ss := req.Traces().ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty()
	for _, at := range times(bad) {
		s := ss.Spans().AppendEmpty()
		s.SetTraceID(pcommon.TraceID{1})
		s.SetSpanID(pcommon.SpanID{1})
		s.SetStartTimestamp(pcommon.NewTimestampFromTime(at))
		s.SetEndTimestamp(pcommon.NewTimestampFromTime(at))
	}
	return req
}

func times(bad bool) []time.Time {
	if bad {
		return []time.Time{now, now.Add(time.Hour)}
	}
	return []time.Time{now}
}
