package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ofBucket is an instant query of what is in the bucket, by the label id, with the warnings.
func (p *process) ofBucket(query string, at time.Time) (values map[string]string, warnings []string) {
	p.t.Helper()
	status, body := p.get("/api/v1/query", url.Values{"query": {query}, "time": {fmt.Sprintf("%.3f", float64(at.UnixMilli())/1000)}, "storeMatch[]": {`{__address__="local/bucket"}`}}, nil)
	require.Equal(p.t, http.StatusOK, status, body)
	var a struct {
		Warnings []string
		Data     struct {
			Result []struct {
				Metric map[string]string
				Value  []any
			}
		}
	}
	require.NoError(p.t, json.Unmarshal([]byte(body), &a), body)
	values = map[string]string{}
	for _, r := range a.Data.Result {
		values[r.Metric["id"]] = r.Value[1].(string)
	}
	return values, a.Warnings
}

// Two stores share the blocks of metrics: each has the index headers of those that it owns, and answers for all. One is
// killed: the other's answers stay whole from the first one on.
func TestStoresShareBlocks(t *testing.T) {
	pair := newPair(t, quiet, "5s", `
metrics: {store: {replication_factor: 1}}
store: {poll_interval: 1s}
compactor: {interval: 24h}
`)
	members := pair.startBoth("store")
	for _, p := range members {
		await(t, "two stores", func() bool { return p.metric(`hune_ring_members{role="store"}`) == 2 })
		_, page := p.get("/store-gateway/ring", nil, nil)
		require.Contains(t, page, strings.TrimPrefix(members[1].url, "http://"))
	}
	owned := func(i int) float64 { return members[i].metric("hune_metrics_store_blocks_owned") }
	now := time.Now()
	want := map[string]string{}
	for len(want) < 6 || owned(0) == 0 || owned(1) == 0 { // they have as good as half of the circle each
		for range 3 {
			id := fmt.Sprint(len(want))
			want[id] = id
			p := members[len(want)%2]
			code, body := p.post("/api/v1/write", "application/x-protobuf", remoteWrite("far", now, map[string]float64{id: float64(len(want) - 1)}), map[string]string{"Content-Encoding": "snappy"})
			require.Equal(t, http.StatusNoContent, code, body)
			p.flush()
		}
		for _, p := range members {
			await(t, "all blocks are known", func() bool { return p.metric("hune_metrics_store_blocks") == float64(len(want)) })
		}
	}
	require.EqualValues(t, len(want), owned(0)+owned(1))
	at := now
	whole := func(p *process) {
		t.Helper()
		at = at.Add(time.Millisecond) // so that no answer is one that was given before
		got, warnings := p.ofBucket("far", at)
		require.Equal(t, want, got)
		require.Empty(t, warnings)
		var names struct{ Data []string }
		p.getJSON("/api/v1/label/id/values", url.Values{"storeMatch[]": {`{__address__="local/bucket"}`}}, &names)
		require.Len(t, names.Data, len(want))
	}
	opened := map[string]bool{}
	for _, p := range members {
		whole(p)
	}
	for i := range members {
		headers, err := os.ReadDir(filepath.Join(pair.data[i], "store", "metrics", "anonymous"))
		require.NoError(t, err)
		require.Len(t, headers, int(owned(i)))
		for _, h := range headers {
			opened[h.Name()] = true
		}
	}
	require.Len(t, opened, len(want), "each block is opened by one of them")

	instead := func() float64 {
		return members[0].metric(`hune_metrics_store_block_reads_total{where="instead"}`)
	}
	require.Zero(t, instead())
	own := owned(0)
	members[1].kill()
	whole(members[0])
	require.EqualValues(t, 2*(len(want)-int(own)), instead(), "once for the vector, once for the values")
	await(t, "the other owns all", func() bool { return owned(0) == float64(len(want)) })
	before := instead()
	whole(members[0])
	require.Equal(t, before, instead())
}
