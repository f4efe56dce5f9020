package distributor

import (
	"context"

	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces"
)

// PushOTLPMetrics is PushMetrics for OTLP metrics. What can't become series is among the
// rejections; their counts are data points where the translation refused them, samples where a
// limit did. md may be reused afterwards.
func (d *Distributor) PushOTLPMetrics(ctx context.Context, md pmetric.Metrics) (metrics.PushResult, error) {
	b, refused, err := metrics.FromOTLP(ctx, md, d.otlpMetrics)
	if err != nil {
		return metrics.PushResult{}, err
	}
	result, err := d.PushMetrics(ctx, b)
	if err != nil {
		return metrics.PushResult{}, err
	}
	for _, r := range refused {
		d.countRefused(ctx, signal.Metrics, r.Reason, r.Count)
	}
	result.Rejected = append(refused, result.Rejected...)
	return result, nil
}

var nameless = labels.FromStrings(logs.ServiceName, logs.UnknownService)

// PushOTLPLogs is PushLogs for OTLP logs. ld may be reused afterwards.
func (d *Distributor) PushOTLPLogs(ctx context.Context, ld plog.Logs) (logs.PushResult, error) {
	o := d.otlpLogs
	o.Now = d.now()
	b, refused, message := logs.FromOTLP(ld, o)
	for i := range b.Streams {
		// A resource that names nothing is legal in OTLP, a stream without labels is not.
		if b.Streams[i].Labels.IsEmpty() {
			b.Streams[i].Labels = nameless
		}
	}
	result, err := d.PushLogs(ctx, b)
	if err != nil {
		return logs.PushResult{}, err
	}
	if refused > 0 {
		d.countRefused(ctx, signal.Logs, reasonInvalidTimestamp, refused)
		first := logs.Rejection{Reason: reasonInvalidTimestamp, Message: message, Count: refused}
		result.Rejected = append([]logs.Rejection{first}, result.Rejected...)
	}
	return result, nil
}

// PushOTLPTraces is PushTraces for traces that are decoded already. Whoever has the bytes of the
// request saves a round trip with PushTraces.
func (d *Distributor) PushOTLPTraces(ctx context.Context, td ptrace.Traces) (traces.PushResult, error) {
	data, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
	if err != nil {
		return traces.PushResult{}, err
	}
	return d.PushTraces(ctx, &traces.Batch{OTLP: data})
}

// countRefused counts what a translation left out before the checks began. The tenant is there:
// the push before has seen it.
func (d *Distributor) countRefused(ctx context.Context, s signal.Signal, reason string, n int) {
	if id, err := tenant.FromContext(ctx); err == nil {
		d.discarded.Add(s, reason, id, n)
	}
}
