package overrides

import (
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/limits"
)

// Apply returns base with the settings of l, which leave base as it is. What they don't name stays, and so does what
// nothing acts on here: forwarders, cost attribution, the metric of hosts, span_name_sanitization, the details of native histograms
// and enable_instance_label.
func (l *Limits) Apply(base *limits.Limits) *limits.Limits {
	out := *base
	g := l.MetricsGenerator
	if g == nil {
		return &out
	}
	to := &out.Traces.Generator
	if g.Processors != nil {
		process(to, *g.Processors)
	}
	setDuration(&to.CollectionInterval, g.CollectionInterval)
	setDuration(&to.IngestionTimeRangeSlack, g.IngestionTimeRangeSlack)
	set(&to.TraceIDLabelName, g.TraceIDLabelName)
	set(&to.Histograms, g.GenerateNativeHistograms)
	if g.DisableCollection != nil && *g.DisableCollection {
		to.Enabled = false
	}
	if g.Processor != nil {
		g.Processor.ServiceGraphs.apply(&to.ServiceGraphs)
		g.Processor.SpanMetrics.apply(&to.SpanMetrics)
	}
	return &out
}

// process makes exactly the metrics that are named: what is on by default can be turned off.
func process(to *limits.GeneratorLimits, processors []string) {
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(processors, name) })
	}
	to.Enabled = len(processors) > 0
	to.ServiceGraphs.Enabled = has("service-graphs")
	m := &to.SpanMetrics
	m.Calls = has("span-metrics", "span-metrics-count")
	m.Latency = has("span-metrics", "span-metrics-latency")
	m.Size = has("span-metrics", "span-metrics-size")
	m.Enabled = m.Calls || m.Latency || m.Size
}

func (s *ServiceGraphs) apply(to *limits.ServiceGraphLimits) {
	if s == nil {
		return
	}
	set(&to.HistogramBuckets, s.HistogramBuckets)
	set(&to.Dimensions, s.Dimensions)
	set(&to.PeerAttributes, s.PeerAttributes)
	set(&to.EnableClientServerPrefix, s.EnableClientServerPrefix)
	set(&to.EnableMessagingSystemLatencyHistogram, s.EnableMessagingSystemLatencyHistogram)
	set(&to.EnableVirtualNodeLabel, s.EnableVirtualNodeLabel)
	set(&to.SpanMultiplierKey, s.SpanMultiplierKey)
	set(&to.EnableTracestateSpanMultiplier, s.EnableTracestateSpanMultiplier)
	setPolicies(&to.FilterPolicies, s.FilterPolicies)
}

func (s *SpanMetrics) apply(to *limits.SpanMetricsLimits) {
	if s == nil {
		return
	}
	set(&to.HistogramBuckets, s.HistogramBuckets)
	set(&to.Dimensions, s.Dimensions)
	if s.DimensionMappings != nil {
		to.DimensionMappings = make([]limits.DimensionMapping, len(*s.DimensionMappings))
		for i, m := range *s.DimensionMappings {
			to.DimensionMappings[i] = limits.DimensionMapping(m)
		}
	}
	if s.IntrinsicDimensions != nil {
		in := &to.IntrinsicDimensions
		for name, on := range *s.IntrinsicDimensions {
			switch name {
			case "service":
				in.Service = on
			case "span_name":
				in.SpanName = on
			case "span_kind":
				in.SpanKind = on
			case "status_code":
				in.StatusCode = on
			case "status_message":
				in.StatusMessage = on
			}
		}
	}
	setPolicies(&to.FilterPolicies, s.FilterPolicies)
	set(&to.EnableTargetInfo, s.EnableTargetInfo)
	set(&to.TargetInfoExcludedDimensions, s.TargetInfoExcludedDimensions)
	set(&to.SpanMultiplierKey, s.SpanMultiplierKey)
	set(&to.EnableTracestateSpanMultiplier, s.EnableTracestateSpanMultiplier)
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func setDuration(to *model.Duration, from *Duration) {
	if from != nil {
		*to = model.Duration(time.Duration(*from))
	}
}

func setPolicies(to *[]limits.FilterPolicy, from *[]FilterPolicy) {
	if from == nil {
		return
	}
	*to = make([]limits.FilterPolicy, len(*from))
	for i, p := range *from {
		(*to)[i] = limits.FilterPolicy{Include: p.Include.limits(), IncludeAny: p.IncludeAny.limits(), Exclude: p.Exclude.limits()}
	}
}

func (m *PolicyMatch) limits() (out limits.PolicyMatch) {
	if m == nil {
		return out
	}
	out.MatchType = m.MatchType
	for _, a := range m.Attributes {
		out.Attributes = append(out.Attributes, limits.PolicyAttribute{Key: a.Key, Value: a.Value})
	}
	return out
}

// checkApplied refuses settings that make no sense with what they leave at its default.
func (l *Limits) checkApplied() error {
	base := limits.DefaultConfig()
	if err := l.Apply(&base).Validate(); err != nil {
		return fault.Invalidf("%w", err)
	}
	return nil
}
