package app

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// healthServer answers grpc.health.v1.Health: for the process as a whole (the empty name) and for each
// gRPC service on the main port. It serves from when requests are answered until a stop begins.
type healthServer struct {
	*health.Server
	ctx    context.Context // ends with the process: watches would hold up its stop
	cancel context.CancelFunc
}

func newHealthServer() *healthServer {
	h := &healthServer{Server: health.NewServer()}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	return h
}

// serving says that everything registered with s is answered.
func (h *healthServer) serving(s *grpc.Server) {
	h.SetServingStatus("", grpc_health_v1.HealthCheckResponse_SERVING)
	for name := range s.GetServiceInfo() {
		h.SetServingStatus(name, grpc_health_v1.HealthCheckResponse_SERVING)
	}
}

// stop answers NOT_SERVING from here on and ends the watches.
func (h *healthServer) stop() {
	h.Shutdown()
	h.cancel()
}

// Watch implements grpc_health_v1.HealthServer.
func (h *healthServer) Watch(req *grpc_health_v1.HealthCheckRequest, stream grpc_health_v1.Health_WatchServer) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	defer context.AfterFunc(h.ctx, cancel)()
	return h.Server.Watch(req, watchStream{stream, ctx})
}

type watchStream struct {
	grpc_health_v1.Health_WatchServer
	ctx context.Context
}

func (s watchStream) Context() context.Context { return s.ctx }
