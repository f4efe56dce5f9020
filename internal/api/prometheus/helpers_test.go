package prometheus

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	v1 "github.com/prometheus/prometheus/web/api/v1"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/tenant"
)

func TestMain(m *testing.M) {
	// The client of one object store provider starts a goroutine when its package is loaded.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/baidubce/bce-sdk-go/util/log.NewLogger.func1"))
}

var testNow = time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC)

func at(d time.Duration) int64 { return testNow.Add(d).UnixMilli() }

// backend is heads and engine, wired as the program does in one process, without queues between.
type backend struct {
	heads  *metrics.Heads
	engine *metrics.Engine
	push   func() error // returns an error to fail pushes with; may be nil
	run    func() error
	seen   func(*metrics.Batch) // looks at what is pushed; may be nil
}

func (b *backend) PushMetrics(ctx context.Context, batch *metrics.Batch) (metrics.PushResult, error) {
	if b.push != nil {
		if err := b.push(); err != nil {
			return metrics.PushResult{}, err
		}
	}
	if b.seen != nil {
		b.seen(batch)
	}
	id, err := tenant.FromContext(ctx)
	if err != nil {
		return metrics.PushResult{}, err
	}
	return b.heads.Append(ctx, id, batch)
}

func (b *backend) Run(ctx context.Context, j job.Job) (job.Result, error) {
	if b.run != nil {
		if err := b.run(); err != nil {
			return job.Result{}, err
		}
	}
	r, err := b.engine.Run(ctx, j.Tenant, j.Metrics, b.heads)
	return job.Result{Metrics: r}, err
}

// server is the API on a mux; the tenant comes from the header, as in the program.
type server struct {
	*backend
	mux *http.ServeMux
	t   testing.TB
}

func newServer(t testing.TB, change ...func(*Options)) *server {
	t.Helper()
	cfg := metrics.DefaultConfig()
	quiet := slog.New(slog.DiscardHandler)
	heads, err := metrics.OpenHeads(t.Context(), metrics.HeadOptions{Dir: t.TempDir(), Config: cfg, Logger: quiet,
		Registerer: client.NewRegistry(), Now: func() time.Time { return testNow }, SyncAlways: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, heads.Close()) })
	b := &backend{heads: heads, engine: metrics.NewEngine(metrics.EngineOptions{Config: cfg.Query, Logger: quiet})}
	opts := Options{Runner: b, Pusher: b, Head: heads, Logger: quiet, Registerer: client.NewRegistry(), OTLP: cfg.OTLP,
		Now: func() time.Time { return testNow }, Build: v1.PrometheusVersion{Version: "3.9.1"},
		ConfigYAML: func() string { return "metrics: {}\n" }, Flags: map[string]string{"http": ":4320"}}
	for _, c := range change {
		c(&opts)
	}
	mux := http.NewServeMux()
	New(opts).Register(mux)
	return &server{backend: b, mux: mux, t: t}
}

func (s *server) do(r *http.Request) *httptest.ResponseRecorder {
	id := r.Header.Get(tenant.Header)
	if id == "" {
		id = tenant.Anonymous
	}
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r.WithContext(tenant.NewContext(r.Context(), id)))
	return w
}

// get asks; instant queries without a time get the tests' now, for the library's clock is the real one.
func (s *server) get(path string) *httptest.ResponseRecorder {
	if strings.HasPrefix(path, "/api/v1/query?") && !strings.Contains(path, "time=") {
		path += "&time=1772362800"
	}
	return s.do(httptest.NewRequest(http.MethodGet, path, nil))
}

// data returns the data of a successful answer as text.
func (s *server) data(path string) string {
	s.t.Helper()
	w := s.get(path)
	require.Equal(s.t, http.StatusOK, w.Code, "%s: %s", path, w.Body)
	var answer struct {
		Status string
		Data   json.RawMessage
	}
	require.NoError(s.t, json.Unmarshal(w.Body.Bytes(), &answer), "%s: %s", path, w.Body)
	require.Equal(s.t, "success", answer.Status)
	return string(answer.Data)
}

const (
	contentV1 = "application/x-protobuf"
	contentV2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
)

func (s *server) write(content string, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/api/v1/write", bytes.NewReader(snappy.Encode(nil, body)))
	r.Header.Set("Content-Type", content)
	r.Header.Set("Content-Encoding", "snappy")
	return s.do(r)
}

func (s *server) writeV1(series ...prompb.TimeSeries) *httptest.ResponseRecorder {
	s.t.Helper()
	return s.write(contentV1, marshalV1(s.t, prompb.WriteRequest{Timeseries: series}))
}

func marshalV1(t testing.TB, req prompb.WriteRequest) []byte {
	t.Helper()
	b, err := req.Marshal()
	require.NoError(t, err)
	return b
}

func marshalV2(t testing.TB, req writev2.Request) []byte {
	t.Helper()
	b, err := req.Marshal()
	require.NoError(t, err)
	return b
}

// pairs makes labels of name, value, name, value, …
func pairs(ss ...string) []prompb.Label {
	var out []prompb.Label
	for i := 0; i < len(ss); i += 2 {
		out = append(out, prompb.Label{Name: ss[i], Value: ss[i+1]})
	}
	return out
}

func series(ls []prompb.Label, samples ...prompb.Sample) prompb.TimeSeries {
	return prompb.TimeSeries{Labels: ls, Samples: samples}
}
