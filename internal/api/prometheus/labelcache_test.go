package prometheus

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// With the cache a request is decoded to what it is without, however often its label sets come and in
// whatever order, with what is wrong with them.
func TestLabelCacheChangesNothing(t *testing.T) {
	cache := newLabelCache(0)
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.SampledFrom([]string{"__name__", "a", "b", "", "\xff", "ü"})
		val := rapid.SampledFrom([]string{"", "1", "2", "\xff", "ü", strings.Repeat("x", 70_000)})
		var req prompb.WriteRequest
		for range rapid.IntRange(1, 8).Draw(rt, "series") {
			ts := prompb.TimeSeries{Samples: []prompb.Sample{{Value: 1, Timestamp: 1}}, Labels: pairs("__name__", "m")}
			for range rapid.IntRange(0, 3).Draw(rt, "labels") {
				ts.Labels = append(ts.Labels, prompb.Label{Name: name.Draw(rt, "name"), Value: val.Draw(rt, "value")})
			}
			req.Timeseries = append(req.Timeseries, ts)
		}
		body := marshalV1(t, req)
		want := decoded(t, nil, body)
		require.Equal(rt, want, decoded(t, cache, body))
		require.Equal(rt, want, decoded(t, cache, body))
		known := keeper{}
		require.Equal(rt, want, decoded(t, known, body))
		for i := range req.Timeseries { // some are stored, with nothing that is wrong with them
			if ls := setOf(req.Timeseries[i]); i%2 == 0 && ls.IsValid(model.UTF8Validation) && !ls.Has("") {
				known[ls.String()] = ls
			}
		}
		require.Equal(rt, want, decoded(t, known, body))
	})
}

// keeper are label sets that are stored elsewhere.
type keeper map[string]labels.Labels

func (k keeper) get(_ uint64, ls labels.Labels) (labels.Labels, bool) {
	found, ok := k[ls.String()]
	return found, ok
}

func (keeper) put(uint64, labels.Labels) {}

// setOf is what is stored of a series: the last of values of one name, and no empty ones.
func setOf(s prompb.TimeSeries) labels.Labels {
	set := map[string]string{}
	for _, l := range s.Labels {
		set[l.Name] = l.Value
	}
	return labels.FromMap(set).WithoutEmpty()
}

// decoded is a text of what a request is decoded to.
func decoded(t *testing.T, cache labelSets, body []byte) (out []string) {
	d := getDecoder(cache)
	defer d.put()
	require.NoError(t, d.decodeV1(body))
	for _, s := range d.batch.Series {
		out = append(out, strings.Clone(s.Labels.String()))
		require.True(t, s.Valid)
		require.True(t, s.Labels.IsValid(model.UTF8Validation))
		_, twice := s.Labels.HasDuplicateLabelNames()
		require.False(t, twice)
	}
	for _, r := range d.rejected.List() {
		out = append(out, fmt.Sprintf("%s %d %s", r.Reason, r.Count, r.Message))
	}
	return out
}

func TestLabelCacheKeepsWhatIsUsed(t *testing.T) {
	c := newLabelCache(1 << 16)
	set := func(i int) labels.Labels { return labels.FromStrings("__name__", "m", "i", fmt.Sprint(i)) }
	put := func(i int) { c.put(set(i).Hash(), set(i)) }
	has := func(i int) bool { _, ok := c.get(set(i).Hash(), set(i)); return ok }
	const many = 10_000
	for i := range many {
		put(i)
	}
	kept := 0
	for i := range many {
		if has(i) {
			kept++
		}
	}
	require.Greater(t, kept, many*99/100, "nearly all find a slot")
	_, ok := c.get(set(1).Hash(), set(2))
	require.False(t, ok, "a hash finds, it does not decide")

	// Those that are not asked for are forgotten, and their room is given back.
	for n := range 3 * labelRounds * (many + labelShards*minLabelSlots) {
		has(n % (many / 10))
	}
	slots := 0
	for i := range c.shards {
		slots += len(c.shards[i].sets)
	}
	require.Less(t, slots, many/2)
	require.False(t, has(many-1))
	require.True(t, has(1))
}

func TestLabelCacheIsBounded(t *testing.T) {
	c := newLabelCache(0)
	for i := range 100_000 {
		ls := labels.FromStrings("__name__", "m", "i", fmt.Sprint(i))
		c.put(ls.Hash(), ls)
		_, ok := c.get(ls.Hash(), ls)
		require.True(t, ok, "the newest is there")
	}
	for i := range c.shards {
		require.LessOrEqual(t, len(c.shards[i].sets), minLabelSlots)
		require.LessOrEqual(t, c.shards[i].used, minLabelSlots)
	}
}

func TestLabelCacheConcurrently(t *testing.T) {
	c := newLabelCache(64)
	var req prompb.WriteRequest
	for i := range 200 {
		req.Timeseries = append(req.Timeseries, series(pairs("__name__", "m", "i", fmt.Sprint(i)), prompb.Sample{Timestamp: 1}))
	}
	body := marshalV1(t, req)
	want := decoded(t, nil, body)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				if got := decoded(t, c, body); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("got %v", got)
				}
			}
		})
	}
	wg.Wait()
}
