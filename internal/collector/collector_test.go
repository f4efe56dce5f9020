package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.yaml.in/yaml/v3"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/freeport"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces"
)

// sink is a Pusher whose answers a test decides.
type sink struct {
	mu      sync.Mutex
	tenants []string
	spans   int
	lines   []string
	metrics chan pmetric.Metrics // nil: dropped
	entered chan struct{}        // gets a value at the start of each push of logs, if not nil
	release chan struct{}        // a push of logs waits for it, if not nil
	err     error
	reject  int
}

func (s *sink) note(ctx context.Context) error {
	id, err := tenant.FromContext(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tenants = append(s.tenants, id)
	return s.err
}

func (s *sink) PushOTLPMetrics(ctx context.Context, md pmetric.Metrics) (metrics.PushResult, error) {
	if s.metrics != nil {
		select {
		case s.metrics <- md:
		default:
		}
	}
	return metrics.PushResult{Samples: md.DataPointCount()}, s.note(ctx)
}

func (s *sink) PushOTLPLogs(ctx context.Context, ld plog.Logs) (logs.PushResult, error) {
	if s.entered != nil {
		s.entered <- struct{}{}
	}
	if s.release != nil {
		<-s.release
	}
	if err := s.note(ctx); err != nil {
		return logs.PushResult{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := logs.PushResult{Entries: ld.LogRecordCount() - s.reject}
	if s.reject > 0 {
		r.Rejected = []logs.Rejection{{Reason: "line_too_long", Message: "max entry size exceeded", Count: s.reject}}
	}
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				s.lines = append(s.lines, lr.Body().AsString())
			}
		}
	}
	return r, nil
}

func (s *sink) PushOTLPTraces(ctx context.Context, td ptrace.Traces) (traces.PushResult, error) {
	s.mu.Lock()
	s.spans += td.SpanCount()
	s.mu.Unlock()
	return traces.PushResult{Spans: td.SpanCount()}, s.note(ctx)
}

// freeAddr returns an address that nobody listens on: the receivers have no way to tell which port they got for port 0.
func freeAddr(t testing.TB) string {
	t.Helper()
	addr, err := freeport.Take()
	require.NoError(t, err)
	return addr
}

func config(t testing.TB, text string) Config {
	t.Helper()
	c := DefaultConfig()
	dec := yaml.NewDecoder(strings.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&c); !errors.Is(err, io.EOF) {
		require.NoError(t, err)
	}
	return c
}

func run(t testing.TB, o Options) *Collector {
	t.Helper()
	c, err := New(o)
	require.NoError(t, err)
	require.NoError(t, services.StartAndAwaitRunning(t.Context(), c))
	t.Cleanup(func() { require.NoError(t, services.StopAndAwaitTerminated(context.Background(), c)) })
	return c
}

// quiet is the default pipelines without the host.
func quiet() Config {
	c := DefaultConfig()
	c.HostMetrics = false
	return c
}

func dial(t testing.TB, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return conn
}

func logRequest(lines ...string) plogotlp.ExportRequest {
	req := plogotlp.NewExportRequest()
	sl := req.Logs().ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty()
	for _, line := range lines {
		sl.LogRecords().AppendEmpty().Body().SetStr(line)
	}
	return req
}

func postLogs(t testing.TB, addr string, req plogotlp.ExportRequest, headers ...string) (*http.Response, string) {
	t.Helper()
	data, err := req.MarshalProto()
	require.NoError(t, err)
	return post(t, addr, "/v1/logs", "application/x-protobuf", data, headers...)
}

func post(t testing.TB, addr, path, contentType string, data []byte, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+path, bytes.NewReader(data))
	require.NoError(t, err)
	r.Header.Set("Content-Type", contentType)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

// A client must not hear of success before the pusher has returned.
func TestSuccessMeansDurable(t *testing.T) {
	s := &sink{entered: make(chan struct{}), release: make(chan struct{})}
	grpcAddr, httpAddr := freeAddr(t), freeAddr(t)
	run(t, Options{Config: quiet(), Pusher: s, OTLPGRPC: grpcAddr, OTLPHTTP: httpAddr})
	send := map[string]func() error{
		"gRPC": func() error {
			_, err := plogotlp.NewGRPCClient(dial(t, grpcAddr)).Export(t.Context(), logRequest("a"))
			return err
		},
		"HTTP": func() error {
			resp, body := postLogs(t, httpAddr, logRequest("b"))
			if resp.StatusCode != 200 {
				return fmt.Errorf("%s: %s", resp.Status, body)
			}
			return nil
		},
	}
	for name, do := range send {
		answer := make(chan error, 1)
		go func() { answer <- do() }()
		<-s.entered
		select {
		case err := <-answer:
			t.Fatalf("%s answered %v while the push was under way", name, err)
		default:
		}
		s.release <- struct{}{}
		require.NoError(t, <-answer, name)
	}
	require.ElementsMatch(t, []string{"a", "b"}, s.lines)
	require.Equal(t, []string{"anonymous", "anonymous"}, s.tenants)
}

func TestErrorsReachTheClient(t *testing.T) {
	s := &sink{}
	grpcAddr, httpAddr := freeAddr(t), freeAddr(t)
	run(t, Options{Config: quiet(), Pusher: s, OTLPGRPC: grpcAddr, OTLPHTTP: httpAddr})
	conn := dial(t, grpcAddr)
	for name, c := range map[string]struct {
		err        error
		code       codes.Code
		retry      time.Duration
		status     int
		retryAfter string
	}{
		"rate":          {&fault.Error{Class: fault.RateLimited, RetryAfter: 1200 * time.Millisecond, Err: errors.New("slow down")}, codes.ResourceExhausted, 2 * time.Second, 429, "2"},
		"rate, no time": {fault.Errorf(fault.RateLimited, "slow down"), codes.ResourceExhausted, time.Second, 429, "1"},
		"full":          {&fault.Error{Class: fault.Unavailable, RetryAfter: 100 * time.Millisecond, Err: errors.New("log is full")}, codes.Unavailable, time.Second, 503, "1"},
		"internal":      {errors.New("disk on fire"), codes.Unavailable, 0, 503, ""},
		"invalid":       {fault.Invalidf("wrong"), codes.InvalidArgument, 0, 400, ""},
		"too large":     {fault.Errorf(fault.TooLarge, "too large"), codes.InvalidArgument, 0, 400, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s.err = c.err
			_, err := plogotlp.NewGRPCClient(conn).Export(t.Context(), logRequest("x"))
			st := status.Convert(err)
			require.Equal(t, c.code, st.Code())
			require.Equal(t, c.err.Error(), st.Message())
			if c.retry > 0 {
				require.Equal(t, c.retry, st.Details()[0].(*errdetails.RetryInfo).GetRetryDelay().AsDuration())
			} else {
				require.Empty(t, st.Details())
			}
			resp, body := postLogs(t, httpAddr, logRequest("x"))
			require.Equal(t, c.status, resp.StatusCode)
			require.Equal(t, c.retryAfter, resp.Header.Get("Retry-After"))
			require.Contains(t, body, c.err.Error())
		})
	}
}

func TestPartialSuccess(t *testing.T) {
	s := &sink{reject: 1}
	addr := freeAddr(t)
	var logged bytes.Buffer
	run(t, Options{Config: quiet(), Pusher: s, OTLPGRPC: addr, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	client := plogotlp.NewGRPCClient(dial(t, addr))
	for range 3 {
		_, err := client.Export(t.Context(), logRequest("good", "bad"))
		require.NoError(t, err, "sending the good line again would store it twice")
	}
	require.Equal(t, 1, strings.Count(logged.String(), "records were rejected"), logged.String())
	_, err := client.Export(t.Context(), logRequest("bad"))
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.ErrorContains(t, err, "all 1 records were rejected: max entry size exceeded")
}

func TestTenants(t *testing.T) {
	s := &sink{}
	grpcAddr, httpAddr := freeAddr(t), freeAddr(t)
	run(t, Options{Config: quiet(), Pusher: s, OTLPGRPC: grpcAddr, OTLPHTTP: httpAddr, Multitenancy: true})
	client := plogotlp.NewGRPCClient(dial(t, grpcAddr))
	_, err := client.Export(metadata.AppendToOutgoingContext(t.Context(), "x-scope-orgid", "a"), logRequest("x"))
	require.NoError(t, err)
	resp, _ := postLogs(t, httpAddr, logRequest("x"), "X-Scope-OrgID", "b")
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, []string{"a", "b"}, s.tenants)

	_, err = client.Export(t.Context(), logRequest("x"))
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.ErrorContains(t, err, "no org id")
	resp, body := postLogs(t, httpAddr, logRequest("x"), "X-Scope-OrgID", "../b")
	require.Equal(t, 400, resp.StatusCode)
	require.Contains(t, body, "unsupported character")
	require.Len(t, s.tenants, 2)
}

func TestHostMetrics(t *testing.T) {
	s := &sink{metrics: make(chan pmetric.Metrics, 1)}
	c := DefaultConfig()
	c.HostMetricsInterval = 1e9
	run(t, Options{Config: c, Pusher: s, Multitenancy: true, Tenant: "ops"})
	select {
	case md := <-s.metrics:
		names := map[string]bool{}
		for _, rm := range md.ResourceMetrics().All() {
			service, _ := rm.Resource().Attributes().Get("service.name")
			require.Equal(t, "host", service.Str())
			host, _ := rm.Resource().Attributes().Get("host.name")
			require.Equal(t, hostName(), host.Str())
			for _, sm := range rm.ScopeMetrics().All() {
				for _, m := range sm.Metrics().All() {
					names[m.Name()] = true
				}
			}
		}
		require.Contains(t, names, "system.cpu.time")
		require.Contains(t, names, "system.memory.usage")
		require.Contains(t, names, "system.network.io")
	case <-time.After(20 * time.Second):
		t.Fatal("no host metrics")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.tenants {
		require.Equal(t, "ops", id)
	}
}

func TestOwnConfiguration(t *testing.T) {
	s := &sink{}
	addr := freeAddr(t)
	t.Setenv("TEST_ADDR", addr)
	cfg := config(t, `
config:
  extensions:
    hune_guard:
  receivers:
    otlp:
      protocols:
        http:
          endpoint: ${env:TEST_ADDR}
          middlewares: [{id: hune_guard}]
  processors:
    transform:
      log_statements:
        - set(log.body, "redacted") where IsMatch(log.body, "secret.*")
    delta_to_cumulative: {}
    filter:
      logs:
        log_record: ['body == "noise"']
  exporters:
    hune:
      tenant: team-a
    debug:
  service:
    extensions: [hune_guard]
    telemetry:
      logs: {level: debug}
      metrics: {level: none, readers: []}
    pipelines:
      logs: {receivers: [otlp], processors: [transform, filter], exporters: [hune, debug]}
      metrics: {receivers: [otlp], processors: [delta_to_cumulative], exporters: [hune]}
`)
	require.NoError(t, cfg.Validate())
	run(t, Options{Config: cfg, Pusher: s, OTLPGRPC: "256.0.0.1:1"})
	resp, body := postLogs(t, addr, logRequest("secret 42", "noise", "fine"))
	require.Equal(t, 200, resp.StatusCode, body)
	require.Equal(t, []string{"redacted", "fine"}, s.lines)
	require.Equal(t, []string{"team-a"}, s.tenants)
}

func TestBadConfigurations(t *testing.T) {
	const pipelines = "service: {pipelines: {logs: {receivers: [otlp], exporters: [hune]}}}"
	for name, c := range map[string]struct{ text, want string }{
		"unknown component": {"config: {receivers: {otlb: {}}, exporters: {hune: {}}, " + pipelines + "}", `unknown type: "otlb"`},
		"unknown key":       {"config: {receivers: {otlp: {protocol: {}}}, exporters: {hune: {}}, " + pipelines + "}", "protocol"},
		"bad tenant":        {"config: {receivers: {otlp: {protocols: {grpc: {}}}}, exporters: {hune: {tenant: a/b}}, " + pipelines + "}", `tenant ID "a/b"`},
		"no receiver":       {"config: {exporters: {hune: {}}, " + pipelines + "}", "receiver"},
		"not a mapping":     {"config: [1]", "line 1: want a mapping"},
		"unset variable":    {"config: {receivers: {otlp: {protocols: {grpc: {endpoint: '${env:a-b}'}}}}, exporters: {hune: {}}, " + pipelines + "}", "a-b"},
		"interval":          {"host_metrics_interval: 10ms", "host_metrics_interval: 10ms is too short"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t, c.text)
			err := cfg.Validate()
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "\n", "one line")
		})
	}
	c := config(t, "enabled: false\nconfig: {receivers: {otlb: {}}}")
	require.NoError(t, c.Validate(), "what is off is not checked")
}

func TestConfigSurvivesYAML(t *testing.T) {
	for _, text := range []string{"", "enabled: false", "config: {service: {pipelines: {}}}"} {
		cfg := config(t, text)
		out, err := yaml.Marshal(cfg)
		require.NoError(t, err)
		back := config(t, string(out))
		require.Equal(t, cfg.Enabled, back.Enabled)
		require.Equal(t, cfg.custom(), back.custom())
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	taken, free := l.Addr().String(), freeAddr(t)
	for _, o := range []Options{{OTLPGRPC: taken, OTLPHTTP: free}, {OTLPGRPC: free, OTLPHTTP: taken}} {
		o.Config, o.Pusher = DefaultConfig(), &sink{}
		c, err := New(o)
		require.NoError(t, err)
		err = services.StartAndAwaitRunning(t.Context(), c)
		require.Error(t, err)
		require.EqualError(t, c.FailureCase(), "collector: address "+taken+" is in use by another process")
		again, err := net.Listen("tcp", free)
		require.NoError(t, err, "the other port must be free again")
		require.NoError(t, again.Close())
	}
}

// Stopping waits for what is under way, and the client hears how it ended.
func TestStopDrains(t *testing.T) {
	s := &sink{entered: make(chan struct{}), release: make(chan struct{})}
	addr := freeAddr(t)
	c, err := New(Options{Config: quiet(), Pusher: s, OTLPGRPC: addr})
	require.NoError(t, err)
	require.NoError(t, services.StartAndAwaitRunning(t.Context(), c))
	answer := make(chan error, 1)
	conn := dial(t, addr)
	go func() {
		_, err := plogotlp.NewGRPCClient(conn).Export(t.Context(), logRequest("x"))
		answer <- err
	}()
	<-s.entered
	c.StopAsync()
	s.release <- struct{}{}
	require.NoError(t, <-answer)
	require.NoError(t, c.AwaitTerminated(t.Context()))
	require.Equal(t, []string{"x"}, s.lines)
}

func TestNothingToRun(t *testing.T) {
	run(t, Options{Config: quiet(), Pusher: &sink{}})
}

func TestTwoInOneProcess(t *testing.T) {
	a, b := &sink{}, &sink{}
	addrA, addrB := freeAddr(t), freeAddr(t)
	run(t, Options{Config: DefaultConfig(), Pusher: a, OTLPGRPC: addrA})
	run(t, Options{Config: DefaultConfig(), Pusher: b, OTLPGRPC: addrB})
	_, err := plogotlp.NewGRPCClient(dial(t, addrB)).Export(t.Context(), logRequest("for b"))
	require.NoError(t, err)
	require.Empty(t, a.lines)
	require.Equal(t, []string{"for b"}, b.lines)
}

func TestGuard(t *testing.T) {
	s := &sink{}
	grpcAddr, httpAddr := freeAddr(t), freeAddr(t)
	run(t, Options{Config: quiet(), Pusher: s, OTLPGRPC: grpcAddr, OTLPHTTP: httpAddr})

	deep := logRequest(strings.Repeat("p", 1<<17))
	v := deep.Logs().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Attributes().PutEmpty("a")
	nest(v, 100)
	resp, body := postLogs(t, httpAddr, deep)
	require.Equal(t, 400, resp.StatusCode)
	require.Contains(t, body, "nested more than 64 levels")
	_, err := plogotlp.NewGRPCClient(dial(t, grpcAddr)).Export(t.Context(), deep)
	require.ErrorContains(t, err, "nested more than 64 levels")

	spans := ptraceotlp.NewExportRequest()
	sp := spans.Traces().ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	sp.SetName(strings.Repeat("p", 1<<17))
	nest(sp.Attributes().PutEmpty("a"), 100)
	_, err = ptraceotlp.NewGRPCClient(dial(t, grpcAddr)).Export(t.Context(), spans)
	require.ErrorContains(t, err, "nested more than 64 levels")

	resp, _ = post(t, httpAddr, "/v1/logs", "application/json", bytes.Repeat([]byte("["), 1<<20))
	require.Equal(t, 400, resp.StatusCode)
	resp, _ = post(t, httpAddr, "/v1/logs", "application/x-protobuf", make([]byte, 33<<20))
	require.Equal(t, 413, resp.StatusCode)
	resp, _ = post(t, httpAddr, "/v1/nothing", "application/x-protobuf", nil)
	require.Equal(t, 404, resp.StatusCode)
	require.Empty(t, s.lines)
	require.Zero(t, s.spans)
}

func nest(v pcommon.Value, n int) {
	for range n {
		v = v.SetEmptySlice().AppendEmpty()
	}
	v.SetStr("x")
}

func TestOwnMetricsOnlyWhenAsked(t *testing.T) {
	for level, want := range map[string]bool{"none": false, "normal": true} {
		addr, reg := freeAddr(t), newRegistry()
		cfg := config(t, `
config:
  receivers: {otlp: {protocols: {http: {endpoint: "`+addr+`"}}}}
  exporters: {hune: }
  service:
    telemetry: {metrics: {level: `+level+`}}
    pipelines: {logs: {receivers: [otlp], exporters: [hune]}}
`)
		c, err := New(Options{Config: cfg, Pusher: &sink{}, Registerer: reg})
		require.NoError(t, err)
		require.NoError(t, services.StartAndAwaitRunning(t.Context(), c))
		resp, _ := postLogs(t, addr, logRequest("x"))
		require.Equal(t, 200, resp.StatusCode)
		require.Equal(t, want, reg.has(t, "otelcol_receiver_accepted_log_records_total"))
		require.NoError(t, services.StopAndAwaitTerminated(t.Context(), c))
		_, err = net.DialTimeout("tcp", "127.0.0.1:8888", time.Second)
		require.Error(t, err)
	}
}
