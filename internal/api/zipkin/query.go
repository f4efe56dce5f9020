package zipkin

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hune-io/hune/internal/api/tracequery"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces"
)

// QueryOptions are what the query API needs.
type QueryOptions struct {
	Runner job.Runner // answers queries; required
	Logger *slog.Logger
	Now    func() time.Time // default time.Now
}

// Query is Zipkin's query API, version 2. Safe for concurrent use.
type Query struct {
	read   tracequery.Reader
	logger *slog.Logger
	now    func() time.Time
}

// NewQuery returns the handlers.
func NewQuery(o QueryOptions) *Query {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Query{tracequery.Reader{Runner: o.Runner}, o.Logger, o.Now}
}

// Register adds the paths of the query API.
func (q *Query) Register(mux *http.ServeMux) {
	get := func(path string, h func(*http.Request) (any, error)) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			v, err := h(r)
			if err != nil {
				q.fail(w, r, err)
				return
			}
			b, err := json.Marshal(v)
			if err != nil {
				q.fail(w, r, err)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", strconv.Itoa(len(b)))
			_, _ = w.Write(b) // the client has gone if this fails
		})
	}
	get("/api/v2/services", q.services)
	get("/api/v2/spans", q.spans)
	get("/api/v2/remoteServices", q.remoteServices)
	get("/api/v2/traces", q.traces)
	get("/api/v2/trace/{id}", q.trace)
	get("/api/v2/traceMany", q.traceMany)
	get("/api/v2/dependencies", q.dependencies)
	get("/api/v2/autocompleteKeys", q.autocompleteKeys)
	get("/api/v2/autocompleteValues", q.autocompleteValues)
}

func (q *Query) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := fault.Status(err)
	if errors.Is(err, tenant.ErrMissing) {
		status = http.StatusUnauthorized
	}
	if status == http.StatusInternalServerError && !errors.Is(err, context.Canceled) {
		q.logger.Error("Zipkin request", "path", r.URL.Path, "err", err)
	}
	if after := fault.RetryAfter(err); after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
	}
	http.Error(w, err.Error(), status)
}

func (q *Query) services(r *http.Request) (any, error) {
	return q.read.Services(r.Context(), tracequery.Range{})
}

// peerKeys are the attributes that name the other side of a call, by their age.
var peerKeys = []string{"service.peer.name", "peer.service"}

// ofService lists the values of attributes on the spans of the service that the request names.
func (q *Query) ofService(r *http.Request, tags ...string) (any, error) {
	service := r.FormValue("serviceName")
	if service == "" {
		return nil, fault.Invalidf("the parameter serviceName is required")
	}
	filter := tracequery.All([]string{tracequery.Service(service)})
	out := []string{}
	for _, tag := range tags {
		list, err := q.read.Values(r.Context(), tag, filter, tracequery.Range{})
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func (q *Query) spans(r *http.Request) (any, error) { return q.ofService(r, "name") }

func (q *Query) remoteServices(r *http.Request) (any, error) {
	return q.ofService(r, "span."+peerKeys[0], "span."+peerKeys[1])
}

func (q *Query) trace(r *http.Request) (any, error) {
	id, err := traces.ParseID(r.PathValue("id"))
	if err != nil {
		return nil, fault.New(fault.Invalid, err)
	}
	t, err := q.read.Trace(r.Context(), id, tracequery.Range{})
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, fault.Errorf(fault.NotFound, "trace %s not found", r.PathValue("id"))
	}
	return spansOf(t), nil
}

// maxIDs bounds the traces that one request may name.
const maxIDs = 100

func (q *Query) traceMany(r *http.Request) (any, error) {
	texts := strings.Split(r.FormValue("traceIds"), ",")
	if len(texts) > maxIDs {
		return nil, fault.Invalidf("%d trace IDs in one request: at most %d are allowed", len(texts), maxIDs)
	}
	var ids []traces.ID
	seen := map[traces.ID]bool{}
	for _, s := range texts {
		id, err := traces.ParseID(strings.TrimSpace(s))
		if err != nil {
			return nil, fault.New(fault.Invalid, err)
		}
		if seen[id] {
			return nil, fault.Invalidf("redundant trace ID: %s", s)
		}
		seen[id] = true
		ids = append(ids, id)
	}
	found, err := q.read.Traces(r.Context(), ids, tracequery.Range{})
	return listsOf(found), err
}

func listsOf(found []*traces.Trace) [][]span {
	out := make([][]span, len(found))
	for i, t := range found {
		out[i] = spansOf(t)
	}
	return out
}

func (q *Query) traces(r *http.Request) (any, error) {
	expr, in, limit, err := q.searchParams(r.URL.Query())
	if err != nil {
		return nil, err
	}
	found, err := q.read.Find(r.Context(), expr, in, limit)
	return listsOf(found), err
}

const (
	defaultLimit    = 10
	maxLimit        = 1000
	defaultLookback = 24 * time.Hour
)

func (q *Query) searchParams(v url.Values) (expr string, in tracequery.Range, limit int, err error) {
	var conds []string
	if s := v.Get("serviceName"); s != "" && s != "all" {
		conds = append(conds, tracequery.Service(s))
	}
	if s := v.Get("spanName"); s != "" && s != "all" {
		conds = append(conds, "name = "+tracequery.Quote(s))
	}
	if s := v.Get("remoteServiceName"); s != "" {
		conds = append(conds, "(span."+peerKeys[0]+" = "+tracequery.Quote(s)+" || span."+peerKeys[1]+" = "+tracequery.Quote(s)+")")
	}
	conds = append(conds, annotationConditions(v.Get("annotationQuery"))...)
	for _, b := range []struct{ name, op string }{{"minDuration", ">="}, {"maxDuration", "<="}} {
		n, err := positive(v, b.name, 0)
		if err != nil {
			return "", in, 0, err
		}
		if n > 0 {
			conds = append(conds, tracequery.Duration(b.op, min(n, math.MaxInt64/1000)*1000))
		}
	}
	n, err := positive(v, "limit", defaultLimit)
	if err != nil {
		return "", in, 0, err
	}
	in, err = q.window(v)
	return tracequery.All(conds), in, int(min(n, maxLimit)), err
}

// positive reads a number that is more than zero, if it is there.
func positive(v url.Values, name string, missing int64) (int64, error) {
	s := v.Get(name)
	if s == "" {
		return missing, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 {
		return 0, fault.Invalidf("invalid %s: %q is not a positive number", name, s)
	}
	return n, nil
}

// window is lookback before endTs, both in milliseconds; they default to a day and to now.
func (q *Query) window(v url.Values) (tracequery.Range, error) {
	end, err := positive(v, "endTs", q.now().UnixMilli())
	if err != nil {
		return tracequery.Range{}, err
	}
	lookback, err := positive(v, "lookback", defaultLookback.Milliseconds())
	if err != nil {
		return tracequery.Range{}, err
	}
	if end > math.MaxInt64/1_000_000 {
		return tracequery.Range{}, fault.Invalidf("invalid endTs: %d is out of range", end)
	}
	return tracequery.Range{Start: uint64(max(end-lookback, 0)) * 1e6, End: uint64(end) * 1e6}, nil
}

// annotationConditions reads `error and http.method=GET`: tags with their value, or names of tags
// and annotations that must be there.
func annotationConditions(text string) (out []string) {
	for _, part := range strings.Split(text, " and ") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		k, value, ok := strings.Cut(part, "=")
		switch k = strings.TrimSpace(k); {
		case ok:
			out = append(out, tracequery.Tag(k, strings.TrimSpace(value)))
		case k == "error":
			out = append(out, "status = error")
		default:
			out = append(out, "(span."+tracequery.Name(k)+" != nil || event:name = "+tracequery.Quote(k)+")")
		}
	}
	return out
}

// link is a call between services.
type link struct {
	Parent     string `json:"parent"`
	Child      string `json:"child"`
	CallCount  uint64 `json:"callCount"`
	ErrorCount uint64 `json:"errorCount,omitempty"`
}

func (q *Query) dependencies(r *http.Request) (any, error) {
	v := r.URL.Query()
	if v.Get("endTs") == "" {
		return nil, fault.Invalidf("the parameter endTs is required")
	}
	in, err := q.window(v)
	if err != nil {
		return nil, err
	}
	found, err := q.read.Dependencies(r.Context(), in)
	if err != nil {
		return nil, err
	}
	out := make([]link, len(found))
	for i, d := range found {
		out[i] = link{d.Parent, d.Child, d.Calls, d.Errors}
	}
	return out, nil
}

func (q *Query) autocompleteKeys(r *http.Request) (any, error) { return q.read.Keys(r.Context()) }

func (q *Query) autocompleteValues(r *http.Request) (any, error) {
	key := r.FormValue("key")
	if key == "" {
		return nil, fault.Invalidf("the parameter key is required")
	}
	return q.read.Values(r.Context(), "span."+tracequery.Name(key), "", tracequery.Range{})
}
