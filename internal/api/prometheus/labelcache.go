package prometheus

import (
	"math/bits"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
)

// labelCache keeps the label sets of series that were written lately, so that the next sample of a series costs neither their
// checks nor their memory. A hit is compared whole: the hash only finds it. Label sets are the same for all
// tenants, and their strings are those that a head holds as well.
//
// It takes some 20 bytes a set. Sets that are not asked for while the others are, several times, are forgotten, and
// more than its limit are not kept. Safe for concurrent use.
type labelCache struct{ shards [labelShards]labelShard }

const (
	labelShards = 32
	// maxCachedLabels bounds the label sets that are kept.
	maxCachedLabels = 2 << 20
	// labelWays is how far from its hash a set may be.
	labelWays = 64
	// minLabelSlots is the least size of a shard.
	minLabelSlots = 64
	// labelRounds is how often each set of a shard may be asked for, on average, until those that were not are
	// forgotten: often enough that series of longer intervals stay.
	labelRounds = 64
)

// labelShard is a hash table of open addressing without keys: a set is in one of labelWays slots from its hash on, with
// no empty slot before it.
type labelShard struct {
	mu    sync.Mutex
	sets  []labels.Labels
	tags  []uint8 // of each slot: full, asked for, six bits of the hash
	used  int
	limit int
	gets  int // since the last sweep
}

// The bits of a tag.
const (
	tagFull  = 1 << 7
	tagAsked = 1 << 6
)

func tagOf(hash uint64) uint8 { return tagFull | uint8(hash&0x3f) }

func newLabelCache(limit int) *labelCache {
	c := &labelCache{}
	for i := range c.shards {
		c.shards[i].limit = max(minLabelSlots, limit/labelShards)
		c.shards[i].resize(minLabelSlots)
	}
	return c
}

// shard takes other bits of the hash than slots and tags.
func (c *labelCache) shard(hash uint64) *labelShard { return &c.shards[hash>>6%labelShards] }

// get returns the cached labels that are equal to ls, which may be of memory that is written again.
func (c *labelCache) get(hash uint64, ls labels.Labels) (labels.Labels, bool) {
	s := c.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gets++; s.gets > labelRounds*(s.used+minLabelSlots) {
		s.sweep()
	}
	tag := tagOf(hash)
	for i := range labelWays {
		at := s.slot(hash, i)
		if s.tags[at] == 0 {
			break
		}
		if s.tags[at]&^tagAsked == tag && labels.Equal(s.sets[at], ls) {
			s.tags[at] |= tagAsked
			return s.sets[at], true
		}
	}
	return labels.Labels{}, false
}

// put remembers labels, which must be valid and stay as they are.
func (c *labelCache) put(hash uint64, ls labels.Labels) {
	s := c.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.insert(hash, tagOf(hash)|tagAsked, ls) {
		if len(s.sets) >= s.limit {
			at := s.slot(hash, s.gets%labelWays) // any of them
			s.sets[at], s.tags[at] = ls, tagOf(hash)|tagAsked
			return
		}
		s.resize(min(s.limit, len(s.sets)+len(s.sets)/4))
	}
}

// slot is the i-th slot of a hash. The high bits of the product spread over any size.
func (s *labelShard) slot(hash uint64, i int) int {
	high, _ := bits.Mul64(hash, uint64(len(s.sets)))
	at := int(high) + i
	if at >= len(s.sets) {
		at -= len(s.sets)
	}
	return at
}

// insert reports whether there was a slot that is empty. The rest must be called with s.mu held.
func (s *labelShard) insert(hash uint64, tag uint8, ls labels.Labels) bool {
	if s.used >= len(s.sets)*17/20 && len(s.sets) < s.limit {
		return false
	}
	for i := range labelWays {
		if at := s.slot(hash, i); s.tags[at] == 0 {
			s.sets[at], s.tags[at] = ls, tag
			s.used++
			return true
		}
	}
	return false
}

// resize moves the sets of full slots to a table of n slots. One that finds no slot there is forgotten.
func (s *labelShard) resize(n int) {
	sets, tags := s.sets, s.tags
	s.sets, s.tags, s.used = make([]labels.Labels, n), make([]uint8, n), 0
	for i, tag := range tags {
		if tag != 0 {
			s.insert(sets[i].Hash(), tag, sets[i])
		}
	}
}

// sweep forgets what was not asked for since the last sweep.
func (s *labelShard) sweep() {
	s.gets = 0
	kept := 0
	for i, tag := range s.tags {
		if tag&tagAsked == 0 {
			s.tags[i] = 0
			continue
		}
		s.tags[i] = tag &^ tagAsked
		kept++
	}
	s.resize(min(s.limit, max(minLabelSlots, kept*5/4)))
}
