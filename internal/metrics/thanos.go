package metrics

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/block/metadata"
)

// Blocks in the bucket have the layout of Thanos: ULID/chunks/000001…, ULID/index and
// ULID/meta.json. A block exists once meta.json is there, which is why it is written last and
// deleted first.

// errDamaged marks a block whose bytes are not what its meta.json says. Reading it again does not
// help.
var errDamaged = errors.New("block is damaged")

// maxMetaSize bounds meta.json: a few KB, more when a block was compacted of thousands.
const maxMetaSize = 16 << 20

// uploadBlock copies the TSDB block in dir to the bucket and reads everything back: when it
// returns without an error, the bytes in the bucket are those on the disk. It can be repeated; what is
// there already and right is not sent again. section says of the Thanos section of meta.json what the
// files don't. It returns the size of the block.
func uploadBlock(ctx context.Context, bkt objstore.Bucket, dir string, section metadata.Thanos, now time.Time) (int64, error) {
	meta, err := metadata.ReadFromDir(dir)
	if err != nil {
		return 0, fmt.Errorf("read meta.json: %w", err)
	}
	files, size, err := blockFiles(dir)
	if err != nil {
		return 0, err
	}
	id := meta.ULID.String()
	for _, f := range files {
		if err := uploadFile(ctx, bkt, path.Join(id, f.RelPath), filepath.Join(dir, filepath.FromSlash(f.RelPath)), f); err != nil {
			return 0, err
		}
	}
	meta.Thanos = section
	meta.Thanos.Version, meta.Thanos.UploadTime = metadata.ThanosVersion1, now.UTC()
	meta.Thanos.Files = append(slices.Clone(files), metadata.File{RelPath: metadata.MetaFilename})
	for _, f := range files {
		if segment, ok := strings.CutPrefix(f.RelPath, "chunks/"); ok {
			meta.Thanos.SegmentFiles = append(meta.Thanos.SegmentFiles, segment)
		}
	}
	var buf bytes.Buffer
	if err := meta.Write(&buf); err != nil {
		return 0, err
	}
	name := path.Join(id, metadata.MetaFilename)
	if err := bkt.Upload(ctx, name, bytes.NewReader(buf.Bytes())); err != nil {
		return 0, fmt.Errorf("write %s: %w", name, err)
	}
	back, err := readObject(ctx, bkt, name, maxMetaSize)
	if err != nil {
		return 0, fmt.Errorf("read back %s: %w", name, err)
	}
	if !bytes.Equal(back, buf.Bytes()) {
		return 0, fmt.Errorf("read back %s: %w", name, errDamaged)
	}
	return size + int64(buf.Len()), nil
}

// uploadFile sends one file unless the bucket has it, and verifies it.
func uploadFile(ctx context.Context, bkt objstore.Bucket, name, file string, want metadata.File) error {
	if attrs, err := bkt.Attributes(ctx, name); err == nil && attrs.Size == want.SizeBytes &&
		verifyObject(ctx, bkt, name, want) == nil {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	err = bkt.Upload(ctx, name, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := verifyObject(ctx, bkt, name, want); err != nil {
		return fmt.Errorf("read back %s: %w", name, err)
	}
	return nil
}

// verifyObject reads an object and compares size and hash, as far as they are known.
func verifyObject(ctx context.Context, bkt objstore.BucketReader, name string, want metadata.File) error {
	r, err := bkt.Get(ctx, name)
	if err != nil {
		return err
	}
	defer r.Close()
	return copyVerified(io.Discard, r, want)
}

// copyVerified copies r and returns errDamaged when it is not what want says.
func copyVerified(w io.Writer, r io.Reader, want metadata.File) error {
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, hash), r)
	if err != nil {
		return err
	}
	if want.SizeBytes > 0 && n != want.SizeBytes {
		return fmt.Errorf("%w: %s has %d bytes, want %d", errDamaged, want.RelPath, n, want.SizeBytes)
	}
	if want.Hash != nil && want.Hash.Func == metadata.SHA256Func && hex.EncodeToString(hash.Sum(nil)) != want.Hash.Value {
		return fmt.Errorf("%w: %s has another SHA-256 than meta.json says", errDamaged, want.RelPath)
	}
	return nil
}

// blockFiles lists index and chunks of a block folder with size and hash, in upload order.
func blockFiles(dir string) ([]metadata.File, int64, error) {
	names := []string{}
	segments, err := os.ReadDir(filepath.Join(dir, "chunks"))
	if err != nil {
		return nil, 0, err
	}
	for _, s := range segments {
		names = append(names, "chunks/"+s.Name())
	}
	names = append(names, "index")
	var files []metadata.File
	var total int64
	for _, name := range names {
		f, err := hashFile(dir, name)
		if err != nil {
			return nil, 0, err
		}
		files = append(files, f)
		total += f.SizeBytes
	}
	return files, total, nil
}

func hashFile(dir, name string) (metadata.File, error) {
	f, err := os.Open(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		return metadata.File{}, err
	}
	defer f.Close()
	hash := sha256.New()
	n, err := io.Copy(hash, f)
	if err != nil {
		return metadata.File{}, fmt.Errorf("hash %s: %w", name, err)
	}
	return metadata.File{RelPath: name, SizeBytes: n,
		Hash: &metadata.ObjectHash{Func: metadata.SHA256Func, Value: hex.EncodeToString(hash.Sum(nil))}}, nil
}

// readObject reads an object of at most limit bytes.
func readObject(ctx context.Context, bkt objstore.BucketReader, name string, limit int64) ([]byte, error) {
	r, err := bkt.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", errDamaged, name, limit)
	}
	return data, nil
}

// readMeta reads and checks the meta.json of a block.
func readMeta(ctx context.Context, bkt objstore.BucketReader, id ulid.ULID) (*metadata.Meta, error) {
	data, err := readObject(ctx, bkt, path.Join(id.String(), metadata.MetaFilename), maxMetaSize)
	if err != nil {
		return nil, err
	}
	meta, err := metadata.Read(io.NopCloser(bytes.NewReader(data)))
	if err != nil {
		return nil, fmt.Errorf("%w: meta.json: %w", errDamaged, err)
	}
	switch {
	case meta.Version != metadata.TSDBVersion1:
		return nil, fmt.Errorf("%w: meta.json has version %d", errDamaged, meta.Version)
	case meta.ULID != id:
		return nil, fmt.Errorf("%w: meta.json is that of block %s", errDamaged, meta.ULID)
	case meta.MinTime > meta.MaxTime:
		return nil, fmt.Errorf("%w: meta.json has a range from %d to %d", errDamaged, meta.MinTime, meta.MaxTime)
	}
	for _, f := range meta.Thanos.Files {
		if !filepath.IsLocal(filepath.FromSlash(f.RelPath)) {
			return nil, fmt.Errorf("%w: meta.json lists the file %q", errDamaged, f.RelPath)
		}
	}
	return meta, nil
}

// listBlocks lists the block IDs of a tenant that the bucket has, whole or not.
func listBlocks(ctx context.Context, bkt objstore.BucketReader) ([]ulid.ULID, error) {
	var ids []ulid.ULID
	err := bkt.Iter(ctx, "", func(name string) error {
		if id, err := ulid.ParseStrict(strings.TrimSuffix(name, "/")); err == nil {
			ids = append(ids, id)
		}
		return nil
	})
	return ids, err
}

// deleteBlock deletes a block, meta.json first, so that an interrupted deletion leaves no block that looks
// whole.
func deleteBlock(ctx context.Context, bkt objstore.Bucket, id ulid.ULID) error {
	meta := path.Join(id.String(), metadata.MetaFilename)
	if err := bkt.Delete(ctx, meta); err != nil && !bkt.IsObjNotFoundErr(err) {
		if ok, existsErr := bkt.Exists(ctx, meta); existsErr != nil || ok {
			return err
		}
	}
	var names []string
	err := bkt.Iter(ctx, id.String()+"/", func(name string) error {
		names = append(names, name)
		return nil
	}, objstore.WithRecursiveIter())
	if err != nil {
		return err
	}
	// The mark goes last: as long as it is there, an interrupted deletion is taken up again.
	isMark := func(name string) bool { return path.Base(name) == metadata.DeletionMarkFilename }
	slices.SortStableFunc(names, func(a, b string) int {
		switch {
		case isMark(a) == isMark(b):
			return 0
		case isMark(a):
			return 1
		}
		return -1
	})
	for _, name := range names {
		if err := bkt.Delete(ctx, name); err != nil && !bkt.IsObjNotFoundErr(err) {
			return err
		}
	}
	return nil
}

// overlaps reports whether the block has data in [start, end], milliseconds.
func overlaps(m *tsdb.BlockMeta, start, end int64) bool {
	// The end of a block is exclusive.
	return m.MinTime <= end && start < m.MaxTime
}
