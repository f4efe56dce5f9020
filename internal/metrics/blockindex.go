package metrics

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/encoding"
	"github.com/prometheus/prometheus/tsdb/index"
	"github.com/thanos-io/thanos/pkg/block/indexheader"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// blockIndex is the index of a block in the bucket, read by ranges with the help of its header. As a
// tsdb.IndexReader it has what finding the postings of matchers takes; series are read by
// blockReader, many at a time. Results refer to nothing of the header.
type blockIndex struct {
	header *indexheader.BinaryReader
	read   func(ctx context.Context, spans []*span) error // of the index file
}

var _ tsdb.IndexReader = (*blockIndex)(nil)

// Postings implements tsdb.IndexReader.
func (x *blockIndex) Postings(ctx context.Context, name string, values ...string) (index.Postings, error) {
	slices.Sort(values)
	ranges, err := x.header.PostingsOffsets(name, slices.Compact(values)...)
	if err != nil {
		return nil, fmt.Errorf("%w: index: %w", errDamaged, err)
	}
	var spans []*span
	for _, r := range ranges {
		if r == indexheader.NotFoundRange {
			continue
		}
		// The header leaves out the length in front and the checksum behind.
		spans = append(spans, &span{off: r.Start - 4, n: r.End - r.Start + 8})
	}
	if len(spans) == 0 {
		return index.EmptyPostings(), nil
	}
	if err := x.read(ctx, spans); err != nil {
		return nil, err
	}
	lists := make([]index.Postings, len(spans))
	for i, s := range spans {
		body, err := checked(s.data, "postings")
		if err != nil {
			return nil, err
		}
		_, list, err := index.DecodePostingsRaw(encoding.Decbuf{B: body})
		if err != nil {
			return nil, fmt.Errorf("%w: postings: %w", errDamaged, err)
		}
		lists[i] = list
	}
	return index.Merge(ctx, lists...), nil
}

// checked takes the content out of a section with its length in four bytes in front and its CRC32C behind.
func checked(data []byte, what string) ([]byte, error) {
	if len(data) < 8 {
		return nil, fmt.Errorf("%w: %s are cut off", errDamaged, what)
	}
	n := int64(binary.BigEndian.Uint32(data))
	if n > int64(len(data))-8 {
		return nil, fmt.Errorf("%w: %s are cut off", errDamaged, what)
	}
	return verified(data[4:4+n], data[4+n:], what)
}

func verified(body, sum []byte, what string) ([]byte, error) {
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(sum) {
		return nil, fmt.Errorf("%w: %s have another checksum", errDamaged, what)
	}
	return body, nil
}

// PostingsForLabelMatching implements tsdb.IndexReader.
func (x *blockIndex) PostingsForLabelMatching(ctx context.Context, name string, match func(string) bool) index.Postings {
	values, err := x.header.LabelValues(name)
	if err != nil {
		return index.ErrPostings(fmt.Errorf("%w: index: %w", errDamaged, err))
	}
	p, err := x.Postings(ctx, name, slices.DeleteFunc(values, func(v string) bool { return !match(v) })...)
	if err != nil {
		return index.ErrPostings(err)
	}
	return p
}

// PostingsForAllLabelValues implements tsdb.IndexReader.
func (x *blockIndex) PostingsForAllLabelValues(ctx context.Context, name string) index.Postings {
	return x.PostingsForLabelMatching(ctx, name, func(string) bool { return true })
}

// LabelValues implements tsdb.IndexReader, without matchers.
func (x *blockIndex) LabelValues(_ context.Context, name string, _ *storage.LabelHints, ms ...*labels.Matcher) ([]string, error) {
	if len(ms) > 0 {
		return nil, errors.ErrUnsupported
	}
	values, err := x.header.LabelValues(name)
	if err != nil {
		return nil, fmt.Errorf("%w: index: %w", errDamaged, err)
	}
	return cloneStrings(values), nil
}

// SortedLabelValues implements tsdb.IndexReader, without matchers.
func (x *blockIndex) SortedLabelValues(ctx context.Context, name string, h *storage.LabelHints, ms ...*labels.Matcher) ([]string, error) {
	return x.LabelValues(ctx, name, h, ms...) // the table is sorted
}

// LabelNames implements tsdb.IndexReader, without matchers.
func (x *blockIndex) LabelNames(_ context.Context, ms ...*labels.Matcher) ([]string, error) {
	if len(ms) > 0 {
		return nil, errors.ErrUnsupported
	}
	names, err := x.header.LabelNames()
	if err != nil {
		return nil, fmt.Errorf("%w: index: %w", errDamaged, err)
	}
	return cloneStrings(names), nil
}

// SortedPostings implements tsdb.IndexReader: in a block, postings are in the order of labels.
func (x *blockIndex) SortedPostings(p index.Postings) index.Postings { return p }

// ShardedPostings implements tsdb.IndexReader; nobody asks for shards of a block.
func (x *blockIndex) ShardedPostings(index.Postings, uint64, uint64) index.Postings {
	return index.ErrPostings(errors.ErrUnsupported)
}

// Symbols implements tsdb.IndexReader; nobody asks for them.
func (x *blockIndex) Symbols() index.StringIter { return index.NewStringListIter(nil) }

// Series implements tsdb.IndexReader; blockReader reads many at a time.
func (x *blockIndex) Series(storage.SeriesRef, *labels.ScratchBuilder, *[]chunks.Meta) error {
	return errors.ErrUnsupported
}

// LabelNamesFor implements tsdb.IndexReader; nobody asks for them.
func (x *blockIndex) LabelNamesFor(context.Context, index.Postings) ([]string, error) {
	return nil, errors.ErrUnsupported
}

// Close implements tsdb.IndexReader; the header belongs to the cache.
func (x *blockIndex) Close() error { return nil }
