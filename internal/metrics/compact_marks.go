package metrics

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/block/metadata"
)

// partialAge is how long after its last object came an upload without meta.json is taken for one that
// never ends. Thanos's.
const partialAge = 48 * time.Hour

// sweep marks blocks that others have replaced or that are past their retention, and deletes those whose
// mark is old enough and what is left of uploads that never ended. It returns how many were deleted.
func (c *Compactor) sweep(ctx context.Context, t *tenantMetrics) (n int, err error) {
	var errs []error
	for _, m := range t.metas {
		if t.has(m.ULID, metadata.DeletionMarkFilename) {
			continue
		}
		if by := replacement(m, t.metas); by != nil {
			err = c.mark(ctx, t, m.ULID, "replaced", "replaced by block "+by.ULID.String())
		} else if keep := c.opts.Keep(t.id, m.Thanos.Downsample.Resolution); keep > 0 && m.MaxTime <= c.opts.Now().Add(-keep).UnixMilli() {
			err = c.mark(ctx, t, m.ULID, "retention", "past its retention of "+keep.String())
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	waiting := map[string]int{"marked": 0, "partial": 0}
	for _, id := range slices.SortedFunc(maps.Keys(t.files), ulid.ULID.Compare) {
		var state string
		var deleted bool
		switch files := t.files[id]; {
		case files[metadata.DeletionMarkFilename]:
			state = "marked"
			deleted, err = c.deleteMarked(ctx, t, id)
		case !files[metadata.MetaFilename]:
			state = "partial"
			deleted, err = c.deletePartial(ctx, t, id)
		default:
			continue
		}
		if err != nil {
			errs = append(errs, err)
		}
		if deleted {
			n++
		} else {
			waiting[state]++
		}
	}
	for state, n := range waiting {
		c.metrics.waiting.WithLabelValues(t.id, state).Set(float64(n))
	}
	return n, errors.Join(errs...)
}

// deleteMarked deletes a block if its mark is old enough.
func (c *Compactor) deleteMarked(ctx context.Context, t *tenantMetrics, id ulid.ULID) (bool, error) {
	key := blockKey{t.id, id}
	since, known := c.marks[key]
	if !known {
		var err error
		if since, err = markedSince(ctx, t.bkt, id); err != nil {
			return false, err
		}
		c.marks[key] = since
	}
	if c.opts.Now().Sub(since) < c.opts.DeleteDelay {
		return false, nil
	}
	if err := c.remove(ctx, t, id); err != nil {
		return false, err
	}
	c.opts.Logger.Info("metric block deleted after its mark", "tenant", t.id, "block", id, "marked", since)
	c.metrics.deleted.Inc()
	return true, nil
}

// deletePartial deletes what there is of a block without meta.json, if nothing was added for long.
func (c *Compactor) deletePartial(ctx context.Context, t *tenantMetrics, id ulid.ULID) (bool, error) {
	var newest time.Time
	err := t.bkt.Iter(ctx, id.String()+"/", func(name string) error {
		attrs, err := t.bkt.Attributes(ctx, name)
		if err != nil {
			return fmt.Errorf("read attributes of %s: %w", name, err)
		}
		if attrs.LastModified.After(newest) {
			newest = attrs.LastModified
		}
		return nil
	}, objstore.WithRecursiveIter())
	if err != nil || c.opts.Now().Sub(newest) < partialAge {
		return false, err
	}
	if err := c.remove(ctx, t, id); err != nil {
		return false, err
	}
	c.opts.Logger.Warn("remains of an upload deleted: the block has no meta.json", "tenant", t.id, "block", id, "last_change", newest)
	c.metrics.partial.Inc()
	return true, nil
}

func (c *Compactor) remove(ctx context.Context, t *tenantMetrics, id ulid.ULID) error {
	if err := deleteBlock(ctx, t.bkt, id); err != nil {
		return fmt.Errorf("delete block %s: %w", id, err)
	}
	key := blockKey{t.id, id}
	delete(c.metas, key)
	delete(c.marks, key)
	delete(t.files, id)
	t.metas = slices.DeleteFunc(t.metas, func(m *metadata.Meta) bool { return m.ULID == id })
	return nil
}

// mark says that a block is to be deleted. The reason is for counting, the details are for people.
func (c *Compactor) mark(ctx context.Context, t *tenantMetrics, id ulid.ULID, reason, details string) error {
	now := c.opts.Now()
	err := writeMark(ctx, t.bkt, path.Join(id.String(), metadata.DeletionMarkFilename),
		metadata.DeletionMark{ID: id, Version: metadata.DeletionMarkVersion1, Details: details, DeletionTime: now.Unix()})
	if err != nil {
		return fmt.Errorf("mark block %s for deletion: %w", id, err)
	}
	c.metrics.marked.WithLabelValues(reason).Inc()
	c.opts.Logger.Info("metric block marked for deletion", "tenant", t.id, "block", id, "reason", details)
	t.files[id][metadata.DeletionMarkFilename] = true
	c.marks[blockKey{t.id, id}] = now
	return nil
}

// markedSince reads when a block was marked for deletion. A mark that can't be understood, such as one that
// was written in part, is an error: nothing is deleted by it.
func markedSince(ctx context.Context, bkt objstore.BucketReader, id ulid.ULID) (time.Time, error) {
	name := path.Join(id.String(), metadata.DeletionMarkFilename)
	data, err := readObject(ctx, bkt, name, maxMetaSize)
	if err != nil {
		return time.Time{}, fmt.Errorf("read %s: %w", name, err)
	}
	var m metadata.DeletionMark
	if err := json.Unmarshal(data, &m); err != nil {
		return time.Time{}, fmt.Errorf("read %s: %w: %w", name, errDamaged, err)
	}
	if m.Version != metadata.DeletionMarkVersion1 {
		return time.Time{}, fmt.Errorf("read %s: %w: version %d", name, errDamaged, m.Version)
	}
	return time.Unix(m.DeletionTime, 0), nil
}

// quarantine marks a damaged block, so that it is left alone by every compactor and can be looked at.
func (c *Compactor) quarantine(ctx context.Context, t *tenantMetrics, id ulid.ULID, cause error) error {
	if t.has(id, metadata.NoCompactMarkFilename) {
		return nil
	}
	err := writeMark(ctx, t.bkt, path.Join(id.String(), metadata.NoCompactMarkFilename), metadata.NoCompactMark{
		ID: id, Version: metadata.NoCompactMarkVersion1, Details: cause.Error(), NoCompactTime: c.opts.Now().Unix(), Reason: metadata.ManualNoCompactReason})
	if err != nil {
		return fmt.Errorf("mark damaged block %s: %w", id, err)
	}
	t.files[id][metadata.NoCompactMarkFilename] = true
	c.metrics.quarantined.Inc()
	c.opts.Logger.Error("damaged metric block marked, compaction goes on without it", "tenant", t.id, "block", id, "err", cause)
	return nil
}

// keepWhole marks a block that is not compacted as one that isn't downsampled either, because it is damaged.
func (c *Compactor) keepWhole(ctx context.Context, t *tenantMetrics, id ulid.ULID, cause error) error {
	err := writeMark(ctx, t.bkt, path.Join(id.String(), metadata.NoDownsampleMarkFilename), metadata.NoDownsampleMark{
		ID: id, Version: metadata.NoDownsampleMarkVersion1, Details: cause.Error(), NoDownsampleTime: c.opts.Now().Unix(), Reason: metadata.ManualNoDownsampleReason})
	if err != nil {
		return fmt.Errorf("mark damaged block %s: %w", id, err)
	}
	t.files[id][metadata.NoDownsampleMarkFilename] = true
	c.opts.Logger.Error("damaged metric block marked, it is not downsampled", "tenant", t.id, "block", id, "err", cause)
	return nil
}

func writeMark(ctx context.Context, bkt objstore.Bucket, name string, mark any) error {
	data, err := json.Marshal(mark)
	if err != nil {
		return err
	}
	return bkt.Upload(ctx, name, bytes.NewReader(data))
}

// blockFilesIn lists the blocks of a tenant and the names of their files, whole or not.
func blockFilesIn(ctx context.Context, bkt objstore.BucketReader) (map[ulid.ULID]map[string]bool, error) {
	files := map[ulid.ULID]map[string]bool{}
	err := bkt.Iter(ctx, "", func(name string) error {
		dir, file, _ := strings.Cut(name, "/")
		id, err := ulid.ParseStrict(dir)
		if err != nil {
			return nil //nolint:nilerr // not a block
		}
		if files[id] == nil {
			files[id] = map[string]bool{}
		}
		files[id][file] = true
		return nil
	}, objstore.WithRecursiveIter())
	return files, err
}
