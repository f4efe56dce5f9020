package metrics

import (
	"context"
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
	"github.com/prometheus/prometheus/tsdb/tombstones"
	"github.com/thanos-io/thanos/pkg/block"
	"github.com/thanos-io/thanos/pkg/block/indexheader"

	"github.com/hune-io/hune/internal/fault"
)

const (
	// seriesGuess is how much is read for a series whose length isn't known: labels, and the chunks of two days.
	seriesGuess = 1 << 10
	// chunkGuess is the same for the last chunk of a series; of the others the next one tells the length.
	chunkGuess = 2 << 10
	// maxEntry bounds what the length in front of a series or a chunk can ask for.
	maxEntry = 64 << 20
	// seriesBatch is how many series are decoded before it is asked whether they are enough.
	seriesBatch = 4096
	// seriesAlign is what references to series count in, since version 2 of the index.
	seriesAlign = 16
)

// blockReader answers one selection from one block in the bucket.
type blockReader struct {
	dir    string // name of the block in the bucket
	read   RangeReader
	header *indexheader.BinaryReader
	limits *selectLimits

	external   labels.Labels
	gone       *Deletions // samples that must not be seen
	resolution int64      // of the block, in milliseconds
}

// selectLimits bound a selection over all of its blocks.
type selectLimits struct {
	series   int   // of one block; 0: no bound
	maxBytes int64 // of chunks; 0: no bound
	bytes    atomic.Int64
}

func (l *selectLimits) spend(n int64) error {
	if used := l.bytes.Add(n); l.maxBytes > 0 && used > l.maxBytes {
		return fault.Errorf(fault.Unprocessable, "the selection needs more than %d bytes of chunks from the bucket (metrics.store.max_bytes): select fewer series or a shorter range", l.maxBytes)
	}
	return nil
}

// blockSeries is a series as the index has it, with the chunks that are in the range asked for.
type blockSeries struct {
	labels labels.Labels
	chunks []blockChunk
	gone   tombstones.Intervals
}

// blockChunk is a chunk as the index has it.
type blockChunk struct {
	ref        chunks.BlockChunkRef
	next       chunks.BlockChunkRef // of the chunk after it; 0: it is the last of the series
	start, end int64
}

// bytes returns where a chunk is. Without a next one in the same segment its length is guessed.
func (c blockChunk) bytes() (segment int, s span) {
	segment, off := c.ref.Unpack()
	s = span{off: int64(off), n: chunkGuess}
	if seg, next := c.next.Unpack(); seg == segment && next > off && next-off < maxEntry {
		s.n = int64(next - off)
	}
	return segment, s
}

// selectSeries returns the series that match and have data in the range, sorted by labels.
func (b *blockReader) selectSeries(ctx context.Context, ms []*labels.Matcher, sel Select) ([]ChunkSeries, error) {
	found, err := b.series(ctx, ms, sel)
	if err != nil {
		return nil, err
	}
	out := make([]ChunkSeries, len(found))
	for i := range found {
		out[i].Labels = found[i].labels
	}
	if sel.SkipChunks {
		return out, nil
	}
	if err := b.fill(ctx, found, out); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(out, func(s ChunkSeries) bool { return len(s.Chunks) == 0 }), nil
}

func (b *blockReader) index() *blockIndex {
	name := path.Join(b.dir, block.IndexFilename)
	return &blockIndex{header: b.header, read: func(ctx context.Context, spans []*span) error {
		return b.spans(ctx, name, spans)
	}}
}

// spans reads ranges; an object that is missing is damage to the block.
func (b *blockReader) spans(ctx context.Context, name string, spans []*span) error {
	err := readSpans(ctx, b.read, name, spans)
	if err != nil && fault.ClassOf(err) == fault.NotFound {
		return fmt.Errorf("%w: %s is missing", errDamaged, name)
	}
	return err
}

// series finds the series and decodes their entries in the index.
func (b *blockReader) series(ctx context.Context, ms []*labels.Matcher, sel Select) ([]blockSeries, error) {
	p, err := b.postings(ctx, ms)
	if err != nil {
		return nil, err
	}
	refs, err := index.ExpandPostings(p)
	if err != nil {
		return nil, err
	}
	if b.limits.series > 0 && len(refs) > b.limits.series && (sel.Limit == 0 || sel.Limit > b.limits.series) {
		return nil, fault.Errorf(fault.Unprocessable, "the selection matches %d series in block %s, more than %d (metrics.store.max_series): select fewer series", len(refs), path.Base(b.dir), b.limits.series)
	}
	version, err := b.header.IndexVersion()
	if err != nil {
		return nil, err
	}
	align := int64(1)
	if version >= index.FormatV2 {
		align = seriesAlign
	}
	var out []blockSeries
	d := &seriesDecoder{dec: index.Decoder{LookupSymbol: b.header.LookupSymbol}}
	for batch := range slices.Chunk(refs, seriesBatch) {
		if out, err = b.decodeBatch(ctx, d, batch, align, sel, out); err != nil {
			return nil, err
		}
		if sel.Limit > 0 && len(out) >= sel.Limit {
			out = out[:sel.Limit]
			break
		}
	}
	if !b.external.IsEmpty() {
		sortSeries(out)
	}
	return out, nil
}

func (b *blockReader) decodeBatch(ctx context.Context, d *seriesDecoder, refs []storage.SeriesRef, align int64, sel Select, out []blockSeries) ([]blockSeries, error) {
	spans := make([]span, len(refs))
	list := make([]*span, len(refs))
	for i, ref := range refs {
		spans[i] = span{off: int64(ref) * align, n: seriesGuess}
		if i+1 < len(refs) {
			spans[i].n = min(seriesGuess, int64(refs[i+1])*align-spans[i].off)
		}
		list[i] = &spans[i]
	}
	if err := b.entries(ctx, path.Join(b.dir, block.IndexFilename), list, 0); err != nil {
		return nil, err
	}
	for i := range spans {
		s, err := d.decode(spans[i].data, sel)
		if err != nil {
			return nil, fmt.Errorf("%w: series at %d: %w", errDamaged, spans[i].off, err)
		}
		if len(s.chunks) > 0 {
			s.labels = extend(s.labels, b.external)
		}
		if b.gone != nil && len(s.chunks) > 0 {
			s.drop(b.gone.intervals(s.labels, b.resolution))
		}
		if len(s.chunks) > 0 && sel.Shard.Holds(s.labels) {
			out = append(out, s)
		}
	}
	return out, nil
}

// drop leaves out the chunks that are deleted altogether.
func (s *blockSeries) drop(gone tombstones.Intervals) {
	if s.gone = gone; len(gone) == 0 {
		return
	}
	n := 0
	for _, c := range s.chunks {
		if keepsSome(c.start, c.end, gone) {
			s.chunks[n] = c
			n++
		}
	}
	s.chunks = s.chunks[:n]
}

// seriesDecoder decodes entries of series.
type seriesDecoder struct {
	dec     index.Decoder
	builder labels.ScratchBuilder
	metas   []chunks.Meta
	wanted  []blockChunk
	chunks  arena[blockChunk]
}

func (d *seriesDecoder) decode(entry []byte, sel Select) (s blockSeries, err error) {
	if err := d.dec.Series(entry, &d.builder, &d.metas); err != nil {
		return s, err
	}
	d.wanted = d.wanted[:0]
	for i, m := range d.metas {
		if m.MinTime > sel.End || m.MaxTime < sel.Start {
			continue
		}
		c := blockChunk{ref: chunks.BlockChunkRef(m.Ref), start: m.MinTime, end: m.MaxTime}
		if i+1 < len(d.metas) {
			c.next = chunks.BlockChunkRef(d.metas[i+1].Ref)
		}
		d.wanted = append(d.wanted, c)
	}
	if len(d.wanted) > 0 {
		s.labels, s.chunks = d.builder.Labels(), d.chunks.copy(d.wanted)
	}
	return s, nil
}

// entries reads entries that begin with their length as a varint, followed by so many more bytes than it
// says and a CRC32C over all of that; data become what the checksum covers. An entry that turns out longer
// than was guessed is read again.
func (b *blockReader) entries(ctx context.Context, name string, spans []*span, more int64) error {
	if err := b.spans(ctx, name, spans); err != nil {
		return err
	}
	var short []*span
	for _, s := range spans {
		_, total := entrySize(s.data, more)
		switch {
		case total < 0 || total > maxEntry:
			return fmt.Errorf("%w: no entry in %s at %d", errDamaged, name, s.off)
		case total > int64(len(s.data)) && int64(len(s.data)) < s.n:
			return fmt.Errorf("%w: %s is cut off", errDamaged, name)
		case total > int64(len(s.data)):
			s.n = total
			short = append(short, s)
		}
	}
	if err := b.spans(ctx, name, short); err != nil {
		return err
	}
	for _, s := range spans {
		k, total := entrySize(s.data, more)
		if total > int64(len(s.data)) {
			return fmt.Errorf("%w: %s is cut off", errDamaged, name)
		}
		body, err := verified(s.data[k:total-4], s.data[total-4:], "bytes of "+name)
		if err != nil {
			return err
		}
		s.data = body
	}
	return nil
}

// entrySize returns where the content of an entry begins and how long the entry is altogether; total is
// negative when there is none.
func entrySize(data []byte, more int64) (begin int, total int64) {
	n, k := binary.Uvarint(data)
	if k <= 0 || n > maxEntry {
		return 0, -1
	}
	return k, int64(k) + int64(n) + more + 4
}

// fill reads the chunks of series.
func (b *blockReader) fill(ctx context.Context, found []blockSeries, out []ChunkSeries) error {
	n := 0
	for _, s := range found {
		n += len(s.chunks)
	}
	segments := map[int][]*span{}
	spans := make([]span, 0, n) // of all chunks of all series, in that order
	for _, s := range found {
		for _, c := range s.chunks {
			segment, at := c.bytes()
			spans = append(spans, at)
			segments[segment] = append(segments[segment], &spans[len(spans)-1])
		}
	}
	for _, list := range segments {
		if err := b.limits.spend(joinedBytes(list)); err != nil {
			return err
		}
	}
	for segment, list := range segments {
		// The length of a chunk doesn't count its byte of encoding.
		if err := b.entries(ctx, path.Join(b.dir, block.ChunksDirname, fmt.Sprintf("%06d", segment+1)), list, chunks.ChunkEncodingSize); err != nil {
			return err
		}
	}
	free := make([]Chunk, 0, n)
	for i, s := range found {
		for _, c := range s.chunks {
			body := spans[0].data
			spans = spans[1:]
			chunk := Chunk{MinTime: c.start, MaxTime: c.end, Encoding: chunkenc.Encoding(body[0]), Data: body[1:]}
			if known(chunk.Encoding) && (len(chunk.Data) < 2 || binary.BigEndian.Uint16(chunk.Data) == 0) {
				continue // without samples
			}
			free = append(free, chunk)
		}
		out[i].Chunks, free = free[:len(free):len(free)], free[len(free):]
		sortChunks(out[i].Chunks)
		if len(s.gone) > 0 {
			rest, err := withoutDeleted(out[i].Chunks, s.gone)
			if err != nil {
				return err
			}
			out[i].Chunks = rest
		}
	}
	return nil
}
