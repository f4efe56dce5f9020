package jaeger

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/traces/traceql"
)

// store is a head that takes spans and answers for them.
type store struct {
	head   *traces.Head
	engine *traceql.Engine
	err    error
}

func newStore() *store {
	return &store{head: traces.NewHead(traces.HeadOptions{}), engine: traceql.NewEngine(traceql.Options{})}
}

func (s *store) PushTraces(_ context.Context, b *traces.Batch) (traces.PushResult, error) {
	if s.err != nil {
		return traces.PushResult{}, s.err
	}
	checked, rejected, err := traces.Check(b.OTLP, traces.Limits{})
	if err != nil {
		return traces.PushResult{}, err
	}
	res, err := s.head.Append(&checked)
	res.Rejected = append(res.Rejected, rejected...)
	return res, err
}

func (s *store) Run(ctx context.Context, j job.Job) (job.Result, error) {
	if s.err != nil {
		return job.Result{}, s.err
	}
	source := traces.NewSource(func(context.Context, string, uint64, uint64) ([]traces.Part, error) {
		return []traces.Part{s.head}, nil
	})
	res, err := s.engine.Run(ctx, j.Tenant, j.Traces, source)
	return job.Result{Traces: res}, err
}

var base = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)

// fill stores three traces of web calling db, a minute apart; the last call of db fails.
func fill(t testing.TB, s *store) {
	for n := range 3 {
		td := ptrace.NewTraces()
		for i, service := range []string{"web", "db"} {
			rs := td.ResourceSpans().AppendEmpty()
			rs.Resource().Attributes().PutStr("service.name", service)
			rs.Resource().Attributes().PutStr("host.name", "h1")
			sp := rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
			sp.SetTraceID(pcommon.TraceID{15: byte(n + 1)})
			sp.SetSpanID(pcommon.SpanID{7: byte(i + 1)})
			at := base.Add(time.Duration(n)*time.Minute + time.Duration(i)*time.Millisecond)
			sp.SetStartTimestamp(pcommon.NewTimestampFromTime(at))
			sp.SetEndTimestamp(pcommon.NewTimestampFromTime(at.Add(time.Duration(n+1) * 10 * time.Millisecond)))
			sp.SetName([]string{"GET /cart", "SELECT"}[i])
			sp.SetKind([]ptrace.SpanKind{ptrace.SpanKindServer, ptrace.SpanKindClient}[i])
			sp.Attributes().PutInt("http.status_code", int64(200+n))
			sp.Attributes().PutStr("user", fmt.Sprintf("u%d", n))
			sp.Attributes().PutDouble("ratio", 0.5)
			sp.Attributes().PutBool("cached", n == 1)
			if i == 1 {
				sp.SetParentSpanID(pcommon.SpanID{7: 1})
				e := sp.Events().AppendEmpty()
				e.SetName("row")
				e.SetTimestamp(pcommon.NewTimestampFromTime(at.Add(time.Millisecond)))
				e.Attributes().PutInt("n", 7)
				if n == 2 {
					sp.Status().SetCode(ptrace.StatusCodeError)
					sp.Status().SetMessage("gone")
				}
			}
		}
		raw, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
		require.NoError(t, err)
		_, err = s.PushTraces(context.Background(), &traces.Batch{OTLP: raw, Spans: 2})
		require.NoError(t, err)
	}
}

func newHandler(s *store) http.Handler {
	mux := http.NewServeMux()
	New(Options{Runner: s, Now: func() time.Time { return base.Add(time.Hour) }}).Register(mux, "/jaeger")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("No-Tenant") == "" {
			r = r.WithContext(tenant.NewContext(r.Context(), tenant.Anonymous))
		}
		mux.ServeHTTP(w, r)
	})
}

func get(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

func TestLists(t *testing.T) {
	s := newStore()
	fill(t, s)
	h := newHandler(s)
	f := func(path, want string) {
		t.Helper()
		w := get(h, path)
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		require.JSONEq(t, want, w.Body.String())
	}
	f("/jaeger/api/services", `{"data":["db","web"],"total":2,"limit":0,"offset":0,"errors":null}`)
	f("/jaeger/api/services/web/operations", `{"data":["GET /cart"],"total":1,"limit":0,"offset":0,"errors":null}`)
	f("/jaeger/api/services/nope/operations", `{"data":[],"total":0,"limit":0,"offset":0,"errors":null}`)
	f("/jaeger/api/operations?service=db", `{"data":[{"name":"SELECT","spanKind":"client"}],"total":1,"limit":0,"offset":0,"errors":null}`)
	f("/jaeger/api/operations?service=db&spanKind=server", `{"data":[],"total":0,"limit":0,"offset":0,"errors":null}`)
	f(fmt.Sprintf("/jaeger/api/dependencies?endTs=%d&lookback=3600000", base.Add(10*time.Minute).UnixMilli()),
		`{"data":[{"parent":"web","child":"db","callCount":3}],"total":1,"limit":0,"offset":0,"errors":null}`)
	f(fmt.Sprintf("/jaeger/api/dependencies?endTs=%d", base.Add(-time.Minute).UnixMilli()), `{"data":[],"total":0,"limit":0,"offset":0,"errors":null}`)
	for _, prefix := range []string{"", "/jaeger"} {
		f(prefix+"/api/v3/services", `{"services":["db","web"]}`)
		f(prefix+"/api/v3/operations?service=web&span_kind=SERVER", `{"operations":[{"name":"GET /cart","spanKind":"server"}]}`)
		f(prefix+"/api/v3/operations?service=nope", `{"operations":[]}`)
		f(prefix+"/api/v3/dependencies?start_time=2024-05-01T11:00:00Z&end_time=2024-05-01T13:00:00Z",
			`{"dependencies":[{"parent":"web","child":"db","callCount":"3"}]}`)
	}
}

func TestTrace(t *testing.T) {
	s := newStore()
	fill(t, s)
	h := newHandler(s)
	w := get(h, "/jaeger/api/traces/3")
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	start := base.Add(2 * time.Minute).UnixMicro()
	require.JSONEq(t, fmt.Sprintf(`{"data":[{"traceID":"0000000000000003","warnings":null,
		"processes":{"p1":{"serviceName":"web","tags":[{"key":"host.name","type":"string","value":"h1"}]},
			"p2":{"serviceName":"db","tags":[{"key":"host.name","type":"string","value":"h1"}]}},
		"spans":[{"traceID":"0000000000000003","spanID":"0000000000000001","operationName":"GET /cart","references":[],"startTime":%d,"duration":30000,
			"tags":[{"key":"http.status_code","type":"int64","value":202},{"key":"user","type":"string","value":"u2"},{"key":"ratio","type":"float64","value":0.5},
				{"key":"cached","type":"bool","value":false},{"key":"span.kind","type":"string","value":"server"}],
			"logs":[],"processID":"p1","warnings":null},
		{"traceID":"0000000000000003","spanID":"0000000000000002","operationName":"SELECT",
			"references":[{"refType":"CHILD_OF","traceID":"0000000000000003","spanID":"0000000000000001"}],"startTime":%d,"duration":30000,
			"tags":[{"key":"http.status_code","type":"int64","value":202},{"key":"user","type":"string","value":"u2"},{"key":"ratio","type":"float64","value":0.5},
				{"key":"cached","type":"bool","value":false},{"key":"span.kind","type":"string","value":"client"},
				{"key":"otel.status_code","type":"string","value":"ERROR"},{"key":"error","type":"bool","value":true},
				{"key":"otel.status_description","type":"string","value":"gone"}],
			"logs":[{"timestamp":%d,"fields":[{"key":"event","type":"string","value":"row"},{"key":"n","type":"int64","value":7}]}],
			"processID":"p2","warnings":null}]}],"total":1,"limit":0,"offset":0,"errors":null}`, start, start+1000, start+2000), w.Body.String())

	w = get(h, "/jaeger/api/traces/ff")
	require.Equal(t, http.StatusNotFound, w.Code)
	require.JSONEq(t, `{"data":null,"total":0,"limit":0,"offset":0,"errors":[{"code":404,"msg":"trace not found"}]}`, w.Body.String())
	require.Equal(t, http.StatusBadRequest, get(h, "/jaeger/api/traces/xyz").Code)

	var v3 struct {
		Result struct {
			ResourceSpans []struct {
				ScopeSpans []struct {
					Spans []struct{ TraceID, Name string }
				}
			}
		}
	}
	w = get(h, "/api/v3/traces/3")
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &v3), w.Body)
	require.Len(t, v3.Result.ResourceSpans, 2)
	require.Equal(t, "00000000000000000000000000000003", v3.Result.ResourceSpans[0].ScopeSpans[0].Spans[0].TraceID)
	w = get(h, "/api/v3/traces/ff")
	require.Equal(t, http.StatusNotFound, w.Code)
	require.JSONEq(t, `{"error":{"httpCode":404,"message":"No traces found"}}`, w.Body.String())
}

func TestSearch(t *testing.T) {
	s := newStore()
	fill(t, s)
	h := newHandler(s)
	found := func(params url.Values) (ids []string) {
		t.Helper()
		w := get(h, "/jaeger/api/traces?"+params.Encode())
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		var got struct {
			Data []struct {
				TraceID string
				Spans   []any
			}
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
		for _, d := range got.Data {
			require.Len(t, d.Spans, 2, "traces are whole")
			ids = append(ids, d.TraceID[15:])
		}
		return ids
	}
	f := func(want []string, kv ...string) {
		t.Helper()
		v := url.Values{}
		for i := 0; i < len(kv); i += 2 {
			v.Add(kv[i], kv[i+1])
		}
		require.Equal(t, want, found(v), kv)
	}
	all := []string{"3", "2", "1"}
	f(all, "service", "web")
	f([]string{"3", "2"}, "service", "web", "limit", "2")
	f(nil, "service", "nope")
	f(all, "service", "db", "operation", "SELECT")
	f(nil, "service", "web", "operation", "SELECT")
	f([]string{"2"}, "service", "web", "tags", `{"http.status_code":"201"}`)
	f([]string{"2"}, "service", "web", "tag", "cached:true")
	f(all, "service", "web", "tag", "ratio:0.5", "tag", "host.name:h1")
	f([]string{"3"}, "service", "db", "tags", `{"error":"true"}`)
	f([]string{"2", "1"}, "service", "db", "tags", `{"error":"false"}`)
	f(all, "service", "db", "tag", "span.kind:client", "tag", "n:7")
	f([]string{"3"}, "service", "web", "minDuration", "25ms")
	f([]string{"2"}, "service", "web", "minDuration", "15ms", "maxDuration", "25ms")
	f([]string{"1"}, "service", "web", "start", fmt.Sprint(base.UnixMicro()), "end", fmt.Sprint(base.Add(time.Second).UnixMicro()))
	f([]string{"1", "3"}, "traceID", "1", "traceID", "3", "traceID", "fe")

	for _, bad := range []string{"", "service=web&limit=x", "service=web&limit=0", "service=web&tags=x", "service=web&tag=x", "service=web&minDuration=5",
		"service=web&start=x", "service=web&start=-1", "service=web&start=2&end=1", "service=web&start=99999999999999999", "traceID=xyz"} {
		w := get(h, "/jaeger/api/traces?"+bad)
		require.Equal(t, http.StatusBadRequest, w.Code, bad)
		require.Contains(t, w.Body.String(), `"code":400`, bad)
	}

	v3 := func(extra string) int {
		return get(h, "/api/v3/traces?query.start_time_min=2024-05-01T11:00:00Z&query.start_time_max=2024-05-01T13:00:00Z&"+extra).Code
	}
	require.Equal(t, 200, v3("query.service_name=web"))
	require.Equal(t, 200, v3("query.serviceName=web&query.operation_name=GET%20/cart&query.duration_min=1ms&query.duration_max=1s&query.num_traces=1"))
	require.Equal(t, 200, v3("query.attributes="+url.QueryEscape(`{"http.status_code":"201"}`)))
	require.Equal(t, 404, v3("query.service_name=nope"))
	require.Equal(t, 400, v3("query.duration_min=x"))
	require.Equal(t, 400, v3("query.num_traces=x"))
	require.Equal(t, 400, get(h, "/api/v3/traces?query.service_name=web").Code)
	require.Equal(t, 400, get(h, "/api/v3/traces?query.start_time_min=x").Code)
}

func TestErrors(t *testing.T) {
	s := newStore()
	h := newHandler(s)
	r := httptest.NewRequest(http.MethodGet, "/jaeger/api/services", nil)
	r.Header.Set("No-Tenant", "1")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, http.StatusUnauthorized, w.Code)
	for _, path := range []string{"/jaeger/api/operations", "/jaeger/api/dependencies", "/jaeger/api/dependencies?endTs=x", "/jaeger/api/dependencies?endTs=5&lookback=x",
		"/jaeger/api/dependencies?endTs=-5", "/api/v3/operations", "/api/v3/dependencies"} {
		require.Equal(t, http.StatusBadRequest, get(h, path).Code, path)
	}
}

// FuzzSearchParams: whatever the parameters are, they make a query that the engine takes, or an error.
func FuzzSearchParams(f *testing.F) {
	f.Add("service=a&tags={\"a\":\"1\"}&tag=b:true&minDuration=1ms&limit=5")
	f.Add("query.service_name=\"\\&query.attributes={\"x\\\"y\":\"0.5\"}&query.start_time_min=2024-05-01T11:00:00Z&query.start_time_max=2024-05-01T13:00:00Z")
	a := New(Options{Now: func() time.Time { return base }})
	f.Fuzz(func(t *testing.T, raw string) {
		v, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		for _, parse := range []func(url.Values) (find, error){a.searchParams, a.searchParamsV3} {
			q, err := parse(v)
			if err != nil {
				continue
			}
			if _, err := traceql.Parse(q.expr); err != nil {
				t.Fatalf("%s makes %s: %v", raw, q.expr, err)
			}
		}
	})
}
