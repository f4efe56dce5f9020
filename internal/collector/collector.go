// Package collector embeds the OpenTelemetry Collector: its receivers and processors, with Hune as
// one of its exporters.
//
// The default pipelines receive OTLP over gRPC and HTTP and read the metrics of the host. They have
// no asynchronous step, so a client that is told "success" knows that its data is in the write-ahead
// log, and a refusal of the distributor (a rate, a full log) reaches the client as 429, 503 or their
// gRPC twins with the time to wait. A configuration of the user's own replaces them; docs/collector.md
// says which components keep that promise and which give it up.
//
// The collector opens no port of its own and writes no log of its own: see telemetry.go. It doesn't
// handle signals either, which is why the service is built here and not by otelcol.Collector.
package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/prometheus/client_golang/prometheus"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/service"

	"github.com/hune-io/hune/internal/tenant"
)

// Options are what a Collector needs.
type Options struct {
	Config       Config
	Pusher       Pusher
	Logger       *slog.Logger
	Registerer   prometheus.Registerer // for the collector's own metrics, which are off by default; may be nil
	OTLPGRPC     string                // address of the OTLP gRPC receiver of the default pipelines, "" for none
	OTLPHTTP     string                // the same over HTTP
	Multitenancy bool                  // the tenant comes from the client
	Tenant       string                // of host metrics; "" means tenant.Anonymous
	Version      string
}

// Collector is the role as a service. It is running once every receiver listens, and terminated
// once every pipeline is drained.
type Collector struct {
	services.Service

	cfg       *otelcol.Config // nil: nothing to run
	factories otelcol.Factories
	version   string
	logger    *slog.Logger

	service *service.Service
	fatal   chan error
}

// stopTimeout is how long requests under way may take once a stop was asked for. The whole program
// has 10 s.
const stopTimeout = 5 * time.Second

// New reads and checks the configuration. Nothing is opened until the service starts.
func New(o Options) (*Collector, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Tenant == "" {
		o.Tenant = tenant.Anonymous
	}
	c := &Collector{version: o.Version, logger: o.Logger, fatal: make(chan error)}
	var err error
	c.factories, err = factories(&exporterOptions{pusher: o.Pusher, logger: o.Logger, multitenancy: o.Multitenancy, now: time.Now},
		newTelemetry(o.Logger, o.Registerer))
	if err != nil {
		return nil, fmt.Errorf("collector: %w", err)
	}
	text := defaultConfig(&o)
	if o.Config.custom() {
		if text, err = o.Config.text(); err != nil {
			return nil, fmt.Errorf("collector: %w", err)
		}
	}
	if text != "" {
		if c.cfg, err = load(context.Background(), text, c.factories); err != nil {
			return nil, fmt.Errorf("collector: %w", err)
		}
	}
	c.Service = services.NewBasicService(c.start, c.run, c.stop).WithName("collector")
	return c, nil
}

func (c *Collector) start(ctx context.Context) error {
	if c.cfg == nil {
		return nil
	}
	s, err := service.New(ctx, service.Settings{
		BuildInfo:          component.BuildInfo{Command: "hune", Description: "Hune", Version: c.version},
		ReceiversConfigs:   c.cfg.Receivers,
		ReceiversFactories: c.factories.Receivers, ProcessorsConfigs: c.cfg.Processors,
		ProcessorsFactories: c.factories.Processors, ExportersConfigs: c.cfg.Exporters,
		ExportersFactories: c.factories.Exporters, ConnectorsConfigs: c.cfg.Connectors,
		ConnectorsFactories: c.factories.Connectors, ExtensionsConfigs: c.cfg.Extensions,
		ExtensionsFactories: c.factories.Extensions,
		AsyncErrorChannel:   c.fatal,
		TelemetryFactory:    c.factories.Telemetry,
	}, c.cfg.Service)
	if err != nil {
		return fmt.Errorf("collector: %w", plain(err))
	}
	if err := s.Start(ctx); err != nil {
		// What has started must be stopped again, ports included.
		stopErr := c.shutdown(s)
		return errors.Join(startError(err), stopErr)
	}
	c.service = s
	return nil
}

// startError says in one line why a component did not start.
func startError(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("collector: address %s is in use by another process", op.Addr)
		}
		var sys *os.SyscallError
		if errors.As(err, &sys) {
			return fmt.Errorf("collector: listen on %s: %w", op.Addr, sys.Err)
		}
	}
	return fmt.Errorf("collector: %w", plain(err))
}

func (c *Collector) run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-c.fatal:
		return fmt.Errorf("collector: %w", plain(err))
	}
}

func (c *Collector) stop(error) error {
	if c.service == nil {
		return nil
	}
	return c.shutdown(c.service)
}

// shutdown drains the pipelines. Components are asked to keep to the deadline, but not all of them
// do (the gRPC server waits for ever for a client that does not finish), so it is kept here too.
func (c *Collector) shutdown(s *service.Service) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	done := make(chan error, 1)
	stopped := make(chan struct{})
	defer close(stopped)
	// Components report fatal errors to a channel that nobody reads any more.
	go func() {
		for {
			select {
			case err := <-c.fatal:
				c.logger.Warn("a component failed while stopping", "err", err)
			case <-stopped:
				return
			}
		}
	}()
	go func() { done <- s.Shutdown(ctx) }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("stop collector: %w", plain(err))
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop collector: requests were still under way after %s", stopTimeout)
	}
}
