package metrics

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/block/metadata"
)

// blockCache keeps downloaded blocks in a folder of bounded size, the least recently used go
// first. A block that a query uses is never removed.
type blockCache struct {
	dir    string
	max    int64
	logger *slog.Logger

	mu      sync.Mutex
	size    int64
	entries map[blockKey]*cachedBlock
	lru     *list.List // of *cachedBlock, the most recently used in front
}

type blockKey struct {
	tenant string
	id     ulid.ULID
}

func (k blockKey) dir(root string) string { return filepath.Join(root, k.tenant, k.id.String()) }

// cachedBlock is one entry. Fields below ready are set before it closes; refs and elem are guarded
// by the cache's mutex.
type cachedBlock struct {
	key   blockKey
	ready chan struct{}
	block *tsdb.Block // nil after a restart until it is used
	size  int64
	err   error

	refs  int
	elem  *list.Element // nil while it is being opened
	stale bool          // to be removed when refs drops to zero
}

// openBlockCache takes over what an earlier run downloaded.
func openBlockCache(dir string, limit int64, logger *slog.Logger) (*blockCache, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create block cache: %w", err)
	}
	c := &blockCache{dir: dir, max: limit, logger: logger, entries: map[blockKey]*cachedBlock{}, lru: list.New()}
	tenants, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list block cache: %w", err)
	}
	closed := make(chan struct{})
	close(closed)
	for _, t := range tenants {
		blocks, err := os.ReadDir(filepath.Join(dir, t.Name()))
		if err != nil {
			continue
		}
		for _, b := range blocks {
			id, err := ulid.ParseStrict(b.Name())
			if err != nil { // an interrupted download
				_ = os.RemoveAll(filepath.Join(dir, t.Name(), b.Name()))
				continue
			}
			key := blockKey{t.Name(), id}
			e := &cachedBlock{key: key, ready: closed, size: dirSize(key.dir(dir))}
			e.elem = c.lru.PushBack(e)
			c.entries[key] = e
			c.size += e.size
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.evict()
	return c, nil
}

// acquire returns the opened block, downloading it when needed; release it after use. Callers that
// want the same block share the work.
func (c *blockCache) acquire(ctx context.Context, bkt objstore.BucketReader, tenant string, meta *metadata.Meta) (*cachedBlock, error) {
	key := blockKey{tenant, meta.ULID}
	for {
		c.mu.Lock()
		e := c.entries[key]
		if e != nil && e.elem != nil && e.block != nil { // Fast path: open.
			e.refs++
			c.lru.MoveToFront(e.elem)
			c.mu.Unlock()
			return e, nil
		}
		if e != nil && e.elem == nil {
			c.mu.Unlock()
			select {
			case <-e.ready:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			// The other caller's time may be up, ours isn't: then it is our turn.
			if e.err != nil && !isContextError(e.err) {
				return nil, e.err
			}
			continue
		}
		fresh := &cachedBlock{key: key, ready: make(chan struct{}), refs: 1}
		if e != nil { // on the disk since an earlier run
			c.lru.Remove(e.elem)
			c.size -= e.size
		}
		c.entries[key] = fresh
		c.mu.Unlock()
		return c.load(ctx, bkt, fresh, meta)
	}
}

func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// load downloads and opens the block of an entry that only this caller has.
func (c *blockCache) load(ctx context.Context, bkt objstore.BucketReader, e *cachedBlock, meta *metadata.Meta) (*cachedBlock, error) {
	dir := e.key.dir(c.dir)
	e.block, e.err = c.openOnDisk(dir, meta)
	if e.err != nil {
		if e.err = downloadBlock(ctx, bkt, meta, dir); e.err == nil {
			e.block, e.err = c.openOnDisk(dir, meta)
			if e.err != nil {
				e.err = fmt.Errorf("%w: %w", errDamaged, e.err)
				_ = os.RemoveAll(dir)
			}
		}
	}
	e.size = dirSize(dir)
	c.mu.Lock()
	defer c.mu.Unlock()
	close(e.ready)
	if e.err != nil {
		delete(c.entries, e.key)
		return nil, e.err
	}
	e.elem = c.lru.PushFront(e)
	c.size += e.size
	c.evict()
	return e, nil
}

// openOnDisk opens a block that is there, whole as far as sizes tell.
func (c *blockCache) openOnDisk(dir string, meta *metadata.Meta) (*tsdb.Block, error) {
	for _, f := range meta.Thanos.Files {
		if f.RelPath == metadata.MetaFilename || f.SizeBytes == 0 {
			continue
		}
		info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(f.RelPath)))
		if err != nil {
			return nil, err
		}
		if info.Size() != f.SizeBytes {
			return nil, fmt.Errorf("%s has %d bytes, want %d", f.RelPath, info.Size(), f.SizeBytes)
		}
	}
	return tsdb.OpenBlock(c.logger, dir, nil, nil)
}

// release ends the use of a block.
func (c *blockCache) release(e *cachedBlock) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.refs--
	if e.refs == 0 && e.stale {
		c.remove(e)
	}
	c.evict()
}

// drop removes a block, once nobody uses it: it is gone from the bucket, or its copy is bad.
func (c *blockCache) drop(key blockKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil || e.elem == nil {
		return
	}
	if e.stale = true; e.refs == 0 {
		c.remove(e)
	}
}

// evict removes unused blocks until the size fits; c.mu must be held.
func (c *blockCache) evict() {
	for el := c.lru.Back(); el != nil && c.size > c.max; {
		prev := el.Prev()
		if e := el.Value.(*cachedBlock); e.refs == 0 {
			c.remove(e)
		}
		el = prev
	}
}

// remove closes and deletes an entry without users; c.mu must be held.
func (c *blockCache) remove(e *cachedBlock) {
	c.lru.Remove(e.elem)
	delete(c.entries, e.key)
	c.size -= e.size
	if e.block != nil {
		if err := e.block.Close(); err != nil {
			c.logger.Warn("close cached block", "block", e.key.id, "err", err)
		}
	}
	if err := os.RemoveAll(e.key.dir(c.dir)); err != nil {
		c.logger.Warn("remove cached block", "block", e.key.id, "err", err)
	}
}

// close closes all blocks; the files stay for the next start.
func (c *blockCache) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, e := range c.entries {
		if e.elem != nil && e.block != nil {
			errs = append(errs, e.block.Close())
		}
	}
	c.entries, c.size = map[blockKey]*cachedBlock{}, 0
	c.lru.Init()
	return errors.Join(errs...)
}

// downloadBlock copies a block to dir, which appears whole or not at all.
func downloadBlock(ctx context.Context, bkt objstore.BucketReader, meta *metadata.Meta, dir string) error {
	files, err := filesOf(ctx, bkt, meta)
	if err != nil {
		return err
	}
	tmp := dir + ".tmp"
	if err := errors.Join(os.RemoveAll(tmp), os.RemoveAll(dir), os.MkdirAll(filepath.Join(tmp, "chunks"), 0o755)); err != nil {
		return err
	}
	for _, f := range files {
		if err := downloadFile(ctx, bkt, path.Join(meta.ULID.String(), f.RelPath), filepath.Join(tmp, filepath.FromSlash(f.RelPath)), f); err != nil {
			_ = os.RemoveAll(tmp)
			return err
		}
	}
	// The meta.json of the bucket, so that the folder is a block for every tool.
	if err := meta.WriteToDir(nopLogger{}, tmp); err != nil {
		_ = os.RemoveAll(tmp)
		return err
	}
	return os.Rename(tmp, dir)
}

// nopLogger is go-kit's logger interface, which Thanos's helpers want.
type nopLogger struct{}

func (nopLogger) Log(...any) error { return nil }

// filesOf is the file list of meta.json, or what the bucket has when an old Thanos wrote none.
func filesOf(ctx context.Context, bkt objstore.BucketReader, meta *metadata.Meta) ([]metadata.File, error) {
	var files []metadata.File
	for _, f := range meta.Thanos.Files {
		if f.RelPath == "index" || strings.HasPrefix(f.RelPath, "chunks/") {
			files = append(files, f)
		}
	}
	if len(files) > 0 {
		return files, nil
	}
	prefix := meta.ULID.String() + "/"
	files = append(files, metadata.File{RelPath: "index"})
	err := bkt.Iter(ctx, prefix+"chunks/", func(name string) error {
		files = append(files, metadata.File{RelPath: strings.TrimPrefix(name, prefix)})
		return nil
	})
	return files, err
}

func downloadFile(ctx context.Context, bkt objstore.BucketReader, name, to string, want metadata.File) error {
	r, err := bkt.Get(ctx, name)
	if err != nil {
		if bkt.IsObjNotFoundErr(err) {
			return fmt.Errorf("%w: %s is missing", errDamaged, want.RelPath)
		}
		return fmt.Errorf("read %s: %w", name, err)
	}
	defer r.Close()
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	err = copyVerified(f, r, want)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

func dirSize(dir string) int64 {
	var n int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // what is gone has no size
		}
		if info, err := d.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	return n
}
