package metrics

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/block/indexheader"
)

// blockCache keeps the index headers of blocks in a folder of bounded size, the least recently used
// go first: of an index its symbols and the table of its postings, mapped into memory while open. A
// header that a query uses is never removed.
type blockCache struct {
	dir    string
	max    int64
	now    func() time.Time
	logger *slog.Logger
	timers *indexheader.BinaryReaderMetrics

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

// cachedBlock is one entry. Fields below ready are set before it closes; refs, used and elem are guarded
// by the cache's mutex.
type cachedBlock struct {
	key    blockKey
	ready  chan struct{}
	header *indexheader.BinaryReader // nil after a restart until it is used
	size   int64
	err    error

	refs  int
	used  time.Time     // when it was last asked for; that of the start for one of an earlier run
	elem  *list.Element // nil while it is being opened
	stale bool          // to be removed when refs drops to zero
}

// openBlockCache takes over what an earlier run left. Folders without an index header, as versions
// left them that downloaded whole blocks, are removed.
func openBlockCache(dir string, limit int64, now func() time.Time, logger *slog.Logger, reg prometheus.Registerer) (*blockCache, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create block cache: %w", err)
	}
	c := &blockCache{dir: dir, max: limit, now: now, logger: logger, entries: map[blockKey]*cachedBlock{}, lru: list.New()}
	if reg != nil {
		reg = prometheus.WrapRegistererWithPrefix("hune_metrics_store_", reg)
	}
	c.timers = indexheader.NewBinaryReaderMetrics(reg)
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
			key := blockKey{t.Name(), id}
			if err == nil {
				_, err = os.Stat(filepath.Join(key.dir(dir), sumFile))
			}
			if err != nil {
				_ = os.RemoveAll(filepath.Join(dir, t.Name(), b.Name()))
				continue
			}
			e := &cachedBlock{key: key, ready: closed, size: dirSize(key.dir(dir)), used: now()}
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

// acquire returns the block with its header open, made from the bucket when needed; release it after
// use. Callers that want the same block share the work.
func (c *blockCache) acquire(ctx context.Context, bkt objstore.BucketReader, tenant string, id ulid.ULID) (*cachedBlock, error) {
	key := blockKey{tenant, id}
	for {
		c.mu.Lock()
		e := c.entries[key]
		if e != nil && e.elem != nil && e.header != nil { // Fast path: open.
			e.refs++
			e.used = c.now()
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
		fresh := &cachedBlock{key: key, ready: make(chan struct{}), refs: 1, used: c.now()}
		if e != nil { // on the disk since an earlier run
			c.lru.Remove(e.elem)
			c.size -= e.size
		}
		c.entries[key] = fresh
		c.mu.Unlock()
		return c.load(ctx, bkt, fresh)
	}
}

func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// load opens the header of an entry that only this caller has.
func (c *blockCache) load(ctx context.Context, bkt objstore.BucketReader, e *cachedBlock) (*cachedBlock, error) {
	dir := e.key.dir(c.dir)
	e.header, e.err = c.openHeader(ctx, bkt, e.key)
	if e.err != nil {
		_ = os.RemoveAll(dir)
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

// unusedSince returns the blocks that nobody uses, or has asked for since t.
func (c *blockCache) unusedSince(t time.Time) (keys []blockKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, e := range c.entries {
		if e.elem != nil && e.refs == 0 && e.used.Before(t) {
			keys = append(keys, key)
		}
	}
	return keys
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
	if e.header != nil {
		if err := e.header.Close(); err != nil {
			c.logger.Warn("close cached block", "block", e.key.id, "err", err)
		}
	}
	if err := os.RemoveAll(e.key.dir(c.dir)); err != nil {
		c.logger.Warn("remove cached block", "block", e.key.id, "err", err)
	}
}

// close closes all headers; the files stay for the next start.
func (c *blockCache) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, e := range c.entries {
		if e.elem != nil && e.header != nil {
			errs = append(errs, e.header.Close())
		}
	}
	c.entries, c.size = map[blockKey]*cachedBlock{}, 0
	c.lru.Init()
	return errors.Join(errs...)
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
