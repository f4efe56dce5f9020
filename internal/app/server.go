package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/grafana/dskit/services"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// server is the one port: every HTTP API, gRPC over HTTP/2 (h2c) and the UI. It listens from the
// start, so that a taken port is known at once, and answers 503 until everything behind it is ready.
type server struct {
	services.Service
	logger   *slog.Logger
	listener net.Listener
	http     *http.Server
	grpc     *grpc.Server
	health   *healthServer
	ready    atomic.Bool
	handler  http.Handler
	onStop   []func(context.Context) // end what Shutdown doesn't: connections that left HTTP, such as tails
}

const (
	headerTimeout = 10 * time.Second
	// drainTimeout is how long requests under way may take to finish after a stop was asked for. The
	// whole stop has 10 s.
	drainTimeout = 4 * time.Second
	maxHeader    = 64 << 10
)

// listen opens the port, or says which one is taken by what.
func listen(what, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s address %s is in use by another process", what, addr)
	}
	if err != nil {
		return nil, fmt.Errorf("%s address %s: %w", what, addr, plainNetError(err))
	}
	return l, nil
}

// plainNetError drops the words around the cause that repeat the address.
func plainNetError(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		var sys *os.SyscallError
		if errors.As(op.Err, &sys) {
			return sys.Err
		}
		return op.Err
	}
	return err
}

func newServer(addr string, grpcServer *grpc.Server, handler http.Handler, logger *slog.Logger) (*server, error) {
	l, err := listen("HTTP", addr)
	if err != nil {
		return nil, err
	}
	s := &server{logger: logger, listener: l, grpc: grpcServer, health: newHealthServer(), handler: handler}
	grpc_health_v1.RegisterHealthServer(grpcServer, s.health)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.http = &http.Server{Handler: http.HandlerFunc(s.dispatch), ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: maxHeader,
		Protocols: &protocols, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug)}
	s.Service = services.NewBasicService(nil, s.run, s.stop).WithName("server")
	return s, nil
}

// dispatch tells gRPC from HTTP by the content type, as the gRPC protocol prescribes it.
func (s *server) dispatch(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		s.grpc.ServeHTTP(w, r)
		return
	}
	s.handler.ServeHTTP(w, r)
}

func (s *server) addr() string { return s.listener.Addr().String() }

func (s *server) run(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.listener) }()
	s.health.serving(s.grpc)
	s.ready.Store(true)
	select {
	case err := <-failed:
		return fmt.Errorf("serve HTTP on %s: %w", s.addr(), err)
	case <-ctx.Done():
	}
	// New connections are refused from here on, requests under way finish.
	s.ready.Store(false)
	s.health.stop()
	drain, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	var ending sync.WaitGroup
	for _, f := range s.onStop {
		ending.Go(func() { f(drain) })
	}
	if err := s.http.Shutdown(drain); err != nil {
		s.logger.Warn("requests were still under way and are cut off", "err", err)
		_ = s.http.Close()
	}
	ending.Wait()
	<-failed
	return nil
}

// stop is for a server that never ran: its port was open all the same.
func (s *server) stop(error) error {
	_ = s.listener.Close()
	return nil
}
