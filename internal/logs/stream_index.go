package logs

import (
	"encoding/binary"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
)

// streamList is the label sets of streams, ascending. Safe for concurrent use.
type streamList interface {
	len() int
	at(i int) labels.Labels
	// strings returns the names of the labels of some streams, or the values of one, sorted.
	strings(of *block.Bitmap, name string) []string
	// picker returns a function that puts the values that stream i has of the names into out. They may be
	// memory of the list.
	picker(names []string) func(i int, out []string)
}

// labelSets are streams in memory as they are.
type labelSets []labels.Labels

func (s labelSets) len() int               { return len(s) }
func (s labelSets) at(i int) labels.Labels { return s[i] }

// streamIndex is the section of streams of a block. A block may have a million of them, and a querier
// keeps hundreds of blocks open, so they stay as they are stored, with four bytes for each stream and
// symbol to find it again; a label set is made only for a stream that an answer names.
type streamIndex struct {
	data    []byte    // the section
	symbols []uint32  // where each symbol begins, its length first
	streams []uint32  // where each stream begins, its number of labels first
	lists   *postings // of these streams; nil where nobody asks
}

// appendStreams appends the sorted streams and the sorted symbols that they use.
func appendStreams(dst []byte, symbols []string, numbers map[string]uint32, streams []labels.Labels) []byte {
	dst = block.AppendStringList(dst, symbols)
	dst = binary.AppendUvarint(dst, uint64(len(streams)))
	for _, ls := range streams {
		dst = binary.AppendUvarint(dst, uint64(ls.Len()))
		ls.Range(func(l labels.Label) {
			dst = binary.AppendUvarint(dst, uint64(numbers[l.Name]))
			dst = binary.AppendUvarint(dst, uint64(numbers[l.Value]))
		})
	}
	return dst
}

// decodeStreams checks the section of streams, so that later reads of it can't fail. It keeps b.
func decodeStreams(b []byte) (*streamIndex, error) {
	d := block.NewDecoder(b)
	x := &streamIndex{data: b}
	x.symbols = make([]uint32, d.Count(maxCount, 1))
	before := ""
	for i := range x.symbols {
		x.symbols[i] = uint32(len(b) - d.Len())
		s := view(d.Prefixed())
		if i > 0 && s <= before {
			d.Failf("symbol %d is out of order", i)
		}
		if len(s) > maxLabelPart {
			d.Failf("symbol of %d bytes", len(s))
		}
		if before = s; d.Err() != nil {
			break
		}
	}
	x.streams = make([]uint32, d.Count(maxCount, 1))
	var last, next []uint32 // names and values by symbol
	for i := range x.streams {
		x.streams[i] = uint32(len(b) - d.Len())
		if next = x.decodePairs(d, next); d.Err() != nil {
			break
		}
		// Symbols are in order, so their numbers compare as the label sets do.
		if i > 0 && !ascend(last, next) {
			d.Failf("stream %d is out of order", i)
		}
		last, next = next, last
	}
	if err := d.Finish(); err != nil {
		return nil, err
	}
	return x, nil
}

// ascend reports whether a comes before b. A prefix comes before what it begins.
func ascend(a, b []uint32) bool {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return len(a) < len(b)
}

// decodePairs returns the symbols of one stream, in the memory of dst.
func (x *streamIndex) decodePairs(d *block.Decoder, dst []uint32) []uint32 {
	n := 2 * d.Count(maxLabels, 2)
	dst = slices.Grow(dst[:0], n)[:n]
	d.Uvarints(dst, len(x.symbols))
	for i := 2; i < n; i += 2 {
		if dst[i] <= dst[i-2] {
			d.Failf("label names are out of order")
		}
	}
	return dst
}

// maxLabels bounds the labels of a stream, far above what limits allow.
const maxLabels = 1 << 16

// symbol returns a symbol, which aliases the section.
func (x *streamIndex) symbol(i uint32) string {
	at := x.data[x.symbols[i]:]
	n, size := binary.Uvarint(at)
	return view(at[size:][:n])
}

// find returns the number of a symbol.
func (x *streamIndex) find(s string) (uint32, bool) {
	lo, hi := 0, len(x.symbols)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if x.symbol(uint32(mid)) < s {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return uint32(lo), lo < len(x.symbols) && x.symbol(uint32(lo)) == s
}

// value returns which value stream i has of a label name; both are symbols.
func (x *streamIndex) value(i int, name uint32) (value uint32, ok bool) {
	at := x.data[x.streams[i]:]
	next := func() uint64 {
		v, n := binary.Uvarint(at)
		at = at[n:]
		return v
	}
	for range next() {
		n, v := next(), next()
		if n >= uint64(name) {
			return uint32(v), n == uint64(name)
		}
	}
	return 0, false
}

func (x *streamIndex) len() int { return len(x.streams) }

var labelBuilders = sync.Pool{New: func() any { return new(labels.ScratchBuilder) }}

func (x *streamIndex) at(i int) labels.Labels {
	b := labelBuilders.Get().(*labels.ScratchBuilder)
	defer labelBuilders.Put(b)
	b.Reset()
	d := block.NewDecoder(x.data[x.streams[i]:])
	for range d.Uvarint() {
		b.Add(x.symbol(uint32(d.Uvarint())), x.symbol(uint32(d.Uvarint())))
	}
	return b.Labels()
}
