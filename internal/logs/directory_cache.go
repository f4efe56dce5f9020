package logs

import (
	"context"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/sync/singleflight"
)

// DirectoryCache keeps the directories of pages decoded, the most recently used ones of all blocks that
// share it. Directories are small beside their pages, every search of a page begins with one, and to
// decode one costs more than many searches. Safe for concurrent use.
type DirectoryCache struct {
	limit int
	loads singleflight.Group

	mu   sync.Mutex
	used int
	lru  *simplelru.LRU[directoryKey, directoryValue]
}

// directoryKey is a group of directories as stored, or where page >= 0, the directory of a page.
type directoryKey struct {
	block       *Block
	group, page int
}

type directoryValue struct {
	group   *directoryGroup
	decoded *pageDirectory
	size    int
}

// NewDirectoryCache returns a cache that holds about so many bytes.
func NewDirectoryCache(bytes int) *DirectoryCache {
	c := &DirectoryCache{limit: bytes}
	// The number of entries is bounded by their sizes: none is below a few hundred bytes.
	c.lru, _ = simplelru.NewLRU(1<<30, func(_ directoryKey, v directoryValue) { c.used -= v.size })
	return c
}

// get returns the value of key, which load makes if it isn't there. Callers that ask at the same time
// share one load.
func (c *DirectoryCache) get(ctx context.Context, key directoryKey, name string, load func(context.Context) (directoryValue, error)) (directoryValue, error) {
	if v, ok := c.cached(key); ok {
		return v, nil
	}
	for {
		made := false
		got, err, _ := c.loads.Do(name, func() (any, error) {
			made = true
			v, err := load(ctx)
			if err == nil {
				c.add(key, v)
			}
			return v, err
		})
		if err != nil && !made && ctx.Err() == nil {
			continue // the one who loaded it was cancelled, or the fault is ours to find, too
		}
		return got.(directoryValue), err
	}
}

func (c *DirectoryCache) cached(key directoryKey) (directoryValue, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lru.Get(key)
}

func (c *DirectoryCache) add(key directoryKey, v directoryValue) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lru.Contains(key) {
		return
	}
	c.lru.Add(key, v)
	c.used += v.size
	for c.used > c.limit && c.lru.Len() > 1 {
		c.lru.RemoveOldest()
	}
}
