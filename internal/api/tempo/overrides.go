package tempo

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces/overrides"
)

// Overrides keeps the settings that tenants make for themselves; package traces/overrides has one.
type Overrides interface {
	Get(ctx context.Context, tenant string) (limits []byte, version string, err error)
	Set(ctx context.Context, tenant string, limits []byte, seen string) (version string, err error)
	Patch(ctx context.Context, tenant string, patch []byte) (limits []byte, version string, err error)
	Delete(ctx context.Context, tenant, seen string) error
}

const maxOverrides = 1 << 20

// registerOverrides adds /api/overrides. The version of a document is in the header Etag; who
// replaces or deletes it says in If-Match which one is meant, 0 for one that is not there.
func (a *API) registerOverrides(mux *http.ServeMux) {
	const path = "/api/overrides"
	mux.HandleFunc("GET "+path, a.handle(a.getOverrides))
	mux.HandleFunc("POST "+path, a.handle(a.setOverrides))
	mux.HandleFunc("PATCH "+path, a.handle(a.patchOverrides))
	mux.HandleFunc("DELETE "+path, a.handle(a.deleteOverrides))
}

// getOverrides answers the tenant's own settings. Nothing else sets them, so that scope=merged is
// the same.
func (a *API) getOverrides(w http.ResponseWriter, r *http.Request) error {
	id, err := tenant.FromContext(r.Context())
	if err != nil {
		return err
	}
	scope := r.URL.Query().Get("scope")
	if scope != "" && scope != "api" && scope != "merged" {
		return fault.Invalidf("unknown scope %q, valid options are api and merged", scope)
	}
	limits, version, err := a.opts.Overrides.Get(r.Context(), id)
	if errors.Is(err, overrides.ErrNone) && scope == "merged" {
		limits, err = []byte("{}"), nil
	}
	if err != nil {
		return err
	}
	w.Header().Set("Etag", version)
	return writeJSON(w, limits)
}

func (a *API) setOverrides(w http.ResponseWriter, r *http.Request) error {
	id, body, err := overridesRequest(w, r)
	if err != nil {
		return err
	}
	seen := r.Header.Get("If-Match")
	if seen == "" {
		return precondition(w, http.StatusPreconditionRequired, "must specify If-Match header")
	}
	version, err := a.opts.Overrides.Set(r.Context(), id, body, seen)
	if errors.Is(err, overrides.ErrVersion) {
		return precondition(w, http.StatusPreconditionFailed, err.Error())
	}
	if err != nil {
		return err
	}
	w.Header().Set("Etag", version)
	return nil
}

func (a *API) patchOverrides(w http.ResponseWriter, r *http.Request) error {
	id, body, err := overridesRequest(w, r)
	if err != nil {
		return err
	}
	limits, version, err := a.opts.Overrides.Patch(r.Context(), id, body)
	if err != nil {
		return err
	}
	w.Header().Set("Etag", version)
	return writeJSON(w, limits)
}

func (a *API) deleteOverrides(w http.ResponseWriter, r *http.Request) error {
	id, err := tenant.FromContext(r.Context())
	if err != nil {
		return err
	}
	seen := r.Header.Get("If-Match")
	if seen == "" {
		return precondition(w, http.StatusPreconditionRequired, "must specify If-Match header")
	}
	if err := a.opts.Overrides.Delete(r.Context(), id, seen); errors.Is(err, overrides.ErrVersion) {
		return precondition(w, http.StatusPreconditionFailed, err.Error())
	} else if err != nil {
		return err
	}
	return nil
}

func overridesRequest(w http.ResponseWriter, r *http.Request) (id string, body []byte, err error) {
	if id, err = tenant.FromContext(r.Context()); err != nil {
		return "", nil, err
	}
	if body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxOverrides)); err != nil {
		return "", nil, fault.Errorf(fault.TooLarge, "read overrides: %w", err)
	}
	return id, body, nil
}

func precondition(w http.ResponseWriter, status int, text string) error {
	http.Error(w, text, status)
	return nil
}
