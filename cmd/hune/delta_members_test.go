package main

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
)

// ordersSince is an OTLP message with increments of a counter of eight shops.
func ordersSince(t *testing.T, from, to time.Time, v int64) []byte {
	t.Helper()
	md := pmetric.NewMetrics()
	m := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName("orders")
	sum := m.SetEmptySum()
	sum.SetIsMonotonic(true)
	sum.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
	for i := range 8 {
		p := sum.DataPoints().AppendEmpty()
		p.Attributes().PutInt("shop", int64(i))
		p.SetStartTimestamp(pcommon.NewTimestampFromTime(from))
		p.SetTimestamp(pcommon.NewTimestampFromTime(to))
		p.SetIntValue(v)
	}
	data, err := pmetricotlp.NewExportRequestFromMetrics(md).MarshalProto()
	require.NoError(t, err)
	return data
}

// Increments that come to two members in turn, as from behind a load balancer, are one counter each.
func TestDeltasAtTwoMembers(t *testing.T) {
	members := newPair(t, quiet, "30s", "").startBoth("distributor")
	const n = 10
	began := time.Now().Add(-n * time.Second)
	for i := range n {
		from := began.Add(time.Duration(i) * time.Second)
		status, body := members[i%2].post("/api/v1/otlp/v1/metrics", protobuf, ordersSince(t, from, from.Add(time.Second), int64(i+1)), nil)
		require.Equal(t, http.StatusOK, status, body)
		require.NotContains(t, body, "increment")
	}
	for _, p := range members {
		for query, want := range map[string]string{
			`count(orders_total)`:                    "8",
			`sum(orders_total)`:                      fmt.Sprint(8 * n * (n + 1) / 2),
			`max(resets(orders_total[1m]))`:          "0",
			`min(count_over_time(orders_total[1m]))`: fmt.Sprint(n),
			`max(count_over_time(orders_total[1m]))`: fmt.Sprint(n),
		} {
			require.Equal(t, want, p.value(query), query)
		}
	}
}
