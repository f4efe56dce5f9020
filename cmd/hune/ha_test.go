package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"
)

// elected is the replica of a cluster whose samples a member stores, and when it was elected.
func (p *process) elected(cluster string) (replica, since string) {
	p.t.Helper()
	var tracker struct {
		Elected []struct{ Cluster, Replica, Since string }
	}
	p.getJSON("/distributor/ha_tracker", nil, &tracker)
	for _, e := range tracker.Elected {
		if e.Cluster == cluster {
			return e.Replica, e.Since
		}
	}
	return "", ""
}

// scraped writes what one of two servers has scraped, whose number is the value, and returns the sample's time.
func (p *process) scraped(server int) int64 {
	p.t.Helper()
	at := time.Now().UnixMilli()
	at += int64(server) - at%2 // the servers of a pair don't scrape at the same time
	req := &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
		Labels:  []prompb.Label{{Name: "__name__", Value: "pair"}, {Name: "__replica__", Value: fmt.Sprint("r", server)}, {Name: "cluster", Value: "eu"}},
		Samples: []prompb.Sample{{Timestamp: at, Value: float64(server)}},
	}}}
	data, err := req.Marshal()
	require.NoError(p.t, err)
	code, body := p.post("/api/v1/write", "application/x-protobuf", snappy.Encode(nil, data), map[string]string{"Content-Encoding": "snappy"})
	require.Contains(p.t, []int{http.StatusNoContent, http.StatusAccepted}, code, body) // 202 says that it is a duplicate
	return at
}

// stored are the samples that came to be stored: the times of each server's.
func (p *process) stored() (out [2][]int64) {
	p.t.Helper()
	var m struct {
		Data struct {
			Result []struct{ Values [][2]any }
		}
	}
	p.getJSON("/api/v1/query", url.Values{"query": {"pair[30m]"}}, &m)
	require.LessOrEqual(p.t, len(m.Data.Result), 1, "without the label of the replica it is one series")
	for _, r := range m.Data.Result {
		for _, v := range r.Values {
			server, err := strconv.Atoi(v[1].(string))
			require.NoError(p.t, err)
			out[server] = append(out[server], int64(v[0].(float64)*1000+.5))
		}
	}
	return out
}

// Both servers of a pair write to both of two members, which store one of them: what it scraped, each sample once, and from a
// failover timeout after its last on what the other scrapes. A member that is restarted knows who is elected.
func TestPairAtTwoMembers(t *testing.T) {
	const failover = 6 * time.Second
	pair := newPair(t, quiet, "8s", fmt.Sprintf("limits: {metrics: {accept_ha_samples: true, ha_failover_timeout: %s}}", failover))
	members := pair.startBoth("ingester")
	agree := func(want string) {
		t.Helper()
		require.Eventually(t, func() bool {
			a, at := members[0].elected("eu")
			b, bt := members[1].elected("eu")
			return a == want && b == want && at[:19] == bt[:19]
		}, 90*time.Second, 50*time.Millisecond)
	}
	first := members[0].scraped(0)
	agree("r0")
	require.Equal(t, [2][]int64{{first}}, members[0].stored())

	want := []int64{first}
	for range 10 {
		at := members[0].scraped(0)
		want = append(want, at, members[1].scraped(0))
		members[0].scraped(1)
		members[1].scraped(1)
	}
	quiet := time.Now()
	want = slices.Compact(want) // two within a millisecond are one
	for _, p := range members {
		require.Equal(t, [2][]int64{want}, p.stored(), "of one server, all that it wrote, to whichever member")
	}

	var due int64 // the first sample that must be stored of the other server
	for i := 0; due == 0; i++ {
		pause(10 * time.Millisecond)
		began := time.Now()
		at := members[i%2].scraped(1)
		if began.Sub(quiet) >= failover {
			due = at
		}
	}
	agree("r1")
	last := members[0].scraped(1)
	members[1].scraped(0)
	got := members[1].stored()
	require.Equal(t, want, got[0], "the first server is heard no more")
	require.NotEmpty(t, got[1])
	require.LessOrEqual(t, got[1][0], due, "nothing is missing for longer than the failover timeout")
	require.Equal(t, last, got[1][len(got[1])-1])

	_, since := members[1].elected("eu")
	members[1].stop()
	members[1] = pair.start(1)
	agree("r1")
	_, again := members[1].elected("eu")
	require.Equal(t, since[:19], again[:19], "it is the same election")
	members[1].scraped(0)
	require.Equal(t, want, members[1].stored()[0])
}
