package block

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/signal"
)

// quarantineSuffix ends the names of the objects that mark blocks as set aside. They stand beside the
// blocks' folders, not in them: so a listing of the folders tells of them, and costs no more.
const quarantineSuffix = ".quarantine.json"

// Quarantine is the mark of a block that can't be read: what is in TENANT/SIGNAL/ULID.quarantine.json.
// Readers and compactors leave such a block alone, and deleting the mark brings it back.
type Quarantine struct {
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// SetAside marks a block. Marking it again is harmless.
func SetAside(ctx context.Context, bkt objstore.Bucket, tenantID string, s signal.Signal, id ulid.ULID, q Quarantine) error {
	content, err := json.MarshalIndent(q, "", "\t")
	if err != nil {
		return err
	}
	if err := bkt.Upload(ctx, quarantinePath(tenantID, s, id), bytes.NewReader(append(content, '\n'))); err != nil {
		return fmt.Errorf("set block %s aside: %w", Dir(tenantID, s, id), err)
	}
	return nil
}

// Readmit removes the mark of a block, if it has one.
func Readmit(ctx context.Context, bkt objstore.Bucket, tenantID string, s signal.Signal, id ulid.ULID) error {
	if err := deleteIfThere(ctx, expectMissing(bkt), quarantinePath(tenantID, s, id)); err != nil {
		return fmt.Errorf("readmit block %s: %w", Dir(tenantID, s, id), err)
	}
	return nil
}

func quarantinePath(tenantID string, s signal.Signal, id ulid.ULID) string {
	return Dir(tenantID, s, id) + quarantineSuffix
}

// Catalog lists the blocks of a tenant and signal, partial ones included, oldest ULID first: those to
// use, and those that are set aside. A mark without a block counts as the latter.
func Catalog(ctx context.Context, bkt objstore.BucketReader, tenantID string, s signal.Signal) (use, aside []ulid.ULID, err error) {
	dir := path.Join(tenantID, string(s))
	marked := map[ulid.ULID]bool{}
	var all []ulid.ULID
	err = bkt.Iter(ctx, dir+"/", func(name string) error {
		base := strings.TrimPrefix(name, dir+"/")
		if text, ok := strings.CutSuffix(base, "/"); ok {
			if id, err := ulid.ParseStrict(text); err == nil && id.String() == text {
				all = append(all, id)
			}
		} else if text, ok := strings.CutSuffix(base, quarantineSuffix); ok {
			if id, err := ulid.ParseStrict(text); err == nil && id.String() == text && !marked[id] {
				marked[id] = true
				aside = append(aside, id)
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list blocks of %s: %w", dir, err)
	}
	for _, id := range all {
		if !marked[id] {
			use = append(use, id)
		}
	}
	return use, aside, nil
}
