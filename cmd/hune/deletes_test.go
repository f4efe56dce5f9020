package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// deleteRequests lists a tenant's requests to delete logs, as "query status".
func (p *process) deleteRequests(header map[string]string) (ids, texts []string) {
	p.t.Helper()
	code, body := p.get("/loki/api/v1/delete", nil, header)
	require.Equal(p.t, http.StatusOK, code, body)
	var list []struct {
		ID     string `json:"request_id"`
		Query  string `json:"query"`
		Status string `json:"status"`
	}
	require.NoError(p.t, json.Unmarshal([]byte(body), &list))
	for _, r := range list {
		ids, texts = append(ids, r.ID), append(texts, r.Query+" "+r.Status)
	}
	return ids, texts
}

func (p *process) requestDelete(method string, params url.Values, header map[string]string) (int, string) {
	p.t.Helper()
	req, err := http.NewRequest(method, p.url+"/loki/api/v1/delete?"+params.Encode(), nil)
	require.NoError(p.t, err)
	for k, v := range header {
		req.Header.Set(k, v)
	}
	return p.do(req)
}

// A user's request to delete hides rows at once wherever they are, blocks are compacted without them,
// and after kill -9 in between every other row is still there, once.
func TestDeletesFromRequestToBucket(t *testing.T) {
	dir := t.TempDir()
	env := append(slices.Clone(quiet), "HUNE_MULTITENANCY=true", "HUNE_COMPACTOR_INTERVAL=300ms", "HUNE_COMPACTOR_DELETE_DELAY=300ms",
		"HUNE_STORE_POLL_INTERVAL=50ms", "HUNE_INGESTER_LOGS_KEEP_AFTER_UPLOAD=100ms", "HUNE_INGESTER_TRACES_KEEP_AFTER_UPLOAD=100ms",
		"HUNE_INGESTER_CHECK_INTERVAL=50ms")
	a, b := map[string]string{"X-Scope-OrgID": "a"}, map[string]string{"X-Scope-OrgID": "b"}
	day := time.Now().Add(-48 * time.Hour).Truncate(24 * time.Hour) // one that is over
	push := func(p *process, round int) {
		t.Helper()
		var entries [][2]string
		for i := range 10 {
			for _, kind := range []string{"fine", "secret"} {
				at := day.Add(time.Duration(round*10+i) * time.Minute)
				entries = append(entries, [2]string{strconv.FormatInt(at.UnixNano(), 10), fmt.Sprintf("%s %d %d", kind, round, i)})
			}
		}
		body := lokiPush(map[string]string{"app": "x"}, entries)
		for _, tenant := range []map[string]string{a, b} {
			code, text := p.post("/loki/api/v1/push", "application/json", body, tenant)
			require.Equal(t, http.StatusNoContent, code, text)
		}
	}
	check := func(p *process, rounds int) {
		t.Helper()
		want := map[string]int{}
		for round := range rounds {
			for i := range 10 {
				want[fmt.Sprintf("fine %d %d", round, i)] = 1
			}
		}
		require.Equal(t, want, p.lokiLines(`{app="x"}`, day, day.Add(24*time.Hour), a))
		require.Len(t, p.lokiLines(`{app="x"}`, day, day.Add(24*time.Hour), b), 20*rounds, "tenants are apart")
	}
	p := start(t, dir, env)
	push(p, 0)
	p.flush()
	push(p, 1) // in the head only
	code, text := p.requestDelete(http.MethodPost, url.Values{"query": {`{app="x"} |= "secret"`}, "start": {"0"}}, a)
	require.Equal(t, http.StatusNoContent, code, text)
	check(p, 2)
	p.kill()

	p = start(t, dir, env)
	check(p, 2)
	p.flush()
	check(p, 2)
	deadline := time.Now().Add(60 * time.Second)
	for {
		_, texts := p.deleteRequests(a)
		if slices.Equal(texts, []string{`{app="x"} |= "secret" processed`}) {
			break
		}
		require.True(t, time.Now().Before(deadline), "not processed: %v", texts)
		check(p, 2)
		pause(100 * time.Millisecond)
	}
	check(p, 2)

	// What comes later is not concerned, and a request can be taken back.
	push(p, 2)
	require.Len(t, p.lokiLines(`{app="x"} |= "secret 2"`, day, day.Add(24*time.Hour), a), 10)
	code, text = p.requestDelete(http.MethodPut, url.Values{"query": {`{app="x"} |= "secret 2"`}, "start": {"0"}}, a)
	require.Equal(t, http.StatusNoContent, code, text)
	check(p, 3)
	ids, _ := p.deleteRequests(a)
	code, text = p.requestDelete(http.MethodDelete, url.Values{"request_id": {ids[1]}, "force": {"true"}}, a)
	require.Equal(t, http.StatusNoContent, code, text)
	require.Len(t, p.lokiLines(`{app="x"} |= "secret 2"`, day, day.Add(24*time.Hour), a), 10)
	p.stop()
}
