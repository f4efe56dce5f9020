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

// directoryCacheBytes is what all open blocks of logs together keep of the directories of their pages: those
// of a few thousand pages, 4 MiB of lines each.
const directoryCacheBytes = 128 << 20

// logsSource opens a block only once a question can have an answer in it.
func (q *Querier) logsSource() logs.Source {
	directories := logs.NewDirectoryCache(directoryCacheBytes)
	blocks := newParts(q.opts.Config.MaxOpenBlocks, q.opts.Blocks, func(ctx context.Context, r *block.Reader) (*logs.Block, error) {
		b, err := logs.OpenBlockWith(ctx, r, directories)
		// What Open fetched is in the page cache, which knows better than hundreds of open blocks how long
		// to keep it.
		r.DropSuffix()
		return b, err
	})
	return logs.NewSource(func(ctx context.Context, tenant string, start, end int64) ([]logs.Part, error) {
		// Before the blocks: a request to delete that is carried out between the two still hides the rows
		// of blocks that are listed no more, and not the other way round.
		deleted := q.deleted(tenant).Overlapping(start, end)
		metas, err := q.opts.Store.Blocks(ctx, tenant, signal.Logs, start, end)
		if err != nil {
			return nil, fmt.Errorf("list blocks of logs: %w", err)
		}
		found := make([]logs.Part, len(metas), len(metas)+1)
		for i := range metas {
			found[i] = lazyLogs(blocks, &metas[i])
		}
		found = append(found, logs.NewRemotePart(q.opts.Ingester.LogsExcept(contents(metas)), tenant, math.MinInt64, math.MaxInt64))
		return withoutDeleted(deleted, found), nil
	})
}

// deleted returns the rows of the tenant that must not be seen; nil if there are none.
func (q *Querier) deleted(tenant string) *logs.Deletions {
	if q.opts.Deleted == nil {
		return nil
	}
	return q.opts.Deleted(tenant)
}

// withoutDeleted makes parts answer without deleted rows.
func withoutDeleted(deleted *logs.Deletions, parts []logs.Part) []logs.Part {
	if deleted == nil {
		return parts
	}
	for i, p := range parts {
		parts[i] = logs.WithoutDeleted(p, deleted)
	}
	return parts
}

// lazyLogs makes a part of a block of logs that is opened when it is needed.
func lazyLogs(blocks *parts[*logs.Block], m *block.Meta) logs.Part {
	// A summary that can't be read is as good as none: the block answers for itself.
	summary, _ := logs.ParseSummary(m.Summary)
	return logs.NewLazyPart(logs.LazyBlock{
		Oldest: m.MinTime, Newest: m.MaxTime, Summary: summary,
		Open: func(ctx context.Context) (*logs.Block, error) {
			b, err := blocks.get(ctx, *m)
			if err != nil && blocks.opener.IsGone(err) {
				return nil, nil
			}
			if err != nil {
				return nil, fmt.Errorf("open block %s: %w", m.ULID, err)
			}
			return b, nil
		},
		LookupID: func(ctx context.Context, f block.IDFilter, h block.IDHash) (block.IDPages, error) {
			pages, err := f.Lookup(ctx, blocks.opener.Ranges(), m.DataPath(), m.Data.Size, h)
			if err != nil && blocks.opener.IsGone(err) {
				return block.IDPages{}, nil
			}
			return pages, err
		},
	})
}

// groupCacheBytes is what all open blocks of traces together keep decoded of their row groups, of 32,000 spans each:
// the directories, and of some nine million spans where they are in their traces, their classes, and about how long they are.
const groupCacheBytes = 128 << 20

func (q *Querier) tracesSource() traces.Source {
	groups := traces.NewGroupCache(groupCacheBytes)
	blocks := newParts(q.opts.Config.MaxOpenBlocks, q.opts.Blocks, func(ctx context.Context, r *block.Reader) (traces.Part, error) {
		return traces.OpenBlockWith(ctx, r, groups)
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
