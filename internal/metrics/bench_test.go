package metrics

import (
	"cmp"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
)

func benchSeries(n int) []Series {
	out := make([]Series, n)
	for i := range out {
		out[i] = Series{Labels: labels.FromStrings("__name__", "http_requests_total", "cluster", "eu-west-1",
			"instance", fmt.Sprintf("10.0.%d.%d:9090", i/256, i%256), "job", fmt.Sprintf("job-%d", i%20), "method", "GET",
			"namespace", "checkout", "pod", fmt.Sprintf("checkout-7d9f8b6c5-%06d", i), "status", "200"), Samples: make([]Sample, 1)}
	}
	return out
}

func benchHeads(b *testing.B, sync bool, bkt objstore.Bucket) *Heads {
	b.Helper()
	opts := HeadOptions{Dir: b.TempDir(), Config: DefaultConfig(), Bucket: bkt, Logger: slog.New(slog.DiscardHandler),
		Registerer: prometheus.NewRegistry(), SyncAlways: sync}
	opts.Config.MaxFuture = 0
	h, err := OpenHeads(b.Context(), opts)
	require.NoError(b, err)
	b.Cleanup(func() { _ = h.Close() })
	return h
}

// One batch of 2000 series with a sample each, as a remote write request brings it.
func BenchmarkAppend(b *testing.B) {
	for _, mode := range []string{"always", "interval"} {
		b.Run("sync="+mode, func(b *testing.B) {
			h := benchHeads(b, mode == "always", nil)
			series := benchSeries(2000)
			b.ReportAllocs()
			ts := testNow.UnixMilli()
			for b.Loop() {
				ts += 15_000
				for i := range series {
					series[i].Samples[0] = Sample{T: ts, V: float64(ts)}
				}
				if _, err := h.Append(b.Context(), "a", &Batch{Series: series}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*len(series))/b.Elapsed().Seconds(), "samples/s")
		})
	}
}

// Writers of small batches share syncs.
func BenchmarkAppendParallel(b *testing.B) {
	h := benchHeads(b, true, nil)
	b.SetParallelism(16)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		series := []Series{{Labels: labels.FromStrings("__name__", "m", "w", fmt.Sprintf("%p", pb)), Samples: make([]Sample, 1)}}
		ts := testNow.UnixMilli()
		for pb.Next() {
			ts += 1000
			series[0].Samples[0] = Sample{T: ts, V: 1}
			if _, err := h.Append(b.Context(), "a", &Batch{Series: series}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// sum by (job) (rate()) over 30 minutes of 1000 series, from the head and from a block.
func BenchmarkQueryRange(b *testing.B) {
	bkt := objstore.NewInMemBucket()
	h := benchHeads(b, false, bkt)
	series := benchSeries(1000)
	for step := range 120 {
		for i := range series {
			series[i].Samples[0] = Sample{T: at(time.Duration(step) * 15 * time.Second), V: float64(step * i)}
		}
		if _, err := h.Append(b.Context(), "a", &Batch{Series: series}); err != nil {
			b.Fatal(err)
		}
	}
	q := &Query{Kind: Range, Expr: "sum by (job) (rate(http_requests_total[5m]))", Start: at(0), End: at(30 * time.Minute), Step: 15_000}
	e := newTestEngine()
	run := func(name string, src Source) {
		for _, engine := range []string{PrometheusEngine, ""} {
			b.Run(name+"/engine="+cmp.Or(engine, "default"), func(b *testing.B) {
				q.Engine = engine
				b.ReportAllocs()
				for b.Loop() {
					r, err := e.Run(b.Context(), "a", q, src)
					if err != nil || len(r.Value.(promql.Matrix)) != 20 {
						b.Fatal(err)
					}
				}
			})
		}
	}
	run("head", h)
	require.NoError(b, h.Flush(b.Context()))
	s := newTestStoreIn(b, b.TempDir(), bkt)
	defer s.Close()
	require.NoError(b, s.Refresh(b.Context()))
	run("block", s)
}

func BenchmarkFromOTLP(b *testing.B) {
	md := otlpMetrics()
	ms := md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics()
	for ms.Len() < 500 {
		ms.At(ms.Len() % 5).CopyTo(ms.AppendEmpty())
	}
	cfg := DefaultOTLPConfig()
	b.ReportAllocs()
	for b.Loop() {
		if _, rejected, err := FromOTLP(b.Context(), md, cfg); err != nil || len(rejected) > 0 {
			b.Fatal(err, rejected)
		}
	}
	b.ReportMetric(float64(b.N*md.DataPointCount())/b.Elapsed().Seconds(), "points/s")
}
