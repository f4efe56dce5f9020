package related

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces"
)

// answers is a runner with one answer for each signal; it keeps the jobs.
type answers struct {
	traces *traces.Result
	logs   *logs.Result
	err    error
	jobs   []job.Job
}

func (a *answers) Run(_ context.Context, j job.Job) (job.Result, error) {
	a.jobs = append(a.jobs, j)
	if a.err != nil {
		return job.Result{}, a.err
	}
	if j.Traces != nil {
		return job.Result{Traces: a.traces}, nil
	}
	return job.Result{Logs: a.logs}, nil
}

var began = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func ask(t *testing.T, a *answers, params url.Values) (int, string) {
	t.Helper()
	mux := http.NewServeMux()
	New(Options{Runner: a, Now: func() time.Time { return began.Add(time.Hour) }}).Register(mux)
	r := httptest.NewRequest(http.MethodGet, "/api/hune/v1/related?"+params.Encode(), nil)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r.WithContext(tenant.NewContext(t.Context(), "team")))
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	return w.Code, w.Body.String()
}

func read(t *testing.T, text string) (out Answer) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &out))
	return out
}

func twoServices() *traces.Trace {
	text := func(key, v string) traces.Attribute { return traces.Attribute{Key: key, Str: v} }
	shop := &traces.Resource{ServiceName: "shop", Attributes: []traces.Attribute{text("service.name", "shop"), text("service.namespace", "eu"),
		text("k8s.pod.name", `shop-"1"`), text("k8s.namespace.name", "prod"), text("process.pid", "7")}}
	cart := &traces.Resource{ServiceName: "cart", Attributes: []traces.Attribute{text("service.name", "cart"), text("service.instance.id", "c1")}}
	ms := func(n int) uint64 { return uint64(began.Add(time.Duration(n) * time.Millisecond).UnixNano()) }
	return &traces.Trace{ID: traces.ID{15: 1}, Spans: []*traces.Span{
		{ID: traces.SpanID{7: 1}, Name: "GET /", Start: ms(0), End: ms(100), Resource: shop},
		{ID: traces.SpanID{7: 2}, ParentID: traces.SpanID{7: 1}, Name: "call", Start: ms(10), End: ms(90), Resource: shop},
		{ID: traces.SpanID{7: 3}, ParentID: traces.SpanID{7: 2}, Name: "work", Start: ms(20), End: ms(80), Resource: cart, Status: traces.StatusError},
	}}
}

func TestRelatedToTrace(t *testing.T) {
	a := &answers{traces: &traces.Result{Trace: twoServices()}, logs: &logs.Result{Streams: []logs.StreamResult{
		{Labels: labels.FromStrings("service_name", "cart"), Entries: []logs.ResultEntry{{Timestamp: 5, Line: "no <stock>"}}}}}}
	status, body := ask(t, a, url.Values{"trace": {"1"}})
	require.Equal(t, http.StatusOK, status, body)
	require.Contains(t, body, `["5","no <stock>"]`)
	out := read(t, body)
	require.Equal(t, &TraceSummary{TraceID: "00000000000000000000000000000001", RootServiceName: "shop", RootTraceName: "GET /",
		Start: began, End: began.Add(100 * time.Millisecond), Spans: 3, Errors: 1}, out.Trace)

	require.Len(t, out.Resources, 2)
	cart, shop := out.Resources[0], out.Resources[1]
	require.Equal(t, map[string]string{"service.name": "cart", "service.instance.id": "c1"}, cart.Attributes)
	require.Equal(t, `{service_instance_id="c1", service_name="cart"}`, cart.Logs.Expr)
	require.Equal(t, began.Add(20*time.Millisecond-time.Second), cart.Logs.Start)
	require.Equal(t, 2, shop.Spans)
	require.Equal(t, `{k8s_namespace_name="prod", k8s_pod_name="shop-\"1\"", service_name="shop", service_namespace="eu"}`, shop.Logs.Expr)
	require.Equal(t, `{ resource.service.instance.id = "c1" && resource.service.name = "cart" }`, cart.Traces.Expr)
	exprs := map[string]string{}
	for _, m := range shop.Metrics {
		exprs[m.Name] = m.Expr
	}
	require.Equal(t, `{job="eu/shop"}`, exprs["series"])
	require.Equal(t, `{namespace="prod", pod="shop-\"1\""}`, exprs["pod"])
	require.Equal(t, `sum by (span_name) (rate(traces_spanmetrics_calls_total{service="shop"}[5m]))`, exprs["requests"])

	require.Len(t, out.Spans, 3)
	require.Equal(t, Span{SpanID: "0000000000000003", Name: "work", ServiceName: "cart", Start: began.Add(20 * time.Millisecond), End: began.Add(80 * time.Millisecond),
		Logs: Query{Expr: cart.Logs.Expr, Start: began.Add(20*time.Millisecond - time.Second), End: began.Add(80*time.Millisecond + time.Second)}}, out.Spans[2])
	require.Equal(t, "team", a.jobs[1].Tenant)
	require.Equal(t, "00000000000000000000000000000001", a.jobs[1].Logs.TraceID)
	require.Zero(t, a.jobs[1].Logs.Start, "whenever it was logged")
	require.False(t, out.Logs.Truncated)

	status, body = ask(t, a, url.Values{"trace": {"1"}, "limit": {"1"}})
	require.Equal(t, http.StatusOK, status)
	require.Len(t, read(t, body).Spans, 1)
	require.True(t, read(t, body).Logs.Truncated)

	// A trace that was sampled away may have logs.
	a.traces = &traces.Result{}
	status, body = ask(t, a, url.Values{"trace": {"1"}})
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `"trace":null,"resources":[],"spans":[]`)
	require.Len(t, read(t, body).Logs.Streams, 1)
}

func TestRelatedToLogs(t *testing.T) {
	a := &answers{traces: &traces.Result{Found: []traces.FoundTrace{{ID: traces.ID{15: 1}, RootServiceName: "shop", RootTraceName: "GET /",
		Start: uint64(began.UnixNano()), Duration: 1_500_000}}}}
	status, body := ask(t, a, url.Values{"logs": {`{service_name="cart", level="info", k8s_pod_name="c-1"}`}, "time": {"2026-05-01T12:00:00Z"}})
	require.Equal(t, http.StatusOK, status, body)
	out := read(t, body)
	require.Equal(t, []Found{{TraceID: "00000000000000000000000000000001", RootServiceName: "shop", RootTraceName: "GET /", Start: began, DurationMs: 1}}, out.Traces.Found)
	const expr = `{ resource.k8s.pod.name = "c-1" && resource.service.name = "cart" }`
	require.Equal(t, Query{Expr: expr, Start: began.Add(-5 * time.Minute), End: began.Add(5 * time.Minute)}, out.Traces.Query)
	require.Equal(t, expr, a.jobs[0].Traces.Expr)
	require.Equal(t, "cart", out.Resources[0].ServiceName)
	require.NotEmpty(t, out.Resources[0].Metrics)

	// Labels that no resource has lead nowhere, and ask nobody.
	a.jobs = nil
	status, body = ask(t, a, url.Values{"logs": {`{app="x"}`}})
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `"resources":[]`)
	require.Empty(t, a.jobs)

	for _, at := range []string{"1777636800", "1777636800.0", "1777636800000000000"} {
		_, body = ask(t, a, url.Values{"logs": {`{service_name="cart"}`}, "time": {at}})
		require.Equal(t, began.Add(-5*time.Minute), read(t, body).Traces.Start, at)
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		params url.Values
		status int
		text   string
	}{
		{url.Values{}, 400, `{"error":"one of the parameters trace and logs is needed: a trace ID, or the labels of a stream in braces"}`},
		{url.Values{"trace": {"1"}, "logs": {"{}"}}, 400, `{"error":"one of the parameters trace and logs`},
		{url.Values{"trace": {"xyz"}}, 400, `trace: trace IDs can only contain hex characters`},
		{url.Values{"logs": {`{a=`}}, 400, `logs: `},
		{url.Values{"logs": {`{a="b"}`}, "time": {"noon"}}, 400, `time: \"noon\" is neither`},
		{url.Values{"trace": {"1"}, "limit": {"5001"}}, 400, `limit: \"5001\" is not a number from 0 to 5000`},
	} {
		status, body := ask(t, &answers{}, c.params)
		require.Equal(t, c.status, status, body)
		require.Contains(t, body, c.text)
	}
	status, body := ask(t, &answers{err: fault.Errorf(fault.Unavailable, "the queue is full")}, url.Values{"trace": {"1"}})
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.JSONEq(t, `{"error":"the queue is full"}`, body)
}
