package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// send sends a request as a tenant and wants a status.
func (p *process) send(tenant, method, path, body string, want int) string {
	p.t.Helper()
	req, err := http.NewRequest(method, p.url+path, strings.NewReader(body))
	require.NoError(p.t, err)
	req.Header.Set("X-Scope-OrgID", tenant)
	req.Header.Set("Content-Type", "application/yaml")
	status, answer := p.do(req)
	require.Equal(p.t, want, status, "%s %s: %s", method, path, answer)
	return answer
}

// rulesAt returns the names of the rules that a tenant sees at a path.
func (p *process) rulesAt(tenant, path string) string {
	p.t.Helper()
	var a struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health string }
			}
		}
	}
	answer := p.send(tenant, http.MethodGet, path, "", http.StatusOK)
	require.NoError(p.t, json.Unmarshal([]byte(answer), &a), answer)
	var names []string
	for _, g := range a.Data.Groups {
		for _, r := range g.Rules {
			names = append(names, r.Name)
		}
	}
	return strings.Join(names, " ")
}

// Tenants set rules by the APIs of Mimir, Cortex and Loki, and their Alertmanager's configuration by
// Mimir's: rules are evaluated at once over the tenant's own data, and told to the tenant's own receiver.
func TestRulesAndConfigurationsOfTenants(t *testing.T) {
	hook := newWebhook(t)
	p := start(t, t.TempDir(), append([]string{"HUNE_MULTITENANCY=true", "HUNE_RULES_FOR_GRACE_PERIOD=0s"}, quiet...))
	const group = "name: %s\ninterval: 1s\nrules: [{alert: %s, expr: '%s'}]"
	p.send("b", http.MethodPost, "/mimir/api/v1/alerts", fmt.Sprintf(`
alertmanager_config: |
  route: {receiver: mine, group_by: [alertname], group_wait: 10ms, group_interval: 1s}
  receivers:
    - name: mine
      webhook_configs: [{url: %q}]
`, hook.URL), http.StatusCreated)
	status, body := p.post("/loki/api/v1/push", "application/json", lokiPush(map[string]string{"app": "web"}, [][2]string{{fmt.Sprint(time.Now().UnixNano()), "an error"}}),
		map[string]string{"X-Scope-OrgID": "a"})
	require.Equal(t, http.StatusNoContent, status, body)

	p.send("a", http.MethodPost, "/config/v1/rules/ns", fmt.Sprintf(group, "metrics", "OfA", "vector(1)"), http.StatusAccepted)
	p.send("b", http.MethodPost, "/mimir/prometheus/config/v1/rules/ns", fmt.Sprintf(group, "metrics", "OfB", "vector(1)"), http.StatusAccepted)
	for _, id := range []string{"a", "b"} {
		p.send(id, http.MethodPost, "/loki/api/v1/rules/ns", fmt.Sprintf(group, "logs", "Logs", `sum by (app) (count_over_time({app="web"} |= "error" [1h])) > 0`), http.StatusAccepted)
	}
	firing := func(id, name string) bool {
		return strings.Contains(p.send(id, http.MethodGet, "/mimir/alertmanager/api/v2/alerts", "", http.StatusOK), `"alertname":"`+name+`"`)
	}
	require.Eventually(t, func() bool { return firing("a", "OfA") && firing("a", "Logs") && firing("b", "OfB") }, 60*time.Second, 50*time.Millisecond)
	require.Eventually(t, func() bool { return hook.count("firing OfB") == 1 }, 60*time.Second, 50*time.Millisecond)
	require.False(t, firing("b", "Logs"), "it sees no lines of another tenant")
	require.False(t, firing("b", "OfA"))
	require.Zero(t, hook.count("firing OfA"), "another tenant's receiver")

	for _, base := range []string{"", "/mimir/prometheus"} {
		require.Equal(t, "OfA", p.rulesAt("a", base+"/api/v1/rules"))
		require.Equal(t, "OfB", p.rulesAt("b", base+"/api/v1/rules"))
	}
	require.Equal(t, "Logs", p.rulesAt("a", "/prometheus/api/v1/rules"))
	require.Contains(t, p.send("a", http.MethodGet, "/loki/api/v1/rules", "", http.StatusOK), "alert: Logs")
	status, body = p.get("/api/v1/rules", url.Values{}, nil)
	require.Equal(t, http.StatusUnauthorized, status, "no tenant: %s", body)

	p.send("b", http.MethodDelete, "/config/v1/rules/ns/metrics", "", http.StatusAccepted)
	require.Eventually(t, func() bool { return p.rulesAt("b", "/api/v1/rules") == "" }, 60*time.Second, 50*time.Millisecond)
	require.Equal(t, "OfA", p.rulesAt("a", "/api/v1/rules"))
	p.send("b", http.MethodDelete, "/mimir/api/v1/alerts", "", http.StatusOK)
	p.send("b", http.MethodGet, "/mimir/api/v1/alerts", "", http.StatusNotFound)

	text := p.send("a", http.MethodPost, "/config/v1/rules/ns", fmt.Sprintf(group, "bad", "Bad", "vector("), http.StatusBadRequest)
	require.Contains(t, text, "could not parse expression for alert 'Bad' in group 'bad'")
}
