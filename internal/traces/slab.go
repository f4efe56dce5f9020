package traces

// slab hands out slices cut from larger chunks, so that the spans of a request cost a few
// allocations instead of several each. reset takes everything back at once.
type slab[T any] struct {
	chunks [][]T
	chunk  int // the one in use
	used   int // elements of it
}

const (
	slabFirst = 32
	slabMax   = 2048 // elements of a chunk; larger requests get their own
)

// alloc returns n zero elements. They are valid until reset.
func (s *slab[T]) alloc(n int) []T {
	if n == 0 {
		return nil
	}
	for s.chunk < len(s.chunks) {
		if c := s.chunks[s.chunk]; s.used+n <= len(c) {
			out := c[s.used : s.used+n : s.used+n]
			s.used += n
			return out
		}
		if s.chunk+1 == len(s.chunks) {
			break
		}
		s.chunk, s.used = s.chunk+1, 0
	}
	size := slabFirst
	if len(s.chunks) > 0 {
		size = min(2*len(s.chunks[len(s.chunks)-1]), slabMax)
	}
	s.chunks = append(s.chunks, make([]T, max(size, n)))
	s.chunk, s.used = len(s.chunks)-1, n
	return s.chunks[s.chunk][:n:n]
}

// reset zeroes what was handed out, so that it pins nothing, and makes it free. Only the chunks that a usual
// span needs are kept.
func (s *slab[T]) reset() {
	if len(s.chunks) == 0 {
		return
	}
	for i := 0; i < s.chunk; i++ {
		clear(s.chunks[i])
	}
	clear(s.chunks[s.chunk][:s.used])
	if len(s.chunks) > 8 || len(s.chunks[len(s.chunks)-1]) > slabMax {
		s.chunks = s.chunks[:1]
	}
	s.chunk, s.used = 0, 0
}
