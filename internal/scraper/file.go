package scraper

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	promconfig "github.com/prometheus/prometheus/config"
	"go.yaml.in/yaml/v3"
)

// readFile reads a whole prometheus.yml. Paths in it are relative to its folder, as Prometheus has it.
func (c *Config) readFile(logger *slog.Logger) (*promconfig.Config, error) {
	if present(&c.Global) || present(&c.ScrapeConfigs) || len(c.ScrapeConfigFiles) > 0 {
		return nil, errors.New("metrics.prometheus_config: leave it out or the sections global, scrape_configs and scrape_config_files: they are the same thing twice")
	}
	cfg, err := promconfig.LoadFile(c.File, false, logger)
	if err != nil {
		return nil, c.explainFile(err)
	}
	return cfg, nil
}

// explainFile puts the file's name before the lines of Prometheus's errors.
func (c *Config) explainFile(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("metrics.prometheus_config: %w", path)
	}
	text := strings.TrimPrefix(err.Error(), "parsing YAML file "+c.File+": ")
	text = strings.TrimPrefix(text, "yaml: unmarshal errors:\n")
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimPrefix(strings.TrimSpace(line), "line ")
		if m := unknown.FindStringSubmatch(line); m != nil {
			at, _, _ := strings.Cut(line, ":")
			line = at + ": unknown key " + m[1] + discoveryHint(m[1])
		}
		if line == "" || line[0] < '0' || line[0] > '9' {
			line = " " + line
		}
		lines = append(lines, c.File+":"+line)
	}
	return errors.New("metrics.prometheus_config: " + strings.Join(lines, "; "))
}

// Files are the files that the configuration is read from, apart from the one that it stands in: the
// prometheus.yml and what scrape_config_files match at the moment. Those of service discovery are not among them:
// their discovery watches them.
func (c *Config) Files() []string {
	patterns, dir := c.ScrapeConfigFiles, ""
	var files []string
	if c.File != "" {
		files = append(files, c.File)
		doc := struct {
			ScrapeConfigFiles []string `yaml:"scrape_config_files"`
		}{}
		if data, err := os.ReadFile(c.File); err == nil {
			_ = yaml.Unmarshal(data, &doc) // a fault shows when the file is read for good
		}
		patterns, dir = doc.ScrapeConfigFiles, filepath.Dir(c.File)
	}
	for _, pattern := range patterns {
		if dir != "" && !filepath.IsAbs(pattern) {
			pattern = filepath.Join(dir, pattern)
		}
		matches, _ := filepath.Glob(pattern) // a bad pattern is an error of the configuration
		slices.Sort(matches)
		files = append(files, matches...)
	}
	return files
}

// ignored are the parts of a prometheus.yml that are read and not followed, with what does their work here.
var ignored = []struct{ path, text string }{
	{"global.external_labels", "they are added to alerts and not to samples; metrics.external_labels are those of blocks in the bucket"},
	{"global.query_log_file", "slow queries are in the log of the program"},
	{"remote_write", "samples are stored here and sent nowhere else"},
	{"remote_read", "no other storage is read"},
	{"storage", "see metrics.out_of_order_window, metrics.max_exemplars and retention.metrics"},
	{"otlp", "see metrics.otlp"},
	{"tracing", "see telemetry"},
	{"runtime", "set GOGC in the environment"},
}

// Warnings name what is given and not followed, with the line where it stands.
func (c *Config) Warnings() []string {
	root, prefix := &yaml.Node{Kind: yaml.MappingNode}, ""
	if c.File != "" {
		data, err := os.ReadFile(c.File)
		if err != nil {
			return nil // an error of the configuration
		}
		var doc yaml.Node
		if yaml.Unmarshal(data, &doc) != nil || len(doc.Content) != 1 {
			return nil
		}
		root, prefix = doc.Content[0], c.File+":"
	} else if present(&c.Global) {
		root.Content = []*yaml.Node{{Kind: yaml.ScalarNode, Value: "global"}, &c.Global}
	}
	var out []string
	for _, part := range ignored {
		if key := lookup(root, strings.Split(part.path, ".")); key != nil {
			out = append(out, fmt.Sprintf("%s%d: %s is not followed: %s", prefix, key.Line, part.path, part.text))
		}
	}
	return out
}

// lookup returns the key at a path, nil when it isn't there or has nothing below.
func lookup(n *yaml.Node, path []string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != path[0] {
			continue
		}
		if len(path) > 1 {
			return lookup(n.Content[i+1], path[1:])
		}
		if v := n.Content[i+1]; v.Tag == "!!null" || v.Kind != yaml.ScalarNode && len(v.Content) == 0 {
			return nil
		}
		return n.Content[i]
	}
	return nil
}
