package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/jaegertracing/jaeger-idl/model/v1"
	"github.com/jaegertracing/jaeger-idl/proto-gen/api_v2"
	thriftjaeger "github.com/jaegertracing/jaeger-idl/thrift-gen/jaeger"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hune-io/hune/internal/api/rpc"
)

// Sessions of clients of traces: Grafana's streaming, Traces Drilldown, Jaeger's and Zipkin's pages
// and senders.

// sendShop sends n traces of web > api > db, a second apart up to now; every third db call fails.
func (p *process) sendShop(n int, now time.Time) {
	p.t.Helper()
	td := ptrace.NewTraces()
	for i := range n {
		at := now.Add(time.Duration(i-n) * time.Second)
		for k, service := range []string{"web", "api", "db"} {
			rs := td.ResourceSpans().AppendEmpty()
			rs.Resource().Attributes().PutStr("service.name", service)
			s := rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
			s.SetTraceID(pcommon.TraceID{0xa, 14: byte(i >> 8), 15: byte(i)})
			s.SetSpanID(pcommon.SpanID{7: byte(k + 1)})
			if k > 0 {
				s.SetParentSpanID(pcommon.SpanID{7: byte(k)})
			}
			s.SetName([]string{"GET /cart", "cart.Get", "SELECT"}[k])
			s.SetKind([]ptrace.SpanKind{ptrace.SpanKindServer, ptrace.SpanKindServer, ptrace.SpanKindClient}[k])
			s.SetStartTimestamp(pcommon.NewTimestampFromTime(at.Add(time.Duration(k) * time.Millisecond)))
			s.SetEndTimestamp(pcommon.NewTimestampFromTime(at.Add(time.Duration(100-10*k) * time.Millisecond)))
			s.Attributes().PutInt("rows", int64(i))
			if k == 2 && i%3 == 0 {
				s.Status().SetCode(ptrace.StatusCodeError)
			}
		}
	}
	data, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
	require.NoError(p.t, err)
	code, body := p.post("/v1/traces", protobuf, data, nil)
	require.Equal(p.t, http.StatusOK, code, body)
}

// stream sends one request and returns every answer.
func stream(ctx context.Context, conn *grpc.ClientConn, method string, req []byte) (out [][]byte, err error) {
	cs, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
	if err != nil {
		return nil, err
	}
	if err := cs.SendMsg(&rpc.Message{Data: req}); err != nil {
		return nil, err
	}
	if err := cs.CloseSend(); err != nil {
		return nil, err
	}
	for {
		m := new(rpc.Message)
		switch err := cs.RecvMsg(m); {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return out, err
		}
		out = append(out, m.Data)
	}
}

// count returns how often a field occurs in messages.
func count(t *testing.T, messages [][]byte, num int) (n int) {
	t.Helper()
	for _, m := range messages {
		require.NoError(t, rpc.Fields(m, func(f rpc.Field) error {
			if int(f.Number) == num {
				n++
			}
			return nil
		}))
	}
	return n
}

func TestGrafanaStreamsTraces(t *testing.T) {
	p := start(t, t.TempDir(), quiet)
	now := time.Now().Truncate(time.Second)
	p.sendShop(60, now)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn := p.dial()
	from, to := uint64(now.Add(-3*time.Hour).Unix()), uint64(now.Add(time.Minute).Unix())
	search := func(q string, limit uint64) []byte {
		b := rpc.AppendUint(rpc.AppendUint(rpc.AppendUint(nil, 4, limit), 5, from), 6, to)
		return rpc.AppendUint(rpc.AppendString(b, 8, q), 9, 3)
	}
	const service = "/tempopb.StreamingQuerier/"
	for _, flushed := range []bool{false, true} {
		if flushed {
			p.flush()
		}
		answers, err := stream(ctx, conn, service+"Search", search(`{ resource.service.name = "db" && status = error }`, 1000))
		require.NoError(t, err)
		require.Greater(t, len(answers), 1, "a long range is answered in pieces")
		require.Equal(t, 20, count(t, answers, 1))
		answers, err = stream(ctx, conn, service+"Search", search(`{ }`, 7))
		require.NoError(t, err)
		require.Equal(t, 7, count(t, answers, 1))
		answers, err = stream(ctx, conn, service+"SearchTagsV2", rpc.AppendUint(rpc.AppendUint(nil, 3, from), 4, to))
		require.NoError(t, err)
		require.Equal(t, 3, count(t, answers, 1), "resource, span, intrinsic")
		answers, err = stream(ctx, conn, service+"SearchTagValuesV2", rpc.AppendString(rpc.AppendString(nil, 1, "resource.service.name"), 2, `{ name = "SELECT" && }`))
		require.NoError(t, err)
		require.Equal(t, 1, count(t, answers, 1))
		metrics := rpc.AppendString(nil, 1, "{ } | rate() by (resource.service.name)")
		metrics = rpc.AppendUint(rpc.AppendUint(metrics, 2, from*1e9), 3, to*1e9)
		answers, err = stream(ctx, conn, service+"MetricsQueryRange", rpc.AppendUint(metrics, 4, 60e9))
		require.NoError(t, err)
		require.Equal(t, 3, count(t, answers, 1))
	}
	_, err := stream(ctx, conn, service+"Search", search(`{ nonsense`, 1))
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.ErrorContains(t, err, "parse error at line 1, col 3")
}

// TestTracesDrilldownSession is what the app asks on its way from the first page to one trace.
func TestTracesDrilldownSession(t *testing.T) {
	p := start(t, t.TempDir(), quiet)
	now := time.Now().Truncate(time.Second)
	p.sendShop(30, now)
	in := func(q string, extra ...string) url.Values {
		v := url.Values{"q": {q}, "start": {fmt.Sprint(now.Add(-30 * time.Minute).Unix())}, "end": {fmt.Sprint(now.Add(10 * time.Second).Unix())}}
		for i := 0; i < len(extra); i += 2 {
			v.Set(extra[i], extra[i+1])
		}
		return v
	}
	var series struct {
		Series []struct {
			Labels []struct {
				Key   string
				Value struct {
					StringValue string
					DoubleValue float64
				}
			}
			Samples   []struct{ Value float64 }
			Exemplars []struct {
				Labels []struct {
					Key   string
					Value struct{ StringValue string }
				}
			}
			Value float64
		}
	}
	metrics := func(q string, extra ...string) {
		t.Helper()
		series.Series = nil
		p.getJSON("/api/metrics/query_range", in(q, extra...), &series)
	}
	total := func() (sum float64) {
		for _, s := range series.Series {
			for _, v := range s.Samples {
				sum += v.Value
			}
		}
		return sum
	}
	// Rate, errors, duration of root spans, with the filters that the app always adds.
	metrics(`{nestedSetParent<0 && true} | rate() with(sample=true)`, "step", "60s")
	require.InDelta(t, 0.5, total(), 1e-9)
	require.NotEmpty(t, series.Series[0].Exemplars)
	metrics(`{nestedSetParent<0 && true && status=error} | rate() by(resource.service.name) with(sample=true)`, "step", "60s")
	require.Empty(t, series.Series)
	metrics(`{true && true} | histogram_over_time(duration) with(sample=true)`, "step", "60s")
	require.InDelta(t, 90, total(), 1e-9)
	metrics(`{true} | quantile_over_time(duration, 0.9, .5) by (resource.service.name)`, "step", "60s")
	require.Len(t, series.Series, 6)
	// Breakdown and comparison.
	metrics(`{true && status=error && span.rows != nil} | rate() by(resource.service.name) | topk(5)`, "step", "60s")
	require.Len(t, series.Series, 1)
	p.getJSON("/api/metrics/query", in(`{kind = client} | compare({status = error}, 10)`), &series)
	var selected float64
	for _, s := range series.Series {
		if s.Labels[0].Value.StringValue == "selection_total" && s.Labels[1].Key == "name" {
			selected = s.Value
		}
	}
	require.Equal(t, 10.0, selected)
	// Structure: the paths from roots to what failed.
	var found struct {
		Traces []struct {
			TraceID  string
			SpanSets []struct {
				Matched int
				Spans   []struct {
					SpanID     string
					Attributes []struct{ Key string }
				}
			}
		}
	}
	p.getJSON("/api/search", in(`{nestedSetParent<0 && true} &>> { status = error } | select(status, resource.service.name, name, nestedSetParent, nestedSetLeft, nestedSetRight)`,
		"limit", "200", "spss", "20"), &found)
	require.Len(t, found.Traces, 10)
	require.Equal(t, 2, found.Traces[0].SpanSets[0].Matched)
	keys := map[string]bool{}
	for _, s := range found.Traces[0].SpanSets[0].Spans {
		for _, a := range s.Attributes {
			keys[a.Key] = true
		}
	}
	for _, k := range []string{"service.name", "nestedSetLeft", "nestedSetRight", "nestedSetParent"} {
		require.True(t, keys[k], "%s is selected: %v", k, keys)
	}
	// What waits for whom, as one query over parents.
	metrics(`{ parent.resource.service.name != nil } | count_over_time() by (parent.resource.service.name, resource.service.name)`, "step", "60s")
	require.Len(t, series.Series, 2)
	// One trace: whole, its failed part, its critical path.
	id := found.Traces[0].TraceID
	require.Len(t, p.spanNames(id, nil), 3)
	code, body := p.get("/api/v2/traces/"+id, url.Values{"q": {"{ status = error }"}, "keep_hierarchy": {"true"}, "ancestor_depth": {"1"}}, nil)
	require.Equal(t, http.StatusOK, code, body)
	require.Contains(t, body, `"status":"PARTIAL"`)
	require.Contains(t, body, "cart.Get")
	require.NotContains(t, body, "GET /cart")
	code, body = p.get("/api/v2/traces/"+id, url.Values{"hune_analysis": {"true"}}, nil)
	require.Equal(t, http.StatusOK, code, body)
	require.Contains(t, body, `"criticalPath":[{"spanID":"0000000000000001"`)
	code, body = p.post("/api/v2/traces/diff", jsonType, fmt.Appendf(nil, `{"base":{"traceId":%q},"compare":{"traceId":%q}}`, id, found.Traces[1].TraceID), nil)
	require.Equal(t, http.StatusOK, code, body)
	require.Contains(t, body, `"changed":3`)
}

func TestJaegerSession(t *testing.T) {
	p := start(t, t.TempDir(), quiet)
	now := time.Now().Truncate(time.Second)
	p.sendShop(3, now)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	// Senders: Thrift over HTTP and gRPC.
	thriftData, err := thrift.NewTSerializer().Write(ctx, &thriftjaeger.Batch{Process: &thriftjaeger.Process{ServiceName: "old"},
		Spans: []*thriftjaeger.Span{{TraceIdLow: 7, SpanId: 1, OperationName: "thrift", StartTime: now.UnixMicro(), Duration: 1000}}})
	require.NoError(t, err)
	code, body := p.post("/api/traces?format=jaeger.thrift", "application/x-thrift", thriftData, nil)
	require.Equal(t, http.StatusAccepted, code, body)
	conn := p.dial()
	_, err = api_v2.NewCollectorServiceClient(conn).PostSpans(ctx, &api_v2.PostSpansRequest{Batch: model.Batch{
		Process: &model.Process{ServiceName: "old"},
		Spans:   []*model.Span{{TraceID: model.NewTraceID(0, 8), SpanID: 1, OperationName: "grpc", StartTime: now, Duration: time.Second}}}})
	require.NoError(t, err)

	// The page: services, operations, a search, a trace, the graph.
	var names struct{ Data []string }
	p.getJSON("/jaeger/api/services", nil, &names)
	require.Equal(t, []string{"api", "db", "old", "web"}, names.Data)
	p.getJSON("/jaeger/api/services/old/operations", nil, &names)
	require.Equal(t, []string{"grpc", "thrift"}, names.Data)
	var found struct {
		Data []struct {
			TraceID   string
			Spans     []struct{ OperationName string }
			Processes map[string]struct{ ServiceName string }
		}
	}
	p.getJSON("/jaeger/api/traces", url.Values{"service": {"db"}, "operation": {"SELECT"}, "tags": {`{"error":"true"}`}, "limit": {"20"}, "lookback": {"1h"},
		"start": {fmt.Sprint(now.Add(-time.Hour).UnixMicro())}, "end": {fmt.Sprint(now.Add(time.Minute).UnixMicro())}}, &found)
	require.Len(t, found.Data, 1)
	require.Len(t, found.Data[0].Spans, 3)
	require.Len(t, found.Data[0].Processes, 3)
	p.getJSON("/jaeger/api/traces/"+found.Data[0].TraceID, nil, &found)
	require.Equal(t, "GET /cart", found.Data[0].Spans[0].OperationName)
	var graph struct {
		Data []struct {
			Parent, Child string
			CallCount     int
		}
	}
	p.getJSON("/jaeger/api/dependencies", url.Values{"endTs": {fmt.Sprint(now.Add(time.Minute).UnixMilli())}, "lookback": {"3600000"}}, &graph)
	require.Len(t, graph.Data, 2)
	require.Equal(t, 3, graph.Data[0].CallCount)
	// One path, two shapes: Tempo's at the root.
	code, body = p.get("/api/traces/8", nil, nil)
	require.Equal(t, http.StatusOK, code, body)
	require.Contains(t, body, `{"batches":[`)
	// Version 3, over HTTP and gRPC.
	code, body = p.get("/api/v3/traces/8", nil, nil)
	require.Equal(t, http.StatusOK, code, body)
	require.Contains(t, body, `{"result":{"resourceSpans":[`)
	answers, err := stream(ctx, conn, "/jaeger.api_v3.QueryService/GetTrace", rpc.AppendString(nil, 1, "8"))
	require.NoError(t, err)
	require.Len(t, answers, 1)
}

// TestOverridesOfATenant: settings live in the bucket, apart by tenant, through flushes and restarts.
func TestOverridesOfATenant(t *testing.T) {
	dir := t.TempDir()
	env := append([]string{"HUNE_MULTITENANCY=true"}, quiet...)
	p := start(t, dir, env)
	as := func(id string) map[string]string { return map[string]string{"X-Scope-OrgID": id} }
	code, body := p.post("/api/overrides", jsonType, []byte(`{"metrics_generator":{"processors":["span-metrics"]}}`), map[string]string{"X-Scope-OrgID": "a", "If-Match": "0"})
	require.Equal(t, http.StatusOK, code, body)
	code, body = p.get("/api/overrides", nil, as("b"))
	require.Equal(t, http.StatusNotFound, code, body)
	data, err := otlpTraces(1, "shop", "op", time.Now()).MarshalProto()
	require.NoError(t, err)
	code, body = p.post("/v1/traces", protobuf, data, as("a"))
	require.Equal(t, http.StatusOK, code, body)
	p.flush()
	p.stop()

	p = start(t, dir, env)
	code, body = p.get("/api/overrides", nil, as("a"))
	require.Equal(t, http.StatusOK, code, body)
	require.JSONEq(t, `{"metrics_generator":{"processors":["span-metrics"]}}`, body)
	require.Len(t, p.spanNames("1", as("a")), 2)
}

func TestZipkinSession(t *testing.T) {
	p := start(t, t.TempDir(), quiet)
	now := time.Now().Truncate(time.Second)
	p.sendShop(3, now)
	code, body := p.post("/api/v1/spans", jsonType, fmt.Appendf(nil, `[{"traceId":"00000000000000b1","id":"0000000000000007","name":"v1","timestamp":%d,"duration":1000,
		"annotations":[{"timestamp":%d,"value":"sr","endpoint":{"serviceName":"old"}}]}]`, now.UnixMicro(), now.UnixMicro()), nil)
	require.Equal(t, http.StatusAccepted, code, body)

	var names []string
	p.getJSON("/api/v2/services", nil, &names)
	require.Equal(t, []string{"api", "db", "old", "web"}, names)
	p.getJSON("/api/v2/spans", url.Values{"serviceName": {"old"}}, &names)
	require.Equal(t, []string{"v1"}, names)
	var found [][]struct{ TraceID, Name string }
	p.getJSON("/api/v2/traces", url.Values{"serviceName": {"db"}, "annotationQuery": {"error"}, "lookback": {"900000"}, "limit": {"10"},
		"endTs": {fmt.Sprint(now.Add(time.Minute).UnixMilli())}}, &found)
	require.Len(t, found, 1)
	require.Len(t, found[0], 3)
	var one []struct{ TraceID, Name string }
	p.getJSON("/api/v2/trace/"+found[0][0].TraceID, nil, &one)
	require.Equal(t, "GET /cart", one[0].Name)
	p.getJSON("/api/v2/traceMany", url.Values{"traceIds": {"b1," + found[0][0].TraceID}}, &found)
	require.Len(t, found, 2)
	var links []struct {
		Parent, Child string
		CallCount     int
	}
	p.getJSON("/api/v2/dependencies", url.Values{"endTs": {fmt.Sprint(now.Add(time.Minute).UnixMilli())}, "lookback": {"3600000"}}, &links)
	require.Len(t, links, 2)
}
