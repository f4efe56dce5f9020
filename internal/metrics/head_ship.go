package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/block/metadata"
)

// The names of the external labels of every block that Hune ships.
const (
	labelTenant  = "tenant"
	labelReplica = "replica"
)

// flush cuts the whole head, and the out-of-order head, to blocks of at most one block range.
func (t *head) flush(ctx context.Context) error {
	t.maintenance.Lock()
	defer t.maintenance.Unlock()
	t.gate.Lock()
	defer t.gate.Unlock()
	t.metrics.flushes.Inc()
	width := time.Duration(t.opts.Config.BlockRange).Milliseconds()
	for h := t.db.Head(); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		mint, maxt := h.MinTime(), h.MaxTime()
		if mint > maxt || mint == math.MaxInt64 || h.NumSeries() == 0 {
			break
		}
		// Blocks are aligned, as Prometheus's are: the compactor groups them by range.
		end := min(mint-floorMod(mint, width)+width-1, maxt)
		if err := t.db.CompactHead(tsdb.NewRangeHeadWithIsolationDisabled(h, mint, end)); err != nil {
			return fmt.Errorf("cut head to a block: %w", err)
		}
		if end == maxt {
			break
		}
	}
	if err := t.db.CompactOOOHead(ctx); err != nil {
		return fmt.Errorf("cut out-of-order head to blocks: %w", err)
	}
	return nil
}

// floorMod is a modulo whose result is never negative: times before 1970 are.
func floorMod(a, b int64) int64 { return (a%b + b) % b }

// maintainTimeout bounds the periodic work of a tenant: a bucket that hangs must not keep the blocks of
// the others from being uploaded for ever.
const maintainTimeout = 30 * time.Minute

// maintain does the periodic work of a tenant.
func (t *head) maintain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, maintainTimeout)
	defer cancel()
	since := max(t.lastAppend.Load(), t.lastIdle.Load())
	idle := time.Duration(t.opts.Config.IdleFlush)
	var flushErr error
	if idle > 0 && t.opts.Now().UnixMilli()-since > idle.Milliseconds() && t.db.Head().NumSeries() > 0 {
		flushErr = t.flush(ctx)
		t.lastIdle.Store(t.opts.Now().UnixMilli()) // not again next minute, whatever remained
	}
	return errors.Join(flushErr, t.ship(ctx), t.meta.save())
}

// ship uploads and verifies every local block that is not known to be in the bucket.
func (t *head) ship(ctx context.Context) error {
	if t.opts.Bucket == nil {
		return nil
	}
	t.maintenance.Lock()
	defer t.maintenance.Unlock()
	var errs []error
	present := map[ulid.ULID]bool{}
	for _, b := range t.db.Blocks() {
		id := b.Meta().ULID
		present[id] = true
		if t.shipped.has(id) {
			continue
		}
		if err := t.shipBlock(ctx, b); err != nil {
			t.metrics.shipFailures.Inc()
			errs = append(errs, err)
			if ctx.Err() != nil {
				break
			}
		}
	}
	t.countPending()
	if len(errs) == 0 {
		errs = append(errs, t.shipped.forget(func(id ulid.ULID) bool { return !present[id] }))
	}
	return errors.Join(errs...)
}

// countPending brings the sum of all tenants up to date; t.maintenance must be held.
func (t *head) countPending() {
	var n int64
	for _, b := range t.db.Blocks() {
		if !t.shipped.has(b.Meta().ULID) {
			n += b.Size()
		}
	}
	t.metrics.pendingBytes.Add(n - t.pending)
	t.pending = n
}

func (t *head) shipBlock(ctx context.Context, b *tsdb.Block) error {
	id := b.Meta().ULID
	external := t.opts.Config.BlockLabels(t.tenant, t.opts.Replica)
	start := t.opts.Now()
	size, err := uploadBlock(ctx, tenantBucket(t.opts.Bucket, t.tenant), b.Dir(), metadata.Thanos{Labels: external, Source: metadata.ReceiveSource}, start)
	if err != nil {
		return fmt.Errorf("upload block %s: %w", id, err)
	}
	if err := t.shipped.add(id, t.opts.Now()); err != nil {
		return fmt.Errorf("remember upload of block %s: %w", id, err)
	}
	t.metrics.shipped.Inc()
	m := b.Meta()
	t.logger.Info("metric block shipped", "block", id, "from", formatMillis(m.MinTime), "to", formatMillis(m.MaxTime),
		"series", m.Stats.NumSeries, "samples", m.Stats.NumSamples, "bytes", size, "seconds", t.opts.Now().Sub(start).Seconds())
	return nil
}

// blocksToDelete is called by the TSDB when it reloads its blocks, also between writing one and cutting the log. A block may
// go when it has been in the bucket for long enough. The newest in-order block stays: on a restart the TSDB takes from it
// what of the log is in blocks already.
func (t *head) blocksToDelete(blocks []*tsdb.Block) map[ulid.ULID]struct{} {
	var newest *tsdb.Block
	for _, b := range blocks {
		m := b.Meta()
		if !m.Compaction.FromOutOfOrder() && (newest == nil || m.MaxTime > newest.Meta().MaxTime) {
			newest = b
		}
	}
	if newest != nil {
		if err := t.exemplars.beforeCut(newest.Meta().ULID, t.goneExemplars); err != nil {
			t.logger.Error("exemplars can't be saved, a restart would lose those that are older than the log", "err", err)
		}
	}
	if t.opts.Bucket == nil {
		return nil
	}
	before := t.opts.Now().Add(-time.Duration(t.opts.Config.KeepLocal))
	gone := map[ulid.ULID]struct{}{}
	for _, b := range blocks {
		if at, ok := t.shipped.at(b.Meta().ULID); ok && b != newest && at.Before(before) {
			gone[b.Meta().ULID] = struct{}{}
		}
	}
	return gone
}

// Settled reports whether all samples of a tenant up to a time, in milliseconds, are in the bucket and
// answered from there alone: they are neither in the head nor in blocks on the local disk.
func (h *Heads) Settled(id string, end int64) bool {
	t, err := h.head(id, false)
	if err != nil {
		return false
	}
	if t == nil {
		return true
	}
	defer t.release()
	if oldest, ok := oldestOf(t.db.Head()); ok && oldest <= end {
		return false
	}
	return !slices.ContainsFunc(t.db.Blocks(), func(b *tsdb.Block) bool { return b.Meta().MinTime <= end })
}

// oldestOf returns the time of the oldest sample of a head, or a time before; false: it is empty.
func oldestOf(h *tsdb.Head) (int64, bool) {
	switch {
	case h.NumSeries() == 0:
		return 0, false
	case h.MaxOOOTime() < h.MinOOOTime(): // nothing was out of order
		return h.MinTime(), true
	}
	return min(h.MinTime(), h.MinOOOTime()), true
}

// tenantBucket is the folder of a tenant's metric blocks.
func tenantBucket(b objstore.Bucket, tenant string) objstore.Bucket {
	return objstore.NewPrefixedBucket(b, tenant+"/metrics")
}

// shipLog remembers in a file which local blocks are verified in the bucket, and since when.
// Losing the file costs another verification.
type shipLog struct {
	path string

	mu      sync.Mutex
	shipped map[ulid.ULID]int64 // Unix milliseconds
}

type shipFile struct {
	Version int                 `json:"version"`
	Shipped map[ulid.ULID]int64 `json:"shipped"`
}

func openShipLog(dir string) (*shipLog, error) {
	l := &shipLog{path: filepath.Join(dir, shippedFile), shipped: map[ulid.ULID]int64{}}
	data, err := os.ReadFile(l.path)
	if os.IsNotExist(err) {
		return l, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read list of shipped blocks: %w", err)
	}
	var f shipFile
	if json.Unmarshal(data, &f) == nil && f.Shipped != nil { // a damaged file is as good as none
		l.shipped = f.Shipped
	}
	return l, nil
}

func (l *shipLog) has(id ulid.ULID) bool {
	_, ok := l.at(id)
	return ok
}

func (l *shipLog) at(id ulid.ULID) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ms, ok := l.shipped[id]
	return time.UnixMilli(ms), ok
}

func (l *shipLog) add(id ulid.ULID, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shipped[id] = now.UnixMilli()
	return l.save()
}

// forget drops the blocks that gone says yes to.
func (l *shipLog) forget(gone func(ulid.ULID) bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.shipped)
	maps.DeleteFunc(l.shipped, func(id ulid.ULID, _ int64) bool { return gone(id) })
	if len(l.shipped) == n {
		return nil
	}
	return l.save()
}

// save writes the file; l.mu must be held.
func (l *shipLog) save() error {
	data, err := json.Marshal(shipFile{Version: 1, Shipped: l.shipped})
	if err != nil {
		return err
	}
	return writeFileAtomic(l.path, data)
}
