package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// traceDeletes lists a tenant's requests to delete traces, as "query status".
func (p *process) traceDeletes(method string, params url.Values, header map[string]string) (code int, ids, texts []string) {
	p.t.Helper()
	req, err := http.NewRequest(method, p.url+"/api/hune/v1/traces/delete?"+params.Encode(), nil)
	require.NoError(p.t, err)
	for k, v := range header {
		req.Header.Set(k, v)
	}
	code, body := p.do(req)
	type request struct {
		ID     string `json:"request_id"`
		Query  string `json:"query"`
		Status string `json:"status"`
		Traces int    `json:"traces"`
	}
	var list []request
	if method == http.MethodGet {
		require.NoError(p.t, json.Unmarshal([]byte(body), &list), body)
	} else if code == http.StatusOK {
		list = make([]request, 1)
		require.NoError(p.t, json.Unmarshal([]byte(body), &list[0]), body)
	}
	for _, r := range list {
		ids, texts = append(ids, r.ID), append(texts, fmt.Sprintf("%s: %d %s", r.Query, r.Traces, r.Status))
	}
	return code, ids, texts
}

// A user's request to delete hides whole traces at once from every API, wherever their pieces are; blocks are compacted
// without them, and after kill -9 in between every other span is still there, once.
func TestTraceDeletesFromRequestToBucket(t *testing.T) {
	dir := t.TempDir()
	env := append(append([]string{}, quiet...), "HUNE_MULTITENANCY=true", "HUNE_COMPACTOR_INTERVAL=300ms", "HUNE_COMPACTOR_DELETE_DELAY=300ms",
		"HUNE_STORE_POLL_INTERVAL=50ms", "HUNE_INGESTER_TRACES_KEEP_AFTER_UPLOAD=100ms", "HUNE_INGESTER_LOGS_KEEP_AFTER_UPLOAD=100ms", "HUNE_INGESTER_CHECK_INTERVAL=50ms")
	a, b := map[string]string{"X-Scope-OrgID": "a"}, map[string]string{"X-Scope-OrgID": "b"}
	day := time.Now().Add(-48 * time.Hour).Truncate(24 * time.Hour) // one that is over
	push := func(p *process, round int) {
		t.Helper()
		td := ptrace.NewTraces()
		rs := td.ResourceSpans().AppendEmpty()
		rs.Resource().Attributes().PutStr("service.name", "shop")
		spans := rs.ScopeSpans().AppendEmpty().Spans()
		for i := range 10 {
			s := spans.AppendEmpty()
			s.SetTraceID(pcommon.TraceID{0: 7, 15: byte(i + 1)})
			s.SetSpanID(pcommon.SpanID{0: byte(round + 1), 7: byte(i + 1)})
			s.SetName("op")
			s.SetStartTimestamp(pcommon.NewTimestampFromTime(day.Add(time.Duration(10*round+i+1) * time.Second)))
			s.SetEndTimestamp(s.StartTimestamp() + 1e6)
			if round == 0 && i%2 == 1 { // only the first pieces say whose traces these are
				s.Attributes().PutStr("user", "eve")
			}
		}
		data, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
		require.NoError(t, err)
		for _, header := range []map[string]string{a, b} {
			code, text := p.post("/v1/traces", protobuf, data, header)
			require.Equal(t, http.StatusOK, code, text)
		}
	}
	ranged := func(more ...string) url.Values {
		v := url.Values{"start": {fmt.Sprint(day.Unix())}, "end": {fmt.Sprint(day.Add(time.Hour).Unix())}, "limit": {"100"}}
		for i := 0; i < len(more); i += 2 {
			v.Set(more[i], more[i+1])
		}
		return v
	}
	// seen counts what each API answers: traces found, spans counted, traces by their ID.
	seen := func(p *process, header map[string]string) [3]int {
		t.Helper()
		var out [3]int
		var found struct{ Traces []struct{ TraceID string } }
		code, body := p.get("/api/search", ranged("q", "{ }"), header)
		require.Equal(t, http.StatusOK, code, body)
		require.NoError(t, json.Unmarshal([]byte(body), &found))
		out[0] = len(found.Traces)
		var counted struct{ Series []struct{ Value float64 } }
		code, body = p.get("/api/metrics/query", ranged("q", "{ } | count_over_time()"), header)
		require.Equal(t, http.StatusOK, code, body)
		require.NoError(t, json.Unmarshal([]byte(body), &counted))
		for _, s := range counted.Series {
			out[1] += int(s.Value)
		}
		for i := range 10 {
			code, _ := p.get(fmt.Sprintf("/api/traces/070000000000000000000000000000%02x", i+1), nil, header)
			if code == http.StatusOK {
				out[2]++
			}
		}
		return out
	}
	check := func(p *process, rounds int) {
		t.Helper()
		require.Equal(t, [3]int{5, 5 * rounds, 5}, seen(p, a))
		require.Equal(t, [3]int{10, 10 * rounds, 10}, seen(p, b), "tenants are apart")
	}
	p := start(t, dir, env)
	push(p, 0)
	p.flush()
	push(p, 1) // in the head only
	code, _, texts := p.traceDeletes(http.MethodPost, url.Values{"query": {`{ span.user = "eve" }`}, "start": {"0"}}, a)
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, []string{`{ span.user = "eve" }: 5 received`}, texts)
	check(p, 2)
	p.kill()

	p = start(t, dir, env)
	check(p, 2)
	p.flush()
	check(p, 2)
	deadline := time.Now().Add(60 * time.Second)
	for {
		_, _, texts := p.traceDeletes(http.MethodGet, nil, a)
		if len(texts) == 1 && texts[0] == `{ span.user = "eve" }: 5 processed` {
			break
		}
		require.True(t, time.Now().Before(deadline), "not processed: %v", texts)
		check(p, 2)
		pause(100 * time.Millisecond)
	}
	check(p, 2)
	_, body := p.get("/api/v2/search/tag/span.user/values", ranged(), a)
	require.NotContains(t, body, "eve", "nothing of it is stored")
	_, body = p.get("/api/v2/search/tag/span.user/values", ranged(), b)
	require.Contains(t, body, "eve")

	// A request can be taken back.
	code, ids, _ := p.traceDeletes(http.MethodPut, url.Values{"query": {"{ }"}, "start": {"0"}}, b)
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, [3]int{}, seen(p, b))
	code, _, _ = p.traceDeletes(http.MethodDelete, url.Values{"request_id": {ids[0]}, "force": {"true"}}, b)
	require.Equal(t, http.StatusNoContent, code)
	p.stop()
}
