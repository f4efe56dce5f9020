package querier

import (
	"context"
	"fmt"
	"math"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/oklog/ulid/v2"
	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/traces"
)

// openConcurrency is how many blocks of one query are opened at once.
const openConcurrency = 16

// parts keeps the indexes of recently used blocks open. P is the signal's searchable part.
type parts[P any] struct {
	opener BlockOpener
	open   func(ctx context.Context, r *block.Reader) (P, error)
	cache  *lru.Cache[ulid.ULID, P]
}

func newParts[P any](size int, opener BlockOpener, open func(context.Context, *block.Reader) (P, error)) *parts[P] {
	cache, err := lru.New[ulid.ULID, P](size)
	if err != nil {
		panic(fmt.Sprintf("querier: a cache of %d blocks passed Config.Validate: %v", size, err))
	}
	return &parts[P]{opener: opener, open: open, cache: cache}
}

func (p *parts[P]) get(ctx context.Context, m block.Meta) (P, error) {
	if part, ok := p.cache.Get(m.ULID); ok {
		return part, nil
	}
	var none P
	r, err := p.opener.Open(ctx, m)
	if err != nil {
		return none, err
	}
	part, err := p.open(ctx, r)
	if err != nil {
		return none, err
	}
	p.cache.Add(m.ULID, part)
	return part, nil
}

// all opens the blocks side by side and returns them in the order of metas. A block that is gone was
// deleted since the store listed it: it is left out.
func (p *parts[P]) all(ctx context.Context, metas []block.Meta) ([]P, error) {
	out := make([]P, len(metas))
	there := make([]bool, len(metas))
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(openConcurrency)
	for i, m := range metas {
		g.Go(func() error {
			part, err := p.get(ctx, m)
			if err != nil && p.opener.IsGone(err) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("open block %s: %w", m.ULID, err)
			}
			mu.Lock()
			defer mu.Unlock()
			out[i], there[i] = part, true
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	n := 0
	for i := range out {
		if there[i] {
			out[n] = out[i]
			n++
		}
	}
	return out[:n], nil
}

func (q *Querier) logsSource() logs.Source {
	blocks := newParts(q.opts.Config.MaxOpenBlocks, q.opts.Blocks, func(ctx context.Context, r *block.Reader) (logs.Part, error) {
		return logs.OpenBlock(ctx, r)
	})
	return logs.NewSource(func(ctx context.Context, tenant string, start, end int64) ([]logs.Part, error) {
		metas, err := q.opts.Store.Blocks(ctx, tenant, signal.Logs, start, end)
		if err != nil {
			return nil, fmt.Errorf("list blocks of logs: %w", err)
		}
		found, err := blocks.all(ctx, metas)
		if err != nil {
			return nil, err
		}
		return append(found, logs.NewRemotePart(q.opts.Ingester.LogsExcept(contents(metas)), tenant, math.MinInt64, math.MaxInt64)), nil
	})
}

func (q *Querier) tracesSource() traces.Source {
	blocks := newParts(q.opts.Config.MaxOpenBlocks, q.opts.Blocks, func(ctx context.Context, r *block.Reader) (traces.Part, error) {
		return traces.OpenBlock(ctx, r)
	})
	return traces.NewSource(func(ctx context.Context, tenant string, start, end uint64) ([]traces.Part, error) {
		metas, err := q.opts.Store.Blocks(ctx, tenant, signal.Traces, nanos(start), nanos(end))
		if err != nil {
			return nil, fmt.Errorf("list blocks of traces: %w", err)
		}
		found, err := blocks.all(ctx, metas)
		if err != nil {
			return nil, err
		}
		return append(found, traces.PartOf(q.opts.Ingester.TracesExcept(contents(metas)), tenant)), nil
	})
}

// contents are the blocks whose rows are in the given ones: themselves and what they were merged from.
func contents(metas []block.Meta) []ulid.ULID {
	out := make([]ulid.ULID, 0, len(metas))
	for i := range metas {
		out = append(append(out, metas[i].ULID), metas[i].Sources...)
	}
	return out
}

// nanos converts an OTLP time, which is unsigned, to the signed one of block metas.
func nanos(t uint64) int64 { return int64(min(t, math.MaxInt64)) }
