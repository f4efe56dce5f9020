package scraper

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
)

// write puts files into a new folder and returns it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	return dir
}

// wholeFile is a prometheus.yml as a user has it, with every section that there is.
const wholeFile = `
global:
  scrape_interval: 20s
  evaluation_interval: 30s
  external_labels: {cluster: eu, replica: a}
rule_files: [rules/*.yml]
alerting:
  alertmanagers: [{static_configs: [{targets: ["am:9093"]}]}]
remote_write: [{url: "http://thanos/api/v1/receive"}]
remote_read: [{url: "http://old/read"}]
storage: {tsdb: {out_of_order_time_window: 10m}}
otlp: {translation_strategy: NoTranslation}
tracing: {endpoint: "t:4317"}
scrape_config_files: [more/*.yml]
scrape_configs:
  - job_name: node
    file_sd_configs: [{files: [targets/*.json]}]
    always_scrape_classic_histograms: true
`

func TestWholePrometheusFile(t *testing.T) {
	dir := write(t, map[string]string{
		"prometheus.yml": wholeFile,
		"more/one.yml":   "scrape_configs: [{job_name: one, static_configs: [{targets: [a]}]}]\n",
		"more/two.yml":   "scrape_configs: [{job_name: two, scrape_interval: 5s}]\n",
	})
	c := DefaultConfig()
	c.File = filepath.Join(dir, "prometheus.yml")
	require.NoError(t, c.Validate())
	cfg, err := c.load("127.0.0.1:4320", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	jobs, err := cfg.GetScrapeConfigs()
	require.NoError(t, err)
	var names []string
	intervals := map[string]time.Duration{}
	for _, j := range jobs {
		names = append(names, j.JobName)
		intervals[j.JobName] = time.Duration(j.ScrapeInterval)
	}
	require.ElementsMatch(t, []string{"node", "one", "two", selfJob}, names)
	require.Equal(t, map[string]time.Duration{"node": 20 * time.Second, "one": 20 * time.Second, "two": 5 * time.Second, selfJob: 15 * time.Second}, intervals)
	require.Contains(t, cfg.String(), filepath.Join(dir, "targets/*.json"), "paths are relative to the file")
	require.Equal(t, []string{c.File, filepath.Join(dir, "more/one.yml"), filepath.Join(dir, "more/two.yml")}, c.Files())

	warnings := c.Warnings()
	for i, part := range []string{"5: global.external_labels", "9: remote_write", "10: remote_read", "11: storage", "12: otlp", "13: tracing"} {
		require.Contains(t, warnings[i], c.File+":"+part+" is not followed: ")
	}
	require.Len(t, warnings, 6)
}

func TestSelfJobFollowsGlobal(t *testing.T) {
	c := parse(t, "global: {sample_limit: 7, metric_name_escaping_scheme: underscores}\n")
	cfg, err := c.load("127.0.0.1:4320", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Equal(t, selfJob, cfg.ScrapeConfigs[0].JobName)
	require.EqualValues(t, 7, cfg.ScrapeConfigs[0].SampleLimit)
	require.Equal(t, model.EscapeUnderscores, cfg.ScrapeConfigs[0].MetricNameEscapingScheme)
}

func TestBadPrometheusFiles(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"unknown key", "scrape_configs:\n- job_name: a\n  scrape_intervall: 1s\n", "prometheus.yml:3: unknown key scrape_intervall"},
		{"unknown discovery", "scrape_configs:\n- job_name: a\n  yellowpages_sd_configs: []\n", "prometheus.yml:3: unknown key yellowpages_sd_configs: this program discovers by static, "},
		{"not YAML", "scrape_configs: [\n", "prometheus.yml"},
		{"two jobs of one name", "scrape_configs: [{job_name: a}, {job_name: a}]\n", `multiple scrape configs with job name "a"`},
		{"no name", "scrape_configs: [{}]\n", "job_name is empty"},
		{"bad file of jobs", "scrape_config_files: [bad.yml]\n", "bad.yml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := write(t, map[string]string{"prometheus.yml": c.text, "bad.yml": "scrape_configs: [{job: a}]\n"})
			cfg := DefaultConfig()
			cfg.File = filepath.Join(dir, "prometheus.yml")
			err := cfg.Validate()
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "metrics.prometheus_config: ")
		})
	}
	missing := Config{File: filepath.Join(t.TempDir(), "gone.yml")}
	require.ErrorContains(t, missing.Validate(), "no such file")
	require.Nil(t, missing.Warnings())
	twice := parse(t, "global: {scrape_interval: 1s}\n")
	twice.File = "prometheus.yml"
	require.ErrorContains(t, twice.Validate(), "the same thing twice")
}
