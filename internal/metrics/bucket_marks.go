package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/block/metadata"
)

// The marks that a block can have, Thanos's.
const (
	MarkDeletion     = "deletion"      // it is deleted after a delay
	MarkNoCompact    = "no-compact"    // it is not merged with others, nor written anew: somebody wants it so, or it is damaged
	MarkNoDownsample = "no-downsample" // it is not downsampled
)

// markFiles are the files of the marks, in the order in which they are told.
var markFiles = []struct{ mark, file string }{
	{MarkDeletion, metadata.DeletionMarkFilename}, {MarkNoCompact, metadata.NoCompactMarkFilename}, {MarkNoDownsample, metadata.NoDownsampleMarkFilename},
}

// BlockMark is a mark of a block.
type BlockMark struct {
	Mark    string
	Details string // why, for people
	At      time.Time
}

func markFile(mark string) (string, error) {
	for _, f := range markFiles {
		if f.mark == mark {
			return f.file, nil
		}
	}
	return "", fmt.Errorf("unknown mark %q: there are %s, %s and %s", mark, MarkDeletion, MarkNoCompact, MarkNoDownsample)
}

// MarkBlock marks a block of a tenant. It is an error if the block isn't there, or has the mark already.
func MarkBlock(ctx context.Context, bkt objstore.Bucket, tenant string, id ulid.ULID, m BlockMark) error {
	b, name, there, err := markOf(ctx, bkt, tenant, id, m.Mark)
	if err != nil {
		return err
	}
	if there {
		return fmt.Errorf("block %s of tenant %s has the mark %s already", id, tenant, m.Mark)
	}
	at := m.At.Unix()
	var content any
	switch m.Mark {
	case MarkDeletion:
		content = metadata.DeletionMark{ID: id, Version: metadata.DeletionMarkVersion1, Details: m.Details, DeletionTime: at}
	case MarkNoCompact:
		content = metadata.NoCompactMark{ID: id, Version: metadata.NoCompactMarkVersion1, Details: m.Details, NoCompactTime: at, Reason: metadata.ManualNoCompactReason}
	default:
		content = metadata.NoDownsampleMark{ID: id, Version: metadata.NoDownsampleMarkVersion1, Details: m.Details, NoDownsampleTime: at, Reason: metadata.ManualNoDownsampleReason}
	}
	if err := writeMark(ctx, b, name, content); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// UnmarkBlock takes a mark away. It is an error if it isn't there.
func UnmarkBlock(ctx context.Context, bkt objstore.Bucket, tenant string, id ulid.ULID, mark string) error {
	b, name, there, err := markOf(ctx, bkt, tenant, id, mark)
	if err != nil {
		return err
	}
	if !there {
		return fmt.Errorf("block %s of tenant %s hasn't the mark %s", id, tenant, mark)
	}
	if err := b.Delete(ctx, name); err != nil {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return nil
}

// markOf returns the file of a mark in the folder of the tenant, and whether it is there.
func markOf(ctx context.Context, bkt objstore.Bucket, tenant string, id ulid.ULID, mark string) (b objstore.Bucket, name string, there bool, err error) {
	file, err := markFile(mark)
	if err != nil {
		return nil, "", false, err
	}
	b, name = tenantBucket(bkt, tenant), path.Join(id.String(), file)
	found := false
	err = b.Iter(ctx, id.String()+"/", func(object string) error {
		found = true
		there = there || object == name
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("tenant %s has no block of metrics %s", tenant, id)
	}
	return b, name, there, err
}

// readMarks reads the marks of a block, as far as it has any of files.
func readMarks(ctx context.Context, bkt objstore.BucketReader, id ulid.ULID, files map[string]bool) (out []BlockMark, err error) {
	for _, f := range markFiles {
		if !files[f.file] {
			continue
		}
		name := path.Join(id.String(), f.file)
		data, readErr := readObject(ctx, bkt, name, maxMetaSize)
		var content struct {
			Version          int    `json:"version"`
			Details          string `json:"details"`
			DeletionTime     int64  `json:"deletion_time"`
			NoCompactTime    int64  `json:"no_compact_time"`
			NoDownsampleTime int64  `json:"no_downsample_time"`
		}
		if readErr == nil {
			readErr = json.Unmarshal(data, &content)
		}
		if readErr == nil && content.Version != 1 { // all of them are at the first
			readErr = fmt.Errorf("%w: version %d", errDamaged, content.Version)
		}
		if readErr != nil {
			err = errors.Join(err, fmt.Errorf("read %s: %w", name, readErr))
			continue
		}
		out = append(out, BlockMark{f.mark, content.Details, time.Unix(content.DeletionTime+content.NoCompactTime+content.NoDownsampleTime, 0)})
	}
	return out, err
}
