package compactor

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
)

// LogRetention knows how long the logs of each tenant are kept: by the rules of limits and overrides,
// and where they say nothing by the retention of all. It follows limits that are reloaded. Safe for
// concurrent use.
type LogRetention struct {
	overrides *limits.Overrides
	fallback  time.Duration

	mu      sync.Mutex
	tenants map[string]compiledLimits
}

// compiledLimits is a retention and what it was made of.
type compiledLimits struct {
	own, all  *limits.Limits
	retention *logs.Retention
}

// NewLogRetention returns the retention of all tenants. Every rule that can't be read is reported.
func NewLogRetention(overrides *limits.Overrides, r Retention) (*LogRetention, error) {
	l := &LogRetention{overrides: overrides, fallback: time.Duration(r.Logs), tenants: map[string]compiledLimits{}}
	var errs []error
	if _, err := parseRules(overrides.Defaults()); err != nil {
		errs = append(errs, fmt.Errorf("limits.%w", err))
	}
	for _, tenant := range overrides.Tenants() {
		own := overrides.For(tenant)
		if len(errs) > 0 && sameRules(own, overrides.Defaults()) {
			continue // told already
		}
		if _, err := parseRules(own); err != nil {
			errs = append(errs, fmt.Errorf("overrides.%s.%w", tenant, err))
		}
	}
	return l, errors.Join(errs...)
}

func sameRules(a, b *limits.Limits) bool {
	x, y := a.Logs.RetentionStream, b.Logs.RetentionStream
	return len(x) == len(y) && (len(x) == 0 || &x[0] == &y[0])
}

// Of returns the retention of a tenant: the same pointer as long as nothing changes.
func (l *LogRetention) Of(tenant string) *logs.Retention {
	own, all := l.overrides.For(tenant), l.overrides.Defaults()
	l.mu.Lock()
	defer l.mu.Unlock()
	c, ok := l.tenants[tenant]
	if ok && c.own == own && c.all == all {
		return c.retention
	}
	compiled, err := l.compile(own, all)
	if err != nil {
		// Reloaded limits that make no sense: what held before holds on. Without any nothing is
		// deleted.
		return c.retention
	}
	l.tenants[tenant] = compiledLimits{own, all, compiled}
	return compiled
}

func (l *LogRetention) compile(own, all *limits.Limits) (*logs.Retention, error) {
	first, err := parseRules(own)
	if err != nil {
		return nil, err
	}
	then, err := parseRules(all)
	if err != nil {
		return nil, err
	}
	period := time.Duration(own.Logs.RetentionPeriod)
	if period == 0 {
		period = l.fallback
	}
	return logs.NewRetention(period, first, then)
}

func parseRules(l *limits.Limits) ([]logs.RetentionRule, error) {
	var out []logs.RetentionRule
	var errs []error
	for i, r := range l.Logs.RetentionStream {
		matchers, err := logql.ParseMatchers(r.Selector, true)
		if err != nil {
			errs = append(errs, fmt.Errorf("logs.retention_stream.%d.selector: %q: %w", i, r.Selector, err))
			continue
		}
		out = append(out, logs.RetentionRule{Matchers: matchers, Priority: r.Priority, Period: time.Duration(r.Period)})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if _, err := logs.NewRetention(0, out); err != nil {
		return nil, fmt.Errorf("logs.retention_stream: %w", err)
	}
	return out, nil
}
