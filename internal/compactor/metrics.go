package compactor

import (
	"context"
	"time"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/metrics"
)

// newSeries returns what works on the blocks of metrics.
func (c *Compactor) newSeries() *metrics.Compactor {
	opts := metrics.CompactorOptions{Dir: c.opts.Dir, Bucket: c.opts.Bucket, DeleteDelay: time.Duration(c.opts.Config.MetricsDeleteDelay),
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
