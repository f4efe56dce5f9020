package otlp

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/tenant"
)

// dial serves h as the program does, with a tenant interceptor.
func dial(t testing.TB, h *Handler) *grpc.ClientConn {
	t.Helper()
	l := bufconn.Listen(1 << 20)
	s := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		id, err := TenantFromMetadata(ctx, true)
		if err != nil {
			return nil, fault.GRPCStatus(err).Err()
		}
		return next(tenant.NewContext(ctx, id), req)
	}))
	h.RegisterGRPC(s)
	done := make(chan error)
	go func() { done <- s.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:///buf", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		s.Stop()
		require.NoError(t, <-done)
	})
	return conn
}

func org(ctx context.Context, id string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "x-scope-orgid", id)
}

func TestGRPC(t *testing.T) {
	h, s := newHandler(t, nil)
	conn := dial(t, h)
	ctx := org(t.Context(), "t1")

	m, err := pmetricotlp.NewGRPCClient(conn).Export(ctx, metricsRequestOf(false))
	require.NoError(t, err)
	require.Zero(t, m.PartialSuccess().RejectedDataPoints())
	require.Equal(t, 1, s.samples)
	m, err = pmetricotlp.NewGRPCClient(conn).Export(ctx, metricsRequestOf(true))
	require.NoError(t, err)
	require.EqualValues(t, 1, m.PartialSuccess().RejectedDataPoints())
	require.Contains(t, m.PartialSuccess().ErrorMessage(), "too far in the future")

	l, err := plogotlp.NewGRPCClient(conn).Export(ctx, logsRequestOf(true))
	require.NoError(t, err)
	require.EqualValues(t, 1, l.PartialSuccess().RejectedLogRecords())
	require.Equal(t, 1, s.entries)

	tr, err := ptraceotlp.NewGRPCClient(conn).Export(ctx, tracesRequestOf(true))
	require.NoError(t, err)
	require.EqualValues(t, 1, tr.PartialSuccess().RejectedSpans())
	require.Equal(t, 1, s.spans)
	require.Equal(t, map[string]int{"t1": 4}, s.tenants)

	_, err = ptraceotlp.NewGRPCClient(conn).Export(ctx, ptraceotlp.NewExportRequest())
	require.NoError(t, err, "an empty request is fine")
}

func TestGRPCErrors(t *testing.T) {
	h, s := newHandler(t, nil)
	conn := dial(t, h)
	ctx := org(t.Context(), "t1")
	export := func() error {
		_, err := plogotlp.NewGRPCClient(conn).Export(ctx, logsRequestOf(false))
		return err
	}

	s.err = &fault.Error{Class: fault.RateLimited, RetryAfter: 1500 * time.Millisecond, Err: errors.New("slow down")}
	st := status.Convert(export())
	require.Equal(t, codes.ResourceExhausted, st.Code())
	require.Equal(t, "slow down", st.Message())
	require.Equal(t, 1500*time.Millisecond, st.Details()[0].(*errdetails.RetryInfo).GetRetryDelay().AsDuration())

	s.err = errors.New("disk on fire")
	require.Equal(t, codes.Unavailable, status.Code(export()), "the data was not at fault: keep it")

	s.err = nil
	bad := logsRequestOf(false)
	bad.Logs().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Body().SetStr(strings.Repeat("x", 1<<20))
	_, err := plogotlp.NewGRPCClient(conn).Export(ctx, bad)
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.ErrorContains(t, err, "max entry size")

	for _, service := range []string{"metrics.v1.MetricsService", "logs.v1.LogsService", "trace.v1.TraceService"} {
		err = conn.Invoke(ctx, "/opentelemetry.proto.collector."+service+"/Export", &response{[]byte("\x0a\xff")}, &response{})
		require.Equal(t, codes.InvalidArgument, status.Code(err), "malformed bytes are the sender's fault")
		require.ErrorContains(t, err, "malformed OTLP")
	}

	_, err = plogotlp.NewGRPCClient(conn).Export(t.Context(), logsRequestOf(false))
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.ErrorContains(t, err, "no org id")
	_, err = plogotlp.NewGRPCClient(conn).Export(org(t.Context(), "a/b"), logsRequestOf(false))
	require.ErrorContains(t, err, "unsupported character")
}

func TestTenantFromMetadata(t *testing.T) {
	id, err := TenantFromMetadata(metadata.NewIncomingContext(t.Context(), metadata.Pairs(tenant.Header, "x")), false)
	require.NoError(t, err)
	require.Equal(t, tenant.Anonymous, id)
}
