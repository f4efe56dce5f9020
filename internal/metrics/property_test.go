package metrics

import (
	"fmt"
	"math"
	"os"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"pgregory.net/rapid"
)

// randomBatches draws series of floats or native histograms with gaps, stale markers, counter resets and
// samples out of order, in two waves: what comes before a cut and after it.
func randomBatches(t *rapid.T) [][]Series {
	waves := make([][]Series, rapid.IntRange(1, 3).Draw(t, "waves"))
	for i := range rapid.IntRange(1, 4).Draw(t, "series") {
		ls := labels.FromStrings(labels.MetricName, "m", "i", fmt.Sprint(i))
		kind := rapid.IntRange(0, 2).Draw(t, "kind")
		last := at(-50 * time.Minute)
		// Two values at one time are refused only where Prometheus notices; which one wins is open.
		used := map[int64]bool{}
		for w := range waves {
			s := Series{Labels: ls}
			for range rapid.IntRange(0, 40).Draw(t, "samples") {
				// Steps back stay within the out-of-order window of an hour.
				last += rapid.Int64Range(-60_000, 90_000).Draw(t, "step")
				last = min(max(last, at(-50*time.Minute)), at(5*time.Minute))
				if used[last] {
					continue
				}
				used[last] = true
				n := rapid.IntRange(0, 50).Draw(t, "value")
				switch kind {
				case 0:
					v := float64(n)
					if n == 13 {
						v = math.Float64frombits(value.StaleNaN)
					}
					s.Samples = append(s.Samples, Sample{T: last, V: v})
				case 1:
					s.Histograms = append(s.Histograms, HistogramSample{T: last, H: tsdbutil.GenerateTestHistogram(int64(n))})
				default:
					s.Histograms = append(s.Histograms, HistogramSample{T: last, FH: tsdbutil.GenerateTestFloatHistogram(int64(n))})
				}
			}
			waves[w] = append(waves[w], s)
		}
	}
	return waves
}

var propertyQueries = []string{
	"m", "sum(m)", "rate(m[5m])", "count_over_time(m[10m])", "histogram_quantile(0.5, m)", "max_over_time(m[3m] offset 2m)", "m @ end()",
}

// answers runs the queries over a range that holds all samples.
func answers(t require.TestingT, e *Engine, sources ...Source) []string {
	var out []string
	for _, expr := range propertyQueries {
		r, err := e.Run(testContext, "a", &Query{Kind: Range, Expr: expr, Start: at(-time.Hour), End: at(10 * time.Minute), Step: 30_000}, sources...)
		require.NoError(t, err)
		out = append(out, expr+": "+r.Value.String())
	}
	return out
}

// Head, block, head with block, and what compaction makes of blocks: one answer, wherever cuts fall.
func TestHeadEqualsBlocks(t *testing.T) {
	t.Parallel()
	e := newTestEngine()
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "round")
		require.NoError(rt, err)
		reference, err := OpenHeads(testContext, quickOptions(t, dir+"/reference", nil))
		require.NoError(rt, err)
		defer reference.Close()
		bkt := objstore.NewInMemBucket()
		cut, err := OpenHeads(testContext, quickOptions(t, dir+"/cut", bkt))
		require.NoError(rt, err)
		defer cut.Close()
		store := newTestStoreIn(t, dir+"/store", bkt)
		defer store.Close()

		waves := randomBatches(rt)
		for w, wave := range waves {
			for _, h := range []*Heads{reference, cut} {
				r, err := h.Append(testContext, "a", &Batch{Series: wave})
				require.NoError(rt, err)
				require.Empty(rt, r.Rejected)
			}
			if w == len(waves)-1 && rapid.Bool().Draw(rt, "leave the last in the head") {
				break
			}
			require.NoError(rt, cut.Flush(testContext))
			require.NoError(rt, store.Refresh(testContext))
		}
		want := answers(rt, e, reference)
		require.Equal(rt, want, answers(rt, e, cut, store), "head with blocks")
		require.Equal(rt, want, answers(rt, e, cut), "head with local blocks")
		require.NoError(rt, cut.Flush(testContext))
		require.NoError(rt, store.Refresh(testContext))
		require.Equal(rt, want, answers(rt, e, store), "blocks of the bucket alone")

		shop := newShop(t, bkt, 0)
		shop.now = testNow.Add(30 * 24 * time.Hour)
		_, err = shop.Round(testContext, "a")
		require.NoError(rt, err)
		require.NoError(rt, store.Refresh(testContext))
		require.LessOrEqual(rt, len(store.active["a"]), 1)
		require.Equal(rt, want, answers(rt, e, store), "compacted")
	})
}
