package app

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	grpccodes "google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/hune-io/hune/internal/tenant"
)

// tenancy puts the tenant of each request into its context.
type tenancy struct{ multi bool }

// of returns the tenant that a request is for, given the value of its header.
func (t tenancy) of(header string) (string, error) {
	if !t.multi {
		return tenant.Anonymous, nil
	}
	return header, tenant.Validate(header)
}

func (t tenancy) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := r.Header.Get(tenant.Header)
		if header == "" {
			header = r.Header.Get("THANOS-TENANT")
		}
		id, err := t.of(header)
		if err != nil {
			code := http.StatusBadRequest
			if header == "" {
				code = http.StatusUnauthorized
			}
			http.Error(w, fmt.Sprintf("%s: set the %s header", err, tenant.Header), code)
			return
		}
		inner := r.WithContext(tenant.NewContext(r.Context(), id))
		next.ServeHTTP(w, inner)
		r.Pattern = inner.Pattern // for the request metrics outside
	})
}

// unary and stream are the same for gRPC.
func (t tenancy) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if aboutProcess(info.FullMethod) {
		return next(ctx, req)
	}
	ctx, err := t.grpcContext(ctx)
	if err != nil {
		return nil, err
	}
	return next(ctx, req)
}

func (t tenancy) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if aboutProcess(info.FullMethod) {
		return next(srv, ss)
	}
	ctx, err := t.grpcContext(ss.Context())
	if err != nil {
		return err
	}
	return next(srv, &tenantStream{ss, ctx})
}

// aboutProcess tells the methods that know no tenant. Thanos asks with Info which stores there are before it
// knows of any tenant.
func aboutProcess(method string) bool {
	return strings.HasPrefix(method, "/"+grpc_health_v1.Health_ServiceDesc.ServiceName+"/") || method == "/thanos.info.Info/Info"
}

func (t tenancy) grpcContext(ctx context.Context) (context.Context, error) {
	header := ""
	for _, name := range []string{"THANOS-TENANT", tenant.Header} {
		if v := metadata.ValueFromIncomingContext(ctx, name); len(v) > 0 {
			header = v[0]
		}
	}
	id, err := t.of(header)
	if err != nil {
		return nil, status.Error(grpccodes.Unauthenticated, err.Error())
	}
	return tenant.NewContext(ctx, id), nil
}

type tenantStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *tenantStream) Context() context.Context { return s.ctx }

// observe counts and times requests, makes a span for each one that reads, and turns a panic into a
// 500 of its own request, or cuts its answer off if that has begun.
type observe struct {
	logger   *slog.Logger
	tracer   trace.Tracer
	duration *prometheus.HistogramVec
	panics   prometheus.Counter
}

func newObserve(logger *slog.Logger, tracer trace.Tracer, reg prometheus.Registerer) *observe {
	f := promauto.With(reg)
	return &observe{logger: logger, tracer: tracer,
		duration: f.NewHistogramVec(prometheus.HistogramOpts{Name: "hune_request_duration_seconds", Help: "Time to answer HTTP requests.",
			NativeHistogramBucketFactor: 1.1, Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10, 60}}, []string{"method", "route", "code"}),
		panics: f.NewCounter(prometheus.CounterOpts{Name: "hune_request_panics_total", Help: "Requests that ended in a panic: bugs of ours."}),
	}
}

func (o *observe) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		rec := &recorder{ResponseWriter: w}
		// Writes make no spans: a span is a write too.
		var span trace.Span
		if r.Method == http.MethodGet {
			var ctx context.Context
			ctx, span = o.tracer.Start(r.Context(), r.Method+" "+r.URL.Path, trace.WithSpanKind(trace.SpanKindServer),
				trace.WithAttributes(attribute.String("http.request.method", r.Method), attribute.String("url.path", r.URL.Path)))
			r = r.WithContext(ctx)
		}
		defer func() {
			p := recover()
			if p != nil && p != http.ErrAbortHandler {
				o.panics.Inc()
				o.logger.Error("request panicked", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				if rec.status == 0 {
					http.Error(rec, "internal error", http.StatusInternalServerError)
					p = nil
				}
			}
			o.done(r, span, rec, time.Since(started))
			if p != nil {
				// Half an answer must not look whole: the connection is closed.
				panic(http.ErrAbortHandler)
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

func (o *observe) done(r *http.Request, span trace.Span, rec *recorder, took time.Duration) {
	// The mux set the pattern: routes are few, paths are not.
	route := r.Pattern
	if route == "" {
		route = "other"
	}
	if rec.status == 0 {
		rec.status = http.StatusOK
	}
	o.duration.WithLabelValues(method(r.Method), route, strconv.Itoa(rec.status)).Observe(took.Seconds())
	if span == nil {
		return
	}
	span.SetAttributes(attribute.Int("http.response.status_code", rec.status), attribute.String("http.route", route))
	if rec.status >= 500 {
		span.SetStatus(codes.Error, http.StatusText(rec.status))
	}
	span.End()
}

// method keeps invented methods out of the label's values.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodHead, http.MethodOptions, http.MethodPatch:
		return m
	}
	return "other"
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(code int) {
	if r.status == 0 {
		r.status = code
	}
	r.ResponseWriter.WriteHeader(code)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController find Flush and the deadlines.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Flush serves handlers that ask for an http.Flusher directly.
func (r *recorder) Flush() { _ = http.NewResponseController(r.ResponseWriter).Flush() }

// Hijack gives the connection to a websocket.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if r.status == 0 {
		r.status = http.StatusSwitchingProtocols
	}
	return http.NewResponseController(r.ResponseWriter).Hijack()
}
