package metrics

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	thanos "github.com/thanos-io/thanos/pkg/block/metadata"
	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/fault"
)

// Stores are those that share the blocks of a bucket, this one among them. Safe for concurrent use.
//
// Each block has owners: they alone keep its index header open, and the others ask one of them. All stores read the
// same bucket and can answer for any block, so views of who owns what may differ.
type Stores interface {
	// Owners returns the addresses of those that own a block; that of this one is "". There may be none.
	Owners(tenant string, block ulid.ULID) []string
	// SeriesOf and LabelsOf ask another store what BlockStore.SeriesOf and BlockStore.LabelsOf answer there.
	SeriesOf(ctx context.Context, address, tenant string, sel BlockSelect) ([]ChunkSeries, []ulid.ULID, error)
	LabelsOf(ctx context.Context, address, tenant, label string, sel BlockSelect) ([]string, []ulid.ULID, error)
}

// BlockSelect is a selection from blocks that are named.
type BlockSelect struct {
	Select
	Blocks []ulid.ULID
	// Deletions are those that have to do with the blocks, by their IDs, in order. One who knows of others doesn't
	// answer.
	Deletions []string
}

// question is one of A to blocks: to each, or to several of which another store answers. That says which.
type question[A any] struct {
	block func(ctx context.Context, b *blockReader) (A, error)
	other func(ctx context.Context, r *reading, address string, sel BlockSelect) (A, []ulid.ULID, error)
}

// elsewhere is a block that other stores own.
type elsewhere struct {
	meta   *thanos.Meta
	owners []string // that were not asked yet
}

// readShared asks the blocks of a selection: this store's own here, others where they are open. A block for which no
// owner answers is read here, too.
func readShared[A any](ctx context.Context, s *BlockStore, id string, sel Select, q question[A]) ([]A, error) {
	r := s.read(id)
	metas, err := s.chosen(ctx, id, sel)
	if err != nil {
		return nil, err
	}
	own, others := s.divide(id, metas)
	var here, there []A
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		here, _, err = readBlocks(gctx, r, own, q.block)
		return err
	})
	if len(others) > 0 { // Fast path: all are its own.
		g.Go(func() (err error) {
			there, err = readOthers(gctx, r, sel, others, q)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return append(here, there...), nil
}

// divide tells the blocks that are read here from those that others are asked for. Which of several owners is asked
// first changes from selection to selection, so that each of them has the block open.
func (s *BlockStore) divide(id string, metas []*thanos.Meta) (own []*thanos.Meta, others []*elsewhere) {
	if s.opts.Stores == nil {
		s.metrics.reads.WithLabelValues("here").Add(float64(len(metas)))
		return metas, nil
	}
	turn := rand.IntN(1 << 16)
	for _, m := range metas {
		owners := s.opts.Stores.Owners(id, m.ULID)
		if len(owners) == 0 || slices.Contains(owners, "") || s.isBad(blockKey{id, m.ULID}) {
			own = append(own, m)
			continue
		}
		first := turn % len(owners)
		others = append(others, &elsewhere{meta: m, owners: slices.Concat(owners[first:], owners[:first])})
	}
	s.metrics.reads.WithLabelValues("here").Add(float64(len(own)))
	return own, others
}

// readOthers asks owners of blocks until each has an answer or none of its owners is left.
func readOthers[A any](ctx context.Context, r *reading, sel Select, blocks []*elsewhere, q question[A]) (out []A, err error) {
	var orphans []*thanos.Meta
	for len(blocks) > 0 {
		byOwner := map[string][]*elsewhere{}
		for _, b := range blocks {
			if len(b.owners) == 0 {
				orphans = append(orphans, b.meta)
				continue
			}
			byOwner[b.owners[0]] = append(byOwner[b.owners[0]], b)
			b.owners = b.owners[1:]
		}
		blocks = nil
		var mu sync.Mutex
		g, gctx := errgroup.WithContext(ctx)
		for owner, asked := range byOwner {
			g.Go(func() error {
				a, left, err := askOwner(gctx, r, owner, sel, asked, q)
				mu.Lock()
				defer mu.Unlock()
				out, blocks = append(out, a), append(blocks, left...)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return nil, err
		}
	}
	if len(orphans) == 0 {
		return out, nil
	}
	r.store.metrics.reads.WithLabelValues("instead").Add(float64(len(orphans)))
	here, _, err := readBlocks(ctx, r, orphans, q.block)
	return append(out, here...), err
}

// askOwner asks one store, and returns the blocks that are still to be asked. It is no error that the store gives none.
func askOwner[A any](ctx context.Context, r *reading, owner string, sel Select, asked []*elsewhere, q question[A]) (none A, left []*elsewhere, err error) {
	want := BlockSelect{Select: sel}
	for _, b := range asked {
		want.Blocks = append(want.Blocks, b.meta.ULID)
	}
	want.Deletions = r.deletionsOf(metasOf(asked))
	a, answered, err := q.other(ctx, r, owner, want)
	there := setOf(answered)
	left = slices.DeleteFunc(slices.Clone(asked), func(b *elsewhere) bool { return there[b.meta.ULID] })
	if err == nil && len(asked)-len(left) != len(there) {
		err = errors.New("it answers for blocks that it was not asked for")
	}
	if ctx.Err() != nil {
		return none, nil, context.Cause(ctx)
	}
	if err != nil {
		if fault.ClassOf(err) == fault.Unprocessable {
			// What is too much for an owner is so for the next one, too. Here it will be said of what it is too much.
			for _, b := range asked {
				b.owners = nil
			}
		}
		r.store.logger.Debug("a store that owns blocks doesn't answer for them", "store", owner, "tenant", r.tenant, "blocks", len(asked), "err", err)
		return none, asked, nil
	}
	r.store.metrics.reads.WithLabelValues("there").Add(float64(len(there)))
	return a, left, nil
}

func setOf(blocks []ulid.ULID) map[ulid.ULID]bool {
	set := make(map[ulid.ULID]bool, len(blocks))
	for _, id := range blocks {
		set[id] = true
	}
	return set
}

func metasOf(list []*elsewhere) []*thanos.Meta {
	out := make([]*thanos.Meta, len(list))
	for i, b := range list {
		out[i] = b.meta
	}
	return out
}

// deletionsOf names the deletions that have to do with any of the blocks.
func (r *reading) deletionsOf(metas []*thanos.Meta) []string {
	if r.gone == nil {
		return nil
	}
	var ids []string
	for _, m := range metas {
		ids = append(ids, r.goneOf(m).IDs()...)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// SeriesOf answers for blocks to another store that shares the bucket, whoever owns them, and says for which. It leaves
// out those that it doesn't know (yet, or any more), and that are damaged for it.
func (s *BlockStore) SeriesOf(ctx context.Context, id string, sel BlockSelect) ([]ChunkSeries, []ulid.ULID, error) {
	q, err := s.seriesQuestion(id, sel.Select)
	if err != nil {
		return nil, nil, err
	}
	lists, answered, err := answer(ctx, s, id, sel, q)
	if err != nil {
		return nil, nil, err
	}
	return joinSeries(lists, sel.Select), answered, nil
}

// LabelsOf answers as SeriesOf does with names of labels, or with values of the one that is named.
func (s *BlockStore) LabelsOf(ctx context.Context, id, name string, sel BlockSelect) ([]string, []ulid.ULID, error) {
	q, err := s.labelsQuestion(id, name, sel.Select)
	if err != nil {
		return nil, nil, err
	}
	lists, answered, err := answer(ctx, s, id, sel, q)
	if err != nil {
		return nil, nil, err
	}
	return joinLabels(lists, sel.Select), answered, nil
}

// answer reads the blocks that another store asks for, if both know of the same deletions: samples that are gone for
// the one who asks must not come back by this way, nor those be missing that are there again.
func answer[A any](ctx context.Context, s *BlockStore, id string, sel BlockSelect, q question[A]) (out []A, answered []ulid.ULID, err error) {
	r := s.read(id)
	metas := s.named(id, sel.Blocks)
	if !slices.Equal(r.deletionsOf(metas), sel.Deletions) {
		return nil, nil, nil
	}
	all, whole, err := readBlocks(ctx, r, metas, q.block)
	if err != nil {
		return nil, nil, err
	}
	for i, m := range metas {
		if whole[i] {
			out, answered = append(out, all[i]), append(answered, m.ULID)
		}
	}
	s.metrics.reads.WithLabelValues("for_others").Add(float64(len(answered)))
	return out, answered, nil
}

// named returns those of the blocks that are known and good.
func (s *BlockStore) named(id string, blocks []ulid.ULID) (out []*thanos.Meta) {
	wanted := setOf(blocks)
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, m := range s.blocks[id] {
		if _, bad := s.bad[blockKey{id, m.ULID}]; wanted[m.ULID] && !bad {
			out = append(out, m)
		}
	}
	return out
}

// owns reports whether a block is this store's to keep open.
func (s *BlockStore) owns(key blockKey) bool {
	if s.opts.Stores == nil {
		return true
	}
	owners := s.opts.Stores.Owners(key.tenant, key.id)
	return len(owners) == 0 || slices.Contains(owners, "")
}

// settleTime is how long the index header of a block is kept after its last use when others own it: what a member that
// restarts loses is its again a moment later.
const settleTime = 10 * time.Minute

// closeOthers closes the index headers of blocks that others own and that were not read for a while.
func (s *BlockStore) closeOthers() {
	if s.opts.Stores == nil {
		return
	}
	for _, key := range s.cache.unusedSince(s.opts.Now().Add(-settleTime)) {
		if !s.owns(key) {
			s.cache.drop(key)
		}
	}
}

// owned counts the blocks that this store owns.
func (s *BlockStore) owned() (n int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for id, metas := range s.blocks {
		for _, m := range metas {
			if s.owns(blockKey{id, m.ULID}) {
				n++
			}
		}
	}
	return n
}
