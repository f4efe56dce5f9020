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
	"github.com/hune-io/hune/internal/ring"
)

// haIdle is how long a cluster that sends nothing is remembered.
const haIdle = ring.ElectionIdle

// haTracker elects one replica of each cluster of Prometheus servers that scrape the same targets, as Cortex and
// Mimir do: the first that is heard. The samples of the others are dropped until the elected one has been
// silent for the failover timeout.
//
// The distributors of a cluster of Hune tell each other whom they have elected, and that it was heard: the latest
// election holds for all of them. One that is alone forgets its elections at a restart. Safe for concurrent use.
type haTracker struct {
	shared Elections // nil: this process is alone

	mu       sync.Mutex
	clusters map[haKey]*haElection
	counts   map[string]int // clusters by tenant

	elections *prometheus.CounterVec
	dropped   *prometheus.CounterVec
	plain     prometheus.Counter
}

// Elections tell the distributors of other processes of an election, or that the elected replica was heard. Tell doesn't
// wait for that. What they say comes by Distributor.LearnElections.
type Elections interface {
	Tell(g ring.Group, e ring.Election)
}

type haKey struct{ tenant, cluster string }

type haElection struct {
	replica string
	since   time.Time // when it was elected
	heard   time.Time // when it last sent
	term    uint64    // of the elections of the cluster, this one included
	told    time.Time // until when the others know that it was heard
}

// tellsPerFailover is how often within a failover timeout the others are told that the elected replica was heard.
// They may elect another one earlier by that part of the timeout: what they know is that much older.
const tellsPerFailover = 6

// haVerdict is what becomes of the series of one replica.
type haVerdict int

const (
	haElected haVerdict = iota
	haDropped
	haTooMany // one cluster more than the tenant may have
)

func newHATracker(reg prometheus.Registerer, shared Elections) *haTracker {
	byCluster := []string{"tenant", "cluster"}
	t := &haTracker{
		shared: shared, clusters: map[haKey]*haElection{}, counts: map[string]int{},
		elections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hune_ha_elections_total",
			Help: "How often another replica of a cluster of Prometheus servers was elected, here or by another member, the first time included.",
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
		e = t.add(key)
	case e.replica == replica:
		e.heard = latest(e.heard, now)
		t.tell(key, e, failover)
		return haElected
	case now.Sub(e.heard) < failover:
		return haDropped
	}
	t.elect(key, e, &haElection{replica: strings.Clone(replica), since: now, heard: now, term: e.term + 1})
	t.tell(key, e, failover)
	return haElected
}

// add makes room for the election of a cluster. t.mu must be held.
func (t *haTracker) add(key haKey) *haElection {
	e := &haElection{}
	t.clusters[key] = e
	t.counts[key.tenant]++
	return e
}

// elect has another election hold for a cluster. t.mu must be held.
func (t *haTracker) elect(key haKey, e, next *haElection) {
	*e = *next
	t.elections.WithLabelValues(key.tenant, key.cluster).Inc()
	t.dropped.WithLabelValues(key.tenant, key.cluster).Add(0)
}

// tell lets the others know of e where what they know is old. t.mu must be held.
func (t *haTracker) tell(key haKey, e *haElection, failover time.Duration) {
	if t.shared == nil || e.heard.Sub(e.told) < failover/tellsPerFailover {
		return
	}
	e.told = e.heard
	t.shared.Tell(ring.Group{Tenant: strings.Clone(key.tenant), Name: strings.Clone(key.cluster)}, e.shared())
}

// shared is what others are told of e.
func (e *haElection) shared() ring.Election {
	return ring.Election{Chosen: e.replica, Term: e.term, Since: e.since.UnixMilli(), Heard: e.heard.UnixMilli()}
}

// learn takes over the elections of other distributors that are later than those here, apart from those that are about
// to be forgotten.
func (t *haTracker) learn(all map[ring.Group]ring.Election, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for g, said := range all {
		key := haKey{g.Tenant, g.Name}
		heard := time.UnixMilli(said.Heard)
		if now.Sub(heard) >= haIdle {
			continue
		}
		e := t.clusters[key]
		if e == nil {
			e = t.add(key)
		}
		own := e.shared()
		switch joined := own.Join(said); {
		case joined == own:
		case e.term == said.Term && e.replica == said.Chosen && own.Since == said.Since:
			e.heard, e.told = heard, heard
		default:
			t.elect(key, e, &haElection{replica: said.Chosen, since: time.UnixMilli(said.Since), heard: heard, term: said.Term, told: heard})
		}
	}
}

// LearnElections takes over what other distributors have elected.
func (d *Distributor) LearnElections(all map[ring.Group]ring.Election) { d.ha.learn(all, d.now()) }

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
