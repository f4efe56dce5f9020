package overrides

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/limits"
)

// Every setting that has a counterpart in the limits changes it, and nothing else.
func TestApply(t *testing.T) {
	f := func(doc string, change func(g *limits.GeneratorLimits)) {
		t.Helper()
		l, err := ParseLimits([]byte(`{"metrics_generator":` + doc + `}`))
		require.NoError(t, err)
		base, want := limits.DefaultConfig(), limits.DefaultConfig()
		change(&want.Traces.Generator)
		require.Equal(t, &want, l.Apply(&base), doc)
		require.Equal(t, limits.DefaultConfig(), base)
	}
	all := func(g *limits.GeneratorLimits, graphs, calls, latency, size bool) {
		g.ServiceGraphs.Enabled = graphs
		g.SpanMetrics.Calls, g.SpanMetrics.Latency, g.SpanMetrics.Size = calls, latency, size
		g.SpanMetrics.Enabled = calls || latency || size
	}
	f(`{}`, func(*limits.GeneratorLimits) {})
	f(`{"processors":[]}`, func(g *limits.GeneratorLimits) { g.Enabled = false; all(g, false, false, false, false) })
	f(`{"processors":["span-metrics"]}`, func(g *limits.GeneratorLimits) { all(g, false, true, true, true) })
	f(`{"processors":["service-graphs","span-metrics-count"]}`, func(g *limits.GeneratorLimits) { all(g, true, true, false, false) })
	f(`{"processors":["span-metrics-latency","span-metrics-size"]}`, func(g *limits.GeneratorLimits) { all(g, false, false, true, true) })
	f(`{"processors":["host-info"]}`, func(g *limits.GeneratorLimits) { all(g, false, false, false, false) })
	f(`{"disable_collection":true}`, func(g *limits.GeneratorLimits) { g.Enabled = false })
	f(`{"collection_interval":"1m","ingestion_time_range_slack":"2m","trace_id_label_name":"tid","generate_native_histograms":"both"}`, func(g *limits.GeneratorLimits) {
		g.CollectionInterval, g.IngestionTimeRangeSlack = model.Duration(time.Minute), model.Duration(2*time.Minute)
		g.TraceIDLabelName, g.Histograms = "tid", "both"
	})
	f(`{"processor":{"service_graphs":{"histogram_buckets":[1,2],"dimensions":["a"],"peer_attributes":["p"],"enable_client_server_prefix":true,
		"enable_messaging_system_latency_histogram":true,"enable_virtual_node_label":true,"span_multiplier_key":"m","enable_tracestate_span_multiplier":true,
		"filter_policies":[{"exclude":{"match_type":"strict","attributes":[{"key":"kind","value":"SPAN_KIND_SERVER"}]}}]}}}`, func(g *limits.GeneratorLimits) {
		s := &g.ServiceGraphs
		s.HistogramBuckets, s.Dimensions, s.PeerAttributes = []float64{1, 2}, []string{"a"}, []string{"p"}
		s.EnableClientServerPrefix, s.EnableMessagingSystemLatencyHistogram, s.EnableVirtualNodeLabel = true, true, true
		s.SpanMultiplierKey, s.EnableTracestateSpanMultiplier = "m", true
		s.FilterPolicies = []limits.FilterPolicy{{Exclude: limits.PolicyMatch{MatchType: "strict", Attributes: []limits.PolicyAttribute{{Key: "kind", Value: "SPAN_KIND_SERVER"}}}}}
	})
	f(`{"processor":{"span_metrics":{"histogram_buckets":[3],"dimensions":["b"],"dimension_mappings":[{"name":"n","source_labels":["x","y"],"join":"/"}],
		"intrinsic_dimensions":{"service":false,"span_name":false,"span_kind":false,"status_code":false,"status_message":true},"enable_target_info":false,
		"target_info_excluded_dimensions":["e"],"span_multiplier_key":"k","enable_tracestate_span_multiplier":true,
		"filter_policies":[{"include":{"match_type":"regex","attributes":[{"key":"resource.a","value":"x.*"}]}}]}}}`, func(g *limits.GeneratorLimits) {
		s := &g.SpanMetrics
		s.HistogramBuckets, s.Dimensions = []float64{3}, []string{"b"}
		s.DimensionMappings = []limits.DimensionMapping{{Name: "n", SourceLabels: []string{"x", "y"}, Join: "/"}}
		s.IntrinsicDimensions = limits.IntrinsicDimensions{StatusMessage: true}
		s.EnableTargetInfo, s.TargetInfoExcludedDimensions = false, []string{"e"}
		s.SpanMultiplierKey, s.EnableTracestateSpanMultiplier = "k", true
		s.FilterPolicies = []limits.FilterPolicy{{Include: limits.PolicyMatch{MatchType: "regex", Attributes: []limits.PolicyAttribute{{Key: "resource.a", Value: "x.*"}}}}}
	})
	for _, doc := range []string{`{"processor":{"span_metrics":{"histogram_buckets":[]}}}`, `{"ingestion_time_range_slack":"-1s"}`,
		`{"processor":{"span_metrics":{"dimension_mappings":[{"name":""}]}}}`} {
		_, err := ParseLimits([]byte(`{"metrics_generator":` + doc + `}`))
		require.Equal(t, fault.Invalid, fault.ClassOf(err), doc)
	}
}

func TestTenants(t *testing.T) {
	base := limits.DefaultConfig()
	configured, err := limits.New(base, nil)
	require.NoError(t, err)
	bkt := objstore.NewInMemBucket()
	var log bytes.Buffer
	process := func() (*Store, *Tenants) {
		s := New(bkt, nil)
		return s, NewTenants(s, configured, slog.New(slog.NewTextHandler(&log, nil)))
	}
	store, tenants := process()
	_, other := process()
	require.Same(t, configured.Defaults(), tenants.For("a"))
	version, err := store.Set(t.Context(), "a", []byte(`{"metrics_generator":{"trace_id_label_name":"x"}}`), NoVersion)
	require.NoError(t, err)
	require.Equal(t, "x", tenants.For("a").Traces.Generator.TraceIDLabelName, "at once")
	require.Equal(t, "traceID", tenants.For("b").Traces.Generator.TraceIDLabelName)
	require.Same(t, tenants.For("a"), tenants.For("a"))

	require.Equal(t, "traceID", other.For("a").Traces.Generator.TraceIDLabelName)
	require.NoError(t, other.Refresh(t.Context(), []string{"a", "b"}))
	before := other.For("a")
	require.Equal(t, "x", before.Traces.Generator.TraceIDLabelName, "another process, with its next refresh")
	require.NoError(t, other.Refresh(t.Context(), []string{"a", "b"}))
	require.Same(t, before, other.For("a"), "nothing has changed")

	// What is configured anew holds beside what the tenant has set.
	changed := limits.DefaultConfig()
	changed.Traces.MaxTraceSpans = 7
	require.NoError(t, configured.Reload(changed, nil))
	require.Equal(t, 7, other.For("a").Traces.MaxTraceSpans)
	require.Equal(t, "x", other.For("a").Traces.Generator.TraceIDLabelName)

	// A document that can't be read changes nothing, and is complained about once.
	good := bkt.Objects()["a/overrides/traces.json"]
	for _, content := range []string{"{", `{"version":"1","limits":{"later":1}}`} {
		log.Reset()
		require.NoError(t, bkt.Upload(t.Context(), "a/overrides/traces.json", strings.NewReader(content)))
		for range 2 {
			require.NoError(t, other.Refresh(t.Context(), []string{"a"}))
		}
		require.Equal(t, "x", other.For("a").Traces.Generator.TraceIDLabelName)
		require.Equal(t, 1, strings.Count(log.String(), "can't be used"), content)
	}
	require.NoError(t, bkt.Upload(t.Context(), "a/overrides/traces.json", bytes.NewReader(good)))
	require.NoError(t, store.Delete(t.Context(), "a", version))
	require.Same(t, configured.Defaults(), tenants.For("a"))
	require.NoError(t, other.Refresh(t.Context(), []string{"a"}))
	require.Same(t, configured.Defaults(), other.For("a"))
}
