package metrics

import (
	"context"
	"math"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb"
)

// Near answers small instant queries from the head of this process alone, by the call: no queue, no copies of
// chunks, no engine to set up. It is for rules, of which tens of thousands ask about the last minutes each minute.
//
// It answers only where it knows that it gives the engine's answer: what the query reads is in the head, in
// order, and nowhere else; the expression is of the kinds in near_plan.go; there are few series. Otherwise it says
// that it doesn't know, and the query goes the long way, which also finds the words for what is wrong with it.
//
// Safe for concurrent use.
type Near struct {
	engine *Engine
	heads  *Heads
	store  *BlockStore
	plans  *lru.Cache[string, *nearPlan] // by expression; nil: not of those kinds
}

// What a query of Near may read. More is for the queue, where others get their turn.
const (
	nearSeries  = 2_000
	nearSamples = 200_000
)

// nearPlans is how many expressions are kept as plans: those of the rules of a large installation.
const nearPlans = 32 << 10

// NewNear returns a Near over heads and store. Where others have metrics, too, it must not be asked.
func NewNear(e *Engine, heads *Heads, store *BlockStore) *Near {
	plans, err := lru.New[string, *nearPlan](nearPlans)
	if err != nil {
		panic("metrics: a cache of a positive size: " + err.Error())
	}
	return &Near{engine: e, heads: heads, store: store, plans: plans}
}

// Instant answers an expression at a time in milliseconds, or returns false if it doesn't know the answer. The
// vector is the caller's.
func (n *Near) Instant(ctx context.Context, tenant, expr string, at int64) (promql.Vector, bool) {
	p, ok := n.plans.Get(expr)
	if !ok {
		p = n.engine.planNear(expr)
		n.plans.Add(expr, p)
	}
	if p == nil || ctx.Err() != nil {
		return nil, false
	}
	from, to := at-p.oldest, at-p.newest
	t, err := n.heads.head(tenant, false)
	if err != nil || t == nil {
		return nil, false
	}
	defer t.release()
	if n.heads.deleted(tenant).Overlapping(from, to) != nil {
		return nil, false
	}
	r, ok := n.open(t, tenant, from, to)
	if !ok {
		return nil, false
	}
	defer r.close()
	r.ctx, r.at = ctx, at
	out := p.root.eval(r)
	if r.unknown {
		return nil, false
	}
	for i := range out {
		out[i].T = at
	}
	n.engine.queries.WithLabelValues("head").Inc()
	return out, true
}

// open returns a reader of the head, if everything between two times is there and in order.
//
// The head is opened before the other places are looked at: what has left it since is seen there, and a
// truncation of the head waits for those who read it.
func (n *Near) open(t *head, tenant string, from, to int64) (*nearReader, bool) {
	db := t.db.Head()
	window := tsdb.NewRangeHead(db, from, to)
	index, err := window.Index()
	if err != nil {
		return nil, false
	}
	chunks, err := window.Chunks()
	if err != nil {
		_ = index.Close()
		return nil, false
	}
	r := &nearReader{index: index, chunks: chunks, series: nearSeries, samples: nearSamples}
	if shut, again, _ := db.IsQuerierCollidingWithTruncation(from, to); shut || again || n.elsewhere(t, tenant, from, to) {
		r.close()
		return nil, false
	}
	return r, true
}

// elsewhere reports whether there are samples between two times that the head doesn't show in order.
func (n *Near) elsewhere(t *head, tenant string, from, to int64) bool {
	db := t.db.Head()
	if lo, hi := db.MinOOOTime(), db.MaxOOOTime(); lo <= to && from <= hi && lo != math.MaxInt64 {
		return true
	}
	for _, b := range t.db.Blocks() {
		if b.OverlapsClosedInterval(from, to) {
			return true
		}
	}
	return n.store.holds(tenant, from, to)
}

// holds reports whether a block in the bucket may have samples between two times.
func (s *BlockStore) holds(tenant string, from, to int64) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, m := range s.active[tenant] {
		if m.MinTime <= to && from < m.MaxTime {
			return true
		}
	}
	return false
}
