package metrics

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"path"
	"slices"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/thanos-io/objstore"
	thanos "github.com/thanos-io/thanos/pkg/block/metadata"
	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/fault"
)

var _ Source = (*BlockStore)(nil)

// blocksAtOnce is how many blocks one query reads at the same time.
const blocksAtOnce = 4

// chosen returns the tenant's blocks to read for a selection. What blocks say of their origin is what they have
// for external labels.
func (s *BlockStore) chosen(ctx context.Context, id string, sel Select) ([]*thanos.Meta, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(sel.Stores) == 0 {
		return chooseResolution(s.active[id], sel.Start, sel.End, sel.MaxResolution), nil
	}
	var wanted []*thanos.Meta
	for _, m := range s.active[id] {
		ok, err := StoreWanted(ctx, sel.Stores, BucketAddress, labels.FromMap(m.Thanos.Labels))
		if err != nil {
			return nil, err
		}
		if ok {
			wanted = append(wanted, m)
		}
	}
	return chooseResolution(wanted, sel.Start, sel.End, sel.MaxResolution), nil
}

// reading is a selection from blocks of a tenant under way.
type reading struct {
	store  *BlockStore
	tenant string
	gone   *Deletions // of the tenant's samples
	limits *selectLimits
}

// read begins a selection. It comes before the list of blocks: a request to delete that is carried out between the
// two still hides the samples of blocks that are listed no more, and not the other way round.
func (s *BlockStore) read(id string) *reading {
	r := &reading{store: s, tenant: id, limits: &selectLimits{series: s.opts.Config.MaxSeries, maxBytes: int64(s.opts.Config.MaxBytes)}}
	if s.opts.Deleted != nil {
		r.gone = s.opts.Deleted(id)
	}
	return r
}

// goneOf returns what may be deleted of a block.
func (r *reading) goneOf(m *thanos.Meta) *Deletions {
	return r.gone.Overlapping(m.MinTime-m.Thanos.Downsample.Resolution, m.MaxTime)
}

// readBlocks lets ask look at each block, several at a time, and returns the answers in the order of blocks, and which
// of them answered. Those that are damaged are left out with a warning, those that are gone without.
func readBlocks[A any](ctx context.Context, r *reading, metas []*thanos.Meta, ask func(context.Context, *blockReader) (A, error)) (out []A, whole []bool, err error) {
	s := r.store
	out, whole = make([]A, len(metas)), make([]bool, len(metas))
	bkt := tenantBucket(s.opts.Bucket, r.tenant)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(blocksAtOnce)
	for i, m := range metas {
		key := blockKey{r.tenant, m.ULID}
		ask := func(ctx context.Context, b *blockReader) (A, error) {
			b.external, b.gone, b.resolution = externalOf(m, r.tenant), r.goneOf(m), m.Thanos.Downsample.Resolution
			return ask(ctx, b)
		}
		if s.isBad(key) {
			addWarning(ctx, fmt.Errorf("block %s is damaged and left out of the answer", m.ULID))
			continue
		}
		g.Go(func() (err error) {
			out[i], err = readBlock(gctx, s, bkt, key, r.limits, ask)
			if errors.Is(err, errDamaged) {
				out[i], err = readAgain(gctx, s, bkt, key, r.limits, ask)
			}
			if errors.Is(err, errDamaged) {
				return s.complain(gctx, bkt, key, err)
			}
			whole[i] = err == nil
			return err
		})
	}
	err = g.Wait()
	if err != nil && fault.ClassOf(err) == fault.Internal && !isContextError(err) {
		err = fault.New(fault.Unavailable, err)
	}
	return out, whole, err
}

// readBlock asks one block.
func readBlock[A any](ctx context.Context, s *BlockStore, bkt objstore.Bucket, key blockKey, limits *selectLimits, ask func(context.Context, *blockReader) (A, error)) (none A, err error) {
	e, err := s.cache.acquire(ctx, bkt, key.tenant, key.id)
	if err != nil {
		return none, err
	}
	defer s.cache.release(e)
	a, err := ask(ctx, &blockReader{dir: key.object(), read: s.opts.Pages, header: e.header, limits: limits})
	if err != nil {
		return none, fmt.Errorf("read metric block %s: %w", key.id, err)
	}
	return a, nil
}

// readAgain asks a block that seems to be damaged once more, with nothing from any cache: it may be the
// copy that is bad.
func readAgain[A any](ctx context.Context, s *BlockStore, bkt objstore.Bucket, key blockKey, limits *selectLimits, ask func(context.Context, *blockReader) (A, error)) (none A, err error) {
	header, err := s.cache.freshHeader(ctx, bkt, key)
	if err != nil {
		return none, err
	}
	a, err := ask(ctx, &blockReader{dir: key.object(), read: s.direct, header: header, limits: limits})
	if err = errors.Join(err, header.Close()); err != nil {
		return none, fmt.Errorf("read metric block %s: %w", key.id, err)
	}
	s.cache.drop(key)
	s.logger.Warn("the cached copy of a metric block was damaged", "tenant", key.tenant, "block", key.id)
	return a, nil
}

// complain sets a damaged block aside, unless it has been deleted meanwhile: the next refresh takes it
// off the list then.
func (s *BlockStore) complain(ctx context.Context, bkt objstore.Bucket, key blockKey, cause error) error {
	if ok, err := bkt.Exists(ctx, key.id.String()+"/"+thanos.MetaFilename); err == nil && !ok {
		return nil
	}
	s.quarantine(key, cause)
	addWarning(ctx, fmt.Errorf("block %s is damaged and left out of the answer", key.id))
	return nil
}

// object is the block's name from the root of the bucket.
func (k blockKey) object() string { return path.Join(k.tenant, "metrics", k.id.String()) }

// SelectSeries implements Source.
func (s *BlockStore) SelectSeries(ctx context.Context, id string, sel Select) iter.Seq2[*ChunkSeries, error] {
	return func(yield func(*ChunkSeries, error) bool) {
		found, err := s.selectSeries(ctx, id, sel)
		if err != nil {
			yield(nil, err)
			return
		}
		for i := range found {
			found[i].Stable = true
			if !yield(&found[i], nil) {
				return
			}
		}
	}
}

// selectSeries reads all of the answer before the first series is passed on, so that a block that turns
// out to be damaged is left out as a whole.
func (s *BlockStore) selectSeries(ctx context.Context, id string, sel Select) ([]ChunkSeries, error) {
	q, err := s.seriesQuestion(id, sel)
	if err != nil {
		return nil, err
	}
	lists, err := readShared(ctx, s, id, sel, q)
	if err != nil {
		return nil, err
	}
	return joinSeries(lists, sel), nil
}

func joinSeries(lists [][]ChunkSeries, sel Select) []ChunkSeries {
	merged := mergeSeries(lists)
	if sel.Limit > 0 && len(merged) > sel.Limit {
		merged = merged[:sel.Limit]
	}
	return merged
}

// seriesQuestion asks for series.
func (s *BlockStore) seriesQuestion(id string, sel Select) (q question[[]ChunkSeries], err error) {
	matchers, err := ToMatchers(sel.Matchers)
	if err != nil {
		return q, err
	}
	q.block = func(ctx context.Context, b *blockReader) ([]ChunkSeries, error) {
		return b.selectSeries(ctx, matchers, sel)
	}
	q.other = func(ctx context.Context, r *reading, address string, sel BlockSelect) ([]ChunkSeries, []ulid.ULID, error) {
		found, answered, err := s.opts.Stores.SeriesOf(ctx, address, id, sel)
		if err != nil {
			return nil, nil, err
		}
		return found, answered, r.limits.spend(chunkBytes(found))
	}
	return q, nil
}

func chunkBytes(list []ChunkSeries) (n int64) {
	for i := range list {
		for _, c := range list[i].Chunks {
			n += int64(len(c.Data))
		}
	}
	return n
}

// LabelNames implements Source.
func (s *BlockStore) LabelNames(ctx context.Context, id string, sel Select) ([]string, error) {
	return s.labels(ctx, id, "", sel)
}

// LabelValues implements Source.
func (s *BlockStore) LabelValues(ctx context.Context, id, name string, sel Select) ([]string, error) {
	return s.labels(ctx, id, name, sel)
}

// labels answers questions about labels: their names, or the values of the one that is named.
func (s *BlockStore) labels(ctx context.Context, id, name string, sel Select) ([]string, error) {
	q, err := s.labelsQuestion(id, name, sel)
	if err != nil {
		return nil, err
	}
	lists, err := readShared(ctx, s, id, sel, q)
	if err != nil {
		return nil, err
	}
	return joinLabels(lists, sel), nil
}

func joinLabels(lists [][]string, sel Select) []string {
	found := slices.Concat(lists...)
	slices.Sort(found)
	found = slices.Compact(found)
	if sel.Limit > 0 && len(found) > sel.Limit {
		found = found[:sel.Limit]
	}
	return found
}

// labelsQuestion asks for names of labels, or values of the one that is named: a block answers from the table of
// postings alone without matchers, otherwise from the labels of the series that match.
func (s *BlockStore) labelsQuestion(id, name string, sel Select) (q question[[]string], err error) {
	matchers := sel.Matchers
	all, answer := (*blockReader).allNames, labelQuestion.names
	of := func(ls labels.Labels, add func(string)) { ls.Range(func(l labels.Label) { add(l.Name) }) }
	if name != "" {
		all = func(b *blockReader, ctx context.Context) ([]string, error) { return b.allValues(ctx, name) }
		answer = func(q labelQuestion) ([]string, error) { return q.values(name) }
		of = func(ls labels.Labels, add func(string)) {
			if v := ls.Get(name); v != "" {
				add(v)
			}
		}
		if len(matchers) > 0 {
			matchers = append(slices.Clone(matchers), Matcher{Type: labels.MatchNotEqual, Name: name})
		}
	}
	ms, err := ToMatchers(matchers)
	if err != nil {
		return q, err
	}
	q.block = func(ctx context.Context, b *blockReader) ([]string, error) {
		whole := *b
		whole.gone = nil
		return answer(labelQuestion{gone: b.gone, matchers: ms,
			all: func(ms []*labels.Matcher) ([]string, error) {
				if len(ms) == 0 {
					return all(&whole, ctx)
				}
				return whole.labelsOf(ctx, ms, sel, of)
			},
			left: func(ms []*labels.Matcher, limit int, yield func(labels.Labels) bool) error {
				found, err := b.series(ctx, ms, Select{Start: sel.Start, End: sel.End, Limit: limit})
				for i := range found {
					if !yield(found[i].labels) {
						break
					}
				}
				return err
			}})
	}
	q.other = func(ctx context.Context, _ *reading, address string, sel BlockSelect) ([]string, []ulid.ULID, error) {
		return s.opts.Stores.LabelsOf(ctx, address, id, name, sel)
	}
	return q, nil
}

// labelsOf collects what of finds in the labels of the series that match.
func (b *blockReader) labelsOf(ctx context.Context, ms []*labels.Matcher, sel Select, of func(labels.Labels, func(string))) ([]string, error) {
	found, err := b.series(ctx, ms, Select{Start: sel.Start, End: sel.End}) // the limit is about labels, not series
	if err != nil {
		return nil, err
	}
	set := map[string]struct{}{}
	for _, f := range found {
		of(f.labels, func(v string) { set[v] = struct{}{} })
	}
	return slices.Collect(maps.Keys(set)), nil
}

// Exemplars implements Source: blocks hold none.
func (s *BlockStore) Exemplars(context.Context, string, int64, int64, [][]Matcher) ([]ExemplarSeries, error) {
	return nil, nil
}

// Metadata implements Source: blocks hold none.
func (s *BlockStore) Metadata(context.Context, string, string, int) (map[string][]metadata.Metadata, error) {
	return nil, nil
}
