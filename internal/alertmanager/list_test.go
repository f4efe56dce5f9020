package alertmanager

import (
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
)

const listConfig = `
route:
  receiver: all
  group_by: [alertname]
  routes:
    - matchers: [severity="critical"]
      receiver: pager
      continue: true
    - matchers: [team="db"]
      receiver: db
receivers:
  - name: all
  - name: pager
    labels: {kind: page}
  - name: db
inhibit_rules:
  - source_matchers: [severity="critical"]
    target_matchers: [severity="warning"]
    equal: [host]
`

// Everything that can be asked for, by Alertmanager's own handler and by ours.
func TestListAgreesWithAlertmanager(t *testing.T) {
	s := start(t, t.TempDir(), objstore.NewInMemBucket(), listConfig)
	odd := firing("Odd<&>\"\\\n", "ключ", "значение\u2028", "team", "db")
	odd.Annotations = model.LabelSet{"summary": "50 % of <b>disk</b>\ttab", "empty": ""}
	odd.GeneratorURL = "http://hune/graph?a=b&c=d"
	require.NoError(t, s.Put(t.Context(), "a", []*alert.Alert{odd, firing("A", "severity", "critical", "host", "x"), firing("B", "severity", "warning", "host", "x"),
		firing("C", "severity", "warning", "host", "y", "team", "db"), firing("D", "team", "db", "severity", "critical"), resolved(firing("Gone")), firing("Quiet")}))
	code, body := s.ask(t, "a", http.MethodPost, "/api/v2/silences", `{"matchers":[{"name":"alertname","value":"Quiet","isRegex":false}],
		"startsAt":"2020-01-01T00:00:00Z","endsAt":"2100-01-01T00:00:00Z","createdBy":"me","comment":"known"}`)
	require.Equal(t, http.StatusOK, code, body)
	// Enough for the answer to be made in several pieces.
	var more []*alert.Alert
	for n := range 2*smallShare + 10 {
		more = append(more, firing("Many", "n", fmt.Sprint(n), "team", []string{"db", "web"}[n%2]))
	}
	require.NoError(t, s.Put(t.Context(), "a", more))
	i, err := s.instance(t.Context(), "a")
	require.NoError(t, err)
	ask := func(h http.Handler, query string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v2/alerts?"+query, nil))
		return w
	}
	for _, query := range []string{"", "active=false", "silenced=false", "inhibited=false", "active=false&inhibited=false", "active=f&silenced=0", "unprocessed=false",
		"active=maybe", "filter=severity%3D%22warning%22", "filter=team%3Ddb&filter=severity!%3Dcritical", "filter=host%3D~%22x%7Cy%22", "filter=nothere%3D%22%22",
		"filter=%3D", "filter=a%7Cb", "receiver=db", "receiver=d", "receiver=.*", "receiver=(", "receiver_matchers=kind%3Dpage", "receiver_matchers=kind!%3Dpage",
		"receiver_matchers=%7B", "active=", "filter=", "receiver=", "filter=alertname%3DMany", "filter=alertname!%3DMany", "filter=alertname%3DNone"} {
		want, got := ask(i.upstream, query), ask(i.handler, query)
		text, err := url.QueryUnescape(query)
		require.NoError(t, err)
		require.Equal(t, want.Code, got.Code, text)
		require.JSONEq(t, want.Body.String(), got.Body.String(), text)
		require.Equal(t, want.Header().Get("Content-Type"), got.Header().Get("Content-Type"), text)
		require.Equal(t, want.Header().Get("Cache-Control"), got.Header().Get("Cache-Control"), text)
	}
}

// BenchmarkList answers GET /api/v2/alerts with 20,000 alerts, of which a tenth is silenced.
func BenchmarkList(b *testing.B) {
	s := start(b, b.TempDir(), objstore.NewInMemBucket(), listConfig, func(c *Config) { c.MaxAlerts = 30_000 })
	var all []*alert.Alert
	for n := range 20_000 {
		a := firing(fmt.Sprint("Load", n%5000), "instance", fmt.Sprint("host-", n%1000), "job", fmt.Sprint("job-", n%20), "n", fmt.Sprint(n%10), "shard", fmt.Sprint(n))
		a.Annotations = model.LabelSet{"summary": model.LabelValue(fmt.Sprint("load of host-", n%1000, " is 200"))}
		a.GeneratorURL = "http://hune:4320/ui/explore/metrics?m=bench_load"
		all = append(all, a)
	}
	require.NoError(b, s.Put(b.Context(), "a", all))
	h, err := s.Handler(b.Context(), "a")
	require.NoError(b, err)
	silenced := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/api/v2/silences", strings.NewReader(`{"matchers":[{"name":"n","value":"3","isRegex":false}],
		"startsAt":"2020-01-01T00:00:00Z","endsAt":"2100-01-01T00:00:00Z","createdBy":"me","comment":"known"}`))
	req.Header.Set("Content-Type", "application/json")
	h.ServeHTTP(silenced, req)
	require.Equal(b, http.StatusOK, silenced.Code, silenced.Body)
	for _, query := range []string{"", "filter=job%3Djob-7", "silenced=false"} {
		b.Run(cmp.Or(query, "all"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/api/v2/alerts?"+query, nil))
				require.Equal(b, http.StatusOK, w.Code)
			}
		})
	}
}
