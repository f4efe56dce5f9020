package ruler

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/rules"
)

func TestLint(t *testing.T) {
	f, errs := rules.DecodeFile([]byte(`
groups:
  - name: a
    rules:
      - record: r
        expr: sum(up)
      - alert: NoSeverity
        expr: sum by (job) (up) == 0
        annotations: {summary: '{{ $labels.job }} on {{ $labels.instance }} of {{ $labels.team }}'}
        labels: {team: x}
      - alert: Good
        expr: topk(3, sum by (job) (rate(errors_total[5m]))) > 0
        labels: {severity: page}
        annotations: {summary: '{{ $labels.job }}'}
  - name: b
    rules:
      - record: r
        expr: count(up)
      - record: r
        expr: count(up)
        labels: {of: b}
      - alert: Costs
        labels: {severity: page}
        expr: max_over_time(up{job=~".*api"}[2d]) > 0 and sum_over_time({job="x"}[5m]) > 0 and avg_over_time(up[1d:1s]) > 0
  - name: c
    signal: logs
    rules:
      - alert: Good
        expr: sum(count_over_time({a="b"}[5m])) > 0
        labels: {severity: page}
`), Check)
	require.Empty(t, errs)
	require.Equal(t, []string{
		`group "a", alert "NoSeverity": it has no label severity, by which notifications are usually routed`,
		`group "a", alert "NoSeverity": a template names the label instance, which the expression drops`,
		`group "b", recording rule "r": the same rule is in group "a" already`,
		`group "b", alert "Costs": up{job=~".*api"}[2d] reads 2d at every evaluation: record a shorter range and aggregate that`,
		`group "b", alert "Costs": job=~".*api" compares every value of job, since it begins with .*`,
		`group "b", alert "Costs": {job="x"} selects series of every name`,
		`group "b", alert "Costs": the subquery [1d:1s] evaluates its expression 86400 times`,
	}, Lint(f))
}

func TestDefaultRules(t *testing.T) {
	f, errs := rules.DecodeFile(defaultRules, Check)
	require.Empty(t, errs)
	require.Empty(t, Lint(f))
}

func TestFaultsHavePlaces(t *testing.T) {
	_, errs := rules.DecodeFile([]byte(`groups:
- name: g
  signal: traces
  rules:
  - alert: A
    expr: '{ .x = }'
  - alert: B
    expr: '{}'
    labels: {"0x": y}
- name: g
  signal: profiles
`), Check)
	var texts []string
	for _, err := range errs {
		texts = append(texts, err.Error())
	}
	require.Len(t, texts, 4)
	require.Contains(t, texts[0], `6:11: group "g", rule 0, "A": could not parse expression for alert 'A' in group 'g': `)
	require.Contains(t, texts[1], `8:11: group "g", rule 1, "B": could not parse expression for alert 'B' in group 'g': the query answers with traces`)
	require.Equal(t, `group "g" is there twice`, texts[2])
	require.Equal(t, `group "g": signal "profiles" is none of metrics, logs and traces`, texts[3])
}
