package metrics

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"go.uber.org/goleak"

	"github.com/hune-io/hune/internal/fault"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// A round of the property test opens three databases: rapid's hundred would take a minute.
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		_ = checks.Value.Set("20")
	}
	// Each flush makes buffers of some 20 MB for files of a few kilobytes, which the collector would run after.
	debug.SetGCPercent(400)
	// The client library of one object storage starts a logger that never ends.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/baidubce/bce-sdk-go/util/log.NewLogger.func1"))
}

func TestAppendAndQuery(t *testing.T) {
	h := openTestHeads(t, testHeadOptions(t, t.TempDir(), nil))
	ih, fh := tsdbutil.GenerateTestHistogram(3), tsdbutil.GenerateTestFloatHistogram(4)
	r := push(t, h, "a",
		floats("up", Sample{T: at(-30 * time.Second), V: 1}, Sample{T: at(0), V: 2}),
		Series{Labels: labels.FromStrings(labels.MetricName, "native"), Histograms: []HistogramSample{{T: at(0), H: ih}}},
		Series{Labels: labels.FromStrings(labels.MetricName, "native_float"), Histograms: []HistogramSample{{T: at(0), FH: fh}}},
		Series{Labels: labels.FromStrings(labels.MetricName, "with_exemplar"), Samples: []Sample{{T: at(0), V: 5}},
			Exemplars: []exemplar.Exemplar{{Labels: labels.FromStrings("trace_id", "abc"), Value: 5, Ts: at(0), HasTs: true}},
			Metadata:  &metadata.Metadata{Type: model.MetricTypeCounter, Help: "help", Unit: "bytes"}},
	)
	require.Equal(t, PushResult{Samples: 3, Histograms: 2, Exemplars: 1}, r)

	require.Equal(t, []string{`{__name__="up", job="test"} 2`}, instant(t, "a", "up", at(0), h))
	require.Equal(t, []string{`{job="test"} 1`}, instant(t, "a", "increase(up[1m]) > bool 0", at(0), h))
	require.Equal(t, []string{"{} " + ih.ToFloat(nil).String()}, instant(t, "a", "sum(native)", at(0), h))
	require.Equal(t, []string{"{} " + fh.String()}, instant(t, "a", "sum(native_float)", at(0), h))

	e := newTestEngine()
	res, err := e.Run(t.Context(), "a", &Query{Kind: Exemplars, Expr: "rate(with_exemplar[5m])", Start: at(-time.Hour), End: at(time.Hour)}, h)
	require.NoError(t, err)
	require.Len(t, res.Exemplars, 1)
	require.Equal(t, "abc", res.Exemplars[0].Exemplars[0].Labels.Get("trace_id"))

	res, err = e.Run(t.Context(), "a", &Query{Kind: Metadata}, h)
	require.NoError(t, err)
	require.Equal(t, map[string][]metadata.Metadata{"with_exemplar": {{Type: model.MetricTypeCounter, Help: "help", Unit: "bytes"}}}, res.Metadata)

	res, err = e.Run(t.Context(), "a", &Query{Kind: LabelValues, Label: labels.MetricName, Start: MinTime, End: MaxTime}, h)
	require.NoError(t, err)
	require.Equal(t, []string{"native", "native_float", "up", "with_exemplar"}, res.Strings)

	res, err = e.Run(t.Context(), "a", &Query{Kind: LabelNames, Start: MinTime, End: MaxTime}, h)
	require.NoError(t, err)
	require.Equal(t, []string{labels.MetricName, "job"}, res.Strings)

	res, err = e.Run(t.Context(), "a", &Query{Kind: SeriesKind, Start: MinTime, End: MaxTime,
		Matchers: [][]Matcher{{{Type: labels.MatchEqual, Name: "job", Value: "test"}}, {{Type: labels.MatchRegexp, Name: labels.MetricName, Value: "u.*|native"}}}}, h)
	require.NoError(t, err)
	require.Equal(t, []labels.Labels{labels.FromStrings(labels.MetricName, "native"), labels.FromStrings(labels.MetricName, "up", "job", "test")}, res.Series)
}

func TestTenantsDoNotMix(t *testing.T) {
	h := openTestHeads(t, testHeadOptions(t, t.TempDir(), nil))
	push(t, h, "a", floats("up", Sample{T: at(0), V: 1}))
	push(t, h, "b", floats("up", Sample{T: at(0), V: 2}))
	require.Equal(t, []string{`{__name__="up", job="test"} 1`}, instant(t, "a", "up", at(0), h))
	require.Equal(t, []string{`{__name__="up", job="test"} 2`}, instant(t, "b", "up", at(0), h))
	require.Empty(t, instant(t, "c", "up", at(0), h))
	require.Equal(t, []string{"a", "b"}, h.Tenants(), "asking creates no tenant")
	_, err := h.Append(t.Context(), "../x", &Batch{})
	require.Equal(t, fault.Invalid, fault.ClassOf(err))
}

func TestRejections(t *testing.T) {
	old := func(o *HeadOptions) {}
	strict := func(o *HeadOptions) { o.Config.OutOfOrderWindow = 0 }
	limited := func(o *HeadOptions) { o.MaxSeries = func(string) int { return 1 } }
	badHistogram := &histogram.Histogram{Count: 1, Sum: 1, PositiveSpans: []histogram.Span{{Length: 2}}, PositiveBuckets: []int64{1}}
	cases := []struct {
		name    string
		options func(*HeadOptions)
		series  []Series
		reason  string
		text    string
		stored  int
	}{
		{"too old", old, []Series{floats("m", Sample{T: at(-61 * time.Minute), V: 1})}, "too_old", "out-of-order window of 1h", 0},
		{"out of order within the window", old, []Series{floats("m", Sample{T: at(-10 * time.Minute), V: 1})}, "", "", 1},
		{"out of order without a window", strict, []Series{floats("m", Sample{T: at(-10 * time.Minute), V: 1})}, "out_of_order", "out of order sample", 0},
		{"out of order within the batch", strict, []Series{floats("n", Sample{T: at(0), V: 1}, Sample{T: at(-time.Minute), V: 2})}, "out_of_order", "out of order sample", 1},
		{"duplicate with another value", old, []Series{floats("m", Sample{T: at(0), V: 3})}, "duplicate_timestamp", "duplicate sample for timestamp", 0},
		{"duplicate with the same value", old, []Series{floats("m", Sample{T: at(0), V: 1})}, "", "", 1},
		{"duplicate within the batch", old, []Series{floats("n", Sample{T: at(0), V: 1}, Sample{T: at(0), V: 2})}, "duplicate_timestamp", "duplicate sample", 1},
		{"out of order in another entry of the batch", strict, []Series{floats("n", Sample{T: at(0), V: 1}), floats("n", Sample{T: at(-time.Minute), V: 2})}, "out_of_order", "out of order sample", 1},
		{"duplicate in another entry of the batch", old, []Series{floats("n", Sample{T: at(0), V: 1}), floats("n", Sample{T: at(0), V: 2})}, "duplicate_timestamp", "duplicate sample", 1},
		{"another start in another entry of the batch", old, []Series{floats("n", Sample{T: at(0), V: 1}), floats("n", Sample{Start: at(time.Second), T: at(time.Minute), V: 2})}, "", "", 2},
		{"future", old, []Series{floats("m", Sample{T: at(time.Hour), V: 3})}, "too_far_in_future", "more than 10m ahead", 0},
		{"series limit", limited, []Series{floats("m", Sample{T: at(time.Second), V: 1}), floats("n", Sample{T: at(0), V: 3})}, "series_limit", "per-user series limit of 1 exceeded", 1},
		{"duplicate label", old, []Series{{Labels: labels.FromStrings("__name__", "x", "a", "1", "a", "2"), Samples: []Sample{{T: at(0)}}}}, "invalid_labels", "not unique", 0},
		{"bad histogram", old, []Series{{Labels: labels.FromStrings("__name__", "x"), Histograms: []HistogramSample{{T: at(0), H: badHistogram}}}}, "invalid_histogram", "span", 0},
		{"no histogram", old, []Series{{Labels: labels.FromStrings("__name__", "x"), Histograms: []HistogramSample{{T: at(0)}}}}, "invalid_sample", "without a histogram", 0},
		{"exemplar without series", old, []Series{{Labels: labels.FromStrings("__name__", "x"), Exemplars: []exemplar.Exemplar{{Ts: at(0)}}}}, "exemplar_without_series", "no sample", 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			opts := testHeadOptions(t, t.TempDir(), nil)
			c.options(&opts)
			h := openTestHeads(t, opts)
			push(t, h, "a", floats("m", Sample{T: at(0), V: 1}))
			r := push(t, h, "a", c.series...)
			require.Equal(t, c.stored, r.Samples)
			if c.reason == "" {
				require.Empty(t, r.Rejected)
				return
			}
			require.Len(t, r.Rejected, 1)
			require.Equal(t, c.reason, r.Rejected[0].Reason)
			require.Equal(t, 1, r.Rejected[0].Count)
			require.Contains(t, r.Rejected[0].Message, c.text)
			require.Contains(t, r.Rejected[0].Message, "__name__=", "names the series")
		})
	}
}

func TestReopenKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	opts := testHeadOptions(t, dir, nil)
	h := openTestHeads(t, opts)
	push(t, h, "a", floats("m", Sample{T: at(0), V: 1}),
		Series{Labels: labels.FromStrings(labels.MetricName, "m2"), Metadata: &metadata.Metadata{Type: "gauge", Help: "x"}})
	push(t, h, "a", floats("m", Sample{T: at(-30 * time.Minute), V: 7})) // out of order
	require.NoError(t, h.Close())
	require.NoError(t, h.Close(), "closing twice is fine")
	_, err := h.Append(t.Context(), "a", &Batch{})
	require.Equal(t, fault.Unavailable, fault.ClassOf(err))

	opts = testHeadOptions(t, dir, nil)
	h = openTestHeads(t, opts)
	require.Equal(t, []string{`{__name__="m", job="test"} 1`}, instant(t, "a", "m", at(0), h))
	require.Equal(t, []string{`{__name__="m", job="test"} 7`}, instant(t, "a", "m", at(-29*time.Minute), h))
	md, err := h.Metadata(t.Context(), "a", "m2", 0)
	require.NoError(t, err)
	require.Len(t, md, 1)
}

func TestBatchWithoutOutOfOrder(t *testing.T) {
	h := openTestHeads(t, testHeadOptions(t, t.TempDir(), nil))
	push(t, h, "a", floats("m", Sample{T: at(0), V: 1}))
	r, err := h.Append(t.Context(), "a", &Batch{DiscardOutOfOrder: true, Series: []Series{
		floats("m", Sample{T: at(-time.Minute), V: 2}, Sample{T: at(time.Second), V: 3}, Sample{T: at(0), V: 4})}})
	require.NoError(t, err)
	require.Equal(t, 1, r.Samples)
	require.Equal(t, "out_of_order", r.Rejected[0].Reason)
	require.Equal(t, 2, r.Rejected[0].Count)
	require.Equal(t, []string{`{job="test"} 2`}, instant(t, "a", "count_over_time(m[5m])", at(time.Second), h))
}

// A limit that is lowered between two runs refuses new series and costs no old one.
func TestSeriesLimitSparesTheReplay(t *testing.T) {
	dir := t.TempDir()
	h := openTestHeads(t, testHeadOptions(t, dir, nil))
	for i := range 5 {
		push(t, h, "a", floats(fmt.Sprint("m", i), Sample{T: at(0), V: 1}))
	}
	require.NoError(t, h.Close())
	opts := testHeadOptions(t, dir, nil)
	opts.MaxSeries = func(string) int { return 2 }
	h = openTestHeads(t, opts)
	require.Len(t, instant(t, "a", `{job="test"}`, at(0), h), 5)
	r := push(t, h, "a", floats("m6", Sample{T: at(0), V: 1}), floats("m1", Sample{T: at(time.Second), V: 1}))
	require.Equal(t, 1, r.Samples)
	require.Equal(t, "series_limit", r.Rejected[0].Reason)
}

func TestFlushShipsAndStoreAnswers(t *testing.T) {
	t.Parallel()
	bkt := objstore.NewInMemBucket()
	opts := testHeadOptions(t, t.TempDir(), bkt)
	h := openTestHeads(t, opts)
	// Two block ranges, and out-of-order data.
	push(t, h, "a", floats("m", Sample{T: at(-3 * time.Hour), V: 1}))
	push(t, h, "a", floats("m", Sample{T: at(0), V: 2}))
	push(t, h, "a", floats("m", Sample{T: at(-10 * time.Minute), V: 3}))
	require.NoError(t, h.Flush(t.Context()))
	require.Zero(t, h.tenants["a"].db.Head().NumSeries())

	s := newTestStore(t, bkt)
	require.NoError(t, s.Refresh(t.Context()))
	blocks := s.Blocks("a")
	require.Len(t, blocks, 3)
	for _, b := range blocks {
		require.Empty(t, b.Bad)
		require.Equal(t, map[string]string{"tenant": "a", "replica": "0"}, b.Meta.Thanos.Labels)
		require.LessOrEqual(t, b.Meta.MaxTime-b.Meta.MinTime, (2 * time.Hour).Milliseconds())
	}
	for _, sources := range [][]Source{{h}, {s}, {h, s}} {
		require.Equal(t, []string{`{job="test"} 3`}, instant(t, "a", "count_over_time(m[4h])", at(0), sources...))
		require.Equal(t, []string{`{job="test"} 6`}, instant(t, "a", "sum_over_time(m[4h])", at(0), sources...))
	}
	require.Empty(t, instant(t, "b", "m", at(0), s))

	// What comes later goes to the head, and a second flush makes no block of old data.
	push(t, h, "a", floats("m", Sample{T: at(time.Minute), V: 4}))
	require.Equal(t, []string{`{job="test"} 4`}, instant(t, "a", "count_over_time(m[4h])", at(time.Minute), h, s))
	require.NoError(t, h.Flush(t.Context()))
	require.NoError(t, h.Flush(t.Context()))
	require.NoError(t, s.Refresh(t.Context()))
	require.Len(t, s.Blocks("a"), 4)
}

// brokenBucket takes no uploads while it is broken.
type brokenBucket struct {
	objstore.Bucket
	broken bool
}

func (b *brokenBucket) Upload(ctx context.Context, name string, r io.Reader, opts ...objstore.ObjectUploadOption) error {
	if b.broken {
		return errors.New("the bucket is down")
	}
	return b.Bucket.Upload(ctx, name, r, opts...)
}

// Without a bucket blocks pile up to a limit, then writes are refused until it takes them.
func TestPendingBlocksAreBounded(t *testing.T) {
	dir, bkt := t.TempDir(), &brokenBucket{Bucket: objstore.NewInMemBucket(), broken: true}
	opts := testHeadOptions(t, dir, bkt)
	opts.Config.MaxPendingBytes = 1
	h := openTestHeads(t, opts)
	push(t, h, "a", floats("m", Sample{T: at(0), V: 1}))
	require.ErrorContains(t, h.Flush(t.Context()), "the bucket is down")
	_, err := h.Append(t.Context(), "b", &Batch{Series: []Series{floats("m", Sample{T: at(0), V: 1})}})
	require.Equal(t, fault.Unavailable, fault.ClassOf(err))
	require.Positive(t, fault.RetryAfter(err))
	bkt.broken = false
	require.NoError(t, h.Flush(t.Context()))
	push(t, h, "b", floats("m", Sample{T: at(0), V: 1}))
}

func TestStartTimestampZero(t *testing.T) {
	opts := testHeadOptions(t, t.TempDir(), nil)
	opts.Config.StartTimestampZero = true
	h := openTestHeads(t, opts)
	push(t, h, "a", floats("c_total", Sample{Start: at(-time.Minute), T: at(0), V: 10}))
	require.Equal(t, []string{`{__name__="c_total", job="test"} 0`}, instant(t, "a", "c_total", at(-time.Second), h))
	require.Equal(t, []string{`{__name__="c_total", job="test"} 10`}, instant(t, "a", "c_total", at(0), h))
}

func TestQueryErrorsAreClassed(t *testing.T) {
	h := openTestHeads(t, testHeadOptions(t, t.TempDir(), nil))
	push(t, h, "a", floats("m", Sample{T: at(0), V: 1}), floats("n", Sample{T: at(0), V: 1}))
	cfg := DefaultConfig().Query
	cfg.MaxSamples = 1
	small := NewEngine(EngineOptions{Config: cfg})
	e := newTestEngine()
	run := func(e *Engine, q Query) fault.Class {
		_, err := e.Run(t.Context(), "a", &q, h)
		require.Error(t, err)
		return fault.ClassOf(err)
	}
	require.Equal(t, fault.Invalid, run(e, Query{Kind: Instant, Expr: "sum("}))
	require.Equal(t, fault.Invalid, run(e, Query{Kind: Range, Expr: "m"}))
	require.Equal(t, fault.Invalid, run(e, Query{Kind: "other"}))
	require.Equal(t, fault.Unprocessable, run(small, Query{Kind: Instant, Expr: `{job="test"}`, Start: at(0), End: at(0)}))
	require.Equal(t, fault.Unprocessable, run(e, Query{Kind: Instant, Expr: `m`, Start: at(0), End: at(0), MaxSamplesBytes: 1}))
	require.Equal(t, fault.Unprocessable, run(e, Query{Kind: Instant, Expr: `{job="test"} / on(job) {job="test"}`, Start: at(0), End: at(0)}))
}

func TestConfigDefaultsAreValid(t *testing.T) {
	require.NoError(t, DefaultConfig().Validate())
	bad := DefaultConfig()
	bad.OutOfOrderWindow = -1
	bad.Query.MaxSamples = 0
	bad.OTLP.TranslationStrategy = "x"
	bad.ExternalLabels = map[string]string{"tenant": "x"}
	err := bad.Validate()
	for _, want := range []string{"metrics.out_of_order_window", "metrics.query.max_samples", "metrics.otlp: translation_strategy", `"tenant" can't be used`} {
		require.ErrorContains(t, err, want)
	}
	require.Equal(t, int64(math.MaxInt64), int64(MaxTime))
}

// An open database costs little before it has data: there is one for each tenant.
func TestIdleTenantIsSmall(t *testing.T) {
	h := openTestHeads(t, testHeadOptions(t, t.TempDir(), nil))
	push(t, h, "warm", floats("m", Sample{T: at(0), V: 1}))
	before := memoryInUse()
	const tenants = 10
	for i := range tenants {
		push(t, h, fmt.Sprint("t", i), floats("m", Sample{T: at(0), V: 1}))
	}
	each := (memoryInUse() - before) / tenants
	t.Logf("%d KiB for each tenant", each>>10)
	require.Less(t, each, int64(3<<20))
}

func memoryInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
