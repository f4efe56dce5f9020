package app

import (
	"context"
	"math"

	"github.com/hune-io/hune/internal/ingester"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/metrics"
)

// written tells the frontend which times have new logs and samples, before they are acknowledged.
type written struct {
	*ingester.Ingester
	a *App
}

func (w written) PushMetrics(ctx context.Context, tenant string, b *metrics.Batch) (metrics.PushResult, error) {
	oldest := oldestSample(b, w.a.cfg.Metrics.StartTimestampZero)
	res, err := w.Ingester.PushMetrics(ctx, tenant, b)
	// After an error, too: it doesn't say that nothing of the batch is seen.
	if oldest != math.MaxInt64 && w.a.frontend != nil {
		w.a.frontend.MetricsChanged(tenant, oldest)
	}
	return res, err
}

// oldestSample is the time of the oldest sample of a batch, in milliseconds; math.MaxInt64 if there is none. With
// zeros, samples are stored at start timestamps, too.
func oldestSample(b *metrics.Batch, zeros bool) int64 {
	oldest := int64(math.MaxInt64)
	earlier := func(start, t int64) {
		oldest = min(oldest, t)
		if zeros && start > 0 {
			oldest = min(oldest, start)
		}
	}
	for i := range b.Series {
		for _, s := range b.Series[i].Samples {
			earlier(s.Start, s.T)
		}
		for _, h := range b.Series[i].Histograms {
			earlier(h.Start, h.T)
		}
	}
	return oldest
}

// PushLogs implements distributor.Ingester.
func (w written) PushLogs(ctx context.Context, tenant string, b *logs.Batch) (logs.PushResult, error) {
	res, err := w.Ingester.PushLogs(ctx, tenant, b)
	// After an error, too: it doesn't say that nothing of the batch is seen.
	if oldest, ok := b.Oldest(); ok && w.a.frontend != nil {
		w.a.frontend.LogsWritten(tenant, oldest)
	}
	return res, err
}
