package metrics

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/fault"
)

// party is stores that share a bucket in one process.
type party struct {
	stores []*BlockStore
	gone   map[int]bool // stores that don't answer
	// owners are those of a block, as each store sees them.
	owners func(store int, block ulid.ULID) []int
}

// newParty makes n stores that know no block yet.
func newParty(t testing.TB, bkt objstore.Bucket, n int) *party {
	t.Helper()
	p := &party{gone: map[int]bool{}}
	for i := range n {
		s := newTestStore(t, bkt)
		s.opts.Stores = guest{p, i}
		p.stores = append(p.stores, s)
	}
	return p
}

// guest is one of them, as it knows the others.
type guest struct {
	*party
	self int
}

// Owners implements Stores.
func (g guest) Owners(_ string, block ulid.ULID) (out []string) {
	for _, i := range g.owners(g.self, block) {
		if out = append(out, strconv.Itoa(i)); i == g.self {
			out[len(out)-1] = ""
		}
	}
	return out
}

var errGone = errors.New("nobody answers")

func (g guest) at(address string) (*BlockStore, error) {
	i, err := strconv.Atoi(address)
	if err != nil || g.gone[i] {
		return nil, errGone
	}
	return g.stores[i], nil
}

// SeriesOf implements Stores.
func (g guest) SeriesOf(ctx context.Context, address, tenant string, sel BlockSelect) ([]ChunkSeries, []ulid.ULID, error) {
	s, err := g.at(address)
	if err != nil {
		return nil, nil, err
	}
	return s.SeriesOf(ctx, tenant, sel)
}

// LabelsOf implements Stores.
func (g guest) LabelsOf(ctx context.Context, address, tenant, label string, sel BlockSelect) ([]string, []ulid.ULID, error) {
	s, err := g.at(address)
	if err != nil {
		return nil, nil, err
	}
	return s.LabelsOf(ctx, tenant, label, sel)
}

// told is what a store says to questions of all kinds, with its warnings.
func told(t require.TestingT, s *BlockStore) []string {
	e := newTestEngine()
	out := answers(t, e, s)
	some := []Matcher{{Type: labels.MatchRegexp, Name: "i", Value: "[0-2]"}}
	for _, q := range []Query{
		{Kind: SeriesKind, Matchers: [][]Matcher{some}},
		{Kind: SeriesKind, Matchers: [][]Matcher{some}, Limit: 1},
		{Kind: Instant, Expr: `count_over_time(m[1h])`, Start: at(0), Shard: Shard{Index: 1, Count: 2}},
		{Kind: LabelNames}, {Kind: LabelNames, Matchers: [][]Matcher{some}},
		{Kind: LabelValues, Label: "i"}, {Kind: LabelValues, Label: "i", Matchers: [][]Matcher{some}, Limit: 2},
	} {
		q.End = at(0)
		if q.Start == 0 {
			q.Start = at(-time.Hour)
		}
		r, err := e.Run(testContext, "a", &q, s)
		require.NoError(t, err)
		out = append(out, fmt.Sprint(q.Kind, r.Value, r.Series, r.Strings, r.Warnings))
	}
	return out
}

// Stores that share a bucket answer as one that has it alone: whoever is asked, whatever each of them thinks who owns
// what, while others are gone, know fewer blocks or other deletions, or hold a block for damaged.
func TestStoresAnswerAsOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		bkt := objstore.NewInMemBucket()
		p := newParty(t, bkt, 3)
		heads, err := OpenHeads(testContext, quickOptions(t, t.TempDir(), bkt))
		require.NoError(rt, err)
		defer heads.Close()
		for _, wave := range randomBatches(rt) {
			_, err := heads.Append(testContext, "a", &Batch{Series: wave})
			require.NoError(rt, err)
			require.NoError(rt, heads.Flush(testContext))
			for i, s := range p.stores {
				if rapid.Bool().Draw(rt, fmt.Sprint("refresh ", i)) {
					require.NoError(rt, s.Refresh(testContext))
				}
			}
		}
		if rapid.Bool().Draw(rt, "compact") {
			shop := newShop(t, bkt, 0)
			shop.now = testNow.Add(30 * 24 * time.Hour)
			_, err := shop.Round(testContext, "a")
			require.NoError(rt, err)
		}
		requests := &fakeDeletes{}
		requests.add(t, `m{i="1"}`, at(-49*time.Minute), at(-40*time.Minute))
		one := newTestStoreIn(t, t.TempDir(), bkt)
		defer one.Close()
		require.NoError(rt, one.Refresh(testContext))
		views := map[string][]int{}
		for i, s := range p.stores {
			if rapid.Bool().Draw(rt, "knows what is deleted") {
				s.opts.Deleted = requests.Active
			}
			p.gone[i] = rapid.IntRange(0, 4).Draw(rt, "gone") == 0
			for _, b := range one.Blocks("a") {
				views[fmt.Sprint(i, b.Meta.ULID)] = rapid.SliceOfNDistinct(rapid.IntRange(0, 2), 0, 3, rapid.ID[int]).Draw(rt, "owners")
			}
		}
		p.owners = func(store int, block ulid.ULID) []int { return views[fmt.Sprint(store, block)] }
		asked := p.stores[0]
		require.NoError(rt, asked.Refresh(testContext))
		one.opts.Deleted = asked.opts.Deleted
		if known := p.stores[1].Blocks("a"); len(known) > 0 && rapid.Bool().Draw(rt, "damaged") {
			p.stores[1].quarantine(blockKey{"a", known[0].Meta.ULID}, errors.New("a disk of its own"))
		}
		require.Equal(rt, told(rt, one), told(rt, asked))
	})
}

// onDisk returns the blocks whose index headers a store has.
func (s *BlockStore) onDisk(t testing.TB) (ids []string) {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(s.opts.Dir, "a"))
	if !errors.Is(err, os.ErrNotExist) {
		require.NoError(t, err)
	}
	for _, e := range list {
		ids = append(ids, e.Name())
	}
	return ids
}

func (s *BlockStore) readsOf(where string) float64 {
	return testutil.ToFloat64(s.metrics.reads.WithLabelValues(where))
}

// Each store opens what it owns. What falls to it when another goes it reads from then on, and it closes that a while
// after it has gone back.
func TestStoresOpenTheirOwnBlocks(t *testing.T) {
	t.Parallel()
	bkt := objstore.NewInMemBucket()
	shipBlocks(t, bkt, "a", 9)
	p := newParty(t, bkt, 3)
	now := testNow
	place := map[ulid.ULID]int{}
	members := []int{0, 1, 2}
	p.owners = func(_ int, block ulid.ULID) []int { return []int{members[place[block]%len(members)]} }
	own := map[int][]string{}
	for _, s := range p.stores {
		s.opts.Now = func() time.Time { return now }
		s.cache.now = s.opts.Now
		require.NoError(t, s.Refresh(t.Context()))
	}
	for i, b := range p.stores[0].Blocks("a") {
		place[b.Meta.ULID] = i
		own[i%3] = append(own[i%3], b.Meta.ULID.String())
	}
	all := []string{`{job="test"} 9`}
	for range 2 {
		for _, s := range p.stores {
			require.Equal(t, all, countOver(t, "a", s))
		}
	}
	for i, s := range p.stores {
		require.ElementsMatch(t, own[i], s.onDisk(t))
		require.Equal(t, 3, s.owned())
		require.Equal(t, 9, s.count(), "all are known")
		require.True(t, s.holds("a", at(-16*time.Hour), at(0)))
		require.Zero(t, s.readsOf("instead"))
		require.EqualValues(t, 12, s.readsOf("there"))
		require.EqualValues(t, 12, s.readsOf("for_others"))
	}

	// The last one is gone, and the others don't know yet: its blocks are read by who needs them.
	p.gone[2] = true
	require.Equal(t, all, countOver(t, "a", p.stores[0]))
	require.EqualValues(t, 3, p.stores[0].readsOf("instead"))
	members = []int{0, 1}
	require.Equal(t, all, countOver(t, "a", p.stores[0]))
	require.Equal(t, all, countOver(t, "a", p.stores[1]))
	require.EqualValues(t, 3, p.stores[0].readsOf("instead"), "now they have owners again")

	// It comes back: what it owns again is kept by the others for a while, no longer.
	p.gone[2], members = false, []int{0, 1, 2}
	now = now.Add(settleTime)
	require.NoError(t, p.stores[0].Refresh(t.Context()))
	require.Greater(t, len(p.stores[0].onDisk(t)), 3)
	require.Equal(t, all, countOver(t, "a", p.stores[0]))
	now = now.Add(time.Second)
	for i, s := range p.stores {
		require.NoError(t, s.Refresh(t.Context()))
		require.ElementsMatch(t, own[i], s.onDisk(t))
		require.Equal(t, all, countOver(t, "a", s))
	}
}

// Each of several owners is asked; all of them are before the block is read by who needs it.
func TestOwnersOfABlockAreAsked(t *testing.T) {
	t.Parallel()
	bkt := objstore.NewInMemBucket()
	shipBlocks(t, bkt, "a", 1)
	p := newParty(t, bkt, 3)
	p.owners = func(int, ulid.ULID) []int { return []int{1, 2} }
	for _, s := range p.stores {
		require.NoError(t, s.Refresh(t.Context()))
	}
	turns := map[float64]bool{}
	for len(turns) < 2 { // by chance one of the two: it ends
		before := p.stores[1].readsOf("for_others")
		require.Equal(t, []string{`{job="test"} 1`}, countOver(t, "a", p.stores[0]))
		turns[p.stores[1].readsOf("for_others")-before] = true
	}
	for _, gone := range []map[int]bool{{1: true}, {2: true}} {
		p.gone = gone
		require.Equal(t, []string{`{job="test"} 1`}, countOver(t, "a", p.stores[0]))
	}
	require.Zero(t, p.stores[0].readsOf("instead"))
	require.Empty(t, p.stores[0].onDisk(t))
	p.gone = map[int]bool{1: true, 2: true}
	require.Equal(t, []string{`{job="test"} 1`}, countOver(t, "a", p.stores[0]))
	require.EqualValues(t, 1, p.stores[0].readsOf("instead"))
}

// Limits are of the whole selection, wherever its blocks are read, and told in the words of who is asked.
func TestLimitsOfSharedBlocks(t *testing.T) {
	t.Parallel()
	bkt := objstore.NewInMemBucket()
	shipBlocks(t, bkt, "a", 4)
	p := newParty(t, bkt, 3)
	p.owners = func(int, ulid.ULID) []int { return []int{1} }
	for _, s := range p.stores {
		require.NoError(t, s.Refresh(t.Context()))
	}
	ask := func() error {
		_, err := newTestEngine().Run(t.Context(), "a", &Query{Kind: Instant, Expr: "count_over_time(m[30d])", Start: at(0), End: at(0)}, p.stores[0])
		return err
	}
	p.stores[1].opts.Config.MaxBytes = 1
	require.NoError(t, ask(), "what is too much for another may not be for this one")
	require.Positive(t, p.stores[0].readsOf("instead"))
	p.stores[1].opts.Config, p.stores[0].opts.Config.MaxBytes = DefaultConfig().Store, 1
	err := ask()
	require.ErrorContains(t, err, "metrics.store.max_bytes")
	require.Equal(t, fault.Unprocessable, fault.ClassOf(err))
}

// What a store says that it wasn't asked is no answer.
func TestStrangeAnswersAreNone(t *testing.T) {
	t.Parallel()
	bkt := objstore.NewInMemBucket()
	shipBlocks(t, bkt, "a", 2)
	s := newTestStore(t, bkt)
	s.opts.Stores = liar{}
	require.NoError(t, s.Refresh(t.Context()))
	require.Equal(t, []string{`{job="test"} 2`}, countOver(t, "a", s))
	names, err := s.LabelNames(t.Context(), "a", Select{Start: at(-24 * time.Hour), End: at(0)})
	require.NoError(t, err)
	require.Equal(t, []string{labels.MetricName, "job"}, names)
}

// liar answers for blocks that nobody asked it for.
type liar struct{}

func (liar) Owners(string, ulid.ULID) []string { return []string{"liar"} }

func (liar) SeriesOf(context.Context, string, string, BlockSelect) ([]ChunkSeries, []ulid.ULID, error) {
	return []ChunkSeries{{Labels: labels.FromStrings("a", "lie")}}, []ulid.ULID{ulid.Make()}, nil
}

func (liar) LabelsOf(context.Context, string, string, string, BlockSelect) ([]string, []ulid.ULID, error) {
	return []string{"lie"}, []ulid.ULID{ulid.Make()}, nil
}
