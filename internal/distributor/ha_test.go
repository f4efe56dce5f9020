package distributor

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/metrics"
)

func acceptHA(l *limits.Limits) { l.Metrics.AcceptHASamples = true }

// from is a sample of a replica.
func from(cluster, replica string, at time.Time) metrics.Series {
	return series(labels.FromStrings("__name__", "up", "__replica__", replica, "cluster", cluster, "job", "a"), sample(at, 1))
}

// send pushes one sample of a replica and reports whether it was stored.
func (f *fixture) send(t require.TestingT, tenant, cluster, replica string) bool {
	before := len(f.ingester.metrics)
	r, err := f.PushMetrics(as(tenant), &metrics.Batch{Series: []metrics.Series{from(cluster, replica, f.now)}})
	require.NoError(t, err)
	require.Empty(t, r.Rejected)
	require.Equal(t, 1, r.Samples, "a duplicate is accepted as well")
	stored := len(f.ingester.metrics) > before
	require.Equal(t, stored, r.Deduplicated == 0)
	return stored
}

func TestHAPair(t *testing.T) {
	f := newFixture(t, acceptHA)
	require.True(t, f.send(t, "a", "eu", "r1"), "the first that is heard is elected")
	require.Equal(t, labels.FromStrings("__name__", "up", "cluster", "eu", "job", "a"), f.ingester.metrics[0].Series[0].Labels, "without the replica")
	require.False(t, f.send(t, "a", "eu", "r2"))
	require.True(t, f.send(t, "a", "us", "r2"), "another cluster")
	require.True(t, f.send(t, "b", "eu", "r2"), "another tenant")

	f.now = f.now.Add(29 * time.Second)
	require.False(t, f.send(t, "a", "eu", "r2"))
	require.True(t, f.send(t, "a", "eu", "r1"), "r1 is alive")
	f.now = f.now.Add(29 * time.Second)
	require.False(t, f.send(t, "a", "eu", "r2"))
	f.now = f.now.Add(time.Second)
	require.True(t, f.send(t, "a", "eu", "r2"), "r1 has been silent for 30 seconds")
	require.False(t, f.send(t, "a", "eu", "r1"), "and is not elected again when it is back")

	require.Equal(t, 2.0, testutil.ToFloat64(f.ha.elections.WithLabelValues("a", "eu")))
	require.Equal(t, 4.0, testutil.ToFloat64(f.ha.dropped.WithLabelValues("a", "eu")))
	got := f.HAElections()
	require.Len(t, got, 3)
	require.Equal(t, HAElection{Tenant: "a", Cluster: "eu", Replica: "r2", Since: f.now, Heard: f.now}, got[0])
}

func TestHAIsOffByDefault(t *testing.T) {
	f := newFixture(t, nil)
	require.True(t, f.send(t, "a", "eu", "r1"))
	require.True(t, f.send(t, "a", "eu", "r2"))
	require.Equal(t, "r1", f.ingester.metrics[0].Series[0].Labels.Get("__replica__"), "nothing is cut off")
}

func TestHALabelsOfTenants(t *testing.T) {
	f := newFixture(t, func(l *limits.Limits) {
		acceptHA(l)
		l.Metrics.HAClusterLabel, l.Metrics.HAReplicaLabel = "region", "prometheus_replica"
	})
	b := func(replica string) *metrics.Batch {
		return &metrics.Batch{Series: []metrics.Series{series(labels.FromStrings("__name__", "up", "prometheus_replica", replica, "region", "eu"), sample(now, 1))}}
	}
	_, err := f.PushMetrics(as("a"), b("r1"))
	require.NoError(t, err)
	r, err := f.PushMetrics(as("a"), b("r2"))
	require.NoError(t, err)
	require.Equal(t, 1, r.Deduplicated)
	require.Equal(t, labels.FromStrings("__name__", "up", "region", "eu"), f.ingester.metrics[0].Series[0].Labels)
}

// A request may mix: what has no labels of a pair is stored as it is, metadata too.
func TestHAMixedRequest(t *testing.T) {
	f := newFixture(t, acceptHA)
	require.True(t, f.send(t, "a", "eu", "r1"))
	plain := series(labels.FromStrings("__name__", "plain", "cluster", "eu"), sample(now, 1))
	help := metrics.Series{Labels: labels.FromStrings("__name__", "up"), Metadata: &metadata.Metadata{Type: "gauge", Help: "h"}}
	r, err := f.PushMetrics(as("a"), &metrics.Batch{Series: []metrics.Series{from("eu", "r2", now), plain, from("eu", "r1", now), help, from("eu", "r2", now)}})
	require.NoError(t, err)
	require.Equal(t, 4, r.Samples)
	require.Equal(t, 2, r.Deduplicated)
	got := f.ingester.metrics[1].Series
	require.Len(t, got, 3)
	require.Equal(t, plain.Labels, got[0].Labels)
	require.Equal(t, labels.FromStrings("__name__", "up", "cluster", "eu", "job", "a"), got[1].Labels)
	require.Equal(t, help.Labels, got[2].Labels)
	require.Equal(t, 2.0, testutil.ToFloat64(f.ha.plain))
}

func TestHATooManyClusters(t *testing.T) {
	f := newFixture(t, func(l *limits.Limits) { acceptHA(l); l.Metrics.HAMaxClusters = 2 })
	require.True(t, f.send(t, "a", "c1", "r"))
	require.True(t, f.send(t, "a", "c2", "r"))
	r, err := f.PushMetrics(as("a"), &metrics.Batch{Series: []metrics.Series{from("c3", "r", now), from("c1", "r", now)}})
	require.NoError(t, err)
	require.Equal(t, 1, r.Samples)
	require.Equal(t, []metrics.Rejection{{Reason: "too_many_ha_clusters", Count: 1,
		Message: `too many HA clusters (limit: 2) for tenant a to accept samples of cluster "c3"`}}, r.Rejected)
	require.True(t, f.send(t, "b", "c3", "r"), "tenants don't share the limit")

	f.now = f.now.Add(haIdle)
	require.True(t, f.send(t, "a", "c3", "r"), "silent clusters make room")
	require.Len(t, f.HAElections(), 1)
	require.Len(t, f.ha.counts, 1)
}

// Duplicates don't count against the rate of a tenant.
func TestHADuplicatesAreFree(t *testing.T) {
	f := newFixture(t, func(l *limits.Limits) { acceptHA(l); l.Metrics.IngestionRate, l.Metrics.IngestionBurst = 0.001, 1 })
	require.True(t, f.send(t, "a", "eu", "r1"))
	for range 10 {
		require.False(t, f.send(t, "a", "eu", "r2"))
	}
}

// Whatever a pair does, at most one replica is stored within a failover timeout, and while one of them is alive
// something is stored at least as often as that.
func TestHAElectsOne(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFixture(t, acceptHA)
		stored := map[string]time.Time{}
		last := f.now
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			f.now = f.now.Add(time.Duration(rapid.IntRange(0, 14).Draw(rt, "seconds")) * time.Second)
			replica := fmt.Sprint("r", rapid.IntRange(1, 3).Draw(rt, "replica"))
			if !f.send(rt, "a", "eu", replica) {
				require.Less(rt, f.now.Sub(last), 30*time.Second, "nobody is stored though a replica sends")
				continue
			}
			for other, at := range stored {
				if other != replica {
					require.GreaterOrEqual(rt, f.now.Sub(at), 30*time.Second, "%s and %s are both stored", replica, other)
				}
			}
			stored[replica], last = f.now, f.now
		}
	})
}
