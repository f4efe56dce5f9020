package ruleconfig

import (
	"strconv"
	"time"

	promrules "github.com/prometheus/prometheus/rules"
)

// GroupState is a group as the APIs of Prometheus and Loki show it; of a group set over the API the file
// is the namespace. Durations are seconds.
type GroupState struct {
	Name           string    `json:"name"`
	File           string    `json:"file"`
	Rules          []any     `json:"rules"` // RuleState, AlertRuleState
	Interval       float64   `json:"interval"`
	Limit          int       `json:"limit"`
	LastEvaluation time.Time `json:"lastEvaluation"`
	EvaluationTime float64   `json:"evaluationTime"`
}

// RuleState is what all rules show. The health of rules that were not evaluated yet is unknown.
type RuleState struct {
	Name           string            `json:"name"`
	Query          string            `json:"query"`
	Labels         map[string]string `json:"labels"`
	Health         string            `json:"health"`
	LastError      string            `json:"lastError"`
	Type           string            `json:"type"`
	LastEvaluation time.Time         `json:"lastEvaluation"`
	EvaluationTime float64           `json:"evaluationTime"`
}

// AlertRuleState is a rule that raises alerts. Durations are seconds.
type AlertRuleState struct {
	State         string            `json:"state"`
	Duration      float64           `json:"duration"`
	KeepFiringFor float64           `json:"keepFiringFor"`
	Annotations   map[string]string `json:"annotations"`
	Alerts        []AlertState      `json:"alerts"`
	RuleState
}

// AlertState is an alert that is pending or firing.
type AlertState struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	State       string            `json:"state"`
	ActiveAt    *time.Time        `json:"activeAt,omitempty"`
	Value       string            `json:"value"`
}

// StateOf shows a group with what its last evaluation gave: the rules that want takes, by kind (alert,
// record) and name, and with alerts what they raised.
func StateOf(e *promrules.Group, want func(kind, name string) bool, alerts bool) GroupState {
	g := GroupState{Name: e.Name(), File: e.File(), Rules: []any{}, Interval: e.Interval().Seconds(), Limit: e.Limit(),
		LastEvaluation: e.GetLastEvaluation(), EvaluationTime: e.GetEvaluationTime().Seconds()}
	for _, rule := range e.Rules() {
		common := RuleState{Name: rule.Name(), Query: rule.Query().String(), Labels: rule.Labels().Map(), Health: string(rule.Health()), Type: "recording",
			LastEvaluation: rule.GetEvaluationTimestamp(), EvaluationTime: rule.GetEvaluationDuration().Seconds()}
		if err := rule.LastError(); err != nil {
			common.LastError = err.Error()
		}
		alerting, ok := rule.(*promrules.AlertingRule)
		if !want(map[bool]string{true: "alert", false: "record"}[ok], rule.Name()) {
			continue
		}
		if !ok {
			g.Rules = append(g.Rules, common)
			continue
		}
		common.Type = "alerting"
		state := AlertRuleState{State: alerting.State().String(), Duration: alerting.HoldDuration().Seconds(), KeepFiringFor: alerting.KeepFiringFor().Seconds(),
			Annotations: alerting.Annotations().Map(), Alerts: []AlertState{}, RuleState: common}
		if alerts {
			state.Alerts = append(state.Alerts, AlertsOf(alerting)...)
		}
		g.Rules = append(g.Rules, state)
	}
	return g
}

// AlertsOf returns the alerts of a rule that are pending or firing.
func AlertsOf(rule *promrules.AlertingRule) (out []AlertState) {
	for _, a := range rule.ActiveAlerts() {
		at := a.ActiveAt
		out = append(out, AlertState{Labels: a.Labels.Map(), Annotations: a.Annotations.Map(), State: a.State.String(), ActiveAt: &at,
			Value: strconv.FormatFloat(a.Value, 'e', -1, 64)})
	}
	return out
}
