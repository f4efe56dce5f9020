// Package alertmanager is the edge of the role alertmanager: Alertmanager's API version 2 at its own
// paths, and the API by which Mimir and Cortex take a tenant's configuration, under /mimir.
//
// The version 2 API is Alertmanager's own code (see https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml);
// here it gets its tenant. It is never served at /alertmanager: Grafana's health check fails where one
// base URL answers both there and at the root.
package alertmanager

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/hune-io/hune/internal/alertmanager"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/tenant"
)

// Alertmanager is what the API stands on.
type Alertmanager interface {
	// Handler returns the API of a tenant, which expects paths under /api/v2/.
	Handler(ctx context.Context, tenant string) (http.Handler, error)
	ReadConfig(ctx context.Context, tenant string) (*alertmanager.TenantConfig, error)
	WriteConfig(ctx context.Context, tenant string, c alertmanager.TenantConfig) error
	DeleteConfig(ctx context.Context, tenant string) error
}

// API serves it.
type API struct{ am Alertmanager }

// New returns an API.
func New(am Alertmanager) *API { return &API{am} }

// paths of API version 2, below a base. Others under /api/v2/ belong to Tempo and Zipkin.
var paths = []string{"/api/v2/status", "/api/v2/receivers", "/api/v2/silences", "/api/v2/silence/{id}", "/api/v2/alerts", "/api/v2/alerts/groups"}

// Register mounts the API at the root, under /am, and under /mimir in Mimir's way.
func (a *API) Register(mux *http.ServeMux) {
	for _, base := range []string{"", "/am", "/mimir/alertmanager"} {
		h := http.StripPrefix(base, http.HandlerFunc(a.serve))
		for _, p := range paths {
			mux.Handle(base+p, h)
		}
	}
	mux.HandleFunc("POST /am/api/v1/alerts", gone) // at the root the API of metrics answers so
	mux.HandleFunc("GET /mimir/api/v1/alerts", a.getConfig)
	mux.HandleFunc("POST /mimir/api/v1/alerts", a.setConfig)
	mux.HandleFunc("DELETE /mimir/api/v1/alerts", a.deleteConfig)
}

func (a *API) serve(w http.ResponseWriter, r *http.Request) {
	id, err := tenant.FromContext(r.Context())
	var h http.Handler
	if err == nil {
		h, err = a.am.Handler(r.Context(), id)
	}
	if err != nil {
		// Errors of this API are JSON strings.
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(fault.Status(err))
		_ = json.NewEncoder(w).Encode(err.Error())
		return
	}
	h.ServeHTTP(w, r)
}

// gone is what Alertmanager answers since 0.27 where alerts of version 1 are sent.
func gone(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusGone)
	_ = json.NewEncoder(w).Encode(map[string]string{"status": "deprecated",
		"error": "The Alertmanager v1 API was deprecated in version 0.16.0 and is removed as of version 0.27.0 - please use the equivalent route in the v2 API"})
}

func (a *API) getConfig(w http.ResponseWriter, r *http.Request) {
	id, err := tenant.FromContext(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	c, err := a.am.ReadConfig(r.Context(), id)
	if err != nil {
		fail(w, err)
		return
	}
	text, err := yaml.Marshal(c)
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(text)
}

// maxBody bounds a configuration as it comes over the wire.
const maxBody = 2 << 20

func (a *API) setConfig(w http.ResponseWriter, r *http.Request) {
	id, err := tenant.FromContext(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var big *http.MaxBytesError
		if errors.As(err, &big) {
			err = fault.Errorf(fault.TooLarge, "the configuration is larger than %d bytes", maxBody)
		}
		fail(w, err)
		return
	}
	var c alertmanager.TenantConfig
	d := yaml.NewDecoder(strings.NewReader(string(body)))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil {
		fail(w, fault.Invalidf("error unmarshalling Alertmanager config: %w", err))
		return
	}
	if err := a.am.WriteConfig(r.Context(), id, c); err != nil {
		fail(w, err)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

func (a *API) deleteConfig(w http.ResponseWriter, r *http.Request) {
	id, err := tenant.FromContext(r.Context())
	if err == nil {
		err = a.am.DeleteConfig(r.Context(), id)
	}
	if err != nil {
		fail(w, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

func fail(w http.ResponseWriter, err error) { http.Error(w, err.Error(), fault.Status(err)) }
