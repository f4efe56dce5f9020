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
		Groups []ruleconfig.GroupState `json:"groups"`
	}{groups}})
}

// alertStates answers with the alerts that are pending or firing.
func (h *Handler) alertStates(w http.ResponseWriter, r *http.Request) {
	id, err := tenant.FromContext(r.Context())
	if err != nil {
		ruleconfig.WriteError(w, fault.New(fault.Invalid, err))
		return
	}
	alerts := []ruleconfig.AlertState{}
	for _, g := range h.evaluated(id) {
		for _, rule := range g.AlertingRules() {
			alerts = append(alerts, ruleconfig.AlertsOf(rule)...)
		}
	}
	ruleconfig.WriteJSON(w, http.StatusOK, ruleconfig.Answer{Status: "success", Data: struct {
		Alerts []ruleconfig.AlertState `json:"alerts"`
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
func (h *Handler) ruleGroups(r *http.Request) ([]ruleconfig.GroupState, error) {
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
	groups := []ruleconfig.GroupState{}
	add := func(g ruleconfig.GroupState) {
		if len(g.Rules) > 0 || !want.rules() {
			groups = append(groups, g)
		}
	}
	known := map[string]bool{}
	for _, e := range h.evaluated(id) {
		known[promrules.GroupKey(e.File(), e.Name())] = true
		if want.group(e.File(), e.Name()) {
			add(ruleconfig.StateOf(e, want.rule, !want.noAlerts))
		}
	}
	for _, s := range found {
		if want.group(s.Namespace, s.Group.Name) && !known[promrules.GroupKey(s.Namespace, s.Group.Name)] {
			add(storedGroup(s, want))
		}
	}
	return groups, nil
}

// storedGroup shows a group that was not evaluated yet.
func storedGroup(s rules.Stored, want ruleFilter) ruleconfig.GroupState {
	g := ruleconfig.GroupState{Name: s.Group.Name, File: s.Namespace, Rules: []any{}, Interval: time.Duration(s.Group.Interval).Seconds(), Limit: s.Group.Limit}
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
	common := ruleconfig.RuleState{Name: r.Record, Query: r.Expr, Labels: labels, Health: "unknown", Type: "recording"}
	if r.Record != "" {
		return common
	}
	common.Name, common.Type = r.Alert, "alerting"
	annotations := r.Annotations
	if annotations == nil {
		annotations = map[string]string{}
	}
	return ruleconfig.AlertRuleState{State: "inactive", Duration: time.Duration(r.For).Seconds(), KeepFiringFor: time.Duration(r.KeepFiringFor).Seconds(),
		Annotations: annotations, Alerts: []ruleconfig.AlertState{}, RuleState: common}
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
