package thanos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/thanos-io/thanos/pkg/rules/rulespb"
	"github.com/thanos-io/thanos/pkg/store/labelpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hune-io/hune/internal/metrics/storeapi"
	"github.com/hune-io/hune/internal/tenant"
)

// Rules and targets are what Prometheus's API answers about those of this process: what is asked is the same, and so is what
// a Thanos Sidecar does.

// rulesServer implements rulespb.RulesServer.
type rulesServer struct{ *Server }

// Rules sends the groups of rules that this process evaluates, with external labels.
func (s rulesServer) Rules(r *rulespb.RulesRequest, stream rulespb.Rules_RulesServer) error {
	params := url.Values{"rule_name[]": r.RuleName, "rule_group[]": r.RuleGroup, "file[]": r.File, "match[]": r.MatcherString}
	if r.Type != rulespb.RulesRequest_ALL {
		params.Set("type", strings.ToLower(r.Type.String()))
	}
	var found struct{ Groups []ruleGroup }
	external, err := s.ask(stream.Context(), s.opts.Rules, "/api/v1/rules", params, &found)
	if err != nil {
		return err
	}
	for _, g := range found.Groups {
		if err := stream.Send(rulespb.NewRuleGroupRulesResponse(g.message(external))); err != nil {
			return err
		}
	}
	return nil
}

type ruleGroup struct {
	Name, File     string
	Interval       float64
	Limit          int64
	EvaluationTime float64
	LastEvaluation time.Time
	Rules          []rule
}

// rule is a recording or an alerting one.
type rule struct {
	Type, Name, Query, Health, LastError, State string
	Duration, KeepFiringFor, EvaluationTime     float64
	LastEvaluation                              time.Time
	Labels, Annotations                         map[string]string
	Alerts                                      []alert
}

type alert struct {
	Labels, Annotations map[string]string
	State, Value        string
	ActiveAt            *time.Time
}

func (g *ruleGroup) message(external labels.Labels) *rulespb.RuleGroup {
	out := &rulespb.RuleGroup{Name: g.Name, File: g.File, Interval: g.Interval, Limit: g.Limit, EvaluationDurationSeconds: g.EvaluationTime, LastEvaluation: g.LastEvaluation}
	for i := range g.Rules {
		out.Rules = append(out.Rules, g.Rules[i].message(external))
	}
	return out
}

func (r *rule) message(external labels.Labels) *rulespb.Rule {
	if r.Type == "recording" {
		return rulespb.NewRecordingRule(&rulespb.RecordingRule{Name: r.Name, Query: r.Query, Labels: labelSet(r.Labels, external), Health: r.Health,
			LastError: r.LastError, EvaluationDurationSeconds: r.EvaluationTime, LastEvaluation: r.LastEvaluation})
	}
	none := labels.EmptyLabels()
	out := &rulespb.Alert{Name: r.Name, Query: r.Query, State: alertState(r.State), DurationSeconds: r.Duration, KeepFiringForSeconds: r.KeepFiringFor,
		Labels: labelSet(r.Labels, external), Annotations: labelSet(r.Annotations, none), Health: r.Health,
		LastError: r.LastError, EvaluationDurationSeconds: r.EvaluationTime, LastEvaluation: r.LastEvaluation}
	for _, a := range r.Alerts {
		out.Alerts = append(out.Alerts, &rulespb.AlertInstance{Labels: labelSet(a.Labels, external), Annotations: labelSet(a.Annotations, none),
			State: alertState(a.State), ActiveAt: a.ActiveAt, Value: a.Value})
	}
	return rulespb.NewAlertingRule(out)
}

// alertState knows the states of Prometheus by name.
func alertState(name string) rulespb.AlertState {
	return rulespb.AlertState(rulespb.AlertState_value[strings.ToUpper(name)])
}

// labelSet makes labels of a map, with external ones that it has not itself.
func labelSet(own map[string]string, external labels.Labels) labelpb.ZLabelSet {
	b := labels.NewBuilder(external)
	for name, value := range own {
		b.Set(name, value)
	}
	return labelpb.ZLabelSet{Labels: storeapi.FromLabels(b.Labels())}
}

// ask puts a question to Prometheus's API of this process, reads the data of the answer into v and returns the tenant's
// external labels. Errors are statuses.
func (s *Server) ask(ctx context.Context, api http.Handler, path string, params url.Values, v any) (external labels.Labels, err error) {
	id, err := tenant.FromContext(ctx)
	if err != nil {
		return external, status.Error(codes.InvalidArgument, err.Error())
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, (&url.URL{Path: path, RawQuery: params.Encode()}).String(), nil)
	if err != nil {
		return external, status.Error(codes.Internal, err.Error())
	}
	w := &answer{header: http.Header{}, code: http.StatusOK}
	api.ServeHTTP(w, r)
	var envelope struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.Unmarshal(w.body.Bytes(), &envelope); err != nil {
		return external, status.Error(codes.Internal, fmt.Sprintf("answer of %s: %v", path, err))
	}
	switch {
	case envelope.Status == "success":
	case w.code == http.StatusBadRequest:
		return external, status.Error(codes.InvalidArgument, envelope.Error)
	default:
		return external, status.Error(codes.Unavailable, envelope.Error)
	}
	if err := json.Unmarshal(envelope.Data, v); err != nil {
		return external, status.Error(codes.Internal, fmt.Sprintf("answer of %s: %v", path, err))
	}
	return s.opts.External(id), nil
}

// answer is an http.ResponseWriter that keeps what is written.
type answer struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(code int)        { a.code = code }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }
