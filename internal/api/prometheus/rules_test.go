package prometheus

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	promrules "github.com/prometheus/prometheus/rules"
	v1 "github.com/prometheus/prometheus/web/api/v1"
	"github.com/stretchr/testify/require"
)

// ruleGroups are groups that were not evaluated yet, of any tenant.
type ruleGroups []*promrules.Group

func (g ruleGroups) RulesOf(context.Context) v1.RulesRetriever { return g }

func (g ruleGroups) RuleGroups() []*promrules.Group { return g }

func (g ruleGroups) AlertingRules() (out []*promrules.AlertingRule) {
	for _, one := range g {
		out = append(out, one.AlertingRules()...)
	}
	return out
}

func newRuleGroup(t *testing.T, file, name, team string) *promrules.Group {
	t.Helper()
	expr, err := parser.ParseExpr("up == 0")
	require.NoError(t, err)
	own := labels.FromStrings("team", team)
	logger := slog.New(slog.DiscardHandler)
	return promrules.NewGroup(promrules.GroupOptions{Name: name, File: file, Interval: time.Minute, Opts: &promrules.ManagerOptions{Logger: logger},
		Rules: []promrules.Rule{
			promrules.NewAlertingRule("Down"+name, expr, 0, 0, own, labels.EmptyLabels(), labels.EmptyLabels(), "", true, logger),
			promrules.NewRecordingRule("up:"+name, expr, own),
		}})
}

// All that /api/v1/rules can be asked.
func TestRulesAreSelected(t *testing.T) {
	groups := ruleGroups{newRuleGroup(t, "a.yml", "A", "web"), newRuleGroup(t, "a.yml", "B", "db"), newRuleGroup(t, "b.yml", "C", "db")}
	s := newServer(t, func(o *Options) { o.Rules = groups })
	type answer struct {
		Data struct {
			Groups []struct {
				Name, File string
				Rules      []struct{ Name string }
			}
			GroupNextToken string
		}
	}
	ask := func(query url.Values) (names []string, next string) {
		t.Helper()
		w := s.get("/api/v1/rules?" + query.Encode())
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		var a answer
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &a))
		for _, g := range a.Data.Groups {
			for _, r := range g.Rules {
				names = append(names, r.Name)
			}
		}
		return names, a.Data.GroupNextToken
	}
	all := []string{"DownA", "up:A", "DownB", "up:B", "DownC", "up:C"}
	for _, c := range []struct {
		query url.Values
		want  []string
	}{
		{nil, all},
		{url.Values{"type": {"alert"}}, []string{"DownA", "DownB", "DownC"}},
		{url.Values{"type": {"record"}}, []string{"up:A", "up:B", "up:C"}},
		{url.Values{"rule_name[]": {"DownA", "up:C"}}, []string{"DownA", "up:C"}},
		{url.Values{"rule_group[]": {"B"}}, []string{"DownB", "up:B"}},
		{url.Values{"file[]": {"b.yml"}}, []string{"DownC", "up:C"}},
		{url.Values{"file[]": {"a.yml"}, "rule_group[]": {"A", "C"}}, []string{"DownA", "up:A"}},
		{url.Values{"match[]": {`{team="web"}`}}, []string{"DownA", "up:A"}},
		{url.Values{"match[]": {`{team="web"}`, `{team=~"d.*"}`}}, all},
		{url.Values{"exclude_alerts": {"true"}}, all},
	} {
		got, next := ask(c.query)
		require.Equal(t, c.want, got, c.query.Encode())
		require.Empty(t, next)
	}

	// Page by page.
	var got []string
	token := ""
	for range groups {
		query := url.Values{"group_limit": {"1"}}
		if token != "" {
			query.Set("group_next_token", token)
		}
		var names []string
		names, token = ask(query)
		got = append(got, names...)
	}
	require.Empty(t, token, "that was the last")
	require.Equal(t, all, got)

	for _, bad := range []url.Values{{"type": {"x"}}, {"match[]": {"{"}}, {"group_limit": {"x"}}, {"group_next_token": {"x"}}, {"exclude_alerts": {"x"}}} {
		w := s.get("/api/v1/rules?" + bad.Encode())
		require.Equal(t, http.StatusBadRequest, w.Code, bad.Encode())
		require.Contains(t, w.Body.String(), `"errorType":"bad_data"`)
	}
}
