package collector

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// Config is the user's settings of the collector.
type Config struct {
	// Enabled runs the collector. Default true. Without it OTLP is still served on the main port.
	Enabled bool `yaml:"enabled"`
	// HostMetrics adds the metrics of this machine (cpu, memory, load, disks, filesystems, network,
	// paging) to the default pipelines. Default true.
	HostMetrics bool `yaml:"host_metrics"`
	// HostMetricsInterval is how often they are read. Default 15s.
	HostMetricsInterval model.Duration `yaml:"host_metrics_interval"`
	// Config is a complete configuration of the OpenTelemetry Collector. It replaces the default
	// pipelines, host metrics and OTLP listeners included. The exporter `hune` stores what it gets;
	// ${env:NAME} is replaced. Default empty: the pipelines described in docs/collector.md.
	Config yaml.Node `yaml:"config"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{Enabled: true, HostMetrics: true, HostMetricsInterval: model.Duration(15 * time.Second)}
}

// custom reports whether the user brings a configuration of their own.
func (c *Config) custom() bool {
	return c.Config.Kind != 0 && c.Config.Tag != "!!null"
}

// MarshalYAML leaves an empty configuration out, which yaml can't write.
func (c Config) MarshalYAML() (any, error) {
	out := struct {
		Enabled             bool           `yaml:"enabled"`
		HostMetrics         bool           `yaml:"host_metrics"`
		HostMetricsInterval model.Duration `yaml:"host_metrics_interval"`
		Config              *yaml.Node     `yaml:"config,omitempty"`
	}{c.Enabled, c.HostMetrics, c.HostMetricsInterval, nil}
	if c.custom() {
		nameNulls(&c.Config)
		out.Config = &c.Config
	}
	return out, nil
}

// Validate reports every fault. A configuration of the user's own is checked as the collector
// would at start: components, keys, types, pipelines.
func (c Config) Validate() error {
	var errs []error
	if c.HostMetrics && c.HostMetricsInterval < model.Duration(time.Second) {
		errs = append(errs, fmt.Errorf("host_metrics_interval: %s is too short, the least is 1s", c.HostMetricsInterval))
	}
	if c.Enabled && c.custom() {
		if err := c.check(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (c *Config) check() error {
	if c.Config.Kind != yaml.MappingNode {
		return fmt.Errorf("config: line %d: want a mapping with receivers, processors, exporters and service", c.Config.Line)
	}
	text, err := c.text()
	if err != nil {
		return err
	}
	f, err := factories(&exporterOptions{}, nil)
	if err != nil {
		return err
	}
	_, err = load(context.Background(), text, f)
	return err
}

// text is the user's configuration on its own.
func (c *Config) text() (string, error) {
	nameNulls(&c.Config)
	out, err := yaml.Marshal(&c.Config)
	if err != nil {
		return "", fmt.Errorf("config: %w", err)
	}
	return string(out), nil
}

// nameNulls spells nulls out: `{hune: }` would otherwise be written as `{hune: ”}`.
func nameNulls(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		n.Value = "null"
	}
	for _, c := range n.Content {
		nameNulls(c)
	}
}

// plain makes the collector's many-line errors one line that starts where the user can look.
func plain(err error) error {
	text := strings.Join(strings.Fields(err.Error()), " ")
	for _, noise := range []string{"failed to get config: ", "cannot unmarshal the configuration: ", "invalid configuration: ", "decoding failed due to the following error(s): "} {
		text = strings.ReplaceAll(text, noise, "")
	}
	return &plainError{text: text, err: err}
}

type plainError struct {
	text string
	err  error
}

func (e *plainError) Error() string { return e.text }
func (e *plainError) Unwrap() error { return e.err }
