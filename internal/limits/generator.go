package limits

import (
	"fmt"
	"math"
	"time"

	"github.com/prometheus/common/model"
)

// GeneratorLimits say which metrics are derived from a tenant's spans, and how many. Names and defaults are
// those of Tempo's metrics generator; that it is on is ours.
type GeneratorLimits struct {
	// Enabled derives metrics from spans and writes them to the metrics of the same tenant. Default true.
	Enabled bool `yaml:"enabled"`
	// MaxActiveSeries bounds the derived series that are kept up to date. What would make more is counted
	// in one series of each metric, with the label metric_overflow="true". Default 100000; 0 sets no bound.
	MaxActiveSeries int `yaml:"max_active_series"`
	// IngestionTimeRangeSlack is how far from now a span may have ended to be counted: derived metrics carry the
	// time of their collection, so that old spans would change the present. Default 30s; 0 counts
	// every span.
	IngestionTimeRangeSlack model.Duration `yaml:"ingestion_time_range_slack"`
	// CollectionInterval is how often the tenant's derived metrics are written, a multiple of traces.generator.interval.
	// Default 0: traces.generator.interval.
	CollectionInterval model.Duration `yaml:"collection_interval"`
	// Histograms is the form of latency histograms: classic, native or both. Default classic.
	Histograms string `yaml:"histograms"`
	// TraceIDLabelName is the label of exemplars that holds the trace ID; empty makes no exemplars.
	// Default traceID.
	TraceIDLabelName string `yaml:"trace_id_label_name"`
	// SpanMetrics are traces_spanmetrics_* and traces_target_info.
	SpanMetrics SpanMetricsLimits `yaml:"span_metrics"`
	// ServiceGraphs are traces_service_graph_*.
	ServiceGraphs ServiceGraphLimits `yaml:"service_graphs"`
}

// SpanMetricsLimits configure the metrics of spans by service, name, kind and status.
type SpanMetricsLimits struct {
	// Enabled makes these metrics. Default true.
	Enabled bool `yaml:"enabled"`
	// Calls makes traces_spanmetrics_calls_total. Default true.
	Calls bool `yaml:"calls"`
	// Latency makes traces_spanmetrics_latency. Default true.
	Latency bool `yaml:"latency"`
	// Size makes traces_spanmetrics_size_total. Default true.
	Size bool `yaml:"size"`
	// HistogramBuckets are the upper bounds of the classic latency histogram in seconds, ascending.
	// Default 2 ms, doubled 13 times.
	HistogramBuckets []float64 `yaml:"histogram_buckets"`
	// IntrinsicDimensions are the labels that spans have without being asked.
	IntrinsicDimensions IntrinsicDimensions `yaml:"intrinsic_dimensions"`
	// Dimensions are attributes of the resource or, where it has none of the name, of the span that become
	// labels; characters that labels can't have become _. Default none.
	Dimensions []string `yaml:"dimensions"`
	// DimensionMappings are labels {name, source_labels, join} made of one or more attributes.
	// Default none.
	DimensionMappings []DimensionMapping `yaml:"dimension_mappings"`
	// EnableTargetInfo makes traces_target_info, which has the attributes of each resource as labels.
	// Default true.
	EnableTargetInfo bool `yaml:"enable_target_info"`
	// TargetInfoExcludedDimensions are attributes that traces_target_info leaves out. Default none.
	TargetInfoExcludedDimensions []string `yaml:"target_info_excluded_dimensions"`
	// JobAndInstanceLabels puts the labels job and instance of traces_target_info on the metrics of spans
	// too, so that they can be joined; series then multiply by instances. Default false.
	JobAndInstanceLabels bool `yaml:"job_and_instance_labels"`
	// SpanMultiplierKey is an attribute with the ratio at which spans were sampled: a span with 0.1 counts
	// as 10. Default none.
	SpanMultiplierKey string `yaml:"span_multiplier_key"`
	// EnableTracestateSpanMultiplier takes the ratio from the sampling threshold (ot=th:…) of the trace
	// state, where there is one. Default false.
	EnableTracestateSpanMultiplier bool `yaml:"enable_tracestate_span_multiplier"`
	// FilterPolicies say which spans count, as {include, include_any, exclude}, each {match_type,
	// attributes}. Default none: all.
	FilterPolicies []FilterPolicy `yaml:"filter_policies"`
}

// IntrinsicDimensions choose labels of span metrics.
type IntrinsicDimensions struct {
	// Service is the name of the service. Default true.
	Service bool `yaml:"service"`
	// SpanName is the name of the span. Default true.
	SpanName bool `yaml:"span_name"`
	// SpanKind is the kind, such as SPAN_KIND_SERVER. Default true.
	SpanKind bool `yaml:"span_kind"`
	// StatusCode is the status, such as STATUS_CODE_ERROR. Default true.
	StatusCode bool `yaml:"status_code"`
	// StatusMessage is the text of the status, which can be anything. Default false.
	StatusMessage bool `yaml:"status_message"`
}

// DimensionMapping makes one label of attributes.
type DimensionMapping struct {
	// Name is the label.
	Name string `yaml:"name"`
	// SourceLabels are the attributes, as the spans have them.
	SourceLabels []string `yaml:"source_labels"`
	// Join stands between the values of several attributes.
	Join string `yaml:"join"`
}

// FilterPolicy says which spans count. A span that meets the exclude of any policy doesn't, nor does one that
// fails the include of any; where there are only policies with include_any it must meet one of these.
type FilterPolicy struct {
	// Include is what spans must meet.
	Include PolicyMatch `yaml:"include"`
	// IncludeAny is what spans may meet instead of that of another policy.
	IncludeAny PolicyMatch `yaml:"include_any"`
	// Exclude is what spans must not meet.
	Exclude PolicyMatch `yaml:"exclude"`
}

// PolicyMatch is met by spans that have all its attributes.
type PolicyMatch struct {
	// MatchType is strict or regex.
	MatchType string `yaml:"match_type"`
	// Attributes are {key, value}.
	Attributes []PolicyAttribute `yaml:"attributes"`
}

// PolicyAttribute is one attribute with its value.
type PolicyAttribute struct {
	// Key is name, kind, status, span.ATTRIBUTE or resource.ATTRIBUTE.
	Key string `yaml:"key"`
	// Value is the text of the value, or a regular expression for all of it.
	Value any `yaml:"value"`
}

// ServiceGraphLimits configure the metrics of requests between services.
type ServiceGraphLimits struct {
	// Enabled makes these metrics. Default true.
	Enabled bool `yaml:"enabled"`
	// Wait is how long one side of a request waits for the other. Default 10s.
	Wait model.Duration `yaml:"wait"`
	// MaxItems bounds the sides that wait. Sides beyond it are dropped and counted. Default 10000.
	MaxItems int `yaml:"max_items"`
	// HistogramBuckets are the upper bounds of the classic histograms in seconds, ascending. Default
	// 100 ms, doubled 7 times.
	HistogramBuckets []float64 `yaml:"histogram_buckets"`
	// Dimensions are attributes of resource or span that become labels. Default none.
	Dimensions []string `yaml:"dimensions"`
	// EnableClientServerPrefix makes two labels of each dimension, client_… and server_…. Default false.
	EnableClientServerPrefix bool `yaml:"enable_client_server_prefix"`
	// EnableMessagingSystemLatencyHistogram makes traces_service_graph_request_messaging_system_seconds, the time
	// from producer to consumer. Default false.
	EnableMessagingSystemLatencyHistogram bool `yaml:"enable_messaging_system_latency_histogram"`
	// EnableVirtualNodeLabel adds the label virtual_node: client or server, whichever sends no spans. Default false.
	EnableVirtualNodeLabel bool `yaml:"enable_virtual_node_label"`
	// PeerAttributes name the other side where it sends no spans; the first that is there counts. Default
	// peer.service, db.name, db.system, db.system.name.
	PeerAttributes []string `yaml:"peer_attributes"`
	// DatabaseNameAttributes make a client's span a request to a database. Default db.namespace, db.name,
	// db.system, db.system.name.
	DatabaseNameAttributes []string `yaml:"database_name_attributes"`
	// SpanMultiplierKey is as for span metrics. Default none.
	SpanMultiplierKey string `yaml:"span_multiplier_key"`
	// EnableTracestateSpanMultiplier is as for span metrics. Default false.
	EnableTracestateSpanMultiplier bool `yaml:"enable_tracestate_span_multiplier"`
	// FilterPolicies are as for span metrics. Default none.
	FilterPolicies []FilterPolicy `yaml:"filter_policies"`
}

// doubled returns n bounds, each twice the one before.
func doubled(first float64, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = first * float64(int(1)<<i)
	}
	return out
}

func defaultGenerator() GeneratorLimits {
	return GeneratorLimits{
		Enabled: true, MaxActiveSeries: 100_000, IngestionTimeRangeSlack: model.Duration(30 * time.Second), Histograms: "classic",
		TraceIDLabelName: "traceID",
		SpanMetrics: SpanMetricsLimits{
			Enabled: true, Calls: true, Latency: true, Size: true, HistogramBuckets: doubled(0.002, 14), EnableTargetInfo: true,
			IntrinsicDimensions: IntrinsicDimensions{Service: true, SpanName: true, SpanKind: true, StatusCode: true},
			Dimensions:          []string{}, DimensionMappings: []DimensionMapping{}, TargetInfoExcludedDimensions: []string{}, FilterPolicies: []FilterPolicy{},
		},
		ServiceGraphs: ServiceGraphLimits{
			Enabled: true, Wait: model.Duration(10 * time.Second), MaxItems: 10_000, HistogramBuckets: doubled(0.1, 8),
			Dimensions: []string{}, FilterPolicies: []FilterPolicy{},
			PeerAttributes:         []string{"peer.service", "db.name", "db.system", "db.system.name"},
			DatabaseNameAttributes: []string{"db.namespace", "db.name", "db.system", "db.system.name"},
		},
	}
}

// validate returns every fault with its path below `limits`.
func (g *GeneratorLimits) validate() (errs []error) {
	const at = "traces.generator."
	negative := func(path string, is bool) {
		if is {
			errs = append(errs, fmt.Errorf("%s%s: must not be negative", at, path))
		}
	}
	negative("max_active_series", g.MaxActiveSeries < 0)
	negative("ingestion_time_range_slack", g.IngestionTimeRangeSlack < 0)
	negative("collection_interval", g.CollectionInterval < 0)
	negative("service_graphs.wait", g.ServiceGraphs.Wait < 0)
	negative("service_graphs.max_items", g.ServiceGraphs.MaxItems < 0)
	switch g.Histograms {
	case "classic", "native", "both":
	default:
		errs = append(errs, fmt.Errorf("%shistograms: %q is not one of classic, native, both", at, g.Histograms))
	}
	errs = append(errs, checkBuckets(at+"span_metrics.histogram_buckets", g.SpanMetrics.HistogramBuckets)...)
	errs = append(errs, checkBuckets(at+"service_graphs.histogram_buckets", g.ServiceGraphs.HistogramBuckets)...)
	for i, m := range g.SpanMetrics.DimensionMappings {
		if m.Name == "" || len(m.SourceLabels) == 0 {
			errs = append(errs, fmt.Errorf("%sspan_metrics.dimension_mappings.%d: wants a name and source_labels", at, i))
		}
	}
	return errs
}

// maxBuckets keeps one series of a histogram from being hundreds.
const maxBuckets = 100

func checkBuckets(path string, bounds []float64) (errs []error) {
	if len(bounds) == 0 || len(bounds) > maxBuckets {
		errs = append(errs, fmt.Errorf("%s: has %d bounds, wants 1 to %d", path, len(bounds), maxBuckets))
	}
	for i, b := range bounds {
		if math.IsNaN(b) || math.IsInf(b, 0) || i > 0 && b <= bounds[i-1] {
			errs = append(errs, fmt.Errorf("%s: bounds must be finite and ascending, not so at %g", path, b))
			break
		}
	}
	return errs
}
