package resultcache

import (
	"math"
	"slices"
	"sync"
)

// Changes is when writes came to times that were taken for settled. The zero Changes is ready to use. Safe for
// concurrent use.
type Changes struct {
	mu      sync.RWMutex
	tenants map[string]*changes
}

// changes is those of a tenant. Of two changes the later one hides the earlier one if it reaches as far back, so
// the times of events ascend with their numbers.
type changes struct {
	seq    uint64
	events []change
}

// change says that what was computed before number seq is not true any more for times from from on.
type change struct {
	seq  uint64
	from int64
}

// maxChanges bounds what is remembered of a tenant. Beyond it neighbours are joined: more is forgotten than need be.
const maxChanges = 64

// Note says that rows of the time from, or later, came. It must be called when queries see the rows, and before the
// write is acknowledged.
func (c *Changes) Note(tenant string, from int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tenants == nil {
		c.tenants = map[string]*changes{}
	}
	t := c.tenants[tenant]
	if t == nil {
		t = new(changes)
		c.tenants[tenant] = t
	}
	t.seq++
	for n := len(t.events); n > 0 && t.events[n-1].from >= from; n-- {
		t.events = t.events[:n-1]
	}
	if t.events = append(t.events, change{t.seq, from}); len(t.events) > maxChanges {
		t.joinClosest()
	}
}

// joinClosest makes one of the two neighbours whose times are closest.
func (t *changes) joinClosest() {
	best, least := 0, uint64(math.MaxUint64)
	for i := range len(t.events) - 1 {
		if d := uint64(t.events[i+1].from) - uint64(t.events[i].from); d < least {
			best, least = i, d
		}
	}
	t.events[best+1].from = t.events[best].from
	t.events = slices.Delete(t.events, best, best+1)
}

// now returns the number of the last change.
func (c *Changes) now(tenant string) uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if t := c.tenants[tenant]; t != nil {
		return t.seq
	}
	return 0
}

// since returns from which time on something changed after change seq, if anything did.
func (c *Changes) since(tenant string, seq uint64) (from int64, changed bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	t := c.tenants[tenant]
	if t == nil {
		return 0, false
	}
	for _, e := range t.events {
		if e.seq > seq {
			return e.from, true // times ascend
		}
	}
	return 0, false
}
