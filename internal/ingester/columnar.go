package ingester

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/wal"
)

// head is what the ingester asks of a signal's in-memory head. B is the signal's batch, P its
// searchable part, R what an append says of the rows.
type head[B, P, R any] interface {
	// Append adds a batch that is already in the log. Rows that the head refuses are in the result, for
	// the sender to know; an error means that the batch can't be read.
	Append(b *B) (R, error)
	// Replay adds a batch that was in the log before a restart, and reports whether it took all of it.
	Replay(b *B) (whole bool, err error)
	// Unsealed is how many parts of the head wait to be brought into their final form, and Seal brings
	// them into it. Appends go on meanwhile. A head that has no such form answers 0.
	Unsealed() int
	Seal(ctx context.Context) error
	// Size is the memory held, in bytes. Rows is how many rows (entries, spans) there are.
	Size() int64
	Rows() int
	// WriteBlock writes the block's data file into dir, synced, and fills in meta. The head is frozen by
	// then.
	WriteBlock(ctx context.Context, dir string, meta *block.Meta) error
	Part() P
}

// kind is a signal as the ingester sees it.
type kind[B, P, R any] struct {
	signal    signal.Signal
	newHead   func(tenant string) head[B, P, R]
	encode    func(dst []byte, tenant string, b *B) []byte
	decode    func(rec []byte) (tenant string, b *B, err error)
	openBlock func(ctx context.Context, r *block.Reader) (P, error)
}

// columnar keeps the recent rows of one signal for all tenants: a write-ahead log for all, a head
// for each tenant, and the blocks that were cut from heads but are not yet safe in the bucket.
//
// A row's way: log (synced) → head → frozen head → local block (synced) → bucket (verified) →
// forgotten here. It is answered from exactly one of these places at any time, and the log is
// truncated only behind rows that reached a local block.
type columnar[B, P, R any] struct {
	kind   kind[B, P, R]
	cfg    HeadConfig
	opts   Options
	logger *slog.Logger
	wal    *wal.WAL
	dir    string // of pending blocks

	segment atomic.Int64 // the newest segment that a cut has opened
	floor   atomic.Int64 // segments below were truncated in this run
	records sync.Pool    // *[]byte, for encoding

	mu      sync.Mutex
	tenants map[string]*tenantState[B, P, R]

	// shipped is told of each block that reached the bucket, before the ingester forgets it.
	shipped func(ctx context.Context, m block.Meta)

	gate    *gate
	cutMu   sync.Mutex   // one cut at a time, so that memory for building blocks is bounded
	shipMu  sync.Mutex   // one round of uploads at a time
	pending atomic.Int64 // bytes of local blocks
	metrics *columnarMetrics
}

// tenantState is one tenant's rows.
type tenantState[B, P, R any] struct {
	tenant string

	// writes is shared by writers, which hold it from the log to the head, and excludes them while a
	// cut swaps the head: so every record in a segment before the cut is in the frozen head. It is held while
	// the log is synced. Whoever takes both takes it before mu.
	writes sync.RWMutex

	// mu guards what follows, and is held for moments only: a query must not wait for a disk that writers wait
	// for. A writer may read head without it.
	mu     sync.RWMutex
	head   head[B, P, R]
	first  atomic.Int64 // 1 + the segment from which a replay would rebuild head; 0 while it is empty
	since  atomic.Int64 // Unix nanoseconds of the first append, 0 while it is empty
	frozen []*generation[B, P, R]
}

// generation is a head on its way to the bucket. Its fields are guarded by tenantState.mu.
type generation[B, P, R any] struct {
	id     ulid.ULID
	head   head[B, P, R] // until the local block is open
	part   P
	first  int64   // like tenantState.first, 0 once the local block is written
	since  int64   // like tenantState.since; 0 if a restart has forgotten it
	cut    cutInfo // which rows of this tenant in the log are in this block or an older one
	dir    string
	size   int64     // of the local block, in bytes
	sent   bool      // verified in the bucket
	sentAt time.Time // when
}

func openColumnar[B, P, R any](ctx context.Context, k kind[B, P, R], cfg HeadConfig, opts Options, m *columnarMetrics) (*columnar[B, P, R], error) {
	root := filepath.Join(opts.Dir, string(k.signal))
	c := &columnar[B, P, R]{
		kind: k, cfg: cfg, opts: opts, dir: filepath.Join(root, "pending"), metrics: m,
		logger: opts.Logger.With("signal", k.signal), tenants: map[string]*tenantState[B, P, R]{},
		records: sync.Pool{New: func() any { return new([]byte) }},
		shipped: opts.OnShipped, gate: newGate(),
	}
	walOpts := opts.WAL.Options()
	walOpts.Logger = c.logger
	walOpts.Registerer = prometheus.WrapRegistererWith(prometheus.Labels{"signal": string(k.signal)}, opts.Registerer)
	log, err := wal.Open(filepath.Join(root, "wal"), walOpts)
	if err != nil {
		return nil, fmt.Errorf("open write-ahead log of %s: %w", k.signal, err)
	}
	c.wal = log
	if err := c.recover(ctx); err != nil {
		_ = log.Close()
		return nil, err
	}
	return c, nil
}

// push logs b, waits until the log is synced, and makes it searchable.
func (c *columnar[B, P, R]) push(ctx context.Context, tenant string, b *B) (R, error) {
	var none R
	t := c.tenant(tenant)
	rec := c.records.Get().(*[]byte)
	*rec = c.kind.encode((*rec)[:0], tenant, b)
	defer func() {
		if cap(*rec) <= maxPooledRecord {
			c.records.Put(rec)
		}
	}()

	if err := c.admit(ctx, t); err != nil {
		return none, err
	}
	t.writes.RLock()
	defer t.writes.RUnlock()
	// Before the append: the record may land in this segment or a later one, never an earlier.
	t.first.CompareAndSwap(0, 1+c.segment.Load())
	if err := c.wal.Append(ctx, *rec); err != nil {
		return none, fmt.Errorf("write-ahead log of %s: %w", c.kind.signal, err)
	}
	t.since.CompareAndSwap(0, c.opts.Now().UnixNano())
	if t.head.Size() >= int64(c.cfg.MaxHeadBytes) {
		c.gate.full()
	}
	r, err := t.head.Append(b)
	if t.head.Unsealed() > 0 {
		c.gate.unsealed()
	}
	return r, err
}

// maxPooledRecord keeps one huge batch from pinning its buffer.
const maxPooledRecord = 8 << 20

func (c *columnar[B, P, R]) tenant(id string) *tenantState[B, P, R] {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tenants[id]
	if t == nil {
		t = &tenantState[B, P, R]{tenant: id, head: c.kind.newHead(id)}
		c.tenants[id] = t
	}
	return t
}

func (c *columnar[B, P, R]) lookup(id string) *tenantState[B, P, R] {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tenants[id]
}

func (c *columnar[B, P, R]) all() []*tenantState[B, P, R] {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]*tenantState[B, P, R], 0, len(c.tenants))
	for _, t := range c.tenants {
		out = append(out, t)
	}
	return out
}

// parts returns what there is of a tenant: its head and the blocks that stores may not know yet, apart
// from those in except.
func (c *columnar[B, P, R]) parts(tenant string, except ...ulid.ULID) []P {
	t := c.lookup(tenant)
	if t == nil {
		return nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make([]P, 0, len(t.frozen)+1)
	for _, g := range t.frozen {
		if !slices.Contains(except, g.id) {
			out = append(out, g.part)
		}
	}
	if t.head.Rows() > 0 {
		out = append(out, t.head.Part())
	}
	return out
}

// close stops the log. Heads are not cut: a restart replays them.
func (c *columnar[B, P, R]) close() error {
	return c.wal.Close()
}

// bucket is a short name for the destination of blocks.
func (c *columnar[B, P, R]) bucket() objstore.Bucket { return c.opts.Bucket }
