package metrics

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/oklog/ulid/v2"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/block/metadata"
)

// BucketBlock is a block of metrics as the bucket has it, whole or not.
type BucketBlock struct {
	ID         ulid.ULID
	Meta       *metadata.Meta // nil: there is none, or it can't be read
	Fault      string         // why it can't be read; "no meta.json" while it is being uploaded
	Marks      []BlockMark
	ReplacedBy ulid.ULID // the block that holds its data; zero: none
}

// Bytes is the size of the block, as far as meta.json tells.
func (b *BucketBlock) Bytes() (n int64) {
	if b.Meta != nil {
		for _, f := range b.Meta.Thanos.Files {
			n += f.SizeBytes
		}
	}
	return n
}

// ListBucket lists the blocks of metrics of a tenant by start, those without a meta.json last.
func ListBucket(ctx context.Context, bkt objstore.Bucket, tenant string) ([]BucketBlock, error) {
	b := tenantBucket(bkt, tenant)
	files, err := blockFilesIn(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("list metric blocks of tenant %s: %w", tenant, err)
	}
	var out []BucketBlock
	var metas []*metadata.Meta
	for _, id := range slices.SortedFunc(maps.Keys(files), ulid.ULID.Compare) {
		block := BucketBlock{ID: id, Fault: "no meta.json"}
		if files[id][metadata.MetaFilename] {
			block.Fault = ""
			if block.Meta, err = readMeta(ctx, b, id); err != nil {
				if !errors.Is(err, errDamaged) {
					return nil, fmt.Errorf("read meta.json of block %s: %w", id, err)
				}
				block.Fault = err.Error()
			} else {
				metas = append(metas, block.Meta)
			}
		}
		if block.Marks, err = readMarks(ctx, b, id, files[id]); err != nil {
			block.Fault = err.Error()
		}
		out = append(out, block)
	}
	for i := range out {
		if m := out[i].Meta; m != nil {
			if by := replacement(m, metas); by != nil {
				out[i].ReplacedBy = by.ULID
			}
		}
	}
	slices.SortStableFunc(out, func(a, b BucketBlock) int {
		if (a.Meta == nil) != (b.Meta == nil) {
			return cmp.Compare(btoi(a.Meta == nil), btoi(b.Meta == nil))
		}
		if a.Meta == nil {
			return 0
		}
		return cmp.Or(cmp.Compare(a.Meta.MinTime, b.Meta.MinTime), cmp.Compare(a.Meta.Thanos.Downsample.Resolution, b.Meta.Thanos.Downsample.Resolution))
	})
	return out, nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// VerifyBlock downloads a block to a folder below dir, compares its files with meta.json, and reads every
// series and chunk.
func VerifyBlock(ctx context.Context, bkt objstore.Bucket, tenant string, id ulid.ULID, dir string) error {
	b := tenantBucket(bkt, tenant)
	meta, err := readMeta(ctx, b, id)
	if err != nil {
		return fmt.Errorf("read %s: %w", path.Join(id.String(), metadata.MetaFilename), err)
	}
	work, err := os.MkdirTemp(dir, "verify-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	block := filepath.Join(work, id.String())
	if err := downloadBlock(ctx, b, meta, block); err != nil {
		return err
	}
	return verifyDir(ctx, block)
}

// Rewrite makes a new block of one, without what is deleted, and marks that for deletion. It returns the
// name of the new block, zero when nothing is left.
func (c *Compactor) Rewrite(ctx context.Context, tenant string, id ulid.ULID, gone *Deletions) (ulid.ULID, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.list(ctx, tenant)
	if err != nil {
		return ulid.ULID{}, err
	}
	i := slices.IndexFunc(t.metas, func(m *metadata.Meta) bool { return m.ULID == id })
	if i < 0 {
		return ulid.ULID{}, fmt.Errorf("tenant %s has no block %s that can be read", tenant, id)
	}
	m := t.metas[i]
	if by := replacement(m, t.metas); by != nil {
		return ulid.ULID{}, fmt.Errorf("block %s is replaced by block %s: rewrite that", id, by.ULID)
	}
	made, _, err := c.make(ctx, t, compaction{inputs: []*metadata.Meta{m}, resolution: m.Thanos.Downsample.Resolution, labels: m.Thanos.Labels, gone: gone})
	if err != nil || made == (ulid.ULID{}) {
		return made, err
	}
	return made, c.mark(ctx, t, id, "replaced", "replaced by block "+made.String())
}
