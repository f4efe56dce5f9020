package tempo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/hune-io/hune/internal/api/rpc"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/traces/traceql"
)

// manyTraces are n traces of one span, a minute apart; every tenth lasts an hour.
func manyTraces(t testing.TB, n int) []byte {
	td := ptrace.NewTraces()
	for i := range n {
		rs := td.ResourceSpans().AppendEmpty()
		rs.Resource().Attributes().PutStr("service.name", fmt.Sprintf("s%d", i%3))
		s := rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
		s.SetTraceID(pcommon.TraceID{1, byte(i >> 8), byte(i)})
		s.SetSpanID(pcommon.SpanID{1, byte(i >> 8), byte(i)})
		s.SetName(fmt.Sprintf("op %d", i%7))
		start := testStart + uint64(i)*uint64(time.Minute)
		s.SetStartTimestamp(pcommon.Timestamp(start))
		length := 5 * time.Millisecond
		if i%10 == 0 {
			length = time.Hour
		}
		s.SetEndTimestamp(pcommon.Timestamp(start + uint64(length)))
		s.Attributes().PutInt("n", int64(i))
	}
	raw, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
	require.NoError(t, err)
	return raw
}

// newStreams serves the HTTP API and the streams over one head.
func newStreams(t *testing.T, raw []byte, spans int) (http.Handler, *grpc.ClientConn) {
	r := &runner{engine: traceql.NewEngine(traceql.Options{}), heads: map[string]*traces.Head{tenant.Anonymous: traces.NewHead(traces.HeadOptions{})}}
	_, err := r.heads[tenant.Anonymous].Append(&traces.Batch{OTLP: raw, Spans: spans})
	require.NoError(t, err)
	api := New(Options{Runner: r, Now: func() time.Time { return time.Unix(1_700_000_060, 0) }})
	mux := http.NewServeMux()
	api.Register(mux)

	s := grpc.NewServer(grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		return next(srv, anonymous{ss})
	}))
	api.RegisterGRPC(s)
	l := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:tempo", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		s.Stop()
		if err := <-served; !errors.Is(err, grpc.ErrServerStopped) { // stopped before it began
			require.NoError(t, err)
		}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mux.ServeHTTP(w, req.WithContext(tenant.NewContext(req.Context(), tenant.Anonymous)))
	}), conn
}

type anonymous struct{ grpc.ServerStream }

func (s anonymous) Context() context.Context {
	return tenant.NewContext(s.ServerStream.Context(), tenant.Anonymous)
}

// call sends one request and returns all answers.
func call(t *testing.T, conn *grpc.ClientConn, method string, req []byte) (out [][]byte, err error) {
	t.Helper()
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/tempopb.StreamingQuerier/"+method)
	require.NoError(t, err)
	require.NoError(t, stream.SendMsg(&rpc.Message{Data: req}))
	require.NoError(t, stream.CloseSend())
	for {
		m := new(rpc.Message)
		if err := stream.RecvMsg(m); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return out, err
		}
		out = append(out, m.Data)
	}
}

func searchRequest(q string, start, end uint64, limit int) []byte {
	b := rpc.AppendUint(nil, 4, uint64(limit))
	b = rpc.AppendUint(b, 5, start)
	b = rpc.AppendUint(b, 6, end)
	return rpc.AppendString(b, 8, q)
}

// stringsOf returns the text of field num of each message in field list, or of list itself if num is 0.
func stringsOf(t *testing.T, messages [][]byte, list, num int) (out []string) {
	t.Helper()
	for _, m := range messages {
		require.NoError(t, rpc.Fields(m, func(f rpc.Field) error {
			if int(f.Number) != list {
				return nil
			}
			if num == 0 {
				out = append(out, string(f.Bytes))
				return nil
			}
			return rpc.Fields(f.Bytes, func(g rpc.Field) error {
				if int(g.Number) == num {
					out = append(out, string(g.Bytes))
				}
				return nil
			})
		}))
	}
	return out
}

// TestStreamSearch: a stream has the traces of the HTTP answer in its order, whatever the pieces.
func TestStreamSearch(t *testing.T) {
	h, conn := newStreams(t, manyTraces(t, 300), 300)
	from := testStart / second
	for _, limit := range []int{1, 7, 40, 1000} {
		for _, r := range [][2]uint64{{0, 0}, {from, from + 300*60}, {from + 3600, from + 4*3600}, {from + 7200, from + 7260}, {from - 86400, from + 86400}} {
			answers, err := call(t, conn, "Search", searchRequest("{ span.n > 5 }", r[0], r[1], limit))
			require.NoError(t, err)
			path := fmt.Sprintf("/api/search?q=%s&limit=%d", url.QueryEscape("{ span.n > 5 }"), limit)
			if r[0] != 0 {
				path += fmt.Sprintf("&start=%d&end=%d", r[0], r[1])
			}
			var want struct{ Traces []struct{ TraceID string } }
			require.NoError(t, json.Unmarshal(get(h, path).Body.Bytes(), &want))
			got := stringsOf(t, answers, 1, 1)
			require.Len(t, got, len(want.Traces), "limit %d, range %v", limit, r)
			for i := range want.Traces {
				require.Equal(t, want.Traces[i].TraceID, got[i], "limit %d, range %v", limit, r)
			}
		}
	}
	answers, err := call(t, conn, "Search", searchRequest("", from, from+300*60, 1000))
	require.NoError(t, err)
	require.Len(t, answers, 4, "a long range is answered in pieces")

	// The older parameters.
	tag := rpc.AppendMessage(nil, 1, rpc.AppendString(rpc.AppendString(nil, 1, "service.name"), 2, "s1"))
	answers, err = call(t, conn, "Search", rpc.AppendUint(rpc.AppendUint(tag, 2, 1000), 4, 1000))
	require.NoError(t, err)
	require.Len(t, stringsOf(t, answers, 1, 1), 10)
}

func TestStreamMetadata(t *testing.T) {
	_, conn := newStreams(t, manyTraces(t, 9), 9)
	for method, want := range map[string][]string{
		"SearchTags":        {"n", "service.name"},
		"SearchTagValues":   {"op 0", "op 1", "op 2", "op 3", "op 4", "op 5", "op 6"},
		"SearchTagsV2":      {"resource", "span", "intrinsic"},
		"SearchTagValuesV2": {"op 1"},
	} {
		var req []byte
		sub := 0
		switch method {
		case "SearchTagValues":
			req = rpc.AppendString(nil, 1, "name")
		case "SearchTagValuesV2":
			req = rpc.AppendString(rpc.AppendString(nil, 1, "name"), 2, "{ span.n = 1 }")
			sub = 2
		case "SearchTagsV2":
			sub = 1
		}
		answers, err := call(t, conn, method, req)
		require.NoError(t, err, method)
		require.Equal(t, want, stringsOf(t, answers, 1, sub), method)
	}
}

func TestStreamMetrics(t *testing.T) {
	_, conn := newStreams(t, manyTraces(t, 60), 60)
	req := rpc.AppendString(nil, 1, "{ } | count_over_time() by (resource.service.name)")
	req = rpc.AppendUint(rpc.AppendUint(req, 2, testStart-1), 3, testStart+uint64(time.Hour))
	answers, err := call(t, conn, "MetricsQueryInstant", req)
	require.NoError(t, err)
	require.Len(t, stringsOf(t, answers, 1, 1), 3)
	answers, err = call(t, conn, "MetricsQueryRange", rpc.AppendUint(req, 4, uint64(10*time.Minute)))
	require.NoError(t, err)
	require.Len(t, stringsOf(t, answers, 1, 1), 3)
	samples := stringsOf(t, [][]byte{[]byte(stringsOf(t, answers, 1, 0)[0])}, 2, 0)
	require.Len(t, samples, 8)
}

func TestStreamErrors(t *testing.T) {
	_, conn := newStreams(t, manyTraces(t, 1), 1)
	for _, tc := range []struct{ method, req, want string }{
		{"Search", string(searchRequest("{", 0, 0, 0)), "invalid TraceQL query: parse error at line 1, col 2"},
		{"Search", string(searchRequest("{ }", 5, 0, 0)), "start must be before end"},
		{"Search", "\xff", "malformed protobuf at byte 0"},
		{"MetricsQueryRange", string(rpc.AppendString(nil, 1, "{ }")), "not a metrics query"},
		{"SearchTagValuesV2", string(rpc.AppendString(nil, 1, "service.name")), "please provide a valid tagName"},
		{"SearchTagsV2", string(rpc.AppendString(nil, 1, "nope")), "invalid scope: nope"},
	} {
		_, err := call(t, conn, tc.method, []byte(tc.req))
		require.ErrorContains(t, err, tc.want, tc.method)
		require.Equal(t, codes.InvalidArgument, status.Code(err), tc.method)
	}
}

// FuzzStreamRequests: whatever a request is, its parameters are read or refused.
func FuzzStreamRequests(f *testing.F) {
	f.Add(searchRequest("{ }", 1, 2, 3))
	f.Add(rpc.AppendMessage(nil, 1, rpc.AppendString(rpc.AppendString(nil, 1, "a b\""), 2, "c=d")))
	api := New(Options{})
	f.Fuzz(func(t *testing.T, req []byte) {
		if v, err := searchParams(req); err == nil {
			_, _, _ = api.searchQuery(v)
		}
		if v, err := metricsParams(req); err == nil {
			_, _ = api.metricsQuery(v, traces.MetricsRange, "")
		}
		for _, values := range []bool{false, true} {
			if v, _, err := metadataParams(req, values); err == nil {
				_, _ = api.tagsQuery(v, traces.Tags)
			}
		}
	})
}
