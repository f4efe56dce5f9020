package compactor

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/deletes"
	"github.com/hune-io/hune/internal/traces"
	tracedeletes "github.com/hune-io/hune/internal/traces/deletes"
)

// tracesKnown is what was found out about a block of traces.
type tracesKnown struct {
	rules *TraceRules // that expires is by
	// expires is when the first of the periods that traces of the block are kept for is over for all of these;
	// zero: never.
	expires time.Time
	looked  bool
	split   bool // it has traces in pieces that a job would join
}

// dirtyTraces returns what tells whether a block is to be written anew even alone: because it holds traces that must
// go, or traces in pieces.
func (c *Compactor) dirtyTraces(tenant string) func(context.Context, *block.Meta) (bool, error) {
	var hidden *tracedeletes.Hidden
	if c.opts.TraceDeletes != nil {
		hidden = c.opts.TraceDeletes.Active(tenant)
	}
	rules := c.retentionOfTraces(tenant)
	return func(ctx context.Context, m *block.Meta) (bool, error) {
		return c.isDirtyOfTraces(ctx, m, hidden, rules)
	}
}

// isDirtyOfTraces looks at a block once for each request, each set of rules, and for its pieces; again after a
// restart.
func (c *Compactor) isDirtyOfTraces(ctx context.Context, m *block.Meta, hidden *tracedeletes.Hidden, rules *TraceRules) (bool, error) {
	var b *traces.Block
	open := func() (err error) {
		if b == nil {
			b, err = c.openTraces(ctx, m)
		}
		return err
	}
	known := c.traces[m.ULID]
	if !known.looked {
		if err := open(); err != nil {
			return false, err
		}
		known.looked, known.split = true, m.Producer != producer && b.Split() > 0
	}
	if known.rules != rules {
		known.rules, known.expires = rules, time.Time{}
		shortest := rules.period
		if len(rules.rules) > 0 {
			if err := open(); err != nil {
				return false, err
			}
			var err error
			if shortest, err = rules.shortest(ctx, b); err != nil {
				return false, err
			}
		}
		if shortest > 0 {
			known.expires = time.Unix(0, m.MaxTime).Add(shortest)
		}
	}
	c.traces[m.ULID] = known
	held := false
	var err error
	hidden.Each(func(request string, set *traces.IDSet) {
		if err != nil || held || c.clean[m.ULID][request] {
			return
		}
		if err = open(); err != nil {
			return
		}
		if held, err = set.AnyOf(ctx, b); err == nil && !held {
			c.cleanOf(m.ULID, request)
		}
	})
	if err != nil {
		return false, err
	}
	now := c.opts.Now()
	return held || !known.expires.IsZero() && now.After(known.expires) || known.split && over(now, m), nil
}

// over reports whether no other block of the same day will come that m could be merged with.
func over(now time.Time, m *block.Meta) bool {
	w := windowOf(now, m)
	return w.width >= dayWindow && w.closed(now)
}

// producer names blocks that were made here: whatever could be joined in one is.
const producer = "compactor"

func (c *Compactor) cleanOf(id ulid.ULID, request string) {
	if c.clean[id] == nil {
		c.clean[id] = map[string]bool{}
	}
	c.clean[id][request] = true
}

// finishTraceDeletes is finishDeletes for traces.
func (c *Compactor) finishTraceDeletes(ctx context.Context, t *tenantBlocks) error {
	if c.opts.TraceDeletes == nil {
		return nil
	}
	return c.finish(ctx, t, c.opts.TraceDeletes, func(r deletes.Request) bool {
		for _, m := range t.metas {
			if !c.clean[m.ULID][r.ID] {
				return false
			}
		}
		return c.settled(c.opts.TracesSettled, t.tenant, r.Created)
	})
}

// openTraces reads the index of a block in the bucket.
func (c *Compactor) openTraces(ctx context.Context, m *block.Meta) (*traces.Block, error) {
	r, err := block.Open(ctx, bucket.Ranger{Bucket: c.opts.Bucket}, m.DataPath(), m.Data.Size, block.ReaderOptions{})
	if err != nil {
		return nil, err
	}
	return traces.OpenBlock(ctx, r)
}

// mergeTraces makes one block of traces of the inputs, without what must go.
func (c *Compactor) mergeTraces(ctx context.Context, dir string, t *tenantBlocks, j job, readers []*block.Reader, meta *block.Meta) error {
	work := traces.Compaction{Level: block.Better}
	parts := make([]traces.Part, len(readers))
	for i, r := range readers {
		b, err := traces.OpenBlock(ctx, r)
		if err != nil {
			return err
		}
		work.Blocks = append(work.Blocks, b)
		parts[i] = b
	}
	for _, m := range j.inputs {
		meta.RawBytes += m.RawBytes
	}
	requests, deleted, err := c.beginTraces(ctx, t.tenant, parts)
	if err != nil {
		return err
	}
	expired, err := c.retentionOfTraces(t.tenant).expired(ctx, parts, meta.Created)
	if err != nil {
		return err
	}
	work.Leave = func(id traces.ID) string {
		switch {
		case deleted.Has(id):
			return "deleted"
		case expired.Has(id):
			return "expired"
		}
		return ""
	}
	done, err := work.Write(ctx, dir, meta)
	empty := errors.Is(err, traces.ErrEmpty)
	if err != nil && !empty {
		return err
	}
	if empty {
		err = c.deleteEmpty(ctx, t, j.inputs)
	} else if err = c.publish(ctx, dir, meta); err == nil {
		for _, r := range requests {
			c.cleanOf(meta.ULID, r)
		}
	}
	if err != nil {
		return err
	}
	c.toldTraces(j, meta, done)
	return nil
}

func (c *Compactor) toldTraces(j job, meta *block.Meta, done traces.Compacted) {
	c.metrics.rows.WithLabelValues("duplicate").Add(float64(done.Duplicates))
	for reason, spans := range done.Left {
		c.metrics.rows.WithLabelValues(reason).Add(float64(spans))
	}
	c.metrics.read.Add(float64(sumStored(j.inputs)))
	c.metrics.written.Add(float64(meta.StoredBytes))
	c.opts.Logger.Info("blocks compacted", "tenant", meta.Tenant, "signal", meta.Signal, "block", meta.ULID, "inputs", len(j.inputs), "rows", meta.Rows,
		"duplicates", done.Duplicates, "deleted", done.Left["deleted"], "expired", done.Left["expired"], "row_groups_copied", done.Copied, "row_groups_made", done.Made,
		"stored_bytes", meta.StoredBytes, "duration", c.opts.Now().Sub(meta.Created))
}

// beginTraces notes which requests to delete the job carries out, before it does. It returns all that hold for it,
// and the traces of these.
func (c *Compactor) beginTraces(ctx context.Context, tenant string, parts []traces.Part) (requests []string, deleted *traces.IDSet, err error) {
	if c.opts.TraceDeletes == nil {
		return nil, nil, nil
	}
	var concerned []string
	hidden := c.opts.TraceDeletes.Active(tenant)
	hidden.Each(func(request string, set *traces.IDSet) {
		requests = append(requests, request)
		for _, p := range parts {
			if err != nil {
				return
			}
			var has bool
			if has, err = set.AnyOf(ctx, p); has {
				concerned = append(concerned, request)
				return
			}
		}
	})
	if err != nil {
		return nil, nil, err
	}
	if err := c.opts.TraceDeletes.Begin(ctx, tenant, concerned); err != nil {
		return nil, nil, err
	}
	// What was cancelled meanwhile is not carried out; what came meanwhile, the next round sees to.
	still := c.opts.TraceDeletes.Active(tenant)
	requests = slices.DeleteFunc(requests, func(r string) bool {
		there := false
		still.Each(func(request string, _ *traces.IDSet) { there = there || request == r })
		return !there
	})
	return requests, still.Of(requests), nil
}
