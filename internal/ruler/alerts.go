package ruler

import (
	"context"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	promrules "github.com/prometheus/prometheus/rules"

	"github.com/hune-io/hune/internal/history"
	"github.com/hune-io/hune/internal/signal"
)

// Alert is an alert of a rule that fires, or has ended if EndsAt is past.
type Alert struct {
	Labels, Annotations labels.Labels
	StartsAt, EndsAt    time.Time
	GeneratorURL        string // the query in the page
}

// Sender takes alerts of a tenant. When it returns nil they reach who is to be told, whatever dies.
type Sender interface {
	SendAlerts(ctx context.Context, tenant string, alerts []Alert) error
}

// notify returns what a manager hands its alerts to.
func (r *Ruler) notify(k key) promrules.NotifyFunc {
	return func(ctx context.Context, expr string, alerts ...*promrules.Alert) {
		if len(alerts) == 0 {
			return
		}
		out := make([]Alert, len(alerts))
		link := r.link(k.signal, expr)
		for i, a := range alerts {
			out[i] = alertOf(a, link)
		}
		r.deliver(ctx, k, out)
	}
}

// alertOf is an alert as it is sent.
func alertOf(a *promrules.Alert, link string) Alert {
	out := Alert{Labels: a.Labels, Annotations: a.Annotations, StartsAt: a.FiredAt, EndsAt: a.ResolvedAt, GeneratorURL: link}
	if out.EndsAt.IsZero() {
		out.EndsAt = a.ValidUntil
	}
	return out
}

// deliver hands over alerts of a manager.
func (r *Ruler) deliver(ctx context.Context, k key, alerts []Alert) {
	if err := r.o.Alerts.SendAlerts(ctx, k.tenant, alerts); err != nil && ctx.Err() == nil {
		// They are sent again after resend_delay.
		r.o.Logger.Error("alerts were not sent", "tenant", k.tenant, "alerts", len(alerts), "err", err)
	}
}

// link is an expression's address in the page.
func (r *Ruler) link(s signal.Signal, expr string) string {
	param := map[signal.Signal]string{signal.Metrics: "m", signal.Logs: "l", signal.Traces: "t"}[s]
	u := r.o.ExternalURL.JoinPath("ui", "explore", string(s))
	u.RawQuery = url.Values{param: {expr}}.Encode()
	return u.String()
}

// changes evaluates groups, and tells the history about changes of state. An alert that ends without having fired
// leaves no trace in the rule manager, so pending ones are remembered from one evaluation to the next.
type changes struct {
	r      *Ruler
	tenant string
	steady *steadyGroups
	now    func() time.Time

	mu      sync.Mutex
	pending map[*promrules.AlertingRule]map[uint64]labels.Labels
}

// iterate evaluates a group.
func (c *changes) iterate(ctx context.Context, g *promrules.Group, at time.Time) {
	b := newBatch(c.r.o.Pusher, c.tenant, c.now)
	t := newTurn(c.steady.of(g), at)
	promrules.DefaultEvalIterationFunc(t.with(b.with(ctx)), g, at)
	c.r.metrics.GroupSamples.WithLabelValues(promrules.GroupKey(g.File(), g.Name())).Set(float64(b.recorded))
	for _, rule := range t.group.rules {
		if rule != nil && !rule.done {
			rule.evaluated()
			c.record(g, rule.AlertingRule, at)
		}
	}
	b.end(ctx, g, func(rule promrules.Rule, err error) {
		c.r.metrics.EvalFailures.WithLabelValues(promrules.GroupKey(g.File(), g.Name())).Inc()
		c.r.o.Logger.Warn("what a rule records was not stored", "tenant", c.tenant, "file", g.File(), "group", g.Name(), "rule", rule.Name(), "err", err)
	})
}

// record compares a rule's alerts with the evaluation before: what changed now carries its time.
func (c *changes) record(g *promrules.Group, rule *promrules.AlertingRule, at time.Time) {
	c.mu.Lock()
	before := c.pending[rule]
	c.mu.Unlock()
	var now map[uint64]labels.Labels
	known := map[uint64]bool{} // of those before
	rule.ForEachActiveAlert(func(a *promrules.Alert) {
		if len(before) > 0 {
			known[a.Labels.Hash()] = true
		}
		e := history.Event{}
		switch {
		case a.State == promrules.StatePending:
			if now == nil {
				now = map[uint64]labels.Labels{}
			}
			now[a.Labels.Hash()] = a.Labels
			if a.ActiveAt.Equal(at) {
				e = event(g, rule, a.Labels, "inactive", "pending")
			}
		case a.State == promrules.StateFiring && a.FiredAt.Equal(at):
			from := "pending"
			if a.ActiveAt.Equal(at) {
				from = "inactive"
			}
			e = event(g, rule, a.Labels, from, "firing")
		case a.State == promrules.StateInactive && a.ResolvedAt.Equal(at):
			e = event(g, rule, a.Labels, "firing", "inactive")
		}
		if e.Event != "" {
			e.Value = strconv.FormatFloat(a.Value, 'g', -1, 64)
			c.r.o.History.Record(c.tenant, e)
		}
	})
	for fp, ls := range before {
		if !known[fp] {
			c.r.o.History.Record(c.tenant, event(g, rule, ls, "pending", "inactive"))
		}
	}
	if len(before) == 0 && len(now) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(now) == 0 {
		delete(c.pending, rule)
		return
	}
	c.pending[rule] = now
}

func event(g *promrules.Group, rule *promrules.AlertingRule, ls labels.Labels, from, to string) history.Event {
	out := map[string]string{}
	ls.Range(func(l labels.Label) {
		if l.Name != model.AlertNameLabel {
			out[l.Name] = l.Value
		}
	})
	return history.Event{Event: history.StateChange, AlertName: rule.Name(), Labels: out, From: from, State: to, Group: g.Name(), File: g.File()}
}
