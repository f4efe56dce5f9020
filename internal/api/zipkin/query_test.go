package zipkin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/jaegertracing/jaeger-idl/thrift-gen/zipkincore"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/api/body"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/traces/traceql"
)

// head takes spans and answers for them.
type head struct {
	*traces.Head
	engine *traceql.Engine
}

func (h head) PushTraces(_ context.Context, b *traces.Batch) (traces.PushResult, error) {
	checked, rejected, err := traces.Check(b.OTLP, traces.Limits{})
	if err != nil {
		return traces.PushResult{}, err
	}
	res, err := h.Append(&checked)
	res.Rejected = append(res.Rejected, rejected...)
	return res, err
}

func (h head) Run(ctx context.Context, j job.Job) (job.Result, error) {
	source := traces.NewSource(func(context.Context, string, uint64, uint64) ([]traces.Part, error) {
		return []traces.Part{h.Head}, nil
	})
	res, err := h.engine.Run(ctx, j.Tenant, j.Traces, source)
	return job.Result{Traces: res}, err
}

// server takes spans and answers for them over HTTP.
func server() http.Handler {
	h := head{traces.NewHead(traces.HeadOptions{}), traceql.NewEngine(traceql.Options{})}
	mux := http.NewServeMux()
	New(Options{Pusher: h, Limits: body.Limits{Decompressed: 1 << 20}}).Register(mux)
	NewQuery(QueryOptions{Runner: h, Now: func() time.Time { return time.UnixMicro(1700000600000000) }}).Register(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("No-Tenant") == "" {
			r = r.WithContext(tenant.NewContext(r.Context(), tenant.Anonymous))
		}
		mux.ServeHTTP(w, r)
	})
}

func request(h http.Handler, method, path, contentType, data string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(data))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const shop = `[
{"traceId":"a1","id":"1","kind":"SERVER","name":"get /","timestamp":1700000000000000,"duration":5000,"localEndpoint":{"serviceName":"web"},"tags":{"http.method":"GET"}},
{"traceId":"a1","id":"2","parentId":"1","kind":"SERVER","name":"select","timestamp":1700000000001000,"duration":2000,"localEndpoint":{"serviceName":"db"},
 "annotations":[{"timestamp":1700000000002000,"value":"row"}],"tags":{"error":"gone","peer.service":"disk"}},
{"traceId":"a2","id":"3","kind":"CLIENT","name":"poll","timestamp":1700000060000000,"duration":900000,"localEndpoint":{"serviceName":"web"},"remoteEndpoint":{"serviceName":"queue"}}
]`

func filled(t testing.TB) http.Handler {
	h := server()
	w := request(h, http.MethodPost, "/api/v2/spans", "application/json", shop)
	require.Equal(t, http.StatusAccepted, w.Code, w.Body)
	return h
}

func TestQueryLists(t *testing.T) {
	h := filled(t)
	f := func(path, want string) {
		t.Helper()
		w := request(h, http.MethodGet, path, "", "")
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		require.JSONEq(t, want, w.Body.String())
	}
	f("/api/v2/services", `["db","web"]`)
	f("/api/v2/spans?serviceName=web", `["get /","poll"]`)
	f("/api/v2/remoteServices?serviceName=web", `["queue"]`)
	f("/api/v2/spans?serviceName=nope", `[]`)
	f("/api/v2/dependencies?endTs=1700000600000", `[{"parent":"web","child":"db","callCount":1,"errorCount":1}]`)
	f("/api/v2/dependencies?endTs=1600000000000&lookback=1000", `[]`)
	f("/api/v2/autocompleteValues?key=http.method", `["GET"]`)
	w := request(h, http.MethodGet, "/api/v2/autocompleteKeys", "", "")
	require.Contains(t, w.Body.String(), `"http.method"`)
}

func TestQueryTrace(t *testing.T) {
	h := filled(t)
	w := request(h, http.MethodGet, "/api/v2/trace/00000000000000a1", "", "")
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.JSONEq(t, `[{"traceId":"00000000000000a1","id":"0000000000000001","kind":"SERVER","name":"get /","timestamp":1700000000000000,"duration":5000,
		"localEndpoint":{"serviceName":"web"},"tags":{"http.method":"GET"}},
		{"traceId":"00000000000000a1","id":"0000000000000002","parentId":"0000000000000001","kind":"SERVER","name":"select","timestamp":1700000000001000,"duration":2000,
		"localEndpoint":{"serviceName":"db"},"remoteEndpoint":{"serviceName":"disk"},"annotations":[{"timestamp":1700000000002000,"value":"row"}],
		"tags":{"error":"gone","otel.status_code":"ERROR"}}]`, w.Body.String())
	require.Equal(t, 404, request(h, http.MethodGet, "/api/v2/trace/ff", "", "").Code)
	require.Equal(t, 400, request(h, http.MethodGet, "/api/v2/trace/xyz", "", "").Code)

	var many [][]span
	w = request(h, http.MethodGet, "/api/v2/traceMany?traceIds=a2,a1,ff", "", "")
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &many), w.Body)
	require.Len(t, many, 2)
	require.Equal(t, "poll", many[0][0].Name)
	require.Equal(t, 400, request(h, http.MethodGet, "/api/v2/traceMany?traceIds=a1,00a1", "", "").Code)
	require.Equal(t, 400, request(h, http.MethodGet, "/api/v2/traceMany", "", "").Code)
}

func TestQueryTraces(t *testing.T) {
	h := filled(t)
	f := func(params string, want ...string) {
		t.Helper()
		w := request(h, http.MethodGet, "/api/v2/traces?"+params, "", "")
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		var got [][]span
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
		var ids []string
		for _, tr := range got {
			ids = append(ids, tr[0].TraceID[14:])
		}
		require.Equal(t, want, ids, params)
	}
	f("", "a2", "a1")
	f("limit=1", "a2")
	f("serviceName=web", "a2", "a1")
	f("serviceName=db", "a1")
	f("serviceName=web&spanName=poll", "a2")
	f("serviceName=all&spanName=all", "a2", "a1")
	f("remoteServiceName=queue", "a2")
	f("minDuration=100000", "a2")
	f("maxDuration=100000", "a1")
	f("annotationQuery="+url.QueryEscape("error"), "a1")
	f("annotationQuery="+url.QueryEscape("http.method=GET"), "a1")
	f("annotationQuery="+url.QueryEscape("row and error=gone"), "a1")
	f("annotationQuery=" + url.QueryEscape("http.method=POST"))
	f("endTs=1700000030000", "a1")
	f("endTs=1700000600000&lookback=1000")
	for _, bad := range []string{"limit=x", "limit=0", "endTs=x", "lookback=-1", "minDuration=1ms", "endTs=99999999999999999"} {
		require.Equal(t, 400, request(h, http.MethodGet, "/api/v2/traces?"+bad, "", "").Code, bad)
	}
	for _, path := range []string{"/api/v2/spans", "/api/v2/dependencies", "/api/v2/autocompleteValues"} {
		require.Equal(t, 400, request(h, http.MethodGet, path, "", "").Code, path)
	}
	r := httptest.NewRequest(http.MethodGet, "/api/v2/services", nil)
	r.Header.Set("No-Tenant", "1")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, 401, w.Code)
}

const v1 = `[{"traceId":"00000000000000b1","id":"0000000000000007","name":"get","timestamp":1700000000000000,"duration":1000,
"annotations":[{"timestamp":1700000000000000,"value":"sr","endpoint":{"serviceName":"old","ipv4":"10.0.0.1"}},
{"timestamp":1700000000001000,"value":"ss","endpoint":{"serviceName":"old"}}],
"binaryAnnotations":[{"key":"http.path","value":"/x","endpoint":{"serviceName":"old"}}]}]`

func v1Thrift(t testing.TB) []byte {
	buf := thrift.NewTMemoryBuffer()
	p := thrift.NewTBinaryProtocolConf(buf, &thrift.TConfiguration{})
	ctx, at, length := context.Background(), int64(1700000000000000), int64(1000)
	host := &zipkincore.Endpoint{ServiceName: "old"}
	require.NoError(t, p.WriteListBegin(ctx, thrift.STRUCT, 1))
	require.NoError(t, (&zipkincore.Span{TraceID: 0xb1, ID: 7, Name: "get", Timestamp: &at, Duration: &length,
		Annotations:       []*zipkincore.Annotation{{Timestamp: at, Value: "sr", Host: host}},
		BinaryAnnotations: []*zipkincore.BinaryAnnotation{{Key: "http.path", Value: []byte("/x"), AnnotationType: zipkincore.AnnotationType_STRING, Host: host}},
	}).Write(ctx, p))
	return buf.Bytes()
}

func TestV1(t *testing.T) {
	for contentType, data := range map[string]string{"application/json": v1, "": v1, "application/x-thrift": string(v1Thrift(t))} {
		h := server()
		w := request(h, http.MethodPost, "/api/v1/spans", contentType, data)
		require.Equal(t, http.StatusAccepted, w.Code, "%s: %s", contentType, w.Body)
		var got []span
		w = request(h, http.MethodGet, "/api/v2/trace/b1", "", "")
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got), w.Body)
		require.Equal(t, "get", got[0].Name)
		require.Equal(t, "SERVER", got[0].Kind)
		require.Equal(t, "old", got[0].LocalEndpoint.ServiceName)
		require.Equal(t, "/x", got[0].Tags["http.path"])
	}
	h := server()
	for _, tc := range []struct {
		contentType, data string
		status            int
	}{
		{"application/json", "", 400}, {"application/json", "{", 400}, {"application/json", "[null]", 400}, {"application/json", "[]", 202},
		{"application/json", `[{"traceId":"xyz"}]`, 400}, {"application/x-thrift", "", 400}, {"application/x-thrift", "\x0c\x7f\xff\xff\xff", 400},
		{"application/xml", "x", 415}, {"a b", "x", 415},
	} {
		w := request(h, http.MethodPost, "/api/v1/spans", tc.contentType, tc.data)
		require.Equal(t, tc.status, w.Code, "%q: %s", fmt.Sprint(tc), w.Body)
	}
}

func FuzzV1(f *testing.F) {
	f.Add("application/json", v1)
	f.Add("application/x-thrift", string(v1Thrift(f)))
	h := server()
	f.Fuzz(func(t *testing.T, contentType, data string) {
		if w := request(h, http.MethodPost, "/api/v1/spans", contentType, data); w.Code >= 500 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}

// FuzzSearchParams: whatever the parameters are, they make a query that the engine takes, or an error.
func FuzzSearchParams(f *testing.F) {
	f.Add("serviceName=a&spanName=b&annotationQuery=error and x=1 and \"y\"&minDuration=5&limit=3")
	q := NewQuery(QueryOptions{Now: func() time.Time { return time.UnixMicro(1700000600000000) }})
	f.Fuzz(func(t *testing.T, raw string) {
		v, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		expr, _, _, err := q.searchParams(v)
		if err != nil {
			return
		}
		if _, err := traceql.Parse(expr); err != nil {
			t.Fatalf("%s makes %s: %v", raw, expr, err)
		}
	})
}
