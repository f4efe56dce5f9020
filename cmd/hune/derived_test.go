package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// derivedNow makes the tests' processes derive metrics, every second.
var derivedNow = append(append([]string{}, quiet...), "HUNE_LIMITS_TRACES_GENERATOR_ENABLED=true", "HUNE_TRACES_GENERATOR_INTERVAL=1s")

// checkout is a request from a shop to a cart, which asks a database; the cart fails.
func checkout(id byte, now time.Time) []byte {
	td := ptrace.NewTraces()
	add := func(service string, span, parent byte, name string, kind ptrace.SpanKind, took time.Duration) ptrace.Span {
		rs := td.ResourceSpans().AppendEmpty()
		rs.Resource().Attributes().PutStr("service.name", service)
		rs.Resource().Attributes().PutStr("service.namespace", "store")
		rs.Resource().Attributes().PutStr("service.instance.id", service+"-1")
		rs.Resource().Attributes().PutStr("host.name", "n1")
		s := rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
		s.SetTraceID(pcommon.TraceID{0: 9, 15: id})
		s.SetSpanID(pcommon.SpanID{7: span})
		if parent != 0 {
			s.SetParentSpanID(pcommon.SpanID{7: parent})
		}
		s.SetName(name)
		s.SetKind(kind)
		s.SetStartTimestamp(pcommon.NewTimestampFromTime(now.Add(-took)))
		s.SetEndTimestamp(pcommon.NewTimestampFromTime(now))
		return s
	}
	add("shop", 1, 0, "GET /checkout", ptrace.SpanKindServer, 400*time.Millisecond)
	add("shop", 2, 1, "GET /cart", ptrace.SpanKindClient, 300*time.Millisecond)
	add("cart", 3, 2, "GET /cart", ptrace.SpanKindServer, 200*time.Millisecond).Status().SetCode(ptrace.StatusCodeError)
	add("cart", 4, 3, "SELECT", ptrace.SpanKindClient, 100*time.Millisecond).Attributes().PutStr("db.name", "carts")
	data, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
	if err != nil {
		panic(err)
	}
	return data
}

// value asks for an instant query with one series, and returns its value; "" while there is none.
func (p *process) value(query string) string {
	p.t.Helper()
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	p.getJSON("/api/v1/query", url.Values{"query": {query}}, &answer)
	if len(answer.Data.Result) == 0 {
		return ""
	}
	require.Len(p.t, answer.Data.Result, 1, query)
	return answer.Data.Result[0].Value[1].(string)
}

// OTLP spans in, PromQL out: what Grafana's service graph and its table of operations ask, exemplars, and the
// same after a restart, which starts the counters again.
func TestDerivedMetrics(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir, derivedNow)
	const n = 5
	for i := range n {
		status, body := p.post("/v1/traces", protobuf, checkout(byte(i+1), time.Now()), nil)
		require.Equal(t, http.StatusOK, status, body)
	}
	require.Eventually(t, func() bool {
		return p.value(`sum(traces_spanmetrics_calls_total)`) == fmt.Sprint(4*n) && p.value(`traces_target_info{job="store/cart"}`) == "1"
	}, 30*time.Second, 50*time.Millisecond)

	for query, want := range map[string]string{
		`sum(traces_spanmetrics_calls_total{service="cart", span_name="GET /cart", span_kind="SPAN_KIND_SERVER", status_code="STATUS_CODE_ERROR"})`: "5",
		`count(traces_spanmetrics_latency_bucket{service="cart", span_name="SELECT"})`:                                                              "15",
		`sum(traces_spanmetrics_latency_count{service="shop", span_kind="SPAN_KIND_CLIENT"})`:                                                       "5",
		`sum(traces_spanmetrics_size_total) > bool 500`:                                                                                             "1",
		`sum(traces_service_graph_request_total{client="shop", server="cart"})`:                                                                     "5",
		`sum(traces_service_graph_request_failed_total{client="shop", server="cart"})`:                                                              "5",
		`sum(traces_service_graph_request_total{client="cart", server="carts", connection_type="database"})`:                                        "5",
		`sum(traces_service_graph_request_total{client="user", server="shop", connection_type="virtual_node"})`:                                     "5",
		`sum(traces_service_graph_request_server_seconds_count{client="shop", server="cart"})`:                                                      "5",
		`sum(traces_service_graph_request_client_seconds_count{client="shop", server="cart"})`:                                                      "5",
		// Zeros before the first spans make rates and increases of short lives.
		`sum(rate(traces_spanmetrics_calls_total{service="shop"}[5m])) > bool 0`:                                                                                      "1",
		`topk(1, sum by (span_name) (rate(traces_spanmetrics_calls_total{span_kind="SPAN_KIND_SERVER", status_code="STATUS_CODE_ERROR"}[5m]))) > bool 0`:              "1",
		`histogram_quantile(.9, sum(rate(traces_spanmetrics_latency_bucket{service="cart", span_kind="SPAN_KIND_SERVER"}[5m])) by (le)) > bool 0.128`:                 "1",
		`sum(rate(traces_service_graph_request_server_seconds_sum{server="cart"}[5m])) / sum(rate(traces_service_graph_request_total{server="cart"}[5m])) > bool 0.1`: "1",
	} {
		require.Equal(t, want, p.value(query), query)
	}

	var exemplars struct {
		Data []struct {
			SeriesLabels map[string]string
			Exemplars    []struct{ Labels map[string]string }
		}
	}
	p.getJSON("/api/v1/query_exemplars", url.Values{"query": {`traces_spanmetrics_latency_bucket{service="cart"}`},
		"start": {fmt.Sprint(time.Now().Add(-time.Hour).Unix())}, "end": {fmt.Sprint(time.Now().Add(time.Hour).Unix())}}, &exemplars)
	require.NotEmpty(t, exemplars.Data)
	id := exemplars.Data[0].Exemplars[0].Labels["traceID"]
	status, body := p.get("/api/v2/traces/"+id, nil, map[string]string{"Accept": "application/json"})
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "GET /cart", "an exemplar leads to its trace")

	var metadata struct {
		Data map[string][]struct{ Type string }
	}
	p.getJSON("/api/v1/metadata", url.Values{"metric": {"traces_spanmetrics_calls_total"}}, &metadata)
	require.Equal(t, "counter", metadata.Data["traces_spanmetrics_calls_total"][0].Type)

	p.stop()
	p = start(t, dir, derivedNow)
	require.Equal(t, "5", p.value(`sum(last_over_time(traces_service_graph_request_total{client="shop", server="cart"}[10m]))`), "written before the stop")
	status, body = p.post("/v1/traces", protobuf, checkout(100, time.Now()), nil)
	require.Equal(t, http.StatusOK, status, body)
	require.Eventually(t, func() bool {
		return p.value(`sum(traces_service_graph_request_total{client="shop", server="cart"})`) == "1"
	},
		30*time.Second, 50*time.Millisecond, "counters start again")
	require.Equal(t, "1", p.value(`sum(resets(traces_service_graph_request_total{client="shop", server="cart"}[10m]))`))
}

// One tenant's overrides are its own: other labels, other forms, none at all.
func TestDerivedMetricsOfTenants(t *testing.T) {
	overrides, err := json.Marshal(map[string]any{
		"off":    map[string]any{"traces": map[string]any{"generator": map[string]any{"enabled": false}}},
		"native": map[string]any{"traces": map[string]any{"generator": map[string]any{"histograms": "native", "span_metrics": map[string]any{"dimensions": []string{"host.name"}}}}},
	})
	require.NoError(t, err)
	p := start(t, t.TempDir(), append(derivedNow, "HUNE_MULTITENANCY=true", "HUNE_OVERRIDES="+string(overrides)))
	for _, id := range []string{"plain", "off", "native"} {
		status, body := p.post("/v1/traces", protobuf, checkout(1, time.Now()), map[string]string{"X-Scope-OrgID": id})
		require.Equal(t, http.StatusOK, status, body)
	}
	count := func(id, query string) string {
		_, body := p.get("/api/v1/query", url.Values{"query": {query}}, map[string]string{"X-Scope-OrgID": id})
		return body
	}
	require.Eventually(t, func() bool {
		return count("plain", `count(traces_spanmetrics_latency_bucket)`) != count("off", `count(traces_spanmetrics_latency_bucket)`)
	}, 30*time.Second, 50*time.Millisecond)
	require.Eventually(t, func() bool {
		_, body := p.get("/api/v1/query", url.Values{"query": {`histogram_count(traces_spanmetrics_latency{service="cart", span_name="SELECT"})`}},
			map[string]string{"X-Scope-OrgID": "native"})
		var answer struct {
			Data struct {
				Result []struct {
					Metric map[string]string
					Value  [2]any
				}
			}
		}
		return json.Unmarshal([]byte(body), &answer) == nil && len(answer.Data.Result) == 1 &&
			answer.Data.Result[0].Metric["host_name"] == "n1" && answer.Data.Result[0].Value[1] == "1"
	}, 30*time.Second, 50*time.Millisecond)
	require.Equal(t, count("off", `count(nothing)`), count("off", `count({__name__=~"traces_.+"})`))
}

// What a tenant sets by the overrides API holds for the next spans, without a restart, and after one.
func TestOverridesChangeDerivedMetrics(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir, derivedNow)
	send := func(id byte) {
		t.Helper()
		status, body := p.post("/v1/traces", protobuf, checkout(id, time.Now()), nil)
		require.Equal(t, http.StatusOK, status, body)
	}
	send(1)
	require.Eventually(t, func() bool { return p.value(`count(traces_spanmetrics_size_total)`) == "4" }, 30*time.Second, 50*time.Millisecond)
	status, body := p.post("/api/overrides", jsonType, []byte(`{"metrics_generator":{"processors":["span-metrics-count","span-metrics-latency"],"processor":{"span_metrics":{
		"dimensions":["host.name"],"histogram_buckets":[0.25],"intrinsic_dimensions":{"span_kind":false},
		"filter_policies":[{"include":{"match_type":"strict","attributes":[{"key":"resource.service.name","value":"cart"}]}}]}}}}`), map[string]string{"If-Match": "0"})
	require.Equal(t, http.StatusOK, status, body)
	changed := func(id byte, query, want string) {
		t.Helper()
		require.Eventually(t, func() bool {
			// Spans that came before the old series have ended are counted in those.
			send(id)
			id++
			return p.value(query) == want
		}, 30*time.Second, 200*time.Millisecond)
		for query, want := range map[string]string{
			`count(traces_spanmetrics_calls_total{host_name="n1", service="cart", span_kind=""})`: "2",
			`count(traces_spanmetrics_latency_bucket{host_name="n1"})`:                            "4",
			`count(traces_spanmetrics_size_total)`:                                                "",
			`count(traces_service_graph_request_total)`:                                           "",
			`count(traces_spanmetrics_calls_total{service="shop"})`:                               "",
		} {
			require.Equal(t, want, p.value(query), query)
		}
	}
	changed(10, `count(traces_spanmetrics_calls_total{host_name="n1"})`, "2")
	p.stop()
	p = start(t, dir, derivedNow)
	changed(100, `count(resets(traces_spanmetrics_calls_total{host_name="n1"}[10m]) > 0)`, "2") // counters start again
	req, err := http.NewRequest(http.MethodPatch, p.url+"/api/overrides", strings.NewReader(`{"metrics_generator":{"processors":[]}}`))
	require.NoError(t, err)
	status, body = p.do(req)
	require.Equal(t, http.StatusOK, status, body)
	require.Eventually(t, func() bool { return p.value(`count({__name__=~"traces_.+"})`) == "" }, 30*time.Second, 50*time.Millisecond)
}
