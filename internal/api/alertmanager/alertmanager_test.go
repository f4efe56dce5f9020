package alertmanager

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/alertmanager"
	"github.com/hune-io/hune/internal/history"
	"github.com/hune-io/hune/internal/tenant"
)

// deaf keeps no history.
type deaf struct{}

func (deaf) Record(string, history.Event) {}

// server is the API over a real Alertmanager.
type server struct {
	t   *testing.T
	mux *http.ServeMux
}

func newServer(t *testing.T) server {
	am, err := alertmanager.New(t.Context(), alertmanager.Options{Config: alertmanager.DefaultConfig(), Dir: t.TempDir(), Bucket: objstore.NewInMemBucket(), History: deaf{},
		ExternalURL: &url.URL{Scheme: "http", Host: "hune"}, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	require.NoError(t, err)
	require.NoError(t, services.StartAndAwaitRunning(t.Context(), am))
	t.Cleanup(func() { require.NoError(t, services.StopAndAwaitTerminated(context.Background(), am)) })
	mux := http.NewServeMux()
	New(am).Register(mux)
	return server{t, mux}
}

func (s server) ask(id, method, path, body string) (int, string) {
	s.t.Helper()
	ctx := s.t.Context()
	if id != "" {
		ctx = tenant.NewContext(ctx, id)
	}
	r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	return w.Code, strings.TrimSpace(w.Body.String())
}

// has wants a 200 answer that contains a text.
func (s server) has(id, path, want string) {
	s.t.Helper()
	code, text := s.ask(id, http.MethodGet, path, "")
	require.Equal(s.t, http.StatusOK, code, text)
	require.Contains(s.t, text, want)
}

// Each path answers at the root, under /am and under /mimir/alertmanager, for the tenant that asks.
func TestVersion2(t *testing.T) {
	s := newServer(t)
	code, text := s.ask("a", http.MethodPost, "/am/api/v2/alerts", `[{"labels":{"alertname":"Of a"}}]`)
	require.Equal(t, http.StatusOK, code, text)
	code, text = s.ask("a", http.MethodPost, "/mimir/alertmanager/api/v2/silences", fmt.Sprintf(`{"matchers":[{"name":"alertname","value":"Of a","isRegex":false}],
		"startsAt":%q,"endsAt":%q,"createdBy":"me","comment":"known"}`, time.Now().Format(time.RFC3339), time.Now().Add(time.Hour).Format(time.RFC3339)))
	require.Equal(t, http.StatusOK, code, text)
	id := strings.TrimSuffix(strings.TrimPrefix(text, `{"silenceID":"`), `"}`)
	for _, base := range []string{"", "/am", "/mimir/alertmanager"} {
		s.has("a", base+"/api/v2/status", `"versionInfo"`)
		s.has("a", base+"/api/v2/receivers", `"name":"none"`)
		s.has("a", base+"/api/v2/alerts", `"alertname":"Of a"`)
		require.Eventually(t, func() bool {
			code, text := s.ask("a", http.MethodGet, base+"/api/v2/alerts/groups", "")
			return code == http.StatusOK && strings.Contains(text, `"alertname":"Of a"`)
		}, 20*time.Second, 10*time.Millisecond, "the dispatcher has it")
		s.has("a", base+"/api/v2/silences", `"comment":"known"`)
		s.has("a", base+"/api/v2/silence/"+id, `"comment":"known"`)
		code, text := s.ask("b", http.MethodGet, base+"/api/v2/alerts", "")
		require.Equal(t, "200 []", fmt.Sprint(code, " ", text), "of another tenant")
		code, text = s.ask("b", http.MethodGet, base+"/api/v2/silence/"+id, "")
		require.Equal(t, http.StatusNotFound, code, text)
	}
	code, text = s.ask("a", http.MethodDelete, "/api/v2/silence/"+id, "")
	require.Equal(t, http.StatusOK, code, text)
	s.has("a", "/api/v2/silences", `"state":"expired"`)
}

func TestBadRequests(t *testing.T) {
	s := newServer(t)
	for name, tc := range map[string]struct {
		method, path, body string
		code               int
		want               string
	}{
		"filter":              {"GET", "/api/v2/alerts?filter=x~", "", 400, "bad matcher format"},
		"alerts":              {"POST", "/api/v2/alerts", `{}`, 400, "parsing alerts body"},
		"silence that ended":  {"POST", "/api/v2/silences", `{"matchers":[{"name":"a","value":"b","isRegex":false}],"startsAt":"2020-01-01T00:00:00Z","endsAt":"2020-01-02T00:00:00Z","createdBy":"","comment":""}`, 400, "in the past"},
		"silence of no name":  {"GET", "/api/v2/silence/x", "", 422, "uuid"},
		"version 1":           {"POST", "/am/api/v1/alerts", `[]`, 410, "removed as of version 0.27.0"},
		"configuration":       {"POST", "/mimir/api/v1/alerts", "alertmanager_config: 'route: {receiver: x}'", 400, `undefined receiver`},
		"configuration's key": {"POST", "/mimir/api/v1/alerts", "alertmanager_cfg: ''", 400, "error unmarshalling Alertmanager config: "},
		"large configuration": {"POST", "/mimir/api/v1/alerts", strings.Repeat(" ", maxBody+1), 413, "larger than 2097152 bytes"},
		"no configuration":    {"GET", "/mimir/api/v1/alerts", "", 404, "the Alertmanager is not configured"},
		"other method":        {"PUT", "/mimir/api/v1/alerts", "", 405, "Method Not Allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			code, text := s.ask("a", tc.method, tc.path, tc.body)
			require.Equal(t, tc.code, code, text)
			require.Contains(t, text, tc.want)
		})
	}
	code, text := s.ask("", http.MethodGet, "/api/v2/alerts", "")
	require.NotEqual(t, http.StatusOK, code)
	require.True(t, strings.HasPrefix(text, `"`), "errors of this API are JSON strings: %s", text)
}

func TestTenantsConfiguration(t *testing.T) {
	s := newServer(t)
	config := "template_files: {}\nalertmanager_config: |\n  route: {receiver: mine}\n  receivers:\n    - name: mine\n"
	code, text := s.ask("a", http.MethodPost, "/mimir/api/v1/alerts", config)
	require.Equal(t, http.StatusCreated, code, text)
	s.has("a", "/mimir/api/v1/alerts", "receiver: mine")
	s.has("a", "/api/v2/receivers", `"name":"mine"`)
	s.has("b", "/api/v2/receivers", `"name":"none"`)
	code, text = s.ask("a", http.MethodDelete, "/mimir/api/v1/alerts", "")
	require.Equal(t, http.StatusOK, code, text)
	s.has("a", "/api/v2/receivers", `"name":"none"`)
	code, _ = s.ask("a", http.MethodGet, "/mimir/api/v1/alerts", "")
	require.Equal(t, http.StatusNotFound, code)
}
