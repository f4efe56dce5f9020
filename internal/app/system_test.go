package app

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/config"
)

func TestLogLevel(t *testing.T) {
	a := &App{logger: slog.New(slog.DiscardHandler), logLevel: &slog.LevelVar{}}
	mux := http.NewServeMux()
	a.system(mux)
	ask := func(method, query string) (int, string) {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(method, "/log_level?"+query, nil))
		return w.Code, w.Body.String()
	}
	for _, c := range []struct {
		method, query string
		status        int
		answer        string
	}{
		{"GET", "", 200, `{"message":"Current log level is info"}`},
		{"POST", "log_level=debug", 200, `{"status":"success","message":"Log level set to debug"}`},
		{"GET", "", 200, `{"message":"Current log level is debug"}`},
		{"POST", "log_level=loud", 400, `{"status":"failed","message":"level: \"loud\" must be debug, info, warn or error"}`},
		{"GET", "", 200, `{"message":"Current log level is debug"}`},
	} {
		status, answer := ask(c.method, c.query)
		require.Equal(t, c.status, status)
		require.JSONEq(t, c.answer, answer)
	}
	require.Equal(t, slog.LevelDebug, a.logLevel.Level())
}

func TestConfigModes(t *testing.T) {
	cfg := config.Default()
	cfg.HTTP.Listen = "127.0.0.1:1"
	cfg.Multitenancy = true
	a := &App{cfg: cfg, reloader: newReloader(cfg, Options{}, prometheus.NewRegistry())}
	get := func(mode string) string {
		w := httptest.NewRecorder()
		a.handleConfig(w, httptest.NewRequest(http.MethodGet, "/config?mode="+mode, nil))
		require.Equal(t, 200, w.Code)
		return w.Body.String()
	}
	require.YAMLEq(t, "http: {listen: '127.0.0.1:1'}\nmultitenancy: true", get("diffs"))
	require.Contains(t, get("defaults"), "listen: 127.0.0.1:4320")
	require.Contains(t, get(""), "listen: 127.0.0.1:1")
	require.Greater(t, strings.Count(get(""), "\n"), 100)
}

// The parts of /status are those of Tempo that there are; all of them together without a name.
func TestStatus(t *testing.T) {
	cfg := config.Default()
	a := &App{logger: slog.New(slog.DiscardHandler), cfg: cfg, reloader: newReloader(cfg, Options{}, prometheus.NewRegistry())}
	mux := http.NewServeMux()
	a.system(mux)
	for path, want := range map[string]struct {
		status int
		texts  []string
	}{
		"/status":           {200, []string{"hune, version ", "retention:"}},
		"/status/version":   {200, []string{"hune, version "}},
		"/status/config":    {200, []string{"retention:"}},
		"/status/endpoints": {404, []string{`no status "endpoints": there are version, services and config`}},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Accept", "application/json")
		mux.ServeHTTP(w, r)
		require.Equal(t, want.status, w.Code, path)
		require.Equal(t, "text/plain; charset=utf-8", w.Header().Get("Content-Type"), path)
		for _, text := range want.texts {
			require.Contains(t, w.Body.String(), text, path)
		}
	}
}
