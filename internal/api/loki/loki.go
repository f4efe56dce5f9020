// Package loki serves the Loki HTTP API: push, queries, labels, volumes, detected fields, patterns,
// tail and deletes, answered byte for byte as clients of Loki 3.7 expect.
//
// The tenant is taken from the request's context (package tenant). Errors are plain text with Loki's
// wording and status, the class of the error (package fault) decides which.
package loki

import (
	"context"
	"encoding/json"
	"iter"
	"maps"
	"net/http"
	"time"

	"github.com/hune-io/hune/internal/api/body"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/tenant"
)

// Runner answers queries: the query frontend.
type Runner interface {
	Run(ctx context.Context, j job.Job) (job.Result, error)
}

// Pusher takes writes: the distributor. The tenant is in ctx; the batch belongs to the pusher until
// PushLogs returns, and it keeps nothing of it.
type Pusher interface {
	PushLogs(ctx context.Context, b *logs.Batch) (logs.PushResult, error)
}

// Tailer yields the entries of matching streams as they are written, until ctx ends. The first rows
// are empty and come at once: what is written after them is not missed.
type Tailer interface {
	TailLogs(ctx context.Context, tenant string, sel logs.Select) iter.Seq2[*logs.Rows, error]
}

// Options are the parts of a Handler. Runner, Pusher, Tailer, Deleter and Rules may be nil where a process
// lacks the role: the paths that need it answer 404 then.
type Options struct {
	Runner  Runner
	Pusher  Pusher
	Tailer  Tailer
	Deleter Deleter
	Rules   RuleStore
	// RuleStates shows what the ruler evaluates; nil where none runs.
	RuleStates RuleStates
	// OTLPLogs serves POST /otlp/v1/logs, if set.
	OTLPLogs http.Handler
	// BodyLimits bound request bodies.
	BodyLimits body.Limits
	// Version is what status/buildinfo answers.
	Version BuildInfo
	// Limits are what drilldown-limits and the tenant's limits answer. Nil answers the defaults.
	Limits func(tenant string) Limits
	// MaxTails bounds the tails of the process. Default 1000.
	MaxTails int
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// BuildInfo is the answer of /loki/api/v1/status/buildinfo. Version should start with a Loki version
// whose features are there: Grafana decides by it what to ask.
type BuildInfo struct {
	Version   string `json:"version"`
	Revision  string `json:"revision"`
	Branch    string `json:"branch"`
	BuildUser string `json:"buildUser"`
	BuildDate string `json:"buildDate"`
	GoVersion string `json:"goVersion"`
}

// Handler serves the API. It is safe for concurrent use.
type Handler struct {
	o      Options
	labels *labelCache
	tails  *tails
	mux    *http.ServeMux
}

// New returns a handler for all paths of the API.
func New(o Options) *Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Limits == nil {
		o.Limits = defaultLimits
	}
	if o.MaxTails <= 0 {
		o.MaxTails = 1000
	}
	h := &Handler{o: o, labels: newLabelCache(), tails: newTails(o.MaxTails), mux: http.NewServeMux()}
	h.Register(h.mux)
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// Stop ends the tails that are open, which no server waits for, and returns when their clients know it or
// ctx is done.
func (h *Handler) Stop(ctx context.Context) { h.tails.stop(ctx) }

// Register adds the paths of the API to mux. POST /api/prom/push is a path that Cortex's remote
// write uses too: whoever routes sends requests with IsRemoteWrite elsewhere.
func (h *Handler) Register(mux *http.ServeMux) {
	for path, handler := range h.Routes() {
		mux.Handle(path, handler)
	}
}

// IsRemoteWrite reports whether r is a Prometheus remote write rather than a Loki push.
func IsRemoteWrite(r *http.Request) bool {
	return r.Header.Get("X-Prometheus-Remote-Write-Version") != ""
}

// Routes returns the handlers by pattern of http.ServeMux.
func (h *Handler) Routes() map[string]http.Handler {
	routes := map[string]http.Handler{
		"GET /loki/api/v1/status/buildinfo": http.HandlerFunc(h.buildInfo),
		"/loki/api/v1/format_query":         http.HandlerFunc(h.formatQuery),
		"GET /config/tenant/v1/limits":      plainErrors(h.tenantLimits),
	}
	if h.o.Pusher != nil {
		routes["POST /loki/api/v1/push"] = http.HandlerFunc(h.push)
		routes["POST /api/prom/push"] = http.HandlerFunc(h.push)
	}
	if h.o.OTLPLogs != nil {
		routes["POST /otlp/v1/logs"] = h.o.OTLPLogs
	}
	if h.o.Runner != nil {
		reads := h.legacyRoutes()
		maps.Copy(reads, map[string]func(http.ResponseWriter, *http.Request) error{
			"/loki/api/v1/query":                        h.instantQuery,
			"/loki/api/v1/query_range":                  h.rangeQuery,
			"/loki/api/v1/labels":                       h.labelNames,
			"/loki/api/v1/label":                        h.labelNames,
			"/loki/api/v1/label/{name}/values":          h.labelValues,
			"/loki/api/v1/series":                       h.series,
			"/loki/api/v1/index/stats":                  h.indexStats,
			"/loki/api/v1/index/volume":                 h.volume,
			"/loki/api/v1/index/volume_range":           h.volumeRange,
			"/loki/api/v1/detected_labels":              h.detectedLabels,
			"/loki/api/v1/detected_fields":              h.detectedFields,
			"/loki/api/v1/detected_field/{name}/values": h.detectedFieldValues,
			"/loki/api/v1/patterns":                     h.patterns,
			"/loki/api/v1/drilldown-limits":             h.drilldownLimits,
			"/api/hune/v1/logs/trace/{id}":              h.traceLogs,
		})
		for path, f := range reads {
			if !inParquet[path] {
				f = withoutParquet(f)
			}
			routes["GET "+path] = plainErrors(f)
			routes["POST "+path] = plainErrors(f)
		}
	}
	if h.o.Deleter != nil {
		for path, f := range h.deleteRoutes() {
			routes[path] = plainErrors(f)
		}
	}
	if h.o.Rules != nil {
		maps.Copy(routes, h.ruleRoutes())
	}
	if h.o.Tailer != nil && h.o.Runner != nil {
		routes["GET /loki/api/v1/tail"] = plainErrors(h.tail)
		routes["GET /api/prom/tail"] = plainErrors(h.legacyTail)
	}
	return routes
}

// plainErrors answers errors as text.
func plainErrors(f func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := f(w, r); err != nil {
			writeError(w, err)
		}
	})
}

func writeError(w http.ResponseWriter, err error) {
	if after := fault.RetryAfter(err); after > 0 {
		w.Header().Set("Retry-After", retrySeconds(after))
	}
	http.Error(w, err.Error(), fault.Status(err))
}

// run asks the frontend for the tenant of ctx.
func (h *Handler) run(ctx context.Context, q *logs.Query) (*logs.Result, error) {
	id, err := tenant.FromContext(ctx)
	if err != nil {
		return nil, fault.New(fault.Invalid, err)
	}
	res, err := h.o.Runner.Run(ctx, job.Job{Tenant: id, Logs: q})
	if err != nil {
		return nil, err
	}
	if res.Logs == nil {
		return nil, fault.Errorf(fault.Internal, "the querier answered without a logs result")
	}
	return res.Logs, nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // the client has gone away: nobody is left to tell
}

func (h *Handler) buildInfo(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, h.o.Version)
}
