package metrics

import (
	"errors"
	"fmt"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"
)

// Config is the "metrics" section of the configuration.
type Config struct {
	// PrometheusConfig is a file to scrape by: a prometheus.yml as it is, instead of the sections global and
	// scrape_configs. docs/scraping.md says what of it is followed. Default none.
	PrometheusConfig string `yaml:"prometheus_config"`
	// OutOfOrderWindow is how far behind the newest sample of its tenant a sample may be and still
	// be stored. Default 1h. Zero refuses every sample that is not newer than its series.
	OutOfOrderWindow model.Duration `yaml:"out_of_order_window"`
	// MaxFuture is how far ahead of the clock a sample may be. Default 10m. Zero sets no bound.
	MaxFuture model.Duration `yaml:"max_future"`
	// BlockRange is the time range of the blocks that are cut from the head. Default 2h.
	BlockRange model.Duration `yaml:"block_range"`
	// MaxExemplars is how many exemplars each tenant keeps in memory, the newest of all series.
	// Default 10000 (some 1 MB when full). Zero stores none.
	MaxExemplars int `yaml:"max_exemplars"`
	// MaxMetadata is how many metric names each tenant keeps type, help and unit of. Default 20000.
	// Zero keeps none.
	MaxMetadata int `yaml:"max_metadata"`
	// StartTimestampZero writes a zero sample at the start timestamp of a counter, as Prometheus
	// does with its feature flag created-timestamp-zero-ingestion. Default false.
	StartTimestampZero bool `yaml:"start_timestamp_zero"`
	// ShipInterval is how often cut blocks are looked for and uploaded. Default 1m.
	ShipInterval model.Duration `yaml:"ship_interval"`
	// KeepLocal is how long an uploaded and verified block stays on the local disk, so that
	// every store has seen it. Default 1h. The newest block always stays.
	KeepLocal model.Duration `yaml:"keep_local"`
	// MaxPendingBytes is how much of blocks may wait on the local disk for their upload. More makes
	// writes answer 503 until the bucket takes them. Default 10GiB.
	MaxPendingBytes units.Base2Bytes `yaml:"max_pending_bytes"`
	// IdleFlush cuts the head of a tenant that has sent nothing for this long. Default 3h. Zero
	// leaves it in memory.
	IdleFlush model.Duration `yaml:"idle_flush"`
	// IdleClose closes the database of a tenant that has sent nothing for this long, once its head is cut and its
	// blocks have been in the bucket for keep_local: the next write opens it again. Default 3h, as idle_flush, which makes
	// it 4h with keep_local: one that sends once an hour stays open. Zero closes none.
	IdleClose model.Duration `yaml:"idle_close"`
	// ExternalLabels are added to the Thanos section of each block, beside tenant and replica.
	ExternalLabels map[string]string `yaml:"external_labels"`

	// AdminAPI enables the paths below /api/v1/admin/tsdb that delete series and make snapshots, as
	// Prometheus's flag web.enable-admin-api does. Default false.
	AdminAPI bool `yaml:"admin_api"`

	// StoreEndpoints are other servers with Thanos's StoreAPI, such as a sidecar or another Hune: queries read
	// their series, too. Each is host:port of its gRPC, dns+host:port or dnssrv+name for all that the name stands
	// for, or a mapping with the keys address, strict, group and tls_config, see docs/compatibility/thanos.md.
	// Default: none.
	StoreEndpoints []StoreEndpoint `yaml:"store_endpoints"`

	// Store reads the blocks of the bucket.
	Store StoreConfig `yaml:"store"`
	// Query bounds PromQL.
	Query QueryConfig `yaml:"query"`
	// OTLP says how OTLP metrics become series.
	OTLP OTLPConfig `yaml:"otlp"`
}

// StoreConfig configures BlockStore.
type StoreConfig struct {
	// CacheSize bounds the disk space of index headers: of each block that was read the symbols of its
	// index and the table of its postings. Default 10GiB. Those in use by queries are never removed, so
	// that it can be exceeded for a while.
	CacheSize units.Base2Bytes `yaml:"cache_size"`
	// IgnoreDeletionMarksDelay is how long after a block was marked for deletion queries go on reading it
	// (those that a newer one has replaced are not read anyway). Less than compactor.metrics_delete_delay, so
	// that no query meets a block that is being deleted. Default 24h.
	IgnoreDeletionMarksDelay model.Duration `yaml:"ignore_deletion_marks_delay"`
	// MaxSeries is how many series one selection may match in one block. Default 1000000. Zero sets no
	// bound.
	MaxSeries int `yaml:"max_series"`
	// MaxBytes is how many bytes of chunks one selection may read from the bucket. Default 1GiB. Zero
	// sets no bound.
	MaxBytes units.Base2Bytes `yaml:"max_bytes"`
	// ReplicationFactor is how many members of a cluster keep the index header of each block, as many as there are at
	// most; the others ask one of these. The same on all members. Default 2: with one of them gone another has the
	// block open, and if both are, it is read from the bucket by who needs it, so that a third would save only time.
	ReplicationFactor int `yaml:"replication_factor"`
}

// QueryConfig configures Engine.
type QueryConfig struct {
	// MaxSamples is how many samples one query may hold in memory. Default 50000000.
	MaxSamples int `yaml:"max_samples"`
	// MaxBytes is how many bytes of chunks one query may fetch. Default 1GiB. Zero sets no bound.
	MaxBytes units.Base2Bytes `yaml:"max_bytes"`
	// Timeout is how long one query may run. Default 2m.
	Timeout model.Duration `yaml:"timeout"`
	// LookbackDelta is how long a sample counts as current. Default 5m.
	LookbackDelta model.Duration `yaml:"lookback_delta"`
	// Engine runs PromQL: thanos, which uses all processors and leaves what it lacks to Prometheus's, or
	// prometheus. Default thanos. The parameter engine of a query overrides it.
	Engine string `yaml:"engine"`
	// PartialResponse answers queries with a warning when a part of the data can't be had, instead of an error.
	// Default true. The parameter partial_response of a query overrides it.
	PartialResponse bool `yaml:"partial_response"`
	// ReplicaLabels are the labels by which replicas differ that scrape the same targets, such as the servers
	// of a pair: their series are one in the answers, by Thanos's penalty algorithm. Default: none.
	ReplicaLabels []string `yaml:"replica_labels"`
	// Features turns on experimental parts of PromQL by the names of Prometheus's feature flags:
	// promql-experimental-functions, promql-duration-expr, promql-extended-range-selectors,
	// promql-delayed-name-removal. Default none.
	Features []string `yaml:"features"`
}

// DefaultConfig returns the defaults named at the fields.
func DefaultConfig() Config {
	return Config{
		OutOfOrderWindow: model.Duration(time.Hour),
		MaxFuture:        model.Duration(10 * time.Minute),
		BlockRange:       model.Duration(2 * time.Hour),
		MaxExemplars:     10_000,
		MaxMetadata:      20_000,
		ShipInterval:     model.Duration(time.Minute),
		KeepLocal:        model.Duration(time.Hour),
		MaxPendingBytes:  10 * units.GiB,
		IdleFlush:        model.Duration(3 * time.Hour),
		IdleClose:        model.Duration(3 * time.Hour),
		Store: StoreConfig{CacheSize: 10 * units.GiB, IgnoreDeletionMarksDelay: model.Duration(24 * time.Hour), MaxSeries: 1_000_000, MaxBytes: units.GiB,
			ReplicationFactor: 2},
		Query: QueryConfig{
			MaxSamples: 50_000_000, MaxBytes: units.GiB,
			Timeout: model.Duration(2 * time.Minute), LookbackDelta: model.Duration(5 * time.Minute),
			Engine: ThanosEngine, PartialResponse: true, Features: []string{},
		},
		OTLP: DefaultOTLPConfig(),
	}
}

// Validate reports every fault with its path below "metrics".
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.OutOfOrderWindow >= 0, "metrics.out_of_order_window: must not be negative")
	check(c.MaxFuture >= 0, "metrics.max_future: must not be negative")
	check(time.Duration(c.BlockRange) >= time.Minute, "metrics.block_range: %s is shorter than 1m", c.BlockRange)
	check(c.MaxExemplars >= 0, "metrics.max_exemplars: must not be negative")
	check(c.MaxMetadata >= 0, "metrics.max_metadata: must not be negative")
	check(time.Duration(c.ShipInterval) >= time.Second, "metrics.ship_interval: %s is shorter than 1s", c.ShipInterval)
	check(c.KeepLocal >= 0, "metrics.keep_local: must not be negative")
	check(c.MaxPendingBytes > 0, "metrics.max_pending_bytes: must be positive")
	check(c.IdleFlush >= 0, "metrics.idle_flush: must not be negative")
	check(c.IdleClose >= 0, "metrics.idle_close: must not be negative")
	for name := range c.ExternalLabels {
		check(name != "" && name != labelTenant && name != labelReplica,
			"metrics.external_labels: the name %q can't be used", name)
	}
	seen := map[string]bool{}
	for i, e := range c.StoreEndpoints {
		if err := e.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("metrics.store_endpoints.%d: %w", i, err))
		}
		check(!seen[e.Address], "metrics.store_endpoints.%d: %q is there twice", i, e.Address)
		seen[e.Address] = true
	}
	check(c.Store.CacheSize > 0, "metrics.store.cache_size: must be positive")
	check(c.Store.IgnoreDeletionMarksDelay >= 0, "metrics.store.ignore_deletion_marks_delay: must not be negative")
	check(c.Store.MaxSeries >= 0, "metrics.store.max_series: must not be negative")
	check(c.Store.MaxBytes >= 0, "metrics.store.max_bytes: must not be negative")
	check(c.Store.ReplicationFactor > 0, "metrics.store.replication_factor: must be positive")
	check(c.Query.MaxSamples > 0, "metrics.query.max_samples: must be positive")
	check(c.Query.MaxBytes >= 0, "metrics.query.max_bytes: must not be negative")
	check(c.Query.Timeout > 0, "metrics.query.timeout: must be positive")
	for _, name := range c.Query.ReplicaLabels {
		check(name != "" && name != "__name__", "metrics.query.replica_labels: the name %q can't be used", name)
	}
	check(c.Query.LookbackDelta > 0, "metrics.query.lookback_delta: must be positive")
	if err := CheckEngine(c.Query.Engine); err != nil {
		errs = append(errs, fmt.Errorf("metrics.query.engine: %w", err))
	}
	for _, name := range c.Query.Features {
		if err := checkFeature(name); err != nil {
			errs = append(errs, fmt.Errorf("metrics.query.features: %w", err))
		}
	}
	if err := c.OTLP.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("metrics.otlp: %w", err))
	}
	return errors.Join(errs...)
}

// DefaultReplica is the replica that an ingester is when it isn't told otherwise.
const DefaultReplica = "0"

// BlockLabels returns the external labels of the blocks that a replica ships for a tenant.
func (c Config) BlockLabels(tenant, replica string) map[string]string {
	out := map[string]string{labelTenant: tenant, labelReplica: replica}
	for name, value := range c.ExternalLabels {
		out[name] = value
	}
	return out
}
