package logs

import (
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
)

// foundStreams are the streams that one question has found. They have numbers of their own, without gaps;
// the label set of one is made when a page with rows of it is opened.
type foundStreams struct {
	all  streamList
	bits *block.Bitmap

	numbers []uint32 // in all, ascending

	mu    sync.Mutex
	known *block.Bitmap // whose labels are made
	// labels are of the streams, by their number here. An element is written once, before the page that
	// needs it is given out, so readers of such pages need no lock.
	labels []labels.Labels
}

func newFoundStreams(all streamList, found *block.Bitmap) *foundStreams {
	f := &foundStreams{all: all, bits: found, numbers: make([]uint32, 0, found.Count())}
	for i := found.Next(0); i >= 0; i = found.Next(i + 1) {
		f.numbers = append(f.numbers, uint32(i))
	}
	f.known = block.NewBitmap(len(f.numbers))
	f.labels = make([]labels.Labels, len(f.numbers))
	return f
}

// has reports whether stream, a number in all, was found.
func (f *foundStreams) has(stream uint32) bool { return f.bits.Get(int(stream)) }

// number returns the number here of a stream that was found.
func (f *foundStreams) number(stream uint32) uint32 {
	// Fast path: all streams were found.
	if len(f.numbers) == f.all.len() {
		return stream
	}
	i, _ := slices.BinarySearch(f.numbers, stream)
	return uint32(i)
}

// load makes the label sets of those of the runs' streams that were found, and returns one for each run:
// that of a stream which wasn't found is empty.
func (f *foundStreams) load(runs []pageRun) []labels.Labels {
	out := make([]labels.Labels, len(runs))
	f.mu.Lock()
	defer f.mu.Unlock()
	for k := range runs {
		if !f.has(runs[k].stream) {
			continue
		}
		n := int(f.number(runs[k].stream))
		if !f.known.Get(n) {
			f.known.Set(n)
			f.labels[n] = f.all.at(int(runs[k].stream))
		}
		out[k] = f.labels[n]
	}
	return out
}
