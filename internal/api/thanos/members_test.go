package thanos

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/metrics/storeapi"
)

// member is one process of a cluster over one bucket.
type member struct {
	*fixture
	stop   func()
	client *storeapi.Client
	others atomic.Pointer[[]string]
}

// newMember has a head of its own and reads the bucket. It is changed before it can be asked.
func newMember(t *testing.T, bkt objstore.Bucket, change ...func(*member)) *member {
	t.Helper()
	cfg, quiet := metrics.DefaultConfig(), slog.New(slog.DiscardHandler)
	heads, err := metrics.OpenHeads(t.Context(), metrics.HeadOptions{Dir: t.TempDir(), Config: cfg, Bucket: bkt, Logger: quiet,
		Registerer: prometheus.NewRegistry(), Now: func() time.Time { return testNow }})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, heads.Close()) })
	store, err := metrics.NewBlockStore(metrics.BlockStoreOptions{Dir: t.TempDir(), Config: cfg.Store, Bucket: bkt, Logger: quiet, Registerer: prometheus.NewRegistry()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	m := &member{fixture: &fixture{heads: heads, store: store}}
	m.opts = Options{Sources: []metrics.Source{heads, store}, Heads: []metrics.Source{heads}, MinTime: heads.MinTime, Tenants: true, External: func(id string) labels.Labels {
		return labels.FromMap(cfg.BlockLabels(id, "0")).WithoutEmpty()
	}}
	m.others.Store(&[]string{})
	for _, c := range change {
		c(m)
	}
	m.stop = m.listen(t)
	m.client, err = storeapi.NewClient(storeapi.ClientOptions{Members: func() []string { return *m.others.Load() }, Logger: quiet, Registerer: prometheus.NewRegistry()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.client.Close()) })
	return m
}

func (m *member) knows(others ...*member) {
	addrs := []string{}
	for _, o := range others {
		addrs = append(addrs, o.addr)
	}
	slices.Sort(addrs)
	m.others.Store(&addrs)
}

// ask is what a member says to some questions about all that a tenant has, as text.
func (m *member) ask(t require.TestingT, id string) (answers []string, warnings []error) {
	sources := []metrics.Source{m.heads, m.store, m.client}
	e := metrics.NewEngine(metrics.EngineOptions{Config: metrics.DefaultConfig().Query, Logger: slog.New(slog.DiscardHandler)})
	all := [][]metrics.Matcher{{{Type: labels.MatchRegexp, Name: "__name__", Value: ".+"}}}
	from, to := at(-30*time.Hour), at(0)
	for _, q := range []metrics.Query{
		{Kind: metrics.Instant, Expr: `count_over_time({__name__=~".+"}[30h])`, Start: to, End: to},
		{Kind: metrics.Instant, Expr: `sum_over_time({__name__=~".+", replica="own"}[30h])`, Start: to, End: to},
		{Kind: metrics.Range, Expr: `sum(last_over_time(m[1h]))`, Start: from, End: to, Step: time.Hour.Milliseconds()},
		{Kind: metrics.SeriesKind, Matchers: all, Start: from, End: to},
		{Kind: metrics.LabelNames, Start: from, End: to},
		{Kind: metrics.LabelValues, Label: "replica", Start: from, End: to},
	} {
		r, err := e.Run(context.Background(), id, &q, sources...)
		require.NoError(t, err)
		if v, ok := r.Value.(promql.Vector); ok {
			slices.SortFunc(v, func(a, b promql.Sample) int { return labels.Compare(a.Metric, b.Metric) })
		}
		answers = append(answers, fmt.Sprint(q.Kind, r.Value, r.Strings, r.Series))
		warnings = append(warnings, r.Warnings.AsErrors()...)
	}
	return answers, warnings
}

// Members that share a bucket answer as one process with all of the samples would, whoever got a sample and whether it
// is shipped. When one is gone, the others answer as one process with what they have and the bucket does, and say who is
// missing.
func TestMembersAnswerAsOne(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	members := []*member{newMember(t, bkt), newMember(t, bkt), newMember(t, bkt)}
	one, without := newMember(t, objstore.NewInMemBucket()), newMember(t, objstore.NewInMemBucket())
	tenants := 0
	rapid.Check(t, func(rt *rapid.T) {
		tenants++
		id := fmt.Sprint("tenant-", tenants)
		for i, m := range members {
			m.knows(slices.Concat(members[:i], members[i+1:])...)
		}
		var unshipped []*metrics.Batch // of the last member
		for range rapid.IntRange(1, 6).Draw(rt, "steps") {
			who := rapid.IntRange(0, len(members)-1).Draw(rt, "who")
			if rapid.IntRange(0, 3).Draw(rt, "flush") == 0 {
				require.NoError(rt, members[who].heads.Flush(t.Context(), id))
				if who == len(members)-1 {
					for _, b := range unshipped {
						push(rt, without, id, b)
					}
					unshipped = nil
				}
				continue
			}
			b := drawBatch(rt)
			push(rt, members[who], id, b)
			push(rt, one, id, b)
			if who == len(members)-1 {
				unshipped = append(unshipped, b)
				continue
			}
			push(rt, without, id, b)
		}
		want, warnings := one.ask(rt, id)
		require.Empty(rt, warnings)
		for _, m := range members {
			require.NoError(rt, m.store.Refresh(t.Context()))
			got, warnings := m.ask(rt, id)
			require.Empty(rt, warnings)
			require.Equal(rt, want, got)
		}
		want, _ = without.ask(rt, id)
		gone := &member{fixture: &fixture{addr: nobody}}
		members[0].knows(members[1], gone)
		got, warnings := members[0].ask(rt, id)
		require.Equal(rt, want, got)
		require.NotEmpty(rt, warnings)
		for _, w := range warnings {
			require.ErrorContains(rt, w, "cluster member "+gone.addr+" is left out of the answer")
		}
	})
}

// nobody listens at this address.
const nobody = "127.0.0.1:1"

func push(t require.TestingT, m *member, id string, b *metrics.Batch) {
	_, err := m.heads.Append(context.Background(), id, b)
	require.NoError(t, err)
}

// drawBatch has few series, so that members share some, and few places in time, so that blocks and heads overlap. A
// sample's value depends on its series and time alone: one that two members got is the same.
func drawBatch(t *rapid.T) *metrics.Batch {
	b := &metrics.Batch{}
	for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, 5), 1, 4, rapid.ID[int]).Draw(t, "series") {
		s := metrics.Series{Labels: labels.FromStrings("__name__", "m", "i", fmt.Sprint(i))}
		if i%2 == 1 {
			s.Labels = labels.FromStrings("__name__", "m", "i", fmt.Sprint(i), "replica", "own", "tenant", "theirs")
		}
		times := rapid.SliceOfNDistinct(rapid.IntRange(0, 50), 1, 10, rapid.ID[int]).Draw(t, "minutes")
		slices.Sort(times)
		for _, minute := range times {
			s.Samples = append(s.Samples, metrics.Sample{T: at(time.Duration(minute-55) * time.Minute), V: float64(100*i + minute)})
		}
		b.Series = append(b.Series, s)
	}
	return b
}

// A member is asked as soon as it is known, and one that is gone no more. What Thanos asks for stays as it was.
func TestMembersAreFollowed(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	a, b := newMember(t, bkt), newMember(t, bkt)
	push(t, b, "x", &metrics.Batch{Series: []metrics.Series{{Labels: labels.FromStrings("__name__", "m", "zone", "1"), Samples: []metrics.Sample{{T: at(-time.Minute), V: 1}}}}})
	series := func() string { answers, _ := a.ask(t, "x"); return answers[3] }
	require.Equal(t, "series<nil> [] []", series())
	a.knows(b)
	require.Equal(t, `series<nil> [] [{__name__="m", zone="1"}]`, series(), "before it has said what it has")
	a.client.Refresh(t.Context())
	require.Equal(t, `series<nil> [] [{__name__="m", zone="1"}]`, series())
	require.Len(t, a.client.Stores(), 1)

	b.stop()
	a.client.Refresh(t.Context())
	_, warnings := a.ask(t, "x")
	require.ErrorContains(t, warnings[0], "cluster member "+b.addr+" is left out of the answer")
	a.knows()
	answers, warnings := a.ask(t, "x")
	require.Equal(t, "series<nil> [] []", answers[3])
	require.Empty(t, warnings)
	require.Empty(t, a.client.Stores())
}
