package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logfmt/logfmt"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/hune-io/hune/internal/api/body"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC)

func encode(t testing.TB, td ptrace.Traces, ld plog.Logs, md pmetric.Metrics) []byte {
	a, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
	require.NoError(t, err)
	b, err := (&plog.ProtoMarshaler{}).MarshalLogs(ld)
	require.NoError(t, err)
	c, err := (&pmetric.ProtoMarshaler{}).MarshalMetrics(md)
	require.NoError(t, err)
	return bytes.Join([][]byte{a, b, c}, nil)
}

func TestSameSeedSameBytes(t *testing.T) {
	make := func(seed uint64) []byte {
		g := NewGenerator(GeneratorOptions{Seed: seed, Start: start, Rate: 20})
		var out []byte
		for range 15 {
			td, ld, md := g.Next()
			out = append(out, encode(t, td, ld, md)...)
		}
		return out
	}
	require.Equal(t, make(7), make(7))
	require.NotEqual(t, make(7), make(8))
}

// TestCorrelation follows every ID that the three signals share.
func TestCorrelation(t *testing.T) {
	g := NewGenerator(GeneratorOptions{Seed: 1, Start: start, Rate: 50})
	type spanKey struct {
		trace pcommon.TraceID
		span  pcommon.SpanID
	}
	spans := map[spanKey]ptrace.Span{}
	seen := map[string]int{}
	roots, errored, linked := 0, 0, 0
	var logs []plog.LogRecord
	var formats [3]int
	exemplars, native, classic := 0, 0, 0
	for range 60 {
		td, ld, md := g.Next()
		for _, rs := range td.ResourceSpans().All() {
			name, _ := rs.Resource().Attributes().Get("service.name")
			for _, key := range []string{"service.namespace", "service.instance.id", "k8s.pod.name", "k8s.namespace.name", "host.name", "deployment.environment"} {
				v, ok := rs.Resource().Attributes().Get(key)
				require.True(t, ok && v.Str() != "", key)
			}
			for _, s := range rs.ScopeSpans().At(0).Spans().All() {
				spans[spanKey{s.TraceID(), s.SpanID()}] = s
				seen[name.Str()]++
				require.Greater(t, s.EndTimestamp(), s.StartTimestamp())
				if s.ParentSpanID().IsEmpty() {
					roots++
				}
				if s.Status().Code() == ptrace.StatusCodeError {
					errored++
				}
				linked += s.Links().Len()
			}
		}
		for _, rl := range ld.ResourceLogs().All() {
			for _, l := range rl.ScopeLogs().At(0).LogRecords().All() {
				logs = append(logs, l)
				formats[formatOf(t, l)]++
			}
		}
		for _, rm := range md.ResourceMetrics().All() {
			for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
				switch m.Type() {
				case pmetric.MetricTypeHistogram:
					for _, p := range m.Histogram().DataPoints().All() {
						classic++
						require.Equal(t, p.Count(), sum(p.BucketCounts().AsRaw()))
						require.Equal(t, p.ExplicitBounds().Len()+1, p.BucketCounts().Len())
						exemplars += checkExemplars(t, p.Exemplars(), func(tr pcommon.TraceID, sp pcommon.SpanID) bool { _, ok := spans[spanKey{tr, sp}]; return ok })
					}
				case pmetric.MetricTypeExponentialHistogram:
					for _, p := range m.ExponentialHistogram().DataPoints().All() {
						native++
						require.Equal(t, p.Count(), p.ZeroCount()+sum(p.Positive().BucketCounts().AsRaw()))
						exemplars += checkExemplars(t, p.Exemplars(), func(tr pcommon.TraceID, sp pcommon.SpanID) bool { _, ok := spans[spanKey{tr, sp}]; return ok })
					}
				}
			}
		}
	}
	require.Equal(t, 3000, roots)
	require.Len(t, seen, len(services), "every service takes part")
	for k, s := range spans {
		if !s.ParentSpanID().IsEmpty() {
			_, ok := spans[spanKey{k.trace, s.ParentSpanID()}]
			require.True(t, ok, "span %s has its parent", s.Name())
		}
	}
	for _, l := range logs {
		_, ok := spans[spanKey{l.TraceID(), l.SpanID()}]
		require.True(t, ok, "log line has its span")
	}
	share := float64(errored) / float64(len(spans))
	require.True(t, share > 0.002 && share < 0.1, "share of errors is %f", share)
	perTrace := float64(len(spans)) / 3000
	require.True(t, perTrace > 8 && perTrace < 20, "%f spans a trace", perTrace)
	require.Positive(t, linked)
	for f, n := range formats {
		require.Greater(t, n, 50, "log format %d", f)
	}
	require.Greater(t, exemplars, 100)
	require.Positive(t, native)
	require.Positive(t, classic)
}

func sum(v []uint64) (n uint64) {
	for _, x := range v {
		n += x
	}
	return n
}

func checkExemplars(t *testing.T, list pmetric.ExemplarSlice, known func(pcommon.TraceID, pcommon.SpanID) bool) int {
	for _, e := range list.All() {
		require.True(t, known(e.TraceID(), e.SpanID()), "exemplar has its span")
	}
	return list.Len()
}

// formatOf checks that a line is what it looks like and holds the trace ID.
func formatOf(t *testing.T, l plog.LogRecord) logFormat {
	line := l.Body().Str()
	require.Contains(t, line, l.TraceID().String())
	if strings.HasPrefix(line, "{") {
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &m), line)
		require.Equal(t, l.SpanID().String(), m["span_id"])
		return formatJSON
	}
	if strings.HasPrefix(line, "ts=") {
		d := logfmt.NewDecoder(strings.NewReader(line))
		n := 0
		for d.ScanRecord() {
			for d.ScanKeyval() {
				n++
			}
		}
		require.NoError(t, d.Err(), line)
		require.GreaterOrEqual(t, n, 5)
		return formatLogfmt
	}
	return formatPlain
}

// The exponential buckets must agree with the values by the specification's rule: bucket i holds
// (base^i, base^(i+1)].
func TestExponentialBuckets(t *testing.T) {
	base := math.Pow(2, math.Pow(2, -expScale))
	for _, v := range []float64{0.0041, 0.01, 0.25, 0.2500001, 1, 1.1, 33} {
		var h histograms
		h.observe(seriesKey{"a", "b"}, exemplar{value: v})
		i := 0
		for h.series[0].exp[i] == 0 {
			i++
		}
		low := math.Pow(base, float64(i+expOffset))
		require.True(t, low < v*(1+1e-12) && v <= low*base*(1+1e-12), "%f in (%f, %f]", v, low, low*base)
	}
	var h histograms
	for _, v := range []float64{0, 1e-9, 1e9} { // outside of the array
		h.observe(seriesKey{"a", "b"}, exemplar{value: v})
	}
	require.Equal(t, uint64(3), sum(h.series[0].exp[:]))
}

func TestIncident(t *testing.T) {
	share := func(at time.Time) float64 {
		g := NewGenerator(GeneratorOptions{Seed: 3, Start: at, Rate: 100})
		bad, all := 0, 0
		for range 20 {
			td, _, _ := g.Next()
			for _, rs := range td.ResourceSpans().All() {
				if name, _ := rs.Resource().Attributes().Get("service.name"); name.Str() != "recommendation" {
					continue
				}
				for _, s := range rs.ScopeSpans().At(0).Spans().All() {
					all++
					if s.Status().Code() == ptrace.StatusCodeError {
						bad++
					}
				}
			}
		}
		return float64(bad) / float64(all)
	}
	require.Less(t, share(start), 0.03)
	require.Greater(t, share(start.Add(11*time.Minute)), 0.05)
}

// fakeClock runs as fast as it is slept on.
type fakeClock struct {
	mu    sync.Mutex
	now   time.Time
	slept []time.Duration
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.slept = append(c.slept, d)
	return ctx.Err()
}

// target is an OTLP server over both transports that refuses the first requests.
type target struct {
	ptraceotlp.UnimplementedGRPCServer
	mu       sync.Mutex
	refuse   int
	spans    int
	lines    int
	points   int
	tenants  map[string]bool
	requests int
}

func (s *target) take(tenant string, spans, lines, points int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if s.refuse > 0 {
		s.refuse--
		return false
	}
	if s.tenants == nil {
		s.tenants = map[string]bool{}
	}
	s.tenants[tenant] = true
	s.spans, s.lines, s.points = s.spans+spans, s.lines+lines, s.points+points
	return true
}

func (s *target) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	buf, err := body.Read(r, body.Limits{})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	defer buf.Release()
	var spans, lines, points int
	var answer []byte
	switch r.URL.Path {
	case "/v1/traces":
		q := ptraceotlp.NewExportRequest()
		err = q.UnmarshalProto(buf.Bytes())
		spans = q.Traces().SpanCount()
		resp := ptraceotlp.NewExportResponse()
		resp.PartialSuccess().SetRejectedSpans(1)
		resp.PartialSuccess().SetErrorMessage("one is enough")
		answer, _ = resp.MarshalProto()
	case "/v1/logs":
		q := plogotlp.NewExportRequest()
		err = q.UnmarshalProto(buf.Bytes())
		lines = q.Logs().LogRecordCount()
	case "/v1/metrics":
		q := pmetricotlp.NewExportRequest()
		err = q.UnmarshalProto(buf.Bytes())
		points = q.Metrics().DataPointCount()
	default:
		err = errors.New("no such path")
	}
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	case !s.take(r.Header.Get("X-Scope-OrgID"), spans, lines, points):
		w.Header().Set("Retry-After", "3")
		http.Error(w, "busy", http.StatusTooManyRequests)
	default:
		_, _ = w.Write(answer)
	}
}

func (s *target) Export(ctx context.Context, r ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if !s.take(strings.Join(md.Get("x-scope-orgid"), ","), r.Traces().SpanCount(), 0, 0) {
		st, _ := status.New(codes.ResourceExhausted, "busy").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(3 * time.Second)})
		return ptraceotlp.NewExportResponse(), st.Err()
	}
	return ptraceotlp.NewExportResponse(), nil
}

type logTarget struct {
	plogotlp.UnimplementedGRPCServer
	*target
}

func (s *logTarget) Export(_ context.Context, r plogotlp.ExportRequest) (plogotlp.ExportResponse, error) {
	s.take("t1", 0, r.Logs().LogRecordCount(), 0)
	return plogotlp.NewExportResponse(), nil
}

type metricTarget struct {
	pmetricotlp.UnimplementedGRPCServer
	*target
}

func (s *metricTarget) Export(_ context.Context, r pmetricotlp.ExportRequest) (pmetricotlp.ExportResponse, error) {
	s.take("t1", 0, 0, r.Metrics().DataPointCount())
	return pmetricotlp.NewExportResponse(), nil
}

func wanted(rate float64, d time.Duration) (spans, lines, points int) {
	g := NewGenerator(GeneratorOptions{Seed: 5, Start: start, Rate: rate})
	for g.Now().Sub(start) < d {
		td, ld, md := g.Next()
		spans, lines, points = spans+td.SpanCount(), lines+ld.LogRecordCount(), points+md.DataPointCount()
	}
	return spans, lines, points
}

func TestRunHTTP(t *testing.T) {
	s := &target{refuse: 1}
	srv := httptest.NewServer(s)
	defer srv.Close()
	clock := &fakeClock{now: start}
	var out bytes.Buffer
	err := Run(t.Context(), Options{Endpoint: srv.URL, Rate: 10, Duration: 12 * time.Second, Seed: 5, Tenant: "t1", Out: &out, Clock: clock})
	require.NoError(t, err)
	spans, lines, points := wanted(10, 12*time.Second)
	require.Equal(t, []int{spans, lines, points}, []int{s.spans, s.lines, s.points})
	require.Equal(t, map[string]bool{"t1": true}, s.tenants)
	require.Contains(t, clock.slept, 3*time.Second, "waits as the server asked")
	require.Contains(t, out.String(), "120 traces")
	require.Contains(t, out.String(), "1 retries")
	require.Contains(t, out.String(), "12 rejected (one is enough)")
	require.True(t, strings.HasSuffix(out.String(), "\n"))
}

func TestRunGRPC(t *testing.T) {
	s := &target{refuse: 1}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := grpc.NewServer()
	ptraceotlp.RegisterGRPCServer(srv, s)
	plogotlp.RegisterGRPCServer(srv, &logTarget{target: &target{}})
	pmetricotlp.RegisterGRPCServer(srv, &metricTarget{target: &target{}})
	done := make(chan error)
	go func() { done <- srv.Serve(lis) }()
	defer func() {
		srv.Stop()
		<-done
	}()
	clock := &fakeClock{now: start}
	err = Run(t.Context(), Options{Endpoint: lis.Addr().String(), Rate: 10, Duration: 3 * time.Second, Seed: 5, Tenant: "t1", Insecure: true, Clock: clock})
	require.NoError(t, err)
	spans, _, _ := wanted(10, 3*time.Second)
	require.Equal(t, spans, s.spans)
	require.Equal(t, map[string]bool{"t1": true}, s.tenants)
	require.Contains(t, clock.slept, 3*time.Second)
}

func TestRunErrors(t *testing.T) {
	for _, o := range []Options{{}, {Endpoint: "a:1", Rate: -1}, {Endpoint: "a:1", Rate: math.NaN()}, {Endpoint: "a:1", Duration: -1},
		{Endpoint: "ftp://a"}, {Endpoint: "a:1", Tenant: "a/b"}} {
		require.Error(t, Run(t.Context(), o), "%+v", o)
	}
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no such tenant", http.StatusUnauthorized) }))
	defer refusing.Close()
	err := Run(t.Context(), Options{Endpoint: refusing.URL, Duration: time.Second, Clock: &fakeClock{now: start}})
	require.ErrorContains(t, err, "401 Unauthorized: no such tenant")
	require.ErrorContains(t, err, refusing.URL)

	// A server that stays busy is given up on.
	busy := httptest.NewServer(&target{refuse: math.MaxInt})
	defer busy.Close()
	clock := &fakeClock{now: start}
	require.ErrorContains(t, Run(t.Context(), Options{Endpoint: busy.URL, Duration: time.Second, Clock: clock}), "429")
	require.Less(t, clock.Now().Sub(start), 5*time.Minute)

	// Being stopped is no error.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, Run(ctx, Options{Endpoint: busy.URL, Clock: &fakeClock{now: start}}))
}

func BenchmarkGenerator(b *testing.B) {
	g := NewGenerator(GeneratorOptions{Start: start, Rate: 100})
	spans := 0
	b.ReportAllocs()
	for b.Loop() {
		td, _, _ := g.Next()
		spans += td.SpanCount()
	}
	b.ReportMetric(float64(spans)/b.Elapsed().Seconds(), "spans/s")
}
