// Package cache keeps pages of objects near the queries that read them.
//
// A page is a fixed range of an object; objects never change, so a page never goes stale. Memory is
// the cache inside the process, bounded in bytes; Redis is one that processes share. Pages puts a Cache, and if there
// is one a Redis behind it, in front of a bucket: readers ask it for any range, and it fetches only what is missing,
// once, however many ask at the same time.
package cache

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"

	"github.com/alecthomas/units"
	"github.com/prometheus/client_golang/prometheus"
)

// Key names a page: the Page-th part of an object, counted from 0.
type Key struct {
	Object string
	Page   int64
}

// Cache holds pages. It may forget any of them at any time; a lost or slow cache costs speed only.
// Values are shared: nobody may write to one that was given to Set or returned by Get. Safe for
// concurrent use.
type Cache interface {
	Get(ctx context.Context, k Key) ([]byte, bool)
	Set(ctx context.Context, k Key, value []byte)
}

// Config are the user's settings, the section `cache` of the configuration.
type Config struct {
	// Memory for pages of blocks. Default 256MiB; 0 keeps nothing.
	Size units.Base2Bytes `yaml:"size"`
	// Redis is where processes share pages, beyond their memories.
	Redis RedisConfig `yaml:"redis"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return Config{Size: 256 * units.MiB, Redis: defaultRedisConfig()} }

// Validate reports every fault of c.
func (c Config) Validate() error {
	var size error
	if c.Size < 0 {
		size = fmt.Errorf("size: %s is negative", c.Size)
	}
	return errors.Join(size, c.Redis.validate())
}

// entryOverhead is what an entry costs beside its value: list and map entries, slice headers.
const entryOverhead = 160

const (
	maxShards    = 64
	minShardSize = 4 << 20
)

// Memory is a Cache of bounded size. It evicts by S3-FIFO: new pages enter a small queue of a tenth
// of the space, and only those read again before they reach its end move to the main queue. One long
// scan therefore can't push out what dashboards read every minute, as it would with LRU.
type Memory struct {
	seed    maphash.Seed
	shards  []shard
	metrics *memoryMetrics
}

// NewMemory returns a Cache of at most size bytes; with size 0 it holds nothing.
func NewMemory(size int64, reg prometheus.Registerer) (*Memory, error) {
	n := 1
	for n < maxShards && size/int64(2*n) >= minShardSize {
		n *= 2
	}
	m := &Memory{seed: maphash.MakeSeed(), shards: make([]shard, n)}
	for i := range m.shards {
		m.shards[i].init(size / int64(n))
	}
	m.metrics = newMemoryMetrics(m)
	return m, m.metrics.register(reg)
}

func (m *Memory) shard(k Key) *shard {
	return &m.shards[maphash.Comparable(m.seed, k)&uint64(len(m.shards)-1)]
}

// Get implements Cache.
func (m *Memory) Get(_ context.Context, k Key) ([]byte, bool) {
	v, ok := m.shard(k).get(k)
	if ok {
		m.metrics.hits.Inc()
	} else {
		m.metrics.misses.Inc()
	}
	return v, ok
}

// Set implements Cache.
func (m *Memory) Set(_ context.Context, k Key, value []byte) {
	if n := m.shard(k).set(k, value); n > 0 {
		m.metrics.evictions.Add(float64(n))
	}
}

// Bytes returns how much memory the pages take.
func (m *Memory) Bytes() int64 {
	var n int64
	for i := range m.shards {
		n += m.shards[i].bytes()
	}
	return n
}

// entry is a page in one of the two queues of its shard.
type entry struct {
	key        Key
	value      []byte
	main       bool
	freq       uint8 // reads since it was queued, at most 3
	prev, next *entry
}

func (e *entry) cost() int64 { return int64(len(e.value)) + entryOverhead }

// queue is a FIFO: push at the front, take from the back.
type queue struct {
	root entry
	size int64
}

func (q *queue) init() { q.root.prev, q.root.next = &q.root, &q.root }

func (q *queue) push(e *entry) {
	e.prev, e.next = &q.root, q.root.next
	e.prev.next, e.next.prev = e, e
	q.size += e.cost()
}

func (q *queue) remove(e *entry) {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
	q.size -= e.cost()
}

func (q *queue) last() *entry {
	if q.root.prev == &q.root {
		return nil
	}
	return q.root.prev
}

// shard is an S3-FIFO cache of its own.
type shard struct {
	limit int64

	mu      sync.Mutex
	entries map[Key]*entry
	small   queue
	main    queue
	// ghosts remembers pages that left the small queue unread, as many as the cache holds: one that
	// comes back was evicted too early and goes to the main queue at once.
	ghosts    map[Key]struct{}
	ghostRing []Key
	ghostNext int
}

func (s *shard) init(limit int64) {
	s.limit = limit
	s.entries = map[Key]*entry{}
	s.ghosts = map[Key]struct{}{}
	s.small.init()
	s.main.init()
}

func (s *shard) bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.small.size + s.main.size
}

func (s *shard) get(k Key) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[k]
	if !ok {
		return nil, false
	}
	e.freq = min(3, e.freq+1)
	return e.value, true
}

// set stores value and returns how many entries had to leave.
func (s *shard) set(k Key, value []byte) (evicted int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.entries[k]; ok {
		s.drop(old)
	}
	e := &entry{key: k, value: value}
	if e.cost() > s.limit/2 {
		return 0 // it would push out everything else
	}
	if _, e.main = s.ghosts[k]; e.main {
		delete(s.ghosts, k)
	}
	for s.small.size+s.main.size+e.cost() > s.limit {
		evicted += s.evict()
	}
	s.queueOf(e).push(e)
	s.entries[k] = e
	return evicted
}

func (s *shard) queueOf(e *entry) *queue {
	if e.main {
		return &s.main
	}
	return &s.small
}

func (s *shard) drop(e *entry) {
	s.queueOf(e).remove(e)
	delete(s.entries, e.key)
}

// evict makes one step: drops an entry, or moves one that was read.
func (s *shard) evict() int {
	if s.small.size > s.limit/10 || s.main.size == 0 {
		e := s.small.last()
		if e.freq > 0 {
			s.small.remove(e)
			e.main, e.freq = true, 0
			s.main.push(e)
			return 0
		}
		s.drop(e)
		s.remember(e.key)
		return 1
	}
	e := s.main.last()
	if e.freq > 0 {
		s.main.remove(e)
		e.freq--
		s.main.push(e)
		return 0
	}
	s.drop(e)
	return 1
}

// remember puts k among the ghosts and forgets the oldest.
func (s *shard) remember(k Key) {
	if len(s.ghostRing) <= len(s.entries) {
		s.ghostRing = append(s.ghostRing, k)
	} else {
		s.ghostNext %= len(s.ghostRing)
		delete(s.ghosts, s.ghostRing[s.ghostNext])
		s.ghostRing[s.ghostNext] = k
		s.ghostNext++
	}
	s.ghosts[k] = struct{}{}
}

type memoryMetrics struct {
	hits, misses, evictions prometheus.Counter
	bytes                   prometheus.GaugeFunc
}

func newMemoryMetrics(m *Memory) *memoryMetrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "hune_cache_" + name, Help: help})
	}
	return &memoryMetrics{
		hits:      counter("hits_total", "Pages found in the cache."),
		misses:    counter("misses_total", "Pages not found in the cache."),
		evictions: counter("evictions_total", "Pages dropped to make room."),
		bytes: prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "hune_cache_bytes", Help: "Memory that the cached pages take."},
			func() float64 { return float64(m.Bytes()) }),
	}
}

func (m *memoryMetrics) register(reg prometheus.Registerer) error {
	if reg == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{m.hits, m.misses, m.evictions, m.bytes} {
		if err := reg.Register(c); err != nil {
			return err
		}
	}
	return nil
}
