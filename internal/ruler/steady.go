package ruler

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql"
	promrules "github.com/prometheus/prometheus/rules"
)

// Prometheus's rule manager makes the labels and annotations of each alert anew at each evaluation, from templates
// that it parses each time, although most evaluations find what the one before found. Here an alerting rule is looked
// at first: if its alerts are those of before, in the states of before, what is left to do is done here, see
// steady_rule.go, and the rule is left out of the evaluation of its group. Otherwise the manager's own rule evaluates
// it, over the answer that its query already has, and owns the alerts as ever: nothing becomes active, fires, ends
// or is forgotten but by it.
//
//	iterate ─► Group.Eval ─► steadyGroups.SplitGroupIntoBatches ─┬─ steady: samples, notifications
//	                                                             └─ others: AlertingRule.Eval, RecordingRule.Eval

// steadyGroups are the groups of one manager. It is the manager's RuleConcurrencyController, since that is asked
// which rules of a group are to be evaluated.
type steadyGroups struct {
	promrules.RuleConcurrencyController // upstream's

	ask     promrules.QueryFunc
	deliver func(context.Context, []Alert)
	metrics *promrules.Metrics
	make    func(*promrules.Group, *promrules.AlertingRule) *steadyRule
	// paused leaves all rules to the manager.
	paused atomic.Bool

	mu     sync.Mutex
	groups map[*promrules.Group]*steadyGroup
}

// steadyGroup is a group's rules by their index; nil: a recording rule.
type steadyGroup struct {
	rules []*steadyRule
	total prometheus.Counter // evaluations
}

// of returns what is known of a group.
func (s *steadyGroups) of(g *promrules.Group) *steadyGroup {
	s.mu.Lock()
	defer s.mu.Unlock()
	out, ok := s.groups[g]
	if !ok {
		rules := g.Rules()
		out = &steadyGroup{rules: make([]*steadyRule, len(rules)), total: s.metrics.EvalTotal.WithLabelValues(promrules.GroupKey(g.File(), g.Name()))}
		for i, rule := range rules {
			if alerting, ok := rule.(*promrules.AlertingRule); ok {
				out.rules[i] = s.make(g, alerting)
			}
		}
		s.groups[g] = out
	}
	return out
}

// keep forgets all groups but these.
func (s *steadyGroups) keep(groups []*promrules.Group) {
	live := make(map[*promrules.Group]bool, len(groups))
	for _, g := range groups {
		live[g] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for g := range s.groups {
		if !live[g] {
			delete(s.groups, g)
		}
	}
}

// turn is one evaluation of a group.
type turn struct {
	at      time.Time
	group   *steadyGroup
	answers *answers
	resent  *resent
	inner   []promrules.ConcurrentRules // of an Eval within the Eval: what it is to evaluate
}

func newTurn(g *steadyGroup, at time.Time) *turn {
	for _, rule := range g.rules {
		if rule != nil {
			rule.done = false
		}
	}
	return &turn{at: at, group: g, answers: &answers{of: map[ruleQuestion][]ruleAnswer{}}, resent: &resent{}}
}

type turnKey struct{}

// with returns a context for the evaluation.
func (t *turn) with(ctx context.Context) context.Context {
	return context.WithValue(ctx, turnKey{}, t)
}

// turnOf returns the turn of a context, or nil.
func turnOf(ctx context.Context) *turn {
	t, _ := ctx.Value(turnKey{}).(*turn)
	return t
}

// answers are those of the queries of rules that are not steady, for the manager's evaluation of them.
type answers struct {
	mu sync.Mutex
	of map[ruleQuestion][]ruleAnswer
}

// ruleQuestion names a rule by what its evaluation tells of itself.
type ruleQuestion struct{ name, expr string }

type ruleAnswer struct {
	vector promql.Vector
	err    error
}

func (a *answers) put(rule promrules.RuleDetail, answer ruleAnswer) {
	q := ruleQuestion{rule.Name, rule.Query}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.of[q] = append(a.of[q], answer)
}

// take returns an answer if there is one, each once: two rules may have one name and query.
func (a *answers) take(rule promrules.RuleDetail) (ruleAnswer, bool) {
	q := ruleQuestion{rule.Name, rule.Query}
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.of[q]
	if len(all) == 0 {
		return ruleAnswer{}, false
	}
	a.of[q] = all[1:]
	return all[0], true
}

// answered returns the answer to the query of the rule that is evaluated, if it was asked before in this turn.
func answered(ctx context.Context, expr string) (ruleAnswer, bool) {
	t := turnOf(ctx)
	if t == nil {
		return ruleAnswer{}, false
	}
	rule := promrules.FromOriginContext(ctx)
	if rule.Kind != promrules.KindAlerting || rule.Query != expr {
		return ruleAnswer{}, false
	}
	return t.answers.take(rule)
}

// resent are alerts that the alertmanager was told of before: they can wait for those of other rules. Each call may have it
// sync its log.
type resent struct {
	mu     sync.Mutex
	alerts []Alert
}

func (r *resent) add(alerts []Alert) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.alerts = append(r.alerts, alerts...)
}

// maxResent bounds the alerts of one call: in a cluster it becomes a request to each other member.
const maxResent = 1000

// take returns what was added, in parts.
func (r *resent) take() (parts [][]Alert) {
	r.mu.Lock()
	defer r.mu.Unlock()
	parts = slices.Collect(slices.Chunk(r.alerts, maxResent))
	r.alerts = nil
	return parts
}

// SplitGroupIntoBatches evaluates the rules that are steady, and returns the others. Where rules wait for others, those
// that are waited for are evaluated before it returns, by an Eval within the Eval.
func (s *steadyGroups) SplitGroupIntoBatches(ctx context.Context, g *promrules.Group) []promrules.ConcurrentRules {
	t := turnOf(ctx)
	if t != nil && t.inner != nil {
		return t.inner
	}
	batches := s.RuleConcurrencyController.SplitGroupIntoBatches(ctx, g)
	if t == nil {
		return batches
	}
	for i, batch := range batches {
		rest := []promrules.ConcurrentRules{s.steady(ctx, g, t, batch)}
		if i == len(batches)-1 {
			return rest
		}
		if len(rest[0]) > 0 {
			inner := *t
			inner.inner = rest
			g.Eval(inner.with(ctx), t.at)
		}
	}
	return batches
}

// steady evaluates those of rules that are steady, as many at once as the manager allows, and returns the others in order.
func (s *steadyGroups) steady(ctx context.Context, g *promrules.Group, t *turn, indexes promrules.ConcurrentRules) promrules.ConcurrentRules {
	var all sync.WaitGroup
	for _, i := range indexes {
		rule := t.group.rules[i]
		if rule == nil || !rule.ready || s.paused.Load() {
			continue
		}
		one := func() {
			began := time.Now()
			if rule.done = rule.evaluate(ctx, t, s.ask); !rule.done {
				return
			}
			took := time.Since(began)
			t.group.total.Inc()
			s.metrics.EvalDuration.Observe(took.Seconds())
			s.metrics.EvalDurationHistogram.Observe(took.Seconds())
			rule.SetEvaluationDuration(took)
			rule.SetEvaluationTimestamp(began)
		}
		if len(indexes) > 1 && s.Allow(ctx, g, rule.AlertingRule) {
			all.Go(func() {
				defer s.Done(ctx)
				one()
			})
			continue
		}
		one()
	}
	all.Wait()
	for _, alerts := range t.resent.take() {
		s.deliver(ctx, alerts)
	}
	rest := promrules.ConcurrentRules{}
	for _, i := range indexes {
		if rule := t.group.rules[i]; rule == nil || !rule.done {
			rest = append(rest, i)
		}
	}
	return rest
}
