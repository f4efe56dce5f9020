package metrics

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/thanos-io/thanos/pkg/compact/downsample"
)

// aggregate is which of the five aggregates of downsampled data a function wants.
type aggregate int

const (
	average aggregate = iota // sum by count: what a plain selector means
	ofCount
	ofSum
	ofMin
	ofMax
	ofCounter
)

// aggregateOf chooses the aggregate by the function around the selector, as Thanos does.
func aggregateOf(fn string) aggregate {
	switch fn {
	case "count_over_time":
		return ofCount
	case "sum_over_time":
		return ofSum
	case "min", "min_over_time":
		return ofMin
	case "max", "max_over_time":
		return ofMax
	case "rate", "irate", "increase", "resets", "xrate", "xincrease":
		return ofCounter
	}
	return average
}

// sub names the aggregate as it is stored; average has none.
func (a aggregate) sub() downsample.AggrType {
	switch a {
	case ofCount:
		return downsample.AggrCount
	case ofMin:
		return downsample.AggrMin
	case ofMax:
		return downsample.AggrMax
	case ofCounter:
		return downsample.AggrCounter
	}
	return downsample.AggrSum
}

// resolveAggregates replaces the aggregate chunks of series by chunks of the samples that a function
// wants of them. Series without such chunks stay as they are.
func resolveAggregates(list []ChunkSeries, want aggregate) error {
	for i := range list {
		s := &list[i]
		if !slices.ContainsFunc(s.Chunks, isAggregate) {
			continue
		}
		resolved, err := resolveSeries(s.Chunks, want)
		if err != nil {
			return fmt.Errorf("downsampled series %s: %w", s.Labels, err)
		}
		s.Chunks = resolved
	}
	return nil
}

func isAggregate(c Chunk) bool { return c.Encoding == downsample.ChunkEncAggr }

// malformed reports whether an aggregate chunk is not five lengths each with so many bytes and one of
// encoding behind: the library doesn't expect it.
func malformed(c Chunk) bool {
	if !isAggregate(c) {
		return false
	}
	b := c.Data
	for range 5 {
		n, k := binary.Uvarint(b)
		if k <= 0 {
			return true
		}
		if b = b[k:]; n == 0 {
			continue
		}
		if n >= uint64(len(b)) {
			return true
		}
		b = b[n+1:]
	}
	return len(b) > 0
}

// Aggregate returns one aggregate of a chunk of downsampled data, nil if it has none. The library's own
// way takes a missing last one for damage.
func Aggregate(c Chunk, kind downsample.AggrType) (chunkenc.Chunk, error) {
	if malformed(c) {
		return nil, fmt.Errorf("%w: aggregates", errDamaged)
	}
	b := c.Data
	for i := downsample.AggrCount; ; i++ {
		n, k := binary.Uvarint(b)
		b = b[k:]
		if i == kind {
			if n == 0 {
				return nil, nil
			}
			return chunkenc.FromData(chunkenc.Encoding(b[0]), b[1:n+1])
		}
		if n > 0 {
			b = b[n+1:]
		}
	}
}

func resolveSeries(cs []Chunk, want aggregate) ([]Chunk, error) {
	if slices.ContainsFunc(cs, malformed) {
		return nil, errDamaged
	}
	if want == ofCounter {
		return resolveCounter(cs)
	}
	out := make([]Chunk, 0, len(cs))
	for _, c := range cs {
		if !isAggregate(c) {
			out = append(out, c)
			continue
		}
		resolved, err := resolveChunk(c, want)
		if err != nil {
			return nil, err
		}
		out = append(out, resolved...)
	}
	return out, nil
}

// resolveChunk returns the samples of an aggregate. Native histograms have neither minima nor maxima:
// their average stands for them.
func resolveChunk(c Chunk, want aggregate) ([]Chunk, error) {
	all := downsample.AggrChunk(c.Data)
	if want != average {
		sub, err := all.Get(want.sub())
		if err == nil {
			return []Chunk{{c.MinTime, c.MaxTime, sub.Encoding(), sub.Bytes()}}, nil
		}
		if err != downsample.ErrAggrNotExist {
			return nil, err
		}
	}
	count, err := all.Get(downsample.AggrCount)
	if err != nil {
		return nil, err
	}
	sum, err := all.Get(downsample.AggrSum)
	if err == downsample.ErrAggrNotExist {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return encode(downsample.NewAverageChunkIterator(count.Iterator(nil), sum.Iterator(nil)))
}

// resolveCounter makes a counter without resets of aggregates and of the raw chunks between and after
// them. The aggregates of one chunk end with the true last value, so that a reset between two chunks is
// noticed, also where raw data follow.
func resolveCounter(cs []Chunk) ([]Chunk, error) {
	var its []chunkenc.Iterator
	for len(cs) > 0 {
		if isAggregate(cs[0]) {
			sub, err := downsample.AggrChunk(cs[0].Data).Get(downsample.AggrCounter)
			if err != nil && err != downsample.ErrAggrNotExist {
				return nil, err
			}
			if err == nil {
				its = append(its, sub.Iterator(nil))
			}
			cs = cs[1:]
			continue
		}
		n := slices.IndexFunc(cs, isAggregate)
		if n < 0 {
			n = len(cs)
		}
		raw := ChunkSeries{Chunks: cs[:n]}
		its = append(its, series{&raw}.Iterator(nil))
		cs = cs[n:]
	}
	return encode(downsample.NewApplyCounterResetsIterator(its...))
}

// encode makes chunks of the samples of an iterator, cut as Prometheus cuts them.
func encode(it chunkenc.Iterator) ([]Chunk, error) {
	var out []Chunk
	encoded := storage.NewSeriesToChunkEncoder(&storage.SeriesEntry{SampleIteratorFn: func(chunkenc.Iterator) chunkenc.Iterator { return it }})
	for chunks := encoded.Iterator(nil); chunks.Next(); {
		m := chunks.At()
		out = append(out, Chunk{m.MinTime, m.MaxTime, m.Chunk.Encoding(), m.Chunk.Bytes()})
	}
	return out, it.Err()
}
