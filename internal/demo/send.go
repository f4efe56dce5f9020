package demo

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/hune-io/hune/internal/tenant"
)

// transport sends one request of a signal once. rejected is what a partial success refused.
type transport interface {
	traces(ctx context.Context, r ptraceotlp.ExportRequest) (rejected int64, message string, err error)
	logs(ctx context.Context, r plogotlp.ExportRequest) (rejected int64, message string, err error)
	metrics(ctx context.Context, r pmetricotlp.ExportRequest) (rejected int64, message string, err error)
	close() error
}

// sender sends with retries and counts what the other side said.
type sender struct {
	transport transport
	endpoint  string
	clock     Clock
	retries   atomic.Int64
	rejected  atomic.Int64
	reason    atomic.Pointer[string]
}

// busyError says that the same request may succeed later.
type busyError struct {
	after time.Duration // as the other side asked; zero if it didn't
	err   error
}

func (e *busyError) Error() string { return e.err.Error() }
func (e *busyError) Unwrap() error { return e.err }

func newSender(o Options) (*sender, error) {
	headers := maps.Clone(o.Headers)
	if headers == nil {
		headers = make(map[string]string)
	}
	if o.Tenant != "" {
		if err := tenant.Validate(o.Tenant); err != nil {
			return nil, err
		}
		headers[tenant.Header] = o.Tenant
	}
	s := &sender{endpoint: o.Endpoint, clock: o.Clock}
	var err error
	if strings.Contains(o.Endpoint, "://") {
		s.transport, err = newHTTP(o, headers)
	} else {
		s.transport, err = newGRPC(o, headers)
	}
	return s, err
}

func (s *sender) close() error { return s.transport.close() }

func (s *sender) traces(ctx context.Context, td ptrace.Traces) error {
	r := ptraceotlp.NewExportRequestFromTraces(td)
	return s.retry(ctx, "traces", func() (int64, string, error) { return s.transport.traces(ctx, r) })
}

func (s *sender) logs(ctx context.Context, ld plog.Logs) error {
	r := plogotlp.NewExportRequestFromLogs(ld)
	return s.retry(ctx, "logs", func() (int64, string, error) { return s.transport.logs(ctx, r) })
}

func (s *sender) metrics(ctx context.Context, md pmetric.Metrics) error {
	r := pmetricotlp.NewExportRequestFromMetrics(md)
	return s.retry(ctx, "metrics", func() (int64, string, error) { return s.transport.metrics(ctx, r) })
}

// A request is tried until giveUp has passed since its first try.
const (
	giveUp   = time.Minute
	firstGap = 200 * time.Millisecond
	maxGap   = 10 * time.Second
)

func (s *sender) retry(ctx context.Context, what string, send func() (int64, string, error)) error {
	began := s.clock.Now()
	for gap := firstGap; ; gap = min(2*gap, maxGap) {
		rejected, message, err := send()
		if rejected > 0 {
			s.rejected.Add(rejected)
			s.reason.Store(&message)
		}
		var busy *busyError
		if err == nil || !errors.As(err, &busy) || ctx.Err() != nil || s.clock.Now().Sub(began) >= giveUp {
			if err != nil {
				return fmt.Errorf("send %s to %s: %w", what, s.endpoint, err)
			}
			return nil
		}
		s.retries.Add(1)
		wait := gap
		if busy.after > 0 {
			wait = min(busy.after, giveUp)
		}
		if err := s.clock.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// requestTimeout bounds one try.
const requestTimeout = 30 * time.Second

type overGRPC struct {
	conn *grpc.ClientConn
	md   metadata.MD
	t    ptraceotlp.GRPCClient
	l    plogotlp.GRPCClient
	m    pmetricotlp.GRPCClient
}

func newGRPC(o Options, headers map[string]string) (*overGRPC, error) {
	creds := credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})
	if o.Insecure {
		creds = insecure.NewCredentials()
	}
	conn, err := grpc.NewClient(o.Endpoint, grpc.WithTransportCredentials(creds))
	if err != nil {
		return nil, fmt.Errorf("endpoint %q: %w", o.Endpoint, err)
	}
	return &overGRPC{conn, metadata.New(headers), ptraceotlp.NewGRPCClient(conn), plogotlp.NewGRPCClient(conn), pmetricotlp.NewGRPCClient(conn)}, nil
}

func (g *overGRPC) close() error { return g.conn.Close() }

func (g *overGRPC) context(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(metadata.NewOutgoingContext(ctx, g.md), requestTimeout)
}

func (g *overGRPC) traces(ctx context.Context, r ptraceotlp.ExportRequest) (int64, string, error) {
	ctx, cancel := g.context(ctx)
	defer cancel()
	resp, err := g.t.Export(ctx, r)
	if err != nil {
		return 0, "", grpcError(err)
	}
	return resp.PartialSuccess().RejectedSpans(), resp.PartialSuccess().ErrorMessage(), nil
}

func (g *overGRPC) logs(ctx context.Context, r plogotlp.ExportRequest) (int64, string, error) {
	ctx, cancel := g.context(ctx)
	defer cancel()
	resp, err := g.l.Export(ctx, r)
	if err != nil {
		return 0, "", grpcError(err)
	}
	return resp.PartialSuccess().RejectedLogRecords(), resp.PartialSuccess().ErrorMessage(), nil
}

func (g *overGRPC) metrics(ctx context.Context, r pmetricotlp.ExportRequest) (int64, string, error) {
	ctx, cancel := g.context(ctx)
	defer cancel()
	resp, err := g.m.Export(ctx, r)
	if err != nil {
		return 0, "", grpcError(err)
	}
	return resp.PartialSuccess().RejectedDataPoints(), resp.PartialSuccess().ErrorMessage(), nil
}

// grpcError classes by the table of the OTLP specification.
func grpcError(err error) error {
	st, _ := status.FromError(err)
	switch st.Code() {
	case codes.Unavailable, codes.ResourceExhausted, codes.Aborted, codes.DeadlineExceeded, codes.OutOfRange, codes.DataLoss:
	default:
		return err
	}
	busy := &busyError{err: err}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			busy.after = info.GetRetryDelay().AsDuration()
		}
	}
	return busy
}

type overHTTP struct {
	client  *http.Client
	base    string
	headers map[string]string
}

func newHTTP(o Options, headers map[string]string) (*overHTTP, error) {
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("endpoint %q is neither host:port nor an http URL", o.Endpoint)
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.Insecure} //nolint:gosec // the user asked for it
	return &overHTTP{&http.Client{Transport: t, Timeout: requestTimeout}, strings.TrimSuffix(o.Endpoint, "/"), headers}, nil
}

func (h *overHTTP) close() error {
	h.client.CloseIdleConnections()
	return nil
}

func (h *overHTTP) traces(ctx context.Context, r ptraceotlp.ExportRequest) (int64, string, error) {
	resp := ptraceotlp.NewExportResponse()
	err := h.post(ctx, "/v1/traces", r.MarshalProto, resp.UnmarshalProto)
	return resp.PartialSuccess().RejectedSpans(), resp.PartialSuccess().ErrorMessage(), err
}

func (h *overHTTP) logs(ctx context.Context, r plogotlp.ExportRequest) (int64, string, error) {
	resp := plogotlp.NewExportResponse()
	err := h.post(ctx, "/v1/logs", r.MarshalProto, resp.UnmarshalProto)
	return resp.PartialSuccess().RejectedLogRecords(), resp.PartialSuccess().ErrorMessage(), err
}

func (h *overHTTP) metrics(ctx context.Context, r pmetricotlp.ExportRequest) (int64, string, error) {
	resp := pmetricotlp.NewExportResponse()
	err := h.post(ctx, "/v1/metrics", r.MarshalProto, resp.UnmarshalProto)
	return resp.PartialSuccess().RejectedDataPoints(), resp.PartialSuccess().ErrorMessage(), err
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

func (h *overHTTP) post(ctx context.Context, path string, encode func() ([]byte, error), decode func([]byte) error) error {
	data, err := encode()
	if err != nil {
		return err
	}
	var body bytes.Buffer
	zw, _ := gzip.NewWriterLevel(&body, gzip.BestSpeed)
	_, err = zw.Write(data)
	if err := errors.Join(err, zw.Close()); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.base+path, &body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "gzip")
	for k, v := range h.headers {
		req.Header.Set(k, v)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return &busyError{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return &busyError{err: err}
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		return decode(answer)
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		after, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return &busyError{time.Duration(max(after, 0)) * time.Second, httpError(resp, answer)}
	}
	return httpError(resp, answer)
}

// httpError quotes the answer if it is text; OTLP servers answer protobuf.
func httpError(resp *http.Response, answer []byte) error {
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/") {
		return fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(answer[:min(len(answer), 300)]))
	}
	return errors.New(resp.Status)
}
