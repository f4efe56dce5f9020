package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/pprof"
	"os"
	"reflect"
	"sort"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.yaml.in/yaml/v3"

	"github.com/hune-io/hune/internal/config"
	"github.com/hune-io/hune/internal/telemetry"
	"github.com/hune-io/hune/internal/tenant"
)

// system registers the paths that show the process itself. They need no tenant.
func (a *App) system(mux *http.ServeMux) {
	mux.HandleFunc("GET /ready", a.handleReady)
	mux.HandleFunc("GET /-/ready", a.handleReady)
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "Hune is healthy.") })
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, ErrorHandling: promhttp.ContinueOnError}))
	mux.HandleFunc("POST /-/reload", a.handleReload)
	mux.HandleFunc("PUT /-/reload", a.handleReload)
	mux.HandleFunc("GET /config", a.handleConfig)
	mux.HandleFunc("GET /services", a.handleServices)
	mux.HandleFunc("GET /status", a.handleStatus)
	mux.HandleFunc("GET /status/{what}", a.handleStatus)
	mux.HandleFunc("GET /distributor/ha_tracker", a.handleHATracker)
	mux.HandleFunc("GET /log_level", a.handleLogLevel)
	mux.HandleFunc("POST /log_level", a.handleLogLevel)
	for _, path := range []string{"/flush", "/flush/{tenant}"} {
		mux.HandleFunc("POST "+path, a.handleFlush)
		mux.HandleFunc("PUT "+path, a.handleFlush)
	}
	a.clusterPages(mux)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
}

func (a *App) handleReady(w http.ResponseWriter, _ *http.Request) {
	if reason := a.notReady(); reason != "" {
		http.Error(w, reason, http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

// handleConfig shows the configuration in force; with mode=defaults that of an empty file, with mode=diffs
// what differs from it.
func (a *App) handleConfig(w http.ResponseWriter, r *http.Request) {
	var text []byte
	var err error
	switch r.URL.Query().Get("mode") {
	case "defaults":
		text, err = shown(config.Default())
	case "diffs":
		text, err = a.configDiffs()
	default:
		text, err = a.configText()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(text)
}

// configText is the configuration in force, without secrets.
func (a *App) configText() ([]byte, error) { return shown(*a.reloader.current.Load()) }

// shown is a configuration as YAML, without secrets.
func shown(cfg config.Config) ([]byte, error) {
	data, err := yaml.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	hideSecrets(&doc)
	return yaml.Marshal(&doc)
}

// configDiffs is the keys of the configuration whose values are not the defaults.
func (a *App) configDiffs() ([]byte, error) {
	var both [2]map[string]any
	for i, cfg := range []config.Config{config.Default(), *a.reloader.current.Load()} {
		text, err := shown(cfg)
		if err != nil {
			return nil, err
		}
		if err := yaml.Unmarshal(text, &both[i]); err != nil {
			return nil, err
		}
	}
	return yaml.Marshal(differing(both[0], both[1]))
}

// differing returns what of other is not in base; of mappings that both have, only what differs in them.
func differing(base, other map[string]any) map[string]any {
	out := map[string]any{}
	for key, value := range other {
		was, known := base[key]
		if known && reflect.DeepEqual(was, value) {
			continue
		}
		inner, isMap := value.(map[string]any)
		if before, wasMap := was.(map[string]any); isMap && wasMap {
			out[key] = differing(before, inner)
			continue
		}
		out[key] = value
	}
	return out
}

// handleHATracker shows which replica of each pair of Prometheus servers is stored.
func (a *App) handleHATracker(w http.ResponseWriter, _ *http.Request) {
	if a.distributor == nil {
		http.Error(w, "no distributor runs in this process", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"now": time.Now().UTC(), "elected": a.distributor.HAElections()})
}

// handleLogLevel answers with the level of the program's log, or sets it until the next start.
func (a *App) handleLogLevel(w http.ResponseWriter, r *http.Request) {
	answer := struct {
		Status  string `json:"status,omitempty"`
		Message string `json:"message"`
	}{Message: "Current log level is " + strings.ToLower(a.logLevel.Level().String())}
	status := http.StatusOK
	if r.Method == http.MethodPost {
		text := r.FormValue("log_level")
		level, err := telemetry.ParseLevel(text)
		if err != nil {
			status, answer.Status, answer.Message = http.StatusBadRequest, "failed", err.Error()
		} else {
			a.logLevel.Set(level)
			answer.Status, answer.Message = "success", "Log level set to "+text
			a.logger.Info("log level set", "level", text)
		}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

func (a *App) handleServices(w http.ResponseWriter, r *http.Request) {
	names := make([]string, 0, len(a.services))
	for name := range a.services {
		names = append(names, name)
	}
	sort.Strings(names)
	if r.Header.Get("Accept") == "application/json" {
		states := map[string]string{}
		for _, name := range names {
			states[name] = a.services[name].State().String()
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(states)
		return
	}
	for _, name := range names {
		fmt.Fprintf(w, "%s => %s\n", name, a.services[name].State())
	}
}

// handleStatus shows the process as text, as Tempo does: its version, services and configuration, or one of them.
func (a *App) handleStatus(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	parts := []struct {
		name string
		show http.HandlerFunc
	}{
		{"version", func(w http.ResponseWriter, _ *http.Request) {
			b := telemetry.Build()
			fmt.Fprintf(w, "hune, version %s (revision: %s)\n  build date: %s\n  go version: %s\n", b.Version, b.Revision, b.Time, b.GoVersion)
		}},
		{"services", a.handleServices}, {"config", a.handleConfig},
	}
	what := r.PathValue("what")
	shown := false
	for _, p := range parts {
		if what == "" || what == p.name {
			r.Header.Del("Accept") // text, whatever the part could be otherwise
			p.show(w, r)
			shown = true
		}
	}
	if !shown {
		http.Error(w, fmt.Sprintf("no status %q: there are version, services and config", what), http.StatusNotFound)
	}
}

// handleFlush writes everything that is in memory, or that of the tenant in the path, to the bucket and answers when it
// is there.
func (a *App) handleFlush(w http.ResponseWriter, r *http.Request) {
	if a.ingester == nil {
		http.Error(w, "no ingester runs in this process", http.StatusNotFound)
		return
	}
	ctx := tenant.NewContext(r.Context(), tenant.Anonymous)
	var tenants []string
	if id := r.PathValue("tenant"); id != "" {
		if err := tenant.Validate(id); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		tenants = append(tenants, id)
	}
	if err := a.ingester.Flush(ctx, tenants...); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if a.store != nil {
		if err := a.store.Refresh(ctx); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

func hostAndFolder() (host, folder string) {
	host, _ = os.Hostname()
	folder, _ = os.Getwd()
	return host, folder
}
