package overrides

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/hune-io/hune/internal/limits"
)

// Tenants knows the limits of every tenant with the settings that it has made itself. Those that are written by
// its store hold at once, those of other processes from the next Refresh on. Safe for concurrent use.
type Tenants struct {
	store  *Store
	base   *limits.Overrides
	logger *slog.Logger

	mu    sync.Mutex
	own   map[string]*Limits
	made  map[string]combined
	wrong map[string]string // complaints about tenants' documents that were logged
}

// combined is the limits that were made of others.
type combined struct {
	base *limits.Limits
	own  *Limits
	out  *limits.Limits
}

// NewTenants returns the limits of base with what tenants set in store, which tells it of what it writes. It knows
// nothing of the bucket before the first Refresh.
func NewTenants(store *Store, base *limits.Overrides, logger *slog.Logger) *Tenants {
	t := &Tenants{store: store, base: base, logger: logger, own: map[string]*Limits{}, made: map[string]combined{}, wrong: map[string]string{}}
	store.changed = t.learn
	return t
}

// For returns the limits of a tenant: the same pointer as long as they don't change. They must not be changed.
func (t *Tenants) For(tenant string) *limits.Limits {
	base := t.base.For(tenant)
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.own[tenant]
	if own == nil {
		return base
	}
	c := t.made[tenant]
	if c.base != base || c.own != own {
		c = combined{base, own, own.Apply(base)}
		if err := c.out.Validate(); err != nil {
			// They made sense with the defaults, not with what is configured.
			t.complain(tenant, err)
			c.out = base
		}
		t.made[tenant] = c
	}
	return c.out
}

// Refresh reads the settings of the tenants, which are all there are. A document that can't be read leaves what is
// known of its tenant as it is; a bucket that can't be is an error.
func (t *Tenants) Refresh(ctx context.Context, tenants []string) error {
	for _, tenant := range tenants {
		if err := t.refresh(ctx, tenant); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tenants) refresh(ctx context.Context, tenant string) error {
	// No writer of this process may come between what is read and what is learned of it.
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	doc, _, err := t.store.Get(ctx, tenant)
	switch {
	case errors.Is(err, ErrNone):
		t.learn(tenant, nil)
		return nil
	case errors.Is(err, errDamaged):
	case err != nil:
		return err
	default:
		var l *Limits
		if l, err = ParseLimits(doc); err == nil {
			t.learnUnlessSame(tenant, l)
			return nil
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.complain(tenant, err)
	return nil
}

// complain logs a fault of a tenant's document once. t.mu must be held.
func (t *Tenants) complain(tenant string, err error) {
	if text := err.Error(); t.wrong[tenant] != text {
		t.wrong[tenant] = text
		t.logger.Error("a tenant's overrides can't be used, what held before holds on", "tenant", tenant, "err", err)
	}
}

// learn makes settings known, nil for none.
func (t *Tenants) learn(tenant string, l *Limits) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.wrong, tenant)
	if l == nil {
		delete(t.own, tenant)
		delete(t.made, tenant)
		return
	}
	t.own[tenant] = l
}

// learnUnlessSame keeps the pointer of settings that say the same.
func (t *Tenants) learnUnlessSame(tenant string, l *Limits) {
	t.mu.Lock()
	known := t.own[tenant]
	t.mu.Unlock()
	if known != nil && known.text() == l.text() {
		return
	}
	t.learn(tenant, l)
}

var errDamaged = errors.New("damaged")

func damaged(tenant string, err error) error {
	return fmt.Errorf("overrides of %s are %w: %w", tenant, errDamaged, err)
}
