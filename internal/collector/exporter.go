package collector

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces"
)

// Pusher stores what the pipelines end in. The tenant is in ctx. A nil error means that what was
// not rejected is durable. Nothing of the arguments is kept or changed.
type Pusher interface {
	PushOTLPMetrics(ctx context.Context, md pmetric.Metrics) (metrics.PushResult, error)
	PushOTLPLogs(ctx context.Context, ld plog.Logs) (logs.PushResult, error)
	PushOTLPTraces(ctx context.Context, td ptrace.Traces) (traces.PushResult, error)
}

// exporterOptions are what all `hune` exporters of one collector share.
type exporterOptions struct {
	pusher       Pusher
	logger       *slog.Logger
	multitenancy bool
	now          func() time.Time
}

var exporterType = component.MustNewType("hune")

// exporterConfig is the section of a `hune` exporter.
type exporterConfig struct {
	// Tenant owns everything that comes this way. Default: with multitenancy the one that the client
	// named in X-Scope-OrgID (the receiver needs include_metadata: true), "anonymous" without.
	Tenant string `mapstructure:"tenant"`
}

// Validate implements confmap.Validator.
func (c *exporterConfig) Validate() error {
	if c.Tenant == "" {
		return nil
	}
	return tenant.Validate(c.Tenant)
}

// newExporterFactory returns the factory of the exporter `hune`. It has no queue and no retry, on
// purpose: the call returns when the data is durable, and its error is the client's.
func newExporterFactory(o *exporterOptions) exporter.Factory {
	return exporter.NewFactory(exporterType, func() component.Config { return &exporterConfig{} },
		exporter.WithMetrics(func(_ context.Context, _ exporter.Settings, cfg component.Config) (exporter.Metrics, error) {
			return newExporter(o, cfg), nil
		}, component.StabilityLevelStable),
		exporter.WithLogs(func(_ context.Context, _ exporter.Settings, cfg component.Config) (exporter.Logs, error) {
			return newExporter(o, cfg), nil
		}, component.StabilityLevelStable),
		exporter.WithTraces(func(_ context.Context, _ exporter.Settings, cfg component.Config) (exporter.Traces, error) {
			return newExporter(o, cfg), nil
		}, component.StabilityLevelStable))
}

type hune struct {
	*exporterOptions
	tenant string

	mu     sync.Mutex
	warned map[string]time.Time // reason → when it was last logged; reasons are a fixed set
}

func newExporter(o *exporterOptions, cfg component.Config) *hune {
	return &hune{exporterOptions: o, tenant: cfg.(*exporterConfig).Tenant, warned: make(map[string]time.Time)}
}

// Start implements component.Component.
func (*hune) Start(context.Context, component.Host) error { return nil }

// Shutdown implements component.Component.
func (*hune) Shutdown(context.Context) error { return nil }

// Capabilities implements consumer.Metrics, Logs and Traces.
func (*hune) Capabilities() consumer.Capabilities { return consumer.Capabilities{MutatesData: false} }

// ConsumeMetrics implements consumer.Metrics.
func (h *hune) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	ctx, err := h.withTenant(ctx)
	if err != nil {
		return exportError(err)
	}
	r, err := h.pusher.PushOTLPMetrics(ctx, md)
	if err != nil {
		return exportError(err)
	}
	var p partial
	for _, x := range r.Rejected {
		p.add(x.Count, x.Message)
		h.warn("metrics", x.Reason, x.Message, x.Count)
	}
	return p.err(r.Samples + r.Histograms)
}

// ConsumeLogs implements consumer.Logs.
func (h *hune) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	ctx, err := h.withTenant(ctx)
	if err != nil {
		return exportError(err)
	}
	r, err := h.pusher.PushOTLPLogs(ctx, ld)
	if err != nil {
		return exportError(err)
	}
	var p partial
	for _, x := range r.Rejected {
		p.add(x.Count, x.Message)
		h.warn("logs", x.Reason, x.Message, x.Count)
	}
	return p.err(r.Entries)
}

// ConsumeTraces implements consumer.Traces.
func (h *hune) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	ctx, err := h.withTenant(ctx)
	if err != nil {
		return exportError(err)
	}
	r, err := h.pusher.PushOTLPTraces(ctx, td)
	if err != nil {
		return exportError(err)
	}
	var p partial
	for _, x := range r.Rejected {
		p.add(x.Count, x.Message)
		h.warn("traces", x.Reason, x.Message, x.Count)
	}
	return p.err(r.Spans)
}

func (h *hune) withTenant(ctx context.Context) (context.Context, error) {
	id := h.tenant
	switch {
	case id != "":
	case !h.multitenancy:
		id = tenant.Anonymous
	default:
		if values := client.FromContext(ctx).Metadata.Get(tenant.Header); len(values) > 0 {
			id = values[0]
		}
		if err := tenant.Validate(id); err != nil {
			return nil, fault.New(fault.Invalid, err)
		}
	}
	return tenant.NewContext(ctx, id), nil
}

// partial is what was rejected of one call.
type partial struct {
	count int
	first string
}

func (p *partial) add(count int, message string) {
	if p.count == 0 {
		p.first = message
	}
	p.count += count
}

// err is nil if anything was stored: the receivers of the collector have no way to report a partial
// success (the main port has), and an error would make the client send the good records again.
func (p *partial) err(stored int) error {
	if stored > 0 || p.count == 0 {
		return nil
	}
	return exportError(fault.Errorf(fault.Invalid, "all %d records were rejected: %s", p.count, p.first))
}

// warnEvery keeps a client that sends nothing but rubbish from filling the log.
const warnEvery = 10 * time.Second

func (h *hune) warn(signal, reason, message string, count int) {
	now := h.now()
	h.mu.Lock()
	due := now.Sub(h.warned[reason]) >= warnEvery
	if due {
		h.warned[reason] = now
	}
	h.mu.Unlock()
	if due {
		h.logger.Warn("records were rejected", "signal", signal, "reason", reason, "count", count, "err", message)
	}
}

// exportErr is an error as the receivers understand it: a gRPC status, which the OTLP receiver turns
// into its answers on gRPC and HTTP, and permanent or not, which the others go by.
type exportErr struct {
	status *status.Status
	cause  error // marked by consumererror.NewPermanent if it is permanent
}

func (e *exportErr) Error() string              { return e.status.Message() }
func (e *exportErr) Unwrap() error              { return e.cause }
func (e *exportErr) GRPCStatus() *status.Status { return e.status }

// throttle is how long a client waits that is refused without being told for how long.
const throttle = time.Second

func exportError(err error) error {
	if fault.Permanent(err) {
		// One code for all: the receiver would make 429, "try again", of the one for too large.
		return &exportErr{status.New(codes.InvalidArgument, err.Error()), consumererror.NewPermanent(err)}
	}
	switch class := fault.ClassOf(err); class {
	case fault.Canceled, fault.Timeout:
		return &exportErr{fault.GRPCStatus(err), err}
	case fault.RateLimited:
		if fault.RetryAfter(err) <= 0 {
			err = &fault.Error{Class: class, RetryAfter: throttle, Err: err}
		}
		return &exportErr{roundedUp(err), err}
	default:
		// Errors of ours too: the data was not at fault, so the client should keep it.
		return &exportErr{roundedUp(&fault.Error{Class: fault.Unavailable, RetryAfter: fault.RetryAfter(err), Err: err}), err}
	}
}

// roundedUp is the status with a whole number of seconds to wait: the receiver cuts fractions off
// when it writes Retry-After, and 0 would mean at once.
func roundedUp(err error) *status.Status {
	if wait := fault.RetryAfter(err); wait > 0 {
		whole := (wait + time.Second - 1).Truncate(time.Second)
		return fault.GRPCStatus(&fault.Error{Class: fault.ClassOf(err), RetryAfter: whole, Err: fmt.Errorf("%w", err)})
	}
	return fault.GRPCStatus(err)
}
