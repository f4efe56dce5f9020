package ruler

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

func TestAlertingFaults(t *testing.T) {
	for text, want := range map[string]string{
		"alertmanagers: [{static_configs: [{targets: [a:1]}], api_version: v1}]": "alerting: expected Alertmanager api version to be one of [v2] but got v1",
		"alertmanagers: [{statics: []}]":                                         "alerting: field statics not found",
		"alert_relabel_configs: [{action: never}]":                               `alerting: unknown relabel action "never"`,
	} {
		var c AlertingConfig
		require.NoError(t, yaml.Unmarshal([]byte(text), &c))
		require.ErrorContains(t, c.Validate(), want, text)
	}
	require.False(t, AlertingConfig{}.External())
	require.NoError(t, AlertingConfig{}.Validate())
}

func TestFollowPrometheus(t *testing.T) {
	file := filepath.Join(t.TempDir(), "prometheus.yml")
	require.NoError(t, os.WriteFile(file, []byte(`
global: {evaluation_interval: 7s, external_labels: {cluster: eu}, scrape_interval: 1s}
rule_files: [rules/*.yml, /etc/rules.yml]
alerting: {alertmanagers: [{static_configs: [{targets: [am:9093]}]}]}
scrape_configs: []
`), 0o600))
	own := DefaultConfig()
	own.Files = []string{"own.yml"}
	c, a, err := Follow(file, own, AlertingConfig{})
	require.NoError(t, err)
	require.Equal(t, []string{"own.yml", filepath.Join(filepath.Dir(file), "rules/*.yml"), "/etc/rules.yml"}, c.Files)
	require.Equal(t, model.Duration(7*time.Second), c.EvaluationInterval)
	require.Equal(t, map[string]string{"cluster": "eu"}, c.ExternalLabels)
	require.True(t, a.External())
	require.NoError(t, a.Validate())

	var mine AlertingConfig
	require.NoError(t, yaml.Unmarshal([]byte("alertmanagers: [{static_configs: [{targets: [mine:1]}]}]"), &mine))
	own.EvaluationInterval = model.Duration(time.Hour)
	c, a, err = Follow(file, own, mine)
	require.NoError(t, err)
	require.Equal(t, model.Duration(time.Hour), c.EvaluationInterval, "what is set here comes first")
	require.Equal(t, mine, a)
	_, _, err = Follow(file+"x", own, mine)
	require.ErrorIs(t, err, os.ErrNotExist)
}
