package tempo

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/traces/traceql"
)

// runner answers jobs from one head per tenant.
type runner struct {
	engine *traceql.Engine
	heads  map[string]*traces.Head
	err    error        // answered instead, if set
	last   traces.Query // the last query run
	split  traceql.Split
}

func (r *runner) Run(ctx context.Context, j job.Job) (job.Result, error) {
	r.last = *j.Traces
	if r.err != nil {
		return job.Result{}, r.err
	}
	source := traces.NewSource(func(_ context.Context, tenant string, _, _ uint64) ([]traces.Part, error) {
		if h := r.heads[tenant]; h != nil {
			return []traces.Part{h}, nil
		}
		return nil, nil
	})
	res, err := r.engine.Coordinate(ctx, j.Tenant, j.Traces, r.split, func(ctx context.Context, q *traces.Query) (*traces.Result, error) {
		return r.engine.Run(ctx, j.Tenant, q, source)
	})
	return job.Result{Traces: res}, err
}

const (
	testTrace = "000102030405060708090a0b0c0d0e0f"
	testStart = uint64(1_700_000_000_000_000_000)
)

// testSpans is one trace with a value of every kind.
func testSpans(t testing.TB, name string) []byte {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "shop")
	ss := rs.ScopeSpans().AppendEmpty()
	ss.Scope().SetName("http")
	s := ss.Spans().AppendEmpty()
	s.SetTraceID(pcommon.TraceID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
	s.SetSpanID(pcommon.SpanID{1, 2, 3, 4, 5, 6, 7, 8})
	s.SetName(name)
	s.SetKind(ptrace.SpanKindServer)
	s.SetStartTimestamp(pcommon.Timestamp(testStart))
	s.SetEndTimestamp(pcommon.Timestamp(testStart + 1_500_000))
	s.Status().SetCode(ptrace.StatusCodeError)
	s.Attributes().PutStr("text", "a \"quoted\"\\ \n\x01 é \u2028")
	s.Attributes().PutInt("int", -7)
	s.Attributes().PutDouble("float", 2.5e-9)
	s.Attributes().PutBool("bool", true)
	s.Attributes().PutEmptySlice("list").AppendEmpty().SetInt(1)
	s.Attributes().PutEmptySlice("empty")
	s.Attributes().PutEmptyBytes("bytes").FromRaw([]byte{0, 255})
	s.Attributes().PutEmpty("unset")
	m := s.Attributes().PutEmptyMap("map")
	m.PutStr("k", "v")
	m.PutEmptySlice("mixed").FromRaw([]any{"x", 1, 1.5, true, map[string]any{"deep": nil}}) //nolint:errcheck // constants
	e := s.Events().AppendEmpty()
	e.SetName("ev")
	e.SetTimestamp(pcommon.Timestamp(testStart + 5))
	l := s.Links().AppendEmpty()
	l.SetTraceID(pcommon.TraceID{15: 1})
	l.SetSpanID(pcommon.SpanID{7: 1})
	raw, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
	require.NoError(t, err)
	return raw
}

func newServer(t testing.TB) (*runner, http.Handler) {
	r := &runner{engine: traceql.NewEngine(traceql.Options{}), heads: map[string]*traces.Head{}}
	for _, id := range []string{tenant.Anonymous, "other"} {
		r.heads[id] = traces.NewHead(traces.HeadOptions{})
		_, err := r.heads[id].Append(&traces.Batch{OTLP: testSpans(t, "op of "+id), Spans: 1})
		require.NoError(t, err)
	}
	mux := http.NewServeMux()
	New(Options{Runner: r, Version: "1.2.3", Now: func() time.Time { return time.Unix(1_700_000_060, 0) }}).Register(mux)
	return r, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		id := req.Header.Get(tenant.Header)
		switch id {
		case "":
			id = tenant.Anonymous
		case "none":
			mux.ServeHTTP(w, req)
			return
		}
		mux.ServeHTTP(w, req.WithContext(tenant.NewContext(req.Context(), id)))
	})
}

func get(h http.Handler, path string, headers ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

func TestFixedAnswers(t *testing.T) {
	_, h := newServer(t)
	w := get(h, "/api/echo")
	require.Equal(t, "echo", w.Body.String())
	w = get(h, "/api/status/buildinfo")
	var info map[string]string
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &info))
	require.Equal(t, "1.2.3", info["version"])
	require.Equal(t, 404, get(h, "/api/nope").Code)
}

func TestTraceJSON(t *testing.T) {
	_, h := newServer(t)
	w := get(h, "/api/traces/"+testTrace)
	require.Equal(t, 200, w.Code)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	want := `{"batches":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeSpans":[{
		"scope":{"name":"http"},"spans":[{"traceId":"AAECAwQFBgcICQoLDA0ODw==","spanId":"AQIDBAUGBwg=","name":"op of anonymous",
		"kind":"SPAN_KIND_SERVER","startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000001500000","attributes":[
		{"key":"text","value":{"stringValue":"a \"quoted\"\\ \n\u0001 é \u2028"}},{"key":"int","value":{"intValue":"-7"}},
		{"key":"float","value":{"doubleValue":2.5e-9}},{"key":"bool","value":{"boolValue":true}},
		{"key":"list","value":{"arrayValue":{"values":[{"intValue":"1"}]}}},{"key":"empty","value":{"arrayValue":{}}},
		{"key":"bytes","value":{"bytesValue":"AP8="}},{"key":"unset","value":{}},{"key":"map","value":{"kvlistValue":{"values":[
		{"key":"k","value":{"stringValue":"v"}},{"key":"mixed","value":{"arrayValue":{"values":[{"stringValue":"x"},{"intValue":"1"},
		{"doubleValue":1.5},{"boolValue":true},{"kvlistValue":{"values":[{"key":"deep","value":{}}]}}]}}}]}}}],
		"events":[{"timeUnixNano":"1700000000000000005","name":"ev"}],
		"links":[{"traceId":"AAAAAAAAAAAAAAAAAAAAAQ==","spanId":"AAAAAAAAAAE="}],"status":{"code":"STATUS_CODE_ERROR"}}]}]}]}`
	require.JSONEq(t, want, w.Body.String())

	w = get(h, "/api/v2/traces/"+strings.TrimLeft(testTrace, "0"))
	var v2 struct {
		Trace json.RawMessage `json:"trace"`
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &v2))
	require.JSONEq(t, strings.Replace(want, "batches", "resourceSpans", 1), string(v2.Trace))
}

func TestTraceProtobuf(t *testing.T) {
	_, h := newServer(t)
	check := func(raw []byte) {
		t.Helper()
		td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(raw)
		require.NoError(t, err)
		require.Equal(t, 1, td.SpanCount())
		require.Equal(t, "op of anonymous", td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Name())
	}
	w := get(h, "/api/traces/"+testTrace, "Accept", "application/protobuf")
	require.Equal(t, "application/protobuf", w.Header().Get("Content-Type"))
	check(w.Body.Bytes())

	w = get(h, "/api/v2/traces/"+testTrace, "Accept", "application/protobuf")
	num, typ, n := protowire.ConsumeTag(w.Body.Bytes())
	require.Equal(t, protowire.Number(1), num)
	require.Equal(t, protowire.BytesType, typ)
	body, _ := protowire.ConsumeBytes(w.Body.Bytes()[n:])
	check(body)

	require.Equal(t, 404, get(h, "/api/traces/ff", "Accept", "application/protobuf").Code)
	w = get(h, "/api/v2/traces/ff", "Accept", "application/protobuf")
	require.Equal(t, []byte{0x0a, 0}, w.Body.Bytes(), "an empty trace")
}

// TestTenants: no endpoint answers with another tenant's data, or without a tenant.
func TestTenants(t *testing.T) {
	_, h := newServer(t)
	for _, path := range []string{
		"/api/traces/" + testTrace, "/api/v2/traces/" + testTrace,
		"/api/search?q=" + url.QueryEscape("{ name =~ `.*` }"),
		"/api/search/tag/name/values", "/api/v2/search/tag/name/values",
		"/api/metrics/query?q=" + url.QueryEscape("{ } | rate() by (name)") + "&start=1699999999&end=1700000010",
		"/api/metrics/query_range?step=1s&q=" + url.QueryEscape("{ } | rate() by (name)") + "&start=1699999999&end=1700000010",
	} {
		for _, id := range []string{tenant.Anonymous, "other"} {
			w := get(h, path, tenant.Header, id)
			require.Equal(t, 200, w.Code, "%s: %s", path, w.Body)
			require.Contains(t, w.Body.String(), "op of "+id, path)
			require.NotContains(t, strings.ReplaceAll(w.Body.String(), "op of "+id, ""), "op of", path)
		}
		require.Equal(t, 401, get(h, path, tenant.Header, "none").Code, path)
		w := get(h, path, tenant.Header, "nobody")
		require.NotContains(t, w.Body.String(), "op of", path)
	}
}

func TestErrors(t *testing.T) {
	r, h := newServer(t)
	f := func(err error, status int, text string) {
		t.Helper()
		r.err = err
		w := get(h, "/api/search")
		require.Equal(t, status, w.Code)
		require.Equal(t, text, strings.TrimSpace(w.Body.String()))
		require.Equal(t, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
	}
	f(errors.New("disk on fire"), 500, "disk on fire")
	f(fault.Errorf(fault.NotYet, "not yet"), 501, "not yet")
	f(fault.Errorf(fault.Unprocessable, "too many series"), 422, "too many series")
	f(context.Canceled, 499, "context canceled")
	f(context.DeadlineExceeded, 504, "context deadline exceeded")
	f(&fault.Error{Class: fault.Unavailable, RetryAfter: 1500 * time.Millisecond, Err: errors.New("full")}, 503, "full")
	require.Equal(t, "2", get(h, "/api/search").Header().Get("Retry-After"))
	r.err = nil
}

// TestDefaults: what a request doesn't say.
func TestDefaults(t *testing.T) {
	r, h := newServer(t)
	require.Equal(t, 200, get(h, "/api/search").Code)
	require.Equal(t, traces.Query{Kind: traces.Search, Expr: "{ }", Limit: 20, SpansPerSpanSet: 3}, r.last)
	require.Equal(t, 200, get(h, "/api/metrics/query_range?q="+url.QueryEscape("{ } | rate()")).Code)
	require.Equal(t, uint64(1_700_000_060e9), r.last.End)
	require.Equal(t, uint64(time.Hour), r.last.End-r.last.Start)
	require.Equal(t, uint64(36*time.Second), r.last.Step)
	require.Equal(t, 100, r.last.Exemplars)
	require.Equal(t, 200, get(h, "/api/metrics/query?since=10m&q="+url.QueryEscape("{ } | rate()")).Code)
	require.Equal(t, uint64(10*time.Minute), r.last.End-r.last.Start)
}

func TestExemplars(t *testing.T) {
	_, h := newServer(t)
	path := "/api/metrics/query_range?step=10s&start=1699999990&end=1700000010&q=" + url.QueryEscape("{ } | max_over_time(duration)")
	var answer struct {
		Series []struct {
			PromLabels string
			Exemplars  []struct {
				TimestampMs string
				Value       float64
				Labels      []struct {
					Key   string
					Value struct{ StringValue string }
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal(get(h, path).Body.Bytes(), &answer))
	require.Len(t, answer.Series, 1)
	require.Equal(t, `{__name__="max_over_time"}`, answer.Series[0].PromLabels)
	require.Len(t, answer.Series[0].Exemplars, 1)
	e := answer.Series[0].Exemplars[0]
	require.Equal(t, "1700000000000", e.TimestampMs)
	require.InDelta(t, 0.0015, e.Value, 1e-12)
	require.Equal(t, "trace:id", e.Labels[0].Key)
	require.Equal(t, strings.TrimLeft(testTrace, "0"), e.Labels[0].Value.StringValue)
	require.NotContains(t, get(h, path+"&exemplars=0").Body.String(), "exemplars")
}

func TestLegacyQuery(t *testing.T) {
	f := func(tags string, lo, hi time.Duration, want string) {
		t.Helper()
		got, err := legacyQuery(tags, lo, hi)
		require.NoError(t, err)
		require.Equal(t, want, got)
		_, err = traceql.Parse(got)
		require.NoError(t, err)
	}
	f("", 0, 0, "{ }")
	f("service.name=a name=b.c", 0, 0, `{ resource.service.name = "a" } && { name =~ ".*b\\.c.*" }`)
	f(`k="a \"b\""`, time.Second, 2*time.Second, `{ span."k" = "a \"b\"" || resource."k" = "a \"b\"" } && { traceDuration >= 1s } && { traceDuration <= 2s }`)
	f("http.status_code=500", 0, 0, `{ span."http.status_code" = "500" || resource."http.status_code" = "500" || span."http.status_code" = 500 }`)
	f("status.code=error error=true root.name=x root.service.name=y", 0, 0, `{ status = error } && { status = error } && { rootName = "x" } && { rootServiceName = "y" }`)
	f("status.code=odd", 0, 0, "{ false }")
	f(`a\b=c`, 0, 0, `{ span."a\\b" = "c" || resource."a\\b" = "c" }`)
	_, err := legacyQuery(`a="unclosed`, 0, 0)
	require.Error(t, err)
}

func TestParseTime(t *testing.T) {
	f := func(in string, want uint64) {
		t.Helper()
		got, err := parseTime("start", in)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	f("0", 0)
	f("1700000000", testStart)
	f("1700000000.5", testStart+5e8)
	f("1700000000000", testStart)
	f("1700000000000000", testStart)
	f("1700000000000000000", testStart)
	f("2023-11-14T22:13:20Z", testStart)
	f("2023-11-14T22:13:20.5+00:00", testStart+5e8)
	for _, bad := range []string{"", "x", "-1", "1e400", "NaN.0", "1960-01-01T00:00:00Z"} {
		_, err := parseTime("start", bad)
		require.Error(t, err, bad)
	}
}

// FuzzRequest: no request panics or is our fault.
func FuzzRequest(f *testing.F) {
	f.Add("/api/search", "q={+}&start=1&end=2&limit=3&spss=1")
	f.Add("/api/search", `tags=a%3Db&minDuration=1s&maxDuration=2m`)
	f.Add("/api/metrics/query_range", "q={}|rate()&step=1m&start=1700000000&end=1700000100")
	f.Add("/api/metrics/query", "q={}|rate()&since=1h")
	f.Add("/api/v2/search/tag/.a/values", "q={&limit=x")
	f.Add("/api/v2/search/tags", "scope=span&start=x")
	f.Add("/api/traces/ff", "start=1&end=2")
	_, h := newServer(f)
	f.Fuzz(func(t *testing.T, path, query string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || !strings.HasPrefix(u.Path, "/") {
			return
		}
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.URL = &url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: query}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code == http.StatusInternalServerError && strings.TrimSpace(w.Body.String()) != "division by zero" {
			t.Fatalf("%s?%s: %s", path, query, w.Body)
		}
		if w.Header().Get("Content-Type") == "application/json" && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%s?%s: not JSON: %s", path, query, w.Body)
		}
	})
}

// FuzzOpaque: stored bytes of any kind become valid JSON.
func FuzzOpaque(f *testing.F) {
	f.Add([]byte("\x0a\x01x"))
	f.Add([]byte("\x2a\x08\x0a\x02\x18\x01\x0a\x02\x10\x01"))
	f.Add([]byte("\x32\x07\x0a\x05\x0a\x01k\x12\x00"))
	f.Add([]byte("\x21\x00\x00\x00\x00\x00\x00\xf8\x7f"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if got := appendOpaque(nil, raw, 0); !json.Valid(got) {
			t.Fatalf("%x: %s", raw, got)
		}
		s := string(raw)
		var back string
		if err := json.Unmarshal(appendString(nil, s), &back); err != nil || back != strings.ToValidUTF8(s, "\ufffd") && len(back) == len(s) {
			t.Fatalf("%q: %q %v", s, back, err)
		}
	})
}

func BenchmarkTraceJSON(b *testing.B) {
	list, err := traces.DecodeOTLP(testSpans(b, "op"))
	require.NoError(b, err)
	t := list[0]
	for range 8 {
		t.Spans = append(t.Spans, t.Spans...)
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = appendTrace(buf[:0], "batches", t)
	}
	b.SetBytes(int64(len(buf)))
}

// A limit holds for the keys of each scope, in version 1 for all of them. What is no limit is none.
func TestTagsLimit(t *testing.T) {
	_, h := newServer(t)
	scopesOf := func(params string) map[string][]string {
		var answer struct {
			Scopes []struct {
				Name string
				Tags []string
			}
		}
		w := get(h, "/api/v2/search/tags"+params)
		require.Equal(t, 200, w.Code, w.Body)
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
		out := map[string][]string{}
		for _, s := range answer.Scopes {
			out[s.Name] = s.Tags
		}
		return out
	}
	all := scopesOf("")
	require.Greater(t, len(all["span"]), 2)
	require.Greater(t, len(all["intrinsic"]), 2)
	for _, params := range []string{"?limit=0", "?limit=x", "?limit=-1", "?maxStaleValues=3"} {
		require.Equal(t, all, scopesOf(params), params)
	}
	two := scopesOf("?limit=2")
	for scope, tags := range all {
		require.Equal(t, tags[:min(2, len(tags))], two[scope], scope)
	}
	var v1 struct{ TagNames []string }
	require.NoError(t, json.Unmarshal(get(h, "/api/search/tags?limit=2").Body.Bytes(), &v1))
	require.Len(t, v1.TagNames, 2)
}
