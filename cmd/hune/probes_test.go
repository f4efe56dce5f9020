package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

// dial opens a plaintext gRPC connection to the main port.
func (p *process) dial() *grpc.ClientConn {
	p.t.Helper()
	conn, err := grpc.NewClient(strings.TrimPrefix(p.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(p.t, err)
	p.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

const form = "application/x-www-form-urlencoded"

// Paths on which several of the old systems met: each has one meaning, whoever asks.
func TestOneMeaningForEachPath(t *testing.T) {
	p := start(t, t.TempDir(), quiet)
	now := time.Now()
	id := strings.Repeat("ab", 16)
	code, body := p.post("/v1/traces", jsonType, oneSpan(id, "0102030405060708", "shop", "buy", now, now.Add(time.Second)), nil)
	require.Equal(t, http.StatusOK, code, body)

	t.Run("a trace by ID is Tempo's", func(t *testing.T) {
		var trace struct {
			Batches []struct {
				Resource   struct{ Attributes []any }
				ScopeSpans []struct{ Spans []struct{ Name string } }
			}
			Data any
		}
		p.getJSON("/api/traces/"+id, nil, &trace)
		require.Len(t, trace.Batches, 1)
		require.Equal(t, "buy", trace.Batches[0].ScopeSpans[0].Spans[0].Name)
		require.Nil(t, trace.Data, "data is Jaeger's")
		code, _ := p.get("/api/traces/"+strings.Repeat("cd", 16), nil, nil)
		require.Equal(t, http.StatusNotFound, code)
	})
	t.Run("push is Loki's, unless remote write says so", func(t *testing.T) {
		snappy := map[string]string{"Content-Encoding": "snappy"}
		code, body := p.post("/api/prom/push", protobuf, lokiProto(`{app="legacy"}`, now, "by the old path"), snappy)
		require.Less(t, code, 300, body)
		require.Equal(t, map[string]int{"by the old path": 1}, p.lokiLines(`{app="legacy"}`, now.Add(-time.Minute), now.Add(time.Minute), nil))
		snappy["X-Prometheus-Remote-Write-Version"] = "0.1.0"
		code, body = p.post("/api/prom/push", protobuf, remoteWrite("cortex", now, map[string]float64{"a": 1}), snappy)
		require.Less(t, code, 300, body)
		require.Equal(t, map[string]string{"a": "1"}, p.promVector("cortex", now, "id", nil))
	})
	t.Run("rules and alerts are Prometheus's", func(t *testing.T) {
		for path, want := range map[string]string{"/api/v1/rules": `{"groups":[]}`, "/api/v1/alerts": `{"alerts":[]}`} {
			var a struct{ Data json.RawMessage }
			p.getJSON(path, nil, &a)
			require.JSONEq(t, want, string(a.Data), path)
		}
		code, body := p.post("/api/v1/alerts", jsonType, []byte(`[]`), nil)
		require.Equal(t, http.StatusGone, code)
		require.Contains(t, body, "/api/v2/alerts")
	})
	t.Run("rules of LogQL are shown as Loki does", func(t *testing.T) {
		group := []byte("name: g\nrules:\n- alert: A\n  expr: sum(rate({a=\"b\"}[1m])) > 1\n")
		code, body := p.post("/loki/api/v1/rules/ns", "application/yaml", group, nil)
		require.Equal(t, http.StatusAccepted, code, body)
		var a struct {
			Data struct{ Groups []struct{ Name, File string } }
		}
		p.getJSON("/prometheus/api/v1/rules", nil, &a)
		require.Len(t, a.Data.Groups, 1)
		require.Equal(t, "ns", a.Data.Groups[0].File)
		p.getJSON("/api/v1/rules", nil, &a)
		require.Empty(t, a.Data.Groups, "those are PromQL's")
		code, body = p.get("/api/prom/rules/ns/g", nil, nil)
		require.Equal(t, http.StatusOK, code, body)
		require.Contains(t, body, "alert: A")
	})
	t.Run("nothing of Mimir, Grafana or Jaeger", func(t *testing.T) {
		for _, path := range []string{"/alertmanager/", "/alertmanager/api/v2/status", "/alertmanager/api/v1/alerts", "/mimir/api/v2/status",
			"/prometheus/api/v1/query?query=1", "/api/health", "/api/annotations", "/api/datasources", "/api/services"} {
			code, body := p.get(path, nil, nil)
			require.Equal(t, http.StatusNotFound, code, "%s: %s", path, body)
		}
	})
	t.Run("Alertmanager, and Mimir under a base of its own", func(t *testing.T) {
		for _, path := range []string{"/api/v2/status", "/am/api/v2/status", "/mimir/alertmanager/api/v2/status", "/mimir/prometheus/api/v1/query?query=1", "/config/v1/rules"} {
			code, body := p.get(path, nil, nil)
			require.Equal(t, http.StatusOK, code, "%s: %s", path, body)
		}
		_, root := p.get("/api/v1/status/buildinfo", nil, nil)
		require.NotContains(t, root, "features")
		_, mimir := p.get("/mimir/prometheus/api/v1/status/buildinfo", nil, nil)
		require.Contains(t, mimir, `"ruler_config_api":"true"`)
	})
	t.Run("pages of the old systems are text", func(t *testing.T) {
		resp, err := http.Get(p.url + "/config")
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.True(t, strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain"), resp.Header.Get("Content-Type"))
		require.Contains(t, string(text), "multitenancy: false")
	})
	t.Run("build information names no other program", func(t *testing.T) {
		var a struct{ Data map[string]any }
		p.getJSON("/api/v1/status/buildinfo", nil, &a)
		require.NotEmpty(t, a.Data["version"])
		require.NotContains(t, a.Data, "features", "Grafana would take us for Mimir")
		require.NotContains(t, a.Data, "application", "Grafana would take us for Mimir")
	})
	t.Run("one handler for what means the same", func(t *testing.T) {
		for path, want := range map[string]string{"/ready": "ready\n", "/-/ready": "ready\n", "/-/healthy": "healthy", "/services": "store => Running\n",
			"/debug/pprof/": "goroutine", "/debug/pprof/goroutine?debug=1": "goroutine profile", "/metrics": "go_goroutines"} {
			code, body := p.get(path, nil, nil)
			require.Equal(t, http.StatusOK, code, path)
			require.Contains(t, body, want, path)
		}
		p.flush()
		code, body := p.get("/flush", nil, nil)
		require.GreaterOrEqual(t, code, 400, "a link must not flush: %s", body)
	})
}

// lokiProto is a push of one line as Promtail and Alloy send it, written from the protobuf schema.
func lokiProto(labels string, at time.Time, line string, metadata ...[2]string) []byte {
	str := func(b []byte, field protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
	}
	sub := func(b []byte, field protowire.Number, m []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), m)
	}
	num := func(b []byte, field protowire.Number, n int64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), uint64(n))
	}
	entry := sub(nil, 1, num(num(nil, 1, at.Unix()), 2, int64(at.Nanosecond())))
	entry = str(entry, 2, line)
	for _, m := range metadata {
		entry = sub(entry, 3, str(str(nil, 1, m[0]), 2, m[1]))
	}
	return snappy.Encode(nil, sub(nil, 1, sub(str(nil, 1, labels), 2, entry)))
}

// What Grafana sends when "Save & test" is pressed, and when a data source is first used.
func TestGrafanaHealthChecks(t *testing.T) {
	p := start(t, t.TempDir(), quiet)
	now := time.Now()
	scalar := func(code int, body string) {
		t.Helper()
		require.Equal(t, http.StatusOK, code, body)
		var a struct {
			Status string
			Data   struct {
				ResultType string
				Result     []any
			}
		}
		require.NoError(t, json.Unmarshal([]byte(body), &a), body)
		require.Equal(t, "success", a.Status)
		require.Equal(t, "scalar", a.Data.ResultType)
		require.Equal(t, "2", a.Data.Result[1])
	}
	at := fmt.Sprintf("%.3f", float64(now.UnixMilli())/1000)
	scalar(p.get("/api/v1/query", url.Values{"query": {"1+1"}, "time": {at}}, nil))
	scalar(p.post("/api/v1/query", form, []byte(url.Values{"query": {"1+1"}, "time": {at}}.Encode()), nil))
	var vector struct {
		Data struct {
			ResultType string
			Result     []struct {
				Metric map[string]string
				Value  []any
			}
		}
	}
	p.getJSON("/loki/api/v1/query", url.Values{"query": {"vector(1)+vector(1)"}, "time": {fmt.Sprint(now.UnixNano())}, "direction": {"backward"}, "limit": {"1000"}}, &vector)
	require.Equal(t, "vector", vector.Data.ResultType)
	require.Len(t, vector.Data.Result, 1)
	require.Empty(t, vector.Data.Result[0].Metric)
	require.Equal(t, "2", vector.Data.Result[0].Value[1])
	code, body := p.get("/api/echo", nil, nil)
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "echo", body)
	// Answered before there is any data, and with an empty answer, not with null.
	for path, want := range map[string]string{
		"/api/v1/labels":                            `"data":[]`,
		"/api/v1/label/__name__/values":             `"data":[]`,
		"/api/v1/metadata":                          `"data":{}`,
		"/api/v1/query_exemplars?query=up":          `"data":[]`,
		"/api/v1/targets":                           `"activeTargets":[]`,
		"/api/v1/scrape_pools":                      `"scrapePools":[]`,
		"/api/v1/targets/metadata":                  `"data":[]`,
		"/api/v1/alertmanagers":                     `"activeAlertmanagers":[{"url":"http://`,
		"/api/v1/notifications":                     `"data":[]`,
		"/api/v1/features":                          `"success"`,
		"/api/v1/status/tsdb":                       `"headStats":{`,
		"/api/v1/status/tsdb/blocks":                `"blocks":[]`,
		"/api/v1/status/runtimeinfo":                `"startTime"`,
		"/api/v1/status/flags":                      `"data":{`,
		"/api/v1/status/walreplay":                  `"success"`,
		"/loki/api/v1/index/stats?query={a=\"b\"}":  `"streams":0`,
		"/loki/api/v1/index/volume?query={a=\"b\"}": `"result":[]`,
		"/loki/api/v1/drilldown-limits":             `"volume_enabled":true`,
		"/api/search?q={}":                          `"traces":[]`,
		"/api/v2/search/tags?scope=intrinsic":       `"duration"`,
		"/api/v2/search/tag/span:status/values":     `"tagValues":[`,
		"/api/metrics/query_range?q={}|rate()":      `"series":[`,
		"/api/status/buildinfo":                     `"version"`,
	} {
		path, query, _ := strings.Cut(path, "?")
		params, err := url.ParseQuery(query)
		require.NoError(t, err)
		code, body := p.get(path, params, nil)
		require.Equal(t, http.StatusOK, code, "%s: %s", path, body)
		require.Contains(t, body, want, path)
		require.NotContains(t, body, "null", path)
	}
}

// The health service of gRPC, which load balancers and Kubernetes probes ask, is there without a
// tenant, and does not hold up a stop.
func TestGRPCHealth(t *testing.T) {
	p := start(t, t.TempDir(), append([]string{"HUNE_MULTITENANCY=true"}, quiet...))
	client := grpc_health_v1.NewHealthClient(p.dial())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, service := range []string{"", "opentelemetry.proto.collector.trace.v1.TraceService"} {
		r, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: service})
		require.NoError(t, err)
		require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, r.Status)
	}
	_, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "no.such.Service"})
	require.Equal(t, codes.NotFound, status.Code(err))
	watch, err := client.Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
	require.NoError(t, err)
	r, err := watch.Recv()
	require.NoError(t, err)
	require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, r.Status)
	began := time.Now()
	p.stop()
	require.Less(t, time.Since(began), 3*time.Second)
}

// A trace as protobuf, for those who ask for it.
func TestTraceAsProtobuf(t *testing.T) {
	p := start(t, t.TempDir(), quiet)
	now := time.Now()
	id := strings.Repeat("ef", 16)
	code, body := p.post("/v1/traces", jsonType, oneSpan(id, "0102030405060708", "shop", "buy", now, now.Add(time.Second)), nil)
	require.Equal(t, http.StatusOK, code, body)
	accept := map[string]string{"Accept": "application/protobuf"}
	code, body = p.get("/api/traces/"+id, nil, accept)
	require.Equal(t, http.StatusOK, code, body)
	one, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces([]byte(body))
	require.NoError(t, err)
	require.Equal(t, 1, one.SpanCount())
	// The second version wraps it: the trace is field 1.
	code, body = p.get("/api/v2/traces/"+id, nil, accept)
	require.Equal(t, http.StatusOK, code, body)
	field, kind, n := protowire.ConsumeTag([]byte(body))
	require.EqualValues(t, 1, field)
	require.Equal(t, protowire.BytesType, kind)
	inner, m := protowire.ConsumeBytes([]byte(body)[n:])
	require.Positive(t, m)
	one, err = (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(inner)
	require.NoError(t, err)
	require.Equal(t, 1, one.SpanCount())
	require.Equal(t, "buy", one.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Name())
}
