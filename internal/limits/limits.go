// Package limits says how much one tenant may send and ask.
//
// There is one set of defaults (the `limits:` section) and, for each tenant named in `overrides:`,
// the same set with some values replaced. A value of 0 turns a limit off unless its comment says
// otherwise. Names and defaults follow Loki, Mimir, Prometheus and Tempo where they have the limit.
//
// The package holds the numbers and counts what they rejected (Discarded); checking is done by the
// roles that see the data.
package limits

import (
	"errors"
	"fmt"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"
)

// Limits bound what one tenant writes and reads.
type Limits struct {
	// MaxAge rejects data older than this, as a duration. Default 0: any age is welcome (metrics are
	// still bound by the out-of-order window of their store).
	MaxAge model.Duration `yaml:"max_age"`
	// CreationGracePeriod rejects data with a timestamp further ahead than this. Default 10m; 0
	// accepts any time in the future.
	CreationGracePeriod model.Duration `yaml:"creation_grace_period"`

	// Metrics bound the writes of metrics.
	Metrics MetricsLimits `yaml:"metrics"`
	// Logs bound the writes of logs.
	Logs LogsLimits `yaml:"logs"`
	// Traces bound the writes of traces.
	Traces TracesLimits `yaml:"traces"`
	// Queries bound reads.
	Queries QueryLimits `yaml:"queries"`
}

// MetricsLimits bound the writes of metrics.
type MetricsLimits struct {
	// IngestionRate is the sustained rate in samples (floats, histograms and exemplars) a second.
	// Default 0: no bound.
	IngestionRate float64 `yaml:"ingestion_rate"`
	// IngestionBurst is how many samples may come at once. Default 0: ten seconds of IngestionRate.
	IngestionBurst int `yaml:"ingestion_burst"`
	// MaxSeriesPerTenant bounds the series with data in the head. Default 0: no bound.
	MaxSeriesPerTenant int `yaml:"max_series_per_tenant"`
	// MaxLabelNamesPerSeries counts labels, __name__ included. Default 30, as in Mimir.
	MaxLabelNamesPerSeries int `yaml:"max_label_names_per_series"`
	// MaxLabelNameLength is in bytes. Default 1024.
	MaxLabelNameLength int `yaml:"max_label_name_length"`
	// MaxLabelValueLength is in bytes. Default 2048.
	MaxLabelValueLength int `yaml:"max_label_value_length"`
	// MaxExemplarLabelLength is the sum of an exemplar's label names and values, in characters.
	// Default 256; OpenMetrics says 128, OpenTelemetry sends more.
	MaxExemplarLabelLength int `yaml:"max_exemplar_label_length"`
	// MaxNativeHistogramBuckets bounds the buckets of one native histogram sample. Default 0: no bound.
	MaxNativeHistogramBuckets int `yaml:"max_native_histogram_buckets"`
	// AcceptHASamples takes samples of pairs of Prometheus servers that scrape the same targets: of each cluster one
	// replica is elected, whose samples are stored without the replica's label; those of the others are
	// dropped. Default false.
	AcceptHASamples bool `yaml:"accept_ha_samples"`
	// HAClusterLabel names the cluster of Prometheus servers. Default cluster.
	HAClusterLabel string `yaml:"ha_cluster_label"`
	// HAReplicaLabel names the server within its cluster. Default __replica__.
	HAReplicaLabel string `yaml:"ha_replica_label"`
	// HAFailoverTimeout is how long the elected replica may be silent before another is elected. It should be
	// more than a scrape interval and the time that a sender waits to fill a request. Default 30s.
	HAFailoverTimeout model.Duration `yaml:"ha_failover_timeout"`
	// HAMaxClusters bounds the clusters of a tenant; series of more are rejected. Default 100; 0 sets no bound.
	HAMaxClusters int `yaml:"ha_max_clusters"`
	// MaxDeltaSeries bounds the series of delta temporality (OTLP) whose sums are remembered; increments of more are
	// rejected. Default 100000; 0 sets no bound.
	MaxDeltaSeries int `yaml:"max_delta_series"`
	// RetentionPeriod is how long metrics are kept. Default 0: as the section retention says.
	RetentionPeriod model.Duration `yaml:"retention_period"`
	// RetentionPeriod5m is the same of metrics downsampled to 5 minutes.
	RetentionPeriod5m model.Duration `yaml:"retention_period_5m"`
	// RetentionPeriod1h is the same of metrics downsampled to an hour.
	RetentionPeriod1h model.Duration `yaml:"retention_period_1h"`
}

// LogsLimits bound the writes of logs.
type LogsLimits struct {
	// IngestionRate is the sustained rate of lines and structured metadata in bytes a second, such
	// as 4MiB. Default 0: no bound.
	IngestionRate units.Base2Bytes `yaml:"ingestion_rate"`
	// IngestionBurst is how many bytes may come at once. Default 0: ten seconds of IngestionRate.
	IngestionBurst units.Base2Bytes `yaml:"ingestion_burst"`
	// PerStreamRateLimit is the sustained rate of one stream in bytes a second; what is over it is rejected,
	// the other streams of the request are not. Default 0: no bound (Loki: 3MB).
	PerStreamRateLimit units.Base2Bytes `yaml:"per_stream_rate_limit"`
	// PerStreamRateLimitBurst is how many bytes of one stream may come at once. Default 0: ten seconds of
	// PerStreamRateLimit.
	PerStreamRateLimitBurst units.Base2Bytes `yaml:"per_stream_rate_limit_burst"`
	// MaxStreamsPerTenant bounds the streams that had an entry in the last half hour, for each distributor.
	// Default 0: no bound (Loki: 5000).
	MaxStreamsPerTenant int `yaml:"max_streams_per_tenant"`
	// MaxLineSize is in bytes. Default 256KiB.
	MaxLineSize units.Base2Bytes `yaml:"max_line_size"`
	// MaxLineSizeTruncate cuts longer lines to MaxLineSize instead of rejecting them. Default false.
	MaxLineSizeTruncate bool `yaml:"max_line_size_truncate"`
	// MaxLabelNamesPerSeries counts the labels of a stream. Default 15.
	MaxLabelNamesPerSeries int `yaml:"max_label_names_per_series"`
	// MaxLabelNameLength is in bytes. Default 1024.
	MaxLabelNameLength int `yaml:"max_label_name_length"`
	// MaxLabelValueLength is in bytes. Default 2048.
	MaxLabelValueLength int `yaml:"max_label_value_length"`
	// MaxStructuredMetadataSize is the sum of names and values of one entry in bytes. Default 64KiB.
	MaxStructuredMetadataSize units.Base2Bytes `yaml:"max_structured_metadata_size"`
	// MaxStructuredMetadataEntriesCount counts the names of one entry. Default 128.
	MaxStructuredMetadataEntriesCount int `yaml:"max_structured_metadata_entries_count"`
	// DiscoverServiceName adds a service_name label to streams that lack it, from the first of
	// service, app, application, … that is there. Default true.
	DiscoverServiceName bool `yaml:"discover_service_name"`
	// DiscoverLogLevels adds a detected_level to the structured metadata. Default true.
	DiscoverLogLevels bool `yaml:"discover_log_levels"`
	// RetentionPeriod is how long logs are kept that no rule of RetentionStream matches. Default 0:
	// retention.logs.
	RetentionPeriod model.Duration `yaml:"retention_period"`
	// RetentionStream are rules {selector, priority, period} for streams that are kept for other times; the
	// one of the highest priority that matches counts. Where a tenant has rules of its own, those of
	// limits come after them. Default none.
	RetentionStream []StreamRetention `yaml:"retention_stream"`
}

// StreamRetention is a rule of LogsLimits.RetentionStream.
type StreamRetention struct {
	// Selector names the streams, such as {namespace="dev"}.
	Selector string `yaml:"selector"`
	// Priority decides between rules that match: the highest counts.
	Priority int `yaml:"priority"`
	// Period is how long the streams are kept; 0 is for ever.
	Period model.Duration `yaml:"period"`
}

// TracesLimits bound the writes of traces.
type TracesLimits struct {
	// IngestionRate is the sustained rate of OTLP protobuf in bytes a second. Default 0: no bound.
	IngestionRate units.Base2Bytes `yaml:"ingestion_rate"`
	// IngestionBurst is how many bytes may come at once. Default 0: ten seconds of IngestionRate.
	IngestionBurst units.Base2Bytes `yaml:"ingestion_burst"`
	// MaxTraceBytes bounds the spans of one trace in the head, in bytes of memory. Default 24MiB, at most
	// 28MiB.
	MaxTraceBytes units.Base2Bytes `yaml:"max_trace_bytes"`
	// MaxTraceSpans bounds the spans of one trace in the head, to at most 500000. Default 100000, which
	// 0 also means.
	MaxTraceSpans int `yaml:"max_trace_spans"`
	// MaxSpanBytes bounds one span with its events and links, in bytes of OTLP; larger ones are
	// rejected. Default 4MiB, which 0 also means.
	MaxSpanBytes units.Base2Bytes `yaml:"max_span_bytes"`
	// MaxAttributeBytes is where the key and the text value of an attribute are cut, each. Default
	// 2KiB, which 0 also means.
	MaxAttributeBytes units.Base2Bytes `yaml:"max_attribute_bytes"`
	// MaxAttributesPerSpan counts the attributes of a span, an event, a link, a scope or a resource,
	// each alone; the rest is dropped and counted as OTLP does. Default 1024, which 0 also means.
	MaxAttributesPerSpan int `yaml:"max_attributes_per_span"`
	// MaxEventsPerSpan counts events, and as many links; the rest is dropped and counted as OTLP
	// does. Default 10000, which 0 also means.
	MaxEventsPerSpan int `yaml:"max_events_per_span"`
	// RetentionPeriod is how long traces are kept that no rule of RetentionRules finds. Default 0:
	// retention.traces.
	RetentionPeriod model.Duration `yaml:"retention_period"`
	// RetentionRules are rules {match, keep} for traces that are kept for other times; of several that find a
	// trace the one that keeps longest counts. Default none.
	RetentionRules []TraceRetention `yaml:"retention_rules"`
	// Generator says which metrics are derived from spans.
	Generator GeneratorLimits `yaml:"generator"`
}

// TraceRetention is a rule of TracesLimits.RetentionRules.
type TraceRetention struct {
	// Match is a TraceQL query that finds the traces, whole, such as { resource.service.name = "dev" }.
	Match string `yaml:"match"`
	// Keep is how long the traces are kept; 0 is for ever.
	Keep model.Duration `yaml:"keep"`
}

// QueryLimits bound reads.
type QueryLimits struct {
	// Timeout ends a query. Default 2m; 0 leaves it to the client.
	Timeout model.Duration `yaml:"timeout"`
	// MaxLength bounds end - start of a metrics or traces query, as a duration. Default 0: no bound.
	MaxLength model.Duration `yaml:"max_query_length"`
	// MaxLogsLength bounds end - start of a logs query, as a duration. Default 721h, as in Loki; 0: no bound.
	MaxLogsLength model.Duration `yaml:"max_logs_query_length"`
	// MaxLookback moves the start of a query to now minus this. Default 0: no bound.
	MaxLookback model.Duration `yaml:"max_query_lookback"`
	// MaxBytes bounds the log lines that one logs query may look at, in bytes. Default 0: no bound.
	MaxBytes units.Base2Bytes `yaml:"max_query_bytes"`
	// MaxLines bounds the log lines that one logs query may look at. Default 0: no bound.
	MaxLines int64 `yaml:"max_query_lines"`
	// MaxSamples bounds the samples that one logs query may hold while it computes, of all series together.
	// Default 50000000, which 0 also means.
	MaxSamples int `yaml:"max_query_samples"`
	// MaxMemory bounds what one logs query may hold for its answer and while it computes, in bytes. Default 1GiB,
	// which 0 also means.
	MaxMemory units.Base2Bytes `yaml:"max_query_memory"`
	// MaxSeries bounds the series of a logs metric query's answer. Default 500.
	MaxSeries int `yaml:"max_query_series"`
	// MaxEntries bounds the limit that a logs query may ask for. Default 5000.
	MaxEntries int `yaml:"max_entries_limit_per_query"`
	// MaxPoints bounds the points per series (range / step) of a logs range query. Default 11000.
	MaxPoints int `yaml:"max_points_per_series"`
}

// DefaultConfig returns the limits of a tenant for whom nothing is configured.
func DefaultConfig() Limits {
	return Limits{
		CreationGracePeriod: model.Duration(10 * time.Minute),
		Metrics: MetricsLimits{
			MaxLabelNamesPerSeries: 30, MaxLabelNameLength: 1024, MaxLabelValueLength: 2048,
			MaxExemplarLabelLength: 256,
			HAClusterLabel:         "cluster", HAReplicaLabel: "__replica__", HAFailoverTimeout: model.Duration(30 * time.Second), HAMaxClusters: 100,
			MaxDeltaSeries: 100_000,
		},
		Logs: LogsLimits{
			MaxLineSize:            256 * units.KiB,
			MaxLabelNamesPerSeries: 15, MaxLabelNameLength: 1024, MaxLabelValueLength: 2048,
			MaxStructuredMetadataSize: 64 * units.KiB, MaxStructuredMetadataEntriesCount: 128,
			DiscoverServiceName: true, DiscoverLogLevels: true, RetentionStream: []StreamRetention{},
		},
		Traces: TracesLimits{
			MaxTraceBytes: 24 * units.MiB, MaxTraceSpans: 100_000, MaxSpanBytes: 4 * units.MiB,
			MaxAttributeBytes: 2 * units.KiB, MaxAttributesPerSpan: 1024, MaxEventsPerSpan: 10_000, RetentionRules: []TraceRetention{},
			Generator: defaultGenerator(),
		},
		Queries: QueryLimits{
			Timeout: model.Duration(2 * time.Minute), MaxLogsLength: model.Duration(721 * time.Hour), MaxSeries: 500, MaxEntries: 5000,
			MaxPoints: 11_000, MaxSamples: 50_000_000, MaxMemory: units.GiB,
		},
	}
}

// Validate reports every value that makes no sense, with its path below `limits`.
func (l *Limits) Validate() error {
	var errs []error
	check := func(path string, negative bool) {
		if negative {
			errs = append(errs, fmt.Errorf("%s: must not be negative", path))
		}
	}
	check("max_age", l.MaxAge < 0)
	check("creation_grace_period", l.CreationGracePeriod < 0)
	m, g, t, q := &l.Metrics, &l.Logs, &l.Traces, &l.Queries
	check("metrics.ingestion_rate", m.IngestionRate < 0)
	check("metrics.ingestion_burst", m.IngestionBurst < 0)
	check("metrics.max_series_per_tenant", m.MaxSeriesPerTenant < 0)
	check("metrics.max_label_names_per_series", m.MaxLabelNamesPerSeries < 0)
	check("metrics.max_label_name_length", m.MaxLabelNameLength < 0)
	check("metrics.max_label_value_length", m.MaxLabelValueLength < 0)
	check("metrics.max_exemplar_label_length", m.MaxExemplarLabelLength < 0)
	check("metrics.max_native_histogram_buckets", m.MaxNativeHistogramBuckets < 0)
	check("metrics.ha_failover_timeout", m.HAFailoverTimeout < 0)
	check("metrics.ha_max_clusters", m.HAMaxClusters < 0)
	if m.HAClusterLabel == "" || m.HAReplicaLabel == "" || m.HAClusterLabel == m.HAReplicaLabel {
		errs = append(errs, errors.New("metrics.ha_cluster_label and metrics.ha_replica_label: must be two names"))
	}
	check("metrics.max_delta_series", m.MaxDeltaSeries < 0)
	check("metrics.retention_period", m.RetentionPeriod < 0)
	check("metrics.retention_period_5m", m.RetentionPeriod5m < 0)
	check("metrics.retention_period_1h", m.RetentionPeriod1h < 0)
	check("logs.ingestion_rate", g.IngestionRate < 0)
	check("logs.ingestion_burst", g.IngestionBurst < 0)
	check("logs.per_stream_rate_limit", g.PerStreamRateLimit < 0)
	check("logs.per_stream_rate_limit_burst", g.PerStreamRateLimitBurst < 0)
	check("logs.max_streams_per_tenant", g.MaxStreamsPerTenant < 0)
	check("logs.max_line_size", g.MaxLineSize < 0)
	check("logs.max_label_names_per_series", g.MaxLabelNamesPerSeries < 0)
	check("logs.max_label_name_length", g.MaxLabelNameLength < 0)
	check("logs.max_label_value_length", g.MaxLabelValueLength < 0)
	check("logs.max_structured_metadata_size", g.MaxStructuredMetadataSize < 0)
	check("logs.max_structured_metadata_entries_count", g.MaxStructuredMetadataEntriesCount < 0)
	check("logs.retention_period", g.RetentionPeriod < 0)
	for i, r := range g.RetentionStream {
		check(fmt.Sprintf("logs.retention_stream.%d.period", i), r.Period < 0)
		if r.Selector == "" {
			errs = append(errs, fmt.Errorf("logs.retention_stream.%d.selector: is missing", i))
		}
	}
	check("traces.ingestion_rate", t.IngestionRate < 0)
	check("traces.ingestion_burst", t.IngestionBurst < 0)
	check("traces.max_trace_bytes", t.MaxTraceBytes < 0)
	if t.MaxTraceBytes > 28*units.MiB {
		errs = append(errs, fmt.Errorf("traces.max_trace_bytes: %s is more than 28MiB", t.MaxTraceBytes))
	}
	check("traces.max_trace_spans", t.MaxTraceSpans < 0)
	check("traces.max_span_bytes", t.MaxSpanBytes < 0)
	check("traces.max_attribute_bytes", t.MaxAttributeBytes < 0)
	check("traces.max_attributes_per_span", t.MaxAttributesPerSpan < 0)
	check("traces.max_events_per_span", t.MaxEventsPerSpan < 0)
	check("traces.retention_period", t.RetentionPeriod < 0)
	for i, r := range t.RetentionRules {
		check(fmt.Sprintf("traces.retention_rules.%d.keep", i), r.Keep < 0)
		if r.Match == "" {
			errs = append(errs, fmt.Errorf("traces.retention_rules.%d.match: is missing", i))
		}
	}
	errs = append(errs, t.Generator.validate()...)
	check("queries.timeout", q.Timeout < 0)
	check("queries.max_query_length", q.MaxLength < 0)
	check("queries.max_logs_query_length", q.MaxLogsLength < 0)
	check("queries.max_query_lookback", q.MaxLookback < 0)
	check("queries.max_query_bytes", q.MaxBytes < 0)
	check("queries.max_query_lines", q.MaxLines < 0)
	check("queries.max_query_samples", q.MaxSamples < 0)
	check("queries.max_query_memory", q.MaxMemory < 0)
	check("queries.max_query_series", q.MaxSeries < 0)
	check("queries.max_entries_limit_per_query", q.MaxEntries < 0)
	check("queries.max_points_per_series", q.MaxPoints < 0)
	return errors.Join(errs...)
}
