// Package generator is the metrics generator role: it derives metrics from the spans that were stored, so that
// rates, errors and durations of every service, and the graph of who calls whom, are there without being asked for.
//
// The distributor hands it what an ingester has acknowledged. It copies the batch into a bounded queue and
// returns; a full queue drops the batch and counts its spans, because no write waits for a metric. One
// goroutine reads the queue and keeps counters for each tenant, another one writes them, every interval,
// through the same path as any other sample: they are in the write-ahead log, in blocks and in every answer.
//
// Names, labels and settings are those of Tempo's metrics generator. What a tenant can make is bounded:
// series by limits.traces.generator.max_active_series, sides of requests that wait for the other by
// service_graphs.max_items.
//
// A span is counted where it passes a distributor, once, before it is replicated. Requests are found by trace: where
// several generators run, each has a share of the traces by ring, and is sent the sides of their requests by the others.
// Counters start at zero with the process, each with a sample of zero before the first.
package generator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alecthomas/units"
	"github.com/grafana/dskit/services"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/traces"
)

// Config is the user's settings of the generator; what is derived is up to the limits of each tenant.
type Config struct {
	// Interval is how often derived metrics are written. Default 15s.
	Interval model.Duration `yaml:"interval"`
	// StaleAfter ends a series whose spans have not come for this long. Default 15m.
	StaleAfter model.Duration `yaml:"stale_after"`
	// QueueBytes bounds the spans that wait to be counted. More are stored but not counted. Default 16MiB.
	QueueBytes units.Base2Bytes `yaml:"queue_bytes"`
}

// DefaultConfig returns the defaults named at the fields.
func DefaultConfig() Config {
	return Config{Interval: model.Duration(15 * time.Second), StaleAfter: model.Duration(15 * time.Minute), QueueBytes: 16 * units.MiB}
}

// Validate reports every fault.
func (c Config) Validate() error {
	var errs []error
	if time.Duration(c.Interval) < time.Second {
		errs = append(errs, fmt.Errorf("interval: %s is shorter than 1s", c.Interval))
	}
	if c.StaleAfter < c.Interval {
		errs = append(errs, fmt.Errorf("stale_after: %s is shorter than interval (%s)", c.StaleAfter, c.Interval))
	}
	if c.QueueBytes <= 0 {
		errs = append(errs, errors.New("queue_bytes: must be positive"))
	}
	return errors.Join(errs...)
}

// Pusher stores derived samples. The tenant is in ctx. A nil error means that what was not rejected is
// durable. Nothing of the batch is kept, but it may be changed.
type Pusher interface {
	PushMetrics(ctx context.Context, b *metrics.Batch) (metrics.PushResult, error)
}

// Limits knows the limits of tenants: For returns the same pointer as long as they don't change.
type Limits interface {
	For(tenant string) *limits.Limits
}

// Options are what the program gives a generator; all but Share are required.
type Options struct {
	Config     Config
	Limits     Limits
	Pusher     Pusher
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
	Share      *Share // nil: there is no other generator
}

// Generator derives metrics while it runs. Observe is safe for concurrent use.
type Generator struct {
	services.Service

	opts   Options
	queue  *queue
	meters *meters
	outbox *outbox // of sides that are for others

	stopped atomic.Bool

	mu      sync.Mutex
	tenants map[string]*state
	warned  map[string]time.Time // what was logged last, by kind: a fixed set
}

// New returns a generator that counts nothing before it is started.
func New(o Options) *Generator {
	g := &Generator{opts: o, tenants: make(map[string]*state), warned: make(map[string]time.Time)}
	g.queue, g.outbox = newQueue(int64(o.Config.QueueBytes)), newOutbox()
	g.meters = newMeters(o.Registerer, g.queue)
	g.Service = services.NewBasicService(nil, g.running, nil)
	return g
}

// Observe takes a batch of spans of a tenant that was stored. It never blocks and keeps nothing of b.
func (g *Generator) Observe(tenant string, b *traces.Batch) {
	if b.Spans == 0 || !g.opts.Limits.For(tenant).Traces.Generator.Enabled {
		return
	}
	switch {
	case g.stopped.Load():
		g.meters.dropped.WithLabelValues("stopped").Add(float64(b.Spans))
	case !g.queue.put(tenant, g.opts.Now(), b):
		g.meters.dropped.WithLabelValues("queue_full").Add(float64(b.Spans))
	}
}

// stopTimeout bounds the last write of a stop.
const stopTimeout = 3 * time.Second

func (g *Generator) running(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { g.consume(ctx.Done()) })
	if g.opts.Share != nil {
		wg.Go(func() { g.sendSides(ctx) })
	}
	ticker := time.NewTicker(time.Duration(g.opts.Config.Interval))
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			writing, cancel := context.WithTimeout(ctx, time.Duration(g.opts.Config.Interval))
			g.collect(writing, false)
			cancel()
		case <-ctx.Done():
			g.stopped.Store(true)
			wg.Wait()
			// What was counted since the last tick would be lost: counters start at zero again.
			writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
			defer cancel()
			g.flushSides(writing, lastSendTimeout)
			g.collect(writing, true)
			return nil
		}
	}
}

// consume counts queued batches until done is closed and the queue is empty.
func (g *Generator) consume(done <-chan struct{}) {
	for {
		select {
		case b := <-g.queue.batches:
			g.count(b)
		case <-done:
			for {
				select {
				case b := <-g.queue.batches:
					g.count(b)
				default:
					return
				}
			}
		}
	}
}

func (g *Generator) count(b *batch) {
	defer g.queue.release(b)
	if b.sides {
		g.countQueuedSides(b)
		return
	}
	for {
		if err, ok := g.state(b.tenant, b.received).consume(b); ok {
			if err != nil {
				g.meters.dropped.WithLabelValues("malformed").Add(float64(b.spans))
				g.warn("malformed", "spans were not counted", "tenant", b.tenant, "err", err)
			}
			return
		}
	}
}

// state returns the counters of a tenant.
func (g *Generator) state(tenant string, now time.Time) *state {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.tenants[tenant]
	if s == nil {
		s = newState(tenant, g.opts.Limits.For(tenant), now, g.meters, g.opts.Share, g.outbox)
		g.tenants[tenant] = s
	}
	return s
}

// collect writes the metrics of every tenant whose turn it is, one after the other; of all of them if they are the last.
func (g *Generator) collect(ctx context.Context, last bool) {
	g.mu.Lock()
	states := make([]*state, 0, len(g.tenants))
	for _, s := range g.tenants {
		states = append(states, s)
	}
	g.mu.Unlock()
	var active, waiting int
	for _, s := range states {
		if !last && !s.due(g.opts.Now(), time.Duration(g.opts.Config.Interval)) {
			a, w := s.size()
			active, waiting = active+a, waiting+w
			continue
		}
		c := collector{now: g.opts.Now(), staleAfter: time.Duration(g.opts.Config.StaleAfter), limits: g.opts.Limits.For(s.tenant), pusher: g.opts.Pusher}
		if err := c.collect(ctx, s); err != nil {
			g.meters.failures.Inc()
			g.warn("write", "derived metrics were not written, their counters go on", "tenant", s.tenant, "err", err)
		}
		for _, r := range c.rejected.List() {
			g.warn("rejected", "derived samples were rejected", "tenant", s.tenant, "reason", r.Reason, "count", r.Count, "err", r.Message)
		}
		if c.overflowed > 0 {
			g.warn("overflow", "spans were counted in the overflow series: limits.traces.generator.max_active_series is reached", "tenant", s.tenant, "count", c.overflowed)
		}
		active, waiting = active+c.active, waiting+c.waiting
		if c.empty {
			g.forget(s)
		}
	}
	g.meters.active.Set(float64(active))
	g.meters.waiting.Set(float64(waiting))
}

// forget drops a tenant without counters, unless spans have come meanwhile.
func (g *Generator) forget(s *state) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.retire() {
		delete(g.tenants, s.tenant)
	}
}

// warnEvery keeps a fault that lasts from filling the log.
const warnEvery = time.Minute

func (g *Generator) warn(kind, message string, args ...any) {
	now := g.opts.Now()
	g.mu.Lock()
	due := now.Sub(g.warned[kind]) >= warnEvery
	if due {
		g.warned[kind] = now
	}
	g.mu.Unlock()
	if due {
		g.opts.Logger.Warn(message, args...)
	}
}
