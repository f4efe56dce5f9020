package column

import "github.com/hune-io/hune/internal/block"

// Reader reads the columns of one page for one question. It is used by one goroutine.
//
// It works with the blobs that it was given. Where a method needs one that is missing, it notes the blob
// as wanted, answers something of the right shape, and goes on, so as to find out what else it will
// need. So a caller that reads by range goes round:
//
//	for {
//		answer = r.Match(c, column.Contains, needle)
//		if wanted := r.Wanted(); len(wanted) == 0 { break }
//		… fetch them with as few requests as possible, Supply each …
//	}
//
// An answer counts only if nothing was wanted for it and Err is nil. What was decoded is kept, so going
// round again costs little. Where all blobs are given the loop ends at once.
type Reader struct {
	page  *Page
	blobs [][]byte
	want  []bool
	count int // of want
	err   error

	opened   []*openColumn   // by Column.id
	joined   map[int][]byte  // payloads of several blobs, by the first
	borrowed []*block.Values // buffers of Values
	lent     [][]uint32      // until Release

	limit      int // Values: bytes that it appends at most
	most       int // Values: bytes at which it stops
	printedLen int // Values: bytes in buffers
	search     searcher
}

// NewReader returns a Reader of p without any blobs.
func NewReader(p *Page) *Reader {
	return &Reader{page: p, blobs: make([][]byte, len(p.Blobs)), want: make([]bool, len(p.Blobs)), limit: maxValuesLen}
}

// Supply gives the Reader the decoded content of blob i, which must not change from now on.
func (r *Reader) Supply(i int, content []byte) {
	if content == nil {
		content = []byte{}
	}
	r.blobs[i] = content
}

// Wanted returns the blobs that were missing since it was called last, ascending.
func (r *Reader) Wanted() []int {
	if r.count == 0 {
		return nil
	}
	out := make([]int, 0, r.count)
	for i, w := range r.want {
		if w {
			out = append(out, i)
			r.want[i] = false
		}
	}
	r.count = 0
	return out
}

// Err returns what was wrong with the bytes that were read: the page is damaged.
func (r *Reader) Err() error {
	if r.err == nil {
		return r.page.Err()
	}
	return r.err
}

func (r *Reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}
