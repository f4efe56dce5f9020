package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Two processes read one bucket and share a Redis: what the first has read, the second needs not ask the bucket for. A
// third one starts when the Redis is gone, and answers the same.
func TestProcessesSharePages(t *testing.T) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		require.NotEqual(t, "true", os.Getenv("CI"), "nothing may be left out: there is no redis-server")
		t.Skip("redis-server is not installed: scripts/test.sh installs it where it may")
	}
	redis := freeAddr(t)
	_, port, err := net.SplitHostPort(redis)
	require.NoError(t, err)
	server := exec.Command(path, "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", t.TempDir())
	require.NoError(t, server.Start())
	kill := func() { _ = server.Process.Kill(); _ = server.Wait() }
	t.Cleanup(kill)

	config := filepath.Join(t.TempDir(), "hune.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
storage: {provider: filesystem, filesystem: {directory: %q}}
cache: {redis: {addresses: [%q], timeout: 10s}}
compactor: {interval: 24h}
`, t.TempDir(), redis), 0o600))
	now := time.Now()
	lines, want := make([][2]string, 5000), map[string]int{}
	for i := range lines {
		line := fmt.Sprintf("order %d of customer %x", i, i*2654435761)
		lines[i] = [2]string{strconv.FormatInt(now.Add(-time.Duration(i)*time.Millisecond).UnixNano(), 10), line}
		want[line]++
	}
	p := start(t, t.TempDir(), quiet, "--config", config)
	code, body := p.post("/loki/api/v1/push", "application/json", lokiPush(map[string]string{"app": "shop"}, lines), nil)
	require.Equal(t, http.StatusNoContent, code, body)
	code, body = p.post("/api/v1/write", "application/x-protobuf", remoteWrite("orders", now, map[string]float64{"a": 1, "b": 2}), map[string]string{"Content-Encoding": "snappy"})
	require.Equal(t, http.StatusNoContent, code, body)
	p.flush()
	p.stop()

	read := func(p *process) (requests float64) {
		t.Helper()
		require.Equal(t, want, p.lokiLines(`{app="shop"}`, now.Add(-time.Hour), now.Add(time.Second), nil))
		require.Equal(t, map[string]string{"a": "1", "b": "2"}, p.promVector("orders", now, "id", nil))
		_, text := p.get("/metrics", nil, nil)
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "objstore_bucket_operations_total{") && strings.Contains(line, `operation="get_range"`) {
				n, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
				require.NoError(t, err)
				requests += n
			}
		}
		return requests
	}
	first := start(t, t.TempDir(), quiet, "--config", config)
	require.Eventually(t, func() bool { return first.metric("hune_cache_redis_up") == 1 }, time.Minute, 20*time.Millisecond)
	before := read(first)
	require.Zero(t, first.metric("hune_cache_redis_hits_total"))
	require.Eventually(t, func() bool {
		return first.metric("hune_cache_redis_written_total") == first.metric("hune_cache_redis_misses_total")
	}, time.Minute, 20*time.Millisecond)
	first.stop()
	second := start(t, t.TempDir(), quiet, "--config", config)
	require.Eventually(t, func() bool { return second.metric("hune_cache_redis_up") == 1 }, time.Minute, 20*time.Millisecond)
	after := read(second)
	require.Positive(t, second.metric("hune_cache_redis_hits_total"))
	require.Zero(t, second.metric("hune_cache_redis_misses_total"))
	require.Less(t, after, before)
	second.stop()
	kill()
	third := start(t, t.TempDir(), quiet, "--config", config)
	require.Equal(t, before, read(third))
	require.Zero(t, third.metric("hune_cache_redis_up"))
	third.stop()
}
