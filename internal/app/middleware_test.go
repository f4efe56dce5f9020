package app

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	grpccodes "google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/hune-io/hune/internal/tenant"
)

// whoami answers with the tenant of the request.
func whoami(w http.ResponseWriter, r *http.Request) {
	id, err := tenant.FromContext(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(w, id)
}

var tenancyCases = []struct {
	name, header, value string
	multi               bool
	code                int
	grpc                grpccodes.Code
	want                string // of the answer, or a part of the error
}{
	{"off", tenant.Header, "a", false, 200, grpccodes.OK, tenant.Anonymous},
	{"off, no header", "", "", false, 200, grpccodes.OK, tenant.Anonymous},
	{"off, bad header", tenant.Header, "a/b", false, 200, grpccodes.OK, tenant.Anonymous},
	{"good", tenant.Header, "team-1", true, 200, grpccodes.OK, "team-1"},
	{"missing", "", "", true, 401, grpccodes.Unauthenticated, "no org id"},
	{"bad character", tenant.Header, "a/b", true, 400, grpccodes.Unauthenticated, "unsupported character '/'"},
	{"path", tenant.Header, "..", true, 400, grpccodes.Unauthenticated, "not allowed"},
	{"too long", tenant.Header, strings.Repeat("x", 151), true, 400, grpccodes.Unauthenticated, "too long"},
}

func TestTenancy(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/who", whoami)
	for _, c := range tenancyCases {
		r := httptest.NewRequest(http.MethodGet, "/who", nil)
		if c.header != "" {
			r.Header.Set(c.header, c.value)
		}
		w := httptest.NewRecorder()
		tenancy{c.multi}.wrap(mux).ServeHTTP(w, r)
		require.Equal(t, c.code, w.Code, c.name)
		require.Contains(t, w.Body.String(), c.want, c.name)
		if c.code == 200 {
			require.Equal(t, "/who", r.Pattern, "the request metrics want the route")
		} else {
			require.Contains(t, w.Body.String(), tenant.Header, c.name)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/who", nil)
	r.Header.Set("THANOS-TENANT", "thanos")
	w := httptest.NewRecorder()
	tenancy{true}.wrap(mux).ServeHTTP(w, r)
	require.Equal(t, "thanos", w.Body.String())
}

// serverStream is a grpc.ServerStream that has a context only.
type serverStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s serverStream) Context() context.Context { return s.ctx }

func TestTenancyOfGRPC(t *testing.T) {
	for _, c := range tenancyCases {
		ctx := t.Context()
		if c.header != "" {
			ctx = metadata.NewIncomingContext(ctx, metadata.Pairs(c.header, c.value))
		}
		check := func(kind string, got string, err error) {
			t.Helper()
			require.Equal(t, c.grpc, status.Code(err), "%s: %s", c.name, kind)
			if err != nil {
				require.ErrorContains(t, err, c.want, "%s: %s", c.name, kind)
			} else {
				require.Equal(t, c.want, got, "%s: %s", c.name, kind)
			}
		}
		answer, err := tenancy{c.multi}.unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: "/a.Service/Export"}, func(ctx context.Context, _ any) (any, error) { return tenant.FromContext(ctx) })
		got, _ := answer.(string)
		check("unary", got, err)

		got = ""
		err = tenancy{c.multi}.stream(nil, serverStream{ctx: ctx}, &grpc.StreamServerInfo{FullMethod: "/a.Service/Tail"}, func(_ any, ss grpc.ServerStream) (err error) {
			got, err = tenant.FromContext(ss.Context())
			return err
		})
		check("stream", got, err)
	}
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("THANOS-TENANT", "thanos"))
	got, err := tenancy{true}.unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: "/thanos.Store/LabelNames"}, func(ctx context.Context, _ any) (any, error) { return tenant.FromContext(ctx) })
	require.NoError(t, err)
	require.Equal(t, "thanos", got, "as a Thanos Querier names it")
	_, err = tenancy{true}.unary(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: "/thanos.info.Info/Info"}, func(context.Context, any) (any, error) { return nil, nil })
	require.NoError(t, err, "asked before any tenant is known")
	_, err = tenancy{true}.unary(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: "/thanos.Store/LabelNames"}, func(context.Context, any) (any, error) { return nil, nil })
	require.Error(t, err)
}

type observed struct {
	*observe
	log   *bytes.Buffer
	spans *tracetest.SpanRecorder
	reg   *prometheus.Registry
}

func newObserved() observed {
	o := observed{log: &bytes.Buffer{}, spans: tracetest.NewSpanRecorder(), reg: prometheus.NewRegistry()}
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(o.spans))
	o.observe = newObserve(slog.New(slog.NewTextHandler(o.log, nil)), tp.Tracer("test"), o.reg)
	return o
}

// requests are the labels under which requests were counted.
func (o observed) requests(t *testing.T) []string {
	t.Helper()
	families, err := o.reg.Gather()
	require.NoError(t, err)
	var out []string
	for _, f := range families {
		if f.GetName() != "hune_request_duration_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			l := map[string]string{}
			for _, p := range m.GetLabel() {
				l[p.GetName()] = p.GetValue()
			}
			out = append(out, fmt.Sprintf("%s %s %s %d", l["method"], l["route"], l["code"], m.GetHistogram().GetSampleCount()))
		}
	}
	return out
}

func TestObserveCounts(t *testing.T) {
	o := newObserved()
	mux := http.NewServeMux()
	mux.HandleFunc("/things/{id}", whoami)
	mux.HandleFunc("/silent", func(http.ResponseWriter, *http.Request) {})
	h := o.wrap(mux)
	for _, r := range []struct{ method, path string }{{"GET", "/things/1"}, {"GET", "/things/2"}, {"GET", "/silent"}, {"POST", "/silent"}, {"BREW", "/silent"}, {"GET", "/none"}} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(r.method, r.path, nil))
	}
	require.ElementsMatch(t, []string{"GET /things/{id} 500 2", "GET /silent 200 1", "POST /silent 200 1", "other /silent 200 1", "GET other 404 1"}, o.requests(t))
	var spans []string
	for _, s := range o.spans.Ended() {
		spans = append(spans, fmt.Sprintf("%s %v", s.Name(), s.Status().Code == codes.Error))
	}
	require.Equal(t, []string{"GET /things/1 true", "GET /things/2 true", "GET /silent false", "GET /none false"}, spans, "writes make none")
}

func TestObservePanics(t *testing.T) {
	o := newObserved()
	mux := http.NewServeMux()
	mux.HandleFunc("/before", func(http.ResponseWriter, *http.Request) { panic("impossible") })
	mux.HandleFunc("/after", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted); panic("too late") })
	mux.HandleFunc("/abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	h := o.wrap(mux)
	ask := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		serve := func() { h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, nil)) }
		if path == "/before" {
			serve()
		} else {
			require.PanicsWithValue(t, http.ErrAbortHandler, serve, "for net/http, which closes the connection")
		}
		return w
	}
	w := ask("/before")
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.Equal(t, "internal error\n", w.Body.String(), "nothing about the insides")
	require.Contains(t, o.log.String(), "impossible")
	require.Contains(t, o.log.String(), "middleware_test.go", "the stack")
	require.Equal(t, http.StatusAccepted, ask("/after").Code)
	ask("/abort")
	require.Equal(t, 2.0, testutil.ToFloat64(o.panics))
	require.Subset(t, o.requests(t), []string{"POST /before 500 1", "POST /after 202 1"})
}

// The answer of a handler that gives up in the middle must not look whole.
func TestObserveAborts(t *testing.T) {
	for _, why := range []any{http.ErrAbortHandler, "impossible"} {
		t.Run(fmt.Sprint(why), func(t *testing.T) { testAborts(t, why) })
	}
}

func testAborts(t *testing.T, why any) {
	o := newObserved()
	srv := httptest.NewServer(o.wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half of the")
		_ = http.NewResponseController(w).Flush()
		panic(why)
	})))
	defer srv.Close()
	resp, err := srv.Client().Get(srv.URL)
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = io.ReadAll(resp.Body)
	require.Error(t, err)
}

func TestObserveFlushesAndHijacks(t *testing.T) {
	o := newObserve(slog.New(slog.DiscardHandler), noop.NewTracerProvider().Tracer(""), prometheus.NewRegistry())
	next := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/flush", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "first\n")
		w.(http.Flusher).Flush()
		<-next
		_, _ = io.WriteString(w, "second\n")
	})
	mux.HandleFunc("/hijack", func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = rw.Flush()
		line, _ := rw.ReadString('\n')
		_, _ = rw.WriteString(line)
		_ = rw.Flush()
	})
	srv := httptest.NewServer(o.wrap(mux))
	defer srv.Close()

	resp, err := srv.Client().Get(srv.URL + "/flush")
	require.NoError(t, err)
	defer resp.Body.Close()
	body := bufio.NewReader(resp.Body)
	line, err := body.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "first\n", line, "while the handler still runs")
	close(next)
	line, err = body.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "second\n", line)

	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /hijack HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	require.NoError(t, err)
	in := bufio.NewReader(conn)
	status, err := in.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, status, "101")
	for line != "\r\n" {
		line, err = in.ReadString('\n')
		require.NoError(t, err)
	}
	_, err = io.WriteString(conn, "ping\n")
	require.NoError(t, err)
	line, err = in.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ping\n", line)
}
