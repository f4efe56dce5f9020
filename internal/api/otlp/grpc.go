package otlp

import (
	"context"
	"slices"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/tenant"
)

// The services are registered by hand instead of with pdata's RegisterGRPCServer, so that requests
// are checked before they are decoded and traces are not decoded at all. The types below satisfy
// what pdata's codec (the one registered as "proto") asks of a message.

// RegisterGRPC adds the three OTLP services to s. The tenant must be in the context that handlers
// get: that is an interceptor's work (see TenantFromMetadata).
func (h *Handler) RegisterGRPC(s grpc.ServiceRegistrar) {
	s.RegisterService(service("metrics.v1.MetricsService", "opentelemetry/proto/collector/metrics/v1/metrics_service.proto",
		func() *metricsRequest { return &metricsRequest{} }, h.exportMetrics), h)
	s.RegisterService(service("logs.v1.LogsService", "opentelemetry/proto/collector/logs/v1/logs_service.proto",
		func() *logsRequest { return &logsRequest{} }, h.exportLogs), h)
	s.RegisterService(service("trace.v1.TraceService", "opentelemetry/proto/collector/trace/v1/trace_service.proto",
		func() *tracesRequest { return &tracesRequest{} }, h.exportTraces), h)
}

func service[R any](name, file string, newRequest func() R, export func(context.Context, R) (*response, error)) *grpc.ServiceDesc {
	full := "opentelemetry.proto.collector." + name
	handler := func(srv any, ctx context.Context, dec func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
		in := newRequest()
		if err := dec(in); err != nil {
			return nil, err
		}
		call := func(ctx context.Context, req any) (any, error) {
			out, err := export(ctx, req.(R))
			if err != nil {
				return nil, statusError(err)
			}
			return out, nil
		}
		if interceptor == nil {
			return call(ctx, in)
		}
		return interceptor(ctx, in, &grpc.UnaryServerInfo{Server: srv, FullMethod: "/" + full + "/Export"}, call)
	}
	return &grpc.ServiceDesc{
		ServiceName: full, HandlerType: (*any)(nil), Metadata: file,
		Methods: []grpc.MethodDesc{{MethodName: "Export", Handler: handler}},
	}
}

// statusError keeps the code of errors that carry one, such as those of the decoder.
func statusError(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	return fault.GRPCStatus(retryable(err)).Err()
}

func (h *Handler) exportMetrics(ctx context.Context, r *metricsRequest) (*response, error) {
	if r.err != nil {
		return nil, r.err
	}
	o, err := h.pushMetrics(ctx, r.data)
	return respond(metricsResponse(o), err)
}

func (h *Handler) exportLogs(ctx context.Context, r *logsRequest) (*response, error) {
	if r.err != nil {
		return nil, r.err
	}
	o, err := h.pushLogs(ctx, r.data)
	return respond(logsResponse(o), err)
}

func (h *Handler) exportTraces(ctx context.Context, r *tracesRequest) (*response, error) {
	o, err := h.pushTraces(ctx, r.data)
	return respond(tracesResponse(o), err)
}

func respond(m message, err error) (*response, error) {
	if err != nil {
		return nil, err
	}
	data, err := m.MarshalProto()
	return &response{data}, err
}

// received is the half of the codec's contract that requests don't need: they are never sent.
type received struct{}

func (received) SizeProto() int          { return 0 }
func (received) MarshalProto([]byte) int { return 0 }

// A request keeps its error for the handler: gRPC answers an error of the codec with INTERNAL,
// which would blame us for the sender's bytes.
type metricsRequest struct {
	received
	data pmetric.Metrics
	err  error
}

func (r *metricsRequest) UnmarshalProto(data []byte) error {
	req := pmetricotlp.NewExportRequest()
	r.err = decode("metrics", protobuf, data, limits.CheckOTLPMetrics, req.UnmarshalProto, nil)
	r.data = req.Metrics()
	return nil
}

type logsRequest struct {
	received
	data plog.Logs
	err  error
}

func (r *logsRequest) UnmarshalProto(data []byte) error {
	req := plogotlp.NewExportRequest()
	r.err = decode("logs", protobuf, data, limits.CheckOTLPLogs, req.UnmarshalProto, nil)
	r.data = req.Logs()
	return nil
}

type tracesRequest struct {
	received
	data []byte
}

// UnmarshalProto copies: the codec takes its buffer back.
func (r *tracesRequest) UnmarshalProto(data []byte) error {
	r.data = slices.Clone(data)
	return nil
}

// response is an answer that is encoded already.
type response struct{ data []byte }

func (r *response) SizeProto() int              { return len(r.data) }
func (r *response) MarshalProto(dst []byte) int { return copy(dst, r.data) }
func (r *response) UnmarshalProto([]byte) error { return nil }

// TenantFromMetadata returns the tenant that a gRPC request names in its metadata, for the
// interceptor of the server: Anonymous without multitenancy, an error of class Invalid where the
// name is missing or not allowed.
func TenantFromMetadata(ctx context.Context, multitenancy bool) (string, error) {
	if !multitenancy {
		return tenant.Anonymous, nil
	}
	id := ""
	if values := metadata.ValueFromIncomingContext(ctx, tenant.Header); len(values) > 0 {
		id = values[0]
	}
	if err := tenant.Validate(id); err != nil {
		return "", fault.New(fault.Invalid, err)
	}
	return id, nil
}
