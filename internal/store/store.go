// Package store is the store role: it knows every block in the bucket. Queriers ask it which blocks
// of logs and traces can matter for a range of time, and select metrics from it.
//
// The list is refreshed by polling, and at once when a role of the same process says so (Added,
// Refresh). A block without its meta file is still being uploaded or deleted and is not listed; one
// whose meta file can't be read is left out, counted and logged once, and the others are answered. So
// are blocks left out that a compactor has set aside, and those whose rows are in a newer block that
// was made of them.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/common/model"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/signal"
)

// Config is the user's settings of the store.
type Config struct {
	// PollInterval is how often the bucket is asked for new and deleted blocks. Default 1m.
	PollInterval model.Duration `yaml:"poll_interval"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return Config{PollInterval: model.Duration(time.Minute)} }

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	if c.PollInterval <= 0 {
		return fmt.Errorf("poll_interval: %s must be positive", c.PollInterval)
	}
	return nil
}

// Store is the role. Its metrics are those of metrics.BlockStore.
type Store struct {
	services.Service
	metrics.Source

	cfg    Config
	bucket objstore.Bucket
	series *metrics.BlockStore
	logger *slog.Logger

	deletes []Deletes

	mu         sync.RWMutex
	known      map[key][]block.Meta // all that are there, sorted by MinTime
	blocks     map[key][]block.Meta // those of known that readers should read
	refreshing bool
	added      []block.Meta // while refreshing: the bucket may have been listed before they were there

	refreshMu sync.Mutex
	bad       map[string]bool // directories already complained about
	seen      map[string]bool // those of them that the refresh under way has met

	count     *prometheus.GaugeVec
	badBlocks prometheus.Counter
	refreshes *prometheus.CounterVec
}

type key struct {
	tenant string
	signal signal.Signal
}

// Deletes are requests to delete, which live in the bucket as blocks do.
type Deletes interface {
	// Refresh reads the requests of all tenants that there are.
	Refresh(ctx context.Context, tenants []string) error
}

// Follow makes each refresh read requests to delete too, before the blocks: a request that is
// found to be carried out must not show the rows of blocks that are found to be gone only later. It is
// called before the store is used.
func (s *Store) Follow(d ...Deletes) { s.deletes = append(s.deletes, d...) }

// New returns a store over bucket; series serves the blocks of metrics.
func New(cfg Config, bucket objstore.Bucket, series *metrics.BlockStore, logger *slog.Logger, reg prometheus.Registerer) *Store {
	f := promauto.With(reg)
	s := &Store{Source: series, cfg: cfg, bucket: bucket, series: series, logger: logger,
		known: map[key][]block.Meta{}, blocks: map[key][]block.Meta{}, bad: map[string]bool{},
		count:     f.NewGaugeVec(prometheus.GaugeOpts{Name: "hune_store_blocks", Help: "Blocks of logs and traces known in the bucket."}, []string{"signal"}),
		badBlocks: f.NewCounter(prometheus.CounterOpts{Name: "hune_store_unreadable_blocks_total", Help: "Blocks left out because their meta file can't be read."}),
		refreshes: f.NewCounterVec(prometheus.CounterOpts{Name: "hune_store_refreshes_total", Help: "Times that the bucket was asked for its blocks."}, []string{"outcome"}),
	}
	s.Service = services.NewTimerService(time.Duration(cfg.PollInterval), s.start, s.poll, s.stop).WithName("store")
	return s
}

// start does not wait for the bucket to be listed when it can't be reached: recent data is answered
// meanwhile, and the poll goes on trying.
func (s *Store) start(ctx context.Context) error { return s.poll(ctx) }

func (s *Store) poll(ctx context.Context) error {
	if err := s.Refresh(ctx); err != nil && ctx.Err() == nil {
		s.logger.Error("listing blocks in the bucket failed, will be tried again", "err", err)
	}
	return nil
}

func (s *Store) stop(error) error { return s.series.Close() }

// Refresh asks the bucket for its blocks now.
func (s *Store) Refresh(ctx context.Context) error {
	s.refreshMu.Lock()
	defer s.refreshMu.Unlock()
	err := errors.Join(s.refresh(ctx), s.series.Refresh(ctx))
	if err != nil {
		s.refreshes.WithLabelValues("error").Inc()
		return err
	}
	s.refreshes.WithLabelValues("success").Inc()
	return nil
}

func (s *Store) refresh(ctx context.Context) error {
	s.mu.Lock()
	s.refreshing = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.refreshing, s.added = false, nil
	}()
	tenants, err := block.Tenants(ctx, s.bucket)
	if err != nil {
		return fmt.Errorf("list tenants: %w", err)
	}
	for _, d := range s.deletes {
		if err := d.Refresh(ctx, tenants); err != nil {
			return err
		}
	}
	s.seen = map[string]bool{}
	found, current := map[key][]block.Meta{}, map[key][]block.Meta{}
	counts := map[signal.Signal]int{signal.Logs: 0, signal.Traces: 0}
	for _, tenant := range tenants {
		for sig := range counts {
			metas, err := s.list(ctx, key{tenant, sig})
			if err != nil {
				return fmt.Errorf("list %s blocks of tenant %s: %w", sig, tenant, err)
			}
			if len(metas) > 0 {
				found[key{tenant, sig}], current[key{tenant, sig}] = metas, block.Current(metas)
			}
			counts[sig] += len(current[key{tenant, sig}])
		}
	}
	s.mu.Lock()
	s.known, s.blocks = found, current
	for _, m := range s.added {
		s.insert(m)
	}
	s.mu.Unlock()
	s.bad = s.seen // without those that were deleted or repaired
	for sig, n := range counts {
		s.count.WithLabelValues(string(sig)).Set(float64(n))
	}
	return nil
}

// list reads the meta files of blocks that are new since the last time.
func (s *Store) list(ctx context.Context, k key) ([]block.Meta, error) {
	ids, _, err := block.Catalog(ctx, s.bucket, k.tenant, k.signal)
	if err != nil {
		return nil, err
	}
	known := map[ulid.ULID]block.Meta{}
	s.mu.RLock()
	for _, m := range s.known[k] {
		known[m.ULID] = m
	}
	s.mu.RUnlock()
	var metas []block.Meta
	for _, id := range ids {
		if m, ok := known[id]; ok {
			metas = append(metas, m)
			continue
		}
		m, err := block.ReadMeta(ctx, s.bucket, k.tenant, k.signal, id)
		switch {
		case err == nil:
			metas = append(metas, *m)
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, block.ErrPartial):
			// Deleted between the two calls, or its upload is not finished.
		case block.IsCorruption(err):
			s.complain(block.Dir(k.tenant, k.signal, id), err)
		default:
			return nil, err
		}
	}
	sortMetas(metas)
	return metas, nil
}

func (s *Store) complain(dir string, err error) {
	s.seen[dir] = true
	if s.bad[dir] {
		return
	}
	s.bad[dir] = true
	s.badBlocks.Inc()
	s.logger.Error("block left out: its meta file can't be read", "block", dir, "err", err)
}

func sortMetas(metas []block.Meta) {
	slices.SortFunc(metas, func(a, b block.Meta) int {
		switch {
		case a.MinTime != b.MinTime:
			if a.MinTime < b.MinTime {
				return -1
			}
			return 1
		default:
			return a.ULID.Compare(b.ULID)
		}
	})
}

// Added tells the store of a block that is in the bucket now, ahead of the next poll. It never waits
// for the bucket: a list of blocks that takes long must not hold up the uploads.
func (s *Store) Added(m block.Meta) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refreshing {
		s.added = append(s.added, m)
	}
	s.insert(m)
}

// insert adds m to the list unless it is there. s.mu must be held.
func (s *Store) insert(m block.Meta) {
	k := key{m.Tenant, m.Signal}
	if slices.ContainsFunc(s.known[k], func(other block.Meta) bool { return other.ULID == m.ULID }) {
		return
	}
	// A new slice: readers may hold the old one.
	metas := append(slices.Clone(s.known[k]), m)
	sortMetas(metas)
	s.known[k], s.blocks[k] = metas, block.Current(metas)
}

// Blocks returns the blocks of a signal (logs or traces) that have rows in [start, end] in Unix
// nanoseconds, oldest first. Both zero: all of them.
func (s *Store) Blocks(_ context.Context, tenant string, sig signal.Signal, start, end int64) ([]block.Meta, error) {
	s.mu.RLock()
	metas := s.blocks[key{tenant, sig}]
	s.mu.RUnlock()
	if start == 0 && end == 0 {
		return slices.Clone(metas), nil
	}
	var out []block.Meta
	for _, m := range metas {
		if m.MinTime > end {
			break
		}
		if m.MaxTime >= start {
			out = append(out, m)
		}
	}
	return out, nil
}
