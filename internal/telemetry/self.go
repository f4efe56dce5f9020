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

// Self collects the program's own log records and spans and sends them in small batches. Its queue
// is bounded; what does not fit is dropped and counted. Until Start and after Stop records are kept
// in the queue only.
type Self struct {
	cfg      Config
	attrs    []attribute.KeyValue
	records  chan record
	dropped  *prometheus.CounterVec
	limit    *rate.Limiter
	provider *sdktrace.TracerProvider
	exporter *spanExporter

	mu   sync.Mutex
	sink Sink
	stop context.CancelFunc
	done chan struct{}
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
)

// NewSelf returns a collector that describes itself with attrs (service.name and the like).
func NewSelf(cfg Config, attrs []attribute.KeyValue, reg prometheus.Registerer) *Self {
	s := &Self{cfg: cfg, attrs: attrs, records: make(chan record, selfQueue), done: make(chan struct{}),
		limit: rate.NewLimiter(rate.Limit(cfg.LogsPerSecond), int(cfg.LogsPerSecond)+1),
		dropped: promauto.With(reg).NewCounterVec(prometheus.CounterOpts{Name: "hune_self_telemetry_dropped_total",
			Help: "Own log lines and spans that were dropped, by signal and reason."}, []string{"signal", "reason"}),
	}
	s.exporter = &spanExporter{self: s}
	s.provider = sdktrace.NewTracerProvider(
		sdktrace.WithResource(resource.NewSchemaless(attrs...)),
		sdktrace.WithSampler(&rateSampler{limit: rate.NewLimiter(rate.Limit(cfg.TracesPerSecond), int(cfg.TracesPerSecond)+1)}),
		sdktrace.WithBatcher(s.exporter, sdktrace.WithMaxQueueSize(selfQueue), sdktrace.WithBatchTimeout(selfInterval)),
	)
	return s
}

// TracerProvider makes the spans that are sent.
func (s *Self) TracerProvider() trace.TracerProvider { return s.provider }

// Start sends to sink until Stop.
func (s *Self) Start(sink Sink) {
	ctx, cancel := context.WithCancel(context.Background())
	s.mu.Lock()
	s.sink, s.stop = sink, cancel
	s.mu.Unlock()
	go s.run(ctx, sink)
}

// Stop sends what is queued, for as long as ctx allows, and ends. It may be called without Start.
func (s *Self) Stop(ctx context.Context) error {
	err := s.provider.Shutdown(ctx)
	s.mu.Lock()
	stop := s.stop
	s.sink, s.stop = nil, nil
	s.mu.Unlock()
	if stop != nil {
		stop()
		<-s.done
	}
	return err
}

func (s *Self) run(ctx context.Context, sink Sink) {
	defer close(s.done)
	ticker := time.NewTicker(selfInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.send(ctx, sink)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			s.send(last, sink)
			return
		}
	}
}

// send empties the queue into one batch.
func (s *Self) send(ctx context.Context, sink Sink) {
	n := len(s.records)
	if n == 0 {
		return
	}
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
	if err := sink.ConsumeLogs(ctx, ld); err != nil {
		s.dropped.WithLabelValues("logs", "refused").Add(float64(n))
	}
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
	if parent.IsSampled() || (!parent.IsValid() && r.limit.Allow()) {
		d = sdktrace.RecordAndSample
	}
	return sdktrace.SamplingResult{Decision: d, Tracestate: parent.TraceState()}
}

func (r *rateSampler) Description() string { return "rate" }

// spanExporter hands finished spans to the sink as OTLP.
type spanExporter struct{ self *Self }

func (e *spanExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	e.self.mu.Lock()
	sink := e.self.sink
	e.self.mu.Unlock()
	if sink == nil || len(spans) == 0 {
		return nil
	}
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	putAttributes(rs.Resource().Attributes(), e.self.attrs)
	out := rs.ScopeSpans().AppendEmpty()
	out.Scope().SetName("github.com/hune-io/hune")
	for _, s := range spans {
		putSpan(out.Spans().AppendEmpty(), s)
	}
	if err := sink.ConsumeTraces(ctx, td); err != nil {
		e.self.dropped.WithLabelValues("traces", "refused").Add(float64(len(spans)))
	}
	return nil
}

func (e *spanExporter) Shutdown(context.Context) error { return nil }

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
