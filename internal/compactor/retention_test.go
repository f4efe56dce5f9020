package compactor

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/hune-io/hune/internal/limits"
)

// overrides reads the sections limits and overrides of a configuration.
func overrides(t *testing.T, text string) *limits.Overrides {
	t.Helper()
	c := struct {
		Limits    limits.Limits           `yaml:"limits"`
		Overrides map[string]limits.Patch `yaml:"overrides"`
	}{Limits: limits.DefaultConfig()}
	require.NoError(t, yaml.Unmarshal([]byte(text), &c))
	o, err := limits.New(c.Limits, c.Overrides)
	require.NoError(t, err)
	return o
}

// The example of Loki's documentation.
func TestLogRetention(t *testing.T) {
	o := overrides(t, `
limits:
  logs:
    retention_period: 31d
    retention_stream:
      - {selector: '{namespace="dev"}', priority: 1, period: 1d}
overrides:
  "29":
    logs:
      retention_period: 7d
      retention_stream:
        - {selector: '{namespace="prod"}', priority: 2, period: 14d}
        - {selector: '{container="loki"}', priority: 1, period: 3d}
  "30":
    logs:
      retention_stream:
        - {selector: '{container="nginx"}', priority: 1, period: 1d}
`)
	r, err := NewLogRetention(o, DefaultRetention())
	require.NoError(t, err)
	f := func(tenant string, want time.Duration, pairs ...string) {
		t.Helper()
		require.Equal(t, want, r.Of(tenant).Of(labels.FromStrings(pairs...)))
	}
	f("1", 31*day, "app", "x")
	f("1", day, "namespace", "dev")
	f("29", 7*day, "app", "x")
	f("29", 14*day, "namespace", "prod", "container", "loki")
	f("29", 3*day, "container", "loki")
	f("30", 31*day, "app", "x")
	f("30", day, "container", "nginx")
	f("30", day, "namespace", "dev")
	require.Same(t, r.Of("29"), r.Of("29"))

	before := r.Of("1")
	changed := limits.DefaultConfig()
	require.NoError(t, o.Reload(changed, nil))
	require.NotSame(t, before, r.Of("1"))
	f("1", 30*day, "namespace", "dev")
	f("29", 30*day, "app", "x")

	changed.Logs.RetentionStream = []limits.StreamRetention{{Selector: "{", Period: 1}}
	before = r.Of("1")
	require.NoError(t, o.Reload(changed, nil))
	require.Same(t, before, r.Of("1"), "what makes no sense changes nothing")
	require.Zero(t, r.Of("new").Longest(), "and deletes nothing")
}

func TestLogRetentionFaults(t *testing.T) {
	o := overrides(t, `
limits:
  logs:
    retention_stream: [{selector: '{namespace="dev"', period: 1d}, {selector: '{a=~"("}', period: 1d}, {selector: '{a="b"} |= "c"', period: 1d}]
overrides:
  same: {logs: {max_line_size: 1MiB}}
  own: {logs: {retention_stream: [{selector: 'x', period: 1d}]}}
`)
	_, err := NewLogRetention(o, DefaultRetention())
	require.ErrorContains(t, err, `limits.logs.retention_stream.0.selector: "{namespace=\"dev\"": parse error`)
	require.ErrorContains(t, err, "logs.retention_stream.2.selector")
	require.ErrorContains(t, err, "overrides.own.logs.retention_stream.0.selector")
	require.False(t, strings.Contains(err.Error(), "overrides.same"))
}
