package compactor

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/traces"
)

// maxPasses bounds how often a round plans anew for one tenant, so that the others get their turn.
const maxPasses = 8

// shelf is where the blocks of one signal of a tenant are.
type shelf struct {
	tenant string
	signal signal.Signal
}

// tenantBlocks are the blocks of logs, or traces, of one tenant as the bucket has them.
type tenantBlocks struct {
	shelf
	metas    []block.Meta // that can be read, also those that newer ones replace
	current  []block.Meta
	replaced map[ulid.ULID]*block.Meta
	partial  []ulid.ULID // without a meta file
	aside    []ulid.ULID // set aside
}

// compactShelf brings the blocks of a shelf into shape, as far as one round goes: it deletes what was
// replaced, merges what is small and writes anew what holds rows that must go. It reports whether
// anything has changed. A block or job that fails stops no other.
func (c *Compactor) compactShelf(ctx context.Context, s shelf) (changed bool, err error) {
	dirty, finish := c.dirtyLogs, c.finishDeletes
	if s.signal == signal.Traces {
		dirty, finish = c.dirtyTraces, c.finishTraceDeletes
	}
	var errs []error
	note := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	for range maxPasses {
		t, err := c.list(ctx, s)
		if err != nil {
			return changed, errors.Join(append(errs, err)...)
		}
		swept, err := c.sweep(ctx, t)
		note(err)
		anew, err := c.dirty(ctx, t, dirty(t.tenant))
		note(err)
		done, err := c.carryOut(ctx, t, plan(c.opts.Now(), c.usable(t.current), anew))
		note(err)
		changed = changed || swept > 0 || done > 0
		if ctx.Err() != nil {
			return changed, errors.Join(append(errs, context.Cause(ctx))...)
		}
		if done == 0 {
			note(finish(ctx, t))
			break
		}
	}
	return changed, errors.Join(errs...)
}

// carryOut does the jobs and returns how many have changed something.
func (c *Compactor) carryOut(ctx context.Context, t *tenantBlocks, jobs []job) (done int, err error) {
	var errs []error
	for _, j := range jobs {
		if ctx.Err() != nil {
			return done, errors.Join(append(errs, context.Cause(ctx))...)
		}
		err := c.compact(ctx, t, j)
		if err == nil {
			c.metrics.jobs.WithLabelValues("success").Inc()
			done++
			continue
		}
		if ctx.Err() == nil {
			c.metrics.jobs.WithLabelValues("error").Inc()
		}
		setAside, err := c.blame(ctx, t, j, err)
		if setAside {
			done++ // the others of the job can be planned anew
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return done, errors.Join(errs...)
}

// blame finds out which block made a job fail. A damaged one is set aside and the failure is dealt with;
// where it is this version that can't do it, all of the job are left alone until a restart.
func (c *Compactor) blame(ctx context.Context, t *tenantBlocks, j job, cause error) (dealtWith bool, err error) {
	var damage *block.CorruptionError
	if errors.As(cause, &damage) {
		for i := range j.inputs {
			if m := &j.inputs[i]; m.DataPath() == damage.Block {
				return true, c.setAside(ctx, t.shelf, m.ULID, cause)
			}
		}
	}
	if errors.Is(cause, block.ErrVersion) || errors.Is(cause, errLost) || errors.Is(cause, traces.ErrLost) {
		for _, m := range j.inputs {
			c.unusable[m.ULID] = true
		}
	}
	return false, fmt.Errorf("compact %d blocks, the first is %s: %w", len(j.inputs), j.inputs[0].ULID, cause)
}

func (c *Compactor) setAside(ctx context.Context, s shelf, id ulid.ULID, cause error) error {
	q := block.Quarantine{Reason: cause.Error(), At: c.opts.Now().UTC()}
	if err := block.SetAside(ctx, c.opts.Bucket, s.tenant, s.signal, id, q); err != nil {
		return err
	}
	c.metrics.quarantined.Inc()
	c.opts.Logger.Error("damaged block set aside, queries go on without it", "tenant", s.tenant, "signal", s.signal, "block", id, "err", cause)
	return nil
}

func (c *Compactor) usable(metas []block.Meta) []block.Meta {
	return slices.DeleteFunc(slices.Clone(metas), func(m block.Meta) bool { return c.unusable[m.ULID] })
}

// list reads the metas of a tenant's blocks, those that are known from the round before from memory.
// Blocks whose meta can't be read are left to retention.
func (c *Compactor) list(ctx context.Context, s shelf) (*tenantBlocks, error) {
	ids, aside, err := block.Catalog(ctx, c.opts.Bucket, s.tenant, s.signal)
	if err != nil {
		return nil, err
	}
	t := &tenantBlocks{shelf: s, aside: aside}
	known := c.metas[s]
	fresh := make(map[ulid.ULID]block.Meta, len(ids))
	for _, id := range ids {
		m, ok := known[id]
		if !ok {
			read, err := block.ReadMeta(ctx, c.opts.Bucket, s.tenant, s.signal, id)
			switch {
			case errors.Is(err, block.ErrPartial):
				t.partial = append(t.partial, id)
				continue
			case block.IsCorruption(err):
				continue
			case err != nil:
				return nil, fmt.Errorf("read meta of block %s: %w", id, err)
			}
			m = *read
		}
		fresh[id] = m
		t.metas = append(t.metas, m)
	}
	for id := range known {
		if _, ok := fresh[id]; !ok {
			c.forget(id)
		}
	}
	c.metas[s] = fresh
	t.current, t.replaced = block.Current(t.metas), block.Replaced(t.metas)
	return t, nil
}

// sources returns the blocks whose rows are in a block made of the inputs: the inputs, and of what they
// were made of themselves what readers may still meet.
func (t *tenantBlocks) sources(inputs []block.Meta, now time.Time) []ulid.ULID {
	there := map[ulid.ULID]bool{}
	for _, m := range t.metas {
		there[m.ULID] = true
	}
	since := ulid.Timestamp(now.Add(-ancestry))
	var out []ulid.ULID
	for _, m := range inputs {
		out = append(out, m.ULID)
		for _, id := range m.Sources {
			if there[id] || id.Time() >= since {
				out = append(out, id)
			}
		}
	}
	slices.SortFunc(out, ulid.ULID.Compare)
	return slices.Compact(out)
}

// sweep deletes the blocks that newer ones have replaced for long enough that queries have turned to
// those, and what is left of such a deletion that didn't end. It returns how many.
func (c *Compactor) sweep(ctx context.Context, t *tenantBlocks) (n int, err error) {
	var errs []error
	for _, id := range t.partial {
		made := slices.ContainsFunc(t.metas, func(m block.Meta) bool { return slices.Contains(m.Sources, id) })
		if !made {
			continue // its upload may be under way
		}
		if err := c.deleteBlock(ctx, t.shelf, id, "compacted"); err != nil {
			errs = append(errs, err)
			continue
		}
		n++
	}
	for id, by := range t.replaced {
		since := by.Created
		if made, ok := c.made[by.ULID]; ok {
			since = made // the upload took its time
		}
		if c.opts.Now().Sub(since) < time.Duration(c.opts.Config.DeleteDelay) {
			continue
		}
		if err := c.deleteBlock(ctx, t.shelf, id, "compacted"); err != nil {
			errs = append(errs, err)
			continue
		}
		n++
	}
	return n, errors.Join(errs...)
}

// deleteEmpty deletes the inputs of a job that has nothing to keep of them, after the blocks that they
// have replaced: those would be current again without them.
func (c *Compactor) deleteEmpty(ctx context.Context, t *tenantBlocks, inputs []block.Meta) error {
	for id, by := range t.replaced {
		if slices.ContainsFunc(inputs, func(m block.Meta) bool { return m.ULID == by.ULID }) {
			if err := c.deleteBlock(ctx, t.shelf, id, "compacted"); err != nil {
				return err
			}
		}
	}
	for _, m := range inputs {
		if err := c.deleteBlock(ctx, t.shelf, m.ULID, "empty"); err != nil {
			return err
		}
		c.opts.Logger.Info("block deleted, none of its rows is kept", "tenant", t.tenant, "signal", t.signal, "block", m.ULID, "rows", m.Rows)
	}
	return nil
}

func (c *Compactor) deleteBlock(ctx context.Context, s shelf, id ulid.ULID, reason string) error {
	if err := block.Delete(ctx, c.opts.Bucket, s.tenant, s.signal, id); err != nil {
		return err
	}
	delete(c.metas[s], id)
	c.forget(id)
	c.deleted.WithLabelValues(string(s.signal), reason).Inc()
	return nil
}

// forget drops what is remembered of a block that is gone.
func (c *Compactor) forget(id ulid.ULID) {
	delete(c.made, id)
	delete(c.clean, id)
	delete(c.expires, id)
	delete(c.unusable, id)
	delete(c.traces, id)
}

// open reads the index of a block in the bucket.
func (c *Compactor) open(ctx context.Context, m *block.Meta) (*logs.Block, error) {
	r, err := block.Open(ctx, bucket.Ranger{Bucket: c.opts.Bucket}, path.Join(m.Dir(), block.DataFile), m.Data.Size, block.ReaderOptions{})
	if err != nil {
		return nil, err
	}
	return logs.OpenBlock(ctx, r)
}
