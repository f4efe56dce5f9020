package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Rules of Prometheus are checked and tested by its own tool with the same outcome as by hune.
func TestPromtoolAgreesAboutRules(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	good := write("good.yml", `
groups:
- name: service
  interval: 30s
  rules:
  - {record: 'job:requests:rate5m', expr: 'sum by (job) (rate(requests_total[5m]))'}
  - alert: Slow
    expr: job:requests:rate5m < 1
    for: 2m
    keep_firing_for: 1m
    labels: {severity: page}
    annotations: {summary: '{{ $labels.job }} serves {{ printf "%.1f" $value }} a second'}
`)
	unit := func(name, summary string) string {
		return write(name, `
rule_files: [good.yml]
evaluation_interval: 30s
tests:
- interval: 30s
  input_series:
  - {series: 'requests_total{job="api"}', values: '0+15x20'}
  promql_expr_test:
  - {expr: 'job:requests:rate5m', eval_time: 5m, exp_samples: [{labels: 'job:requests:rate5m{job="api"}', value: 0.5}]}
  alert_rule_test:
  - eval_time: 10m
    alertname: Slow
    exp_alerts: [{exp_labels: {severity: page, job: api}, exp_annotations: {summary: '`+summary+`'}}]
`)
	}
	for _, c := range []struct {
		name, verb, file string
		ok               bool
	}{
		{"good rules", "check", good, true},
		{"default rules", "check", "../../internal/ruler/defaults.yaml", true},
		{"tests of the default rules", "test", "../../internal/ruler/testdata/defaults.yml", true},
		{"no such function", "check", write("function.yml", "groups: [{name: g, rules: [{alert: A, expr: 'nothing(up)'}]}]"), false},
		{"no such field of a template", "check", write("template.yml", "groups: [{name: g, rules: [{alert: A, expr: up, annotations: {a: '{{ nothing }}'}}]}]"), false},
		{"two groups of a name", "check", write("twice.yml", "groups: [{name: g, rules: []}, {name: g, rules: []}]"), false},
		{"unknown field", "check", write("field.yml", "groups: [{name: g, rules: [{alert: A, expr: up, fro: 5m}]}]"), false},
		{"a test that holds", "test", unit("holds.yml", "api serves 0.5 a second"), true},
		{"a test that doesn't", "test", unit("doesnt.yml", "api serves 7 a second"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out := runTool(t, "promtool", c.verb, "rules", c.file)
			require.Equal(t, c.ok, code == 0, out)
			ours, stdout, stderr := runCLI(t, nil, c.verb, "rules", c.file)
			require.Equal(t, c.ok, ours == 0, "hune %s rules: %s%s", c.verb, stdout, stderr)
		})
	}
}
