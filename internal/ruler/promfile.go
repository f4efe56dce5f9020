package ruler

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// Follow adds what a whole prometheus.yml says about rules and alerts to c and a, where they don't say
// otherwise: rule_files, alerting, and of global evaluation_interval, rule_query_offset and external_labels. Paths
// in the file are relative to its folder. The file is read as its sections are; who reads it whole finds its faults.
func Follow(file string, c Config, a AlertingConfig) (Config, AlertingConfig, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return c, a, fmt.Errorf("metrics.prometheus_config: %w", err)
	}
	var doc struct {
		Global struct {
			EvaluationInterval model.Duration    `yaml:"evaluation_interval"`
			RuleQueryOffset    model.Duration    `yaml:"rule_query_offset"`
			ExternalLabels     map[string]string `yaml:"external_labels"`
		} `yaml:"global"`
		RuleFiles []string       `yaml:"rule_files"`
		Alerting  AlertingConfig `yaml:"alerting"`
	}
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return c, a, fmt.Errorf("metrics.prometheus_config: %s: %w", file, err)
	}
	def := DefaultConfig()
	if doc.Global.EvaluationInterval > 0 && c.EvaluationInterval == def.EvaluationInterval {
		c.EvaluationInterval = doc.Global.EvaluationInterval
	}
	if c.QueryOffset == def.QueryOffset {
		c.QueryOffset = doc.Global.RuleQueryOffset
	}
	if len(c.ExternalLabels) == 0 {
		c.ExternalLabels = doc.Global.ExternalLabels
	}
	dir := filepath.Dir(file)
	c.Files = append([]string(nil), c.Files...)
	for _, glob := range doc.RuleFiles {
		if !filepath.IsAbs(glob) {
			glob = filepath.Join(dir, glob)
		}
		c.Files = append(c.Files, glob)
	}
	if !a.External() {
		a = doc.Alerting
		a.dir = dir
	}
	return c, a, nil
}
