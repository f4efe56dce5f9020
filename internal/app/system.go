package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/pprof"
	"os"
	"sort"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.yaml.in/yaml/v3"

	"github.com/hune-io/hune/internal/tenant"
)

// system registers the paths that show the process itself. They need no tenant.
func (a *App) system(mux *http.ServeMux) {
	mux.HandleFunc("GET /ready", a.handleReady)
	mux.HandleFunc("GET /-/ready", a.handleReady)
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "Hune is healthy.") })
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, ErrorHandling: promhttp.ContinueOnError}))
	mux.HandleFunc("GET /config", a.handleConfig)
	mux.HandleFunc("GET /services", a.handleServices)
	mux.HandleFunc("POST /flush", a.handleFlush)
	mux.HandleFunc("PUT /flush", a.handleFlush)
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

func (a *App) handleConfig(w http.ResponseWriter, _ *http.Request) {
	text, err := a.configText()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(text)
}

// configText is the configuration in force, without secrets.
func (a *App) configText() ([]byte, error) {
	data, err := yaml.Marshal(a.cfg)
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

// handleFlush writes everything that is in memory to the bucket and answers when it is there.
func (a *App) handleFlush(w http.ResponseWriter, r *http.Request) {
	if a.ingester == nil {
		http.Error(w, "no ingester runs in this process", http.StatusNotFound)
		return
	}
	ctx := tenant.NewContext(r.Context(), tenant.Anonymous)
	if err := a.ingester.Flush(ctx); err != nil {
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
