package block

import (
	"context"
	"math/bits"
	"sync"
)

// Buffers lends memory for the blobs of one question, which gives all of it back at once: a question over many row
// groups would otherwise spend as much on getting zeroed memory and collecting it as on what it reads. A nil
// *Buffers lends memory that is never given back. Safe for concurrent use until Release.
type Buffers struct {
	mu   sync.Mutex
	lent []*[]byte
}

// Buffers are pooled by powers of two; smaller and larger ones are left to the collector.
const (
	minBuffer = 10
	maxBuffer = 21
)

var bufferPools [maxBuffer + 1]sync.Pool

// Get lends an empty slice with room for n bytes, which hold anything.
func (b *Buffers) Get(n int) []byte { return b.get(n) }

func (b *Buffers) get(n int) []byte {
	class := bits.Len(uint(max(n, 1) - 1))
	if b == nil || class > maxBuffer || class < minBuffer {
		return make([]byte, 0, n)
	}
	p, ok := bufferPools[class].Get().(*[]byte)
	if !ok {
		m := make([]byte, 0, 1<<class)
		p = &m
	}
	b.mu.Lock()
	b.lent = append(b.lent, p)
	b.mu.Unlock()
	return *p
}

// Release takes back what was lent. None of it may be used afterwards.
func (b *Buffers) Release() {
	for i, p := range b.lent {
		bufferPools[bits.Len(uint(cap(*p)-1))].Put(p)
		b.lent[i] = nil
	}
	b.lent = b.lent[:0]
}

// rangeAppender is a RangeReader that can read into memory that it is given: it appends what ReadRange returns.
type rangeAppender interface {
	AppendRange(ctx context.Context, dst []byte, name string, off, n int64) ([]byte, error)
}

// readRange is ReadRange into borrowed memory where the source can.
func (r *Reader) readRange(ctx context.Context, off, n int64, mem *Buffers) ([]byte, error) {
	if src, ok := r.src.(rangeAppender); ok && mem != nil {
		return src.AppendRange(ctx, mem.get(int(n)), r.name, off, n)
	}
	return r.src.ReadRange(ctx, r.name, off, n)
}
