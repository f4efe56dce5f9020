package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/freeport"
)

// The tests of this package start the real binary and speak to it as its users do.

// binary builds hune once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "hune-e2e-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "hune")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build hune: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// process is a running hune.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	url  string // of the main port
	grpc string // OTLP gRPC address
	otlp string // OTLP HTTP base URL
	log  *syncBuffer
	done chan error
}

// syncBuffer is a buffer that a process writes and a test reads.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// freeAddr returns a local address that nobody listens on, UDP or TCP.
func freeAddr(t testing.TB) string {
	t.Helper()
	addr, err := freeport.Take()
	require.NoError(t, err)
	return addr
}

// quiet turns off what makes data of its own, so that a test sees only what it sent.
var quiet = []string{"HUNE_TELEMETRY_ENABLED=false", "HUNE_SCRAPE_SELF=false", "HUNE_COLLECTOR_HOST_METRICS=false", "HUNE_LIMITS_TRACES_GENERATOR_ENABLED=false", "HUNE_RULES_DEFAULTS=false"}

// start runs hune on dir and waits until it is ready.
func start(t *testing.T, dir string, env []string, args ...string) *process {
	t.Helper()
	p := launch(t, dir, env, args...)
	p.awaitReady()
	return p
}

func launch(t *testing.T, dir string, env []string, args ...string) *process {
	t.Helper()
	path, err := binary()
	require.NoError(t, err)
	addr, grpc, otlp := freeAddr(t), freeAddr(t), freeAddr(t)
	args = append([]string{"serve", "--data", dir, "--http", addr, "--otlp-grpc", grpc, "--otlp-http", otlp}, args...)
	p := &process{t: t, cmd: exec.Command(path, args...), url: "http://" + addr, grpc: grpc, otlp: "http://" + otlp,
		log: &syncBuffer{}, done: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr, p.cmd.Stdout = p.log, p.log
	require.NoError(t, p.cmd.Start())
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("log of hune:\n%s", p.log)
		}
	})
	return p
}

func (p *process) awaitReady() {
	p.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for time.Now().Before(deadline) {
		select {
		case err := <-p.done:
			p.t.Fatalf("hune ended: %v\n%s", err, p.log)
		default:
		}
		resp, err := http.Get(p.url + "/ready")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		pause(10 * time.Millisecond)
	}
	p.t.Fatalf("hune was not ready in time\n%s", p.log)
}

// pause waits in real time: the other side is another process.
func pause(d time.Duration) { <-time.After(d) }

// kill ends the process as a crash would.
func (p *process) kill() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGKILL))
	<-p.done
}

// stop ends the process as an administrator would, and wants a clean exit in time.
func (p *process) stop() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-p.done:
		require.NoError(p.t, err, "exit status after SIGTERM\n%s", p.log)
	case <-time.After(10 * time.Second):
		p.t.Fatalf("hune took longer than 10 s to stop\n%s", p.log)
	}
}

// flush cuts and uploads everything.
func (p *process) flush() {
	p.t.Helper()
	status, body := p.post("/flush", "", nil, nil)
	require.Equal(p.t, http.StatusNoContent, status, body)
}

func (p *process) do(req *http.Request) (int, string) {
	p.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	require.NoError(p.t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	return resp.StatusCode, string(body)
}

func (p *process) post(path, contentType string, body []byte, header map[string]string) (int, string) {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodPost, p.url+path, bytes.NewReader(body))
	require.NoError(p.t, err)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	return p.do(req)
}

func (p *process) get(path string, params url.Values, header map[string]string) (int, string) {
	p.t.Helper()
	if len(params) > 0 {
		path += "?" + params.Encode()
	}
	req, err := http.NewRequest(http.MethodGet, p.url+path, nil)
	require.NoError(p.t, err)
	for k, v := range header {
		req.Header.Set(k, v)
	}
	return p.do(req)
}

// getJSON wants a 200 answer and reads it into v.
func (p *process) getJSON(path string, params url.Values, v any) {
	p.t.Helper()
	status, body := p.get(path, params, nil)
	require.Equal(p.t, http.StatusOK, status, "%s: %s", path, body)
	require.NoError(p.t, json.Unmarshal([]byte(body), v), body)
}

// remoteWrite encodes series of one sample each.
func remoteWrite(name string, t time.Time, values map[string]float64) []byte {
	req := &prompb.WriteRequest{}
	for id, v := range values {
		req.Timeseries = append(req.Timeseries, prompb.TimeSeries{
			Labels:  []prompb.Label{{Name: "__name__", Value: name}, {Name: "id", Value: id}},
			Samples: []prompb.Sample{{Timestamp: t.UnixMilli(), Value: v}},
		})
	}
	data, err := req.Marshal()
	if err != nil {
		panic(err)
	}
	return snappy.Encode(nil, data)
}

func lokiPush(labels map[string]string, entries [][2]string) []byte {
	data, err := json.Marshal(map[string]any{"streams": []any{map[string]any{"stream": labels, "values": entries}}})
	if err != nil {
		panic(err)
	}
	return data
}

// oneSpan is a trace of one span as OTLP JSON.
func oneSpan(traceID, spanID, service, name string, start, end time.Time) []byte {
	data, err := json.Marshal(map[string]any{"resourceSpans": []any{map[string]any{
		"resource": map[string]any{"attributes": []any{map[string]any{"key": "service.name", "value": map[string]any{"stringValue": service}}}},
		"scopeSpans": []any{map[string]any{"spans": []any{map[string]any{
			"traceId": traceID, "spanId": spanID, "name": name, "kind": 2,
			"startTimeUnixNano": fmt.Sprint(start.UnixNano()), "endTimeUnixNano": fmt.Sprint(end.UnixNano()),
		}}}},
	}}})
	if err != nil {
		panic(err)
	}
	return data
}

// promVector asks an instant query and returns the values by the label.
func (p *process) promVector(query string, at time.Time, label string, header map[string]string) map[string]string {
	p.t.Helper()
	status, body := p.get("/api/v1/query", url.Values{"query": {query}, "time": {fmt.Sprintf("%.3f", float64(at.UnixMilli())/1000)}}, header)
	require.Equal(p.t, http.StatusOK, status, body)
	var a struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  []any
			}
		}
	}
	require.NoError(p.t, json.Unmarshal([]byte(body), &a), body)
	out := map[string]string{}
	for _, r := range a.Data.Result {
		out[r.Metric[label]] = r.Value[1].(string)
	}
	return out
}

// lokiLines returns how often each line is in the answer.
func (p *process) lokiLines(query string, start, end time.Time, header map[string]string) map[string]int {
	p.t.Helper()
	status, body := p.get("/loki/api/v1/query_range", url.Values{"query": {query}, "limit": {"5000"},
		"start": {fmt.Sprint(start.UnixNano())}, "end": {fmt.Sprint(end.UnixNano())}}, header)
	require.Equal(p.t, http.StatusOK, status, body)
	var a struct {
		Data struct {
			Result []struct{ Values [][]string }
		}
	}
	require.NoError(p.t, json.Unmarshal([]byte(body), &a), body)
	out := map[string]int{}
	for _, r := range a.Data.Result {
		for _, v := range r.Values {
			out[v[1]]++
		}
	}
	return out
}

// spanNames returns how often each span name is in a trace.
func (p *process) spanNames(traceID string, header map[string]string) map[string]int {
	p.t.Helper()
	status, body := p.get("/api/v2/traces/"+traceID, nil, header)
	require.Equal(p.t, http.StatusOK, status, body)
	var a otlpTrace
	require.NoError(p.t, json.Unmarshal([]byte(body), &a), body)
	out := map[string]int{}
	for _, rs := range a.Trace.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				out[s.Name]++
			}
		}
	}
	return out
}

// runCLI runs hune with args and returns its exit code and output.
func runCLI(t *testing.T, env []string, args ...string) (int, string, string) {
	t.Helper()
	path, err := binary()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), env...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		require.NoError(t, err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}
