package limits

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/hune-io/hune/internal/signal"
)

type file struct {
	Limits    Limits           `yaml:"limits"`
	Overrides map[string]Patch `yaml:"overrides"`
}

func load(t *testing.T, text string) (*Overrides, error) {
	t.Helper()
	f := file{Limits: DefaultConfig()}
	dec := yaml.NewDecoder(strings.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil {
		return nil, err
	}
	return New(f.Limits, f.Overrides)
}

func TestOverrides(t *testing.T) {
	o, err := load(t, `
limits:
  max_age: 7d
  logs:
    max_line_size: 1MiB
overrides:
  team-a:
    logs:
      max_label_names_per_series: 20
      ingestion_rate: 4MB
    queries:
      timeout: 5s
  team-b:
    max_age: 0s
  team-c:
`)
	require.NoError(t, err)
	require.Equal(t, []string{"team-a", "team-b", "team-c"}, o.Tenants())

	d := o.For("nobody")
	require.Equal(t, units.MiB, d.Logs.MaxLineSize)
	require.Equal(t, 15, d.Logs.MaxLabelNamesPerSeries)
	require.Equal(t, model.Duration(7*24*time.Hour), d.MaxAge)

	a := o.For("team-a")
	require.Equal(t, units.MiB, a.Logs.MaxLineSize, "what an override leaves out comes from the defaults")
	require.Equal(t, 20, a.Logs.MaxLabelNamesPerSeries)
	require.Equal(t, 4*units.MiB, a.Logs.IngestionRate)
	require.Equal(t, model.Duration(5*time.Second), a.Queries.Timeout)
	require.Equal(t, 5000, a.Queries.MaxEntries)
	require.True(t, a.Logs.DiscoverServiceName)

	require.Zero(t, o.For("team-b").MaxAge, "an override can turn a limit off")
	require.Equal(t, *d, *o.For("team-c"))
}

func TestOverridesRejectBadFiles(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":        {"overrides:\n  a:\n    logs:\n      max_lines: 3\n", `line 4: unknown key "logs.max_lines"`},
		"unknown section":    {"overrides:\n  a:\n    log: {}\n", `line 3: unknown key "log", known here are max_age`},
		"not a mapping":      {"overrides:\n  a: 7\n", "line 2: limits: want a mapping"},
		"bad size":           {"overrides:\n  a:\n    logs:\n      max_line_size: many\n", "units: invalid many"},
		"bad number":         {"overrides:\n  a:\n    queries:\n      max_points_per_series: x\n", "line 4: cannot unmarshal"},
		"negative":           {"overrides:\n  a:\n    queries:\n      max_points_per_series: -1\n", "overrides.a.queries.max_points_per_series: must not be negative"},
		"negative default":   {"limits:\n  metrics:\n    ingestion_rate: -2\n", "limits.metrics.ingestion_rate: must not be negative"},
		"bad tenant":         {"overrides:\n  a/b: {}\n", `overrides: tenant ID "a/b" contains unsupported character`},
		"unknown in default": {"limits:\n  lines: 1\n", "line 2: field lines not found"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, c.text)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestReloadKeepsOldLimitsOnError(t *testing.T) {
	o, err := New(DefaultConfig(), nil)
	require.NoError(t, err)
	bad := DefaultConfig()
	bad.Logs.MaxLineSize = -1
	bad.Queries.MaxEntries = -1
	err = o.Reload(bad, nil)
	require.ErrorContains(t, err, "limits.logs.max_line_size")
	require.ErrorContains(t, err, "limits.queries.max_entries_limit_per_query", "all faults at once")
	require.Equal(t, 256*units.KiB, o.For("x").Logs.MaxLineSize)

	good := DefaultConfig()
	good.Logs.MaxLineSize = 7
	require.NoError(t, o.Reload(good, nil))
	require.Equal(t, units.Base2Bytes(7), o.For("x").Logs.MaxLineSize)
}

// Every number of Limits must be checked against negative values: a forgotten one fails here.
func TestValidateKnowsEveryNumber(t *testing.T) {
	d := DefaultConfig()
	require.NoError(t, d.Validate())
	text, err := yaml.Marshal(d)
	require.NoError(t, err)
	var back Limits
	require.NoError(t, yaml.Unmarshal(text, &back))
	require.Equal(t, d, back, "limits survive their own YAML")

	for path, set := range numericFields(&d) {
		bad := DefaultConfig()
		set(&bad)
		require.ErrorContains(t, bad.Validate(), path+":")
	}
}

func TestRetentionRules(t *testing.T) {
	bad := DefaultConfig()
	bad.Logs.RetentionStream = []StreamRetention{{Selector: `{a="b"}`}, {Period: -1}}
	err := bad.Validate()
	require.ErrorContains(t, err, "logs.retention_stream.1.period: must not be negative")
	require.ErrorContains(t, err, "logs.retention_stream.1.selector: is missing")
	o, err := New(DefaultConfig(), nil)
	require.NoError(t, err)
	require.Same(t, o.Defaults(), o.For("anybody"))
}

func TestDiscardedBoundsTenants(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	d := NewDiscarded(reg)
	for i := range maxCountedTenants + 50 {
		d.Add(signal.Logs, "rate_limited", fmt.Sprintf("t%d", i), 2)
	}
	d.Add(signal.Logs, "rate_limited", "t0", 3)
	d.Add(signal.Logs, "rate_limited", "t0", 0)
	n, err := testutil.GatherAndCount(reg, "hune_discarded_total")
	require.NoError(t, err)
	require.Equal(t, maxCountedTenants+1, n)
	require.Equal(t, 5.0, testutil.ToFloat64(d.total.WithLabelValues("logs", "rate_limited", "t0")))
	require.Equal(t, 100.0, testutil.ToFloat64(d.total.WithLabelValues("logs", "rate_limited", "other")))
}
