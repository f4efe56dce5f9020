// Package alerting answers what the page asks about alerts and no other protocol tells:
//
//	GET /api/hune/v1/rules?signal=S          groups of all signals, or of those named, in Prometheus's form; with active=true
//	                                         only rules that have alerts, with exclude_alerts=true no alerts
//	GET /api/hune/v1/alertmanager/routes     the routing tree; with label=NAME=VALUE, repeated, where such an alert goes; external
//	                                         is true where alerts are sent to Alertmanagers elsewhere
//
// Both answer in Prometheus's envelope: {"status": "success", "data": …}, or "error" with errorType and error.
package alerting

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	promrules "github.com/prometheus/prometheus/rules"

	"github.com/hune-io/hune/internal/alertmanager"
	"github.com/hune-io/hune/internal/api/ruleconfig"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/tenant"
)

// Rules shows the groups that this process evaluates.
type Rules interface {
	Groups(tenant string, s signal.Signal) []*promrules.Group
}

// Routes shows where alerts go. Errors are classed.
type Routes interface {
	Routes(ctx context.Context, tenant string, labels model.LabelSet) (*alertmanager.Route, []string, error)
}

// Options are the roles that are asked; nil where this process runs none.
type Options struct {
	Rules  Rules
	Routes Routes
	// External says that alerts are sent to Alertmanagers elsewhere: routes and silences here touch none of them.
	External bool
}

// API serves it.
type API struct{ o Options }

// New returns an API.
func New(o Options) *API { return &API{o} }

// Register adds the handlers to mux.
func (a *API) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/hune/v1/rules", answered(a.rules))
	mux.HandleFunc("GET /api/hune/v1/alertmanager/routes", answered(a.routes))
}

func answered(f func(*http.Request, string) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := tenant.FromContext(r.Context())
		if err != nil {
			ruleconfig.WriteError(w, fault.New(fault.Invalid, err))
			return
		}
		data, err := f(r, id)
		if err != nil {
			ruleconfig.WriteError(w, err)
			return
		}
		ruleconfig.WriteJSON(w, http.StatusOK, ruleconfig.Answer{Status: "success", Data: data})
	}
}

// group is a group as Prometheus shows it, with the signal that its rules ask.
type group struct {
	Signal signal.Signal `json:"signal"`
	ruleconfig.GroupState
}

func (a *API) rules(r *http.Request, id string) (any, error) {
	if a.o.Rules == nil {
		return nil, fault.Errorf(fault.NotFound, "the role ruler does not run in this process")
	}
	asked := r.URL.Query()["signal"]
	for _, name := range asked {
		if !slices.Contains(signal.All, signal.Signal(name)) {
			return nil, fault.Invalidf("signal: %q is none of metrics, logs and traces", name)
		}
	}
	active, err := boolParam(r, "active")
	if err != nil {
		return nil, err
	}
	without, err := boolParam(r, "exclude_alerts")
	switch {
	case err != nil:
		return nil, err
	case active && without:
		return nil, fault.Invalidf("active and exclude_alerts exclude each other")
	}
	groups := []group{}
	for _, s := range signal.All {
		if len(asked) > 0 && !slices.Contains(asked, string(s)) {
			continue
		}
		for _, e := range a.o.Rules.Groups(id, s) {
			state := ruleconfig.StateOf(e, func(string, string) bool { return true }, !without)
			if active {
				state.Rules = slices.DeleteFunc(state.Rules, quiet)
			}
			if len(state.Rules) > 0 || !active {
				groups = append(groups, group{s, state})
			}
		}
	}
	return map[string]any{"groups": groups}, nil
}

// quiet reports that a rule has no alerts.
func quiet(rule any) bool {
	alerting, ok := rule.(ruleconfig.AlertRuleState)
	return !ok || len(alerting.Alerts) == 0
}

func boolParam(r *http.Request, name string) (bool, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return false, nil
	}
	v, err := strconv.ParseBool(text)
	if err != nil {
		return false, fault.Invalidf("%s: %q is neither true nor false", name, text)
	}
	return v, nil
}

// maxLabels bounds the labels of one question.
const maxLabels = 200

func (a *API) routes(r *http.Request, id string) (any, error) {
	if a.o.Routes == nil {
		return nil, fault.Errorf(fault.NotFound, "the role alertmanager does not run in this process")
	}
	given := r.URL.Query()["label"]
	if len(given) > maxLabels {
		return nil, fault.Invalidf("label: %d labels, at most %d are taken", len(given), maxLabels)
	}
	ls := model.LabelSet{}
	for _, text := range given {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, fault.Invalidf("label: %q is not NAME=VALUE", text)
		}
		if _, twice := ls[model.LabelName(name)]; twice {
			return nil, fault.Invalidf("label: %q is given twice", name)
		}
		ls[model.LabelName(name)] = model.LabelValue(value)
	}
	tree, receivers, err := a.o.Routes.Routes(r.Context(), id, ls)
	if err != nil {
		return nil, err
	}
	return struct {
		Route     *alertmanager.Route `json:"route"`
		Receivers []string            `json:"receivers"`
		External  bool                `json:"external"`
	}{tree, receivers, a.o.External}, nil
}
