package compactor

import (
	"context"
	"time"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/signal"
)

// newSeries returns what works on the blocks of metrics.
func (c *Compactor) newSeries() *metrics.Compactor {
	opts := metrics.CompactorOptions{Dir: c.opts.Dir, Bucket: c.opts.Bucket, DeleteDelay: time.Duration(c.opts.Config.DeleteDelay),
		Keep: c.opts.MetricsRetention, ReplicaLabels: c.opts.Config.MetricsReplicaLabels, Settled: c.opts.MetricsSettled,
		Logger: c.opts.Logger, Registerer: c.opts.Registerer, Now: func() time.Time { return c.opts.Now() }}
	if c.opts.MetricsDeletes != nil {
		opts.Deletes = c.opts.MetricsDeletes
	}
	return metrics.NewCompactor(opts)
}

// CleanTombstones writes the blocks of metrics of a tenant that hold deleted samples anew, now.
func (c *Compactor) CleanTombstones(ctx context.Context, tenant string) error {
	changed, err := c.series.CleanTombstones(ctx, tenant)
	if changed && c.opts.Changed != nil {
		c.opts.Changed(ctx)
	}
	return err
}

// OfMetrics returns how long metrics of a resolution, in milliseconds, are kept; 0 is for ever.
func (r Retention) OfMetrics(resolution int64) time.Duration {
	switch {
	case resolution >= time.Hour.Milliseconds():
		return time.Duration(r.Metrics1h)
	case resolution > 0:
		return time.Duration(r.Metrics5m)
	}
	return time.Duration(r.Metrics)
}

// MetricsRetention returns how long the metrics of each tenant are kept: as its limits say, and where they
// say nothing as r does. It follows limits that are reloaded.
func (r Retention) MetricsRetention(overrides *limits.Overrides) func(tenant string, resolution int64) time.Duration {
	return func(tenant string, resolution int64) time.Duration {
		l := overrides.For(tenant).Metrics
		own := Retention{Metrics: l.RetentionPeriod, Metrics5m: l.RetentionPeriod5m, Metrics1h: l.RetentionPeriod1h}.OfMetrics(resolution)
		if own > 0 {
			return own
		}
		return r.OfMetrics(resolution)
	}
}

// retainMetrics deletes blocks of metrics that are too old for their resolution.
func (c *Compactor) retainMetrics(ctx context.Context, tenant string) (int, error) {
	n, err := metrics.DeleteOlder(ctx, c.opts.Bucket, tenant, func(resolution int64) time.Time {
		if keep := c.opts.MetricsRetention(tenant, resolution); keep > 0 {
			return c.opts.Now().Add(-keep)
		}
		return time.Time{}
	})
	c.deleted.WithLabelValues(string(signal.Metrics), "retention").Add(float64(n))
	return n, err
}
