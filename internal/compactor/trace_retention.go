package compactor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/traces/traceql"
)

// TraceRules say how long the traces of one tenant are kept. Of several rules that find a trace the one that
// keeps it longest counts, so that one which is meant for the noise doesn't take what another wants to stay. They never
// change.
//
// A rule is asked about what blocks hold of a trace. Pieces that arrive minutes apart are joined by then;
// a piece of another day stands alone.
type TraceRules struct {
	period time.Duration // of traces that no rule finds; 0 is for ever
	rules  []traceRule   // those that keep longest first
}

type traceRule struct {
	match  string
	period time.Duration
}

func newTraceRules(period time.Duration, rules []limits.TraceRetention) (*TraceRules, error) {
	r := &TraceRules{period: period}
	var errs []error
	for i, rule := range rules {
		if err := traceql.CheckSearch(rule.Match); err != nil {
			errs = append(errs, fmt.Errorf("traces.retention_rules.%d.match: %q: %w", i, rule.Match, err))
		}
		r.rules = append(r.rules, traceRule{rule.Match, time.Duration(rule.Keep)})
	}
	slices.SortStableFunc(r.rules, func(a, b traceRule) int { return compareKept(b.period, a.period) })
	return r, errors.Join(errs...)
}

// compareKept orders periods by how long they keep; 0 is for ever.
func compareKept(a, b time.Duration) int {
	switch {
	case a == b:
		return 0
	case a == 0:
		return 1
	case b == 0:
		return -1
	}
	return cmp.Compare(a, b)
}

// longest returns how long any trace may be kept; 0 is for ever.
func (r *TraceRules) longest() time.Duration {
	if len(r.rules) > 0 && compareKept(r.rules[0].period, r.period) > 0 {
		return r.rules[0].period
	}
	return r.period
}

// shortest returns how long the traces of a block are kept that are kept shortest; 0 if all are for ever.
func (r *TraceRules) shortest(ctx context.Context, b *traces.Block) (time.Duration, error) {
	keep := newKeeping(b)
	shortest, found := time.Duration(0), 0
	for _, rule := range r.rules {
		n, err := keep.apply(ctx, rule)
		if err != nil {
			return 0, err
		}
		if found += n; n > 0 {
			shortest = rule.period // shorter than those before
		}
	}
	all := 0
	for _, err := range b.Pieces(ctx) {
		if err != nil {
			return 0, err
		}
		all++
	}
	if found < all && (found == 0 || compareKept(r.period, shortest) < 0) {
		shortest = r.period
	}
	return shortest, nil
}

// expired returns the traces of the parts that are past their time.
func (r *TraceRules) expired(ctx context.Context, parts []traces.Part, now time.Time) (*traces.IDSet, error) {
	keep := newKeeping(parts...)
	for _, rule := range r.rules {
		if _, err := keep.apply(ctx, rule); err != nil {
			return nil, err
		}
	}
	var ids []traces.ID
	for piece, err := range keep.src.Pieces(ctx, "", 0, 0) {
		if err != nil {
			return nil, err
		}
		period, ok := keep.periods[piece.ID]
		if !ok {
			period = r.period
		}
		if period > 0 && time.Unix(0, int64(piece.End)).Before(now.Add(-period)) {
			ids = append(ids, piece.ID)
		}
	}
	return traces.NewIDSet(ids), nil
}

// keeping is how long the traces of some parts are kept that rules have found so far.
type keeping struct {
	src     *traces.MergedSource
	engine  *traceql.Engine
	periods map[traces.ID]time.Duration
}

func newKeeping(parts ...traces.Part) *keeping {
	src := traces.NewSource(func(context.Context, string, uint64, uint64) ([]traces.Part, error) { return parts, nil })
	return &keeping{src, traceql.NewEngine(traceql.Options{}), map[traces.ID]time.Duration{}}
}

// apply notes the period of a rule for the traces that it finds and none before it did, and returns how many.
func (k *keeping) apply(ctx context.Context, rule traceRule) (n int, err error) {
	found, err := k.engine.Run(ctx, "", &traces.Query{Kind: traces.SearchIDs, Expr: rule.match}, k.src)
	if err != nil {
		return 0, fmt.Errorf("retention rule %s: %w", rule.match, err)
	}
	for _, id := range found.IDs {
		if _, ok := k.periods[id]; !ok {
			k.periods[id] = rule.period
			n++
		}
	}
	return n, nil
}

// TraceRetention knows how long the traces of each tenant are kept, by the rules of limits and overrides, and where
// they say nothing by the retention of all. It follows limits that are reloaded. Safe for concurrent use.
type TraceRetention struct {
	overrides *limits.Overrides
	fallback  time.Duration

	mu      sync.Mutex
	tenants map[string]compiledTraceRules
}

type compiledTraceRules struct {
	of    *limits.Limits
	rules *TraceRules
}

// NewTraceRetention returns the retention of all tenants. Every rule that can't be read is reported.
func NewTraceRetention(overrides *limits.Overrides, r Retention) (*TraceRetention, error) {
	t := &TraceRetention{overrides: overrides, fallback: time.Duration(r.Traces), tenants: map[string]compiledTraceRules{}}
	var errs []error
	all := overrides.Defaults()
	if _, err := t.compile(all); err != nil {
		errs = append(errs, fmt.Errorf("limits.%w", err))
	}
	for _, tenant := range overrides.Tenants() {
		own := overrides.For(tenant)
		if slices.Equal(own.Traces.RetentionRules, all.Traces.RetentionRules) {
			continue // told already
		}
		if _, err := t.compile(own); err != nil {
			errs = append(errs, fmt.Errorf("overrides.%s.%w", tenant, err))
		}
	}
	return t, errors.Join(errs...)
}

func (t *TraceRetention) compile(l *limits.Limits) (*TraceRules, error) {
	period := time.Duration(l.Traces.RetentionPeriod)
	if period == 0 {
		period = t.fallback
	}
	return newTraceRules(period, l.Traces.RetentionRules)
}

// Of returns the rules of a tenant: the same pointer as long as nothing changes.
func (t *TraceRetention) Of(tenant string) *TraceRules {
	own := t.overrides.For(tenant)
	t.mu.Lock()
	defer t.mu.Unlock()
	c, ok := t.tenants[tenant]
	if ok && c.of == own {
		return c.rules
	}
	rules, err := t.compile(own)
	if err != nil {
		// Reloaded limits that make no sense: what held before holds on. Without any nothing is deleted.
		if !ok {
			c.rules = &TraceRules{}
		}
		return c.rules
	}
	t.tenants[tenant] = compiledTraceRules{own, rules}
	return rules
}
