package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// From a trace to its logs and to metrics of those who took part, from logs to traces: the queries that the
// answers name find what was sent, recent and from the bucket.
func TestRelated(t *testing.T) {
	p := start(t, t.TempDir(), derivedNow)
	now := time.Now()
	status, body := p.post("/v1/traces", protobuf, checkout(1, now), nil)
	require.Equal(t, http.StatusOK, status, body)
	id := "09" + strings.Repeat("0", 28) + "01"
	for _, line := range []string{"level=error traceID=" + id + " msg=\"no stock\"", "something else"} {
		status, body = p.post("/loki/api/v1/push", jsonType, lokiPush(map[string]string{"service_name": "cart", "service_namespace": "store", "service_instance_id": "cart-1"},
			[][2]string{{fmt.Sprint(now.UnixNano()), line}}), nil)
		require.Equal(t, http.StatusNoContent, status, body)
	}
	type query struct{ Expr, Start, End string }
	type answer struct {
		Trace     *struct{ Spans, Errors int }
		Resources []struct {
			ServiceName string
			Logs        query
			Metrics     []struct {
				Name string
				query
			}
		}
		Spans []struct{ Logs query }
		Logs  struct {
			Streams []struct{ Values [][2]string }
		}
		Traces struct {
			Found []struct{ TraceID string }
		}
	}
	require.Eventually(t, func() bool { return p.value(`sum(traces_spanmetrics_calls_total{service="cart"})`) != "" }, 30*time.Second, 50*time.Millisecond)
	for _, where := range []string{"recent", "bucket"} {
		if where == "bucket" {
			p.flush()
		}
		var a answer
		p.getJSON("/api/hune/v1/related", url.Values{"trace": {id}}, &a)
		require.Equal(t, 4, a.Trace.Spans)
		require.Equal(t, 1, a.Trace.Errors)
		require.Len(t, a.Resources, 2)
		require.Equal(t, "cart", a.Resources[0].ServiceName)
		require.Len(t, a.Logs.Streams, 1, where)
		require.Len(t, a.Logs.Streams[0].Values, 1)
		require.Contains(t, a.Logs.Streams[0].Values[0][1], "no stock")

		q := a.Resources[0].Logs
		var lines struct {
			Data struct {
				Result []struct{ Values [][2]string }
			}
		}
		p.getJSON("/loki/api/v1/query_range", url.Values{"query": {q.Expr}, "start": {q.Start}, "end": {q.End}}, &lines)
		require.NotEmpty(t, lines.Data.Result, q.Expr)
		for _, m := range a.Resources[0].Metrics {
			status, body := p.get("/api/v1/query_range", url.Values{"query": {m.Expr}, "start": {m.Start}, "end": {m.End}, "step": {"15"}}, nil)
			require.Equal(t, http.StatusOK, status, body)
			if m.Name != "outbound" {
				require.Contains(t, body, `"values"`, m.Expr)
			}
		}

		var back answer
		p.getJSON("/api/hune/v1/related", url.Values{"logs": {`{service_name="cart", service_namespace="store"}`}, "time": {fmt.Sprint(now.UnixNano())}}, &back)
		require.Len(t, back.Traces.Found, 1, where)
		require.Equal(t, strings.TrimLeft(id, "0"), strings.TrimLeft(back.Traces.Found[0].TraceID, "0"))
	}
}
