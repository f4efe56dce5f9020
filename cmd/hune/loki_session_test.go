package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// logcli reads a query in batches: each begins where the one before ended, at the same instant, and what it
// has seen of that instant it leaves out.
func (p *process) logcliBatches(query string, from, to time.Time, limit, batch int, direction string) (lines []string) {
	p.t.Helper()
	var last []string // of the newest instant, or the oldest
	start, end := from.UnixNano(), to.UnixNano()
	for len(lines) < limit {
		var a struct {
			Data struct {
				Result []struct {
					Stream map[string]string
					Values [][2]string
				}
			}
		}
		size := min(batch, limit-len(lines)) + len(last)
		p.getJSON("/loki/api/v1/query_range", url.Values{"query": {query}, "limit": {fmt.Sprint(size)}, "direction": {direction},
			"start": {fmt.Sprint(start)}, "end": {fmt.Sprint(end)}}, &a)
		type entry struct {
			at   int64
			text string
		}
		var got []entry
		for _, s := range a.Data.Result {
			for _, v := range s.Values {
				var at int64
				_, err := fmt.Sscan(v[0], &at)
				require.NoError(p.t, err)
				got = append(got, entry{at, s.Stream["app"] + " " + v[1]})
			}
		}
		slices.SortStableFunc(got, func(a, b entry) int {
			if direction == "BACKWARD" {
				a, b = b, a
			}
			return int(a.at - b.at)
		})
		before := len(lines)
		for _, e := range got {
			if !slices.Contains(last, fmt.Sprint(e.at, e.text)) {
				lines = append(lines, e.text)
			}
		}
		if len(lines) == before {
			return lines
		}
		edge := got[len(got)-1].at
		last = nil
		for _, e := range got {
			if e.at == edge {
				last = append(last, fmt.Sprint(e.at, e.text))
			}
		}
		if direction == "BACKWARD" {
			end = edge + 1
		} else {
			start = edge
		}
	}
	return lines
}

// A session of logcli, over rows in the bucket and in memory.
func TestLogcliSession(t *testing.T) {
	p := start(t, t.TempDir(), quiet)
	now := time.Now()
	from, to := now.Add(-time.Hour), now.Add(time.Minute)
	var want []string
	push := func(i int) {
		app, text := []string{"web", "db"}[i%2], fmt.Sprintf("level=%s n=%d took=%dms", []string{"info", "error"}[i%3/2], i, i*3)
		// Two and two at one instant.
		at := now.Add(-30 * time.Minute).Add(time.Duration(i/2) * time.Second).UnixNano()
		code, body := p.post("/loki/api/v1/push", jsonType, lokiPush(map[string]string{"app": app, "env": "prod"}, [][2]string{{fmt.Sprint(at), text}}), nil)
		require.Equal(t, http.StatusNoContent, code, body)
		want = append(want, app+" "+text)
	}
	for i := range 60 {
		push(i)
		if i == 30 {
			p.flush()
		}
	}
	nanos := func(kv ...string) url.Values {
		v := url.Values{"start": {fmt.Sprint(from.UnixNano())}, "end": {fmt.Sprint(to.UnixNano())}}
		for i := 0; i < len(kv); i += 2 {
			v.Add(kv[i], kv[i+1])
		}
		return v
	}
	// query --limit 1000 --batch 7, both ways; entries of one instant come in no order that is promised.
	for _, direction := range []string{"FORWARD", "BACKWARD"} {
		got := p.logcliBatches(`{env="prod"}`, from, to, 1000, 7, direction)
		require.ElementsMatch(t, want, got, direction)
		for i, line := range got {
			at := slices.Index(want, line) / 2
			if direction == "BACKWARD" {
				at = 29 - at
			}
			require.Equal(t, i/2, at, line)
		}
		require.Len(t, p.logcliBatches(`{env="prod"} |= "error"`, from, to, 10, 3, direction), 10)
	}
	// instant-query, labels, series, stats, volume, volume_range, detected-fields.
	var vector struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  []any
			}
		}
	}
	p.getJSON("/loki/api/v1/query", url.Values{"query": {`sum by (app) (count_over_time({env="prod"}[1h]))`}, "limit": {"30"}, "time": {fmt.Sprint(now.UnixNano())}, "direction": {"BACKWARD"}}, &vector)
	require.Len(t, vector.Data.Result, 2)
	var list promStrings
	p.getJSON("/loki/api/v1/labels", nanos(), &list)
	require.Equal(t, []string{"app", "env", "service_name"}, list.Data)
	p.getJSON("/loki/api/v1/label/app/values", nanos(), &list)
	require.Equal(t, []string{"db", "web"}, list.Data)
	var series struct{ Data []map[string]string }
	p.getJSON("/loki/api/v1/series", nanos("match", `{app="db"}`), &series)
	require.Equal(t, []map[string]string{{"app": "db", "env": "prod", "service_name": "db"}}, series.Data)
	var stats struct{ Streams, Chunks, Bytes, Entries int }
	p.getJSON("/loki/api/v1/index/stats", nanos("query", `{env="prod"}`), &stats)
	require.Equal(t, []int{2, 60}, []int{stats.Streams, stats.Entries})
	p.getJSON("/loki/api/v1/index/volume", nanos("query", `{env="prod"}`, "limit", "30", "targetLabels", "app", "aggregateBy", "series"), &vector)
	require.Len(t, vector.Data.Result, 2)
	var matrix lokiAnswer
	p.getJSON("/loki/api/v1/index/volume_range", nanos("query", `{env="prod"}`, "limit", "30", "step", "600.000000"), &matrix)
	require.Equal(t, "matrix", matrix.Data.ResultType)
	var fields struct {
		Fields []struct{ Label, Type string }
		Limit  int
	}
	p.getJSON("/loki/api/v1/detected_fields", nanos("query", `{env="prod"}`, "limit", "1000", "line_limit", "1000", "step", "60"), &fields)
	require.Equal(t, 1000, fields.Limit)
	require.Equal(t, "detected_level", fields.Fields[0].Label)
	// tail --delay-for 1s --limit 5: the past, then what comes, in order.
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, strings.Replace(p.url, "http", "ws", 1)+"/loki/api/v1/tail?"+
		url.Values{"query": {`{env="prod"}`}, "delay_for": {"1"}, "limit": {"5"}, "start": {fmt.Sprint(from.UnixNano())}}.Encode(), nil)
	require.NoError(t, err)
	defer func() { _ = conn.CloseNow() }()
	read := func(n int) (lines []string) {
		for len(lines) < n {
			_, raw, err := conn.Read(ctx)
			require.NoError(t, err)
			var frame struct {
				Streams []struct{ Values [][2]string }
			}
			require.NoError(t, json.Unmarshal(raw, &frame))
			var values [][2]string
			for _, s := range frame.Streams {
				values = append(values, s.Values...)
			}
			slices.SortFunc(values, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
			for _, v := range values {
				lines = append(lines, v[1])
			}
		}
		return lines
	}
	require.Len(t, read(5), 5)
	for _, n := range []int{60, 64, 62} {
		push(n)
	}
	got := read(3)
	require.Equal(t, []string{"n=60", "n=62", "n=64"}, []string{strings.Fields(got[0])[1], strings.Fields(got[1])[1], strings.Fields(got[2])[1]})
	// The server says good-bye.
	closed := make(chan error, 1)
	go func() {
		_, _, err := conn.Read(ctx)
		closed <- err
	}()
	p.stop()
	require.Equal(t, websocket.StatusGoingAway, websocket.CloseStatus(<-closed))
}

// The lines of a trace, wherever and whenever they are: from its spans, or from a metric's exemplar.
func TestLogsOfATrace(t *testing.T) {
	p := start(t, t.TempDir(), quiet)
	now := time.Now()
	const id, other = "4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000001"
	push := func(app string, ago time.Duration, line string, metadata ...[2]string) {
		code, body := p.post("/loki/api/v1/push", protobuf, lokiProto(`{app="`+app+`"}`, now.Add(-ago), line, metadata...), nil)
		require.Equal(t, http.StatusNoContent, code, body)
	}
	push("web", 90*24*time.Hour, `level=info took=5 traceID=`+id)
	push("web", 90*24*time.Hour, `level=info took=5 traceID=`+other)
	push("db", 50*24*time.Hour, "slow query", [2]string{"trace_id", id})
	p.flush()
	push("web", time.Minute, `{"trace_id":"`+id+`","msg":"done"}`)
	push("web", time.Minute, `{"trace_id":"`+other+`","msg":"done"}`)
	lines := func(path string, params url.Values) (out []string) {
		t.Helper()
		var a lokiAnswer
		p.getJSON(path, params, &a)
		require.Equal(t, "streams", a.Data.ResultType)
		for _, s := range a.Data.Result {
			for _, v := range s.Values {
				out = append(out, s.Stream["app"]+" "+strings.ReplaceAll(v[1].(string), id, "ID"))
			}
		}
		return out
	}
	all := []string{"db slow query", "web level=info took=5 traceID=ID", `web {"trace_id":"ID","msg":"done"}`}
	require.ElementsMatch(t, all, lines("/api/hune/v1/logs/trace/"+id, nil))
	require.ElementsMatch(t, all, lines("/api/hune/v1/logs/trace/"+strings.ToUpper(id), nil))
	require.Equal(t, all[1:2], lines("/api/hune/v1/logs/trace/"+id, url.Values{"limit": {"1"}}))
	require.Equal(t, all[1:2], lines("/loki/api/v1/query_range", url.Values{"query": {`{app="web"} | logfmt | took > 1`}, "hune_trace_id": {id}}))
	require.Equal(t, all[2:], lines("/loki/api/v1/query_range", url.Values{"query": {`{app=~".+"}`}, "hune_trace_id": {id}, "since": {"1h"}}))
	require.Empty(t, lines("/api/hune/v1/logs/trace/"+strings.Repeat("ab", 16), nil))
	var counts promMatrix
	p.getJSON("/loki/api/v1/query_range", url.Values{"query": {`sum(count_over_time({app=~".+"}[1h]))`}, "hune_trace_id": {id}, "step": {"3600"}}, &counts)
	require.Equal(t, "1", counts.Data.Result[0].Values[len(counts.Data.Result[0].Values)-1][1])
	for query, want := range map[string]string{"": `trace ID "abc": want 32 hexadecimal digits`, "query=%7B": "parse error at line 1", "limit=0": "limit must be a positive value"} {
		code, body := p.get("/api/hune/v1/logs/trace/abc?"+query, nil, nil)
		require.Equal(t, http.StatusBadRequest, code)
		require.Contains(t, body, want)
	}
}

// What Grafana's alerting pages and lokitool ask of the ruler, and a client of the old API.
func TestLokiRulesAndLegacySession(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir, append(quiet, "HUNE_MULTITENANCY=true"))
	tenant := map[string]string{"X-Scope-OrgID": "team a!"}
	code, _ := p.get("/loki/api/v1/rules", nil, tenant)
	require.Equal(t, http.StatusBadRequest, code, "a blank is not allowed in a tenant")
	tenant["X-Scope-OrgID"] = "team-a"
	code, body := p.get("/api/prom/rules", nil, tenant)
	require.Equal(t, []any{http.StatusNotFound, "no rule groups found\n"}, []any{code, body})
	group := func(name string) []byte {
		return []byte("name: " + name + "\ninterval: 1m\nrules:\n    - alert: Errors\n      expr: sum(rate({app=\"web\"} |= \"error\" [5m])) > 1\n      for: 5m\n")
	}
	for _, name := range []string{"one", "two"} {
		code, body = p.post("/api/prom/rules/My%20folder", "application/yaml", group(name), tenant)
		require.Equal(t, http.StatusAccepted, code, body)
	}
	code, body = p.post("/loki/api/v1/rules/My%20folder", "application/yaml", []byte("name: x\nrules: [{alert: A, expr: '{'}]"), tenant)
	require.Equal(t, http.StatusBadRequest, code)
	require.Contains(t, body, "could not parse expression for alert 'A' in group 'x': parse error at line 1")
	// They are in the bucket: another process has them.
	p.kill()
	p = start(t, dir, append(quiet, "HUNE_MULTITENANCY=true"))
	code, body = p.get("/loki/api/v1/rules", nil, tenant)
	require.Equal(t, http.StatusOK, code)
	require.YAMLEq(t, `My folder: [`+strings.ReplaceAll(`{name: one, interval: 1m, rules: [{alert: Errors, expr: 'sum(rate({app="web"} |= "error" [5m])) > 1', for: 5m}]},`, "\n", "")+
		strings.ReplaceAll(`{name: two, interval: 1m, rules: [{alert: Errors, expr: 'sum(rate({app="web"} |= "error" [5m])) > 1', for: 5m}]}]`, "\n", ""), body)
	code, body = p.get("/prometheus/api/v1/rules", nil, tenant)
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, body, `"health":"unknown"`)
	code, _ = p.get("/loki/api/v1/rules", nil, map[string]string{"X-Scope-OrgID": "team-b"})
	require.Equal(t, http.StatusNotFound, code)

	now := time.Now()
	code, body = p.post("/api/prom/push", protobuf, lokiProto(`{app="web"}`, now, "an error of old"), tenant)
	require.Equal(t, http.StatusNoContent, code, body)
	code, body = p.get("/api/prom/query", url.Values{"query": {`{app="web"}`}, "regexp": {"err.r"}, "limit": {"5"}}, tenant)
	require.Equal(t, http.StatusOK, code, body)
	var old struct {
		Streams []struct {
			Labels  string
			Entries []struct {
				TS   time.Time
				Line string
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(body), &old))
	require.Equal(t, "an error of old", old.Streams[0].Entries[0].Line)
	require.Equal(t, now.UnixNano(), old.Streams[0].Entries[0].TS.UnixNano())
	code, body = p.get("/api/prom/label/app/values", nil, tenant)
	require.Equal(t, []any{http.StatusOK, "{\"values\":[\"web\"]}\n"}, []any{code, body})
	code, body = p.get("/config/tenant/v1/limits", nil, tenant)
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, body, "max_line_size: 256KB\n")
}
