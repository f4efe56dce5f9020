package generator

import (
	"encoding/binary"
	"math/bits"

	"github.com/hune-io/hune/internal/traces"
)

// edgeKey is what both sides of a request know: the trace and the span that made it.
type edgeKey struct {
	trace traces.ID
	span  traces.SpanID
}

// side is one side of a request that waits for the other, or both.
type side struct {
	client, server     string // services; "" while the side hasn't come
	peer               string // what the client says about a server that may send no spans
	clientAt, serverAt uint64 // end of the client's span, start of the server's
	clientTime         float64
	serverTime         float64
	times              float64
	failed             bool
	messaging          bool
	filtered           bool         // by a policy: the other side doesn't count either
	dimensions         *[2][]string // values of the client and the server, by the settings; nil without dimensions
}

// hash mixes the key, of which some senders count the bytes up.
func (k *edgeKey) hash() uint32 {
	h := binary.LittleEndian.Uint64(k.trace[:8])*0x9e3779b97f4a7c15 ^ binary.LittleEndian.Uint64(k.trace[8:])
	h = bits.RotateLeft64(h, 29)*0xbf58476d1ce4e5b9 ^ binary.LittleEndian.Uint64(k.span[:])
	return uint32((h ^ h>>32) * 0x94d049bb133111eb >> 32)
}

// edgeStore keeps sides in the order in which they came, which is the order in which they expire. It never
// holds more than it was made for. What it returns is valid until the next put or remove.
//
// Sides come and go with every second span, and a map would take a sixth of the time of all counting. So keys are
// looked up in a table of places that is at most half full: a side stands at the place that its hash names or at one
// of the next ones, without a gap.
type edgeStore struct {
	max   int
	count int
	table []place // a power of two of them
	slots []slot
	free  int32 // a list through next
	first int32
	last  int32
}

// place is where a side is found by its hash. at is one more than the number of its slot, zero where there is none.
type place struct {
	hash uint32
	at   int32
}

type slot struct {
	side
	key        edgeKey
	hash       uint32
	expires    int64 // Unix milliseconds
	prev, next int32
}

// none is what find returns beside places.
const none = -1

const (
	leastPlaces = 64
	// mostSteps bounds how far from the place that its hash names a side stands when it comes, which random keys
	// don't reach. Others are made to collide: they are dropped for want of room, and only their own tenant has them.
	mostSteps = 128
)

func newEdgeStore(max int) edgeStore {
	return edgeStore{max: max, table: make([]place, leastPlaces), free: none, first: none, last: none}
}

func (e *edgeStore) len() int { return e.count }

// find returns where a side waits under a key, or none.
func (e *edgeStore) find(key *edgeKey) (hash uint32, at int32) {
	hash = key.hash()
	mask := uint32(len(e.table) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		p := e.table[i]
		if p.at == 0 {
			return hash, none
		}
		if p.hash == hash && e.slots[p.at-1].key == *key {
			return hash, p.at - 1
		}
	}
}

// put lets a side wait until a time that is not before that of the side put last. The key is one that find has
// found nothing for, with its hash. It returns nil when there is no room.
func (e *edgeStore) put(key *edgeKey, hash uint32, expires int64) *side {
	if e.count >= e.max {
		return nil
	}
	if 2*(e.count+1) > len(e.table) {
		e.grow()
	}
	at, ok := e.vacancy(hash, mostSteps)
	if !ok {
		return nil
	}
	i := e.free
	if i == none {
		e.slots = append(e.slots, slot{})
		i = int32(len(e.slots) - 1)
	} else {
		e.free = e.slots[i].next
	}
	s := &e.slots[i]
	s.key, s.hash, s.expires, s.prev, s.next = *key, hash, expires, e.last, none
	if e.last == none {
		e.first = i
	} else {
		e.slots[e.last].next = i
	}
	e.last = i
	e.table[at] = place{hash, i + 1}
	e.count++
	return &s.side
}

// vacancy returns the first place for a hash that is free, at most so many steps away.
func (e *edgeStore) vacancy(hash, steps uint32) (uint32, bool) {
	mask := uint32(len(e.table) - 1)
	for k := range steps {
		if at := (hash + k) & mask; e.table[at].at == 0 {
			return at, true
		}
	}
	return 0, false
}

// grow doubles the table.
func (e *edgeStore) grow() {
	old := e.table
	e.table = make([]place, 2*len(old))
	for _, p := range old {
		if p.at != 0 {
			at, _ := e.vacancy(p.hash, uint32(len(e.table)))
			e.table[at] = p
		}
	}
}

// vacate takes a side out of the table, and moves those after it that would not be found any more.
func (e *edgeStore) vacate(hash uint32, at int32) {
	mask := uint32(len(e.table) - 1)
	gap := hash & mask
	for e.table[gap].at != at+1 {
		gap = (gap + 1) & mask
	}
	for i := (gap + 1) & mask; e.table[i].at != 0; i = (i + 1) & mask {
		if home := e.table[i].hash & mask; (i-home)&mask >= (i-gap)&mask {
			e.table[gap], gap = e.table[i], i
		}
	}
	e.table[gap] = place{}
}

// expired returns the side that came first if its time is over, else nil.
func (e *edgeStore) expired(now int64) *slot {
	if e.first == none || e.slots[e.first].expires > now {
		return nil
	}
	return &e.slots[e.first]
}

// remove ends the waiting of a side.
func (e *edgeStore) remove(at int32) {
	s := &e.slots[at]
	if s.prev == none {
		e.first = s.next
	} else {
		e.slots[s.prev].next = s.next
	}
	if s.next == none {
		e.last = s.prev
	} else {
		e.slots[s.next].prev = s.prev
	}
	e.vacate(s.hash, at)
	e.count--
	s.side, s.next = side{}, e.free
	e.free = at
}
