package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

var zeroTime time.Time

// memorySink keeps what it gets, after doing what the test wants.
type memorySink struct {
	do func(ctx context.Context) error // optional

	mu     sync.Mutex
	logs   []plog.Logs
	traces []ptrace.Traces
}

func (m *memorySink) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	if m.do != nil {
		if err := m.do(ctx); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.logs = append(m.logs, ld)
	return nil
}

func (m *memorySink) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	if m.do != nil {
		if err := m.do(ctx); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.traces = append(m.traces, td)
	return nil
}

func (m *memorySink) counts() (lines, spans int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, ld := range m.logs {
		lines += ld.LogRecordCount()
	}
	for _, td := range m.traces {
		spans += td.SpanCount()
	}
	return lines, spans
}

const plenty = 1e6

func newTestSelf(change func(*Config)) *Self {
	cfg := Config{Enabled: true, LogsPerSecond: plenty, TracesPerSecond: plenty}
	if change != nil {
		change(&cfg)
	}
	return NewSelf(cfg, []attribute.KeyValue{attribute.String("service.name", "hune"), attribute.Int("pid", 7)}, prometheus.NewRegistry())
}

func (s *Self) droppedBy(signal, reason string) int {
	return int(testutil.ToFloat64(s.dropped.WithLabelValues(signal, reason)))
}

func (s *Self) makeSpan(ctx context.Context, name string) {
	_, span := s.TracerProvider().Tracer("test").Start(ctx, name)
	span.End()
}

// tick lets the sender run once.
func tick() {
	time.Sleep(selfInterval)
	synctest.Wait()
}

func TestSelfSendsLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, sink := newTestSelf(nil), &memorySink{}
		log := slog.New(s.Handler())
		log.Info("before the start")
		s.Start(sink)
		ctx, span := s.TracerProvider().Tracer("test").Start(t.Context(), "op")
		at := time.Now()
		log.With("role", "store").WithGroup("block").ErrorContext(ctx, "it is lost", "id", 1)
		log.Warn("careful")
		log.Debug("not wanted")
		tick()
		require.NoError(t, s.Stop(t.Context()))

		require.Len(t, sink.logs, 1, "one batch")
		rl := sink.logs[0].ResourceLogs().At(0)
		require.Equal(t, map[string]any{"service.name": "hune", "pid": int64(7)}, rl.Resource().Attributes().AsRaw())
		var got []string
		for _, r := range rl.ScopeLogs().At(0).LogRecords().All() {
			got = append(got, fmt.Sprintf("%d %s|%s", r.SeverityNumber(), r.SeverityText(), r.Body().Str()))
		}
		require.Equal(t, []string{
			`9 INFO|level=INFO msg="before the start"`,
			`17 ERROR|level=ERROR msg="it is lost" role=store block.id=1`,
			`13 WARN|level=WARN msg=careful`,
		}, got)
		inSpan, outside := rl.ScopeLogs().At(0).LogRecords().At(1), rl.ScopeLogs().At(0).LogRecords().At(2)
		require.Equal(t, pcommon.TraceID(span.SpanContext().TraceID()), inSpan.TraceID())
		require.Equal(t, pcommon.SpanID(span.SpanContext().SpanID()), inSpan.SpanID())
		require.True(t, at.Equal(inSpan.Timestamp().AsTime()))
		require.True(t, outside.TraceID().IsEmpty())
	})
}

func TestSelfBoundsTheRateOfLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, sink := newTestSelf(func(c *Config) { c.LogsPerSecond = 2 }), &memorySink{}
		log := slog.New(s.Handler())
		s.Start(sink)
		for range 10 {
			log.Info("again")
		}
		tick()
		lines, _ := sink.counts()
		require.Equal(t, 3, lines, "the rate and one")
		require.Equal(t, 7, s.droppedBy("logs", "rate_limited"))
		for range 10 {
			log.Info("again")
		}
		require.NoError(t, s.Stop(t.Context()))
		lines, _ = sink.counts()
		require.Equal(t, 5, lines, "two more after a second")
		require.Equal(t, 15, s.droppedBy("logs", "rate_limited"))
	})
}

func TestSelfCountsWhatDoesNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, sink := newTestSelf(nil), &memorySink{}
		log := slog.New(s.Handler())
		for range selfQueue + 5 {
			log.Info("full")
			s.makeSpan(t.Context(), "full")
		}
		require.Equal(t, 5, s.droppedBy("logs", "queue_full"))
		require.Equal(t, 5, s.droppedBy("traces", "queue_full"))
		s.Start(sink)
		tick()
		lines, spans := sink.counts()
		require.Equal(t, []int{selfQueue, selfQueue}, []int{lines, spans})
		require.NoError(t, s.Stop(t.Context()))
	})
}

func TestSelfCountsWhatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestSelf(nil)
		refuse := true
		sink := &memorySink{do: func(context.Context) error {
			if refuse {
				return errors.New("rate limit of the tenant")
			}
			return nil
		}}
		s.Start(sink)
		slog.New(s.Handler()).Info("one")
		slog.New(s.Handler()).Info("two")
		s.makeSpan(t.Context(), "three")
		tick()
		require.Equal(t, 2, s.droppedBy("logs", "refused"))
		require.Equal(t, 1, s.droppedBy("traces", "refused"))
		refuse = false
		tick()
		lines, spans := sink.counts()
		require.Equal(t, []int{0, 0}, []int{lines, spans}, "neither sent again nor reported about")
		require.NoError(t, s.Stop(t.Context()))
	})
}

// The sink is the program itself: it logs and makes spans on the way.
func TestSelfIsNotRecursive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestSelf(nil)
		sink := &memorySink{do: func(ctx context.Context) error {
			slog.New(s.Handler()).WarnContext(ctx, "slow write")
			ctx, span := s.TracerProvider().Tracer("test").Start(ctx, "write")
			defer span.End()
			s.makeSpan(ctx, "inner")
			return nil
		}}
		s.Start(sink)
		slog.New(s.Handler()).Info("first")
		s.makeSpan(t.Context(), "first")
		for range 10 {
			tick()
		}
		require.NoError(t, s.Stop(t.Context()))
		lines, spans := sink.counts()
		require.Equal(t, []int{1, 1}, []int{lines, spans})
	})
}

func TestSelfStop(t *testing.T) {
	t.Run("sends what is queued", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, sink := newTestSelf(nil), &memorySink{}
			s.Start(sink)
			slog.New(s.Handler()).Info("last words")
			s.makeSpan(t.Context(), "last")
			started := time.Now()
			require.NoError(t, s.Stop(t.Context()))
			require.Zero(t, time.Since(started), "without waiting for the next batch")
			lines, spans := sink.counts()
			require.Equal(t, []int{1, 1}, []int{lines, spans})
			require.NoError(t, s.Stop(t.Context()), "twice")
			s.makeSpan(t.Context(), "too late")
			require.Empty(t, s.spans)
		})
	})
	t.Run("without a start", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newTestSelf(nil)
			slog.New(s.Handler()).Info("kept")
			require.NoError(t, s.Stop(t.Context()))
			require.Len(t, s.records, 1)
		})
	})
	t.Run("a call gets a second", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newTestSelf(nil)
			s.Start(&memorySink{do: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }})
			slog.New(s.Handler()).Info("stuck")
			started := time.Now()
			require.NoError(t, s.Stop(t.Context()))
			require.Equal(t, selfTimeout, time.Since(started))
			require.Equal(t, 1, s.droppedBy("logs", "refused"))
		})
	})
	t.Run("no longer than its context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, release := newTestSelf(nil), make(chan struct{})
			s.Start(&memorySink{do: func(context.Context) error { <-release; return nil }})
			slog.New(s.Handler()).Info("stuck")
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			require.ErrorIs(t, s.Stop(ctx), context.DeadlineExceeded)
			close(release)
			<-s.done
		})
	})
}

func TestSelfDisabledRecordsNothing(t *testing.T) {
	s := newTestSelf(func(c *Config) { c.Enabled = false })
	s.makeSpan(t.Context(), "unseen")
	require.Empty(t, s.spans)
	require.NoError(t, s.Stop(t.Context()))
}

func TestRateSampler(t *testing.T) {
	parent := func(flags trace.TraceFlags) context.Context {
		return trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: flags}))
	}
	for _, c := range []struct {
		name  string
		ctx   context.Context
		burst int
		want  sdktrace.SamplingDecision
	}{
		{"root within the rate", t.Context(), 1, sdktrace.RecordAndSample},
		{"root above the rate", t.Context(), 0, sdktrace.Drop},
		{"inside a recorded trace, above the rate", parent(trace.FlagsSampled), 0, sdktrace.RecordAndSample},
		{"inside a trace that isn't recorded", parent(0), 1, sdktrace.Drop},
		{"in a call of the sink", context.WithValue(t.Context(), ownKey{}, true), 1, sdktrace.Drop},
	} {
		r := &rateSampler{limit: rate.NewLimiter(0, c.burst)}
		require.Equal(t, c.want, r.ShouldSample(sdktrace.SamplingParameters{ParentContext: c.ctx}).Decision, c.name)
	}
}

func TestPutSpan(t *testing.T) {
	start := time.Date(2026, 3, 1, 10, 0, 0, 5, time.UTC)
	id := func(n byte) trace.SpanContext {
		return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 2}, SpanID: trace.SpanID{n}, TraceFlags: trace.FlagsSampled})
	}
	stub := tracetest.SpanStub{
		Name: "GET /ready", SpanContext: id(3), Parent: id(4), SpanKind: trace.SpanKindServer, StartTime: start, EndTime: start.Add(time.Second),
		Attributes: []attribute.KeyValue{attribute.String("s", "x"), attribute.Int("i", 1), attribute.Float64("f", 1.5), attribute.Bool("b", true),
			attribute.StringSlice("list", []string{"a", "b"})},
		Events: []sdktrace.Event{{Name: "retry", Time: start.Add(time.Millisecond), Attributes: []attribute.KeyValue{attribute.Int("n", 2)}}},
		Status: sdktrace.Status{Code: codes.Error, Description: "broken"},
	}
	out := ptrace.NewSpan()
	putSpan(out, stub.Snapshot())
	require.Equal(t, pcommon.TraceID{1, 2}, out.TraceID())
	require.Equal(t, pcommon.SpanID{3}, out.SpanID())
	require.Equal(t, pcommon.SpanID{4}, out.ParentSpanID())
	require.Equal(t, "GET /ready", out.Name())
	require.Equal(t, start, out.StartTimestamp().AsTime())
	require.Equal(t, start.Add(time.Second), out.EndTimestamp().AsTime())
	require.Equal(t, map[string]any{"s": "x", "i": int64(1), "f": 1.5, "b": true, "list": `["a","b"]`}, out.Attributes().AsRaw())
	require.Equal(t, ptrace.StatusCodeError, out.Status().Code())
	require.Equal(t, "broken", out.Status().Message())
	require.Equal(t, 1, out.Events().Len())
	require.Equal(t, "retry", out.Events().At(0).Name())
	require.Equal(t, map[string]any{"n": int64(2)}, out.Events().At(0).Attributes().AsRaw())

	kinds := map[trace.SpanKind]ptrace.SpanKind{trace.SpanKindInternal: ptrace.SpanKindInternal, trace.SpanKindServer: ptrace.SpanKindServer,
		trace.SpanKindClient: ptrace.SpanKindClient, trace.SpanKindProducer: ptrace.SpanKindProducer, trace.SpanKindConsumer: ptrace.SpanKindConsumer}
	for from, want := range kinds {
		root := ptrace.NewSpan()
		putSpan(root, tracetest.SpanStub{SpanContext: id(3), SpanKind: from, Status: sdktrace.Status{Code: codes.Ok}}.Snapshot())
		require.Equal(t, want, root.Kind())
		require.True(t, root.ParentSpanID().IsEmpty())
		require.Equal(t, ptrace.StatusCodeOk, root.Status().Code())
	}
}

func TestConfig(t *testing.T) {
	require.NoError(t, DefaultConfig().Validate())
	require.NoError(t, Config{}.Validate())
	require.Error(t, Config{LogsPerSecond: -1}.Validate())
	require.Error(t, Config{TracesPerSecond: -1}.Validate())
}

func TestBuild(t *testing.T) {
	b := Build()
	require.NotEmpty(t, b.Version)
	require.NotEmpty(t, b.Revision)
	require.Contains(t, b.String(), b.Version)
	require.Contains(t, b.String(), b.GoVersion)
}
