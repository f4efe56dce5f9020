package jaeger

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/jaegertracing/jaeger-idl/model/v1"
	"github.com/jaegertracing/jaeger-idl/proto-gen/api_v2"
	thriftjaeger "github.com/jaegertracing/jaeger-idl/thrift-gen/jaeger"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/hune-io/hune/internal/api/body"
	"github.com/hune-io/hune/internal/api/rpc"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces"
)

func thriftBatch(t testing.TB) []byte {
	yes, answer := true, int64(42)
	batch := &thriftjaeger.Batch{Process: &thriftjaeger.Process{ServiceName: "cart"}, Spans: []*thriftjaeger.Span{{
		TraceIdLow: 7, SpanId: 8, ParentSpanId: 9, OperationName: "get", StartTime: base.UnixMicro(), Duration: 1500,
		Tags: []*thriftjaeger.Tag{{Key: "n", VType: thriftjaeger.TagType_LONG, VLong: &answer}, {Key: "error", VType: thriftjaeger.TagType_BOOL, VBool: &yes}},
		Logs: []*thriftjaeger.Log{{Timestamp: base.UnixMicro(), Fields: []*thriftjaeger.Tag{}}},
	}}}
	data, err := thrift.NewTSerializer().Write(context.Background(), batch)
	require.NoError(t, err)
	return data
}

func post(s *store, contentType string, data []byte) *httptest.ResponseRecorder {
	mux := http.NewServeMux()
	NewIngest(s, body.Limits{Decompressed: 1 << 20}).Register(mux)
	r := httptest.NewRequest(http.MethodPost, "/api/traces?format=jaeger.thrift", bytes.NewReader(data))
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r.WithContext(tenant.NewContext(r.Context(), tenant.Anonymous)))
	return w
}

func TestThrift(t *testing.T) {
	s := newStore()
	w := post(s, "application/x-thrift", thriftBatch(t))
	require.Equal(t, http.StatusAccepted, w.Code, w.Body)
	got, err := s.head.TraceByID(t.Context(), traces.ID{15: 7})
	require.NoError(t, err)
	require.Len(t, got.Spans, 1)
	sp := got.Spans[0]
	require.Equal(t, "get", sp.Name)
	require.Equal(t, "cart", sp.Resource.ServiceName)
	require.Equal(t, uint64(1_500_000), sp.End-sp.Start)
	require.Equal(t, traces.StatusError, sp.Status)
	require.Equal(t, traces.SpanID{7: 9}, sp.ParentID)

	mux := http.NewServeMux()
	NewIngest(s, body.Limits{}).Register(mux)
	require.Equal(t, http.StatusNotFound, get(mux, "/api/traces").Code)

	for name, tc := range map[string]struct {
		contentType, data string
		status            int
		want              string
	}{
		"no content type": {"", "", 415, "unsupported Content-Type"},
		"json":            {"application/json", "[]", 415, "unsupported Content-Type"},
		"empty":           {"application/x-thrift", "", 400, "malformed Jaeger Thrift"},
		"cut off":         {"application/x-thrift", string(thriftBatch(t)[:40]), 400, "malformed Jaeger Thrift"},
		"a lie about a list": {"application/x-thrift", "\x0c\x00\x01\x0b\x00\x01\x00\x00\x00\x01a\x00\x0f\x00\x02\x0c\x7f\xff\xff\xff", 400,
			"malformed Jaeger Thrift"},
		"nothing inside": {"application/vnd.apache.thrift.binary", "\x00", 400, "malformed Jaeger Thrift"},
		"too large":      {"application/x-thrift", strings.Repeat("x", 2<<20), 413, "larger than the limit"},
	} {
		t.Run(name, func(t *testing.T) {
			w := post(newStore(), tc.contentType, []byte(tc.data))
			require.Equal(t, tc.status, w.Code, w.Body)
			require.Contains(t, w.Body.String(), tc.want)
		})
	}
	s.err = &fault.Error{Class: fault.RateLimited, RetryAfter: 1500 * time.Millisecond, Err: errors.New("too fast")}
	w = post(s, "application/x-thrift", thriftBatch(t))
	require.Equal(t, http.StatusTooManyRequests, w.Code)
	require.Equal(t, "2", w.Header().Get("Retry-After"))
}

func protoBatch(t testing.TB) []byte {
	req := &api_v2.PostSpansRequest{Batch: model.Batch{Process: &model.Process{ServiceName: "cart"}, Spans: []*model.Span{{
		TraceID: model.NewTraceID(0, 5), SpanID: model.NewSpanID(6), OperationName: "put", StartTime: base, Duration: time.Second}}}}
	data, err := req.Marshal()
	require.NoError(t, err)
	return data
}

// dial serves the ingest and the queries of s and returns a connection.
func dial(t *testing.T, s *store) *grpc.ClientConn {
	withTenant := func(ctx context.Context) context.Context { return tenant.NewContext(ctx, tenant.Anonymous) }
	srv := grpc.NewServer(
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			return next(withTenant(ctx), req)
		}),
		grpc.StreamInterceptor(func(v any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			return next(v, streamOf{ss, withTenant(ss.Context())})
		}))
	NewIngest(s, body.Limits{}).RegisterGRPC(srv)
	New(Options{Runner: s}).RegisterGRPC(srv)
	l := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:jaeger", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		srv.Stop()
		if err := <-served; !errors.Is(err, grpc.ErrServerStopped) { // stopped before it began
			require.NoError(t, err)
		}
	})
	return conn
}

type streamOf struct {
	grpc.ServerStream
	ctx context.Context
}

func (s streamOf) Context() context.Context { return s.ctx }

func TestPostSpans(t *testing.T) {
	s := newStore()
	conn := dial(t, s)
	// The generated client, as Jaeger's agents use it.
	var req api_v2.PostSpansRequest
	require.NoError(t, req.Unmarshal(protoBatch(t)))
	_, err := api_v2.NewCollectorServiceClient(conn).PostSpans(t.Context(), &req)
	require.NoError(t, err)
	got, err := s.head.TraceByID(t.Context(), traces.ID{15: 5})
	require.NoError(t, err)
	require.Equal(t, "put", got.Spans[0].Name)

	for _, bad := range []string{"\xff", "\x0a\x02\x0a\x00", "\x0a\x14\x0a\x12" + strings.Repeat("\x0a\x00", 9)} {
		err := conn.Invoke(t.Context(), "/jaeger.api_v2.CollectorService/PostSpans", &rpc.Message{Data: []byte(bad)}, &rpc.Message{})
		require.Equal(t, codes.InvalidArgument, status.Code(err), "%q: %v", bad, err)
	}
}

func TestQueryService(t *testing.T) {
	s := newStore()
	fill(t, s)
	conn := dial(t, s)
	unary := func(method string, req []byte) []byte {
		t.Helper()
		out := new(rpc.Message)
		require.NoError(t, conn.Invoke(t.Context(), "/jaeger.api_v3.QueryService/"+method, &rpc.Message{Data: req}, out))
		return out.Data
	}
	require.Equal(t, "\x0a\x02db\x0a\x03web", string(unary("GetServices", nil)))
	require.Contains(t, string(unary("GetOperations", rpc.AppendString(nil, 1, "web"))), "GET /cart")
	seconds := func(at time.Time) []byte { return rpc.AppendUint(nil, 1, uint64(at.Unix())) }
	window := rpc.AppendMessage(rpc.AppendMessage(nil, 1, seconds(base.Add(-time.Hour))), 2, seconds(base.Add(time.Hour)))
	require.Contains(t, string(unary("GetDependencies", window)), "\x18\x03")

	stream := func(method string, req []byte) (n int, err error) {
		t.Helper()
		cs, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/jaeger.api_v3.QueryService/"+method)
		require.NoError(t, err)
		require.NoError(t, cs.SendMsg(&rpc.Message{Data: req}))
		require.NoError(t, cs.CloseSend())
		for {
			m := new(rpc.Message)
			if err := cs.RecvMsg(m); err != nil {
				return n, err
			}
			list, err := traces.DecodeOTLP(m.Data)
			require.NoError(t, err)
			require.Len(t, list, 1)
			n++
		}
	}
	n, err := stream("GetTrace", rpc.AppendString(nil, 1, "2"))
	require.ErrorContains(t, err, "EOF")
	require.Equal(t, 1, n)
	_, err = stream("GetTrace", rpc.AppendString(nil, 1, "ff"))
	require.Equal(t, codes.NotFound, status.Code(err))

	q := rpc.AppendString(nil, 1, "web")
	q = rpc.AppendMessage(q, 3, rpc.AppendString(rpc.AppendString(nil, 1, "user"), 2, "u1"))
	q = rpc.AppendMessage(rpc.AppendMessage(q, 4, seconds(base.Add(-time.Hour))), 5, seconds(base.Add(time.Hour)))
	q = rpc.AppendMessage(q, 6, rpc.AppendUint(nil, 2, 1_000_000))
	n, err = stream("FindTraces", rpc.AppendMessage(nil, 1, rpc.AppendUint(q, 8, 10)))
	require.ErrorContains(t, err, "EOF")
	require.Equal(t, 1, n)
	_, err = stream("FindTraces", nil)
	require.Equal(t, codes.InvalidArgument, status.Code(err))
}

func FuzzThrift(f *testing.F) {
	f.Add(thriftBatch(f))
	f.Add([]byte("\x0f\x00\x02\x0c\x7f\xff\xff\xff"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_ = newFuzzIngest().thrift(thriftRequest(data))
	})
}

func thriftRequest(data []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/api/traces", bytes.NewReader(data))
	r.Header.Set("Content-Type", "application/x-thrift")
	return r
}

func newFuzzIngest() *Ingest { return NewIngest(newStore(), body.Limits{}) }

func FuzzPostSpans(f *testing.F) {
	f.Add(protoBatch(f))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = newFuzzIngest().postSpans(context.Background(), data)
	})
}
