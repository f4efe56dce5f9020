package metrics

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/block/metadata"
	"github.com/thanos-io/thanos/pkg/compact/downsample"
)

// SnapshotOptions are what Snapshot needs beside the tenant.
type SnapshotOptions struct {
	Dir     string          // is made; gets a folder for each block
	Bucket  objstore.Bucket // the root of the bucket
	Heads   *Heads          // nil: the bucket alone
	Deleted *Deletions      // become tombstones of the blocks
	// SkipHead leaves out what has not been cut to a block.
	SkipHead bool
}

// Snapshot writes all raw metrics of a tenant to a folder that Prometheus can open: the blocks of the
// bucket, and of the heads what is not there yet. Downsampled blocks are left out. Nothing stays of a
// snapshot that fails.
func Snapshot(ctx context.Context, opts SnapshotOptions, tenant string) (err error) {
	if err := os.MkdirAll(opts.Dir, 0o750); err != nil {
		return fmt.Errorf("create snapshot directory: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(opts.Dir))
		}
	}()
	// The heads first: what they ship afterwards is then in the list of the bucket, too, and not missed.
	if opts.Heads != nil {
		if err := opts.Heads.snapshot(ctx, tenant, opts.Dir, !opts.SkipHead); err != nil {
			return err
		}
	}
	if err := snapshotBucket(ctx, tenantBucket(opts.Bucket, tenant), opts.Dir); err != nil {
		return err
	}
	if opts.Deleted == nil {
		return nil
	}
	entries, err := os.ReadDir(opts.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := entomb(ctx, filepath.Join(opts.Dir, e.Name()), opts.Deleted); err != nil {
			return fmt.Errorf("delete series of block %s: %w", e.Name(), err)
		}
	}
	return nil
}

// snapshot links the local blocks of a tenant and writes its head as one more.
func (h *Heads) snapshot(ctx context.Context, id, dir string, withHead bool) error {
	t, err := h.head(id, false)
	if err != nil || t == nil {
		return err
	}
	defer t.release()
	t.maintenance.Lock()
	defer t.maintenance.Unlock()
	if withHead {
		// A snapshot of a head leaves out what is out of order: that becomes a block before.
		if err := t.db.CompactOOOHead(ctx); err != nil {
			return fmt.Errorf("cut out-of-order head to blocks: %w", err)
		}
	}
	if err := t.db.Snapshot(dir, withHead && t.db.Head().NumSeries() > 0); err != nil {
		return fmt.Errorf("snapshot of local blocks: %w", err)
	}
	return nil
}

// snapshotBucket downloads the raw blocks, and removes those from dir that they hold.
func snapshotBucket(ctx context.Context, bkt objstore.Bucket, dir string) error {
	ids, err := listBlocks(ctx, bkt)
	if err != nil {
		return fmt.Errorf("list blocks: %w", err)
	}
	var metas []*metadata.Meta
	for _, id := range ids {
		m, err := readMeta(ctx, bkt, id)
		switch {
		case err == nil:
			metas = append(metas, m)
		case !bkt.IsObjNotFoundErr(err) && !errors.Is(err, errDamaged):
			return fmt.Errorf("read meta.json of block %s: %w", id, err)
		}
	}
	for _, m := range current(metas) {
		if m.Thanos.Downsample.Resolution > 0 {
			continue
		}
		for _, id := range append([]ulid.ULID{m.ULID}, m.Compaction.Sources...) {
			if err := os.RemoveAll(filepath.Join(dir, id.String())); err != nil {
				return err
			}
		}
		if err := downloadBlock(ctx, bkt, m, filepath.Join(dir, m.ULID.String())); err != nil {
			return fmt.Errorf("download block %s: %w", m.ULID, err)
		}
	}
	return nil
}

// entomb writes deletions to the tombstones of a block.
func entomb(ctx context.Context, dir string, gone *Deletions) (err error) {
	b, err := tsdb.OpenBlock(nil, dir, downsample.NewPool(), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	for i := range gone.Len() {
		d := &gone.list[i]
		if !b.OverlapsClosedInterval(d.Start, d.End) {
			continue
		}
		// The library sorts the matchers that it is given.
		if err := b.Delete(ctx, d.Start, d.End, slices.Clone(d.Matchers)...); err != nil {
			return err
		}
	}
	return nil
}

// MaxTime returns the time of the newest sample in the head of a tenant, in milliseconds.
func (h *Heads) MaxTime(id string) (int64, bool) {
	t, err := h.head(id, false)
	if err != nil || t == nil {
		return 0, false
	}
	defer t.release()
	if t.db.Head().NumSeries() == 0 {
		return 0, false
	}
	return t.db.Head().MaxTime(), true
}
