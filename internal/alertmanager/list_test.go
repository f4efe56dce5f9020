package alertmanager

import (
	"net/http"
	"net/http/httptest"
	"net/url"
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
		"receiver_matchers=%7B", "active=", "filter=", "receiver="} {
		want, got := ask(i.upstream, query), ask(i.handler, query)
		text, err := url.QueryUnescape(query)
		require.NoError(t, err)
		require.Equal(t, want.Code, got.Code, text)
		require.JSONEq(t, want.Body.String(), got.Body.String(), text)
		require.Equal(t, want.Header().Get("Content-Type"), got.Header().Get("Content-Type"), text)
		require.Equal(t, want.Header().Get("Cache-Control"), got.Header().Get("Cache-Control"), text)
	}
}
