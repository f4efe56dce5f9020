package metrics

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	thanos "github.com/thanos-io/thanos/pkg/block/metadata"
	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/fault"
)

var _ Source = (*BlockStore)(nil)

// downloads is how many blocks one query fetches at the same time.
const downloads = 4

// acquire opens the tenant's blocks that overlap [start, end]. Damaged ones are left out with a
// warning. release must be called in any case.
func (s *BlockStore) acquire(ctx context.Context, id string, start, end int64) (open []*cachedBlock, release func(), err error) {
	s.mu.RLock()
	var metas []*thanos.Meta
	for _, m := range s.blocks[id] {
		if overlaps(&m.BlockMeta, start, end) {
			metas = append(metas, m)
		}
	}
	s.mu.RUnlock()
	bkt := tenantBucket(s.opts.Bucket, id)
	found := make([]*cachedBlock, len(metas))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(downloads)
	for i, m := range metas {
		key := blockKey{id, m.ULID}
		if s.isBad(key) {
			addWarning(ctx, fmt.Errorf("block %s is damaged and left out of the answer", m.ULID))
			continue
		}
		g.Go(func() error {
			e, err := s.cache.acquire(gctx, bkt, id, m)
			switch {
			case err == nil:
				found[i] = e
				return nil
			case errors.Is(err, errDamaged):
				if ok, existsErr := bkt.Exists(gctx, m.ULID.String()+"/"+thanos.MetaFilename); existsErr == nil && !ok {
					return nil // deleted meanwhile; the next refresh takes it off the list
				}
				s.quarantine(key, err)
				addWarning(ctx, fmt.Errorf("block %s is damaged and left out of the answer", m.ULID))
				return nil
			}
			return fmt.Errorf("open block %s: %w", m.ULID, err)
		})
	}
	err = g.Wait()
	open = slices.DeleteFunc(found, func(e *cachedBlock) bool { return e == nil })
	release = func() {
		for _, e := range open {
			s.cache.release(e)
		}
	}
	if err != nil && fault.ClassOf(err) == fault.Internal {
		err = fault.New(fault.Unavailable, err)
	}
	return open, release, err
}

// SelectSeries implements Source.
func (s *BlockStore) SelectSeries(ctx context.Context, id string, sel Select) iter.Seq2[*ChunkSeries, error] {
	return func(yield func(*ChunkSeries, error) bool) {
		if err := s.selectSeries(ctx, id, sel, yield); err != nil {
			yield(nil, err)
		}
	}
}

func (s *BlockStore) selectSeries(ctx context.Context, id string, sel Select, yield func(*ChunkSeries, error) bool) error {
	matchers, err := ToMatchers(sel.Matchers)
	if err != nil {
		return err
	}
	blocks, release, err := s.acquire(ctx, id, sel.Start, sel.End)
	defer release()
	if err != nil || len(blocks) == 0 {
		return err
	}
	if sel.SkipChunks {
		q, err := openQueriers(blocks, sel, tsdb.NewBlockQuerier, func(qs []storage.Querier) storage.Querier {
			return storage.NewMergeQuerier(qs, nil, storage.ChainedSeriesMerge)
		})
		if err != nil {
			return err
		}
		defer q.Close()
		return s.checkRead(blocks, yieldLabels(ctx, q.Select(ctx, true, hintsOf(sel), matchers...), sel.Limit, yield))
	}
	q, err := openQueriers(blocks, sel, tsdb.NewBlockChunkQuerier, func(qs []storage.ChunkQuerier) storage.ChunkQuerier {
		return storage.NewMergeChunkQuerier(qs, nil, storage.NewConcatenatingChunkSeriesMerger())
	})
	if err != nil {
		return err
	}
	defer q.Close()
	return s.checkRead(blocks, yieldChunks(ctx, q.Select(ctx, true, hintsOf(sel), matchers...), sel.Limit, yield))
}

// checkRead names the blocks when a read fails for another reason than the caller's time, and has
// them downloaded again by the next query: the copy on the local disk may be what is bad.
func (s *BlockStore) checkRead(blocks []*cachedBlock, err error) error {
	if err == nil || isContextError(err) {
		return err
	}
	for _, b := range blocks {
		s.cache.drop(b.key)
	}
	return fmt.Errorf("read metric blocks: %w", err)
}

// openQueriers opens one querier for each block and merges them.
func openQueriers[Q interface{ Close() error }](blocks []*cachedBlock, sel Select,
	open func(tsdb.BlockReader, int64, int64) (Q, error), merge func([]Q) Q,
) (Q, error) {
	queriers := make([]Q, 0, len(blocks))
	for _, b := range blocks {
		q, err := open(b.block, sel.Start, sel.End)
		if err != nil {
			for _, q := range queriers {
				_ = q.Close()
			}
			var none Q
			return none, fmt.Errorf("open block %s: %w", b.key.id, err)
		}
		queriers = append(queriers, q)
	}
	return merge(queriers), nil
}

// LabelNames implements Source.
func (s *BlockStore) LabelNames(ctx context.Context, id string, sel Select) ([]string, error) {
	return s.labels(ctx, id, sel, func(q storage.Querier, ms []*labels.Matcher) ([]string, error) {
		names, _, err := q.LabelNames(ctx, &storage.LabelHints{Limit: sel.Limit}, ms...)
		return names, err
	})
}

// LabelValues implements Source.
func (s *BlockStore) LabelValues(ctx context.Context, id, name string, sel Select) ([]string, error) {
	return s.labels(ctx, id, sel, func(q storage.Querier, ms []*labels.Matcher) ([]string, error) {
		values, _, err := q.LabelValues(ctx, name, &storage.LabelHints{Limit: sel.Limit}, ms...)
		return values, err
	})
}

func (s *BlockStore) labels(ctx context.Context, id string, sel Select, ask func(storage.Querier, []*labels.Matcher) ([]string, error)) ([]string, error) {
	ms, err := ToMatchers(sel.Matchers)
	if err != nil {
		return nil, err
	}
	blocks, release, err := s.acquire(ctx, id, sel.Start, sel.End)
	defer release()
	if err != nil || len(blocks) == 0 {
		return nil, err
	}
	q, err := openQueriers(blocks, sel, tsdb.NewBlockQuerier, func(qs []storage.Querier) storage.Querier {
		return storage.NewMergeQuerier(qs, nil, storage.ChainedSeriesMerge)
	})
	if err != nil {
		return nil, err
	}
	found, err := ask(q, ms)
	found = cloneStrings(found) // they point into the mapped index
	slices.Sort(found)
	return found, s.checkRead(blocks, errors.Join(err, q.Close()))
}

// Exemplars implements Source: blocks hold none.
func (s *BlockStore) Exemplars(context.Context, string, int64, int64, [][]Matcher) ([]ExemplarSeries, error) {
	return nil, nil
}

// Metadata implements Source: blocks hold none.
func (s *BlockStore) Metadata(context.Context, string, string, int) (map[string][]metadata.Metadata, error) {
	return nil, nil
}
