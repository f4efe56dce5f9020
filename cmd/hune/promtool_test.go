package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Prometheus's own tool pushes to Hune, asks it, and reads the blocks that Hune ships.
func TestPromtoolSession(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir, append(slices.Clone(quiet), "HUNE_METRICS_ADMIN_API=true"))
	file := filepath.Join(t.TempDir(), "metrics.txt")
	require.NoError(t, os.WriteFile(file, []byte(`# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{code="200"} 7
requests_total{code="500"} 1
# TYPE latency_seconds histogram
latency_seconds_bucket{le="1"} 2
latency_seconds_bucket{le="+Inf"} 3
latency_seconds_sum 4
latency_seconds_count 3
`), 0o600))
	run := func(args ...string) string {
		t.Helper()
		code, out := runTool(t, "promtool", args...)
		require.Zero(t, code, "%s: %s", args, out)
		return out
	}
	require.Contains(t, run("check", "healthy", "--url="+p.url), "SUCCESS")
	require.Contains(t, run("check", "ready", "--url="+p.url), "SUCCESS")
	began := time.Now()
	require.Contains(t, run("push", "metrics", "--label=job=pushed", p.url, file), "SUCCESS")
	// What it calls version 2 is version 1 with another Content-Type. Prometheus drops that without a word.
	code, out := runTool(t, "promtool", "push", "metrics", "--protobuf_message=io.prometheus.write.v2.Request", "--label=job=lost", p.url, file)
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "its Content-Type says io.prometheus.write.v2.Request")

	ended := time.Now()
	times := []string{"--start=" + began.Add(-time.Minute).Format(time.RFC3339), "--end=" + ended.Add(time.Minute).Format(time.RFC3339)}
	require.Contains(t, run("query", "instant", p.url, `sum(requests_total)`), "{} => 8 @[")
	require.Contains(t, run("query", "instant", "-o", "json", p.url, `requests_total{code="500"}`), `"value":[`)
	require.Contains(t, run(append(append([]string{"query", "range", "--step=15s"}, times...), p.url, "requests_total")...), `requests_total{code="200", job="pushed"} =>`+"\n7 @[")
	require.Equal(t, `{__name__="requests_total", code="500", job="pushed"}`+"\n", run(append(append([]string{"query", "series", `--match=requests_total{code="500"}`}, times...), p.url)...))
	require.Equal(t, "200\n500\n", run(append(append([]string{"query", "labels"}, times...), p.url, "code")...))
	require.Contains(t, run("query", "analyze", "--server="+p.url, "--type=histogram", "--match=latency_seconds_bucket"), "Aggregated bucket stats")
	code, out = runTool(t, "promtool", "query", "instant", p.url, `sum(requests_total`)
	require.Equal(t, 1, code)
	require.Contains(t, out, "unclosed left parenthesis")

	p.flush()
	shipped := filepath.Join(dir, "bucket", "anonymous", "metrics")
	downloaded := t.TempDir()
	require.NoError(t, os.CopyFS(downloaded, os.DirFS(shipped)))
	require.NoError(t, os.Mkdir(filepath.Join(downloaded, "wal"), 0o700)) // without one the tool dumps nothing
	require.Contains(t, run("tsdb", "list", downloaded), "NUM SAMPLES")
	require.Contains(t, run("tsdb", "analyze", downloaded), "Total Series: 6")
	dump := run("tsdb", "dump", `--match={__name__="requests_total"}`, downloaded)
	require.Contains(t, dump, `{__name__="requests_total", code="200", job="pushed"} 7 `)
	require.Contains(t, dump, `{__name__="requests_total", code="500", job="pushed"} 1 `)
	require.Contains(t, run("tsdb", "dump-openmetrics", "--match=requests_total", downloaded), `requests_total{code="200",job="pushed"} 7 `)

	// A snapshot by the admin API is as good as Prometheus's.
	code, body := p.post("/api/v1/admin/tsdb/snapshot", "", nil, nil)
	require.Equal(t, http.StatusOK, code, body)
	snapshots, err := os.ReadDir(filepath.Join(dir, "snapshots"))
	require.NoError(t, err)
	require.Contains(t, run("tsdb", "analyze", filepath.Join(dir, "snapshots", snapshots[0].Name())), "Total Series: 6")
	p.stop()
}
