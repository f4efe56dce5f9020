package metrics

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
)

// Twenty hours of a tenant's life under a clock of ours: the TSDB cuts its head every two hours, blocks
// are shipped, local copies are deleted, the process restarts now and then. At every hour the same
// query over all of the past has the right answer.
func TestTwentyHours(t *testing.T) {
	const series, hours, step = 3, 20, time.Minute
	start := testNow.Add(-11 * time.Hour)
	now, clock := start, newMovingClock() // the TSDB looks at the clock by itself, too
	clock.ms.Store(start.UnixMilli())
	dir, bkt := t.TempDir(), objstore.NewInMemBucket()
	open := func() *Heads {
		opts := quickOptions(t, dir, bkt)
		opts.Now = clock.now
		h, err := OpenHeads(t.Context(), opts)
		require.NoError(t, err)
		return h
	}
	h := open()
	store := newTestStore(t, bkt)
	e := newTestEngine()
	samples := 0
	for hour := 1; hour <= hours; hour++ {
		for ; now.Before(start.Add(time.Duration(hour) * time.Hour)); now = now.Add(step) {
			clock.ms.Store(now.UnixMilli())
			var b Batch
			for i := range series {
				b.Series = append(b.Series, floats(fmt.Sprint("m", i), Sample{T: now.UnixMilli(), V: 1}))
			}
			if samples%30 == 29 { // a straggler, in a place of its own
				b.Series = append(b.Series, floats("late", Sample{T: now.Add(-40 * time.Minute).UnixMilli(), V: 1}))
			}
			r, err := h.Append(t.Context(), "a", &b)
			require.NoError(t, err)
			require.Empty(t, r.Rejected)
			samples++
		}
		clock.ms.Store(now.UnixMilli())
		head := h.tenants["a"]
		require.NoError(t, head.db.Compact(t.Context()))
		require.NoError(t, head.maintain(t.Context()))
		if hour%6 == 5 {
			require.NoError(t, h.Close())
			h = open()
		}
		require.NoError(t, store.Refresh(t.Context()))
		r, err := e.Run(t.Context(), "a", &Query{Kind: Read, Start: MinTime, End: MaxTime,
			Matchers: [][]Matcher{{{Name: "job", Value: "test"}}}}, h, store)
		require.NoError(t, err)
		got := map[string]int{}
		for set := NewSeriesSet(r.Raw, nil); set.Next(); {
			n := 0
			for it := set.At().Iterator(nil); it.Next() != chunkenc.ValNone; {
				n++
			}
			got[set.At().Labels().Get(labels.MetricName)] = n
		}
		for i := range series {
			require.Equal(t, samples, got[fmt.Sprint("m", i)], "hour %d", hour)
		}
		require.Equal(t, samples/30, got["late"], "hour %d", hour)
	}
	require.Less(t, len(h.tenants["a"].db.Blocks()), len(store.Blocks("a")), "old local copies are gone")
	require.NoError(t, h.Close())
}
