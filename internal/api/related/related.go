// Package related answers GET /api/hune/v1/related: where to look in the other signals when one has shown
// something. From a trace it leads to its logs and to queries of logs and metrics of the resources that took
// part; from a stream of logs to the traces and metrics of the same resource. An exemplar of a metric is a
// trace ID.
//
// The signals agree on who is who: attributes of a resource in traces are labels of streams and of target_info
// under the same names, with underscores. The answer is described in docs/related.md. Errors are
// {"error": TEXT} with the status of their class.
package related

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces"
)

// Options are what the handler needs.
type Options struct {
	Runner job.Runner // answers queries; required
	Logger *slog.Logger
	Now    func() time.Time // default time.Now
}

// API is the handler.
type API struct{ opts Options }

// New returns the handler.
func New(o Options) *API {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &API{o}
}

// Register adds the handler to mux. The tenant must be in the context of every request.
func (a *API) Register(mux *http.ServeMux) { mux.HandleFunc("GET /api/hune/v1/related", a.serve) }

func (a *API) serve(w http.ResponseWriter, r *http.Request) {
	answer, err := a.answer(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func (a *API) answer(r *http.Request) (*Answer, error) {
	id, err := tenant.FromContext(r.Context())
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	limit, err := intParam(q.Get("limit"), defaultLimit, maxLimit)
	if err != nil {
		return nil, err
	}
	trace, stream := q.Get("trace"), q.Get("logs")
	switch {
	case (trace == "") == (stream == ""):
		return nil, fault.Invalidf("one of the parameters trace and logs is needed: a trace ID, or the labels of a stream in braces")
	case trace != "":
		return a.ofTrace(r.Context(), id, trace, limit)
	}
	at, err := timeParam(q.Get("time"), a.opts.Now())
	if err != nil {
		return nil, err
	}
	return a.ofLogs(r.Context(), id, stream, at, limit)
}

const (
	defaultLimit = 100 // of lines, spans and traces, each
	maxLimit     = 5000
)

func intParam(s string, standard, most int) (int, error) {
	if s == "" {
		return standard, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > most {
		return 0, fault.Invalidf("limit: %q is not a number from 0 to %d", s, most)
	}
	return n, nil
}

// timeParam reads RFC 3339, Unix seconds with or without a fraction, or Unix nanoseconds, as Loki does.
func timeParam(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return now, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && len(strings.TrimPrefix(s, "-")) > 10 {
		return time.Unix(0, n), nil
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) < math.MaxInt64/1e9 {
		return time.Unix(0, int64(f*1e9)), nil
	}
	return time.Time{}, fault.Invalidf("time: %q is neither RFC 3339 nor Unix seconds or nanoseconds", s)
}

func (a *API) runTraces(ctx context.Context, id string, q *traces.Query) (*traces.Result, error) {
	res, err := a.opts.Runner.Run(ctx, job.Job{Tenant: id, Traces: q})
	if err == nil && res.Traces == nil {
		err = errors.New("traces query has no traces result")
	}
	return res.Traces, err
}

func (a *API) runLogs(ctx context.Context, id string, q *logs.Query) (*logs.Result, error) {
	res, err := a.opts.Runner.Run(ctx, job.Job{Tenant: id, Logs: q})
	if err == nil && res.Logs == nil {
		err = errors.New("logs query has no logs result")
	}
	return res.Logs, err
}

func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := fault.Status(err)
	if errors.Is(err, tenant.ErrMissing) {
		status = http.StatusUnauthorized
	}
	if status == http.StatusInternalServerError && !errors.Is(err, context.Canceled) {
		a.opts.Logger.Error("related request", "path", r.URL.Path, "err", err)
	}
	if after := fault.RetryAfter(err); after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
	}
	writeJSON(w, status, map[string]string{"error": err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // the client is gone if this fails
}
