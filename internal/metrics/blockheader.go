package metrics

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/block"
	"github.com/thanos-io/thanos/pkg/block/indexheader"
)

const (
	// sumFile stands beside an index header and holds the xxhash64 of it in hexadecimal: a header has
	// checksums of its parts, but not of all of them. It is written last.
	sumFile = "index-header.sum"

	// postingsSampling is of how many values of a label one is kept in memory with the place of its
	// postings; the others are found from there in the mapped file. Thanos's default.
	postingsSampling = 32

	// leastIndex is the size of the smallest index: its header, six offsets and a checksum.
	leastIndex = 5 + 6*8 + 4
)

// freshHeader makes the header in memory, for a second look at a block that seemed to be damaged.
func (c *blockCache) freshHeader(ctx context.Context, bkt objstore.BucketReader, key blockKey) (*indexheader.BinaryReader, error) {
	sized, err := c.indexSize(ctx, bkt, key)
	if err != nil {
		return nil, err
	}
	return c.readHeader(ctx, sized, "", key)
}

// openHeader opens the index header on the disk, or makes it from the index in the bucket, which takes
// four reads of ranges. errDamaged tells that the index in the bucket is not one.
func (c *blockCache) openHeader(ctx context.Context, bkt objstore.BucketReader, key blockKey) (*indexheader.BinaryReader, error) {
	dir := key.dir(c.dir)
	file := filepath.Join(dir, block.IndexHeaderFilename)
	if want, err := os.ReadFile(filepath.Join(dir, sumFile)); err == nil {
		if sum, err := sumOf(file); err == nil && sum == string(want) {
			return c.readHeader(ctx, bkt, filepath.Dir(dir), key)
		}
	}
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return nil, err
	}
	sized, err := c.indexSize(ctx, bkt, key)
	if err != nil {
		return nil, err
	}
	header, err := c.readHeader(ctx, sized, filepath.Dir(dir), key)
	if err != nil {
		return nil, err
	}
	sum, err := sumOf(file)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, sumFile), []byte(sum), 0o644)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write index header of block %s: %w", key.id, err), header.Close())
	}
	return header, nil
}

// indexSize asks for the size of the index, so that nobody has to again.
func (c *blockCache) indexSize(ctx context.Context, bkt objstore.BucketReader, key blockKey) (objstore.BucketReader, error) {
	name := path.Join(key.id.String(), block.IndexFilename)
	attrs, err := bkt.Attributes(ctx, name)
	switch {
	case err != nil && bkt.IsObjNotFoundErr(err):
		return nil, fmt.Errorf("%w: index is missing", errDamaged)
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", name, err)
	case attrs.Size < leastIndex:
		return nil, fmt.Errorf("%w: index has %d bytes", errDamaged, attrs.Size)
	}
	return knownSize{bkt, attrs}, nil
}

// readHeader lets Thanos read the header, or make it when there is none. What goes wrong while the
// bucket reads well is damage. Without a folder it is made in memory.
func (c *blockCache) readHeader(ctx context.Context, bkt objstore.BucketReader, dir string, key blockKey) (h *indexheader.BinaryReader, err error) {
	watched := &watchedReader{BucketReader: bkt}
	defer func() {
		// Offsets that point nowhere are not all checked before they are followed.
		if p := recover(); p != nil {
			h, err = nil, fmt.Errorf("%w: index: %v", errDamaged, p)
		}
	}()
	h, err = indexheader.NewBinaryReader(ctx, nopLogger{}, watched, dir, key.id, postingsSampling, c.timers)
	switch cause := watched.failure(); {
	case err == nil:
		return h, nil
	case cause != nil && bkt.IsObjNotFoundErr(cause):
		return nil, fmt.Errorf("%w: index is missing", errDamaged)
	case cause != nil || ctx.Err() != nil:
		return nil, fmt.Errorf("read index of block %s: %w", key.id, errors.Join(ctx.Err(), cause))
	case errors.As(err, new(*os.PathError)):
		return nil, fmt.Errorf("write index header of block %s: %w", key.id, err)
	}
	return nil, fmt.Errorf("%w: index: %w", errDamaged, err)
}

func sumOf(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := xxhash.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

// knownSize saves asking the bucket again for the size of the index.
type knownSize struct {
	objstore.BucketReader
	attrs objstore.ObjectAttributes
}

// Attributes implements objstore.BucketReader.
func (k knownSize) Attributes(context.Context, string) (objstore.ObjectAttributes, error) {
	return k.attrs, nil
}

// watchedReader remembers the first failure of the bucket, which the code that reads through it reports
// no differently from bad data.
type watchedReader struct {
	objstore.BucketReader
	mu  sync.Mutex
	err error
}

func (w *watchedReader) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *watchedReader) note(err error) {
	if err == nil || err == io.EOF {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
}

// GetRange implements objstore.BucketReader.
func (w *watchedReader) GetRange(ctx context.Context, name string, off, length int64) (io.ReadCloser, error) {
	r, err := w.BucketReader.GetRange(ctx, name, off, length)
	if err != nil {
		w.note(err)
		return nil, err
	}
	return watchedBody{r, w}, nil
}

type watchedBody struct {
	io.ReadCloser
	w *watchedReader
}

func (b watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.w.note(err)
	return n, err
}

// nopLogger is go-kit's logger interface, which Thanos's helpers want.
type nopLogger struct{}

func (nopLogger) Log(...any) error { return nil }
