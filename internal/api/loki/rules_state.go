package loki

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

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

// ruleState is what all rules show. Rules are not evaluated: their health is unknown.
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

// alertState is a rule that raises alerts. Durations are seconds.
type alertState struct {
	State         string            `json:"state"`
	Duration      float64           `json:"duration"`
	KeepFiringFor float64           `json:"keepFiringFor"`
	Annotations   map[string]string `json:"annotations"`
	Alerts        []struct{}        `json:"alerts"`
	ruleState
}

func (h *Handler) ruleStates(w http.ResponseWriter, r *http.Request) {
	groups, err := h.ruleGroups(r)
	if err != nil {
		writeRuleError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, ruleAnswer{Status: "success", Data: struct {
		Groups []groupState `json:"groups"`
	}{groups}})
}

// alertStates answers with the alerts that are pending or firing: none, since no rule is evaluated.
func (h *Handler) alertStates(w http.ResponseWriter, r *http.Request) {
	if _, err := tenant.FromContext(r.Context()); err != nil {
		writeRuleError(w, fault.New(fault.Invalid, err))
		return
	}
	writeJSON(w, http.StatusOK, ruleAnswer{Status: "success", Data: struct {
		Alerts []struct{} `json:"alerts"`
	}{[]struct{}{}}})
}

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
	for _, s := range found {
		if !want.group(s) {
			continue
		}
		g := groupState{Name: s.Group.Name, File: s.Namespace, Rules: []any{}, Interval: time.Duration(s.Group.Interval).Seconds(), Limit: s.Group.Limit}
		if s.Group.Interval == 0 {
			g.Interval = defaultRuleInterval.Seconds()
		}
		for i := range s.Group.Rules {
			if rule := &s.Group.Rules[i]; want.rule(rule) {
				g.Rules = append(g.Rules, stateOf(rule, s.Group.Labels))
			}
		}
		if len(g.Rules) > 0 || !want.rules() {
			groups = append(groups, g)
		}
	}
	return groups, nil
}

func stateOf(r *rules.Rule, ofGroup map[string]string) any {
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
	return alertState{State: "inactive", Duration: time.Duration(r.For).Seconds(), KeepFiringFor: time.Duration(r.KeepFiringFor).Seconds(),
		Annotations: annotations, Alerts: []struct{}{}, ruleState: common}
}

// ruleFilter is what the parameters of Prometheus's API leave.
type ruleFilter struct {
	kind                 string // alert, record or ""
	names, groups, files []string
}

func ruleFilterOf(r *http.Request) (f ruleFilter, err error) {
	q := r.URL.Query()
	// Loki's names and, with brackets, Prometheus's.
	both := func(name string) []string { return append(q[name], q[name+"[]"]...) }
	f = ruleFilter{strings.ToLower(q.Get("type")), both("rule_name"), both("rule_group"), both("file")}
	if f.kind != "" && f.kind != "alert" && f.kind != "record" {
		return f, fault.Invalidf("not supported value %q", f.kind)
	}
	if text := q.Get("exclude_alerts"); text != "" {
		if _, err := strconv.ParseBool(strings.ToLower(text)); err != nil {
			return f, fault.Invalidf("invalid parameter %q: %q is neither true nor false", "exclude_alerts", text)
		}
	}
	return f, nil
}

func (f *ruleFilter) group(s rules.Stored) bool {
	return (len(f.groups) == 0 || slices.Contains(f.groups, s.Group.Name)) && (len(f.files) == 0 || slices.Contains(f.files, s.Namespace))
}

// rules reports whether single rules are left out.
func (f *ruleFilter) rules() bool { return f.kind != "" || len(f.names) > 0 }

func (f *ruleFilter) rule(r *rules.Rule) bool {
	kind, name := "alert", r.Alert
	if r.Record != "" {
		kind, name = "record", r.Record
	}
	return (f.kind == "" || f.kind == kind) && (len(f.names) == 0 || slices.Contains(f.names, name))
}
