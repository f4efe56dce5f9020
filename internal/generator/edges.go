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

// hash mixes the key's random bytes. It is not for keys that are made to collide: those are
// dropped for want of room, and only their own tenant has them.
func (k *edgeKey) hash() uint64 {
	h := binary.LittleEndian.Uint64(k.trace[:8])*0x9e3779b97f4a7c15 ^ binary.LittleEndian.Uint64(k.trace[8:])
	return bits.RotateLeft64(h, 29)*0xbf58476d1ce4e5b9 ^ binary.LittleEndian.Uint64(k.span[:])
}

// edgeStore keeps sides in the order in which they came, which is the order in which they expire. It never
// holds more than it was made for. What it returns is valid until the next put or remove.
type edgeStore struct {
	max    int
	byHash map[uint64]int32 // a number is hashed several times as fast as a key
	slots  []slot
	free   int32 // a list through next
	first  int32
	last   int32
}

type slot struct {
	side
	key        edgeKey
	hash       uint64
	expires    int64 // Unix milliseconds
	prev, next int32
}

// What find returns beside places.
const (
	none  = -1
	taken = -2
)

func newEdgeStore(max int) edgeStore {
	return edgeStore{max: max, byHash: make(map[uint64]int32), free: none, first: none, last: none}
}

func (e *edgeStore) len() int { return len(e.byHash) }

// find returns where a side waits under a key, none, or taken where another key has the same hash.
func (e *edgeStore) find(key *edgeKey) (hash uint64, at int32) {
	hash = key.hash()
	at, ok := e.byHash[hash]
	switch {
	case !ok:
		return hash, none
	case e.slots[at].key != *key:
		return hash, taken
	}
	return hash, at
}

// put lets a side wait until a time that is not before that of the side put last. The key is one that find has
// found nothing for, with its hash. It returns nil when there is no room.
func (e *edgeStore) put(key *edgeKey, hash uint64, expires int64) *side {
	if len(e.byHash) >= e.max {
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
	e.byHash[hash] = i
	return &s.side
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
	delete(e.byHash, s.hash)
	s.side, s.next = side{}, e.free
	e.free = at
}
