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
	// spans are the only times that are wanted of a stream, by its number in all. Those without are wanted at
	// all times.
	spans map[uint32][]Span

	mu    sync.Mutex
	known *block.Bitmap // whose labels are made
	// labels are of the streams, by their number here. An element is written once, before the page that
	// needs it is given out, so readers of such pages need no lock.
	labels []labels.Labels
}

func newFoundStreams(all streamList, found *block.Bitmap, q *selection) *foundStreams {
	f := &foundStreams{all: all, bits: found, numbers: make([]uint32, 0, found.Count())}
	if len(q.spans) > 0 {
		f.limit(q)
	}
	for i := found.Next(0); i >= 0; i = found.Next(i + 1) {
		f.numbers = append(f.numbers, uint32(i))
	}
	f.known = block.NewBitmap(len(f.numbers))
	f.labels = make([]labels.Labels, len(f.numbers))
	return f
}

// limit finds the spans of the streams, and leaves out those that are not wanted at all.
func (f *foundStreams) limit(q *selection) {
	wanted := block.NewBitmap(f.all.len())
	f.spans = map[uint32][]Span{}
	for i := f.bits.Next(0); i >= 0; i = f.bits.Next(i + 1) {
		spans, whole := q.spansOf(f.all.at(i))
		if !whole {
			f.spans[uint32(i)] = spans
		}
		if whole || len(spans) > 0 {
			wanted.Set(i)
		}
	}
	f.bits = wanted
}

// wants reports whether rows of r may be wanted of the time [start, end).
func (f *foundStreams) wants(r *pageRun, start, end int64) bool {
	if !f.has(r.stream) || !r.overlaps(start, end) {
		return false
	}
	spans, ok := f.spans[r.stream]
	return !ok || r.touch(spans, start, end)
}

// wantsAll reports whether all rows of r are wanted of the time [start, end).
func (f *foundStreams) wantsAll(r *pageRun, start, end int64) bool {
	if !r.inside(start, end) {
		return false
	}
	spans, ok := f.spans[r.stream]
	return !ok || slices.ContainsFunc(spans, func(s Span) bool { return r.inside(s.Start, s.End) })
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
