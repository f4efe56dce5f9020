package app

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/metrics"
)

// metricsAdmin is Prometheus's admin API over heads, bucket and compactor. Like requests to delete logs, those
// to delete samples are written by the process with the compactor alone.
type metricsAdmin struct{ a *App }

// DeleteSeries deletes what is stored now: a range without an end must not take what is written tomorrow.
func (m metricsAdmin) DeleteSeries(ctx context.Context, tenant string, selectors []string, start, end int64) error {
	newest := time.Now().UnixMilli()
	if m.a.heads != nil {
		if t, ok := m.a.heads.MaxTime(tenant); ok {
			newest = max(newest, t)
		}
	}
	if end = min(end, newest); start > end {
		return nil
	}
	if err := m.a.metricDeletes.Add(ctx, tenant, selectors, start, end); err != nil {
		return err
	}
	if m.a.frontend != nil {
		m.a.frontend.MetricsChanged(tenant, start)
	}
	if err := m.a.takeBack(ctx, tenant); err != nil {
		return fault.Errorf(fault.Unavailable, "the samples are hidden, but members may still show answers from before: %w. Ask again", err)
	}
	m.a.logger.Info("metrics deleted", "tenant", tenant, "selectors", selectors, "start", start, "end", end)
	return nil
}

// CleanTombstones carries out what was asked for so far.
func (m metricsAdmin) CleanTombstones(ctx context.Context, tenant string) error {
	return m.a.compactor.CleanTombstones(ctx, tenant)
}

// Snapshot writes to the folder snapshots of the data folder.
func (m metricsAdmin) Snapshot(ctx context.Context, tenant string, skipHead bool) (string, error) {
	name := fmt.Sprintf("%s-%016x", time.Now().UTC().Format("20060102T150405Z0700"), rand.Int64())
	return name, metrics.Snapshot(ctx, metrics.SnapshotOptions{Dir: filepath.Join(m.a.cfg.Data, "snapshots", name), Bucket: m.a.bucket,
		Heads: m.a.heads, Deleted: m.a.metricDeletes.Active(tenant), SkipHead: skipHead}, tenant)
}

// metricsSettled reports whether the samples of a tenant up to a time, in milliseconds, are in the bucket
// alone. Ingesters of other processes can't be asked: after a few times as long as they keep a sample it is
// so unless their uploads fail.
func (a *App) metricsSettled(tenant string, end int64) bool {
	c := a.cfg.Metrics
	elsewhere := 4 * time.Duration(c.BlockRange+c.OutOfOrderWindow+c.KeepLocal+c.IdleFlush)
	if (a.heads == nil || a.cluster != nil) && time.Since(time.UnixMilli(end)) <= elsewhere {
		return false
	}
	return a.heads == nil || a.heads.Settled(tenant, end)
}
