package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/config"
)

// reloadFixture is a running program with a configuration file.
type reloadFixture struct {
	*App
	file   string
	base   string
	signal chan os.Signal
}

// startWith runs the scraper and the roles that it needs on a configuration file with text in it.
func startWith(t *testing.T, text string) *reloadFixture {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "hune.yaml")
	base := fmt.Sprintf("data: %q\nroles: [scraper]\nhttp: {listen: '127.0.0.1:0'}\ntelemetry: {enabled: false}\nscrape_self: false\n", filepath.Join(dir, "data"))
	f := &reloadFixture{file: file, base: base}
	f.write(t, text)
	load := func() (config.Config, error) { return config.Load(file, nil) }
	cfg, err := load()
	require.NoError(t, err)
	f.signal = make(chan os.Signal, 1)
	f.App, err = New(t.Context(), cfg, Options{Log: io.Discard, Load: load, ConfigFile: file, Reload: f.signal})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	require.Eventually(t, func() bool { return f.get(t, "/ready") == "ready\n" }, 30*time.Second, 5*time.Millisecond)
	return f
}

func (f *reloadFixture) write(t *testing.T, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(f.file, []byte(f.base+text), 0o600))
}

func (f *reloadFixture) get(t *testing.T, path string) string {
	t.Helper()
	resp, err := http.Get("http://" + f.Addr() + path)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(text)
}

var jobName = regexp.MustCompile(`job_name: (\w+)`)

// jobs are the names of the jobs in force.
func (f *reloadFixture) jobs() (out []string) {
	for _, m := range jobName.FindAllStringSubmatch(f.scraper.ConfigText(), -1) {
		out = append(out, m[1])
	}
	return out
}

func (f *reloadFixture) post(t *testing.T) (int, string) {
	t.Helper()
	resp, err := http.Post("http://"+f.Addr()+"/-/reload", "", nil)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

func TestReload(t *testing.T) {
	f := startWith(t, "scrape_configs: [{job_name: one}]\nlimits: {max_age: 1h}\n")
	require.Contains(t, f.get(t, "/metrics"), "\nhune_config_last_reload_successful 1\n")
	require.Equal(t, []string{"one"}, f.jobs())

	f.write(t, "scrape_configs: [{job_name: one}, {job_name: two}]\nlimits: {max_age: 2h}\noverrides: {a: {max_age: 3h}}\nlog: {level: debug}\nretention: {logs: 9d}\nwal: {sync: interval}\n")
	require.True(t, f.changed())
	status, text := f.post(t)
	require.Equal(t, http.StatusOK, status, text)
	require.Empty(t, text)
	require.False(t, f.changed())
	require.Equal(t, []string{"one", "two"}, f.jobs())
	require.Equal(t, model.Duration(2*time.Hour), f.overrides.Defaults().MaxAge)
	require.Equal(t, model.Duration(3*time.Hour), f.overrides.For("a").MaxAge)
	require.Equal(t, "DEBUG", f.logLevel.Level().String())
	shown := f.get(t, "/config")
	require.Contains(t, shown, "job_name: two")
	require.Contains(t, shown, "sync: always", "what needs a restart is shown as it is in force")
	require.Contains(t, f.get(t, "/config?mode=diffs"), "level: debug")

	// A bad file changes nothing, says why and where, and is told by the metrics.
	for _, bad := range []string{
		"scrape_configs: [{job_name: three}]\nlimits: {max_age: -1h}\n",
		"scrape_configs: [{job_name: three, nonsense: 1}]\n",
		"scrape_configs: [\n",
		"scrape_configs: [{job_name: three}]\noverrides: {a: {nonsense: 1}}\n",
	} {
		f.write(t, bad)
		status, text = f.post(t)
		require.Equal(t, http.StatusInternalServerError, status, bad)
		require.True(t, strings.HasPrefix(text, "reload: "+f.file), text)
		require.Equal(t, []string{"one", "two"}, f.jobs())
		require.Equal(t, model.Duration(3*time.Hour), f.overrides.For("a").MaxAge)
		got := f.get(t, "/metrics")
		require.Contains(t, got, "\nhune_config_last_reload_successful 0\n")
		require.Contains(t, got, "\nprometheus_config_last_reload_successful 0\n")
		require.Contains(t, f.get(t, "/api/v1/status/runtimeinfo"), `"reloadConfigSuccess":false`)
		require.False(t, f.changed(), "it is not tried again before it changes")
	}
	require.NoError(t, os.Remove(f.file))
	require.True(t, f.changed())
	status, text = f.post(t)
	require.Equal(t, http.StatusInternalServerError, status)
	require.Contains(t, text, "no such file")

	f.write(t, "scrape_configs: [{job_name: three}]\n")
	status, _ = f.post(t)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, []string{"three"}, f.jobs())
	require.Contains(t, f.get(t, "/metrics"), "\nhune_config_last_reload_successful 1\n")
}

// A part that fails takes those before it back.
func TestReloadIsAllOrNothing(t *testing.T) {
	f := startWith(t, "scrape_configs: [{job_name: one}]\nlimits: {max_age: 1h}\n")
	all := reloadables
	t.Cleanup(func() { reloadables = all })
	reloadables = append(all[:len(all):len(all)], reloadable{"stubborn", nil, func(_, _ *config.Config) {}, func(*App, *config.Config) error { return errors.New("no") }})
	f.write(t, "scrape_configs: [{job_name: two}]\nlimits: {max_age: 2h}\n")
	status, text := f.post(t)
	require.Equal(t, http.StatusInternalServerError, status)
	require.Equal(t, "reload: reload stubborn: no\n", text)
	require.Equal(t, []string{"one"}, f.jobs())
	require.Equal(t, model.Duration(time.Hour), f.overrides.Defaults().MaxAge)
	require.NotContains(t, f.get(t, "/config"), "job_name: two")
}

func TestReloadByFiles(t *testing.T) {
	prom := filepath.Join(t.TempDir(), "prometheus.yml")
	job := func(name string) {
		require.NoError(t, os.WriteFile(prom, []byte("scrape_configs: [{job_name: "+name+"}]\n"), 0o600))
	}
	pools := func(f *reloadFixture, want string) {
		t.Helper()
		require.Eventually(t, func() bool { return slices.Equal(f.jobs(), []string{want}) }, 30*time.Second, 5*time.Millisecond)
	}
	job("one")
	f := startWith(t, fmt.Sprintf("reload_interval: 1s\nmetrics: {prometheus_config: %q}\n", prom))
	pools(f, "one")
	job("two")
	pools(f, "two") // nobody asked
	job("three")    // and the other file too: whichever is seen first, the program ends up with both
	f.write(t, fmt.Sprintf("reload_interval: 0s\nmetrics: {prometheus_config: %q}\n", prom))
	pools(f, "three")
	require.Eventually(t, func() bool { return f.reloader.current.Load().ReloadInterval == 0 }, 30*time.Second, 5*time.Millisecond)
}

func TestReloadBySignal(t *testing.T) {
	f := startWith(t, "reload_interval: 0s\nscrape_configs: [{job_name: one}]\n")
	f.write(t, "reload_interval: 0s\nscrape_configs: [{job_name: two}]\n")
	f.signal <- syscall.SIGHUP
	require.Eventually(t, func() bool { return slices.Equal(f.jobs(), []string{"two"}) }, 30*time.Second, 5*time.Millisecond)
}

func TestRestartKeys(t *testing.T) {
	a, b := config.Default(), config.Default()
	b.HTTP.Listen, b.WAL.Sync, b.Limits.MaxAge, b.Log.Level, b.Log.Format = ":1", "interval", 1, "debug", "json"
	b.Metrics.PrometheusConfig = "x"
	require.Equal(t, []string{"http.listen", "log.format", "wal.sync"}, restartKeys(&a, &b))
	require.Empty(t, restartKeys(&a, &a))
}
