// Package tempo is Tempo's HTTP API over Hune's traces: trace by ID, search, tags, tag values and
// TraceQL metrics, in the shapes and with the error texts of Tempo 3, so that Grafana's data source
// and other clients work unchanged.
//
// Handlers read parameters, make one traces.Query and run it as a job; they hold no data and know
// no storage. Errors are plain text.
//
// # Caveats
//
// A search or tags request without a range looks at any time; the reference looks at recent data.
package tempo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces"
)

// Options are what the handlers need. Zero limits mean the default.
type Options struct {
	Runner job.Runner // answers queries; required
	// Overrides keeps tenants' own settings; without one /api/overrides is not there.
	Overrides Overrides
	// Deleter takes requests to delete traces; without one /api/hune/v1/traces/delete is not there.
	Deleter Deleter
	Logger  *slog.Logger
	Now     func() time.Time // default time.Now

	Version, Revision, Branch, BuildDate string // for /api/status/buildinfo

	MaxLimit        int           // traces that one search may ask for; default 262,144
	MaxSpans        int           // spans per span set that one search may ask for; default 100
	MaxSearchRange  time.Duration // default 168h
	MaxMetricsRange time.Duration // default 24h
}

// API is the set of handlers.
type API struct{ opts Options }

// New returns the handlers.
func New(o Options) *API {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxLimit <= 0 {
		o.MaxLimit = 262_144
	}
	if o.MaxSpans <= 0 {
		o.MaxSpans = 100
	}
	if o.MaxSearchRange <= 0 {
		o.MaxSearchRange = 168 * time.Hour
	}
	if o.MaxMetricsRange <= 0 {
		o.MaxMetricsRange = 24 * time.Hour
	}
	return &API{o}
}

// Register adds the handlers to mux under their native paths. The tenant must be in the context of
// every request.
func (a *API) Register(mux *http.ServeMux) {
	get := func(path string, h func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc("GET "+path, a.handle(h))
	}
	mux.HandleFunc("POST /api/v2/traces/diff", a.handle(a.diff))
	get("/api/traces/{id}", a.traceV1)
	get("/api/v2/traces/{id}", a.traceV2)
	get("/api/search", a.search)
	get("/api/search/tags", a.tagsV1)
	get("/api/v2/search/tags", a.tagsV2)
	get("/api/search/tag/{tag}/values", a.tagValuesV1)
	get("/api/v2/search/tag/{tag}/values", a.tagValuesV2)
	get("/api/metrics/query_range", a.metricsRange)
	get("/api/metrics/query", a.metricsInstant)
	if a.opts.Overrides != nil {
		a.registerOverrides(mux)
	}
	if a.opts.Deleter != nil {
		a.registerDeletes(mux)
	}
	get("/api/echo", a.echo)
	get("/api/status/buildinfo", a.buildInfo)
}

func (a *API) handle(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			a.fail(w, r, err)
		}
	}
}

func (a *API) echo(w http.ResponseWriter, _ *http.Request) error {
	return writeText(w, "echo")
}

func (a *API) buildInfo(w http.ResponseWriter, _ *http.Request) error {
	b := []byte(`{"version":`)
	b = appendString(b, a.opts.Version)
	b = appendString(append(b, `,"revision":`...), a.opts.Revision)
	b = appendString(append(b, `,"branch":`...), a.opts.Branch)
	b = appendString(append(b, `,"buildDate":`...), a.opts.BuildDate)
	b = appendString(append(b, `,"buildUser":"","goVersion":`...), runtime.Version())
	return writeJSON(w, append(b, '}'))
}

// run asks the runner for the answer to q, for the tenant of the request.
func (a *API) run(ctx context.Context, q *traces.Query) (*traces.Result, error) {
	id, err := tenant.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	res, err := a.opts.Runner.Run(ctx, job.Job{Tenant: id, Traces: q})
	if err != nil {
		return nil, err
	}
	if res.Traces == nil {
		return nil, errors.New("traces query has no traces result")
	}
	return res.Traces, nil
}

// fail answers an error as plain text with the status of its class.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := fault.Status(err)
	if errors.Is(err, tenant.ErrMissing) {
		status = http.StatusUnauthorized
	}
	if status == http.StatusInternalServerError && !errors.Is(err, context.Canceled) {
		a.opts.Logger.Error("traces request", "path", r.URL.Path, "err", err)
	}
	if after := fault.RetryAfter(err); after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, err) // the client is gone if this fails
}

func writeText(w http.ResponseWriter, s string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(s)) // as above: nobody is left to tell
	return nil
}

func writeJSON(w http.ResponseWriter, b []byte) error { return write(w, "application/json", b) }

func write(w http.ResponseWriter, contentType string, b []byte) error {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b)
	return nil
}
