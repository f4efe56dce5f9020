package alertmanager

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/history"
)

// counted sums a metric over its series whose labels have these values.
func counted(t *testing.T, reg prometheus.Gatherer, name string, want map[string]string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	series:
		for _, m := range f.Metric {
			found := map[string]string{}
			for _, l := range m.Label {
				found[l.GetName()] = l.GetValue()
			}
			for n, v := range want {
				if found[n] != v {
					continue series
				}
			}
			sum += m.GetCounter().GetValue()
		}
	}
	return sum
}

// notifications returns the results of a receiver's attempts so far, with their errors.
func (s *setup) notifications(receiver string) (results []string, errs string) {
	for _, e := range s.events.of(history.Notification) {
		if e.Receiver == receiver {
			results = append(results, e.Result)
			errs += e.Error + "\n"
		}
	}
	return results, errs
}

// One receiver doesn't answer and one is down: the third is told at once, again and again.
func TestReceiversDontHoldUpOthers(t *testing.T) {
	hang := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer slow.Close()
	defer close(hang)
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	hooks := newWebhook(t)
	s := start(t, t.TempDir(), objstore.NewInMemBucket(), `
route:
  receiver: fine
  group_by: [alertname]
  group_wait: 10ms
  group_interval: 50ms
  repeat_interval: 4h
  routes:
    - {receiver: slow, continue: true}
    - {receiver: down, continue: true}
    - {receiver: fine}
receivers:
  - name: slow
    webhook_configs: [{url: "`+slow.URL+`", timeout: 200ms}]
  - name: down
    webhook_configs: [{url: "`+down.URL+`"}]
  - name: fine
    webhook_configs: [{url: "`+hooks.URL+`"}]
`)
	a := firing("One")
	require.NoError(t, s.Put(t.Context(), "team", []*alert.Alert{a}))
	hooks.awaits(t, "firing One")
	require.NoError(t, s.Put(t.Context(), "team", []*alert.Alert{resolved(a)}))
	hooks.awaits(t, "firing One", "resolved One")
	for receiver, why := range map[string]string{"slow": "200ms", "down": "connection refused"} {
		require.Eventually(t, func() bool { results, _ := s.notifications(receiver); return len(results) > 1 }, 20*time.Second, 10*time.Millisecond,
			"%s is tried again", receiver)
		results, errs := s.notifications(receiver)
		require.NotContains(t, results, "sent", receiver)
		require.Contains(t, errs, why)
		require.Eventually(t, func() bool {
			return counted(t, s.registry, "alertmanager_notification_requests_failed_total", map[string]string{"tenant": "team", "receiver_name": receiver}) > 0
		}, 20*time.Second, 10*time.Millisecond, receiver)
	}
	require.Eventually(t, func() bool { results, _ := s.notifications("fine"); return len(results) == 2 }, 20*time.Second, 10*time.Millisecond)
	results, _ := s.notifications("fine")
	require.Equal(t, []string{"sent", "sent"}, results)
	require.Zero(t, counted(t, s.registry, "alertmanager_notification_requests_failed_total", map[string]string{"receiver_name": "fine"}))
}

// A template that can't be carried out with an alert is in the history and in the metrics; other receivers
// are told.
func TestATemplateThatFailsIsSeen(t *testing.T) {
	hooks := newWebhook(t)
	s := start(t, t.TempDir(), objstore.NewInMemBucket(), `
route:
  receiver: fine
  group_by: [alertname]
  group_wait: 10ms
  group_interval: 50ms
  repeat_interval: 4h
  routes:
    - {receiver: bad, continue: true}
    - {receiver: fine}
receivers:
  - name: bad
    discord_configs: [{webhook_url: "http://127.0.0.1:1", message: '{{ template "nowhere" . }}'}]
  - name: fine
    webhook_configs: [{url: "`+hooks.URL+`"}]
`)
	require.NoError(t, s.Put(t.Context(), "team", []*alert.Alert{firing("One")}))
	hooks.awaits(t, "firing One")
	require.Eventually(t, func() bool { results, _ := s.notifications("bad"); return len(results) > 0 }, 20*time.Second, 10*time.Millisecond)
	results, errs := s.notifications("bad")
	require.Equal(t, "gave_up", results[0])
	require.Contains(t, errs, `"nowhere" not defined`)
	require.Eventually(t, func() bool {
		return counted(t, s.registry, "alertmanager_notifications_failed_total", map[string]string{"tenant": "team", "receiver_name": "bad"}) > 0
	}, 20*time.Second, 10*time.Millisecond)
}

// A file with a fault is refused with its name, line and reason, at the start and when it's read again.
func TestFaultsOfTheFileHavePlaces(t *testing.T) {
	hooks := newWebhook(t)
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"unknown key":      {"route:\n  receiver: a\nreceivers:\n  - name: a\n    webhok_configs: []\n", []string{"line 5", "field webhok_configs not found"}},
		"not YAML":         {"route:\n  receiver: [a\n", []string{"line 2"}},
		"unknown receiver": {"route:\n  receiver: b\nreceivers:\n  - name: a\n", []string{`undefined receiver "b" used in route`}},
		"bad matcher":      {"route:\n  receiver: a\n  routes:\n    - matchers: ['x=~\"(\"']\nreceivers:\n  - name: a\n", []string{"missing closing )"}},
		"bad template":     {"route:\n  receiver: a\nreceivers:\n  - name: a\n    webhook_configs: [{url: 'http://x'}]\ntemplates: [bad.tmpl]\n", []string{"bad.tmpl", ":2:", "nofunction"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, t.TempDir(), objstore.NewInMemBucket(), routes(hooks.URL))
			writeFile(t, filepath.Join(filepath.Dir(s.file), "bad.tmpl"), "{{ define \"x\" }}\n{{ nofunction }}{{ end }}")
			writeFile(t, s.file, tc.text)
			err := s.Reload(s.file)
			for _, want := range append(tc.want, s.file) {
				require.ErrorContains(t, err, want)
			}
			require.InDelta(t, 0, testutil.ToFloat64(s.reloaded.ok), 0)
			_, body := s.ask(t, "a", http.MethodGet, "/api/v2/status", "")
			require.Contains(t, body, "receiver: hook", "the old one stays")

			o := s.o
			o.Registerer, o.Dir = prometheus.NewRegistry(), t.TempDir()
			_, again := New(t.Context(), o)
			require.EqualError(t, again, err.Error(), "nothing starts with it")
		})
	}
}
