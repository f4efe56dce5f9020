package alerting

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	promrules "github.com/prometheus/prometheus/rules"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/alertmanager"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/tenant"
)

type fakeRules map[signal.Signal][]*promrules.Group

func (f fakeRules) Groups(id string, s signal.Signal) []*promrules.Group {
	if id != "acme" {
		return nil
	}
	return f[s]
}

type fakeRoutes struct {
	asked model.LabelSet
	err   error
}

func (f *fakeRoutes) Routes(_ context.Context, _ string, ls model.LabelSet) (*alertmanager.Route, []string, error) {
	f.asked = ls
	return &alertmanager.Route{Receiver: "team", Matched: true}, []string{"team"}, f.err
}

// evaluated is a group of one alert whose query answers with result or an error.
func evaluated(t *testing.T, name string, result promql.Vector, err error) *promrules.Group {
	t.Helper()
	expr, perr := parser.ParseExpr("up == 0")
	require.NoError(t, perr)
	rule := promrules.NewAlertingRule("Down", expr, 0, 0, labels.FromStrings("severity", "page"), labels.EmptyLabels(), labels.EmptyLabels(), "", false, slog.New(slog.DiscardHandler))
	rule.SetHealth(promrules.HealthGood)
	rule.SetEvaluationTimestamp(time.Unix(1000, 0))
	g := promrules.NewGroup(promrules.GroupOptions{Name: name, File: "rules.yml", Interval: time.Minute, Rules: []promrules.Rule{rule},
		Opts: &promrules.ManagerOptions{Logger: slog.New(slog.DiscardHandler)}})
	_, evalErr := rule.Eval(t.Context(), 0, time.Unix(1000, 0), func(context.Context, string, time.Time) (promql.Vector, error) { return result, err }, nil, 0)
	if err != nil {
		require.Error(t, evalErr)
		rule.SetHealth(promrules.HealthBad)
		rule.SetLastError(evalErr)
	}
	return g
}

func ask(t *testing.T, o Options, id, target string) (int, map[string]any) {
	t.Helper()
	mux := http.NewServeMux()
	New(o).Register(mux)
	r := httptest.NewRequest(http.MethodGet, target, nil)
	if id != "" {
		r = r.WithContext(tenant.NewContext(r.Context(), id))
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	var answer map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer), w.Body.String())
	return w.Code, answer
}

func TestRules(t *testing.T) {
	found := promql.Vector{{Metric: labels.FromStrings("job", "api"), F: 1.5}}
	o := Options{Rules: fakeRules{
		signal.Metrics: {evaluated(t, "metrics", found, nil)},
		signal.Traces:  {evaluated(t, "traces", nil, errors.New("no such attribute"))},
	}}
	groups := func(id, target string) (names []string, all []any) {
		code, answer := ask(t, o, id, target)
		require.Equal(t, http.StatusOK, code, answer)
		all = answer["data"].(map[string]any)["groups"].([]any)
		for _, g := range all {
			names = append(names, g.(map[string]any)["signal"].(string)+" "+g.(map[string]any)["name"].(string))
		}
		return names, all
	}
	names, all := groups("acme", "/api/hune/v1/rules")
	require.Equal(t, []string{"metrics metrics", "traces traces"}, names)
	rule := all[0].(map[string]any)["rules"].([]any)[0].(map[string]any)
	require.Equal(t, "firing", rule["state"])
	require.Equal(t, "ok", rule["health"])
	alert := rule["alerts"].([]any)[0].(map[string]any)
	require.Equal(t, map[string]any{"alertname": "Down", "job": "api", "severity": "page"}, alert["labels"])
	require.Equal(t, "1.5e+00", alert["value"])
	rule = all[1].(map[string]any)["rules"].([]any)[0].(map[string]any)
	require.Equal(t, "err", rule["health"])
	require.Contains(t, rule["lastError"], "no such attribute")

	names, _ = groups("acme", "/api/hune/v1/rules?signal=traces&signal=logs")
	require.Equal(t, []string{"traces traces"}, names)
	names, all = groups("acme", "/api/hune/v1/rules?active=true")
	require.Equal(t, []string{"metrics metrics"}, names)
	require.Len(t, all[0].(map[string]any)["rules"], 1)
	_, all = groups("acme", "/api/hune/v1/rules?exclude_alerts=true&signal=metrics")
	rule = all[0].(map[string]any)["rules"].([]any)[0].(map[string]any)
	require.Equal(t, "firing", rule["state"])
	require.Empty(t, rule["alerts"])
	names, _ = groups("else", "/api/hune/v1/rules")
	require.Empty(t, names)
}

func TestRoutesLabels(t *testing.T) {
	f := &fakeRoutes{}
	code, answer := ask(t, Options{Routes: f}, "acme", "/api/hune/v1/alertmanager/routes?label=alertname=Down&label=query=a%3Db&label=empty=")
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, model.LabelSet{"alertname": "Down", "query": "a=b", "empty": ""}, f.asked)
	require.Equal(t, []any{"team"}, answer["data"].(map[string]any)["receivers"])
	require.Equal(t, "team", answer["data"].(map[string]any)["route"].(map[string]any)["receiver"])
	require.Equal(t, false, answer["data"].(map[string]any)["external"])
	_, answer = ask(t, Options{Routes: f, External: true}, "acme", "/api/hune/v1/alertmanager/routes")
	require.Equal(t, true, answer["data"].(map[string]any)["external"])
}

func TestFaults(t *testing.T) {
	whole := Options{Rules: fakeRules{}, Routes: &fakeRoutes{}}
	many := "/api/hune/v1/alertmanager/routes?label=a=b"
	for range maxLabels {
		many += "&label=a=b"
	}
	for _, c := range []struct {
		name, id, target string
		o                Options
		code             int
		want             string
	}{
		{"no tenant", "", "/api/hune/v1/rules", whole, 400, "no org id"},
		{"unknown signal", "acme", "/api/hune/v1/rules?signal=profiles", whole, 400, `signal: "profiles" is none of metrics, logs and traces`},
		{"no boolean", "acme", "/api/hune/v1/rules?active=maybe", whole, 400, `active: "maybe" is neither true nor false`},
		{"nothing left", "acme", "/api/hune/v1/rules?active=1&exclude_alerts=1", whole, 400, "active and exclude_alerts exclude each other"},
		{"no ruler", "acme", "/api/hune/v1/rules", Options{}, 404, "the role ruler does not run in this process"},
		{"no alertmanager", "acme", "/api/hune/v1/alertmanager/routes", Options{}, 404, "the role alertmanager does not run in this process"},
		{"no value", "acme", "/api/hune/v1/alertmanager/routes?label=alertname", whole, 400, `label: "alertname" is not NAME=VALUE`},
		{"no name", "acme", "/api/hune/v1/alertmanager/routes?label==x", whole, 400, `label: "=x" is not NAME=VALUE`},
		{"twice", "acme", "/api/hune/v1/alertmanager/routes?label=a=1&label=a=2", whole, 400, `label: "a" is given twice`},
		{"too many", "acme", many, whole, 400, "label: 201 labels, at most 200 are taken"},
		{"the role's error", "acme", "/api/hune/v1/alertmanager/routes", Options{Routes: &fakeRoutes{err: errors.New("disk full")}}, 500, "disk full"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, answer := ask(t, c.o, c.id, c.target)
			require.Equal(t, c.code, code)
			require.Equal(t, "error", answer["status"])
			require.Equal(t, c.want, answer["error"])
		})
	}
}
