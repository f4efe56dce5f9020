package jaeger

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hune-io/hune/internal/api/tracequery"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/traces"
)

// v3 wraps a handler of version 3, whose errors have a shape of their own.
func (a *API) v3(h func(*http.Request) (any, error)) http.HandlerFunc {
	type failure struct {
		HTTPCode int    `json:"httpCode"`
		Message  string `json:"message"`
	}
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := h(r)
		if err != nil {
			status := a.note(w, r, err)
			writeJSON(w, status, map[string]failure{"error": {status, err.Error()}})
			return
		}
		if raw, ok := v.(otlpJSON); ok {
			b := append(append([]byte(`{"result":`), raw...), '}')
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", strconv.Itoa(len(b)))
			_, _ = w.Write(b) // the client has gone if this fails
			return
		}
		writeJSON(w, http.StatusOK, v)
	}
}

// otlpJSON is a TracesData message in the JSON of OTLP.
type otlpJSON []byte

func (a *API) servicesV3(r *http.Request) (any, error) {
	names, err := a.read.Services(r.Context(), tracequery.Range{})
	if err != nil {
		return nil, err
	}
	return map[string][]string{"services": names}, nil
}

func (a *API) operationsV3(r *http.Request) (any, error) {
	ops, err := a.findOperations(r.Context(), r.FormValue("service"), strings.ToLower(r.FormValue("span_kind")))
	if err != nil {
		return nil, err
	}
	if ops == nil {
		ops = []operation{}
	}
	return map[string][]operation{"operations": ops}, nil
}

// dependencyV3 has its number as text, as protobuf's JSON has 64-bit ones.
type dependencyV3 struct {
	Parent    string `json:"parent"`
	Child     string `json:"child"`
	CallCount string `json:"callCount"`
}

func (a *API) dependenciesV3(r *http.Request) (any, error) {
	in, err := v3Range(r.URL.Query(), "start_time", "end_time")
	if err != nil {
		return nil, err
	}
	if in.End == 0 {
		return nil, fault.Invalidf("start_time and end_time are required")
	}
	found, err := a.read.Dependencies(r.Context(), in)
	if err != nil {
		return nil, err
	}
	out := make([]dependencyV3, len(found))
	for i, d := range found {
		out[i] = dependencyV3{d.Parent, d.Child, strconv.FormatUint(d.Calls, 10)}
	}
	return map[string][]dependencyV3{"dependencies": out}, nil
}

func (a *API) traceV3(r *http.Request) (any, error) {
	id, err := traces.ParseID(r.PathValue("id"))
	if err != nil {
		return nil, fault.New(fault.Invalid, err)
	}
	in, err := v3Range(r.URL.Query(), "start_time", "end_time")
	if err != nil {
		return nil, err
	}
	t, err := a.read.Trace(r.Context(), id, in)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, fault.Errorf(fault.NotFound, "No traces found")
	}
	return encodeOTLP([]*traces.Trace{t})
}

func (a *API) searchV3(r *http.Request) (any, error) {
	q, err := a.searchParamsV3(r.URL.Query())
	if err != nil {
		return nil, err
	}
	found, err := a.findV3(r.Context(), q)
	if err != nil {
		return nil, err
	}
	return encodeOTLP(found)
}

func (a *API) findV3(ctx context.Context, q find) ([]*traces.Trace, error) {
	found, err := a.read.Find(ctx, q.expr, q.in, q.limit)
	if err == nil && len(found) == 0 {
		err = fault.Errorf(fault.NotFound, "No traces found")
	}
	return found, err
}

// searchParamsV3 reads query.service_name and its relatives, in either spelling.
func (a *API) searchParamsV3(v url.Values) (find, error) {
	get := func(snake, camel string) string {
		if s := v.Get("query." + snake); s != "" {
			return s
		}
		return v.Get("query." + camel)
	}
	q := find{limit: defaultLimit}
	var conds []string
	if s := get("service_name", "serviceName"); s != "" {
		conds = append(conds, tracequery.Service(s))
	}
	if s := get("operation_name", "operationName"); s != "" {
		conds = append(conds, "name = "+tracequery.Quote(s))
	}
	for _, b := range []struct{ snake, camel, op string }{{"duration_min", "durationMin", ">="}, {"duration_max", "durationMax", "<="}} {
		if s := get(b.snake, b.camel); s != "" {
			d, err := time.ParseDuration(s)
			if err != nil {
				return q, fault.Invalidf("malformed parameter query.%s: %w", b.snake, err)
			}
			conds = append(conds, tracequery.Duration(b.op, int64(d)))
		}
	}
	tags, err := tagsOf(url.Values{"tags": nonEmpty(v.Get("query.attributes"))})
	if err != nil {
		return q, err
	}
	q.expr = tracequery.All(append(conds, tagConditions(tags)...))
	for _, name := range []string{"query.num_traces", "query.search_depth", "query.searchDepth"} {
		if s := v.Get(name); s != "" {
			if q.limit, err = limitOf(name, s); err != nil {
				return q, err
			}
		}
	}
	q.in, err = v3Range(url.Values{"start": nonEmpty(get("start_time_min", "startTimeMin")), "end": nonEmpty(get("start_time_max", "startTimeMax"))}, "start", "end")
	if err == nil && q.in.End == 0 {
		return q, fault.Invalidf("query.start_time_min and query.start_time_max are required")
	}
	return q, err
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// v3Range reads two times of RFC 3339, both or neither.
func v3Range(v url.Values, from, to string) (in tracequery.Range, err error) {
	read := func(name string) (uint64, error) {
		t, err := time.Parse(time.RFC3339Nano, v.Get(name))
		if err != nil || t.UnixNano() < 0 {
			return 0, fault.Invalidf("malformed parameter %s: %q is not a time of RFC 3339", name, v.Get(name))
		}
		return uint64(t.UnixNano()), nil
	}
	if v.Get(from) == "" && v.Get(to) == "" {
		return in, nil
	}
	if in.Start, err = read(from); err != nil {
		return in, err
	}
	if in.End, err = read(to); err != nil {
		return in, err
	}
	if in.Start >= in.End {
		return in, fault.Invalidf("%s must be before %s", from, to)
	}
	return in, nil
}

// encodeOTLP tells traces in the JSON of OTLP, where IDs are hexadecimal.
func encodeOTLP(list []*traces.Trace) (otlpJSON, error) {
	var raw []byte
	for _, t := range list {
		raw = traces.AppendOTLP(raw, t) // messages of repeated fields join by appending
	}
	td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(raw)
	if err != nil {
		return nil, err
	}
	return (&ptrace.JSONMarshaler{}).MarshalTraces(td)
}
