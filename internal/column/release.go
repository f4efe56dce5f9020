package column

import (
	"math/bits"
	"sync"
)

// Numbers of long columns are decoded into memory that Release gives back: a question over many pages would
// otherwise spend a good part of its time on getting zeroed memory for each. There is a pool for each power of two.
type numberPool[T any] [pooledMost + 1]sync.Pool

// Numbers from 1<<pooledLeast up to 1<<pooledMost go through the pool.
const (
	pooledLeast = 10
	pooledMost  = 17
)

var (
	intsPool  numberPool[int64]
	smallPool numberPool[uint32]
)

// get returns memory for n numbers, of any content, nil if they are too few or too many.
func (p *numberPool[T]) get(n int) []T {
	if n < 1<<pooledLeast || n > 1<<pooledMost {
		return nil
	}
	class := bits.Len(uint(n - 1))
	if list, ok := p[class].Get().(*[]T); ok {
		return (*list)[:0]
	}
	return make([]T, 0, 1<<class)
}

// put gives back what get returned, and takes nothing else.
func (p *numberPool[T]) put(list []T) {
	n := cap(list)
	if class := bits.Len(uint(n)) - 1; n&(n-1) == 0 && class >= pooledLeast && class <= pooledMost {
		list = list[:0]
		p[class].Put(&list)
	}
}

// Scratch returns memory for n numbers, of any content, which is the caller's until Release.
func (r *Reader) Scratch(n int) []uint32 {
	list := smallPool.get(n)
	if list == nil {
		return make([]uint32, n)
	}
	list = list[:n]
	r.lent = append(r.lent, list)
	return list
}

// Release ends the use of r and gives back the memory of numbers. What Int64s, Codes, TemplateRows and the like
// returned is no longer valid; bytes that were read stay so.
func (r *Reader) Release() {
	for _, o := range r.opened {
		if o == nil {
			continue
		}
		intsPool.put(o.ints)
		smallPool.put(o.small)
		o.ints, o.small = nil, nil
	}
	r.opened = nil
	for i, list := range r.lent {
		smallPool.put(list)
		r.lent[i] = nil
	}
	r.lent = r.lent[:0]
}
