package generator

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hune-io/hune/internal/traces"
)

// batch is a copy of spans that were stored, or of sides that other generators sent.
type batch struct {
	tenant   string
	received time.Time
	spans    int
	otlp     []byte
	sides    bool // otlp is a message of sides, of any tenants
}

const (
	maxQueued = 1024    // batches, however small
	maxPooled = 1 << 20 // bytes: larger buffers are not kept
)

// queue is bounded by bytes and by batches. A batch larger than the bound is taken when the queue is empty: it
// would otherwise never be counted, and a request's size is bounded elsewhere.
type queue struct {
	max     int64
	bytes   atomic.Int64
	batches chan *batch
	pool    sync.Pool // of *batch
}

func newQueue(max int64) *queue {
	q := &queue{max: max, batches: make(chan *batch, maxQueued)}
	q.pool.New = func() any { return new(batch) }
	return q
}

// put copies b, or returns false when there is no room.
func (q *queue) put(tenant string, now time.Time, b *traces.Batch) bool {
	return q.add(batch{tenant: tenant, received: now, spans: b.Spans, otlp: b.OTLP})
}

// putSides is put for sides.
func (q *queue) putSides(now time.Time, sides []byte) bool {
	return q.add(batch{received: now, otlp: sides, sides: true})
}

func (q *queue) add(b batch) bool {
	n := int64(len(b.otlp))
	if total := q.bytes.Add(n); total > q.max && total != n {
		q.bytes.Add(-n)
		return false
	}
	c := q.pool.Get().(*batch)
	b.otlp = append(c.otlp[:0], b.otlp...)
	*c = b
	select {
	case q.batches <- c:
		return true
	default:
		q.release(c)
		return false
	}
}

// release gives back the room and the memory of a batch that was taken.
func (q *queue) release(b *batch) {
	q.bytes.Add(-int64(len(b.otlp)))
	if cap(b.otlp) <= maxPooled {
		b.otlp = b.otlp[:0]
		q.pool.Put(b)
	}
}
