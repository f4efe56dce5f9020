package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// webhook is a receiver of notifications that counts what it accepted.
type webhook struct {
	*httptest.Server
	mu   sync.Mutex
	got  map[string]int // "firing NAME" → times
	asks int            // requests, accepted or not
	hang chan struct{}  // while set, requests wait for it and are not accepted
}

func newWebhook(t *testing.T) *webhook {
	h := &webhook{got: map[string]int{}}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.asks++
		hang := h.hang
		h.mu.Unlock()
		if hang != nil {
			<-hang
			http.Error(w, "never mind", http.StatusInternalServerError)
			return
		}
		var m struct {
			Alerts []struct {
				Status string
				Labels map[string]string
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, a := range m.Alerts {
			h.got[a.Status+" "+a.Labels["alertname"]]++
		}
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *webhook) count(what string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.got[what]
}

func (h *webhook) requests() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asks
}

// alerting writes a configuration with rules and an Alertmanager that tells hook, and returns its name.
func alerting(t *testing.T, hook *webhook, groupWait, rules, more string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	am := write("alertmanager.yml", fmt.Sprintf(`
route:
  receiver: hook
  group_by: [alertname]
  group_wait: %s
  group_interval: 1s
  repeat_interval: 4h
receivers:
  - name: hook
    webhook_configs: [{url: %q}]
`, groupWait, hook.URL))
	return write("hune.yaml", fmt.Sprintf("rules:\n  files: [%q]\n  resend_delay: 1s\n  for_grace_period: 0s\n%s\nalertmanager:\n  config_file: %q\n",
		write("rules.yml", rules), more, am))
}

const rulesOfAllSignals = `
groups:
  - name: metric rules
    interval: 1s
    rules:
      - record: load:double
        expr: load * 2
      - alert: LoadHigh
        expr: load:double > 10
        labels: {severity: page}
        annotations: {summary: 'load of {{ $labels.id }} is {{ $value }}, of {{ with query "load" }}{{ . | first | value }}{{ end }}'}
  - name: log rules
    signal: logs
    interval: 1s
    rules:
      - record: app:errors
        expr: sum by (app) (count_over_time({app="web"} |= "error" [1m]))
      - alert: LogErrors
        expr: sum by (app) (count_over_time({app="web"} |= "error" [1m])) > 1
  - name: trace rules
    signal: traces
    interval: 5s
    rules:
      - alert: SlowSpans
        expr: '{ span:duration > 1s } | count_over_time() by (resource.service.name) > 0'
`

// A rule about each signal fires, is told, and is shown.
func TestRulesOfAllSignals(t *testing.T) {
	hook := newWebhook(t)
	p := start(t, t.TempDir(), quiet, "--config", alerting(t, hook, "100ms", rulesOfAllSignals, ""))
	ids := 0
	require.Eventually(t, func() bool {
		now := time.Now()
		status, body := p.post("/api/v1/write", protobuf, remoteWrite("load", now, map[string]float64{"a": 7}), snappyWrite)
		require.Equal(t, http.StatusNoContent, status, body)
		status, body = p.post("/loki/api/v1/push", "application/json", lokiPush(map[string]string{"app": "web"},
			[][2]string{{fmt.Sprint(now.UnixNano()), fmt.Sprint("error ", ids)}}), nil)
		require.Equal(t, http.StatusNoContent, status, body)
		ids++
		status, body = p.post("/v1/traces", "application/json", oneSpan(fmt.Sprintf("%032x", ids), fmt.Sprintf("%016x", ids), "shop", "slow", now.Add(-2*time.Second), now), nil)
		require.Equal(t, http.StatusOK, status, body)
		return hook.count("firing LoadHigh") > 0 && hook.count("firing LogErrors") > 0 && hook.count("firing SlowSpans") > 0
	}, 60*time.Second, 200*time.Millisecond)

	var rules struct {
		Data struct {
			Groups []struct {
				Name  string
				Rules []struct{ Name, Health, State, Type string }
			}
		}
	}
	p.getJSON("/api/v1/rules", nil, &rules)
	require.Len(t, rules.Data.Groups, 1, "those of metrics")
	require.Equal(t, "metric rules", rules.Data.Groups[0].Name)
	require.Equal(t, "ok", rules.Data.Groups[0].Rules[1].Health)
	require.Equal(t, "firing", rules.Data.Groups[0].Rules[1].State)

	var all struct {
		Data struct {
			Groups []struct{ Signal, Name string }
		}
	}
	p.getJSON("/api/hune/v1/rules", nil, &all)
	require.Equal(t, []struct{ Signal, Name string }{{"metrics", "metric rules"}, {"logs", "log rules"}, {"traces", "trace rules"}}, all.Data.Groups)

	var route struct{ Data struct{ Receivers []string } }
	p.getJSON("/api/hune/v1/alertmanager/routes", url.Values{"label": {"alertname=LoadHigh"}}, &route)
	require.Equal(t, []string{"hook"}, route.Data.Receivers)

	var alerts []struct {
		Labels, Annotations map[string]string
		GeneratorURL        string
	}
	p.getJSON("/api/v2/alerts", url.Values{"filter": {`alertname="LoadHigh"`}}, &alerts)
	require.Len(t, alerts, 1)
	require.Equal(t, map[string]string{"alertname": "LoadHigh", "id": "a", "severity": "page"}, alerts[0].Labels)
	require.Equal(t, "load of a is 14, of 7", alerts[0].Annotations["summary"])
	require.Equal(t, p.url+"/ui/explore/metrics?m="+url.QueryEscape("load:double > 10"), alerts[0].GeneratorURL)

	// The alert is sent before the state that the same evaluation found is stored.
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		require.Equal(c, map[string]string{"LoadHigh": "1"}, p.promVector(`ALERTS{alertname="LoadHigh",alertstate="firing"}`, time.Now(), "alertname", nil))
	}, 30*time.Second, 100*time.Millisecond)
	now := time.Now()
	require.NotEmpty(t, p.promVector(`app:errors > 1`, now, "app", nil), "what a rule about logs records is a metric")
	require.Eventually(t, func() bool {
		lines := p.lokiLines(`{hune="alerts"} | json | event="notification" | result="sent" | alertname="SlowSpans"`, now.Add(-time.Minute), time.Now().Add(time.Minute), nil)
		states := p.lokiLines(`{hune="alerts"} | json | event="state" | alertname="LogErrors" | state="firing"`, now.Add(-time.Minute), time.Now().Add(time.Minute), nil)
		return len(lines) > 0 && len(states) > 0
	}, 20*time.Second, 50*time.Millisecond)
}

// snappyWrite are the headers of remote write 1.0.
var snappyWrite = map[string]string{"Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": "0.1.0"}

// state returns the state of an alert of a rule, or "".
func (p *process) alertState(name string) string {
	var a struct {
		Data struct {
			Alerts []struct {
				Labels map[string]string
				State  string
			}
		}
	}
	p.getJSON("/api/v1/alerts", nil, &a)
	for _, one := range a.Data.Alerts {
		if one.Labels["alertname"] == name {
			return one.State
		}
	}
	return ""
}

func (p *process) awaitState(name, want string) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return p.alertState(name) == want }, 30*time.Second, 20*time.Millisecond, "%s is never %s", name, want)
}

// Killed at each step of an alert's life, it is told once.
func TestAlertsSurviveKills(t *testing.T) {
	const rules = "groups: [{name: g, interval: 1s, rules: [{alert: Watched, expr: vector(1), for: 4s}]}]"
	told := func(t *testing.T, p *process, hook *webhook) {
		t.Helper()
		require.Eventually(t, func() bool { return hook.count("firing Watched") == 1 }, 60*time.Second, 20*time.Millisecond)
		// Another alert, whose turn comes after a repetition of the first would have come.
		status, body := p.post("/api/v2/alerts", "application/json", []byte(`[{"labels":{"alertname":"Later"}}]`), nil)
		require.Equal(t, http.StatusOK, status, body)
		require.Eventually(t, func() bool { return hook.count("firing Later") == 1 }, 60*time.Second, 20*time.Millisecond)
		require.Equal(t, 1, hook.count("firing Watched"))
	}
	restart := func(t *testing.T, p *process, dir, config string) *process {
		t.Helper()
		p.kill()
		return start(t, dir, quiet, "--config", config)
	}
	t.Run("pending", func(t *testing.T) {
		t.Parallel()
		hook, dir := newWebhook(t), t.TempDir()
		config := alerting(t, hook, "10ms", strings.Replace(rules, "for: 4s", "for: 10m", 1), "")
		p := start(t, dir, quiet, "--config", config)
		p.awaitState("Watched", "pending")
		require.Eventually(t, func() bool {
			return len(p.promVector(`count_over_time(ALERTS_FOR_STATE[1m]) > 4`, time.Now(), "alertname", nil)) == 1
		}, 60*time.Second, 20*time.Millisecond)
		p.kill()
		again := time.Now()
		p = start(t, dir, quiet, "--config", config)
		// The time that nobody watched doesn't count, that before does.
		require.Eventually(t, func() bool { return !p.activeAt("Watched").IsZero() && p.activeAt("Watched").Before(again) }, 60*time.Second, 50*time.Millisecond)
		require.Equal(t, 0, hook.requests())
	})
	t.Run("between firing and notification", func(t *testing.T) {
		t.Parallel()
		hook, dir := newWebhook(t), t.TempDir()
		config := alerting(t, hook, "3s", strings.Replace(rules, "for: 4s", "for: 0s", 1), "")
		p := start(t, dir, quiet, "--config", config)
		require.Eventually(t, func() bool {
			var alerts []struct{ Labels map[string]string }
			p.getJSON("/api/v2/alerts", nil, &alerts)
			return len(alerts) == 1
		}, 30*time.Second, 5*time.Millisecond)
		p = restart(t, p, dir, config)
		told(t, p, hook)
	})
	t.Run("during a notification", func(t *testing.T) {
		t.Parallel()
		hook, dir := newWebhook(t), t.TempDir()
		hook.hang = make(chan struct{})
		config := alerting(t, hook, "10ms", strings.Replace(rules, "for: 4s", "for: 0s", 1), "")
		p := start(t, dir, quiet, "--config", config)
		require.Eventually(t, func() bool { return hook.requests() > 0 }, 30*time.Second, 5*time.Millisecond)
		p.kill()
		hook.mu.Lock()
		close(hook.hang)
		hook.hang = nil
		hook.mu.Unlock()
		p = start(t, dir, quiet, "--config", config)
		told(t, p, hook)
	})
	t.Run("after it was told", func(t *testing.T) {
		t.Parallel()
		hook, dir := newWebhook(t), t.TempDir()
		config := alerting(t, hook, "10ms", strings.Replace(rules, "for: 4s", "for: 0s", 1), "")
		p := start(t, dir, quiet, "--config", config)
		require.Eventually(t, func() bool {
			return len(p.lokiLines(`{hune="alerts"} |= "first notification"`, time.Now().Add(-time.Minute), time.Now().Add(time.Minute), nil)) == 1
		}, 30*time.Second, 20*time.Millisecond)
		p = restart(t, p, dir, config)
		p.awaitState("Watched", "firing")
		told(t, p, hook)
	})
}

// Alerts go to Alertmanagers elsewhere, here that of another hune, with labels changed on the way.
func TestExternalAlertmanagers(t *testing.T) {
	hook := newWebhook(t)
	am := start(t, t.TempDir(), quiet, "--config", alerting(t, hook, "10ms", "groups: []", ""))
	config := alerting(t, newWebhook(t), "10ms", "groups: [{name: g, interval: 1s, rules: [{alert: Away, expr: vector(1), labels: {drop: me}}]}]", `
  external_labels: {cluster: eu}
alerting:
  alert_relabel_configs: [{action: labeldrop, regex: drop}]
  alertmanagers:
    - path_prefix: /am
      static_configs: [{targets: ["`+strings.TrimPrefix(am.url, "http://")+`"]}]
`)
	p := start(t, t.TempDir(), quiet, "--config", config)
	require.Eventually(t, func() bool { return hook.count("firing Away") == 1 }, 30*time.Second, 20*time.Millisecond)
	var alerts []struct{ Labels map[string]string }
	am.getJSON("/api/v2/alerts", nil, &alerts)
	require.Equal(t, map[string]string{"alertname": "Away", "cluster": "eu"}, alerts[0].Labels)
	p.getJSON("/api/v2/alerts", nil, &alerts)
	require.Empty(t, alerts, "nothing stays here")
	var where struct {
		Data struct {
			ActiveAlertmanagers []struct{ URL string }
		}
	}
	p.getJSON("/api/v1/alertmanagers", nil, &where)
	require.Equal(t, am.url+"/am/api/v2/alerts", where.Data.ActiveAlertmanagers[0].URL)
	for q, want := range map[*process]bool{p: true, am: false} { // so that the page can say that silences here do nothing
		status, body := q.get("/api/hune/v1/alertmanager/routes", nil, nil)
		require.Equal(t, http.StatusOK, status, body)
		require.Contains(t, body, fmt.Sprintf(`"external":%v`, want))
	}
}

// activeAt returns since when an alert is active, zero if it isn't.
func (p *process) activeAt(name string) time.Time {
	var a struct {
		Data struct {
			Alerts []struct {
				Labels   map[string]string
				ActiveAt time.Time
			}
		}
	}
	p.getJSON("/api/v1/alerts", nil, &a)
	for _, one := range a.Data.Alerts {
		if one.Labels["alertname"] == name {
			return one.ActiveAt
		}
	}
	return time.Time{}
}
