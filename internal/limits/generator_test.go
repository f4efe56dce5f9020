package limits

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

func TestGeneratorFaults(t *testing.T) {
	for want, change := range map[string]func(*GeneratorLimits){
		`traces.generator.histograms: "nhcb" is not one of classic, native, both`: func(g *GeneratorLimits) { g.Histograms = "nhcb" },
		`traces.generator.span_metrics.histogram_buckets: has 0 bounds`:           func(g *GeneratorLimits) { g.SpanMetrics.HistogramBuckets = nil },
		`traces.generator.service_graphs.histogram_buckets: bounds must be finite and ascending, not so at 1`: func(g *GeneratorLimits) {
			g.ServiceGraphs.HistogramBuckets = []float64{1, 1}
		},
		`ascending, not so at +Inf`: func(g *GeneratorLimits) { g.SpanMetrics.HistogramBuckets = []float64{1, math.Inf(1)} },
		`traces.generator.span_metrics.dimension_mappings.0: wants a name and source_labels`: func(g *GeneratorLimits) {
			g.SpanMetrics.DimensionMappings = []DimensionMapping{{Name: "x"}}
		},
	} {
		bad := DefaultConfig()
		change(&bad.Traces.Generator)
		require.ErrorContains(t, bad.Validate(), want)
	}
}

// A tenant's list replaces that of the limits and changes no one else's.
func TestGeneratorOverrides(t *testing.T) {
	var patch Patch
	require.NoError(t, yaml.Unmarshal([]byte(`
traces:
  generator:
    span_metrics:
      histogram_buckets: [1, 2]
      filter_policies:
        - include: {match_type: strict, attributes: [{key: kind, value: SPAN_KIND_SERVER}, {key: span.code, value: 200}]}
`), &patch))
	o, err := New(DefaultConfig(), map[string]Patch{"team": patch})
	require.NoError(t, err)
	m := o.For("team").Traces.Generator.SpanMetrics
	require.Equal(t, []float64{1, 2}, m.HistogramBuckets)
	require.Equal(t, PolicyAttribute{Key: "span.code", Value: 200}, m.FilterPolicies[0].Include.Attributes[1])
	require.True(t, m.EnableTargetInfo)
	require.Equal(t, 0.002, o.Defaults().Traces.Generator.SpanMetrics.HistogramBuckets[0])
	require.Equal(t, 16.384, o.Defaults().Traces.Generator.SpanMetrics.HistogramBuckets[13])

	require.ErrorContains(t, yaml.Unmarshal([]byte("traces: {generator: {span_metrics: {filter_policies: [{includes: {}}]}}}"), &patch), `unknown key "traces.generator.span_metrics.filter_policies.0.includes"`)
}
