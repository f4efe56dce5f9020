package block

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/oklog/ulid/v2"
	"github.com/thanos-io/objstore"
	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/tenant"
)

// ErrPartial marks a folder without meta.json: a block whose upload or deletion didn't end.
var ErrPartial = errors.New("block has no " + MetaFile)

// expectMissing keeps metrics of failed operations from counting what is asked for on the chance.
func expectMissing(bkt objstore.Bucket) objstore.Bucket {
	if i, ok := bkt.(objstore.InstrumentedBucket); ok {
		return i.WithExpectedErrs(bkt.IsObjNotFoundErr)
	}
	return bkt
}

func expectMissingReader(bkt objstore.BucketReader) objstore.BucketReader {
	if i, ok := bkt.(objstore.InstrumentedBucketReader); ok {
		return i.ReaderWithExpectedErrs(bkt.IsObjNotFoundErr)
	}
	return bkt
}

// ErrConflict says that the bucket has another block of the same ULID. Nothing was changed.
var ErrConflict = errors.New("the bucket has another block of this ULID")

// Upload puts the block in localDir (its data.hune; meta.json is made from m) into the bucket. When
// it returns nil the objects were read back and found equal, and localDir may be deleted.
//
// meta.json is written last, so that a reader never sees half a block. Uploading the same block again
// is harmless and cheap: if the bucket has this meta.json and a data.hune of that size, nothing is
// sent.
func Upload(ctx context.Context, bkt objstore.Bucket, localDir string, m *Meta) error {
	want, err := m.Encode()
	if err != nil {
		return fmt.Errorf("upload block %s: %w", m.ULID, err)
	}
	done, err := uploaded(ctx, expectMissing(bkt), m, want)
	if err != nil {
		return fmt.Errorf("upload block %s: %w", m.ULID, err)
	}
	if done {
		return nil
	}
	if err := bucket.UploadExpected(ctx, bkt, m.DataPath(), filepath.Join(localDir, DataFile), m.Data.Size, m.Data.CRC32C); err != nil {
		return fmt.Errorf("upload block %s: %w", m.ULID, err)
	}
	if err := putMeta(ctx, bkt, m, want); err != nil {
		return fmt.Errorf("upload block %s: %w", m.ULID, err)
	}
	return nil
}

func putMeta(ctx context.Context, bkt objstore.Bucket, m *Meta, content []byte) error {
	name := path.Join(m.Dir(), MetaFile)
	if err := bkt.Upload(ctx, name, bytes.NewReader(content)); err != nil {
		return fmt.Errorf("upload %s: %w", name, err)
	}
	got, err := readAll(ctx, bkt, name)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, content) {
		return fmt.Errorf("upload %s: %w", name, bucket.ErrMismatch)
	}
	return nil
}

// uploaded reports whether the bucket already has the block whose meta.json is want.
func uploaded(ctx context.Context, bkt objstore.Bucket, m *Meta, want []byte) (bool, error) {
	got, err := readAll(ctx, bkt, path.Join(m.Dir(), MetaFile))
	if err != nil {
		if bkt.IsObjNotFoundErr(err) {
			return false, nil
		}
		return false, err
	}
	if !bytes.Equal(got, want) {
		if old, err := DecodeMeta(got); err == nil && old.ULID == m.ULID && old.Data != m.Data {
			return false, ErrConflict
		}
		return false, nil // damaged, or written by another version: ours replaces it
	}
	attrs, err := bkt.Attributes(ctx, m.DataPath())
	if err != nil {
		if bkt.IsObjNotFoundErr(err) {
			return false, nil
		}
		return false, err
	}
	return attrs.Size == m.Data.Size, nil
}

// readAll returns a small object.
func readAll(ctx context.Context, bkt objstore.BucketReader, name string) (b []byte, err error) {
	rc, err := bkt.Get(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	defer rc.Close()
	b, err = io.ReadAll(io.LimitReader(rc, maxMetaLen+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(b) > maxMetaLen {
		return nil, &CorruptionError{Block: name, Section: MetaFile, Err: fmt.Errorf("more than %d bytes", maxMetaLen)}
	}
	return b, nil
}

// ReadMeta returns the meta of one block. The error is ErrPartial if there is no meta.json, a
// CorruptionError if it can't be the block's.
func ReadMeta(ctx context.Context, bkt objstore.BucketReader, tenantID string, s signal.Signal, id ulid.ULID) (*Meta, error) {
	dir := Dir(tenantID, s, id)
	b, err := readAll(ctx, expectMissingReader(bkt), path.Join(dir, MetaFile))
	if err != nil {
		if bkt.IsObjNotFoundErr(err) {
			return nil, fmt.Errorf("%s: %w", dir, ErrPartial)
		}
		return nil, err
	}
	m, err := DecodeMeta(b)
	if err == nil && (m.ULID != id || m.Tenant != tenantID || m.Signal != s) {
		err = fmt.Errorf("it is the meta of %s", m.Dir())
	}
	if err != nil {
		return nil, &CorruptionError{Block: dir, Section: MetaFile, Err: err}
	}
	return m, nil
}

// IDs returns the blocks of a tenant and signal, partial ones included, oldest ULID first.
func IDs(ctx context.Context, bkt objstore.BucketReader, tenantID string, s signal.Signal) ([]ulid.ULID, error) {
	var ids []ulid.ULID
	dir := path.Join(tenantID, string(s))
	err := bkt.Iter(ctx, dir+"/", func(name string) error {
		base, isDir := strings.CutSuffix(strings.TrimPrefix(name, dir+"/"), "/")
		if id, err := ulid.ParseStrict(base); err == nil && isDir && id.String() == base {
			ids = append(ids, id)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list blocks of %s: %w", dir, err)
	}
	return ids, nil
}

// Listing is what List found.
type Listing struct {
	Blocks []*Meta
	// Broken are folders that look like blocks and are none, with the reason: ErrPartial, or a
	// CorruptionError. Readers ignore them.
	Broken map[ulid.ULID]error
}

// listConcurrency is how many meta.json are read at the same time.
const listConcurrency = 16

// List reads the metas of all blocks of a tenant and signal, oldest ULID first.
func List(ctx context.Context, bkt objstore.BucketReader, tenantID string, s signal.Signal) (*Listing, error) {
	ids, err := IDs(ctx, bkt, tenantID, s)
	if err != nil {
		return nil, err
	}
	metas := make([]*Meta, len(ids))
	l := &Listing{Broken: map[ulid.ULID]error{}}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(listConcurrency)
	for i, id := range ids {
		g.Go(func() error {
			m, err := ReadMeta(ctx, bkt, tenantID, s, id)
			if errors.Is(err, ErrPartial) || IsCorruption(err) {
				mu.Lock()
				defer mu.Unlock()
				l.Broken[id] = err
				return nil
			}
			metas[i] = m
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("list blocks of %s/%s: %w", tenantID, s, err)
	}
	for _, m := range metas {
		if m != nil {
			l.Blocks = append(l.Blocks, m)
		}
	}
	return l, nil
}

// Tenants returns the tenants that have anything in the bucket.
func Tenants(ctx context.Context, bkt objstore.BucketReader) ([]string, error) {
	var ids []string
	err := bkt.Iter(ctx, "", func(name string) error {
		if id, isDir := strings.CutSuffix(name, "/"); isDir && tenant.Validate(id) == nil {
			ids = append(ids, id)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	return ids, nil
}

// Delete removes a block: meta.json first, so that from the first moment on it is no block any more,
// then the rest. Deleting what is already gone is not an error; after an error, delete again.
func Delete(ctx context.Context, bkt objstore.Bucket, tenantID string, s signal.Signal, id ulid.ULID) error {
	dir := Dir(tenantID, s, id)
	bkt = expectMissing(bkt)
	if err := deleteIfThere(ctx, bkt, path.Join(dir, MetaFile)); err != nil {
		return fmt.Errorf("delete block %s: %w", dir, err)
	}
	var names []string
	err := bkt.Iter(ctx, dir+"/", func(name string) error {
		names = append(names, name)
		return nil
	}, objstore.WithRecursiveIter())
	if err != nil {
		return fmt.Errorf("delete block %s: %w", dir, err)
	}
	for _, name := range names {
		if err := deleteIfThere(ctx, bkt, name); err != nil {
			return fmt.Errorf("delete block %s: %w", dir, err)
		}
	}
	return nil
}

func deleteIfThere(ctx context.Context, bkt objstore.Bucket, name string) error {
	if err := bkt.Delete(ctx, name); err != nil && !bkt.IsObjNotFoundErr(err) {
		return err
	}
	return nil
}
