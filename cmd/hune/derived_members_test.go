package main

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// partOf leaves the spans of one service in an OTLP message.
func partOf(t *testing.T, message []byte, service string) []byte {
	t.Helper()
	r := ptraceotlp.NewExportRequest()
	require.NoError(t, r.UnmarshalProto(message))
	r.Traces().ResourceSpans().RemoveIf(func(rs ptrace.ResourceSpans) bool {
		name, _ := rs.Resource().Attributes().Get("service.name")
		return name.Str() != service
	})
	data, err := r.MarshalProto()
	require.NoError(t, err)
	return data
}

// The spans of a trace that come to two members are counted once each, and the requests between them are found: what the
// members write adds up, and is seen on both.
func TestDerivedMetricsOfMembers(t *testing.T) {
	members := newPair(t, derivedNow, "30s", "").startBoth("generator")
	const n = 12
	for i := range n {
		whole := checkout(byte(i+1), time.Now())
		for k, service := range []string{"shop", "cart"} {
			to := members[(i+k)%2]
			if i%3 == 0 {
				to = members[0]
			}
			status, body := to.post("/v1/traces", protobuf, partOf(t, whole, service), nil)
			require.Equal(t, http.StatusOK, status, body)
		}
	}
	for query, want := range map[string]string{
		`sum(traces_spanmetrics_calls_total)`:                                                                     fmt.Sprint(4 * n),
		`sum(traces_spanmetrics_calls_total{service="cart"})`:                                                     fmt.Sprint(2 * n),
		`sum(traces_spanmetrics_latency_count{service="shop"})`:                                                   fmt.Sprint(2 * n),
		`sum(traces_service_graph_request_total{client="shop", server="cart"})`:                                   fmt.Sprint(n),
		`sum(traces_service_graph_request_failed_total{client="shop", server="cart"})`:                            fmt.Sprint(n),
		`sum(traces_service_graph_request_server_seconds_count{client="shop", server="cart"})`:                    fmt.Sprint(n),
		`sum(traces_service_graph_request_total{connection_type="virtual_node"})`:                                 fmt.Sprint(n),
		`sum(traces_service_graph_request_total{connection_type="database"})`:                                     fmt.Sprint(n),
		`count(count by (__metrics_gen_instance) (traces_spanmetrics_calls_total))`:                               "2",
		`count(traces_spanmetrics_calls_total{service="cart", span_name="SELECT"})`:                               "2",
		`sum(max_over_time(traces_spanmetrics_calls_total[10m])) == bool sum(traces_spanmetrics_calls_total)`:     "1",
		`sum(resets(traces_spanmetrics_calls_total[10m])) + sum(resets(traces_service_graph_request_total[10m]))`: "0",
		`count(traces_service_graph_unpaired_spans_total) or vector(0)`:                                           "0",
	} {
		for _, p := range members {
			require.Eventually(t, func() bool { return p.value(query) == want }, 60*time.Second, 50*time.Millisecond, query)
		}
	}
}
