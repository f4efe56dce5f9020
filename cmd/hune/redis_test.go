package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/cache/redistest"
)

// Two processes read one bucket and share a Redis: what the first has read, the second needs not ask the bucket for. A
// third one starts when the Redis is gone, and answers the same.
func TestProcessesSharePages(t *testing.T) {
	redis := redistest.New(t)
	redis.Start()

	config := filepath.Join(t.TempDir(), "hune.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
storage: {provider: filesystem, filesystem: {directory: %q}}
cache: {redis: {addresses: [%q], timeout: 10s}}
compactor: {interval: 24h}
`, t.TempDir(), redis.Addr), 0o600))
	now := time.Now()
	lines, want := make([][2]string, 5000), map[string]int{}
	for i := range lines {
		line := fmt.Sprintf("order %d of customer %x", i, i*2654435761)
		lines[i] = [2]string{strconv.FormatInt(now.Add(-time.Duration(i)*time.Millisecond).UnixNano(), 10), line}
		want[line]++
	}
	p := start(t, t.TempDir(), quiet, "--config", config)
	code, body := p.post("/loki/api/v1/push", "application/json", lokiPush(map[string]string{"app": "shop"}, lines), nil)
	require.Equal(t, http.StatusNoContent, code, body)
	code, body = p.post("/api/v1/write", "application/x-protobuf", remoteWrite("orders", now, map[string]float64{"a": 1, "b": 2}), map[string]string{"Content-Encoding": "snappy"})
	require.Equal(t, http.StatusNoContent, code, body)
	p.flush()
	p.stop()

	read := func(p *process) (requests float64) {
		t.Helper()
		require.Equal(t, want, p.lokiLines(`{app="shop"}`, now.Add(-time.Hour), now.Add(time.Second), nil))
		require.Equal(t, map[string]string{"a": "1", "b": "2"}, p.promVector("orders", now, "id", nil))
		_, text := p.get("/metrics", nil, nil)
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "objstore_bucket_operations_total{") && strings.Contains(line, `operation="get_range"`) {
				n, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
				require.NoError(t, err)
				requests += n
			}
		}
		return requests
	}
	first := start(t, t.TempDir(), quiet, "--config", config)
	require.Eventually(t, func() bool { return first.metric("hune_cache_redis_up") == 1 }, time.Minute, 20*time.Millisecond)
	before := read(first)
	require.Zero(t, first.metric("hune_cache_redis_hits_total"))
	require.Eventually(t, func() bool {
		return first.metric("hune_cache_redis_written_total") == first.metric("hune_cache_redis_misses_total")
	}, time.Minute, 20*time.Millisecond)
	first.stop()
	second := start(t, t.TempDir(), quiet, "--config", config)
	require.Eventually(t, func() bool { return second.metric("hune_cache_redis_up") == 1 }, time.Minute, 20*time.Millisecond)
	after := read(second)
	require.Positive(t, second.metric("hune_cache_redis_hits_total"))
	require.Zero(t, second.metric("hune_cache_redis_misses_total"))
	require.Less(t, after, before)
	second.stop()
	redis.Kill()
	third := start(t, t.TempDir(), quiet, "--config", config)
	require.Equal(t, before, read(third))
	require.Zero(t, third.metric("hune_cache_redis_up"))
	third.stop()
}

// Members of a cluster find what another has answered in Redis. Nobody shows an answer that is older than a late write or
// a delete that any of them acknowledged, also when Redis is killed before it.
func TestMembersShareResults(t *testing.T) {
	redis := redistest.New(t)
	redis.Start()
	members := newPair(t, quiet, "30s", fmt.Sprintf(`
cache: {redis: {addresses: [%q]}}
metrics: {admin_api: true}
store: {poll_interval: 1s}
`, redis.Addr)).startBoth("ingester")
	old := time.Now().Add(-40 * time.Hour).Truncate(time.Minute)
	write := func(p *process, id string, minute int) {
		t.Helper()
		code, body := p.post("/api/v1/write", "application/x-protobuf", remoteWrite("late", old.Add(time.Duration(minute)*time.Minute), map[string]float64{id: 1}),
			map[string]string{"Content-Encoding": "snappy"})
		require.Equal(t, http.StatusNoContent, code, body)
	}
	// counted is how many series of late there are at the minutes, of which each counts for five.
	counted := func(p *process) (values []string) {
		t.Helper()
		var a struct {
			Data struct{ Result []struct{ Values [][2]any } }
		}
		p.getJSON("/api/v1/query_range", url.Values{"query": {"count(late)"}, "start": {fmt.Sprint(old.Unix())}, "end": {fmt.Sprint(old.Add(30 * time.Minute).Unix())}, "step": {"600"}}, &a)
		require.Len(t, a.Data.Result, 1)
		for _, v := range a.Data.Result[0].Values {
			values = append(values, v[1].(string))
		}
		return values
	}
	shares := func() {
		t.Helper()
		for i, p := range members {
			found := `hune_result_cache_shared_looks_total{found="found"}`
			await(t, "an answer of the other is found", func() bool {
				before := p.metric(found)
				// Another query than any before: its answer is not in the memory of p.
				query := url.Values{"query": {fmt.Sprintf("count(late) + 0 * %d", time.Now().UnixNano())}, "start": {fmt.Sprint(old.Unix())}, "end": {fmt.Sprint(old.Add(30 * time.Minute).Unix())}, "step": {"600"}}
				other := members[1-i]
				written := other.metric("hune_result_cache_shared_written_total")
				var a, b any
				other.getJSON("/api/v1/query_range", query, &a)
				if other.metric("hune_result_cache_shared_written_total") == written {
					return false
				}
				p.getJSON("/api/v1/query_range", query, &b)
				require.Equal(t, a, b)
				return p.metric(found) > before
			})
		}
	}
	for _, minute := range []int{0, 10, 20, 30} {
		write(members[0], "a", minute)
	}
	for _, p := range members {
		require.Equal(t, []string{"1", "1", "1", "1"}, counted(p))
	}
	shares()
	write(members[1], "b", 10)
	for _, p := range members {
		require.Equal(t, []string{"1", "2", "1", "1"}, counted(p), "b is there for all at once")
	}
	shares()
	redis.Kill()
	write(members[0], "c", 20)
	for _, p := range members {
		require.Equal(t, []string{"1", "2", "2", "1"}, counted(p), "it was acknowledged")
	}
	require.Positive(t, members[0].metric(`hune_result_cache_shared_taken_back_total{how="waited"}`)+members[0].metric(`hune_result_cache_shared_taken_back_total{how="no lease"}`))
	redis.Start()
	for _, p := range members {
		require.Equal(t, []string{"1", "2", "2", "1"}, counted(p))
	}
	shares()
	code, body := members[0].post("/api/v1/admin/tsdb/delete_series?"+url.Values{"match[]": {`late{id="b"}`}}.Encode(), "", nil, nil)
	require.Equal(t, http.StatusNoContent, code, body)
	await(t, "all know of the deletion", func() bool {
		return slices.Equal(counted(members[0]), []string{"1", "1", "2", "1"}) && slices.Equal(counted(members[1]), []string{"1", "1", "2", "1"})
	})
	shares()
}
