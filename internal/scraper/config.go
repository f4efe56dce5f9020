package scraper

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strings"

	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"go.yaml.in/yaml/v3"

	// Service discovery, one by one: all of Prometheus's at once would double the size of the
	// program. Static targets are built in.
	_ "github.com/prometheus/prometheus/discovery/dns"
	_ "github.com/prometheus/prometheus/discovery/file"
	_ "github.com/prometheus/prometheus/discovery/http"
)

// Config is the scraping part of a prometheus.yml, as it is. Keys and defaults are Prometheus's.
type Config struct {
	// Global is the section `global`: scrape_interval (default 1m), scrape_timeout, external_labels, …
	Global yaml.Node `yaml:"global"`
	// ScrapeConfigs is the section `scrape_configs`. Default none.
	ScrapeConfigs yaml.Node `yaml:"scrape_configs"`
	// ScrapeConfigFiles are patterns of files with more scrape configs. Default none.
	ScrapeConfigFiles []string `yaml:"scrape_config_files"`
	// ScrapeSelf adds a job "hune" that scrapes this process every 15 seconds, unless a job of that
	// name is configured. Default true.
	ScrapeSelf bool `yaml:"scrape_self"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return Config{ScrapeSelf: true} }

// MarshalYAML leaves absent sections out, which yaml can't write.
func (c Config) MarshalYAML() (any, error) {
	out := struct {
		Global            *yaml.Node `yaml:"global,omitempty"`
		ScrapeConfigs     *yaml.Node `yaml:"scrape_configs,omitempty"`
		ScrapeConfigFiles []string   `yaml:"scrape_config_files,omitempty"`
		ScrapeSelf        bool       `yaml:"scrape_self"`
	}{ScrapeConfigFiles: c.ScrapeConfigFiles, ScrapeSelf: c.ScrapeSelf}
	if present(&c.Global) {
		out.Global = &c.Global
	}
	if present(&c.ScrapeConfigs) {
		out.ScrapeConfigs = &c.ScrapeConfigs
	}
	return out, nil
}

func present(n *yaml.Node) bool { return n.Kind != 0 && n.Tag != "!!null" }

// Validate reads the sections as Prometheus would.
func (c Config) Validate() error {
	_, err := c.load("", slog.New(slog.DiscardHandler))
	return err
}

const selfJob = "hune"

// load returns the configuration of the scrape manager. self is the address of this process's
// /metrics, "" for none.
func (c *Config) load(self string, logger *slog.Logger) (*promconfig.Config, error) {
	cfg, err := c.parse("", logger)
	if err != nil {
		return nil, err
	}
	jobs, err := cfg.GetScrapeConfigs() // reads the files, and checks that names are unique
	if err != nil {
		return nil, c.explain(err)
	}
	if !c.ScrapeSelf || self == "" {
		return cfg, nil
	}
	for _, job := range jobs {
		if job.JobName == selfJob {
			return cfg, nil
		}
	}
	return c.parse(self, logger)
}

func (c *Config) parse(self string, logger *slog.Logger) (*promconfig.Config, error) {
	doc := map[string]any{}
	if present(&c.Global) {
		doc["global"] = &c.Global
	}
	jobs := yaml.Node{Kind: yaml.SequenceNode}
	if present(&c.ScrapeConfigs) {
		if c.ScrapeConfigs.Kind != yaml.SequenceNode {
			return nil, fmt.Errorf("scrape_configs: line %d: want a list", c.ScrapeConfigs.Line)
		}
		jobs.Content = append(jobs.Content, c.ScrapeConfigs.Content...)
	}
	if self != "" {
		job := yaml.Node{}
		if err := job.Encode(selfConfig(self)); err != nil {
			return nil, err
		}
		jobs.Content = append(jobs.Content, &job)
	}
	if len(jobs.Content) > 0 {
		doc["scrape_configs"] = &jobs
	}
	if len(c.ScrapeConfigFiles) > 0 {
		doc["scrape_config_files"] = c.ScrapeConfigFiles
	}
	text, err := yaml.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("scrape_configs: %w", err)
	}
	cfg, err := promconfig.Load(string(text), logger)
	if err != nil {
		return nil, c.explain(err)
	}
	return cfg, nil
}

func selfConfig(addr string) map[string]any {
	return map[string]any{
		"job_name":        selfJob,
		"scrape_interval": "15s",
		"scrape_timeout":  "10s",
		"static_configs":  []map[string]any{{"targets": []string{reachable(addr)}}},
	}
}

// reachable makes an address to connect to of one to listen on.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port)
}

var (
	lineOf  = regexp.MustCompile(`line \d+: `)
	unknown = regexp.MustCompile(`field (\S+) (?:not found in type \S+|already set in type \S+)`)
)

// explain makes Prometheus's errors ones of this file: they have the line numbers of a text that
// the user never saw, and Go's names of types.
func (c *Config) explain(err error) error {
	text := lineOf.ReplaceAllString(strings.TrimPrefix(err.Error(), "yaml: unmarshal errors:\n"), "")
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if m := unknown.FindStringSubmatch(line); m != nil {
			line = "unknown key " + m[1]
			if strings.HasSuffix(m[1], "_sd_configs") {
				line += ": this build discovers by static, " + strings.Join(discoveries(), ", ")
			}
			if at := findKey(m[1], &c.Global, &c.ScrapeConfigs); at > 0 {
				line = fmt.Sprintf("line %d: %s", at, line)
			}
		}
		lines = append(lines, line)
	}
	return errors.New("scrape_configs: " + strings.Join(lines, "; "))
}

func discoveries() []string {
	names := discovery.RegisteredConfigNames()
	for i, n := range names {
		names[i] = strings.TrimSuffix(n, "_sd_configs")
	}
	return names
}

// findKey returns the line of the first mapping key of that name.
func findKey(key string, nodes ...*yaml.Node) int {
	for _, n := range nodes {
		if n.Kind == yaml.MappingNode {
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == key {
					return n.Content[i].Line
				}
			}
		}
		if at := findKey(key, n.Content...); at > 0 {
			return at
		}
	}
	return 0
}
