package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A signal makes the program read its files again, those of Prometheus too; a bad one is said in the log.
func TestReloadBySignal(t *testing.T) {
	dir := t.TempDir()
	prom, file := filepath.Join(dir, "prometheus.yml"), filepath.Join(dir, "hune.yaml")
	job := func(name string) {
		text := fmt.Sprintf("remote_read: [{url: 'http://x'}]\nscrape_configs: [{job_name: %s, scrape_interval: 1s, static_configs: [{targets: ['127.0.0.1:1']}]}]\n", name)
		require.NoError(t, os.WriteFile(prom, []byte(text), 0o600))
	}
	job("one")
	require.NoError(t, os.WriteFile(file, []byte("reload_interval: 0s\nmetrics: {prometheus_config: "+prom+"}\n"), 0o600))
	p := start(t, filepath.Join(dir, "data"), quiet, "--config", file)
	require.Contains(t, p.log.String(), "remote_read is not followed")
	get := func(path string) string {
		_, text := p.get(path, nil, nil)
		return text
	}
	eventually := func(what string, ok func() bool) {
		t.Helper()
		require.Eventually(t, ok, 30*time.Second, 20*time.Millisecond, what)
	}
	eventually("the first job", func() bool { return strings.Contains(get("/api/v1/scrape_pools"), `"one"`) })
	job("two")
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
	eventually("the second job", func() bool { return strings.Contains(get("/api/v1/scrape_pools"), `["two"]`) })

	job("[")
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
	eventually("the failed reload", func() bool { return strings.Contains(get("/metrics"), "\nhune_config_last_reload_successful 0\n") })
	require.Contains(t, p.log.String(), "the old one stays in force")
	require.Contains(t, get("/api/v1/scrape_pools"), `["two"]`)
	resp, err := http.Post(p.url+"/-/reload", "", nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusInternalServerError, resp.StatusCode)
}
