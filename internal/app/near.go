package app

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/promql"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/ring"
	"github.com/hune-io/hune/internal/ruler"
)

// makeNear returns what answers small questions of rules without the queue. Nil where other servers hold metrics,
// too. In a cluster it knows no answer while there are other members, whose heads may hold more.
func (a *App) makeNear(engine *metrics.Engine) ruler.Near {
	if a.heads == nil || a.blocks == nil || len(a.cfg.Metrics.StoreEndpoints) > 0 {
		return nil
	}
	return near{metrics.NewNear(engine, a.heads, a.blocks), a.overrides, a.rings["ingester"]}
}

// near applies the one limit of the frontend that can matter to rules: how far back a tenant may look.
type near struct {
	*metrics.Near
	limits  *limits.Overrides
	members *ring.Ring // of those that have heads
}

// Instant implements ruler.Near.
func (n near) Instant(ctx context.Context, tenant, expr string, at int64) (promql.Vector, bool) {
	if len(n.members.Known()) > 0 {
		return nil, false
	}
	back := time.Duration(n.limits.For(tenant).Queries.MaxLookback)
	if back > 0 && at < time.Now().Add(-back).UnixMilli() {
		return nil, false
	}
	return n.Near.Instant(ctx, tenant, expr, at)
}
