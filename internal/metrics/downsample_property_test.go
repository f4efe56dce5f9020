package metrics

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/block/metadata"
	"github.com/thanos-io/thanos/pkg/compact/downsample"
	"pgregory.net/rapid"
)

// Random series of seven hours with gaps, stale markers and resets, floats and native histograms: sums,
// minima and maxima of whole windows are the same from downsampled data, and counters grow by the same.
func TestDownsampledEqualsRaw(t *testing.T) {
	t.Parallel()
	e := newTestEngine()
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "round")
		require.NoError(rt, err)
		bkt := objstore.NewInMemBucket()
		opts := quickOptions(t, dir+"/head", bkt)
		opts.Config.BlockRange *= 24
		h, err := OpenHeads(testContext, opts)
		require.NoError(rt, err)
		defer h.Close()
		start, hours := testNow.Truncate(48*time.Hour).UnixMilli(), int64(7)
		gauge, counter := floats("gauge"), floats("counter_total")
		hist := Series{Labels: labels.FromStrings(labels.MetricName, "h", "job", "test")}
		step := rapid.Int64Range(60_000, 290_000).Draw(rt, "step")
		// A seed and not each value is drawn: thousands of draws take longer than the test.
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		total := 0.0
		for ts := start; ts < start+hours*3_600_000; ts += step {
			n := rnd.IntN(41)
			switch {
			case n == 0: // a gap
				gauge.Samples = append(gauge.Samples, Sample{T: ts, V: math.Float64frombits(value.StaleNaN)})
				ts += rnd.Int64N(3_600_000)
				continue
			case n == 1:
				total = 0
			}
			total += float64(n)
			gauge.Samples = append(gauge.Samples, Sample{T: ts, V: float64(n)})
			counter.Samples = append(counter.Samples, Sample{T: ts, V: total})
			hist.Histograms = append(hist.Histograms, HistogramSample{T: ts, FH: tsdbutil.GenerateTestGaugeFloatHistogram(int64(n))})
		}
		r, err := h.Append(testContext, "a", &Batch{Series: []Series{counter, gauge, hist}})
		require.NoError(rt, err)
		require.Empty(rt, r.Rejected)
		require.NoError(rt, h.Flush(testContext))
		b := tenantBucket(bkt, "a")
		ids, err := listBlocks(testContext, b)
		require.NoError(rt, err)
		store := newTestStoreIn(t, dir+"/store", bkt)
		defer store.Close()
		shop := newShop(t, bkt, 0)
		for _, id := range ids {
			m, err := readMeta(testContext, b, id)
			require.NoError(rt, err)
			tenant, err := shop.list(testContext, "a")
			require.NoError(rt, err)
			require.NoError(rt, shop.do(testContext, tenant, compaction{inputs: []*metadata.Meta{m}, resolution: downsample.ResLevel1, labels: m.Thanos.Labels}))
		}
		require.NoError(rt, store.Refresh(testContext))
		from, to := start+2*3_600_000-1, start+hours*3_600_000-1
		ask := func(expr string, resolution int64) promql.Matrix {
			r, err := e.Run(context.Background(), "a", &Query{Kind: Range, Expr: expr, Start: from, End: to, Step: 1_800_000, MaxResolution: resolution}, store)
			require.NoError(rt, err)
			return r.Value.(promql.Matrix)
		}
		for _, expr := range append([]string{"histogram_count(sum_over_time(h[1h]))"}, downsampledQueries...) {
			raw, coarse := ask(expr, 0), ask(expr, downsample.ResLevel1)
			require.Equal(rt, len(raw), len(coarse), expr)
			for i := range raw {
				require.Equal(rt, len(raw[i].Floats), len(coarse[i].Floats), expr)
				for j, p := range raw[i].Floats {
					require.Equal(rt, p.T, coarse[i].Floats[j].T, expr)
					require.InDelta(rt, p.F, coarse[i].Floats[j].F, 1e-6*math.Abs(p.F), "%s at %d", expr, p.T)
				}
			}
		}
		raw, coarse := increases(rt, e, 0, from, to, store), increases(rt, e, downsample.ResLevel1, from, to, store)
		var sums [2]float64
		for i, list := range [][]float64{raw, coarse} {
			for _, v := range list {
				sums[i] += v
			}
		}
		require.InDelta(rt, sums[0], sums[1], 0.15*sums[0]+100, fmt.Sprint(raw, coarse))
	})
}
