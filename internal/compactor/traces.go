package compactor

import (
	"context"
	"errors"

	"github.com/oklog/ulid/v2"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/traces"
)

// compactTraces is compactLogs for traces, of which nothing is deleted but by age.
func (c *Compactor) compactTraces(ctx context.Context, tenant string) (changed bool, err error) {
	var errs []error
	for range maxPasses {
		t, err := c.list(ctx, shelf{tenant, signal.Traces})
		if err != nil {
			return changed, errors.Join(append(errs, err)...)
		}
		n, err := c.sweep(ctx, t)
		changed = changed || n > 0
		if err != nil {
			errs = append(errs, err)
		}
		done, err := c.carryOut(ctx, t, plan(c.opts.Now(), c.usable(t.current), c.suspected(t)))
		changed = changed || done > 0
		if err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			return changed, errors.Join(append(errs, context.Cause(ctx))...)
		}
		if done == 0 {
			break
		}
	}
	return changed, errors.Join(errs...)
}

// suspected returns the blocks that a query found to be corrupt: a job makes sure of them.
func (c *Compactor) suspected(t *tenantBlocks) map[ulid.ULID]bool {
	suspects := c.takeSuspects(t.shelf)
	out := map[ulid.ULID]bool{}
	for i := range t.current {
		if m := &t.current[i]; suspects[m.DataPath()] {
			out[m.ULID] = true
		}
	}
	return out
}

// mergeTraces makes one block of traces of the inputs.
func (c *Compactor) mergeTraces(ctx context.Context, dir string, j job, readers []*block.Reader, meta *block.Meta) error {
	work := traces.Compaction{Level: block.Better}
	for _, r := range readers {
		b, err := traces.OpenBlock(ctx, r)
		if err != nil {
			return err
		}
		work.Blocks = append(work.Blocks, b)
	}
	for _, m := range j.inputs {
		meta.RawBytes += m.RawBytes
	}
	done, err := work.Write(ctx, dir, meta)
	if err != nil {
		return err
	}
	if err := c.publish(ctx, dir, meta); err != nil {
		return err
	}
	c.metrics.rows.WithLabelValues("duplicate").Add(float64(done.Duplicates))
	c.metrics.read.Add(float64(sumStored(j.inputs)))
	c.metrics.written.Add(float64(meta.StoredBytes))
	c.opts.Logger.Info("blocks compacted", "tenant", meta.Tenant, "signal", meta.Signal, "block", meta.ULID, "inputs", len(j.inputs), "rows", meta.Rows,
		"duplicates", done.Duplicates, "row_groups_copied", done.Copied, "row_groups_made", done.Made, "stored_bytes", meta.StoredBytes,
		"duration", c.opts.Now().Sub(meta.Created))
	return nil
}
