package ruler

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	promrules "github.com/prometheus/prometheus/rules"

	"github.com/hune-io/hune/internal/metrics"
)

// batch gathers what the rules of a group record in one evaluation, and stores it at once: a write is logged and
// synced before it is answered, which for each of a hundred rules costs more than evaluating them.
//
// Nothing is held back from who has to see it: before a query that may read what is gathered, it is stored, see
// before. What a rule records waits for others for no longer than batchDelay, as far as they let it.
type batch struct {
	pusher Pusher
	tenant string
	now    func() time.Time

	mu       sync.Mutex
	parts    []metrics.Batch // what one rule records each
	samples  int
	since    time.Time        // of the first part
	recorded int              // samples that rules gave, all in all; not those that end a series
	failed   map[string]error // rules by name: what they record was not stored
}

// A batch is stored when it is this large or this old, although the evaluation goes on.
const (
	batchSamples = 10_000
	batchDelay   = time.Second
)

type batchKey struct{}

func newBatch(p Pusher, tenant string, now func() time.Time) *batch {
	return &batch{pusher: p, tenant: tenant, now: now, failed: map[string]error{}}
}

// with returns a context in which appenders add to the batch.
func (b *batch) with(ctx context.Context) context.Context {
	return context.WithValue(ctx, batchKey{}, b)
}

// batchOf returns the batch of a context, or nil.
func batchOf(ctx context.Context) *batch {
	b, _ := ctx.Value(batchKey{}).(*batch)
	return b
}

// before stores what is gathered if a query may read it: that of a rule which may depend on others of its group, or
// one in a template.
func before(ctx context.Context, expr string) {
	b := batchOf(ctx)
	if b == nil {
		return
	}
	if rule := promrules.FromOriginContext(ctx); !rule.NoDependencyRules || rule.Query != expr {
		b.flush(ctx)
	}
}

// add takes over what a rule records, and how many of the samples are its results.
func (b *batch) add(ctx context.Context, part metrics.Batch, results int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.parts) == 0 {
		b.since = b.now()
	}
	b.parts = append(b.parts, part)
	b.samples += len(part.Series)
	b.recorded += results
	if b.samples >= batchSamples || b.now().Sub(b.since) >= batchDelay {
		b.store(ctx)
	}
}

// flush stores what is gathered.
func (b *batch) flush(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.store(ctx)
}

// store stores the parts, together or, if anything was not stored, one by one, to learn whose it was: to store a
// sample twice is no fault. mu must be held.
func (b *batch) store(ctx context.Context) {
	parts := b.parts
	b.parts, b.samples = nil, 0
	if len(parts) > 1 {
		if b.push(ctx, parts) == nil {
			return
		}
	}
	for i := range parts {
		if err := b.push(ctx, parts[i:i+1]); err != nil {
			b.failed[ruleOf(parts[i].Series[0].Labels)] = err
		}
	}
}

// push stores parts as one batch, or as two: samples that are to be dropped if they are late, and others.
func (b *batch) push(ctx context.Context, parts []metrics.Batch) error {
	for _, discard := range []bool{false, true} {
		n := 0
		for _, p := range parts {
			if p.DiscardOutOfOrder == discard {
				n += len(p.Series)
			}
		}
		if n == 0 {
			continue
		}
		all := metrics.Batch{DiscardOutOfOrder: discard, Series: make([]metrics.Series, 0, n)}
		for _, p := range parts {
			if p.DiscardOutOfOrder == discard {
				all.Series = append(all.Series, p.Series...)
			}
		}
		if err := push(ctx, b.pusher, b.tenant, &all); err != nil {
			return err
		}
	}
	return nil
}

// ruleOf names the rule that records a series.
func ruleOf(ls labels.Labels) string {
	switch name := ls.Get(labels.MetricName); name {
	case "ALERTS", "ALERTS_FOR_STATE":
		return ls.Get(labels.AlertName)
	default:
		return name
	}
}

// end stores what is left, and shows the rules whose samples were not stored as unhealthy.
func (b *batch) end(ctx context.Context, g *promrules.Group, failed func(promrules.Rule, error)) {
	b.flush(ctx)
	if len(b.failed) == 0 {
		return
	}
	for _, rule := range g.Rules() {
		if err := b.failed[rule.Name()]; err != nil {
			rule.SetHealth(promrules.HealthBad)
			rule.SetLastError(err)
			failed(rule, err)
		}
	}
}
