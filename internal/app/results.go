package app

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/grafana/dskit/services"

	"github.com/hune-io/hune/internal/cache"
	"github.com/hune-io/hune/internal/ingester"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/telemetry"
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
	if oldest == math.MaxInt64 {
		return res, err
	}
	if w.a.frontend != nil {
		w.a.frontend.MetricsChanged(tenant, oldest)
	}
	if w.a.late(oldest, time.Now()) && (err != nil || res.Samples+res.Histograms > 0 || w.a.cfg.Metrics.StartTimestampZero) {
		if back := w.a.takeBack(ctx, tenant); back != nil {
			return res, errors.Join(err, back)
		}
	}
	return res, err
}

// clockSkew is how much the clocks of members may differ: answers that one keeps can be younger for another.
const clockSkew = time.Minute

// late reports whether members may keep answers about a time, in milliseconds, for each other.
func (a *App) late(t int64, now time.Time) bool {
	return a.results != nil && t <= now.Add(clockSkew-a.metricsSettledAfter()).UnixMilli()
}

func (a *App) metricsSettledAfter() time.Duration {
	return a.cfg.Frontend.Metrics.Settled(a.metricsWindow())
}

// takeBack makes the answers void that members keep for each other.
func (a *App) takeBack(ctx context.Context, tenant string) error {
	if a.results == nil {
		return nil
	}
	return a.results.TakeBack(ctx, tenant)
}

// makeResults makes what members of a cluster share answers by, if there is a Redis. They must have the same answers:
// those to metrics queries are, as every member reads the heads of all. What StoreAPI servers elsewhere take in nobody
// hears of, so with these nothing is shared. Every process that is in the ring of ingesters needs it: others wait for its
// lease.
func (a *App) makeResults(context.Context) (_ services.Service, err error) {
	if a.cluster == nil || a.redis == nil || len(a.cfg.Metrics.StoreEndpoints) > 0 {
		return nil, nil
	}
	b := telemetry.Build()
	a.results, err = cache.NewResults(a.redis, cache.ResultsOptions{
		// The rings of this process's roles are all there when it is asked.
		Self: func() string {
			if a.rings["ingester"] == nil {
				return ""
			}
			return a.cluster.Self()
		},
		Others:  func() []string { return a.rings["ingester"].Known() },
		Deleted: a.metricDeletes.Versions,
		Setting: fmt.Sprintf("%s %s %#v", b.Version, b.Revision, a.cfg.Metrics.Query), Settled: a.metricsSettledAfter(),
		Logger: a.logger, Registerer: a.registry})
	return services.NewBasicService(nil, a.results.Run, nil).WithName("results"), err
}

// metricsDeleted stands for what is deleted of a tenant's metrics, where answers are shared.
func (a *App) metricsDeleted() func(tenant string) uint64 {
	if a.results == nil {
		return nil
	}
	return a.metricDeletes.Version
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
