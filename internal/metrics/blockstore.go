package metrics

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/block/metadata"
	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/tenant"
)

// BlockStoreOptions are what the program gives NewBlockStore.
type BlockStoreOptions struct {
	Dir    string // of the index headers
	Config StoreConfig
	Bucket objstore.Bucket // the root of the bucket
	Pages  RangeReader     // reads the bucket through a cache; nil: Bucket as it is
	// Deleted returns what of a tenant's samples is stored and must not be seen. Nil: nothing is.
	Deleted func(tenant string) *Deletions
	// Stores share the blocks of the bucket. Nil: this one has all.
	Stores     Stores
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time // nil: time.Now
}

// BlockStore answers from the TSDB blocks in the bucket. It learns of blocks by listing the bucket
// (Refresh) and reads of them the ranges that a query needs. On the local disk it keeps index headers,
// made when a block is first read, in a bounded cache. A block that is damaged is set aside with a reason
// and a warning in the answers; the others answer. Blocks that newer ones were made of are left out. It
// is safe for concurrent use.
//
// Where several stores share the bucket each knows of all blocks, and reads those that it owns; the owners of the
// others answer for them, see Stores.
type BlockStore struct {
	opts    BlockStoreOptions
	logger  *slog.Logger
	cache   *blockCache
	direct  RangeReader // without a cache
	metrics *storeMetrics

	refreshing sync.Mutex
	marks      map[blockKey]time.Time // since when blocks are marked for deletion; guarded by refreshing

	mu     sync.RWMutex
	blocks map[string][]*metadata.Meta // all that are there, by tenant, by start
	active map[string][]*metadata.Meta // those of blocks that queries read
	bad    map[blockKey]badBlock
}

type badBlock struct {
	reason string
	since  time.Time
}

type storeMetrics struct {
	refreshes       prometheus.Counter
	refreshFailures prometheus.Counter
	quarantined     prometheus.Counter
	reads           *prometheus.CounterVec
}

// BlockInfo describes one block for status pages.
type BlockInfo struct {
	Tenant string
	Meta   metadata.Meta
	Bad    string // why the block is set aside; empty for a good one
	Cached bool   // its index header is on the local disk
}

// NewBlockStore opens the cache. Call Refresh to learn of blocks.
func NewBlockStore(opts BlockStoreOptions) (*BlockStore, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	cache, err := openBlockCache(opts.Dir, int64(opts.Config.CacheSize), opts.Now, opts.Logger, opts.Registerer)
	if err != nil {
		return nil, err
	}
	direct := bucket.Ranger{Bucket: opts.Bucket}
	if opts.Pages == nil {
		opts.Pages = direct
	}
	f := promauto.With(opts.Registerer)
	s := &BlockStore{opts: opts, logger: opts.Logger, cache: cache, direct: direct,
		blocks: map[string][]*metadata.Meta{}, active: map[string][]*metadata.Meta{}, bad: map[blockKey]badBlock{}, marks: map[blockKey]time.Time{},
		metrics: &storeMetrics{
			refreshes: f.NewCounter(prometheus.CounterOpts{Name: "hune_metrics_store_refreshes_total",
				Help: "Listings of the bucket for metric blocks."}),
			refreshFailures: f.NewCounter(prometheus.CounterOpts{Name: "hune_metrics_store_refresh_failures_total",
				Help: "Listings of the bucket for metric blocks that failed."}),
			quarantined: f.NewCounter(prometheus.CounterOpts{Name: "hune_metrics_store_blocks_quarantined_total",
				Help: "Metric blocks set aside because they are damaged."}),
			reads: f.NewCounterVec(prometheus.CounterOpts{Name: "hune_metrics_store_block_reads_total",
				Help: "Metric blocks that selections read: here, there (by another store that owns them), instead (here, since no owner answered) and for_others (which asked)."}, []string{"where"}),
		}}
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "hune_metrics_store_blocks", Help: "Metric blocks known in the bucket."},
		func() float64 { return float64(s.count()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "hune_metrics_store_cache_bytes", Help: "Size of the index headers of metric blocks on the local disk."},
		func() float64 { return float64(s.cacheSize()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "hune_metrics_store_blocks_owned", Help: "Metric blocks that this store owns; all if it shares them with no other."},
		func() float64 { return float64(s.owned()) })
	return s, nil
}

func (s *BlockStore) count() (n int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, b := range s.blocks {
		n += len(b)
	}
	return n
}

func (s *BlockStore) cacheSize() int64 {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	return s.cache.size
}

// Refresh lists the bucket: afterwards the store answers from every block that was whole when it
// began. What is known stays when a tenant can't be listed.
func (s *BlockStore) Refresh(ctx context.Context) error {
	s.refreshing.Lock()
	defer s.refreshing.Unlock()
	s.metrics.refreshes.Inc()
	var tenants []string
	err := s.opts.Bucket.Iter(ctx, "", func(name string) error {
		if id := strings.TrimSuffix(name, "/"); id != name && tenant.Validate(id) == nil {
			tenants = append(tenants, id)
		}
		return nil
	})
	if err != nil {
		s.metrics.refreshFailures.Inc()
		return fmt.Errorf("list tenants: %w", err)
	}
	var errs []error
	for _, id := range tenants {
		if err := s.refreshTenant(ctx, id); err != nil {
			s.metrics.refreshFailures.Inc()
			errs = append(errs, fmt.Errorf("list metric blocks of tenant %s: %w", id, err))
		}
	}
	s.forgetTenants(tenants)
	s.closeOthers()
	return errors.Join(errs...)
}

func (s *BlockStore) refreshTenant(ctx context.Context, id string) error {
	bkt := tenantBucket(s.opts.Bucket, id)
	files, err := blockFilesIn(ctx, bkt)
	if err != nil {
		return err
	}
	ids := slices.SortedFunc(maps.Keys(files), ulid.ULID.Compare)
	known := map[ulid.ULID]*metadata.Meta{}
	s.mu.RLock()
	for _, m := range s.blocks[id] {
		known[m.ULID] = m
	}
	s.mu.RUnlock()
	metas, err := s.readMetas(ctx, bkt, id, ids, known)
	if err != nil {
		return err
	}
	slices.SortFunc(metas, func(a, b *metadata.Meta) int {
		return cmp.Or(cmp.Compare(a.MinTime, b.MinTime), a.ULID.Compare(b.ULID))
	})
	marked := s.readMarks(ctx, bkt, id, files)
	s.mu.Lock()
	s.blocks[id] = metas
	s.active[id] = current(slices.DeleteFunc(slices.Clone(metas), func(m *metadata.Meta) bool { return marked[m.ULID] }))
	for key := range s.bad {
		if key.tenant == id && files[key.id] == nil {
			delete(s.bad, key)
		}
	}
	s.mu.Unlock()
	for block := range known {
		if files[block] == nil {
			s.cache.drop(blockKey{id, block})
		}
	}
	return nil
}

// readMarks returns the blocks whose mark for deletion is so old that queries must do without them. A mark
// that can't be read marks nothing yet.
func (s *BlockStore) readMarks(ctx context.Context, bkt objstore.Bucket, id string, files map[ulid.ULID]map[string]bool) map[ulid.ULID]bool {
	old := map[ulid.ULID]bool{}
	for block, names := range files {
		key := blockKey{id, block}
		if !names[metadata.DeletionMarkFilename] {
			delete(s.marks, key)
			continue
		}
		since, known := s.marks[key]
		if !known {
			var err error
			if since, err = markedSince(ctx, bkt, block); err != nil {
				if !bkt.IsObjNotFoundErr(err) {
					s.logger.Warn("mark for deletion can't be read, the block is read on", "tenant", id, "block", block, "err", err)
				}
				continue
			}
			s.marks[key] = since
		}
		old[block] = s.opts.Now().Sub(since) >= time.Duration(s.opts.Config.IgnoreDeletionMarksDelay)
	}
	maps.DeleteFunc(s.marks, func(key blockKey, _ time.Time) bool { return key.tenant == id && files[key.id] == nil })
	return old
}

func (s *BlockStore) forgetTenants(present []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, metas := range s.blocks {
		if slices.Contains(present, id) {
			continue
		}
		for _, m := range metas {
			s.cache.drop(blockKey{id, m.ULID})
		}
		delete(s.blocks, id)
		delete(s.active, id)
	}
}

// metaReaders is how many meta.json are read at the same time.
const metaReaders = 16

// readMetas reads the meta.json of blocks that are new. Those without one, and damaged ones, are left out.
func (s *BlockStore) readMetas(ctx context.Context, bkt objstore.Bucket, id string, ids []ulid.ULID, known map[ulid.ULID]*metadata.Meta) ([]*metadata.Meta, error) {
	found := make([]*metadata.Meta, len(ids))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(metaReaders)
	for i, block := range ids {
		if m := known[block]; m != nil {
			found[i] = m
			continue
		}
		key := blockKey{id, block}
		if s.isBad(key) {
			continue
		}
		g.Go(func() error {
			meta, err := readMeta(gctx, bkt, block)
			switch {
			case err == nil:
				found[i] = meta
			case bkt.IsObjNotFoundErr(err): // being uploaded, or being deleted
			case errors.Is(err, errDamaged):
				s.quarantine(key, err)
			default:
				return fmt.Errorf("read meta.json of block %s: %w", block, err)
			}
			return nil
		})
	}
	err := g.Wait()
	return slices.DeleteFunc(found, func(m *metadata.Meta) bool { return m == nil }), err
}

func (s *BlockStore) isBad(key blockKey) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.bad[key]
	return ok
}

// quarantine sets a block aside until it is gone from the bucket or the store is restarted.
func (s *BlockStore) quarantine(key blockKey, cause error) {
	s.mu.Lock()
	_, known := s.bad[key]
	s.bad[key] = badBlock{reason: cause.Error(), since: s.opts.Now()}
	s.mu.Unlock()
	s.cache.drop(key)
	if !known {
		s.metrics.quarantined.Inc()
		s.logger.Error("metric block is damaged and was set aside", "tenant", key.tenant, "block", key.id, "err", cause)
	}
}

// Blocks lists the blocks that are known, good and bad, by tenant and start. An empty tenant means
// all tenants.
func (s *BlockStore) Blocks(tenant string) []BlockInfo {
	s.mu.RLock()
	var out []BlockInfo
	for id, metas := range s.blocks {
		for _, m := range metas {
			if tenant == "" || tenant == id {
				out = append(out, BlockInfo{Tenant: id, Meta: *m, Bad: s.bad[blockKey{id, m.ULID}].reason})
			}
		}
	}
	for key, b := range s.bad {
		listed := slices.ContainsFunc(s.blocks[key.tenant], func(m *metadata.Meta) bool { return m.ULID == key.id })
		if !listed && (tenant == "" || tenant == key.tenant) {
			info := BlockInfo{Tenant: key.tenant, Bad: b.reason}
			info.Meta.ULID = key.id
			out = append(out, info)
		}
	}
	s.mu.RUnlock()
	s.cache.mu.Lock()
	for i := range out {
		_, out[i].Cached = s.cache.entries[blockKey{out[i].Tenant, out[i].Meta.ULID}]
	}
	s.cache.mu.Unlock()
	slices.SortFunc(out, func(a, b BlockInfo) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Meta.MinTime, b.Meta.MinTime), a.Meta.ULID.Compare(b.Meta.ULID))
	})
	return out
}

// Close closes all index headers. No query may run any more.
func (s *BlockStore) Close() error { return s.cache.close() }
