package ruler

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	promrules "github.com/prometheus/prometheus/rules"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/signal"
)

// evaluate evaluates the one group of a ruler, which by itself does so once a year, and returns it.
func evaluate(t *testing.T, r *Ruler, at time.Time) *promrules.Group {
	t.Helper()
	soon(t, func() bool { return len(r.Groups("anonymous", signal.Metrics)) == 1 })
	g := r.Groups("anonymous", signal.Metrics)[0]
	c := &changes{r: r, tenant: "anonymous", steady: r.managers[key{tenant: "anonymous", signal: signal.Metrics}].steady, now: func() time.Time { return at },
		pending: map[*promrules.AlertingRule]map[uint64]labels.Labels{}}
	c.iterate(t.Context(), g, at)
	return g
}

// The rules of a group are one write; but a rule that reads another's series finds them stored.
func TestAGroupIsOneWrite(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	r, _ := w.ruler(`
groups:
- name: g
  interval: 365d
  rules:
  - {record: 'a', expr: 'vector(1)'}
  - {record: 'b', expr: 'vector(2)'}
  - {alert: C, expr: 'vector(3)'}
`)
	evaluate(t, r, now)
	require.Equal(t, 1, w.writes())
	require.InDelta(t, 2, w.value("b", now), 0)

	w = newWorld(t)
	r, _ = w.ruler(`
groups:
- name: g
  interval: 365d
  rules:
  - {record: 'a', expr: 'vector(1)'}
  - {record: 'b', expr: 'a + 1'}
  - {record: 'c', expr: 'vector(5)'}
`)
	evaluate(t, r, now)
	require.InDelta(t, 2, w.value("b", now), 0, "b reads a")
}

// A query sees what was recorded before it, if it may read it.
func TestQueriesSeeWhatWasRecorded(t *testing.T) {
	for _, c := range []struct {
		name string
		rule promrules.RuleDetail
		expr string
		want int
	}{
		{"a rule that depends on none", promrules.RuleDetail{Query: "up", NoDependencyRules: true}, "up", 0},
		{"a rule that may depend on others", promrules.RuleDetail{Query: "up"}, "up", 1},
		{"a template", promrules.RuleDetail{Query: "up", NoDependencyRules: true}, "recorded", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			b := newBatch(w, "a", func() time.Time { return time.Unix(0, 0) })
			b.add(t.Context(), metrics.Batch{Series: []metrics.Series{{Labels: labels.FromStrings(labels.MetricName, "recorded"), Samples: []metrics.Sample{{T: 1, V: 1}}}}}, 1)
			before(promrules.NewOriginContext(b.with(t.Context()), c.rule), c.expr)
			require.Equal(t, c.want, w.writes())
		})
	}
	before(t.Context(), "up") // outside of an evaluation there is nothing to store
}

// What can't be stored is the fault of the rule that recorded it.
func TestWritesThatFailAreTheirRules(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	r, _ := w.ruler(`
groups:
- name: g
  interval: 365d
  rules:
  - {record: 'a', expr: 'vector(1)'}
  - {record: 'b', expr: 'vector(1)'}
  - {record: 'c', expr: 'vector(1)'}
`)
	w.refuse("b", errors.New("no room"))
	g := evaluate(t, r, now)
	for _, rule := range g.Rules() {
		if rule.Name() == "b" {
			require.Equal(t, promrules.HealthBad, rule.Health())
			require.ErrorContains(t, rule.LastError(), "no room")
			continue
		}
		require.Equal(t, promrules.HealthGood, rule.Health(), rule.Name())
		require.InDelta(t, 1, w.value(rule.Name(), now), 0)
	}
	require.InDelta(t, 1, testutil.ToFloat64(r.metrics.EvalFailures.WithLabelValues(promrules.GroupKey(g.File(), g.Name()))), 0)

	w.refuse("", nil)
	g = evaluate(t, r, now.Add(time.Minute))
	require.Equal(t, promrules.HealthGood, g.Rules()[1].Health())
}

// A batch doesn't grow, nor wait, without bound.
func TestBatchesAreBounded(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	b := newBatch(w, "a", func() time.Time { return now })
	part := func(n int) metrics.Batch {
		var out metrics.Batch
		for i := range n {
			out.Series = append(out.Series, metrics.Series{Labels: labels.FromStrings(labels.MetricName, "a", "i", string(rune('a'+i%26))+string(rune('a'+i/26%26))+string(rune('a'+i/676))),
				Samples: []metrics.Sample{{T: now.UnixMilli(), V: 1}}})
		}
		return out
	}
	b.add(context.Background(), part(1), 1)
	require.Zero(t, w.writes())
	b.add(context.Background(), part(batchSamples), batchSamples)
	require.Equal(t, 1, w.writes(), "it is large")
	b.add(context.Background(), part(1), 1)
	now = now.Add(batchDelay)
	b.add(context.Background(), part(1), 1)
	require.Equal(t, 2, w.writes(), "it is old")
}
