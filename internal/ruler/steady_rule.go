package ruler

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	promrules "github.com/prometheus/prometheus/rules"

	"github.com/hune-io/hune/internal/metrics"
)

// resolvedRetention is for how long Prometheus's rule keeps an alert that has ended.
const resolvedRetention = 15 * time.Minute

// steadyRule is an alerting rule with what is known of its alerts since it was last evaluated.
//
// The alerts are the rule's own: they are written with its lock held, for those who list them, but read without. Who
// else writes them, its evaluation, does so in turn with this one.
type steadyRule struct {
	*promrules.AlertingRule

	detail   promrules.RuleDetail
	expander *expander
	link     string // to its query in the page
	interval time.Duration
	resend   time.Duration
	offset   func() time.Duration

	// ready says that the manager evaluated the rule last without a fault, and stored the series of its alerts.
	ready bool
	// done says that it was evaluated here in this turn.
	done bool
	// learnt says that what follows holds.
	learnt bool
	alerts []steadyAlert
	places map[uint64]int     // of alerts, by their sample's hash; nil: not yet needed
	ended  []*promrules.Alert // that were firing
	turn   uint64
}

// steadyAlert is an alert that is pending or firing.
type steadyAlert struct {
	*promrules.Alert

	metric          labels.Labels // of the sample that it comes from
	state, forState labels.Labels // its series
	turn            uint64        // when it was last found

	// made says that its labels and annotations are those of a sample of this value.
	made  bool
	value float64
}

// as reports whether the labels and annotations of the alert are those of a sample of its series, as far as they
// follow from that alone.
func (a *steadyAlert) as(s *promql.Sample) bool {
	return a.made && s.H == nil && math.Float64bits(a.value) == math.Float64bits(s.F)
}

// steadyRules returns what makes the rules of a manager.
func (r *Ruler) steadyRules(k key, o *promrules.ManagerOptions) func(*promrules.Group, *promrules.AlertingRule) *steadyRule {
	external := labels.FromMap(r.o.Config.ExternalLabels).Map()
	return func(g *promrules.Group, rule *promrules.AlertingRule) *steadyRule {
		detail := promrules.NewRuleDetail(rule)
		return &steadyRule{AlertingRule: rule, detail: detail, link: r.link(k.signal, detail.Query), interval: g.Interval(), resend: o.ResendDelay, offset: g.QueryOffset,
			expander: newExpander(rule, external, o.ExternalURL, o.Logger.With("alert", rule.Name()))}
	}
}

// evaluated notes that the manager has evaluated the rule.
func (s *steadyRule) evaluated() {
	s.ready = s.Restored() && s.Health() == promrules.HealthGood
}

// evaluate evaluates the rule if nothing becomes of its alerts but new values. Otherwise the answer of its query is
// left with the turn.
func (s *steadyRule) evaluate(ctx context.Context, t *turn, ask promrules.QueryFunc) bool {
	ctx = promrules.NewOriginContext(ctx, s.detail)
	offset := s.offset()
	vector, err := ask(ctx, s.detail.Query, t.at.Add(-offset))
	if err != nil || !s.holds(ctx, vector, t.at, ask) {
		s.learnt = false
		t.answers.put(s.detail, ruleAnswer{vector, err})
		return false
	}
	s.update(ctx, vector, t.at, ask)
	s.SetHealth(promrules.HealthGood)
	s.SetLastError(nil)
	t.resent.add(s.due(t.at))
	s.store(ctx, t.at.Add(-offset))
	return true
}

// holds reports whether the alerts of a vector are those that are known, and none is to fire, end or be forgotten.
func (s *steadyRule) holds(ctx context.Context, vector promql.Vector, at time.Time, ask promrules.QueryFunc) bool {
	if !s.learnt && !s.learn(ctx, vector, at, ask) {
		return false
	}
	if len(vector) != len(s.alerts) {
		return false
	}
	s.turn++
	for i := range vector {
		a := s.find(vector[i].Metric, i)
		if a == nil || a.turn == s.turn {
			return false
		}
		a.turn = s.turn
		if a.State == promrules.StatePending && at.Sub(a.ActiveAt) >= s.HoldDuration() {
			return false
		}
		if !s.expander.labels.stay(a.as(&vector[i])) && !labels.Equal(a.Labels, s.expander.labelsOf(ctx, &vector[i], at, ask)) {
			return false
		}
	}
	for _, a := range s.ended {
		if at.Sub(a.ResolvedAt) > resolvedRetention {
			return false
		}
	}
	return true
}

// find returns the alert of a sample's labels. Answers mostly come in one order.
func (s *steadyRule) find(metric labels.Labels, at int) *steadyAlert {
	if a := &s.alerts[at]; labels.Equal(a.metric, metric) {
		return a
	}
	if s.places == nil {
		s.places = make(map[uint64]int, len(s.alerts))
		for i := range s.alerts {
			s.places[s.alerts[i].metric.Hash()] = i
		}
	}
	if i, ok := s.places[metric.Hash()]; ok && labels.Equal(s.alerts[i].metric, metric) {
		return &s.alerts[i]
	}
	return nil
}

// learn reports whether the rule's alerts are those of a vector, and remembers them if so.
func (s *steadyRule) learn(ctx context.Context, vector promql.Vector, at time.Time, ask promrules.QueryFunc) bool {
	s.ended = s.ended[:0]
	var active map[uint64]*promrules.Alert
	s.ForEachActiveAlert(func(a *promrules.Alert) {
		if a.State == promrules.StateInactive {
			s.ended = append(s.ended, a)
			return
		}
		if active == nil {
			active = make(map[uint64]*promrules.Alert, len(vector))
		}
		active[a.Labels.Hash()] = a
	})
	if len(active) != len(vector) {
		return false
	}
	alerts := make([]steadyAlert, len(vector))
	for i := range vector {
		hash := s.expander.labelsOf(ctx, &vector[i], at, ask).Hash()
		a, ok := active[hash]
		if !ok {
			return false
		}
		delete(active, hash) // a second one would be a fault
		alerts[i] = steadyAlert{Alert: a, metric: vector[i].Metric, state: s.series("ALERTS", a), forState: s.series(forStateMetric, a)}
	}
	s.alerts, s.places, s.learnt = alerts, nil, true
	return true
}

// series returns the labels of one of an alert's series. As in Prometheus they have the rule's labels as they are in its
// file, where the alert has none of that name.
func (s *steadyRule) series(name string, a *promrules.Alert) labels.Labels {
	b := labels.NewBuilder(s.Labels())
	a.Labels.Range(func(l labels.Label) { b.Set(l.Name, l.Value) })
	b.Set(labels.MetricName, name)
	b.Set(labels.AlertName, s.Name())
	if name != forStateMetric {
		b.Set("alertstate", a.State.String())
	}
	return b.Labels()
}

// update gives the alerts their values, and the annotations that follow from them.
func (s *steadyRule) update(ctx context.Context, vector promql.Vector, at time.Time, ask promrules.QueryFunc) {
	type change struct {
		to          *steadyAlert
		value       float64
		annotations labels.Labels
	}
	var changed []change
	for i := range vector {
		a := s.find(vector[i].Metric, i)
		stay := s.expander.annotations.stay(a.as(&vector[i]))
		c := change{a, vector[i].F, a.Annotations}
		a.made, a.value = vector[i].H == nil, vector[i].F
		if !stay {
			var ok bool
			c.annotations, ok = s.expander.annotationsOf(ctx, &vector[i], at, ask)
			a.made = a.made && ok
		}
		if !stay || math.Float64bits(a.Value) != math.Float64bits(c.value) || !a.KeepFiringSince.IsZero() {
			changed = append(changed, c)
		}
	}
	if len(changed) == 0 {
		return
	}
	s.locked(func() {
		for _, c := range changed {
			c.to.Value, c.to.Annotations, c.to.KeepFiringSince = c.value, c.annotations, time.Time{}
		}
	})
}

// locked calls f with the lock of the rule's alerts, of which there must be one. The lock is not to be had but by
// walking over them.
func (s *steadyRule) locked(f func()) {
	called := false
	s.ForEachActiveAlert(func(*promrules.Alert) {
		if !called {
			called = true
			f()
		}
	})
}

// store records the series of the alerts, as of a time.
func (s *steadyRule) store(ctx context.Context, at time.Time) {
	if len(s.alerts) == 0 {
		return
	}
	t := at.UnixMilli()
	part := metrics.Batch{Series: make([]metrics.Series, 0, 2*len(s.alerts)), DiscardOutOfOrder: true}
	samples := make([]metrics.Sample, 0, 2*len(s.alerts))
	add := func(ls labels.Labels, v float64) {
		samples = append(samples, metrics.Sample{T: t, V: v})
		part.Series = append(part.Series, metrics.Series{Labels: ls, Samples: samples[len(samples)-1 : len(samples) : len(samples)]})
	}
	for i := range s.alerts {
		a := &s.alerts[i]
		add(a.state, 1)
		add(a.forState, float64(a.ActiveAt.Unix()))
	}
	b := batchOf(ctx)
	b.add(ctx, part, len(part.Series))
}

// due returns the alerts that the alertmanager was not told of for resend_delay. That they have ended it was told when they
// did.
func (s *steadyRule) due(at time.Time) []Alert {
	isDue := func(a *promrules.Alert) bool {
		return a.State != promrules.StatePending && a.LastSentAt.Add(s.resend).Before(at)
	}
	var told []*promrules.Alert
	for i := range s.alerts {
		if a := s.alerts[i].Alert; isDue(a) {
			told = append(told, a)
		}
	}
	for _, a := range s.ended {
		if isDue(a) {
			told = append(told, a)
		}
	}
	if len(told) == 0 {
		return nil
	}
	until := at.Add(4 * max(s.interval, s.resend)) // as Prometheus gives them
	out := make([]Alert, len(told))
	s.locked(func() {
		for i, a := range told {
			a.LastSentAt, a.ValidUntil = at, until
			out[i] = alertOf(a, s.link)
		}
	})
	return out
}
