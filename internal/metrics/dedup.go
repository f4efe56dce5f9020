package metrics

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/thanos-io/thanos/pkg/dedup"
)

// withoutReplicas takes the labels of replicas away from series and sorts them anew: replicas of one series
// stand side by side then.
func withoutReplicas(list []ChunkSeries, replicas []string) []ChunkSeries {
	if len(replicas) == 0 {
		return list
	}
	b := labels.NewBuilder(labels.EmptyLabels())
	for i := range list {
		b.Reset(list[i].Labels)
		b.Del(replicas...)
		list[i].Labels = b.Labels()
	}
	slices.SortStableFunc(list, func(a, b ChunkSeries) int { return labels.Compare(a.Labels, b.Labels) })
	return list
}

// deduplicated is one series for all of its replicas, by Thanos's penalty algorithm: it stays with one
// replica and turns to another where that one has a gap. fn is the function around the selector; counters
// must not fall when the replica changes. The labels of replicas are those that are named.
func deduplicated(list []ChunkSeries, replicas []string, fn string) storage.SeriesSet {
	return dedup.NewSeriesSet(NewSeriesSet(withoutReplicas(list, replicas), nil), fn, dedup.AlgorithmPenalty)
}

// replicaLabels returns the labels of replicas for a query.
func (e *Engine) replicaLabels(q *Query) []string {
	switch {
	case q.NoDedup:
		return nil
	case q.ReplicaLabels != nil:
		return q.ReplicaLabels
	}
	return e.cfg.ReplicaLabels
}
