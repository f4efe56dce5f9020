package distributor

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/ring"
)

// deltaNetwork is distributors that share series by hash, without a network.
type deltaNetwork struct {
	members []*fixture
	owners  int // of the members, the first so many own anything
	err     error
	lost    bool // answers are
}

// deltaMember is what one of them knows of the others.
type deltaMember struct {
	*deltaNetwork
	self int
}

func (m deltaMember) Owner(hash uint32) string {
	if owner := int(hash % uint32(m.owners)); owner != m.self {
		return fmt.Sprint(owner)
	}
	return ""
}

func (m deltaMember) Send(_ context.Context, owner, id string, b *metrics.Batch) (metrics.PushResult, error) {
	if m.err != nil {
		return metrics.PushResult{}, m.err
	}
	var to int
	if _, err := fmt.Sscan(owner, &to); err != nil {
		return metrics.PushResult{}, err
	}
	sent := &metrics.Batch{OwnIncrements: true}
	for _, s := range b.Series {
		s.Delta, s.Samples = true, append([]metrics.Sample{}, s.Samples...)
		sent.Series = append(sent.Series, s)
	}
	r, err := m.members[to].PushMetrics(as(id), sent)
	if m.lost {
		return metrics.PushResult{}, errors.New("the answer was lost")
	}
	return r, err
}

func newDeltaNetwork(t testing.TB, n int) *deltaNetwork {
	net := &deltaNetwork{owners: n}
	for i := range n {
		f := newFixture(t, func(l *limits.Limits) { l.Metrics.MaxDeltaSeries = 3 })
		f.deltaOwners = deltaMember{net, i}
		net.members = append(net.members, f)
	}
	return net
}

// increment is one of a series, of the second before a time.
func increment(name string, second int, v float64) metrics.Series {
	t := now.Add(time.Duration(second) * time.Second).UnixMilli()
	return metrics.Series{Labels: labels.FromStrings("__name__", name), Delta: true, Samples: []metrics.Sample{{Start: t - 1000, T: t, V: v}}}
}

// sums are the newest values of all series, each of which one member has stored.
func (n *deltaNetwork) sums(t require.TestingT) map[string]float64 {
	out, by := map[string]float64{}, map[string]int{}
	for i, m := range n.members {
		for _, b := range m.ingester.metrics {
			for _, s := range b.Series {
				name := s.Labels.Get("__name__")
				if who, ok := by[name]; ok {
					require.Equal(t, who, i, "two members write %s", name)
				}
				by[name] = i
				for _, p := range s.Samples {
					out[name] = p.V
				}
			}
		}
	}
	return out
}

// Whichever members increments come to, one of them adds up those of a series, also when its answer was lost and they come again.
func TestDeltasOfMembersAddUp(t *testing.T) {
	outer := t
	rapid.Check(t, func(t *rapid.T) {
		net := newDeltaNetwork(outer, rapid.IntRange(2, 4).Draw(t, "members"))
		want := map[string]float64{}
		for second := range rapid.IntRange(1, 20).Draw(t, "pushes") {
			drawn := rapid.SliceOfNDistinct(rapid.IntRange(0, 2), 1, 3, rapid.ID[int]).Draw(t, "series")
			values := map[int]float64{}
			for _, i := range drawn {
				values[i] = float64(rapid.IntRange(1, 9).Draw(t, "increment"))
				want[fmt.Sprint("m", i)] += values[i]
			}
			to := rapid.SampledFrom(net.members).Draw(t, "to")
			push := func() (metrics.PushResult, error) {
				b := &metrics.Batch{}
				for _, i := range drawn {
					b.Series = append(b.Series, increment(fmt.Sprint("m", i), second, values[i]))
				}
				return to.PushMetrics(as("a"), b)
			}
			if net.lost = rapid.IntRange(0, 3).Draw(t, "lost") == 0; net.lost {
				_, _ = push()
				net.lost = false
			}
			r, err := push()
			require.NoError(t, err)
			require.Empty(t, r.Rejected)
			require.Equal(t, len(drawn), r.Samples)
		}
		require.Equal(t, want, net.sums(t))
	})
}

// An owner that can't be reached fails the write, before anything of it is stored. What it refuses is told.
func TestDeltaOwnerFails(t *testing.T) {
	net := newDeltaNetwork(t, 2)
	net.err = &fault.Error{Class: fault.Unavailable, Err: errors.New("no route")}
	b := &metrics.Batch{Series: []metrics.Series{series(labels.FromStrings("__name__", "plain"), sample(now, 1))}}
	for i := range 16 {
		b.Series = append(b.Series, increment(fmt.Sprint("m", i), 1, 1))
	}
	_, err := net.members[0].PushMetrics(as("a"), b)
	require.Equal(t, fault.Unavailable, fault.ClassOf(err))
	require.Empty(t, net.members[0].ingester.metrics)

	net.err = nil
	b.Series = nil
	for i := range 16 {
		b.Series = append(b.Series, increment(fmt.Sprint("m", i), 1, 1))
	}
	r, err := net.members[0].PushMetrics(as("a"), b)
	require.NoError(t, err)
	require.Equal(t, 6, r.Samples, "each member remembers 3 series")
	refused := 0
	for _, g := range r.Rejected {
		require.Equal(t, "delta_series_limit", g.Reason)
		refused += g.Count
	}
	require.Equal(t, 10, refused)
	total := net.members[0].discardedTotal(t, "metrics", "delta_series_limit", "a") + net.members[1].discardedTotal(t, "metrics", "delta_series_limit", "a")
	require.Equal(t, 10.0, total, "each is counted once")
}

// Sums that another member goes on with are forgotten: a series that comes back begins anew.
func TestDeltaOwnersChange(t *testing.T) {
	net := newDeltaNetwork(t, 2)
	net.owners = 1
	name := ""
	for i := 0; name == ""; i++ {
		s := increment(fmt.Sprint("m", i), 0, 1)
		if ring.Hash("a", string(s.Labels.Bytes(nil)))%2 == 1 {
			name = fmt.Sprint("m", i)
		}
	}
	push := func(second int, v float64) {
		t.Helper()
		_, err := net.members[0].PushMetrics(as("a"), &metrics.Batch{Series: []metrics.Series{increment(name, second, v)}})
		require.NoError(t, err)
	}
	newestOf := func(m int) metrics.Sample {
		all := net.members[m].ingester.metrics
		return all[len(all)-1].Series[0].Samples[0]
	}
	push(1, 100)
	require.Equal(t, 100.0, newestOf(0).V)
	net.owners = 2
	net.members[0].DeltaOwnersChanged()
	push(2, 5)
	require.Equal(t, 5.0, newestOf(1).V)
	net.owners = 1
	net.members[0].DeltaOwnersChanged()
	net.members[1].DeltaOwnersChanged()
	push(3, 7)
	require.Equal(t, metrics.Sample{Start: newestOf(0).T - 1000, T: newestOf(0).T, V: 7}, newestOf(0), "not 107")
	require.Zero(t, net.members[1].deltas.len())

	alone := newFixture(t, nil)
	alone.DeltaOwnersChanged()
}
