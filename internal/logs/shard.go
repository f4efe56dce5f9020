package logs

import (
	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
)

// Shard is one of Of shares of all streams: those of which the hash of the labels, modulo Of, is Index.
// The zero Shard is all streams.
type Shard struct{ Index, Of int }

// All reports whether s is all streams.
func (s Shard) All() bool { return s.Of <= 1 }

// Has reports whether the stream with labels ls is in s.
func (s Shard) Has(ls labels.Labels) bool {
	return s.All() || StreamHash(ls)%uint64(s.Of) == uint64(s.Index)
}

// StreamHash is the hash by which Shard and StreamSpans know streams. It is written out here rather than taken
// from a library, since all who answer for parts of one query must agree on it.
func StreamHash(ls labels.Labels) uint64 {
	var h xxhash.Digest
	h.Reset()
	end := []byte{0xff} // never in a name or value that is UTF-8
	ls.Range(func(l labels.Label) {
		_, _ = h.WriteString(l.Name)
		_, _ = h.Write(end)
		_, _ = h.WriteString(l.Value)
		_, _ = h.Write(end)
	})
	return h.Sum64()
}

// among returns those of the found streams that are in s.
func (s Shard) among(streams streamList, found *block.Bitmap) *block.Bitmap {
	if s.All() {
		return found
	}
	out := block.NewBitmap(streams.len())
	for i := found.Next(0); i >= 0; i = found.Next(i + 1) {
		if s.Has(streams.at(i)) {
			out.Set(i)
		}
	}
	return out
}

// views takes the streams that are not in s out of all.
func (s Shard) views(all []headView) []headView {
	if s.All() {
		return all
	}
	n := 0
	for i := range all {
		if s.Has(all[i].labels) {
			all[n] = all[i]
			n++
		}
	}
	return all[:n]
}
