package main

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestReadyAndStop(t *testing.T) {
	began := time.Now()
	p := start(t, t.TempDir(), nil)
	t.Logf("ready after %s", time.Since(began))
	for path, want := range map[string]string{
		"/ready":                        "ready",
		"/metrics":                      "hune_build_info",
		"/config":                       "retention:",
		"/services":                     "ingester => Running",
		"/status":                       "retention:",
		"/status/version":               "hune, version ",
		"/status/services":              "ingester => Running",
		"/api/v1/status/buildinfo":      `"version"`,
		"/loki/api/v1/status/buildinfo": `"version"`,
		"/api/status/buildinfo":         `"version"`,
		"/api/echo":                     "echo",
		"/debug/pprof/cmdline":          "serve",
		"/ui/":                          "<html",
	} {
		status, body := p.get(path, nil, nil)
		require.Equal(t, http.StatusOK, status, "%s: %s", path, body)
		require.Contains(t, body, want, path)
	}
	// A browser that comes to / is shown the page.
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get(p.url + "/")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusFound, resp.StatusCode)
	require.Equal(t, "/ui/", resp.Header.Get("Location"))
	p.stop()
}

// A stop in the middle of writes and reads ends in time, with status 0, and loses nothing.
func TestStopUnderLoad(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir, quiet)
	var mu sync.Mutex
	accepted := map[string]bool{}
	quit := make(chan struct{})
	began := time.Now() // before the first line
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-quit:
					return
				default:
				}
				line := fmt.Sprintf("w%d-%d", w, i)
				resp, err := http.Post(p.url+"/loki/api/v1/push", "application/json",
					strings.NewReader(string(lokiPush(map[string]string{"job": "stop", "w": fmt.Sprint(w)}, [][2]string{{fmt.Sprint(time.Now().UnixNano()), line}}))))
				if err != nil {
					continue
				}
				_ = resp.Body.Close()
				if resp.StatusCode == http.StatusNoContent {
					mu.Lock()
					accepted[line] = true
					mu.Unlock()
				}
			}
		})
	}
	pause(300 * time.Millisecond)
	p.stop()
	close(quit)
	writers.Wait()
	require.NotEmpty(t, accepted)

	p = start(t, dir, quiet)
	got := map[string]int{}
	for w := range 4 {
		for line, n := range p.lokiLines(fmt.Sprintf(`{job="stop", w="%d"}`, w), began, time.Now().Add(time.Minute), nil) {
			got[line] += n
		}
	}
	for line := range accepted {
		require.Equal(t, 1, got[line], line)
	}
}

// Faults that prevent a start: one clear line on stderr, exit code 1, no stack trace.
func TestStartFaults(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	addr := taken.Addr().String()
	free := []string{"--http", freeAddr(t), "--otlp-grpc", freeAddr(t), "--otlp-http", freeAddr(t)}
	file := write("a-file", "x")
	held := filepath.Join(dir, "held")
	start(t, held, quiet)

	for name, c := range map[string]struct {
		args []string
		env  []string
		want []string
	}{
		"HTTP port in use":       {args: []string{"--data", dir + "/d1", "--http", addr, "--otlp-grpc", freeAddr(t), "--otlp-http", freeAddr(t)}, want: []string{addr, "in use"}},
		"OTLP gRPC port in use":  {args: []string{"--data", dir + "/d2", "--http", freeAddr(t), "--otlp-grpc", addr, "--otlp-http", freeAddr(t)}, want: []string{addr, "in use"}},
		"OTLP HTTP port in use":  {args: []string{"--data", dir + "/d3", "--http", freeAddr(t), "--otlp-grpc", freeAddr(t), "--otlp-http", addr}, want: []string{addr, "in use"}},
		"data folder is a file":  {args: append([]string{"--data", file}, free...), want: []string{file, "not a directory"}},
		"data folder below file": {args: append([]string{"--data", file + "/sub"}, free...), want: []string{"a-file", "not a directory"}},
		"data folder in use":     {args: append([]string{"--data", held}, free...), want: []string{held, "another"}},
		"no such file":           {args: append([]string{"--data", dir + "/d4", "--config", dir + "/none.yaml"}, free...), want: []string{"none.yaml", "no such file"}},
		"unknown key":            {args: append([]string{"--data", dir + "/d5", "--config", write("key.yaml", "log:\n  level: info\nwal:\n  synk: always\n")}, free...), want: []string{"key.yaml:4", `"wal.synk"`, `did you mean "wal.sync"?`}},
		"wrong value":            {args: append([]string{"--data", dir + "/d6", "--config", write("value.yaml", "wal:\n  sync: sometimes\n")}, free...), want: []string{"value.yaml", "sync", `"sometimes"`}},
		"wrong type":             {args: append([]string{"--data", dir + "/d7", "--config", write("type.yaml", "retention:\n  logs: forever\n")}, free...), want: []string{"type.yaml", "forever"}},
		"unknown role":           {args: append([]string{"--data", dir + "/d8", "--role", "ingestor"}, free...), want: []string{`"ingestor"`, "ingester"}},
		"wrong environment":      {args: append([]string{"--data", dir + "/d9"}, free...), env: []string{"HUNE_RETENTION_LOGS=forever"}, want: []string{"HUNE_RETENTION_LOGS", "forever"}},
		"unknown flag":           {args: []string{"--colour"}, want: []string{"--colour"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := runCLI(t, c.env, append([]string{"serve"}, c.args...)...)
			require.Equal(t, 1, code, stderr)
			require.NotContains(t, stderr, "goroutine ")
			var said []string
			for line := range strings.SplitSeq(strings.TrimSpace(stderr), "\n") {
				if strings.HasPrefix(line, "hune: ") {
					said = append(said, line)
				}
			}
			require.Len(t, said, 1, stderr)
			for _, want := range c.want {
				require.Contains(t, said[0], want)
			}
		})
	}
}

func TestCheckConfigAndVersion(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good.yaml")
	require.NoError(t, os.WriteFile(good, []byte("retention:\n  logs: 7d\noverrides:\n  team-a:\n    max_age: 1h\n"), 0o600))
	code, out, errs := runCLI(t, nil, "check", "config", good)
	require.Zero(t, code, errs)
	require.Contains(t, out, "is valid")

	bad := filepath.Join(t.TempDir(), "bad.yaml")
	require.NoError(t, os.WriteFile(bad, []byte("retentoin:\n  logs: 7d\n"), 0o600))
	code, _, errs = runCLI(t, nil, "check", "config", bad)
	require.Equal(t, 1, code)
	require.Contains(t, errs, `bad.yaml:1: unknown key "retentoin", did you mean "retention"?`)

	code, out, _ = runCLI(t, nil, "version")
	require.Zero(t, code)
	require.Regexp(t, `^hune v\S+ \(revision \S+, go1\.\d+\S*, \w+/\w+\)\n$`, out)
}

// Every tenant sees its own data only, on every API; without a tenant there is no answer.
func TestTenancy(t *testing.T) {
	p := start(t, t.TempDir(), append([]string{"HUNE_MULTITENANCY=true"}, quiet...))
	now := time.Now()
	as := func(tenant string, more ...string) map[string]string {
		h := map[string]string{"X-Scope-OrgID": tenant}
		for i := 0; i+1 < len(more); i += 2 {
			h[more[i]] = more[i+1]
		}
		return h
	}
	traceOf := map[string]string{"red": strings.Repeat("0a", 16), "blue": strings.Repeat("0b", 16)}
	for tenant, id := range traceOf {
		status, body := p.post("/api/v1/write", "application/x-protobuf", remoteWrite("owned", now, map[string]float64{tenant: 1}), as(tenant, "Content-Encoding", "snappy"))
		require.Equal(t, http.StatusNoContent, status, body)
		status, body = p.post("/loki/api/v1/push", "application/json", lokiPush(map[string]string{"owner": tenant}, [][2]string{{fmt.Sprint(now.UnixNano()), "of " + tenant}}), as(tenant))
		require.Equal(t, http.StatusNoContent, status, body)
		status, body = p.post("/v1/traces", "application/json", oneSpan(id, "0102030405060708", tenant, "of "+tenant, now, now.Add(time.Second)), as(tenant))
		require.Equal(t, http.StatusOK, status, body)
	}
	check := func() {
		t.Helper()
		for tenant, id := range traceOf {
			other := "red"
			if tenant == "red" {
				other = "blue"
			}
			start, end := now.Add(-time.Hour), now.Add(time.Hour)
			require.Equal(t, map[string]string{tenant: "1"}, p.promVector("owned", now.Add(time.Second), "id", as(tenant)))
			require.Equal(t, map[string]int{"of " + tenant: 1}, p.lokiLines(`{owner=~".+"}`, start, end, as(tenant)))
			require.Equal(t, map[string]int{"of " + tenant: 1}, p.spanNames(id, as(tenant)))
			require.Empty(t, p.spanNames(traceOf[other], as(tenant)))
			ns := url.Values{"start": {fmt.Sprint(start.UnixNano())}, "end": {fmt.Sprint(end.UnixNano())}}
			secs := url.Values{"start": {fmt.Sprint(start.Unix())}, "end": {fmt.Sprint(end.Unix())}}
			for path, params := range map[string]url.Values{
				"/api/v1/series":                      {"match[]": {`{id=~".+"}`}, "start": secs["start"], "end": secs["end"]},
				"/api/v1/label/id/values":             secs,
				"/loki/api/v1/label/owner/values":     ns,
				"/loki/api/v1/series":                 {"match[]": {`{owner=~".+"}`}, "start": ns["start"], "end": ns["end"]},
				"/api/search":                         {"q": {"{}"}, "start": secs["start"], "end": secs["end"]},
				"/api/v2/search/tag/name/values":      secs,
				"/api/search/tag/service.name/values": secs,
			} {
				status, body := p.get(path, params, as(tenant))
				require.Equal(t, http.StatusOK, status, "%s: %s", path, body)
				require.Contains(t, body, tenant, path)
				require.NotContains(t, body, other, path)
			}
		}
	}
	check()
	p.flush()
	check()

	for _, path := range []string{"/api/v1/query?query=up", "/loki/api/v1/labels", "/api/search?q=%7B%7D", "/api/v2/traces/" + traceOf["red"], "/api/v1/labels"} {
		status, body := p.get(path, nil, nil)
		require.Equal(t, http.StatusUnauthorized, status, "%s: %s", path, body)
		status, _ = p.get(path, nil, as("../red"))
		require.Equal(t, http.StatusBadRequest, status, path)
	}
	status, _ := p.post("/loki/api/v1/push", "application/json", lokiPush(map[string]string{"a": "b"}, nil), nil)
	require.Equal(t, http.StatusUnauthorized, status)
}
