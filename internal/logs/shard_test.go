package logs

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Queriers of different builds may work on one query: which shard a stream is in may never change.
func TestShardsAreForEver(t *testing.T) {
	for pod, want := range []int{1, 3, 3, 3, 6} {
		ls := labels.FromStrings("app", "shop", "pod", fmt.Sprint(pod))
		for i := range 7 {
			require.Equal(t, i == want, Shard{i, 7}.Has(ls), "pod %d, shard %d", pod, i)
		}
		require.True(t, Shard{}.Has(ls))
		require.True(t, Shard{0, 1}.Has(ls))
	}
}

// Streams must spread: a shard that has most of them is as slow as all.
func TestShardsAreEven(t *testing.T) {
	const n, of = 7000, 7
	counts := make([]int, of)
	for pod := range n {
		ls := labels.FromStrings("app", "shop", "pod", fmt.Sprint(pod))
		for i := range of {
			if (Shard{i, of}).Has(ls) {
				counts[i]++
			}
		}
	}
	sum := 0
	for _, c := range counts {
		sum += c
		require.InDelta(t, n/of, c, n/of/5)
	}
	require.Equal(t, n, sum)
}

// checkEstimate: an estimate is never below the truth where it has to be above, and none without limits of
// time or shard.
func checkEstimate(t *rapid.T, name string, s Select, rows []modelRow, got Source) {
	e, err := got.Estimate(context.Background(), "t", s)
	require.NoError(t, err)
	if len(rows) > 0 {
		require.Positive(t, e.Pages, "%s: %+v", name, s)
		require.Positive(t, e.Streams, "%s: %+v", name, s)
	}
	bytes := int64(0)
	for _, r := range rows {
		bytes += int64(len(r.Line))
	}
	if s.Start <= 0 && s.End > 80 {
		require.GreaterOrEqual(t, e.Rows, int64(len(rows)), "%s: %+v", name, s)
		require.GreaterOrEqual(t, e.Bytes, bytes, "%s: %+v", name, s)
	}
}

func TestEstimate(t *testing.T) {
	var entries []Entry
	for i := range int64(1000) {
		entries = append(entries, Entry{Timestamp: i, Line: fmt.Sprintf("line %04d", i)})
	}
	h := headOf(&Batch{Streams: []Stream{{Labels: labels.FromStrings("app", "a"), Entries: entries},
		{Labels: labels.FromStrings("app", "b"), Entries: entries}}})
	b, obj := blockOf(t, h, BlockOptions{PageRows: 100})
	b.streams.at(0)
	reads := obj.reads.Load()
	a := []Matcher{{labels.MatchEqual, "app", "a"}}
	all, err := b.Estimate(t.Context(), Select{Start: 0, End: 1000})
	require.NoError(t, err)
	all.PageSeconds = math.Round(all.PageSeconds*1e12) / 1e12
	require.Equal(t, Estimate{Blocks: 1, Pages: 20, Streams: 2, Rows: 2000, Bytes: 18_000, StoredBytes: b.r.Size(), Runs: 20, PageSeconds: 1980e-9}, all)
	one, err := b.Estimate(t.Context(), Select{Start: 0, End: 1000, Matchers: a})
	require.NoError(t, err)
	one.PageSeconds = math.Round(one.PageSeconds*1e12) / 1e12
	require.Equal(t, Estimate{Blocks: 1, Pages: 10, Streams: 1, Rows: 1000, Bytes: 9000, StoredBytes: b.r.Size() / 2, Runs: 10, PageSeconds: 990e-9}, one)
	part, err := b.Estimate(t.Context(), Select{Start: 0, End: 150, Matchers: a})
	require.NoError(t, err)
	require.EqualValues(t, 2, part.Pages)
	require.EqualValues(t, 150, part.Rows)
	require.Equal(t, reads, obj.reads.Load(), "an estimate reads nothing")
	recent, err := h.Estimate(t.Context(), Select{Start: 0, End: 1000, Matchers: a})
	require.NoError(t, err)
	require.EqualValues(t, 1000, recent.Rows)
	require.Zero(t, recent.StoredBytes, "what is in memory is not read from the bucket")
	none, err := b.Estimate(t.Context(), Select{Start: 5000, End: 6000})
	require.NoError(t, err)
	require.Zero(t, none)
}
