package traces

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/sync/singleflight"
)

// Blocks never change, so which traces they share is found out once for each set of blocks that questions are about.
// A question then compares only what may change with all others: what is recent, mostly some thousand traces.

// sharedBlocksBytes is how much a MergedSource remembers of the traces that blocks share.
const sharedBlocksBytes = 16 << 20

// opened counts the blocks that were opened, which tells them apart.
var opened atomic.Uint64

// sharedBlocks remembers which traces blocks share, by sets of blocks, those asked for last. A set is known by the
// numbers of its blocks, so nothing keeps a block that was closed. Safe for concurrent use.
type sharedBlocks struct {
	limit   int
	flights singleflight.Group

	mu   sync.Mutex
	used int
	lru  *simplelru.LRU[string, []joinedPiece]
}

func newSharedBlocks(limit int) *sharedBlocks {
	c := &sharedBlocks{limit: limit}
	// The number of sets is bounded by their sizes.
	c.lru, _ = simplelru.NewLRU(1<<30, func(key string, list []joinedPiece) { c.used -= sharedSize(key, list) })
	return c
}

// sharedSize is about what remembering a set takes.
func sharedSize(key string, list []joinedPiece) int { return 128 + len(key) + 40*cap(list) }

func (c *sharedBlocks) get(key string) ([]joinedPiece, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lru.Get(key)
}

func (c *sharedBlocks) add(key string, list []joinedPiece) {
	list = slices.Clip(slices.Clone(list))
	size := sharedSize(key, list)
	c.mu.Lock()
	defer c.mu.Unlock()
	if size > c.limit || c.lru.Contains(key) {
		return
	}
	c.lru.Add(key, list)
	for c.used += size; c.used > c.limit; {
		c.lru.RemoveOldest()
	}
}

// traces returns what sharedTraces does. The result must not be changed.
func (c *sharedBlocks) traces(ctx context.Context, parts []Part) ([]joinedPiece, error) {
	var blocks, others []Part
	for _, p := range parts {
		if _, ok := p.(*Block); ok {
			blocks = append(blocks, p)
		} else {
			others = append(others, p)
		}
	}
	known, err := c.ofBlocks(ctx, blocks)
	if err != nil || len(others) == 0 {
		return known, err
	}
	changing, err := listIDs(ctx, others)
	if err != nil || !slices.ContainsFunc(changing.lists, func(l []idPlace) bool { return len(l) > 0 }) {
		return known, err
	}
	fixed, err := listIDs(ctx, blocks)
	if err != nil {
		return nil, err
	}
	hashes := hashesSharedWith(changing.lists, fixed.lists)
	all := partIDs{append(changing.parts, fixed.parts...), append(changing.lists, fixed.lists...)}
	found, err := all.joined(ctx, hashes)
	if err != nil || len(found) == 0 {
		return known, err
	}
	// A trace that blocks share and what is recent has too was found with all its pieces.
	rest := make([]joinedPiece, 0, len(known))
	for _, j := range known {
		if _, again := slices.BinarySearchFunc(found, j, joinedPiece.compareID); !again {
			rest = append(rest, j)
		}
	}
	return mergeSorted(rest, found, joinedPiece.compareID), nil
}

// ofBlocks returns the traces that several blocks have pieces of, in order of ID.
func (c *sharedBlocks) ofBlocks(ctx context.Context, blocks []Part) ([]joinedPiece, error) {
	if len(blocks) < 2 {
		return nil, nil
	}
	key := setKey(blocks)
	if known, ok := c.get(key); ok {
		return known, nil
	}
	for {
		own := false
		list, err, _ := c.flights.Do(key, func() (any, error) { // the pieces of a query ask at the same moment
			own = true
			list, err := sharedTraces(ctx, blocks)
			if err == nil {
				c.add(key, list)
			}
			return list, err
		})
		if err == nil {
			return list.([]joinedPiece), nil
		}
		if own || ctx.Err() != nil {
			return nil, err
		} // else whom we waited for may have gone
	}
}

// setKey names a set of blocks.
func setKey(blocks []Part) string {
	numbers := make([]uint64, len(blocks))
	for i, b := range blocks {
		numbers[i] = b.(*Block).number
	}
	slices.Sort(numbers)
	key := make([]byte, 0, 8*len(numbers))
	for _, n := range numbers {
		key = binary.LittleEndian.AppendUint64(key, n)
	}
	return string(key)
}
