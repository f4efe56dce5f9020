package telemetry

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

// Config is the user's settings of Hune's telemetry about itself.
type Config struct {
	// Enabled sends Hune's own logs and traces into itself, under the tenant that Tenant names. Default true.
	Enabled bool `yaml:"enabled"`
	// Tenant receives them. Default "anonymous".
	Tenant string `yaml:"tenant"`
	// LogsPerSecond bounds the log lines; the rest are counted and dropped. Default 50.
	LogsPerSecond float64 `yaml:"logs_per_second"`
	// TracesPerSecond bounds the traces; the rest are not recorded. Default 5.
	TracesPerSecond float64 `yaml:"traces_per_second"`
}

// Sink receives Hune's own telemetry. Errors are counted, never logged: a log line about a failed
// log line would go round for ever.
type Sink interface {
	ConsumeLogs(ctx context.Context, ld plog.Logs) error
	ConsumeTraces(ctx context.Context, td ptrace.Traces) error
}

// Self collects the program's own log records and spans and sends them in small batches. Its queues
// are bounded; what does not fit is dropped and counted. Until Start and after Stop they are only
// queued. What a Sink logs and traces with the context that it was given is left out: telemetry about
// telemetry would go round for ever.
type Self struct {
	cfg      Config
	attrs    []attribute.KeyValue
	records  chan record
	spans    chan sdktrace.ReadOnlySpan
	dropped  *prometheus.CounterVec
	limit    *rate.Limiter
	provider *sdktrace.TracerProvider
	done     chan struct{}

	mu   sync.Mutex
	stop chan struct{} // nil while nothing is sent
}

type record struct {
	time  time.Time
	level slog.Level
	line  []byte
	trace trace.SpanContext
}

const (
	selfQueue    = 1024
	selfInterval = time.Second
	// selfTimeout bounds one call of the sink. A stop may wait for two of each kind.
	selfTimeout = time.Second
)

// NewSelf returns a collector that describes itself with attrs (service.name and the like). It runs
// nothing before Start.
func NewSelf(cfg Config, attrs []attribute.KeyValue, reg prometheus.Registerer) *Self {
	s := &Self{cfg: cfg, attrs: attrs, records: make(chan record, selfQueue), spans: make(chan sdktrace.ReadOnlySpan, selfQueue),
		done:  make(chan struct{}),
		limit: rate.NewLimiter(rate.Limit(cfg.LogsPerSecond), int(cfg.LogsPerSecond)+1),
		dropped: promauto.With(reg).NewCounterVec(prometheus.CounterOpts{Name: "hune_self_telemetry_dropped_total",
			Help: "Own log lines and spans that were dropped, by signal and reason."}, []string{"signal", "reason"}),
	}
	var sampler sdktrace.Sampler = &rateSampler{limit: rate.NewLimiter(rate.Limit(cfg.TracesPerSecond), int(cfg.TracesPerSecond)+1)}
	if !cfg.Enabled {
		sampler = sdktrace.NeverSample()
	}
	s.provider = sdktrace.NewTracerProvider(
		sdktrace.WithResource(resource.NewSchemaless(attrs...)),
		sdktrace.WithSampler(sampler),
		sdktrace.WithSpanProcessor(spanQueue{s}),
	)
	return s
}

// TracerProvider makes the spans that are sent.
func (s *Self) TracerProvider() trace.TracerProvider { return s.provider }

// Start sends to sink until Stop. It must be called at most once.
func (s *Self) Start(sink Sink) {
	stop := make(chan struct{})
	s.mu.Lock()
	s.stop = stop
	s.mu.Unlock()
	go s.run(stop, sink)
}

// Stop sends what is queued, for as long as ctx allows, and ends. It may be called without Start, and
// again.
func (s *Self) Stop(ctx context.Context) error {
	err := s.provider.Shutdown(ctx)
	s.mu.Lock()
	stop := s.stop
	s.stop = nil
	s.mu.Unlock()
	if stop == nil {
		return err
	}
	close(stop)
	select {
	case <-s.done:
		return err
	case <-ctx.Done():
		return errors.Join(err, context.Cause(ctx))
	}
}

func (s *Self) run(stop <-chan struct{}, sink Sink) {
	defer close(s.done)
	ticker := time.NewTicker(selfInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.send(sink)
		case <-stop:
			s.send(sink)
			return
		}
	}
}

type ownKey struct{}

// own reports whether ctx is that of a call to the sink.
func own(ctx context.Context) bool { return ctx.Value(ownKey{}) != nil }

func (s *Self) send(sink Sink) {
	s.call("logs", len(s.records), func(ctx context.Context, n int) error { return sink.ConsumeLogs(ctx, s.takeLogs(n)) })
	s.call("traces", len(s.spans), func(ctx context.Context, n int) error { return sink.ConsumeTraces(ctx, s.takeSpans(n)) })
}

// call sends the n oldest of a queue.
func (s *Self) call(signal string, n int, consume func(ctx context.Context, n int) error) {
	if n == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), ownKey{}, true), selfTimeout)
	defer cancel()
	if err := consume(ctx, n); err != nil {
		s.dropped.WithLabelValues(signal, "refused").Add(float64(n))
	}
}

// takeLogs moves n records, which must be there, from the queue to one batch.
func (s *Self) takeLogs(n int) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	putAttributes(rl.Resource().Attributes(), s.attrs)
	out := rl.ScopeLogs().AppendEmpty().LogRecords()
	for range n {
		r := <-s.records
		lr := out.AppendEmpty()
		lr.SetTimestamp(pcommon.NewTimestampFromTime(r.time))
		lr.SetObservedTimestamp(lr.Timestamp())
		lr.SetSeverityText(r.level.String())
		lr.SetSeverityNumber(severity(r.level))
		lr.Body().SetStr(string(r.line))
		if r.trace.IsValid() {
			lr.SetTraceID(pcommon.TraceID(r.trace.TraceID()))
			lr.SetSpanID(pcommon.SpanID(r.trace.SpanID()))
		}
	}
	return ld
}

func severity(l slog.Level) plog.SeverityNumber {
	switch {
	case l >= slog.LevelError:
		return plog.SeverityNumberError
	case l >= slog.LevelWarn:
		return plog.SeverityNumberWarn
	case l >= slog.LevelInfo:
		return plog.SeverityNumberInfo
	}
	return plog.SeverityNumberDebug
}

// Handler returns a log handler whose records are sent as logfmt lines.
func (s *Self) Handler() slog.Handler { return newSelfHandler(s) }

// selfHandler formats records with a text handler of its own into a buffer that it owns.
type selfHandler struct {
	self  *Self
	mu    *sync.Mutex
	buf   *bytes.Buffer
	inner slog.Handler
}

func newSelfHandler(s *Self) *selfHandler {
	buf := new(bytes.Buffer)
	return &selfHandler{self: s, mu: new(sync.Mutex), buf: buf, inner: slog.NewTextHandler(buf, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{} // the entry has a timestamp of its own
			}
			return a
		}})}
}

func (h *selfHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

func (h *selfHandler) Handle(ctx context.Context, r slog.Record) error {
	if own(ctx) {
		return nil
	}
	if !h.self.limit.Allow() {
		h.self.dropped.WithLabelValues("logs", "rate_limited").Inc()
		return nil
	}
	h.mu.Lock()
	h.buf.Reset()
	err := h.inner.Handle(ctx, r)
	line := bytes.Clone(bytes.TrimSuffix(h.buf.Bytes(), []byte("\n")))
	h.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case h.self.records <- record{r.Time, r.Level, line, trace.SpanContextFromContext(ctx)}:
	default:
		h.self.dropped.WithLabelValues("logs", "queue_full").Inc()
	}
	return nil
}

func (h *selfHandler) WithAttrs(as []slog.Attr) slog.Handler {
	c := *h
	c.inner = h.inner.WithAttrs(as)
	return &c
}

func (h *selfHandler) WithGroup(name string) slog.Handler {
	c := *h
	c.inner = h.inner.WithGroup(name)
	return &c
}

// rateSampler starts at most so many traces a second; spans inside a recorded trace are kept.
type rateSampler struct{ limit *rate.Limiter }

func (r *rateSampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	parent := trace.SpanContextFromContext(p.ParentContext)
	d := sdktrace.Drop
	switch {
	case own(p.ParentContext):
	case parent.IsSampled(), !parent.IsValid() && r.limit.Allow():
		d = sdktrace.RecordAndSample
	}
	return sdktrace.SamplingResult{Decision: d, Tracestate: parent.TraceState()}
}

func (r *rateSampler) Description() string { return "rate" }

// spanQueue is the sdktrace.SpanProcessor that keeps finished spans for the next batch.
type spanQueue struct{ self *Self }

func (q spanQueue) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

func (q spanQueue) OnEnd(span sdktrace.ReadOnlySpan) {
	if !span.SpanContext().IsSampled() {
		return
	}
	select {
	case q.self.spans <- span:
	default:
		q.self.dropped.WithLabelValues("traces", "queue_full").Inc()
	}
}

func (q spanQueue) Shutdown(context.Context) error   { return nil }
func (q spanQueue) ForceFlush(context.Context) error { return nil }

// takeSpans moves n spans, which must be there, from the queue to one batch of OTLP.
func (s *Self) takeSpans(n int) ptrace.Traces {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	putAttributes(rs.Resource().Attributes(), s.attrs)
	out := rs.ScopeSpans().AppendEmpty()
	out.Scope().SetName("github.com/hune-io/hune")
	for range n {
		putSpan(out.Spans().AppendEmpty(), <-s.spans)
	}
	return td
}

func putSpan(out ptrace.Span, s sdktrace.ReadOnlySpan) {
	out.SetTraceID(pcommon.TraceID(s.SpanContext().TraceID()))
	out.SetSpanID(pcommon.SpanID(s.SpanContext().SpanID()))
	if s.Parent().IsValid() {
		out.SetParentSpanID(pcommon.SpanID(s.Parent().SpanID()))
	}
	out.SetName(s.Name())
	out.SetKind(ptrace.SpanKind(s.SpanKind())) // the same numbers
	out.SetStartTimestamp(pcommon.NewTimestampFromTime(s.StartTime()))
	out.SetEndTimestamp(pcommon.NewTimestampFromTime(s.EndTime()))
	putAttributes(out.Attributes(), s.Attributes())
	switch s.Status().Code {
	case codes.Error:
		out.Status().SetCode(ptrace.StatusCodeError)
		out.Status().SetMessage(s.Status().Description)
	case codes.Ok:
		out.Status().SetCode(ptrace.StatusCodeOk)
	}
	for _, ev := range s.Events() {
		e := out.Events().AppendEmpty()
		e.SetName(ev.Name)
		e.SetTimestamp(pcommon.NewTimestampFromTime(ev.Time))
		putAttributes(e.Attributes(), ev.Attributes)
	}
}

func putAttributes(m pcommon.Map, attrs []attribute.KeyValue) {
	for _, a := range attrs {
		switch a.Value.Type() {
		case attribute.INT64:
			m.PutInt(string(a.Key), a.Value.AsInt64())
		case attribute.FLOAT64:
			m.PutDouble(string(a.Key), a.Value.AsFloat64())
		case attribute.BOOL:
			m.PutBool(string(a.Key), a.Value.AsBool())
		default:
			m.PutStr(string(a.Key), a.Value.Emit())
		}
	}
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{Enabled: true, Tenant: "anonymous", LogsPerSecond: 50, TracesPerSecond: 5}
}

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	if c.LogsPerSecond < 0 || c.TracesPerSecond < 0 {
		return errors.New("logs_per_second and traces_per_second must not be negative")
	}
	return nil
}
