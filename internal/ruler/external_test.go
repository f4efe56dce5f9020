package ruler

import (
	"testing"

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
