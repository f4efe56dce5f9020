package overrides

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/grafana/regexp"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/traces/traceql"
)

// Limits are the settings that a tenant may make for itself, with the names of Tempo's
// user-configurable overrides. What is nil is not set.
type Limits struct {
	Forwarders       *[]string        `json:"forwarders,omitempty"`
	CostAttribution  *CostAttribution `json:"cost_attribution,omitempty"`
	MetricsGenerator *Generator       `json:"metrics_generator,omitempty"`
}

// CostAttribution divides what is ingested by attributes: name of an attribute to name of a label.
type CostAttribution struct {
	Dimensions *map[string]string `json:"dimensions,omitempty"`
}

// Generator says which metrics are made from spans, and how.
type Generator struct {
	Processors                      *[]string  `json:"processors,omitempty"`
	CollectionInterval              *Duration  `json:"collection_interval,omitempty"`
	TraceIDLabelName                *string    `json:"trace_id_label_name,omitempty"`
	IngestionTimeRangeSlack         *Duration  `json:"ingestion_time_range_slack,omitempty"`
	DisableCollection               *bool      `json:"disable_collection,omitempty"`
	GenerateNativeHistograms        *string    `json:"generate_native_histograms,omitempty"`
	NativeHistogramMaxBucketNumber  *uint32    `json:"native_histogram_max_bucket_number,omitempty"`
	NativeHistogramBucketFactor     *float64   `json:"native_histogram_bucket_factor,omitempty"`
	NativeHistogramMinResetDuration *Duration  `json:"native_histogram_min_reset_duration,omitempty"`
	SpanNameSanitization            *string    `json:"span_name_sanitization,omitempty"`
	Processor                       *Processor `json:"processor,omitempty"`
}

// Processor has the settings of each kind of metrics.
type Processor struct {
	ServiceGraphs *ServiceGraphs `json:"service_graphs,omitempty"`
	SpanMetrics   *SpanMetrics   `json:"span_metrics,omitempty"`
	HostInfo      *HostInfo      `json:"host_info,omitempty"`
}

// ServiceGraphs are the metrics of calls between services.
type ServiceGraphs struct {
	HistogramBuckets                      *[]float64      `json:"histogram_buckets,omitempty"`
	Dimensions                            *[]string       `json:"dimensions,omitempty"`
	PeerAttributes                        *[]string       `json:"peer_attributes,omitempty"`
	EnableClientServerPrefix              *bool           `json:"enable_client_server_prefix,omitempty"`
	EnableMessagingSystemLatencyHistogram *bool           `json:"enable_messaging_system_latency_histogram,omitempty"`
	EnableVirtualNodeLabel                *bool           `json:"enable_virtual_node_label,omitempty"`
	SpanMultiplierKey                     *string         `json:"span_multiplier_key,omitempty"`
	EnableTracestateSpanMultiplier        *bool           `json:"enable_tracestate_span_multiplier,omitempty"`
	FilterPolicies                        *[]FilterPolicy `json:"filter_policies,omitempty"`
}

// SpanMetrics are the metrics of spans by service, name, kind and status.
type SpanMetrics struct {
	HistogramBuckets               *[]float64          `json:"histogram_buckets,omitempty"`
	Dimensions                     *[]string           `json:"dimensions,omitempty"`
	DimensionMappings              *[]DimensionMapping `json:"dimension_mappings,omitempty"`
	IntrinsicDimensions            *map[string]bool    `json:"intrinsic_dimensions,omitempty"`
	FilterPolicies                 *[]FilterPolicy     `json:"filter_policies,omitempty"`
	EnableTargetInfo               *bool               `json:"enable_target_info,omitempty"`
	TargetInfoExcludedDimensions   *[]string           `json:"target_info_excluded_dimensions,omitempty"`
	EnableInstanceLabel            *bool               `json:"enable_instance_label,omitempty"`
	SpanMultiplierKey              *string             `json:"span_multiplier_key,omitempty"`
	EnableTracestateSpanMultiplier *bool               `json:"enable_tracestate_span_multiplier,omitempty"`
}

// HostInfo is the metric that tells hosts apart.
type HostInfo struct {
	HostIdentifiers *[]string `json:"host_identifiers,omitempty"`
	MetricName      *string   `json:"metric_name,omitempty"`
}

// DimensionMapping makes a label of several attributes.
type DimensionMapping struct {
	Name         string   `json:"name"`
	SourceLabels []string `json:"source_labels"`
	Join         string   `json:"join"`
}

// FilterPolicy chooses spans by their attributes.
type FilterPolicy struct {
	Include    *PolicyMatch `json:"include,omitempty"`
	IncludeAny *PolicyMatch `json:"include_any,omitempty"`
	Exclude    *PolicyMatch `json:"exclude,omitempty"`
}

// PolicyMatch is the condition of a policy. MatchType is strict or regex.
type PolicyMatch struct {
	MatchType  string            `json:"match_type"`
	Attributes []PolicyAttribute `json:"attributes"`
}

// PolicyAttribute is an attribute, as TraceQL writes it, and its value.
type PolicyAttribute struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
}

// Duration is written as 15s in JSON.
type Duration time.Duration

// MarshalJSON writes the duration as text.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads a text such as 15s or 1m30s.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("want a duration as text: %w", err)
	}
	v, err := time.ParseDuration(s)
	*d = Duration(v)
	return err
}

// ParseLimits reads a document. Unknown fields and settings that make no sense are fault.Invalid.
func ParseLimits(data []byte) (*Limits, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var l Limits
	if err := d.Decode(&l); err != nil {
		return nil, fault.Invalidf("malformed overrides: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fault.Invalidf("malformed overrides: something follows the document")
	}
	if err := l.validate(); err != nil {
		return &l, err
	}
	return &l, l.checkApplied()
}

var (
	processors = []string{"service-graphs", "span-metrics", "span-metrics-count", "span-metrics-latency", "span-metrics-size", "host-info"}
	histograms = []string{"classic", "native", "both"}
	intrinsics = []string{"service", "span_name", "span_kind", "status_code", "status_message"}
)

func (l *Limits) validate() error {
	g := l.MetricsGenerator
	if g == nil {
		return nil
	}
	if g.Processors != nil {
		for _, p := range *g.Processors {
			if !slices.Contains(processors, p) {
				return fault.Invalidf("metrics_generator.processor %q is not a known processor, valid values: %v", p, processors)
			}
		}
	}
	if h := g.GenerateNativeHistograms; h != nil && !slices.Contains(histograms, *h) {
		return fault.Invalidf("metrics_generator.generate_native_histograms %q is not valid, valid values: %v", *h, histograms)
	}
	if d := g.CollectionInterval; d != nil && (time.Duration(*d) < 15*time.Second || time.Duration(*d) > 5*time.Minute) {
		return fault.Invalidf("metrics_generator.collection_interval %s is outside of the range of 15s to 5m", time.Duration(*d))
	}
	if f := g.NativeHistogramBucketFactor; f != nil && *f <= 1 {
		return fault.Invalidf("metrics_generator.native_histogram_bucket_factor must be greater than 1")
	}
	if g.Processor == nil {
		return nil
	}
	if s := g.Processor.ServiceGraphs; s != nil {
		if err := firstError(checkBuckets("service_graphs", s.HistogramBuckets), checkPolicies("service_graphs", s.FilterPolicies)); err != nil {
			return err
		}
	}
	if s := g.Processor.SpanMetrics; s != nil {
		if err := firstError(checkBuckets("span_metrics", s.HistogramBuckets), checkPolicies("span_metrics", s.FilterPolicies)); err != nil {
			return err
		}
		if s.IntrinsicDimensions != nil {
			for name := range *s.IntrinsicDimensions {
				if !slices.Contains(intrinsics, name) {
					return fault.Invalidf("span_metrics.intrinsic_dimensions: %q is not one, valid values: %v", name, intrinsics)
				}
			}
		}
	}
	return nil
}

// text returns the settings as they are stored.
func (l *Limits) text() string {
	b, err := json.Marshal(l)
	if err != nil {
		panic(fmt.Sprintf("overrides: settings that were read can't be written: %v", err))
	}
	return string(b)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func checkBuckets(where string, b *[]float64) error {
	if b != nil && (!slices.IsSorted(*b) || len(slices.Compact(slices.Clone(*b))) != len(*b)) {
		return fault.Invalidf("%s.histogram_buckets must be in increasing order", where)
	}
	return nil
}

func checkPolicies(where string, list *[]FilterPolicy) error {
	if list == nil {
		return nil
	}
	for _, p := range *list {
		if p.Include == nil && p.IncludeAny == nil && p.Exclude == nil {
			return fault.Invalidf("%s.filter_policies: a policy needs include, include_any or exclude", where)
		}
		for _, m := range []*PolicyMatch{p.Include, p.IncludeAny, p.Exclude} {
			if err := m.validate(); err != nil {
				return fault.Invalidf("%s.filter_policies: %w", where, err)
			}
		}
	}
	return nil
}

func (m *PolicyMatch) validate() error {
	if m == nil {
		return nil
	}
	if m.MatchType != "strict" && m.MatchType != "regex" {
		return fmt.Errorf("match_type %q is not valid: strict or regex", m.MatchType)
	}
	for _, a := range m.Attributes {
		attr, err := traceql.ParseAttribute(a.Key)
		if err != nil {
			return err
		}
		if attr.Intrinsic == traceql.IntrinsicNone && attr.Scope != traceql.ScopeSpan && attr.Scope != traceql.ScopeResource {
			return fmt.Errorf("attribute %s: only the scopes span and resource are known here", a.Key)
		}
		if m.MatchType == "regex" {
			text, ok := a.Value.(string)
			if !ok {
				return fmt.Errorf("attribute %s: a regular expression must be a text", a.Key)
			}
			if _, err := regexp.Compile(text); err != nil {
				return fmt.Errorf("attribute %s: %w", a.Key, err)
			}
		}
	}
	return nil
}
