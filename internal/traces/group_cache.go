package traces

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// GroupCache keeps what was decoded of row groups for the next questions, of all blocks that share it: directories,
// the most recently used ones, since every question begins with one, and to decode one costs more than most questions
// do otherwise; and in the room that these leave, at most half of all, the columns that say which spans a trace has, of
// which class each is, where in the tree it stands, and about how long it is, since most questions are about them. Safe
// for concurrent use.
type GroupCache struct {
	limit int

	mu          sync.Mutex
	directories shelf[*groupDirectory]
	columns     shelf[*columnsEntry]
	asked       uint64 // how often columns were asked for
}

// cacheKey names a row group. No other block of the process has the number.
type cacheKey struct {
	block uint64
	group int
}

// columnsEntry is columns with when they were asked for last, by the count of the cache.
type columnsEntry struct {
	*keptColumns
	asked uint64
}

// shelf is a part of a GroupCache.
type shelf[V interface{ memory() int }] struct {
	used int
	lru  *simplelru.LRU[cacheKey, V]
}

func (s *shelf[V]) init() {
	// The number of entries is bounded by their sizes: none is below a kilobyte.
	s.lru, _ = simplelru.NewLRU(1<<30, func(_ cacheKey, v V) { s.used -= v.memory() })
}

func (s *shelf[V]) add(key cacheKey, v V) {
	s.lru.Remove(key)
	s.lru.Add(key, v)
	s.used += v.memory()
}

// NewGroupCache returns a cache that holds about so many bytes.
func NewGroupCache(bytes int) *GroupCache {
	c := &GroupCache{limit: bytes}
	c.directories.init()
	c.columns.init()
	return c
}

func (c *GroupCache) directory(key cacheKey) *groupDirectory {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, _ := c.directories.lru.Get(key)
	return d
}

func (c *GroupCache) addDirectory(key cacheKey, d *groupDirectory) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.directories.add(key, d)
	for c.directories.used+c.columns.used > c.limit && (c.columns.lru.Len() > 0 || c.directories.lru.Len() > 1) {
		if _, _, ok := c.columns.lru.RemoveOldest(); !ok {
			c.directories.lru.RemoveOldest()
		}
	}
}

// columnsOf returns the columns of a row group that are kept, nil for none. They must not be changed.
func (c *GroupCache) columnsOf(key cacheKey) *keptColumns {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	e, ok := c.columns.lru.Get(key)
	if !ok {
		return nil
	}
	e.asked = c.asked
	return e.keptColumns
}

// patience is how many times as many questions as there are entries an entry may be left out by before it makes room
// for another. Questions that go through more row groups than there is room for would otherwise put out each just
// before they come to it again.
const patience = 8

// addColumns keeps columns in place of those that are kept of the row group, if there is room for them: of about size
// bytes, and made only then. None of what they refer to may change afterwards.
func (c *GroupCache) addColumns(key cacheKey, size int, make func() *keptColumns) {
	c.mu.Lock()
	room := c.makeRoom(key, size)
	if !room {
		c.noRoom(key)
	}
	c.mu.Unlock()
	if !room {
		return
	}
	k := make()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.makeRoom(key, k.memory()) {
		c.columns.add(key, &columnsEntry{k, c.asked})
	} else {
		c.noRoom(key)
	}
}

// noRoom notes that there is no room for more columns of a row group than are kept, so that nobody goes to the trouble of
// reading more than a question needs. mu must be held.
func (c *GroupCache) noRoom(key cacheKey) {
	if e, ok := c.columns.lru.Peek(key); ok && !e.full {
		k := *e.keptColumns
		k.full = true
		e.keptColumns = &k
	}
}

// makeRoom reports whether so many bytes can be kept of a row group, and takes out what was asked for least recently
// to that end. mu must be held.
func (c *GroupCache) makeRoom(key cacheKey, size int) bool {
	if e, ok := c.columns.lru.Peek(key); ok {
		size -= e.memory()
	}
	room := min(c.limit/2, c.limit-c.directories.used)
	for c.columns.used+size > room {
		oldest, e, ok := c.columns.lru.GetOldest()
		if !ok || oldest == key || c.asked-e.asked < uint64(patience*c.columns.lru.Len()) {
			return false
		}
		c.columns.lru.RemoveOldest()
	}
	return true
}
