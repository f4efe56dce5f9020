package prometheus

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	v1 "github.com/prometheus/prometheus/web/api/v1"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/tenant"
)

// Admin is what the paths under /api/v1/admin/tsdb/ do to the metrics of a tenant. Times are milliseconds,
// both inclusive; errors are classed.
type Admin interface {
	// DeleteSeries hides the samples of the series that any of the selectors matches, and has them removed.
	DeleteSeries(ctx context.Context, tenant string, selectors []string, start, end int64) error
	// CleanTombstones removes what is deleted from the blocks of the bucket now.
	CleanTombstones(ctx context.Context, tenant string) error
	// Snapshot copies all there is to a folder of the data folder and returns its name.
	Snapshot(ctx context.Context, tenant string, skipHead bool) (name string, err error)
}

// registerAdmin adds the admin API, which without an Admin answers that it is disabled.
func (a *API) registerAdmin(mux *http.ServeMux, disabled http.Handler) {
	for path, serve := range map[string]func(*http.Request, string) (any, error){
		"delete_series": a.deleteSeries, "clean_tombstones": a.cleanTombstones, "snapshot": a.snapshot,
	} {
		var h http.Handler = disabled
		if a.opts.Admin != nil {
			h = a.whenReady(a.admin(serve))
		}
		mux.Handle("POST /api/v1/admin/tsdb/"+path, h)
		mux.Handle("PUT /api/v1/admin/tsdb/"+path, h)
	}
}

// admin answers 204 to what has no answer, as Prometheus does.
func (a *API) admin(serve func(*http.Request, string) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := tenant.FromContext(r.Context())
		if err != nil {
			a.respond(w, r, nil, fault.New(fault.Invalid, err))
			return
		}
		answer, err := serve(r, id)
		if err == nil && answer == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		a.respond(w, r, answer, err)
	}
}

func (a *API) deleteSeries(r *http.Request, id string) (any, error) {
	if err := r.ParseForm(); err != nil {
		return nil, fault.Invalidf("error parsing form values: %w", err)
	}
	selectors := r.Form["match[]"]
	if len(selectors) == 0 {
		return nil, fault.Invalidf("no match[] parameter provided")
	}
	start, err := timeParam(r, "start", metrics.MinTime)
	if err != nil {
		return nil, err
	}
	end, err := timeParam(r, "end", metrics.MaxTime)
	if err != nil {
		return nil, err
	}
	for _, s := range selectors {
		if _, err := metrics.ParseSelector(s); err != nil {
			return nil, fault.Invalidf("invalid parameter \"match[]\": %w", err)
		}
	}
	return nil, a.opts.Admin.DeleteSeries(r.Context(), id, selectors, start, end)
}

func (a *API) cleanTombstones(r *http.Request, id string) (any, error) {
	return nil, a.opts.Admin.CleanTombstones(r.Context(), id)
}

func (a *API) snapshot(r *http.Request, id string) (any, error) {
	skipHead := false
	if s := r.FormValue("skip_head"); s != "" {
		var err error
		if skipHead, err = strconv.ParseBool(s); err != nil {
			return nil, fault.Invalidf("invalid parameter \"skip_head\": unable to parse boolean: %w", err)
		}
	}
	name, err := a.opts.Admin.Snapshot(r.Context(), id, skipHead)
	if err != nil {
		return nil, fmt.Errorf("create snapshot: %w", err)
	}
	return map[string]string{"name": name}, nil
}

// timeParam reads a time as Prometheus does: seconds with a fraction, or RFC 3339. It returns milliseconds.
func timeParam(r *http.Request, name string, absent int64) (int64, error) {
	s := r.FormValue(name)
	if s == "" {
		return absent, nil
	}
	if t, err := strconv.ParseFloat(s, 64); err == nil && !math.IsNaN(t) {
		switch ms := t * 1000; {
		case ms >= math.MaxInt64:
			return metrics.MaxTime, nil
		case ms <= math.MinInt64:
			return metrics.MinTime, nil
		default:
			return int64(math.Round(ms)), nil
		}
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t.UnixMilli(), nil
	}
	switch s { // what Prometheus's client sends for the ends of time
	case v1.MinTime.Format(time.RFC3339Nano):
		return metrics.MinTime, nil
	case v1.MaxTime.Format(time.RFC3339Nano):
		return metrics.MaxTime, nil
	}
	return 0, fault.Invalidf("invalid parameter %q: cannot parse %q to a valid timestamp", name, s)
}
