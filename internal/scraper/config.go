package scraper

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/model/relabel"
	"go.yaml.in/yaml/v3"
)

// Config is the scraping part of a prometheus.yml, as it is. Keys and defaults are Prometheus's.
type Config struct {
	// File is a whole prometheus.yml to scrape by, instead of the sections. Set by the configuration's key
	// metrics.prometheus_config.
	File string `yaml:"-"`
	// Global is the section `global`: scrape_interval (default 1m), scrape_timeout, external_labels, …
	Global yaml.Node `yaml:"global"`
	// ScrapeConfigs is the section `scrape_configs`. Default none.
	ScrapeConfigs yaml.Node `yaml:"scrape_configs"`
	// ScrapeConfigFiles are patterns of files with more scrape configs. Default none.
	ScrapeConfigFiles []string `yaml:"scrape_config_files"`
	// ScrapeSelf adds a job "hune" that scrapes this process every 15 seconds, unless a job of that
	// name is configured. Default true.
	ScrapeSelf bool `yaml:"scrape_self"`
	// ScrapeShards is how many scrapers share the targets: each scrapes those whose discovered address has its
	// hash. Default 1, which 0 also means: the scrapers of a cluster (cluster.join) share them by themselves, one alone has all.
	ScrapeShards int `yaml:"scrape_shards"`
	// ScrapeShard is which of them this one is, from 0. Default 0.
	ScrapeShard int `yaml:"scrape_shard"`

	addsSelf bool // set by load: the job that scrapes this process is not the user's
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return Config{ScrapeSelf: true, ScrapeShards: 1} }

// MarshalYAML leaves absent sections out, which yaml can't write.
func (c Config) MarshalYAML() (any, error) {
	out := struct {
		Global            *yaml.Node `yaml:"global,omitempty"`
		ScrapeConfigs     *yaml.Node `yaml:"scrape_configs,omitempty"`
		ScrapeConfigFiles []string   `yaml:"scrape_config_files,omitempty"`
		ScrapeSelf        bool       `yaml:"scrape_self"`
		ScrapeShards      int        `yaml:"scrape_shards"`
		ScrapeShard       int        `yaml:"scrape_shard"`
	}{ScrapeConfigFiles: c.ScrapeConfigFiles, ScrapeSelf: c.ScrapeSelf, ScrapeShards: c.ScrapeShards, ScrapeShard: c.ScrapeShard}
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
	if c.ScrapeShards < 0 || c.ScrapeShard < 0 || c.ScrapeShard >= max(1, c.ScrapeShards) {
		return nil, fmt.Errorf("scrape_shard: %d is not one of %d shards (scrape_shards), which count from 0", c.ScrapeShard, c.ScrapeShards)
	}
	read, explain := c.parse, c.explain
	if c.File != "" {
		read, explain = c.readFile, c.explainFile
	}
	cfg, err := read(logger)
	if err != nil {
		return nil, err
	}
	jobs, err := cfg.GetScrapeConfigs() // reads the files, and checks that names are unique
	if err != nil {
		return nil, explain(err)
	}
	// What the files hold belongs to this configuration: it is not read again when it is followed.
	cfg.ScrapeConfigs, cfg.ScrapeConfigFiles = jobs, nil
	c.share(jobs)
	if !c.ScrapeSelf || self == "" {
		return cfg, nil
	}
	for _, job := range jobs {
		if job.JobName == selfJob {
			return cfg, nil
		}
	}
	job, err := selfConfig(self, cfg.GlobalConfig)
	if err != nil {
		return nil, err
	}
	cfg.ScrapeConfigs = append(cfg.ScrapeConfigs, job)
	c.addsSelf = true
	return cfg, nil
}

// shardLabel is gone after relabelling, as all labels that begin with __.
const shardLabel = "__tmp_hune_shard"

// share makes each job drop the targets of other shards. It comes before the job's own relabelling, which may give
// all targets one address, that of an exporter that asks them.
func (c *Config) share(jobs []*promconfig.ScrapeConfig) {
	if c.ScrapeShards <= 1 {
		return
	}
	for _, job := range jobs {
		scheme := job.MetricNameValidationScheme
		job.RelabelConfigs = append([]*relabel.Config{
			{SourceLabels: model.LabelNames{model.AddressLabel}, Modulus: uint64(c.ScrapeShards), TargetLabel: shardLabel,
				Action: relabel.HashMod, Separator: relabel.DefaultRelabelConfig.Separator, Regex: relabel.DefaultRelabelConfig.Regex,
				Replacement: relabel.DefaultRelabelConfig.Replacement, NameValidationScheme: scheme},
			{SourceLabels: model.LabelNames{shardLabel}, Regex: relabel.MustNewRegexp(strconv.Itoa(c.ScrapeShard)),
				Action: relabel.Keep, Separator: relabel.DefaultRelabelConfig.Separator, Replacement: relabel.DefaultRelabelConfig.Replacement,
				NameValidationScheme: scheme},
		}, job.RelabelConfigs...)
	}
}

func (c *Config) parse(logger *slog.Logger) (*promconfig.Config, error) {
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

// selfConfig is the job that scrapes this process.
func selfConfig(addr string, global promconfig.GlobalConfig) (*promconfig.ScrapeConfig, error) {
	job := promconfig.DefaultScrapeConfig
	job.JobName = selfJob
	job.ScrapeInterval, job.ScrapeTimeout = model.Duration(15*time.Second), model.Duration(10*time.Second)
	target := model.LabelSet{model.AddressLabel: model.LabelValue(reachable(addr))}
	job.ServiceDiscoveryConfigs = discovery.Configs{discovery.StaticConfig{{Targets: []model.LabelSet{target}, Source: "0"}}}
	return &job, job.Validate(global)
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
			line = "unknown key " + m[1] + discoveryHint(m[1])
			if at := findKey(m[1], &c.Global, &c.ScrapeConfigs); at > 0 {
				line = fmt.Sprintf("line %d: %s", at, line)
			}
		}
		lines = append(lines, line)
	}
	return errors.New("scrape_configs: " + strings.Join(lines, "; "))
}

// discoveryHint says which discoveries there are, when key is the name of one that there isn't.
func discoveryHint(key string) string {
	if !strings.HasSuffix(key, "_sd_configs") {
		return ""
	}
	if tag := buildTags[strings.TrimSuffix(key, "_sd_configs")]; tag != "" {
		return ": this program is built without it: take the release, or build with -tags " + tag
	}
	return ": this program discovers by static, " + strings.Join(discoveries(), ", ")
}

func discoveries() []string {
	names := discovery.RegisteredConfigNames()
	for i, n := range names {
		names[i] = strings.TrimSuffix(n, "_sd_configs")
	}
	slices.Sort(names)
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
