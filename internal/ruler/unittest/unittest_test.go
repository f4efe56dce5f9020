package unittest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/grafana/regexp"
	"github.com/stretchr/testify/require"
)

const ruleFile = `
groups:
  - name: m
    rules:
      - record: job:up:sum
        expr: sum by (job) (up)
      - alert: Down
        expr: up == 0
        for: 2m
        labels: {severity: page}
        annotations: {summary: "{{ $labels.job }} is down"}
  - name: l
    signal: logs
    rules:
      - record: app:errors:count5m
        expr: sum by (app) (count_over_time({app="web"} |= "error" [5m]))
      - alert: Errors
        expr: sum by (app) (count_over_time({app="web"} |= "error" [5m])) > 3
  - name: of logs and metrics
    rules:
      - alert: ErrorsRecorded
        expr: app:errors:count5m > 3
`

const data = `
rule_files: [rules.yml]
evaluation_interval: 1m
group_eval_order: [m, l, of logs and metrics]
tests:
  - name: one
    interval: 1m
    input_series:
      - {series: 'up{job="api"}', values: '1x3 0x10'}
    input_logs:
      - stream: '{app="web"}'
        lines:
          - {at: 30s, line: 'level=error msg="refused"', every: 10s, times: 12, metadata: {trace_id: abc}}
`

func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return filepath.Join(dir, "test.yml")
}

func TestRulesAboutMetricsAndLogs(t *testing.T) {
	for name, tc := range map[string]struct{ expect, fault string }{
		"all": {expect: `
    alert_rule_test:
      - {eval_time: 3m, alertname: Errors, exp_alerts: [{exp_labels: {app: web}}]}
      - {eval_time: 3m, alertname: ErrorsRecorded, exp_alerts: [{exp_labels: {app: web}}]}
      - {eval_time: 5m, alertname: Down}
      - {eval_time: 6m, alertname: Down, exp_alerts: [{exp_labels: {job: api, severity: page}, exp_annotations: {summary: api is down}}]}
    promql_expr_test:
      - {expr: 'app:errors:count5m', eval_time: 3m, exp_samples: [{labels: 'app:errors:count5m{app="web"}', value: 12}]}
    logql_expr_test:
      - {expr: 'sum by (trace_id) (count_over_time({app="web"}[5m]))', eval_time: 3m, exp_samples: [{labels: '{trace_id="abc"}', value: 12}]}
`},
		"an alert that doesn't fire": {`
    alert_rule_test:
      - {eval_time: 1m, alertname: Down, exp_alerts: [{exp_labels: {job: api}}]}
`, "alertname: Down, time: 1m,\n    exp: Labels:{alertname=\"Down\", job=\"api\"} Annotations:{}\n    got: []"},
		"other annotations": {`
    alert_rule_test:
      - {eval_time: 6m, alertname: Down, exp_alerts: [{exp_labels: {job: api, severity: page}}]}
`, `got: Labels:{alertname="Down", job="api", severity="page"} Annotations:{summary="api is down"}`},
		"an alert that nobody expects": {`
    alert_rule_test:
      - {eval_time: 3m, alertname: Errors}
`, `exp: []`},
		"another value of PromQL": {`
    promql_expr_test:
      - {expr: 'up', eval_time: 1m, exp_samples: [{labels: 'up{job="api"}', value: 2}]}
`, `exp: [{__name__="up", job="api"} 2]`},
		"another value of LogQL": {`
    logql_expr_test:
      - {expr: 'sum(count_over_time({app="web"}[1m]))', eval_time: 1m, exp_samples: [{labels: '{}', value: 5}]}
`, `got: [{} 4]`},
		"no LogQL": {`
    logql_expr_test:
      - {expr: 'sum(', eval_time: 1m}
`, `expr: "sum(", time: 1m: `},
		"no name": {`
    alert_rule_test:
      - {eval_time: 1m}
`, `alert_rule_test 0 at 1m has no alertname`},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Read(write(t, map[string]string{"rules.yml": ruleFile, "test.yml": data + tc.expect}))
			require.NoError(t, err)
			results, err := f.Run(nil)
			require.NoError(t, err)
			require.Len(t, results, 1)
			if tc.fault == "" {
				require.Empty(t, results[0].Faults)
				return
			}
			require.NotEmpty(t, results[0].Faults)
			require.ErrorContains(t, results[0].Faults[0], tc.fault)
		})
	}
}

func TestOnlySomeTests(t *testing.T) {
	f, err := Read(write(t, map[string]string{"rules.yml": ruleFile, "test.yml": "rule_files: [rules.yml]\ntests: [{name: ab}, {name: b}, {}]"}))
	require.NoError(t, err)
	results, err := f.Run(regexp.MustCompile("a"))
	require.NoError(t, err)
	require.Equal(t, []Result{{Test: "ab"}}, results)
	results, err = f.Run(nil)
	require.NoError(t, err)
	require.Equal(t, "unnamed#2", results[2].Test)
}

func TestBadFiles(t *testing.T) {
	for name, tc := range map[string]struct{ test, rules, fault string }{
		"unknown key":  {"tests: [{nme: x}]", ruleFile, "field nme not found"},
		"no rule file": {"rule_files: [x.yml]", ruleFile, `rule_files: no file matches`},
		"order twice":  {"group_eval_order: [a, a]", ruleFile, `group_eval_order: "a" is there twice`},
		"bad time":     {"tests: [{start_timestamp: tomorrow}]", ruleFile, `line 1: "tomorrow" is neither a time`},
		"bad rules":    {"rule_files: [rules.yml]\ntests: [{}]", "groups: [{name: g, signal: logs, rules: [{alert: A, expr: '{a='}]}]", `rules.yml: 1:59: group "g", rule 0, "A": `},
		"traces":       {"rule_files: [rules.yml]\ntests: [{}]", "groups: [{name: g, signal: traces, rules: [{alert: A, expr: '{} | rate()'}]}]", `group "g": rules about traces can't be tested`},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Read(write(t, map[string]string{"rules.yml": tc.rules, "test.yml": tc.test}))
			if err == nil {
				_, err = f.Run(nil)
			}
			require.ErrorContains(t, err, tc.fault)
		})
	}
}

// The test files of promtool itself.
func TestAgreesWithPromtool(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/prometheus/prometheus").Output()
	require.NoError(t, err)
	dir := filepath.Join(strings.TrimSpace(string(out)), "cmd", "promtool", "testdata")
	for name, pass := range map[string]bool{"unittest": true, "long-period": true, "no-test-group-interval": true, "start-time-test": true, "at-modifier-test": true,
		"negative-offset-test": true, "bad-input-series": false, "bad-promql": false, "bad-rules-syntax-test": false,
		"bad-rules-error-test": false, "failing": false, "rules_run_no_fuzzy": false} {
		t.Run(name, func(t *testing.T) {
			f, err := Read(filepath.Join(dir, name+".yml"))
			if err != nil {
				require.False(t, pass, err)
				return
			}
			results, err := f.Run(nil)
			if err != nil {
				require.False(t, pass, err)
				return
			}
			passed := true
			for _, r := range results {
				if len(r.Faults) > 0 {
					passed = false
					if pass {
						t.Errorf("%s: %v", r.Test, r.Faults)
					}
				}
			}
			require.Equal(t, pass, passed)
		})
	}
	f, err := Read(filepath.Join(dir, "rules_run_fuzzy.yml"))
	require.NoError(t, err)
	results, err := f.Run(nil)
	require.NoError(t, err)
	for _, r := range results {
		require.Equal(t, strings.HasPrefix(r.Test, "correct"), len(r.Faults) == 0, "%s: %v", r.Test, r.Faults)
	}
}
