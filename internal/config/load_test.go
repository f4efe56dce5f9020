package config

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
)

func TestEmptyIsDefault(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "{}"} {
		cfg, err := Parse([]byte(text), "hune.yaml", nil)
		require.NoError(t, err)
		require.Equal(t, Default(), cfg)
	}
}

func TestFileAndEnvironment(t *testing.T) {
	cfg, err := Parse([]byte(`
retention: {logs: 7d}
ingester:
  logs:
    max_head_age: 1m
overrides:
  team-a: {max_age: 2h}
`), "hune.yaml", []string{"PATH=/bin", "HUNE_RETENTION_TRACES=1d", "HUNE_INGESTER_LOGS_MAX_HEAD_AGE=2m", "HUNE_ROLES=[ingester, store]",
		"HUNE_MULTITENANCY=true", "HUNE_HTTP={listen: ':80'}", "HUNE_SERVICE_PORT=8080"})
	require.NoError(t, err)
	month := model.Duration(30 * 24 * time.Hour)
	require.Equal(t, month, cfg.Retention.Metrics)
	require.Equal(t, model.Duration(7*24*time.Hour), cfg.Retention.Logs)
	require.Equal(t, model.Duration(24*time.Hour), cfg.Retention.Traces)
	require.Equal(t, model.Duration(2*time.Minute), cfg.Ingester.Logs.MaxHeadAge, "the environment wins")
	require.Equal(t, Default().Ingester.Logs.MaxHeadBytes, cfg.Ingester.Logs.MaxHeadBytes, "a sibling keeps its default")
	require.Equal(t, []string{"ingester", "store"}, cfg.Roles)
	require.True(t, cfg.Multitenancy)
	require.Equal(t, ":80", cfg.HTTP.Listen)
	require.Equal(t, Default().HTTP.MaxBodyBytes, cfg.HTTP.MaxBodyBytes)
}

func TestFaultsNameTheirPlace(t *testing.T) {
	for _, c := range []struct {
		name, text string
		env        []string
		want       []string
	}{
		{"unknown key", "wal:\n  synk: always\n", nil, []string{`hune.yaml:2: unknown key "wal.synk", did you mean "wal.sync"?`}},
		{"unknown section", "retentoin:\n  logs: 1d\n", nil, []string{`hune.yaml:1: unknown key "retentoin", did you mean "retention"?`}},
		{"nothing near", "wal:\n  zzzzzzzzzzzz: 1\n", nil, []string{`hune.yaml:2: unknown key "wal.zzzzzzzzzzzz" (known here: `, "sync_interval"}},
		{"all at once", "walx: {}\nlogx: {}\n", nil, []string{"hune.yaml:1", "hune.yaml:2"}},
		{"wrong type", "\nmultitenancy: [1]\n", nil, []string{"hune.yaml:2", "bool"}},
		{"wrong duration", "retention:\n  logs: forever\n", nil, []string{"hune.yaml", "forever"}},
		{"wrong value", "wal: {sync: maybe}\n", nil, []string{"hune.yaml", "wal.sync", "maybe"}},
		{"not a mapping", "- a\n", nil, []string{"hune.yaml:1", "mapping"}},
		{"not YAML", "a: [\n", nil, []string{"hune.yaml", "line"}},
		{"unknown limit of a tenant", "overrides:\n  a:\n    max_agee: 1h\n", nil, []string{"hune.yaml", "3", "max_agee"}},
		{"bad tenant", "overrides:\n  a/b: {}\n", nil, []string{"a/b"}},
		{"environment", "", []string{"HUNE_RETENTION_LOGS=forever"}, []string{"HUNE_RETENTION_LOGS", "forever"}},
		{"environment section", "", []string{"HUNE_WAL={synk: x}"}, []string{"HUNE_WAL", `"wal.synk"`, "wal.sync"}},
		{"forgotten before it is found", "ingester: {logs: {keep_after_upload: 1m}}\n", nil, []string{"ingester.logs.keep_after_upload", "1m is shorter", "store.poll_interval"}},
		{"found too late", "store: {poll_interval: 31m}\n", nil, []string{"ingester.traces.keep_after_upload", "metrics.keep_local"}},
		{"metrics deleted while they are read", "compactor: {metrics_delete_delay: 1m}\n", nil, []string{"compactor.metrics_delete_delay", "1m is shorter", "store.poll_interval"}},
		{"deleted while it is read", "compactor: {delete_delay: 1m}\n", nil, []string{"compactor.delete_delay", "1m is shorter", "store.poll_interval"}},
		{"retention of no selector", "limits: {logs: {retention_stream: [{selector: '{a=', period: 1d}]}}\n", nil, []string{"limits.logs.retention_stream.0.selector", "parse error"}},
		{"retention of no selector of a tenant", "overrides: {a: {logs: {retention_stream: [{selector: x, period: 1d}]}}}\n", nil, []string{"overrides.a.logs.retention_stream.0.selector"}},
		{"unknown key of a rule", "overrides:\n  a:\n    logs:\n      retention_stream: [{selektor: x}]\n", nil, []string{"hune.yaml", "4", "selektor", "selector, priority, period"}},
		{"bad filter policy of a tenant", "overrides: {a: {traces: {generator: {span_metrics: {filter_policies: [{exclude: {match_type: strict, attributes: [{key: x, value: 1}]}}]}}}}}\n", nil,
			[]string{"overrides.a.traces.generator.span_metrics.filter_policies.0.exclude", `"x" is not name`}},
		{"generator too fast", "traces: {generator: {interval: 1ms}}\n", nil, []string{"traces.generator.interval", "shorter than 1s"}},
		{"bad role is left to the program", "roles: [nonsense]\n", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(c.text), "hune.yaml", c.env)
			if c.want == nil {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			for _, want := range c.want {
				require.Contains(t, err.Error(), want)
			}
		})
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"sync", "synk", 1}, {"retentoin", "retention", 2}, {"kitten", "sitting", 3}} {
		require.Equal(t, c.want, distance(c.a, c.b), "%s %s", c.a, c.b)
		require.Equal(t, c.want, distance(c.b, c.a), "%s %s", c.b, c.a)
	}
}

// No two keys may be set by one variable.
func TestVariablesAreDistinct(t *testing.T) {
	seen := map[string]string{}
	var walk func(fields map[string][]string)
	walk = func(fields map[string][]string) {
		for name, path := range fields {
			joined := strings.Join(path, ".")
			require.True(t, seen[name] == "" || seen[name] == joined, "%s sets %s and %s", name, seen[name], joined)
			seen[name] = joined
		}
	}
	walk(paths())
	require.Greater(t, len(seen), 50)
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("wal: {sync: always}\n"))
	f.Add([]byte("overrides: {a: &x {max_age: 1h}, b: *x}\n"))
	f.Add([]byte("<<: {wal: {}}\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := Parse(data, "f.yaml", nil)
		if err == nil && cfg.Data == "" {
			t.Fatal("an invalid configuration was accepted")
		}
	})
}

func TestClusterWarnings(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		cfg, err := Parse([]byte(text), "hune.yaml", nil)
		require.NoError(t, err)
		got := cfg.Warnings()
		require.Len(t, got, len(want), got)
		for i, w := range want {
			require.Contains(t, got[i], w)
		}
	}
	f("alertmanager: {config_file: am.yml}")
	f("cluster: {join: [a:7946]}", "http.listen", "cluster.secret")
	f("cluster: {join: [a:7946], secret: 0123456789abcdef}\nhttp: {listen: ':80'}")
	f("cluster: {join: [a:7946], secret: 0123456789abcdef, http_address: 'a:80'}\nalertmanager: {config_file: am.yml}", "alertmanager.cluster")
}
