package metrics

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/tombstones"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/compact/downsample"
	"pgregory.net/rapid"
)

// fakeDeletes are requests in memory.
type fakeDeletes struct {
	list     []Deletion
	finished []string
}

func (f *fakeDeletes) Active(string) *Deletions { return NewDeletions(f.list) }

func (f *fakeDeletes) Finish(_ context.Context, _ string, ids []string) error {
	f.finished = append(f.finished, ids...)
	f.list = slices.DeleteFunc(f.list, func(d Deletion) bool { return slices.Contains(ids, d.ID) })
	return nil
}

func (f *fakeDeletes) add(t testing.TB, selector string, start, end int64) {
	t.Helper()
	ms, err := parser.ParseMetricSelector(selector)
	require.NoError(t, err)
	f.list = append(f.list, Deletion{ID: fmt.Sprint("d", len(f.list)+len(f.finished)), Matchers: ms, Start: start, End: end})
}

// timesOf lists the times of all samples by metric name, as raw selections of the sources have them.
func timesOf(t testing.TB, want aggregate, resolution int64, sources ...Source) map[string][]int64 {
	t.Helper()
	q := &querier{tenant: "a", sources: sources, resolution: resolution}
	found, err := q.fetch(context.Background(), Select{Matchers: []Matcher{{Name: "job", Value: "test"}}, Start: math.MinInt64 + 1, End: math.MaxInt64 - 1})
	require.NoError(t, err)
	require.NoError(t, resolveAggregates(found, want))
	out := map[string][]int64{}
	for set := NewSeriesSet(found, nil); set.Next(); {
		name := set.At().Labels().Get(labels.MetricName)
		for it := set.At().Iterator(nil); it.Next() != chunkenc.ValNone; {
			out[name] = append(out[name], it.AtT())
		}
	}
	return out
}

// A request hides its samples at once: from the head, from what is cut later, from blocks, from the list of
// series; a restart changes nothing. Other series and times stay.
func TestDeletedSamplesAreHidden(t *testing.T) {
	bkt, dir := objstore.NewInMemBucket(), t.TempDir()
	requests := &fakeDeletes{}
	opts := testHeadOptions(t, dir, bkt)
	opts.Deleted = requests.Active
	h, err := OpenHeads(t.Context(), opts)
	require.NoError(t, err)
	store := newTestStore(t, bkt)
	store.opts.Deleted = requests.Active
	var a, b Series
	var all, kept []int64
	a, b = floats("gone"), floats("stays")
	for m := -50; m <= 0; m++ {
		ts := at(time.Duration(m) * time.Minute)
		a.Samples, b.Samples = append(a.Samples, Sample{T: ts, V: 1}), append(b.Samples, Sample{T: ts, V: 1})
		all = append(all, ts)
		if m < -30 || m > -20 {
			kept = append(kept, ts)
		}
	}
	push(t, h, "a", a, b)
	check := func(wantGone []int64, sources ...Source) {
		t.Helper()
		got := timesOf(t, average, 0, sources...)
		require.Equal(t, all, got["stays"])
		require.Equal(t, wantGone, got["gone"])
		r, err := newTestEngine().Run(t.Context(), "a", &Query{Kind: SeriesKind, Start: MinTime, End: MaxTime, Matchers: [][]Matcher{{{Name: "job", Value: "test"}}}}, sources...)
		require.NoError(t, err)
		require.Len(t, r.Series, len(got))
	}
	check(all, h, store)
	requests.add(t, `gone{job="test"}`, at(-30*time.Minute), at(-20*time.Minute))
	check(kept, h, store)
	require.NoError(t, h.Close())
	opts.Registerer = nil
	h = openTestHeads(t, opts)
	check(kept, h, store)
	require.NoError(t, h.Flush(t.Context()))
	require.NoError(t, store.Refresh(t.Context()))
	check(kept, h, store)
	check(kept, store)
	require.False(t, h.Settled("a", at(-20*time.Minute)), "the head's newest block stays on the local disk")
	require.True(t, h.Settled("a", at(-time.Hour)))
	require.True(t, h.Settled("b", at(0)))
	requests.add(t, `gone`, math.MinInt64, math.MaxInt64)
	check(nil, h, store)
	check(nil, h)
	check(nil, store)
	limited, err := newTestEngine().Run(t.Context(), "a", &Query{Kind: SeriesKind, Start: MinTime, End: MaxTime, Limit: 1, Matchers: [][]Matcher{{{Name: "job", Value: "test"}}}}, h)
	require.NoError(t, err)
	require.Equal(t, "stays", limited.Series[0].Get(labels.MetricName), "a limit counts what is seen")
}

// Raw and downsampled blocks are written anew without deleted samples; the request ends when nothing is
// stored any more and stores have had time to notice. Series that nobody asked to delete keep every sample.
func TestDeletesAreCarriedOut(t *testing.T) {
	t.Parallel()
	bkt := objstore.NewInMemBucket()
	external := map[string]string{"tenant": "a"}
	for at := time.Duration(0); at < 4*24*time.Hour; at += 2 * 24 * time.Hour {
		putBlock(t, bkt, external, at, at+2*24*time.Hour, 5*time.Minute)
	}
	requests := &fakeDeletes{}
	s := newShop(t, bkt, 20*24*time.Hour)
	s.opts.Deletes = requests
	settled := false
	s.opts.Settled = func(string, int64) bool { return settled }
	_, err := s.Round(t.Context(), "a")
	require.NoError(t, err)
	store := newTestStore(t, bkt) // hides nothing itself: it shows what is stored
	require.NoError(t, store.Refresh(t.Context()))
	require.Len(t, store.active["a"], 2, "merged and downsampled")
	before, coarse := timesOf(t, average, 0, store), timesOf(t, ofCounter, downsample.ResLevel1, store)

	from, to := day0.Add(30*time.Hour).UnixMilli(), day0.Add(40*time.Hour+time.Minute).UnixMilli()
	requests.add(t, `{__name__=~"counter.*"}`, from, to)
	requests.add(t, `nothing_like_it`, from, to)
	changed, err := s.Round(t.Context(), "a")
	require.NoError(t, err)
	require.True(t, changed)
	require.NoError(t, store.Refresh(t.Context()))
	after, coarseAfter := timesOf(t, average, 0, store), timesOf(t, ofCounter, downsample.ResLevel1, store)
	require.Equal(t, before["gauge"], after["gauge"])
	require.Equal(t, coarse["gauge"], coarseAfter["gauge"])
	require.Equal(t, slices.DeleteFunc(before["counter_total"], func(ts int64) bool { return from <= ts && ts <= to }), after["counter_total"])
	want := slices.DeleteFunc(coarse["counter_total"], func(ts int64) bool {
		return windowStart(ts, downsample.ResLevel1) <= to && windowEnd(ts, downsample.ResLevel1) >= from
	})
	require.Equal(t, want, coarseAfter["counter_total"])
	require.NotEqual(t, len(want), 0)
	require.Len(t, requests.list, 2, "not finished: samples are on an ingester")

	settled = true
	_, err = s.Round(t.Context(), "a")
	require.NoError(t, err)
	s.now = s.now.Add(deleteSettle)
	_, err = s.Round(t.Context(), "a")
	require.NoError(t, err)
	require.Empty(t, requests.list, "finished")

	// All of a tenant's samples: the blocks go at once.
	requests.add(t, `{job="test"}`, math.MinInt64, math.MaxInt64)
	changed, err = s.CleanTombstones(t.Context(), "a")
	require.NoError(t, err)
	require.True(t, changed)
	require.NoError(t, store.Refresh(t.Context()))
	require.Empty(t, timesOf(t, average, 0, store))
}

// Compaction carries out deletes on its way.
func TestCompactionDeletes(t *testing.T) {
	t.Parallel()
	bkt := objstore.NewInMemBucket()
	for at := time.Duration(0); at < 8*time.Hour; at += 2 * time.Hour {
		putBlock(t, bkt, nil, at, at+2*time.Hour, time.Minute)
	}
	requests := &fakeDeletes{}
	requests.add(t, "gauge", day0.Add(time.Hour).UnixMilli(), day0.Add(5*time.Hour).UnixMilli())
	s := newShop(t, bkt, 24*time.Hour)
	s.opts.Deletes = requests
	_, err := s.Round(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, []string{"0s+8h0m0s@0s"}, blocksOf(t, bkt))
	store := newTestStore(t, bkt)
	require.NoError(t, store.Refresh(t.Context()))
	got := timesOf(t, average, 0, store)
	require.Len(t, got["counter_total"], 8*60)
	require.Len(t, got["gauge"], 8*60-(4*60+1))
}

// Whatever the series and the request, hidden is what carrying it out removes, and nothing else.
func TestHiddenEqualsRemoved(t *testing.T) {
	t.Parallel()
	e := newTestEngine()
	rapid.Check(t, func(rt *rapid.T) {
		bkt := objstore.NewInMemBucket()
		h, err := OpenHeads(testContext, quickOptions(t, t.TempDir(), bkt))
		require.NoError(rt, err)
		defer h.Close()
		for _, wave := range randomBatches(rt) {
			_, err := h.Append(testContext, "a", &Batch{Series: wave})
			require.NoError(rt, err)
		}
		requests := &fakeDeletes{}
		for range rapid.IntRange(1, 3).Draw(rt, "requests") {
			from := rapid.Int64Range(at(-time.Hour), at(10*time.Minute)).Draw(rt, "from")
			selector := fmt.Sprintf(`m{i=~"%s"}`, rapid.SampledFrom([]string{"0", "1|2", ".*", "9"}).Draw(rt, "series"))
			requests.add(t, selector, from, from+rapid.Int64Range(0, 30*60_000).Draw(rt, "length"))
		}
		h.opts.Deleted = requests.Active
		want := answers(rt, e, h)
		require.NoError(rt, h.Flush(testContext))
		require.Equal(rt, want, answers(rt, e, h), "local blocks")
		store := newTestStoreIn(t, t.TempDir(), bkt)
		defer store.Close()
		store.opts.Deleted = requests.Active
		require.NoError(rt, store.Refresh(testContext))
		require.Equal(rt, want, answers(rt, e, store), "hidden")
		s := newShop(t, bkt, 0)
		s.now = testNow.Add(24 * time.Hour)
		s.opts.Deletes = requests
		_, err = s.Round(testContext, "a")
		require.NoError(rt, err)
		store.opts.Deleted = nil
		require.NoError(rt, store.Refresh(testContext))
		require.Equal(rt, want, answers(rt, e, store), "removed")
	})
}

func TestIntervals(t *testing.T) {
	requests := &fakeDeletes{}
	requests.add(t, `m{a="1"}`, 100, 200)
	requests.add(t, `m`, 301_000, 302_000)
	requests.add(t, `m{a!="1"}`, math.MinInt64, math.MaxInt64)
	d := requests.Active("")
	one := labels.FromStrings("__name__", "m", "a", "1")
	require.Equal(t, tombstones.Intervals{{Mint: 100, Maxt: 200}, {Mint: 301_000, Maxt: 302_000}}, d.intervals(one, 0))
	require.Equal(t, tombstones.Intervals{{Mint: 0, Maxt: 599_999}}, d.intervals(one, 300_000), "whole windows")
	require.Equal(t, tombstones.Intervals{{Mint: math.MinInt64 + 1, Maxt: math.MaxInt64 - 1}}, d.intervals(labels.FromStrings("__name__", "m"), 300_000))
	require.Empty(t, d.intervals(labels.FromStrings("__name__", "n"), 0))
	require.Equal(t, []string{"d0", "d2"}, d.Overlapping(0, 1000).IDs())
	require.Nil(t, d.Overlapping(0, 1000).Without(func(string) bool { return true }))
	require.Zero(t, (*Deletions)(nil).Len())
}

// The five aggregates keep the same windows, and counters their true last value, or the last that is left.
func TestCutAggregates(t *testing.T) {
	chunk := func(last bool) chunkenc.Chunk {
		c := chunkenc.NewXORChunk()
		app, err := c.Appender()
		require.NoError(t, err)
		for i := range int64(4) {
			app.Append(i*300_000+299_999, float64(i))
		}
		if last {
			app.Append(3*300_000+299_999, 77)
		}
		return c
	}
	c := Chunk{MinTime: 299_999, MaxTime: 3*300_000 + 299_999, Encoding: downsample.ChunkEncAggr,
		Data: downsample.EncodeAggrChunk([5]chunkenc.Chunk{chunk(false), chunk(false), chunk(false), chunk(false), chunk(true)}).Bytes()}
	read := func(kind downsample.AggrType, gone ...tombstones.Interval) (out []string) {
		rest, err := withoutDeleted([]Chunk{c}, gone)
		require.NoError(t, err)
		require.Len(t, rest, 1)
		sub, err := downsample.AggrChunk(rest[0].Data).Get(kind)
		require.NoError(t, err)
		for it := sub.Iterator(nil); it.Next() != chunkenc.ValNone; {
			ts, v := it.At()
			out = append(out, fmt.Sprintf("%d:%v", ts/300_000, v))
		}
		return out
	}
	middle := tombstones.Interval{Mint: 300_000, Maxt: 599_999}
	tail := tombstones.Interval{Mint: 900_000, Maxt: 1_199_999}
	require.Equal(t, []string{"0:0", "2:2", "3:3"}, read(downsample.AggrCount, middle))
	require.Equal(t, []string{"0:0", "2:2", "3:3", "3:77"}, read(downsample.AggrCounter, middle))
	require.Equal(t, []string{"0:0", "1:1", "2:2", "2:2"}, read(downsample.AggrCounter, tail))
	require.Equal(t, []string{"0:0", "1:1", "2:2"}, read(downsample.AggrMax, tail))

	h := chunkenc.NewFloatHistogramChunk()
	app, err := h.Appender()
	require.NoError(t, err)
	for i := range int64(4) {
		_, _, app, err = app.AppendFloatHistogram(nil, i*300_000+299_999, tsdbutil.GenerateTestFloatHistogram(i), true)
		require.NoError(t, err)
	}
	c.Data = downsample.EncodeAggrChunk([5]chunkenc.Chunk{chunk(false), h, nil, nil, h}).Bytes()
	rest, err := withoutDeleted([]Chunk{c}, tombstones.Intervals{middle})
	require.NoError(t, err)
	sub, err := downsample.AggrChunk(rest[0].Data).Get(downsample.AggrSum)
	require.NoError(t, err)
	require.Equal(t, 3, sub.NumSamples())
	_, err = withoutDeleted([]Chunk{{MinTime: 0, MaxTime: 10, Encoding: downsample.ChunkEncAggr, Data: []byte{9, 9}}}, tombstones.Intervals{{Mint: 5, Maxt: 6}})
	require.ErrorIs(t, err, errDamaged)
}
