package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/thanos-io/thanos/pkg/block/indexheader"
	"github.com/thanos-io/thanos/pkg/block/metadata"
	"github.com/thanos-io/thanos/pkg/compact/downsample"

	"github.com/hune-io/hune/internal/bucket"
)

// deleteSettle is how long after its last sample was found to be gone from the blocks a request goes on
// hiding: stores may still read blocks that they listed before.
const deleteSettle = 30 * time.Minute

// active returns what is to be deleted of a tenant.
func (c *Compactor) active(tenant string) *Deletions {
	if c.opts.Deletes == nil {
		return nil
	}
	return c.opts.Deletes.Active(tenant)
}

// withDeletes makes jobs carry out the requests to delete that they meet. Where nothing is left to merge,
// blocks are written anew that hold what is to be deleted, before they are downsampled.
func (c *Compactor) withDeletes(ctx context.Context, t *tenantMetrics, jobs []compaction) ([]compaction, error) {
	active := c.active(t.id)
	if active == nil {
		return jobs, nil
	}
	if len(jobs) == 0 || jobs[0].kind() == "downsample" {
		rewrites, err := c.rewrites(ctx, t, active)
		if err != nil || len(rewrites) > 0 {
			return rewrites, err
		}
		return jobs, nil
	}
	for i := range jobs {
		j := &jobs[i]
		from, to := j.inputs[0].MinTime, j.inputs[0].MaxTime
		for _, m := range j.inputs {
			from, to = min(from, m.MinTime), max(to, m.MaxTime)
		}
		j.gone = active.Overlapping(from-j.resolution, to)
	}
	return jobs, nil
}

// rewrites returns the jobs of blocks that are to be written anew without deleted samples.
func (c *Compactor) rewrites(ctx context.Context, t *tenantMetrics, active *Deletions) (jobs []compaction, err error) {
	var errs []error
	for _, m := range current(t.metas) {
		if t.locked(m) {
			continue
		}
		gone, err := c.unclean(ctx, t, m, active)
		switch {
		case errors.Is(err, errDamaged):
			err = c.quarantine(ctx, t, m.ULID, err)
		case gone != nil:
			jobs = append(jobs, compaction{inputs: []*metadata.Meta{m}, resolution: m.Thanos.Downsample.Resolution, labels: m.Thanos.Labels, gone: gone})
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return jobs, errors.Join(errs...)
}

// unclean returns the requests of which a block holds something.
func (c *Compactor) unclean(ctx context.Context, t *tenantMetrics, m *metadata.Meta, active *Deletions) (*Deletions, error) {
	key := blockKey{t.id, m.ULID}
	resolution := m.Thanos.Downsample.Resolution
	open := active.Overlapping(m.MinTime-resolution, m.MaxTime).Without(func(id string) bool { return c.clean[key][id] })
	if open == nil {
		return nil, nil
	}
	found, err := c.holds(ctx, t, m, open)
	if err != nil {
		return nil, fmt.Errorf("look for deleted series in block %s: %w", m.ULID, err)
	}
	c.noteClean(key, open.Without(func(id string) bool { return slices.Contains(found, id) }).IDs())
	return open.Without(func(id string) bool { return !slices.Contains(found, id) }), nil
}

// holds returns which of the requests find series in a block. It reads parts of the index only.
func (c *Compactor) holds(ctx context.Context, t *tenantMetrics, m *metadata.Meta, open *Deletions) (found []string, err error) {
	cache := &blockCache{timers: indexheader.NewBinaryReaderMetrics(nil)}
	header, err := cache.freshHeader(ctx, t.bkt, blockKey{t.id, m.ULID})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, header.Close()) }()
	reader := &blockReader{dir: blockKey{t.id, m.ULID}.object(), read: bucket.Ranger{Bucket: c.opts.Bucket}, header: header,
		limits: &selectLimits{}, external: externalOf(m, t.id)}
	resolution := max(m.Thanos.Downsample.Resolution, 1)
	for i := range open.list {
		d := &open.list[i]
		sel := Select{Start: windowStart(d.Start, resolution), End: windowEnd(d.End, resolution), Limit: 1, SkipChunks: true}
		series, err := reader.series(ctx, d.Matchers, sel)
		if err != nil {
			return nil, err
		}
		if len(series) > 0 {
			found = append(found, d.ID)
		}
	}
	return found, nil
}

// noteClean remembers that a block holds nothing of the requests.
func (c *Compactor) noteClean(key blockKey, ids []string) {
	if c.clean[key] == nil {
		c.clean[key] = map[string]bool{}
	}
	for _, id := range ids {
		c.clean[key][id] = true
	}
}

// finishDeletes ends the requests of which nothing is stored any more, neither in blocks nor in heads.
func (c *Compactor) finishDeletes(ctx context.Context, t *tenantMetrics) error {
	active := c.active(t.id)
	var done []string
	for i := range active.Len() {
		d := &active.list[i]
		key := t.id + "/" + d.ID
		if c.stored(t, d) {
			delete(c.goneSince, key)
			continue
		}
		since, known := c.goneSince[key]
		if !known {
			since = c.opts.Now()
			c.goneSince[key] = since
		}
		if c.opts.Now().Sub(since) >= deleteSettle {
			done = append(done, d.ID)
		}
	}
	if len(done) == 0 {
		return nil
	}
	if err := c.opts.Deletes.Finish(ctx, t.id, done); err != nil {
		return fmt.Errorf("end delete requests of tenant %s: %w", t.id, err)
	}
	for _, id := range done {
		delete(c.goneSince, t.id+"/"+id)
	}
	for key, requests := range c.clean {
		for _, id := range done {
			if key.tenant == t.id {
				delete(requests, id)
			}
		}
	}
	return nil
}

// stored reports whether samples of a request may still be somewhere.
func (c *Compactor) stored(t *tenantMetrics, d *Deletion) bool {
	if c.opts.Settled != nil && !c.opts.Settled(t.id, d.End) {
		return true
	}
	return slices.ContainsFunc(current(t.metas), func(m *metadata.Meta) bool {
		return d.Start <= m.MaxTime && m.MinTime-m.Thanos.Downsample.Resolution <= d.End && !c.clean[blockKey{t.id, m.ULID}][d.ID]
	})
}

// CleanTombstones writes all blocks of a tenant anew that hold samples that are to be deleted, without
// waiting for the next round. It reports whether there were any.
func (c *Compactor) CleanTombstones(ctx context.Context, tenant string) (changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.list(ctx, tenant)
	if err != nil {
		return false, err
	}
	jobs, err := c.rewrites(ctx, t, c.active(tenant))
	errs := []error{err}
	for _, j := range jobs {
		if err := c.do(ctx, t, j); err != nil {
			errs = append(errs, err)
			continue
		}
		changed = true
	}
	return changed, errors.Join(errs...)
}

// deleteEmptied deletes at once a block of which a user wants nothing to be left. What it had replaced
// goes first: readers would turn to that again.
func (c *Compactor) deleteEmptied(ctx context.Context, t *tenantMetrics, m *metadata.Meta) error {
	gone := append(slices.DeleteFunc(slices.Clone(t.metas), func(o *metadata.Meta) bool { return !replaces(m, o) }), m)
	for _, m := range gone {
		if err := deleteBlock(ctx, t.bkt, m.ULID); err != nil {
			return fmt.Errorf("delete block %s: %w", m.ULID, err)
		}
		c.metrics.deleted.Inc()
	}
	return nil
}

// deletingPopulator is Prometheus's way to fill a block, from blocks without their deleted samples.
type deletingPopulator struct {
	gone       *Deletions
	resolution int64
	external   map[ulid.ULID]labels.Labels // of blocks: requests may name these
	samples    uint64                      // that were left out; of downsampled data, aggregates
}

var _ tsdb.BlockPopulator = (*deletingPopulator)(nil)

// PopulateBlock implements tsdb.BlockPopulator.
func (p *deletingPopulator) PopulateBlock(ctx context.Context, m *tsdb.CompactorMetrics, logger *slog.Logger, pool chunkenc.Pool, merge storage.VerticalChunkSeriesMergeFunc,
	blocks []tsdb.BlockReader, meta *tsdb.BlockMeta, indexw tsdb.IndexWriter, chunkw tsdb.ChunkWriter, postings tsdb.IndexReaderPostingsFunc,
) error {
	if p.gone != nil {
		blocks = slices.Clone(blocks)
		for i, b := range blocks {
			blocks[i] = &deletingBlock{BlockReader: b, populator: p, cut: map[chunks.ChunkRef]chunkenc.Chunk{}}
		}
	}
	return tsdb.DefaultBlockPopulator{}.PopulateBlock(ctx, m, logger, pool, merge, blocks, meta, indexw, chunkw, postings)
}

// deletingBlock shows a block without deleted samples. One series is read at a time: its chunks that lose
// some of their samples are made when its entry of the index is read, and kept until the next one is.
type deletingBlock struct {
	tsdb.BlockReader
	populator *deletingPopulator
	cut       map[chunks.ChunkRef]chunkenc.Chunk
}

// cutRef begins the references of chunks that were made. Those of a block have a segment number above
// 32 bits, which never comes near.
const cutRef = chunks.ChunkRef(1) << 63

// Index implements tsdb.BlockReader.
func (b *deletingBlock) Index() (tsdb.IndexReader, error) {
	x, err := b.BlockReader.Index()
	if err != nil {
		return nil, err
	}
	cr, err := b.BlockReader.Chunks()
	if err != nil {
		return nil, errors.Join(err, x.Close())
	}
	return &deletingIndex{IndexReader: x, block: b, chunks: cr}, nil
}

// Chunks implements tsdb.BlockReader.
func (b *deletingBlock) Chunks() (tsdb.ChunkReader, error) {
	cr, err := b.BlockReader.Chunks()
	return deletingChunks{cr, b}, err
}

type deletingIndex struct {
	tsdb.IndexReader
	block  *deletingBlock
	chunks tsdb.ChunkReader
}

// Close implements tsdb.IndexReader.
func (x *deletingIndex) Close() error { return errors.Join(x.IndexReader.Close(), x.chunks.Close()) }

// Series implements tsdb.IndexReader.
func (x *deletingIndex) Series(ref storage.SeriesRef, builder *labels.ScratchBuilder, metas *[]chunks.Meta) error {
	if err := x.IndexReader.Series(ref, builder, metas); err != nil {
		return err
	}
	b := x.block
	clear(b.cut)
	gone := b.populator.gone.intervals(extend(builder.Labels(), b.populator.external[b.Meta().ULID]), b.populator.resolution)
	if len(gone) == 0 {
		return nil
	}
	out := make([]chunks.Meta, 0, len(*metas))
	for _, m := range *metas {
		if !touched(m.MinTime, m.MaxTime, gone) {
			out = append(out, m)
			continue
		}
		chunk, _, err := x.chunks.ChunkOrIterable(m)
		if err != nil {
			return err
		}
		before := chunk.NumSamples()
		rest, err := withoutDeleted([]Chunk{{MinTime: m.MinTime, MaxTime: m.MaxTime, Encoding: chunk.Encoding(), Data: chunk.Bytes()}}, gone)
		if err != nil {
			return err
		}
		for _, c := range rest {
			ref := cutRef | chunks.ChunkRef(len(b.cut))
			made, err := chunkOf(c)
			if err != nil {
				return err
			}
			b.cut[ref] = made
			before -= made.NumSamples()
			out = append(out, chunks.Meta{Ref: ref, MinTime: c.MinTime, MaxTime: c.MaxTime})
		}
		b.populator.samples += uint64(max(0, before))
	}
	*metas = append((*metas)[:0], out...)
	return nil
}

// chunkOf decodes nothing yet; c may hold aggregates.
func chunkOf(c Chunk) (chunkenc.Chunk, error) {
	if isAggregate(c) {
		aggregates := downsample.AggrChunk(c.Data)
		return &aggregates, nil
	}
	return chunkenc.FromData(c.Encoding, c.Data)
}

type deletingChunks struct {
	tsdb.ChunkReader
	block *deletingBlock
}

// ChunkOrIterable implements tsdb.ChunkReader.
func (r deletingChunks) ChunkOrIterable(m chunks.Meta) (chunkenc.Chunk, chunkenc.Iterable, error) {
	if m.Ref&cutRef == 0 {
		return r.ChunkReader.ChunkOrIterable(m)
	}
	if c, ok := r.block.cut[m.Ref]; ok {
		return c, nil, nil
	}
	return nil, nil, fmt.Errorf("chunk %d of another series", m.Ref)
}
