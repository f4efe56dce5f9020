package compactor

import (
	"context"
	"errors"

	"github.com/hune-io/hune/internal/signal"
)

// Where several compactors run, one works on each signal of a tenant: with the others it would write the same blocks, and
// the requests to delete have one writer, too. A job that two did at once, for a moment, would be the same block by
// the same name, if they agreed on the time; so that they need not, who gets a shelf begins with it a round later, and
// who loses one stops at once. What was stopped is done again, as after a crash.

// errNotOurs stops work on a shelf that another compactor has got.
var errNotOurs = errors.New("another compactor has it now")

func (c *Compactor) owns(s shelf) bool {
	return c.opts.Owns == nil || c.opts.Owns(s.tenant, s.signal)
}

// settle returns whether a shelf is ours since the round before.
func (c *Compactor) settle(s shelf) bool {
	if c.opts.Owns == nil {
		return true
	}
	c.ours[s] = c.owns(s)
	return c.before[s] && c.ours[s]
}

// OwnersChanged stops the work on what is no longer ours. It doesn't wait.
func (c *Compactor) OwnersChanged() {
	c.workMu.Lock()
	defer c.workMu.Unlock()
	if c.stopWork != nil && !c.owns(c.work) {
		c.stopWork(errNotOurs)
	}
}

// begun notes what is worked on, until the function is called that it returns.
func (c *Compactor) begun(ctx context.Context, s shelf) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	c.workMu.Lock()
	c.work, c.stopWork = s, cancel
	c.workMu.Unlock()
	c.OwnersChanged() // it may just have been lost
	return ctx, func() {
		c.workMu.Lock()
		c.stopWork = nil
		c.workMu.Unlock()
		cancel(nil)
	}
}

// tidy does what a round has to do for one signal of a tenant, if that is ours.
func (c *Compactor) tidy(ctx context.Context, s shelf) (changed bool, err error) {
	if !c.settle(s) {
		for object := range c.takeSuspects(s) {
			c.opts.Logger.Warn("a block was found damaged by a query of this process, another compactor has to find it, too", "object", object)
		}
		return false, nil
	}
	ctx, done := c.begun(ctx, s)
	defer done()
	if s.signal == signal.Metrics {
		changed, err = c.tidyMetrics(ctx, s.tenant)
	} else {
		changed, err = c.tidyRows(ctx, s)
	}
	if errors.Is(context.Cause(ctx), errNotOurs) {
		c.opts.Logger.Info("compaction stopped, another compactor has the tenant now", "tenant", s.tenant, "signal", s.signal)
		return changed, nil
	}
	return changed, err
}
