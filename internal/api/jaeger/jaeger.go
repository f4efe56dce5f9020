// Package jaeger is Jaeger's HTTP query API over Hune's traces, and the ways in which its clients
// send spans.
//
// Version 2 of the query API, the one that Jaeger's UI and Grafana's Jaeger data source use, shares
// /api/traces/{id} with Tempo's API, so it is served under a base path of its own: /jaeger. Version
// 3 answers OTLP and has paths that nobody else has; it is served under both.
//
// # Caveats
//
// Spans of a trace are answered as they were stored: nothing is adjusted for clocks.
package jaeger

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/hune-io/hune/internal/api/tracequery"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces"
)

// Options are what the handlers need.
type Options struct {
	Runner job.Runner // answers queries; required
	Logger *slog.Logger
	Now    func() time.Time // default time.Now
}

// API is the query API. Safe for concurrent use.
type API struct {
	read   tracequery.Reader
	logger *slog.Logger
	now    func() time.Time
}

// New returns the handlers.
func New(o Options) *API {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &API{tracequery.Reader{Runner: o.Runner}, o.Logger, o.Now}
}

// Register adds version 2 under prefix, and version 3 under prefix and at the root.
func (a *API) Register(mux *http.ServeMux, prefix string) {
	get := func(path string, h func(*http.Request) (any, error)) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			v, err := h(r)
			if err != nil {
				a.fail(w, r, err)
				return
			}
			writeJSON(w, http.StatusOK, v)
		})
	}
	get(prefix+"/api/services", a.services)
	get(prefix+"/api/services/{service}/operations", a.serviceOperations)
	get(prefix+"/api/operations", a.operations)
	get(prefix+"/api/traces", a.search)
	get(prefix+"/api/traces/{id}", a.trace)
	get(prefix+"/api/dependencies", a.dependencies)
	for _, base := range []string{prefix, ""} {
		mux.HandleFunc("GET "+base+"/api/v3/services", a.v3(a.servicesV3))
		mux.HandleFunc("GET "+base+"/api/v3/operations", a.v3(a.operationsV3))
		mux.HandleFunc("GET "+base+"/api/v3/dependencies", a.v3(a.dependenciesV3))
		mux.HandleFunc("GET "+base+"/api/v3/traces", a.v3(a.searchV3))
		mux.HandleFunc("GET "+base+"/api/v3/traces/{id}", a.v3(a.traceV3))
	}
}

// answer is the envelope of version 2.
type answer struct {
	Data   any           `json:"data"`
	Total  int           `json:"total"`
	Limit  int           `json:"limit"`
	Offset int           `json:"offset"`
	Errors []answerError `json:"errors"`
}

type answerError struct {
	Code    int    `json:"code,omitempty"`
	Msg     string `json:"msg"`
	TraceID string `json:"traceID,omitempty"`
}

func list[T any](data []T) answer {
	if data == nil {
		data = []T{}
	}
	return answer{Data: data, Total: len(data)}
}

func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := a.note(w, r, err)
	writeJSON(w, status, answer{Errors: []answerError{{Code: status, Msg: err.Error()}}})
}

// note logs what is our fault and sets the headers of an error.
func (a *API) note(w http.ResponseWriter, r *http.Request, err error) int {
	status := fault.Status(err)
	if errors.Is(err, tenant.ErrMissing) {
		status = http.StatusUnauthorized
	}
	if status == http.StatusInternalServerError && !errors.Is(err, context.Canceled) {
		a.logger.Error("Jaeger request", "path", r.URL.Path, "err", err)
	}
	if after := fault.RetryAfter(err); after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
	}
	return status
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"errors":[{"code":500,"msg":"the answer can't be told in JSON"}]}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client has gone if this fails
}

func (a *API) services(r *http.Request) (any, error) {
	names, err := a.read.Services(r.Context(), tracequery.Range{})
	return list(names), err
}

func (a *API) serviceOperations(r *http.Request) (any, error) {
	names, err := a.read.Values(r.Context(), "name", tracequery.All([]string{tracequery.Service(r.PathValue("service"))}), tracequery.Range{})
	return list(names), err
}

// operation is a name of spans; SpanKind is empty for spans that name none.
type operation struct {
	Name     string `json:"name"`
	SpanKind string `json:"spanKind"`
}

func (a *API) findOperations(ctx context.Context, service, kind string) ([]operation, error) {
	if service == "" {
		return nil, fault.Invalidf("parameter 'service' is required")
	}
	found, err := a.read.Operations(ctx, service, tracequery.Range{})
	if err != nil {
		return nil, err
	}
	var out []operation
	for _, op := range found {
		if op.Kind == "unspecified" {
			op.Kind = ""
		}
		if kind == "" || kind == op.Kind {
			out = append(out, operation{op.Name, op.Kind})
		}
	}
	return out, nil
}

func (a *API) operations(r *http.Request) (any, error) {
	ops, err := a.findOperations(r.Context(), r.FormValue("service"), r.FormValue("spanKind"))
	return list(ops), err
}

func (a *API) trace(r *http.Request) (any, error) {
	id, err := traces.ParseID(r.PathValue("id"))
	if err != nil {
		return nil, fault.New(fault.Invalid, err)
	}
	t, err := a.read.Trace(r.Context(), id, tracequery.Range{})
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, fault.Errorf(fault.NotFound, "trace not found")
	}
	return list([]jsonTrace{traceJSON(t)}), nil
}

func (a *API) search(r *http.Request) (any, error) {
	v := r.URL.Query()
	var found []*traces.Trace
	var missing []answerError
	if ids := v["traceID"]; len(ids) > 0 {
		list, err := parseIDs(ids)
		if err != nil {
			return nil, err
		}
		if found, err = a.read.Traces(r.Context(), list, tracequery.Range{}); err != nil {
			return nil, err
		}
		missing = missingOf(list, found)
	} else {
		q, err := a.searchParams(v)
		if err != nil {
			return nil, err
		}
		if found, err = a.read.Find(r.Context(), q.expr, q.in, q.limit); err != nil {
			return nil, err
		}
	}
	out := make([]jsonTrace, len(found))
	for i, t := range found {
		out[i] = traceJSON(t)
	}
	ans := list(out)
	ans.Errors = missing
	return ans, nil
}

// maxIDs bounds the traces that one request may name.
const maxIDs = 100

func parseIDs(texts []string) ([]traces.ID, error) {
	if len(texts) > maxIDs {
		return nil, fault.Invalidf("%d trace IDs in one request: at most %d are allowed", len(texts), maxIDs)
	}
	out := make([]traces.ID, len(texts))
	for i, s := range texts {
		id, err := traces.ParseID(s)
		if err != nil {
			return nil, fault.New(fault.Invalid, err)
		}
		out[i] = id
	}
	return out, nil
}

func missingOf(ids []traces.ID, found []*traces.Trace) (out []answerError) {
	have := map[traces.ID]bool{}
	for _, t := range found {
		have[t.ID] = true
	}
	for _, id := range ids {
		if !have[id] {
			out = append(out, answerError{Msg: "trace not found", TraceID: idText(id)})
		}
	}
	return out
}

// dependency is one call between services.
type dependency struct {
	Parent    string `json:"parent"`
	Child     string `json:"child"`
	CallCount uint64 `json:"callCount"`
}

// dependencies answers for lookback (milliseconds, default a day) before endTs (Unix milliseconds).
func (a *API) dependencies(r *http.Request) (any, error) {
	end, err := strconv.ParseInt(r.FormValue("endTs"), 10, 64)
	if err != nil {
		return nil, fault.Invalidf("unable to parse param 'endTs': %w", err)
	}
	lookback := (24 * time.Hour).Milliseconds()
	if s := r.FormValue("lookback"); s != "" {
		if lookback, err = strconv.ParseInt(s, 10, 64); err != nil {
			return nil, fault.Invalidf("unable to parse param 'lookback': %w", err)
		}
	}
	in, err := rangeBefore(end, lookback)
	if err != nil {
		return nil, err
	}
	found, err := a.read.Dependencies(r.Context(), in)
	if err != nil {
		return nil, err
	}
	out := make([]dependency, len(found))
	for i, d := range found {
		out[i] = dependency{d.Parent, d.Child, d.Calls}
	}
	return list(out), nil
}

// rangeBefore is the range of lookback before end, both in milliseconds.
func rangeBefore(end, lookback int64) (tracequery.Range, error) {
	if end <= 0 || end > math.MaxInt64/1_000_000 || lookback <= 0 {
		return tracequery.Range{}, fault.Invalidf("endTs and lookback must be positive milliseconds")
	}
	start := max(end-lookback, 0)
	return tracequery.Range{Start: uint64(start) * 1e6, End: uint64(end) * 1e6}, nil
}
