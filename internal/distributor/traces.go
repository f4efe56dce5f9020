package distributor

import (
	"context"
	"fmt"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/traces"
)

// PushTraces checks the OTLP message in b, which may come from a sender unseen, and hands what is
// left to the ingester. The error is Invalid if the message is malformed as a whole.
func (d *Distributor) PushTraces(ctx context.Context, b *traces.Batch) (traces.PushResult, error) {
	w, err := d.begin(ctx, signal.Traces)
	if err != nil {
		return traces.PushResult{}, err
	}
	defer d.end(w)
	size := len(b.OTLP)
	checked, refused, err := traces.Check(b.OTLP, w.spanLimits())
	if err != nil {
		w.rejected.add(reasonInvalidTrace, 1, err.Error)
		return traces.PushResult{}, err
	}
	for _, r := range refused {
		w.rejected.add(r.Reason, r.Count, text(r.Message))
	}
	l := &w.limits.Traces
	err = d.limitRate(w, size, checked.Spans, float64(l.IngestionRate), float64(l.IngestionBurst), func() string {
		return fmt.Sprintf("ingestion rate limit exceeded for user %s (limit: %d bytes/s) while attempting to ingest %s totaling %d bytes",
			w.tenant, int64(l.IngestionRate), plural(checked.Spans, "span", "spans"), size)
	})
	if err != nil {
		return traces.PushResult{}, err
	}
	var result traces.PushResult
	if checked.Spans > 0 {
		if result, err = d.ingester.PushTraces(ctx, w.tenant, &checked); err != nil {
			return traces.PushResult{}, err
		}
		if d.spans != nil {
			d.spans.Observe(w.tenant, &checked)
		}
		d.metrics.records.WithLabelValues(string(w.signal)).Add(float64(checked.Spans))
		d.metrics.bytes.WithLabelValues(string(w.signal)).Add(float64(len(checked.OTLP)))
	}
	for _, r := range result.Rejected {
		w.rejected.add(r.Reason, r.Count, text(r.Message))
	}
	result.Rejected = nil
	for _, r := range w.rejected {
		result.Rejected = append(result.Rejected, traces.Rejection{Reason: r.reason, Message: r.message, Count: r.count})
	}
	return result, nil
}

func (w *write) spanLimits() traces.Limits {
	win := w.nanos()
	return limitsOf(&w.limits.Traces, uint64(win.oldest)+1, uint64(win.newest))
}

func limitsOf(l *limits.TracesLimits, oldest, newest uint64) traces.Limits {
	return traces.Limits{
		MaxSpanBytes: int(l.MaxSpanBytes), MaxAttributeBytes: int(l.MaxAttributeBytes),
		MaxAttributes: l.MaxAttributesPerSpan, MaxEvents: l.MaxEventsPerSpan,
		Oldest: oldest, Newest: newest,
	}
}
