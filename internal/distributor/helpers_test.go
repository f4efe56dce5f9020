package distributor

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// recorder is an ingester that accepts everything, or fails.
type recorder struct {
	tenants []string
	metrics []metrics.Batch
	logs    []logs.Batch
	traces  []traces.Batch
	rejects []metrics.Rejection
	err     error
}

func (r *recorder) PushMetrics(_ context.Context, tenant string, b *metrics.Batch) (metrics.PushResult, error) {
	if r.err != nil {
		return metrics.PushResult{}, r.err
	}
	r.tenants, r.metrics = append(r.tenants, tenant), append(r.metrics, *b)
	result := metrics.PushResult{Rejected: r.rejects}
	for _, s := range b.Series {
		result.Samples += len(s.Samples)
		result.Histograms += len(s.Histograms)
		result.Exemplars += len(s.Exemplars)
	}
	return result, nil
}

func (r *recorder) PushLogs(_ context.Context, tenant string, b *logs.Batch) (logs.PushResult, error) {
	if r.err != nil {
		return logs.PushResult{}, r.err
	}
	r.tenants, r.logs = append(r.tenants, tenant), append(r.logs, *b)
	var result logs.PushResult
	for _, s := range b.Streams {
		result.Entries += len(s.Entries)
	}
	return result, nil
}

func (r *recorder) PushTraces(_ context.Context, tenant string, b *traces.Batch) (traces.PushResult, error) {
	if r.err != nil {
		return traces.PushResult{}, r.err
	}
	r.tenants, r.traces = append(r.tenants, tenant), append(r.traces, *b)
	return traces.PushResult{Spans: b.Spans}, nil
}

type fixture struct {
	*Distributor
	ingester *recorder
	limits   *limits.Overrides
	registry *prometheus.Registry
	now      time.Time
}

func newFixture(t testing.TB, change func(*limits.Limits)) *fixture {
	t.Helper()
	l := limits.DefaultConfig()
	if change != nil {
		change(&l)
	}
	o, err := limits.New(l, nil)
	require.NoError(t, err)
	f := &fixture{ingester: &recorder{}, limits: o, registry: prometheus.NewRegistry(), now: now}
	f.Distributor = New(Options{Limits: o, Ingester: f.ingester, Registerer: f.registry, Now: func() time.Time { return f.now }})
	return f
}

func as(id string) context.Context { return tenant.NewContext(context.Background(), id) }

// discarded returns the counter of one reason.
func (f *fixture) discardedTotal(t *testing.T, signal, reason, tenant string) float64 {
	t.Helper()
	families, err := f.registry.Gather()
	require.NoError(t, err)
	for _, mf := range families {
		if mf.GetName() != "hune_discarded_total" {
			continue
		}
		for _, m := range mf.GetMetric() {
			got := map[string]string{}
			for _, l := range m.GetLabel() {
				got[l.GetName()] = l.GetValue()
			}
			if got["signal"] == signal && got["reason"] == reason && got["tenant"] == tenant {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func TestMetricsAreWellFormed(t *testing.T) {
	f := newFixture(t, nil)
	_, err := f.PushLogs(as("a"), &logs.Batch{})
	require.NoError(t, err)
	problems, err := testutil.GatherAndLint(f.registry)
	require.NoError(t, err)
	require.Empty(t, problems)
}
