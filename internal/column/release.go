package column

import "sync"

// Numbers of long columns are decoded into memory that Release gives back: a question over many pages would
// otherwise spend a good part of its time on getting zeroed memory for each.
var intsPool sync.Pool

// pooledInts is the least length of numbers that go through the pool, and pooledMost the greatest.
const (
	pooledInts = 1 << 13
	pooledMost = 1 << 17
)

// getInts returns memory for n numbers, of any content, nil if there is none at hand.
func getInts(n int) []int64 {
	if n < pooledInts || n > pooledMost {
		return nil
	}
	if p, ok := intsPool.Get().(*[]int64); ok && cap(*p) >= n {
		return (*p)[:0]
	}
	return nil
}

// Release ends the use of r and gives back the memory of numbers. What Int64s returned is no longer valid; bytes
// that were read stay so.
func (r *Reader) Release() {
	for _, o := range r.opened {
		if o == nil {
			continue
		}
		if n := cap(o.ints); n >= pooledInts && n <= pooledMost {
			list := o.ints[:0]
			intsPool.Put(&list)
		}
		putSmall(o.small)
		o.ints, o.small = nil, nil
	}
	r.opened = nil
}
