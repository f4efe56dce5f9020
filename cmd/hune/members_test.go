package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// warningsOf are those of an instant query.
func (p *process) warningsOf(query string) []string {
	p.t.Helper()
	status, body := p.get("/api/v1/query", url.Values{"query": {query}}, nil)
	require.Equal(p.t, http.StatusOK, status, body)
	var a struct{ Warnings []string }
	require.NoError(p.t, json.Unmarshal([]byte(body), &a), body)
	return a.Warnings
}

// What was written to one of two members, and is in no block yet, is seen by queries and rules of both. One that is
// killed is named in a warning; what it has shipped is there without it.
func TestMembersSeeAllMetrics(t *testing.T) {
	rules := filepath.Join(t.TempDir(), "rules.yml")
	require.NoError(t, os.WriteFile(rules, []byte("groups: [{name: g, rules: [{record: seen, expr: count(far)}]}]"), 0o600))
	pair := newPair(t, quiet, "8s", fmt.Sprintf(`
rules: {files: [%q], defaults: false, evaluation_interval: 500ms}
store: {poll_interval: 1s}
`, rules))
	members := pair.startBoth("ingester")
	now := time.Now()
	snappy := map[string]string{"Content-Encoding": "snappy"}
	for i, p := range members {
		code, body := p.post("/api/v1/write", "application/x-protobuf", remoteWrite("far", now, map[string]float64{fmt.Sprint(i): float64(i)}), snappy)
		require.Equal(t, http.StatusNoContent, code, body)
	}
	both := map[string]string{"0": "0", "1": "1"}
	for _, p := range members {
		await(t, "each sees both", func() bool { got := p.promVector("far", now, "id", nil); return len(got) == 2 })
		require.Equal(t, both, p.promVector(`{__name__="far",replica=""}`, now, "id", nil), "as they were written")
		require.Equal(t, map[string]string{"": "2"}, p.promVector("count(far)", now, "id", nil))
		await(t, "and so does the rule", func() bool { return p.promVector("seen", time.Now(), "id", nil)[""] == "2" })
	}

	dead := strings.TrimPrefix(members[1].url, "http://")
	members[1].kill()
	warned := func() bool { return strings.Contains(strings.Join(members[0].warningsOf("far"), "\n"), dead) }
	require.True(t, warned(), "who is missing is named at once")
	require.Equal(t, map[string]string{"0": "0"}, members[0].promVector("far", now, "id", nil))
	await(t, "the ring notices", func() bool { return members[0].ringOf("ingester")[dead] == "UNHEALTHY" })
	require.True(t, warned(), "it is still known")

	// What it had is there when it is back, and stays when it has shipped that.
	members[1] = pair.start(1)
	await(t, "both again", func() bool { return len(members[0].promVector("far", now, "id", nil)) == 2 })
	members[1].flush()
	members[1].stop()
	await(t, "it has left", func() bool {
		_, known := members[0].ringOf("ingester")[strings.TrimPrefix(members[1].url, "http://")]
		return !known
	})
	await(t, "without it", func() bool { return len(members[0].promVector("far", now, "id", nil)) == 2 })
	require.Equal(t, both, members[0].promVector("far", now, "id", nil))
}

// A member that keeps recent data and reads no blocks hides what another was asked to delete.
func TestDeletesReachHeadsWithoutStore(t *testing.T) {
	pair := newPair(t, quiet, "30s", `
metrics: {admin_api: true}
store: {poll_interval: 500ms}
`)
	asked, keeps := pair.start(0), pair.start(1, "--role", "distributor")
	now := time.Now()
	code, body := keeps.post("/api/v1/write", "application/x-protobuf", remoteWrite("far", now, map[string]float64{"stays": 1, "goes": 2}), map[string]string{"Content-Encoding": "snappy"})
	require.Equal(t, http.StatusNoContent, code, body)
	seen := func(ids ...string) func() bool {
		return func() bool {
			got := asked.promVector("far", now, "id", nil)
			return slices.Equal(slices.Sorted(maps.Keys(got)), ids)
		}
	}
	await(t, "both are seen", seen("goes", "stays"))
	await(t, "the request is taken", func() bool { // 503 until it is settled who compacts
		code, _ := asked.post("/api/v1/admin/tsdb/delete_series?"+url.Values{"match[]": {`far{id="goes"}`}}.Encode(), "", nil, nil)
		return code == http.StatusNoContent
	})
	await(t, "one is deleted", seen("stays"))
}
