package compactor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/deletes"
	"github.com/hune-io/hune/internal/logs"
)

// settleAge is after how long a request to delete is taken to concern no row outside of the bucket, in
// a process that can't ask the ingesters: much longer than they keep rows.
const settleAge = 2 * time.Hour

// dirty returns the current blocks that are to be written anew even alone, by what is says of one; a damaged one, and
// one that a query found damaged, counts as such, so that a job makes sure of it.
func (c *Compactor) dirty(ctx context.Context, t *tenantBlocks, is func(context.Context, *block.Meta) (bool, error)) (map[ulid.ULID]bool, error) {
	suspects := c.takeSuspects(t.shelf)
	out := map[ulid.ULID]bool{}
	var errs []error
	for i := range t.current {
		m := &t.current[i]
		if c.unusable[m.ULID] {
			continue
		}
		if suspects[m.DataPath()] {
			out[m.ULID] = true
			continue
		}
		dirty, err := is(ctx, m)
		switch {
		case err == nil:
			out[m.ULID] = dirty
		case block.IsCorruption(err):
			out[m.ULID] = true
		case ctx.Err() != nil:
			return out, context.Cause(ctx)
		case errors.Is(err, block.ErrVersion):
			c.unusable[m.ULID] = true
			fallthrough
		default:
			errs = append(errs, fmt.Errorf("look for what must go in block %s of %s: %w", m.ULID, t.signal, err))
		}
	}
	return out, errors.Join(errs...)
}

// dirtyLogs returns what tells whether a block holds rows which must go. It looks at a block once for each request
// and each retention, and again after a restart.
func (c *Compactor) dirtyLogs(tenant string) func(context.Context, *block.Meta) (bool, error) {
	var active *logs.Deletions
	if c.opts.Deletes != nil {
		active = c.opts.Deletes.Active(tenant)
	}
	retention := c.retention(tenant)
	return func(ctx context.Context, m *block.Meta) (bool, error) { return c.isDirty(ctx, m, active, retention) }
}

func (c *Compactor) isDirty(ctx context.Context, m *block.Meta, active *logs.Deletions, retention *logs.Retention) (bool, error) {
	known := c.clean[m.ULID]
	ask := active.Overlapping(m.MinTime, m.MaxTime).Without(func(id string) bool { return known[id] })
	expires, timed := c.expires[m.ULID]
	if timed = timed && expires.of == retention || retention.Uniform(); timed && ask == nil {
		return c.expired(m, retention), nil
	}
	b, err := c.open(ctx, m)
	if err != nil {
		return false, err
	}
	if !timed {
		if err := c.findExpiry(ctx, m, b, retention); err != nil {
			return false, err
		}
	}
	matched, err := ask.Matched(ctx, b)
	if err != nil {
		return false, err
	}
	c.markClean(m.ULID, ask.Without(func(id string) bool { return slices.Contains(matched, id) }))
	return len(matched) > 0 || c.expired(m, retention), nil
}

// expiry is when the first stream of a block is past a retention with all its rows.
type expiry struct {
	of *logs.Retention
	at time.Time // zero: never
}

// findExpiry notes when a block should be looked at again for rows past their retention. That is when
// a whole stream may go: to write a block anew for a part of the rows of one costs more than it frees.
func (c *Compactor) findExpiry(ctx context.Context, m *block.Meta, b *logs.Block, retention *logs.Retention) error {
	streams, err := b.Series(ctx, math.MinInt64, math.MaxInt64, nil)
	if err != nil {
		return err
	}
	shortest := time.Duration(0)
	for _, ls := range streams {
		if period := retention.Of(ls); period > 0 && (shortest == 0 || period < shortest) {
			shortest = period
		}
	}
	e := expiry{of: retention}
	if shortest > 0 {
		e.at = time.Unix(0, m.MaxTime).Add(shortest)
	}
	c.expires[m.ULID] = e
	return nil
}

func (c *Compactor) expired(m *block.Meta, retention *logs.Retention) bool {
	e, ok := c.expires[m.ULID]
	return ok && e.of == retention && !e.at.IsZero() && c.opts.Now().After(e.at)
}

// markClean notes that a block holds no rows of the deletions.
func (c *Compactor) markClean(id ulid.ULID, deletions *logs.Deletions) {
	for _, d := range deletions.IDs() {
		if c.clean[id] == nil {
			c.clean[id] = map[string]bool{}
		}
		c.clean[id][d] = true
	}
}

// finishDeletes marks the requests as processed whose rows are gone: no block in the bucket holds any,
// those that were replaced and wait to be deleted included, and no ingester. It must have been so for
// a while, in which every store has listed the bucket anew: a store that still knew a deleted block
// would show its rows again as soon as the request hides them no more.
func (c *Compactor) finishDeletes(ctx context.Context, t *tenantBlocks) error {
	if c.opts.Deletes == nil {
		return nil
	}
	return c.finish(ctx, t, c.opts.Deletes, func(r deletes.Request) bool {
		return c.gone(t, r.ID, c.opts.Deletes.Active(t.tenant)) && c.settled(c.opts.Settled, t.tenant, r.Created)
	})
}

// book is what requests to delete logs and those to delete traces have in common.
type book interface {
	Pending(tenant string) []deletes.Request
	Finish(ctx context.Context, tenant string, ids []string) error
}

// finish marks those requests as processed of which nothing is left, and was for a while.
func (c *Compactor) finish(ctx context.Context, t *tenantBlocks, b book, gone func(deletes.Request) bool) error {
	now := c.opts.Now()
	var done []string
	for _, r := range b.Pending(t.tenant) {
		key := path.Join(t.tenant, string(t.signal), r.ID)
		if !gone(r) {
			delete(c.goneSince, key)
			continue
		}
		since, ok := c.goneSince[key]
		if !ok {
			since = now
			c.goneSince[key] = now
		}
		if now.Sub(since) >= time.Duration(c.opts.Config.DeleteDelay) {
			done = append(done, r.ID)
			delete(c.goneSince, key)
		}
	}
	if len(done) == 0 {
		return nil
	}
	if err := b.Finish(ctx, t.tenant, done); err != nil {
		return fmt.Errorf("mark delete requests as processed: %w", err)
	}
	c.opts.Logger.Info("delete requests processed", "tenant", t.tenant, "signal", t.signal, "requests", done)
	return nil
}

// gone reports whether no block is left that may hold rows of a request.
func (c *Compactor) gone(t *tenantBlocks, id string, active *logs.Deletions) bool {
	one := active.Without(func(other string) bool { return other != id })
	for _, m := range t.metas {
		if one.Overlapping(m.MinTime, m.MaxTime) != nil && !c.clean[m.ULID][id] {
			return false
		}
	}
	return one != nil
}

func (c *Compactor) settled(ask func(string, time.Time) bool, tenant string, at time.Time) bool {
	if ask != nil {
		return ask(tenant, at)
	}
	return c.opts.Now().Sub(at) >= settleAge
}
