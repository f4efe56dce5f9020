package ingester

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hune-io/hune/internal/block"
)

// ship uploads every local block that is not in the bucket yet. An upload that fails leaves the
// block where it is; the others are tried all the same.
func (c *columnar[B, P, R]) ship(ctx context.Context) error {
	c.shipMu.Lock()
	defer c.shipMu.Unlock()
	var errs []error
	for _, t := range c.all() {
		t.mu.RLock()
		waiting := slices.DeleteFunc(slices.Clone(t.frozen), func(g *generation[B, P, R]) bool { return g.sent || g.head != nil })
		t.mu.RUnlock()
		for _, g := range waiting {
			if err := c.shipOne(ctx, t, g); err != nil {
				c.metrics.uploadFailures.Inc()
				errs = append(errs, fmt.Errorf("upload %s block %s of tenant %s: %w", c.kind.signal, g.id, t.tenant, err))
			}
		}
	}
	return errors.Join(errs...)
}

func (c *columnar[B, P, R]) shipOne(ctx context.Context, t *tenantState[B, P, R], g *generation[B, P, R]) error {
	meta, err := readLocalMeta(g.dir)
	if err != nil {
		return err
	}
	started := time.Now()
	if err := block.Upload(ctx, c.bucket(), g.dir, meta); err != nil {
		return err
	}
	if c.shipped != nil {
		c.shipped(ctx, *meta)
	}
	t.mu.Lock()
	g.sent, g.sentAt = true, c.opts.Now()
	t.mu.Unlock()
	c.metrics.uploads.Inc()
	c.metrics.uploadedBytes.Add(float64(meta.StoredBytes))
	c.logger.Info("block uploaded", "tenant", t.tenant, "block", g.id, "rows", meta.Rows,
		"raw_bytes", meta.RawBytes, "stored_bytes", meta.StoredBytes, "duration", time.Since(started))
	return nil
}

// forget drops local blocks that stores have had time to find in the bucket. The local copy is
// also what tells a replay to skip the block's rows, so it stays while the log still holds them.
func (c *columnar[B, P, R]) forget(now time.Time) error {
	floor := int(c.floor.Load())
	var errs []error
	for _, t := range c.all() {
		for _, g := range t.forgettable(now, time.Duration(c.cfg.KeepAfterUpload), floor) {
			c.pending.Add(-g.size)
			errs = append(errs, g.remove())
		}
	}
	return errors.Join(errs...)
}

// forgettable takes the generations that are no longer needed out of t.
func (t *tenantState[B, P, R]) forgettable(now time.Time, keep time.Duration, floor int) []*generation[B, P, R] {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*generation[B, P, R]
	t.frozen = slices.DeleteFunc(t.frozen, func(g *generation[B, P, R]) bool {
		done := g.sent && now.Sub(g.sentAt) >= keep && g.cut.gone(floor)
		if done {
			out = append(out, g)
		}
		return done
	})
	return out
}

// remove deletes the local files. The names go first, in one step: a crash half-way leaves either
// a whole block or a folder that recovery ignores. Queries that still read hold the open file.
func (g *generation[B, P, R]) remove() error {
	gone := g.dir + ".tmp"
	if err := os.Rename(g.dir, gone); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(gone)), os.RemoveAll(gone))
}
