// Package config is the program's configuration: one YAML file, with every key settable by an
// environment variable too. It holds no settings of its own beyond the program's: each section is
// the Config of the package that uses it, where the fields are documented.
//
// Reading is strict: a key that does not exist is an error that names the line and the key that was
// probably meant.
package config

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"

	"github.com/hune-io/hune/internal/alertmanager"
	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/cache"
	"github.com/hune-io/hune/internal/collector"
	"github.com/hune-io/hune/internal/compactor"
	"github.com/hune-io/hune/internal/frontend"
	"github.com/hune-io/hune/internal/generator"
	"github.com/hune-io/hune/internal/ingester"
	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/querier"
	"github.com/hune-io/hune/internal/ring"
	"github.com/hune-io/hune/internal/ruler"
	"github.com/hune-io/hune/internal/s3"
	"github.com/hune-io/hune/internal/scheduler"
	"github.com/hune-io/hune/internal/scraper"
	"github.com/hune-io/hune/internal/store"
	"github.com/hune-io/hune/internal/telemetry"
	"github.com/hune-io/hune/internal/wal"
)

// Config is the whole configuration.
type Config struct {
	// Roles to run; a role brings the roles along that it needs. Default [all].
	Roles []string `yaml:"roles"`
	// Data is the folder for everything that is kept on this machine. Default ./hune-data.
	Data string `yaml:"data"`
	// Multitenancy takes the tenant of each request from its X-Scope-OrgID header and refuses requests
	// without one. Off, everything belongs to the tenant "anonymous". Default false.
	Multitenancy bool `yaml:"multitenancy"`
	// ReloadInterval is how often the files of the configuration are looked at for changes, which are then followed
	// as far as that needs no restart. Default 30s; 0: never (SIGHUP and POST /-/reload work in any case).
	ReloadInterval model.Duration `yaml:"reload_interval"`
	// HTTP is the main port.
	HTTP HTTP `yaml:"http"`
	// OTLP is where the collector's default pipeline receives.
	OTLP OTLP `yaml:"otlp"`
	// Cluster is which other processes share the work of rulers, compactors, stores and scrapers.
	Cluster ring.Config `yaml:"cluster"`
	// Log is the program's own log.
	Log telemetry.LogConfig `yaml:"log"`
	// Telemetry is what the program keeps about itself.
	Telemetry telemetry.Config `yaml:"telemetry"`
	// WAL is the write-ahead log.
	WAL wal.Config `yaml:"wal"`
	// Storage is the bucket.
	Storage bucket.Config `yaml:"storage"`
	// Cache keeps hot pages of blocks in memory.
	Cache cache.Config `yaml:"cache"`
	// S3 is the embedded S3 server.
	S3 s3.Config `yaml:"s3"`
	// Retention is how long data is kept.
	Retention compactor.Retention `yaml:"retention"`
	// Limits are what tenants may do.
	Limits limits.Limits `yaml:"limits"`
	// Overrides are limits of single tenants: only the keys given differ from limits.
	Overrides map[string]limits.Patch `yaml:"overrides"`

	// Ingester keeps recent data and cuts blocks.
	Ingester ingester.Config `yaml:"ingester"`
	// Metrics is the metrics signal.
	Metrics metrics.Config `yaml:"metrics"`
	// Traces is the traces signal.
	Traces Traces `yaml:"traces"`
	// Store finds blocks in the bucket.
	Store store.Config `yaml:"store"`
	// Compactor keeps the bucket in order.
	Compactor compactor.Config `yaml:"compactor"`
	// Frontend is what queries go through first.
	Frontend frontend.Config `yaml:"frontend"`
	// Scheduler queues queries.
	Scheduler scheduler.Config `yaml:"scheduler"`
	// Querier runs queries.
	Querier querier.Config `yaml:"querier"`
	// Rules are recording and alerting rules in PromQL, LogQL and TraceQL.
	Rules ruler.Config `yaml:"rules"`
	// Alerting sends alerts to Alertmanagers elsewhere instead.
	Alerting ruler.AlertingConfig `yaml:"alerting"`
	// Alertmanager groups alerts, silences them and tells people.
	Alertmanager alertmanager.Config `yaml:"alertmanager"`
	// Collector is the embedded OpenTelemetry Collector.
	Collector collector.Config `yaml:"collector"`
	// Scrape is what Prometheus-style scraping does: the sections global and scrape_configs.
	Scrape scraper.Config `yaml:",inline"`
}

// Traces is the traces signal.
type Traces struct {
	// Generator derives metrics from spans; which ones is up to limits.traces.generator.
	Generator generator.Config `yaml:"generator"`
}

// HTTP is the main port.
type HTTP struct {
	// Listen is the address of all HTTP APIs and the UI. Default 127.0.0.1:4320.
	Listen string `yaml:"listen"`
	// ExternalURL is the URL under which users reach the server, for links. Default: http:// and Listen.
	ExternalURL string `yaml:"external_url"`
	// MaxBodyBytes bounds a request body as it comes over the wire. Default 32MiB.
	MaxBodyBytes units.Base2Bytes `yaml:"max_body_bytes"`
	// MaxDecompressedBytes bounds a request body after decompression. Default 128MiB.
	MaxDecompressedBytes units.Base2Bytes `yaml:"max_decompressed_bytes"`
	// MaxInFlightBytes bounds the decompressed bodies of all requests under way together; a request that
	// finds no room is answered 503. Default 512MiB.
	MaxInFlightBytes units.Base2Bytes `yaml:"max_in_flight_bytes"`
}

// OTLP is where the collector's default pipeline receives.
type OTLP struct {
	// GRPCListen is the address of the OTLP gRPC receiver; empty for none. Default 127.0.0.1:4317.
	GRPCListen string `yaml:"grpc_listen"`
	// HTTPListen is the address of the OTLP HTTP receiver; empty for none (the main port takes OTLP over HTTP
	// as well). Default 127.0.0.1:4318.
	HTTPListen string `yaml:"http_listen"`
}

// Default returns the configuration that an empty file stands for.
func Default() Config {
	return Config{
		Roles:          []string{"all"},
		ReloadInterval: model.Duration(30 * time.Second),
		Data:           "./hune-data",
		HTTP:           HTTP{Listen: "127.0.0.1:4320", MaxBodyBytes: 32 * units.MiB, MaxDecompressedBytes: 128 * units.MiB, MaxInFlightBytes: 512 * units.MiB},
		OTLP:           OTLP{GRPCListen: "127.0.0.1:4317", HTTPListen: "127.0.0.1:4318"},
		Cluster:        ring.DefaultConfig(),
		Log:            telemetry.DefaultLogConfig(),
		Telemetry:      telemetry.DefaultConfig(),
		WAL:            wal.DefaultConfig(),
		Storage:        bucket.DefaultConfig(),
		Cache:          cache.DefaultConfig(),
		S3:             s3.DefaultConfig(),
		Retention:      compactor.DefaultRetention(),
		Limits:         limits.DefaultConfig(),
		Ingester:       ingester.DefaultConfig(),
		Metrics:        metrics.DefaultConfig(),
		Traces:         Traces{Generator: generator.DefaultConfig()},
		Store:          store.DefaultConfig(),
		Compactor:      compactor.DefaultConfig(),
		Frontend:       frontend.DefaultConfig(),
		Scheduler:      scheduler.DefaultConfig(),
		Querier:        querier.DefaultConfig(),
		Rules:          ruler.DefaultConfig(),
		Alertmanager:   alertmanager.DefaultConfig(),
		Collector:      collector.DefaultConfig(),
		Scrape:         scraper.DefaultConfig(),
	}
}

// Validate reports everything that is wrong with c, each with its path.
func (c Config) Validate() error {
	var errs []error
	at := func(path string, err error) {
		if err == nil {
			return
		}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if !strings.HasPrefix(line, path+".") {
				line = path + "." + line
			}
			errs = append(errs, errors.New(line))
		}
	}
	if c.Data == "" {
		errs = append(errs, errors.New("data: must name a folder"))
	}
	if c.HTTP.Listen == "" {
		errs = append(errs, errors.New("http.listen: must be an address"))
	}
	if c.HTTP.MaxBodyBytes <= 0 || c.HTTP.MaxDecompressedBytes <= 0 {
		errs = append(errs, errors.New("http.max_body_bytes and http.max_decompressed_bytes must be positive"))
	}
	if c.HTTP.MaxInFlightBytes < c.HTTP.MaxDecompressedBytes {
		errs = append(errs, errors.New("http.max_in_flight_bytes must not be less than http.max_decompressed_bytes"))
	}
	at("cluster", c.Cluster.Validate())
	at("log", c.Log.Validate())
	at("telemetry", c.Telemetry.Validate())
	at("wal", c.WAL.Validate())
	at("storage", c.Storage.Validate())
	at("cache", c.Cache.Validate())
	at("s3", c.S3.Validate())
	at("retention", c.Retention.Validate())
	at("ingester", c.Ingester.Validate())
	at("metrics", c.Metrics.Validate())
	at("traces.generator", c.Traces.Generator.Validate())
	at("store", c.Store.Validate())
	at("compactor", c.Compactor.Validate())
	at("frontend", c.Frontend.Validate())
	at("scheduler", c.Scheduler.Validate())
	at("querier", c.Querier.Validate())
	at("rules", c.Rules.Validate())
	if _, alerting, err := c.Ruling(); err == nil { // else the scraper says what is wrong with the file
		if err := alerting.Validate(); err != nil {
			errs = append(errs, err)
		}
	}
	at("alertmanager", c.Alertmanager.Validate())
	at("collector", c.Collector.Validate())
	if c.ReloadInterval < 0 || c.ReloadInterval > 0 && time.Duration(c.ReloadInterval) < time.Second {
		errs = append(errs, errors.New("reload_interval: must be 0 or at least 1s"))
	}
	if err := c.Scraping().Validate(); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, c.keepUntilPolled()...)
	if overrides, err := limits.New(c.Limits, c.Overrides); err != nil {
		errs = append(errs, err)
	} else {
		if _, err := compactor.NewLogRetention(overrides, c.Retention); err != nil {
			errs = append(errs, err)
		}
		errs = append(errs, checkPolicies(overrides)...)
	}
	return errors.Join(errs...)
}

// Scraping is what the scraper is to do: the file of metrics.prometheus_config, or the sections given inline.
func (c Config) Scraping() scraper.Config {
	out := c.Scrape
	out.File = c.Metrics.PrometheusConfig
	return out
}

// Ruling is what rules are evaluated and where alerts are sent: the sections, and what a prometheus.yml adds.
func (c Config) Ruling() (ruler.Config, ruler.AlertingConfig, error) {
	if c.Metrics.PrometheusConfig == "" {
		return c.Rules, c.Alerting, nil
	}
	return ruler.Follow(c.Metrics.PrometheusConfig, c.Rules, c.Alerting)
}

// Warnings are things in a valid configuration that don't do what their author may expect.
func (c Config) Warnings() []string {
	s := c.Scraping()
	return append(s.Warnings(), c.clusterWarnings()...)
}

// checkPolicies reports faulty filter policies of derived metrics, with whose they are.
func checkPolicies(o *limits.Overrides) (errs []error) {
	check := func(path string, l *limits.Limits) {
		if err := generator.CheckPolicies(l); err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				errs = append(errs, fmt.Errorf("%s.%s", path, line))
			}
		}
	}
	check("limits", o.Defaults())
	if errs != nil {
		return errs // those of the tenants would repeat them
	}
	for _, id := range o.Tenants() {
		check("overrides."+id, o.For(id))
	}
	return errs
}

// keepUntilPolled refuses times for which recent blocks are kept locally that are shorter than stores
// need to find them in the bucket: queries would miss them in between. Twice the poll leaves room for
// one that fails.
func (c Config) keepUntilPolled() (errs []error) {
	for _, k := range []struct {
		path string
		keep model.Duration
	}{
		{"ingester.logs.keep_after_upload", c.Ingester.Logs.KeepAfterUpload},
		{"ingester.traces.keep_after_upload", c.Ingester.Traces.KeepAfterUpload},
		{"metrics.keep_local", c.Metrics.KeepLocal},
	} {
		if k.keep < 2*c.Store.PollInterval {
			errs = append(errs, fmt.Errorf("%s: %s is shorter than twice store.poll_interval (%s): queries would miss blocks in between", k.path, k.keep, c.Store.PollInterval))
		}
	}
	for path, delay := range map[string]model.Duration{"compactor.delete_delay": c.Compactor.DeleteDelay, "compactor.metrics_delete_delay": c.Compactor.MetricsDeleteDelay} {
		if delay < 2*c.Store.PollInterval {
			errs = append(errs, fmt.Errorf("%s: %s is shorter than twice store.poll_interval (%s): queries would still read blocks that are deleted", path, delay, c.Store.PollInterval))
		}
	}
	return errs
}
