package distributor

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/metrics"
)

// haIdle is how long a cluster that sends nothing is remembered.
const haIdle = 30 * time.Minute

// haTracker elects one replica of each cluster of Prometheus servers that scrape the same targets, as Cortex and
// Mimir do: the first that is heard. The samples of the others are dropped until the elected one has been
// silent for the failover timeout.
//
// An election is forgotten at a restart and is not shared between processes: for as long as senders of
// one cluster reach several distributors, each of these elects on its own. Safe for concurrent use.
type haTracker struct {
	mu       sync.Mutex
	clusters map[haKey]*haElection
	counts   map[string]int // clusters by tenant

	elections *prometheus.CounterVec
	dropped   *prometheus.CounterVec
	plain     prometheus.Counter
}

type haKey struct{ tenant, cluster string }

type haElection struct {
	replica string
	since   time.Time // when it was elected
	heard   time.Time // when it last sent
}

// haVerdict is what becomes of the series of one replica.
type haVerdict int

const (
	haElected haVerdict = iota
	haDropped
	haTooMany // one cluster more than the tenant may have
)

func newHATracker(reg prometheus.Registerer) *haTracker {
	byCluster := []string{"tenant", "cluster"}
	t := &haTracker{
		clusters: map[haKey]*haElection{}, counts: map[string]int{},
		elections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hune_ha_elections_total",
			Help: "How often another replica of a cluster of Prometheus servers was elected, the first time included.",
		}, byCluster),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hune_ha_deduplicated_samples_total",
			Help: "Samples of replicas that are not the elected one of their cluster, dropped as duplicates.",
		}, byCluster),
		plain: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hune_ha_unlabelled_series_total",
			Help: "Series without cluster or replica label from tenants that accept pairs; they are stored as they are.",
		}),
	}
	if reg != nil {
		reg.MustRegister(t.elections, t.dropped, t.plain)
	}
	return t
}

// judge says whether series of a replica are stored, and elects it when there is nobody else. limit bounds
// the clusters of the tenant.
func (t *haTracker) judge(key haKey, replica string, failover time.Duration, limit int, now time.Time) haVerdict {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.clusters[key]
	switch {
	case e == nil:
		if limit > 0 && t.counts[key.tenant] >= limit {
			if t.sweep(now); t.counts[key.tenant] >= limit {
				return haTooMany
			}
		}
		key = haKey{strings.Clone(key.tenant), strings.Clone(key.cluster)} // the request's memory is not ours
		e = &haElection{}
		t.clusters[key] = e
		t.counts[key.tenant]++
	case e.replica == replica:
		e.heard = latest(e.heard, now)
		return haElected
	case now.Sub(e.heard) < failover:
		return haDropped
	}
	e.replica, e.since, e.heard = strings.Clone(replica), now, now
	t.elections.WithLabelValues(key.tenant, key.cluster).Inc()
	t.dropped.WithLabelValues(key.tenant, key.cluster).Add(0)
	return haElected
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// sweep forgets clusters that are silent. t.mu must be held.
func (t *haTracker) sweep(now time.Time) {
	for key, e := range t.clusters {
		if now.Sub(e.heard) < haIdle {
			continue
		}
		delete(t.clusters, key)
		if t.counts[key.tenant]--; t.counts[key.tenant] == 0 {
			delete(t.counts, key.tenant)
		}
		t.elections.DeleteLabelValues(key.tenant, key.cluster)
		t.dropped.DeleteLabelValues(key.tenant, key.cluster)
	}
}

// HAElection is one cluster of a tenant and the replica whose samples are stored.
type HAElection struct {
	Tenant  string    `json:"tenant"`
	Cluster string    `json:"cluster"`
	Replica string    `json:"replica"`
	Since   time.Time `json:"since"` // when it was elected
	Heard   time.Time `json:"heard"` // when it last sent
}

// HAElections returns the elected replicas, by tenant and cluster.
func (d *Distributor) HAElections() []HAElection {
	t := d.ha
	t.mu.Lock()
	t.sweep(d.now())
	out := make([]HAElection, 0, len(t.clusters))
	for key, e := range t.clusters {
		out = append(out, HAElection{key.tenant, key.cluster, e.replica, e.since, e.heard})
	}
	t.mu.Unlock()
	slices.SortFunc(out, func(a, b HAElection) int {
		if c := strings.Compare(a.Tenant, b.Tenant); c != 0 {
			return c
		}
		return strings.Compare(a.Cluster, b.Cluster)
	})
	return out
}

// haSender is a replica within one write, with what was decided about it.
type haSender struct {
	cluster, replica string
	verdict          haVerdict
}

// deduplicate cuts series of replicas that are not elected out of b, and the replica's label off the others. What
// it cuts counts as stored in the result: another replica stores it.
func (d *Distributor) deduplicate(w *write, b *metrics.Batch) (result metrics.PushResult) {
	l := &w.limits.Metrics
	if !l.AcceptHASamples {
		return result
	}
	var last haSender // one sender's requests name one replica only: asked once
	builder := labels.NewBuilder(labels.EmptyLabels())
	kept := b.Series[:0]
	for i := range b.Series {
		s := &b.Series[i]
		cluster, replica := s.Labels.Get(l.HAClusterLabel), s.Labels.Get(l.HAReplicaLabel)
		if cluster == "" || replica == "" {
			d.ha.plain.Inc()
			kept = append(kept, *s)
			continue
		}
		if last.cluster != cluster || last.replica != replica {
			verdict := d.ha.judge(haKey{w.tenant, cluster}, replica, time.Duration(l.HAFailoverTimeout), l.HAMaxClusters, w.now)
			last = haSender{cluster, replica, verdict}
		}
		n := len(s.Samples) + len(s.Histograms) + len(s.Exemplars)
		switch last.verdict {
		case haElected:
			builder.Reset(s.Labels)
			s.Labels = builder.Del(l.HAReplicaLabel).Labels()
			kept = append(kept, *s)
		case haDropped:
			d.ha.dropped.WithLabelValues(w.tenant, cluster).Add(float64(len(s.Samples) + len(s.Histograms)))
			result.Samples += len(s.Samples)
			result.Histograms += len(s.Histograms)
			result.Exemplars += len(s.Exemplars)
			result.Deduplicated += n
		case haTooMany:
			w.rejected.add(reasonTooManyClusters, max(1, n), tooManyClusters(w.tenant, cluster, l))
		}
	}
	clear(b.Series[len(kept):])
	b.Series = kept
	return result
}

func tooManyClusters(tenant, cluster string, l *limits.MetricsLimits) func() string {
	return func() string {
		return fmt.Sprintf("too many HA clusters (limit: %d) for tenant %s to accept samples of cluster %q", l.HAMaxClusters, tenant, clip(cluster))
	}
}
