package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/compact/downsample"
)

// life is a tenant's metrics under a clock of the test, beside a head that cuts and loses nothing.
type life struct {
	t         *testing.T
	now       time.Time
	shown     movingClock // now, for those who look at it by themselves
	bkt       objstore.Bucket
	dir       string
	heads     *Heads
	reference *Heads
	stores    [2]*BlockStore // that share a bucket: which of them answers, or both, makes no difference
	shop      *shop
	engine    *Engine
}

func newLife(t *testing.T) *life {
	l := &life{t: t, now: day0, bkt: objstore.NewInMemBucket(), dir: t.TempDir(), engine: newTestEngine()}
	l.pass(0)
	open := quickOptions(t, t.TempDir(), nil)
	open.Now = l.clock
	l.reference = openTestHeads(t, open)
	l.restart()
	p := newParty(t, l.bkt, len(l.stores))
	p.owners = func(_ int, block ulid.ULID) []int { return []int{int(block[15]) % len(l.stores)} }
	for i := range l.stores {
		l.stores[i] = p.stores[i]
		l.stores[i].opts.Now = l.clock
	}
	l.shop = newShop(t, l.bkt, 0)
	l.shop.opts.Now, l.shop.opts.DeleteDelay = l.clock, 30*time.Minute
	return l
}

func (l *life) clock() time.Time { return l.shown.now() }

func (l *life) pass(d time.Duration) {
	l.now = l.now.Add(d)
	l.shown.ms.Store(l.now.UnixMilli())
}

// restart ends the process in order and begins it anew.
func (l *life) restart() {
	if l.heads != nil {
		require.NoError(l.t, l.heads.Close())
	}
	opts := quickOptions(l.t, l.dir, l.bkt)
	opts.Now, opts.Logger = l.clock, slog.New(slog.DiscardHandler)
	heads, err := OpenHeads(l.t.Context(), opts)
	require.NoError(l.t, err)
	l.heads = heads
}

// scrape writes what the clock's minute brings: a counter that is reset each seven hours, a gauge with gaps
// that stale markers open, a native histogram, and a straggler now and then.
func (l *life) scrape(minute int) {
	ts := l.now.UnixMilli()
	series := []Series{
		floats("counter_total", Sample{T: ts, V: float64(minute % 420 * 3)}),
		{Labels: labels.FromStrings(labels.MetricName, "h", "job", "test"), Histograms: []HistogramSample{{T: ts, H: tsdbutil.GenerateTestHistogram(int64(minute % 600))}}},
	}
	switch {
	case minute%97 == 60:
		series = append(series, floats("gauge", Sample{T: ts, V: math.Float64frombits(value.StaleNaN)}))
	case minute%97 < 60:
		series = append(series, floats("gauge", Sample{T: ts, V: float64(minute % 13)}))
	}
	if minute%45 == 44 {
		series = append(series, floats("late", Sample{T: l.now.Add(-30 * time.Minute).UnixMilli(), V: float64(minute)}))
	}
	for _, h := range []*Heads{l.heads, l.reference} {
		r, err := h.Append(l.t.Context(), "a", &Batch{Series: series})
		require.NoError(l.t, err)
		require.Empty(l.t, r.Rejected)
	}
}

var lifeQueries = []string{"gauge", "sum(rate(counter_total[10m]))", "histogram_quantile(0.9, sum(rate(h[20m])))", "last_over_time({job=\"test\"}[1h])", "count_over_time(gauge[1h])", "max_over_time(late[2h])"}

func (l *life) answers(resolution int64, queries []string, start, end time.Time, step time.Duration, sources ...Source) (out []string) {
	for _, expr := range queries {
		r, err := l.engine.Run(context.Background(), "a", &Query{Kind: Range, Expr: expr, Start: start.UnixMilli(), End: end.UnixMilli(), Step: step.Milliseconds(), MaxResolution: resolution}, sources...)
		require.NoError(l.t, err)
		for _, w := range r.Warnings.AsErrors() {
			require.NotContains(l.t, w.Error(), "damaged")
		}
		out = append(out, expr+": "+r.Value.String())
	}
	return out
}

// check compares everything that can be asked with the reference.
func (l *life) check(step string) {
	l.t.Helper()
	// A step that wanders through the hours looks at every minute in the end.
	every := 17*time.Minute + 30*time.Second
	want := l.answers(0, lifeQueries, day0, l.now, every, l.reference)
	require.Equal(l.t, want, l.answers(0, lifeQueries, day0, l.now, every, l.heads, l.stores[0]), "%s, after %s", l.now.Sub(day0), step)
	if l.now.Sub(day0)%(6*time.Hour) == 0 {
		require.Equal(l.t, want, l.answers(0, lifeQueries, day0, l.now, every, l.stores[1], l.heads, l.stores[0]), "%s, two stores, after %s", l.now.Sub(day0), step)
	}
}

func (l *life) refresh() {
	for _, s := range l.stores {
		require.NoError(l.t, s.Refresh(l.t.Context()))
	}
}

// do does one step of an hour's work, and everything is answered as before it.
func (l *life) do(step string, f func() error) {
	l.t.Helper()
	require.NoError(l.t, f(), step)
	l.check(step)
}

// Two days of a tenant's life: written each minute, cut every two hours, shipped, merged, restarted. After
// each step, every query is answered as by a head that keeps everything. Then the two days are one block,
// are downsampled, and lose their raw data.
func TestFortyEightHours(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	ctx := t.Context()
	minute := 0
	for hour := 1; hour <= 48; hour++ {
		for range 60 {
			l.pass(time.Minute)
			l.scrape(minute)
			minute++
		}
		l.check("write")
		head := l.heads.tenants["a"]
		l.do("cut", func() error { return head.db.Compact(ctx) })
		l.do("ship", func() error { return head.maintain(ctx) })
		if hour%7 == 3 {
			l.do("restart", func() error { l.restart(); return nil })
		}
		l.do("refresh", func() error { l.refresh(); return nil })
		if hour%3 == 0 {
			// Queries between the two read lists that are older than the bucket.
			l.do("compact", func() error { _, err := l.shop.Round(ctx, "a"); return err })
			l.do("refresh", func() error { l.refresh(); return nil })
		}
	}
	require.Greater(t, len(l.heads.tenants["a"].db.Blocks()), 0)

	// The last hours go to the bucket, the windows are over: the bucket alone has all of it.
	end := l.now
	l.do("flush", func() error { return l.heads.Flush(ctx) })
	l.pass(5 * time.Hour)
	for range 2 {
		_, err := l.shop.Round(ctx, "a")
		require.NoError(t, err)
		l.refresh()
		l.pass(time.Hour) // what was replaced goes
	}
	every := 17*time.Minute + 30*time.Second
	want := l.answers(0, lifeQueries, day0, end, every, l.reference)
	require.Equal(t, want, l.answers(0, lifeQueries, day0, end, every, l.stores[1]))
	l.heads.maintainAll(ctx)
	require.Empty(t, l.heads.Tenants(), "idle")
	require.Equal(t, want, l.answers(0, lifeQueries, day0, end, every, l.heads, l.stores[0]))
	var shape []string
	for _, m := range l.stores[0].active["a"] {
		shape = append(shape, fmt.Sprintf("%s@%s", (time.Duration(m.MaxTime-m.MinTime)*time.Millisecond).Round(time.Hour), time.Duration(m.Thanos.Downsample.Resolution)*time.Millisecond))
	}
	require.Contains(t, shape, "48h0m0s@5m0s", "%v", shape)

	coarse := l.answers(downsample.ResLevel1, downsampledQueries, day0.Add(2*time.Hour-time.Millisecond), end.Add(-2*time.Hour-time.Millisecond), time.Hour, l.stores[0])
	require.Equal(t, l.answers(0, downsampledQueries, day0.Add(2*time.Hour-time.Millisecond), end.Add(-2*time.Hour-time.Millisecond), time.Hour, l.reference), coarse)

	// Raw data are past their retention: queries that asked for them get the coarse ones.
	l.shop.keep = func(resolution int64) time.Duration {
		if resolution == 0 {
			return time.Hour
		}
		return 0
	}
	for range 2 {
		_, err := l.shop.Round(ctx, "a")
		require.NoError(t, err)
		l.pass(time.Hour)
	}
	l.refresh()
	for _, m := range l.stores[0].active["a"] {
		require.Equal(t, int64(downsample.ResLevel1), m.Thanos.Downsample.Resolution)
	}
	require.Equal(t, coarse, l.answers(0, downsampledQueries, day0.Add(2*time.Hour-time.Millisecond), end.Add(-2*time.Hour-time.Millisecond), time.Hour, l.stores[0]))
	require.NoError(t, l.heads.Close())
}

// downsampledQueries have the same answers from raw and from downsampled data, where their ranges are
// windows of the resolution: a window ends a millisecond before the next one begins.
var downsampledQueries = []string{"sum_over_time(gauge[1h])", "min_over_time(gauge[2h])", "max_over_time(gauge[1h])", "max_over_time(counter_total[1h])"}

// increases compares what a counter grew by, which downsampling keeps but for the edges of ranges.
func increases(t require.TestingT, e *Engine, resolution int64, start, end int64, src Source) []float64 {
	r, err := e.Run(context.Background(), "a", &Query{Kind: Range, Expr: "increase(counter_total[1h])", Start: start, End: end, Step: 3_600_000, MaxResolution: resolution}, src)
	require.NoError(t, err)
	var out []float64
	for _, s := range r.Value.(promql.Matrix) {
		for _, p := range s.Floats {
			out = append(out, p.F)
		}
	}
	return out
}
