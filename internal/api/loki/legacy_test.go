package loki

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/logs"
)

func TestLegacy(t *testing.T) {
	run := &asked{res: logs.Result{
		Streams: []logs.StreamResult{{Labels: labels.FromStrings("b", "2"), Entries: []logs.ResultEntry{{Timestamp: 1, Line: "x"}}},
			{Labels: labels.FromStrings("a", `"1"`), Entries: []logs.ResultEntry{{Timestamp: 1_568_398_942_380_001_319, Line: "super \"line\""}, {Timestamp: 2e9}}}},
		Strings: []string{"x", "y"}, Series: []labels.Labels{labels.FromStrings("a", "b")}}}
	h := New(Options{Runner: run})
	get := func(path string, params ...string) (int, string) {
		v := url.Values{}
		for i := 0; i < len(params); i += 2 {
			v.Add(params[i], params[i+1])
		}
		w := send(h, httptest.NewRequest(http.MethodGet, path+"?"+v.Encode(), nil))
		return w.Code, strings.TrimSpace(w.Body.String())
	}
	code, body := get("/api/prom/query", "query", `{a="b"}`, "regexp", `x"|y`, "limit", "5", "direction", "forward", "start", "1", "end", "2")
	require.Equal(t, 200, code)
	require.True(t, strings.HasPrefix(body, `{"streams":[{"labels":"{a=\"\\\"1\\\"\"}","entries":[{"ts":"2019-09-13T18:22:22.380001319Z","line":"super \"line\""},{"ts":"1970-01-01T00:00:02Z","line":""}]},`+
		`{"labels":"{b=\"2\"}","entries":[{"ts":"1970-01-01T00:00:00.000000001Z","line":"x"}]}],"stats":{"summary":`), body)
	require.Equal(t, logs.Query{Kind: logs.Range, Expr: `{a="b"} |~ "x\"|y"`, Start: 1e9, End: 2e9, Step: 1e9, Limit: 5, Direction: logs.Forward}, *run.job.Logs)

	for _, c := range []struct {
		status int
		answer string
		params []string
	}{
		{400, "legacy endpoints only support streams result type", []string{"query", `rate({a="b"}[1m])`}},
		{400, "only log selector is supported", []string{"query", `rate({a="b"}[1m])`, "regexp", "x"}},
		{400, "parse error at line 1, col", []string{"query", `{a=`}},
		{400, "limit must be a positive value", []string{"query", `{a="b"}`, "limit", "-1"}},
	} {
		code, body := get("/api/prom/query", c.params...)
		require.Equal(t, c.status, code)
		require.Contains(t, body, c.answer)
	}
	for path, want := range map[string]string{
		"/api/prom/label": `{"values":["x","y"]}`, "/api/prom/label/app/values": `{"values":["x","y"]}`, "/api/prom/series": `{"status":"success","data":[{"a":"b"}]}`,
	} {
		code, body = get(path, "match", `{a="b"}`)
		require.Equal(t, []any{200, want}, []any{code, body})
	}
	run.res.Strings = nil
	_, body = get("/api/prom/label")
	require.Equal(t, "{}", body)
}

func TestQueryTags(t *testing.T) {
	for header, want := range map[string]string{
		"": "", "Source=grafana, user=a-b@c.d": "Source=grafana, user=a-b@c.d", "a;;b\"{}c\n": "a_b_c_", strings.Repeat("a", 600): strings.Repeat("a", 512),
	} {
		run := &asked{}
		r := httptest.NewRequest(http.MethodGet, "/loki/api/v1/query_range?query=%7Ba%3D%22b%22%7D", nil)
		r.Header.Set("X-Query-Tags", header)
		require.Equal(t, 200, send(New(Options{Runner: run}), r).Code)
		require.Equal(t, want, run.job.Logs.Tags)
	}
}

func TestTenantLimits(t *testing.T) {
	h := New(Options{Runner: &asked{}, Version: BuildInfo{Version: "3.7.0"}, Limits: func(id string) Limits {
		require.Equal(t, "acme", id)
		return Limits{MaxEntries: 7, MaxLineSize: 256 << 10, MaxQueryBytesRead: 1500, MaxQueryLength: model.Duration(721 * 3600e9), DiscoverServiceName: []string{"app"},
			RetentionStream: []StreamRetention{{Period: model.Duration(24 * 3600e9), Priority: 1, Selector: `{a="b"}`}}}
	}})
	w := send(h, httptest.NewRequest(http.MethodGet, "/config/tenant/v1/limits", nil))
	require.Equal(t, 200, w.Code)
	require.Equal(t, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
	for _, line := range []string{"max_entries_limit_per_query: 7\n", "max_line_size: 256KB\n", "max_query_bytes_read: 1500B\n", "max_query_length: 30d1h\n",
		"ingestion_rate_mb: 0\n", "discover_service_name:\n    - app\n", "retention_stream:\n    - period: 1d\n      priority: 1\n      selector: '{a=\"b\"}'\n"} {
		require.Contains(t, w.Body.String(), line)
	}
	w = send(h, httptest.NewRequest(http.MethodGet, "/loki/api/v1/drilldown-limits", nil))
	require.Equal(t, 200, w.Code)
	for _, part := range []string{`"max_query_length":"30d1h"`, `"max_line_size":"256KB"`, `"pattern_ingester_enabled":true`, `"version":"3.7.0"`, `"maxLinesPerQuery":7`} {
		require.Contains(t, w.Body.String(), part)
	}
}
