package ingester

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hune-io/hune/internal/fault"
)

const (
	// maxHeadsInMemory bounds the memory of a tenant in units of a full head: one that fills, one that
	// is being written, and slack.
	maxHeadsInMemory = 4
	// maxWait is how long a write waits for room before it is refused. Waiting slows a client down to
	// what the disk takes; a refusal makes it send everything again.
	maxWait = 5 * time.Second
)

// gate lets writes wait for heads to be written.
type gate struct {
	wake    chan struct{} // capacity 1: there is a full head to cut
	seal    chan struct{} // capacity 1: there is a head with something to seal
	maxWait time.Duration

	mu   sync.Mutex
	done chan struct{} // closed and replaced each time a head was written
}

func newGate() *gate {
	return &gate{wake: make(chan struct{}, 1), seal: make(chan struct{}, 1), maxWait: maxWait, done: make(chan struct{})}
}

// full asks for a look at the heads now.
func (g *gate) full() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// unsealed asks for a look at what heads have to seal.
func (g *gate) unsealed() {
	select {
	case g.seal <- struct{}{}:
	default:
	}
}

// next returns a channel that is closed when the next head was written.
func (g *gate) next() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.done
}

// written lets those who wait look again: a head takes less memory, or none.
func (g *gate) written() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.done)
	g.done = make(chan struct{})
}

// admit waits until t has room for a write. It holds no lock while it waits.
func (c *columnar[B, P, R]) admit(ctx context.Context, t *tenantState[B, P, R]) error {
	if err := c.uploadsBehind(); err != nil {
		return err
	}
	next := c.gate.next()
	held, limit := t.held(), maxHeadsInMemory*int64(c.cfg.MaxHeadBytes)
	if held <= limit {
		return nil
	}
	timeout := time.NewTimer(c.gate.maxWait)
	defer timeout.Stop()
	for held > limit {
		c.gate.full()
		select {
		case <-next:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timeout.C:
			c.metrics.refused.Inc()
			return &fault.Error{Class: fault.Unavailable, Reason: "head_full", RetryAfter: time.Second,
				Err: fmt.Errorf("recent %s of the tenant hold %d bytes of memory, more than the limit of %d: blocks are written slower than data arrives",
					c.kind.signal, held, limit)}
		}
		next = c.gate.next()
		held = t.held()
	}
	return nil
}

// held is the memory of a tenant's heads in bytes, frozen ones included.
func (t *tenantState[B, P, R]) held() int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n := t.head.Size()
	for _, g := range t.frozen {
		if g.head != nil {
			n += g.head.Size()
		}
	}
	return n
}

func (c *columnar[B, P, R]) uploadsBehind() error {
	pending, limit := c.pending.Load(), int64(c.opts.Config.MaxPendingBytes)
	if pending <= limit {
		return nil
	}
	c.metrics.refused.Inc()
	return &fault.Error{Class: fault.Unavailable, Reason: "uploads_behind", RetryAfter: 10 * time.Second,
		Err: fmt.Errorf("%d bytes of blocks wait to be uploaded, more than the limit of %d: the bucket can't be reached or is too slow", pending, limit)}
}

// cutLoop cuts heads when they are full or old, until ctx is done.
func (c *columnar[B, P, R]) cutLoop(ctx context.Context) {
	ticker := time.NewTicker(time.Duration(c.opts.Config.CheckInterval))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-c.gate.wake:
		}
		if err := c.cutDue(ctx); err != nil && ctx.Err() == nil {
			c.logger.Error("cutting blocks failed, will be tried again", "err", err)
			// Whoever waits for room would wake this loop at once again.
			select {
			case <-ctx.Done():
			case <-ticker.C:
			}
		}
	}
}

// sealLoop seals what heads have to seal, until ctx is done. It is apart from the loop that cuts: writing
// a block must not hold up the sealing of what comes in meanwhile.
func (c *columnar[B, P, R]) sealLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.gate.seal:
		}
		for _, t := range c.all() {
			t.mu.RLock()
			h := t.head
			t.mu.RUnlock()
			if h.Unsealed() == 0 {
				continue
			}
			// An error is that of writing the head, too, which is where it is reported.
			if err := h.Seal(ctx); err == nil {
				c.gate.written()
			}
		}
	}
}
