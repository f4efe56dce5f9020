package loki

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	promrules "github.com/prometheus/prometheus/rules"

	"github.com/hune-io/hune/internal/api/ruleconfig"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/rules"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/tenant"
)

// defaultRuleInterval is shown for groups that name none.
const defaultRuleInterval = time.Minute

// groupState is a group as Prometheus's API shows it; its file is the namespace.
type groupState struct {
	Name           string    `json:"name"`
	File           string    `json:"file"`
	Rules          []any     `json:"rules"`
	Interval       float64   `json:"interval"`
	Limit          int       `json:"limit"`
	LastEvaluation time.Time `json:"lastEvaluation"`
	EvaluationTime float64   `json:"evaluationTime"`
}

// ruleState is what all rules show. The health of rules that were not evaluated yet is unknown.
type ruleState struct {
	Name           string            `json:"name"`
	Query          string            `json:"query"`
	Labels         map[string]string `json:"labels"`
	Health         string            `json:"health"`
	LastError      string            `json:"lastError"`
	Type           string            `json:"type"`
	LastEvaluation time.Time         `json:"lastEvaluation"`
	EvaluationTime float64           `json:"evaluationTime"`
}

// alertRuleState is a rule that raises alerts. Durations are seconds.
type alertRuleState struct {
	State         string            `json:"state"`
	Duration      float64           `json:"duration"`
	KeepFiringFor float64           `json:"keepFiringFor"`
	Annotations   map[string]string `json:"annotations"`
	Alerts        []alertState      `json:"alerts"`
	ruleState
}

// alertState is an alert that is pending or firing.
type alertState struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	State       string            `json:"state"`
	ActiveAt    *time.Time        `json:"activeAt,omitempty"`
	Value       string            `json:"value"`
}

// RuleStates shows the rules that are evaluated.
type RuleStates interface {
	// Groups returns the groups of a tenant that are asked of a signal.
	Groups(tenant string, s signal.Signal) []*promrules.Group
}

func (h *Handler) ruleStates(w http.ResponseWriter, r *http.Request) {
	groups, err := h.ruleGroups(r)
	if err != nil {
		ruleconfig.WriteError(w, err)
		return
	}
	ruleconfig.WriteJSON(w, http.StatusOK, ruleconfig.Answer{Status: "success", Data: struct {
		Groups []groupState `json:"groups"`
	}{groups}})
}

// alertStates answers with the alerts that are pending or firing.
func (h *Handler) alertStates(w http.ResponseWriter, r *http.Request) {
	id, err := tenant.FromContext(r.Context())
	if err != nil {
		ruleconfig.WriteError(w, fault.New(fault.Invalid, err))
		return
	}
	alerts := []alertState{}
	for _, g := range h.evaluated(id) {
		for _, rule := range g.AlertingRules() {
			alerts = append(alerts, alertsOf(rule)...)
		}
	}
	ruleconfig.WriteJSON(w, http.StatusOK, ruleconfig.Answer{Status: "success", Data: struct {
		Alerts []alertState `json:"alerts"`
	}{alerts}})
}

// evaluated returns the groups that the ruler of this process evaluates.
func (h *Handler) evaluated(id string) []*promrules.Group {
	if h.o.RuleStates == nil {
		return nil
	}
	return h.o.RuleStates.Groups(id, signal.Logs)
}

// ruleGroups returns the groups that are evaluated, and those that are stored and wait for it.
func (h *Handler) ruleGroups(r *http.Request) ([]groupState, error) {
	id, err := tenant.FromContext(r.Context())
	if err != nil {
		return nil, fault.New(fault.Invalid, err)
	}
	want, err := ruleFilterOf(r)
	if err != nil {
		return nil, err
	}
	found, err := h.o.Rules.List(r.Context(), id, signal.Logs, "")
	if err != nil {
		return nil, err
	}
	groups := []groupState{}
	add := func(g groupState) {
		if len(g.Rules) > 0 || !want.rules() {
			groups = append(groups, g)
		}
	}
	known := map[string]bool{}
	for _, e := range h.evaluated(id) {
		known[promrules.GroupKey(e.File(), e.Name())] = true
		if want.group(e.File(), e.Name()) {
			add(evaluatedGroup(e, want))
		}
	}
	for _, s := range found {
		if want.group(s.Namespace, s.Group.Name) && !known[promrules.GroupKey(s.Namespace, s.Group.Name)] {
			add(storedGroup(s, want))
		}
	}
	return groups, nil
}

// evaluatedGroup shows a group with what its last evaluation gave.
func evaluatedGroup(e *promrules.Group, want ruleFilter) groupState {
	g := groupState{Name: e.Name(), File: e.File(), Rules: []any{}, Interval: e.Interval().Seconds(), Limit: e.Limit(),
		LastEvaluation: e.GetLastEvaluation(), EvaluationTime: e.GetEvaluationTime().Seconds()}
	for _, rule := range e.Rules() {
		common := ruleState{Name: rule.Name(), Query: rule.Query().String(), Labels: rule.Labels().Map(), Health: string(rule.Health()), Type: "recording",
			LastEvaluation: rule.GetEvaluationTimestamp(), EvaluationTime: rule.GetEvaluationDuration().Seconds()}
		if err := rule.LastError(); err != nil {
			common.LastError = err.Error()
		}
		alerting, ok := rule.(*promrules.AlertingRule)
		if !want.rule(map[bool]string{true: "alert", false: "record"}[ok], rule.Name()) {
			continue
		}
		if !ok {
			g.Rules = append(g.Rules, common)
			continue
		}
		common.Type = "alerting"
		state := alertRuleState{State: alerting.State().String(), Duration: alerting.HoldDuration().Seconds(), KeepFiringFor: alerting.KeepFiringFor().Seconds(),
			Annotations: alerting.Annotations().Map(), Alerts: []alertState{}, ruleState: common}
		if !want.noAlerts {
			state.Alerts = append(state.Alerts, alertsOf(alerting)...)
		}
		g.Rules = append(g.Rules, state)
	}
	return g
}

// alertsOf returns the alerts of a rule that are pending or firing.
func alertsOf(rule *promrules.AlertingRule) (out []alertState) {
	for _, a := range rule.ActiveAlerts() {
		at := a.ActiveAt
		out = append(out, alertState{Labels: a.Labels.Map(), Annotations: a.Annotations.Map(), State: a.State.String(), ActiveAt: &at,
			Value: strconv.FormatFloat(a.Value, 'e', -1, 64)})
	}
	return out
}

// storedGroup shows a group that was not evaluated yet.
func storedGroup(s rules.Stored, want ruleFilter) groupState {
	g := groupState{Name: s.Group.Name, File: s.Namespace, Rules: []any{}, Interval: time.Duration(s.Group.Interval).Seconds(), Limit: s.Group.Limit}
	if s.Group.Interval == 0 {
		g.Interval = defaultRuleInterval.Seconds()
	}
	for i := range s.Group.Rules {
		r := &s.Group.Rules[i]
		kind, name := "alert", r.Alert
		if r.Record != "" {
			kind, name = "record", r.Record
		}
		if want.rule(kind, name) {
			g.Rules = append(g.Rules, storedRule(r, s.Group.Labels))
		}
	}
	return g
}

func storedRule(r *rules.Rule, ofGroup map[string]string) any {
	labels := map[string]string{}
	for _, of := range []map[string]string{ofGroup, r.Labels} {
		for name, value := range of {
			labels[name] = value
		}
	}
	common := ruleState{Name: r.Record, Query: r.Expr, Labels: labels, Health: "unknown", Type: "recording"}
	if r.Record != "" {
		return common
	}
	common.Name, common.Type = r.Alert, "alerting"
	annotations := r.Annotations
	if annotations == nil {
		annotations = map[string]string{}
	}
	return alertRuleState{State: "inactive", Duration: time.Duration(r.For).Seconds(), KeepFiringFor: time.Duration(r.KeepFiringFor).Seconds(),
		Annotations: annotations, Alerts: []alertState{}, ruleState: common}
}

// ruleFilter is what the parameters of Prometheus's API leave.
type ruleFilter struct {
	kind                 string // alert, record or ""
	names, groups, files []string
	noAlerts             bool
}

func ruleFilterOf(r *http.Request) (f ruleFilter, err error) {
	q := r.URL.Query()
	// Loki's names and, with brackets, Prometheus's.
	both := func(name string) []string { return append(q[name], q[name+"[]"]...) }
	f = ruleFilter{kind: strings.ToLower(q.Get("type")), names: both("rule_name"), groups: both("rule_group"), files: both("file")}
	if f.kind != "" && f.kind != "alert" && f.kind != "record" {
		return f, fault.Invalidf("not supported value %q", f.kind)
	}
	if text := q.Get("exclude_alerts"); text != "" {
		if f.noAlerts, err = strconv.ParseBool(strings.ToLower(text)); err != nil {
			return f, fault.Invalidf("invalid parameter %q: %q is neither true nor false", "exclude_alerts", text)
		}
	}
	return f, nil
}

func (f *ruleFilter) group(file, name string) bool {
	return (len(f.groups) == 0 || slices.Contains(f.groups, name)) && (len(f.files) == 0 || slices.Contains(f.files, file))
}

// rules reports whether single rules are left out.
func (f *ruleFilter) rules() bool { return f.kind != "" || len(f.names) > 0 }

func (f *ruleFilter) rule(kind, name string) bool {
	return (f.kind == "" || f.kind == kind) && (len(f.names) == 0 || slices.Contains(f.names, name))
}
