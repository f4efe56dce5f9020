package collector

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// The configuration in the documentation must be one, and the one that runs.
func TestDocumentedConfiguration(t *testing.T) {
	text, err := os.ReadFile("../../docs/collector.md")
	require.NoError(t, err)
	blocks := strings.Split(string(text), "```yaml\n")
	require.Len(t, blocks, 3)
	documented, _, _ := strings.Cut(blocks[2], "```")
	var c Config
	require.NoError(t, yaml.Unmarshal([]byte(documented), &c.Config))
	c.Config = *c.Config.Content[0]
	require.NoError(t, c.check())

	f, err := factories(&exporterOptions{}, nil)
	require.NoError(t, err)
	want, err := load(context.Background(), documented, f)
	require.NoError(t, err)
	got, err := load(context.Background(), defaultConfig(&Options{Config: DefaultConfig(), OTLPGRPC: "127.0.0.1:4317", OTLPHTTP: "127.0.0.1:4318", Tenant: "anonymous"}), f)
	require.NoError(t, err)
	require.Equal(t, want.Service.Pipelines, got.Service.Pipelines)
	require.Equal(t, want.Exporters, got.Exporters)
	for id := range got.Receivers {
		require.Contains(t, want.Receivers, id)
		if id.String() == "otlp" {
			require.Equal(t, want.Receivers[id], got.Receivers[id])
		}
	}
	for id := range got.Processors {
		require.Contains(t, want.Processors, id)
	}
}
