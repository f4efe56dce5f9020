package prometheus

import (
	"fmt"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// benchSeries is a request as Prometheus sends it: 2000 series with a sample each.
const benchSeries = 2000

func benchLabels(i int) []prompb.Label {
	return pairs("__name__", "http_request_duration_seconds_bucket", "cluster", "eu-west-1", "instance", fmt.Sprintf("10.0.%d.%d:9090", i/256, i%256),
		"job", "kubernetes-pods", "le", "0.25", "method", "GET", "namespace", "checkout", "pod", fmt.Sprintf("checkout-7d9f8b6c5-%05d", i), "status", "200")
}

func BenchmarkDecodeV1(b *testing.B) {
	var req prompb.WriteRequest
	for i := range benchSeries {
		req.Timeseries = append(req.Timeseries, series(benchLabels(i), prompb.Sample{Value: float64(i), Timestamp: 1772362800000}))
	}
	benchDecode(b, marshalV1(b, req), (*decoder).decodeV1)
}

func BenchmarkDecodeV2(b *testing.B) {
	symbols := writev2.NewSymbolTable()
	var req writev2.Request
	builder := labels.NewScratchBuilder(10)
	for i := range benchSeries {
		ls := (&prompb.TimeSeries{Labels: benchLabels(i)}).ToLabels(&builder, nil)
		req.Timeseries = append(req.Timeseries, writev2.TimeSeries{LabelsRefs: symbols.SymbolizeLabels(ls, nil),
			Samples: []writev2.Sample{{Value: float64(i), Timestamp: 1772362800000}}})
	}
	req.Symbols = symbols.Symbols()
	benchDecode(b, marshalV2(b, req), (*decoder).decodeV2)
}

func benchDecode(b *testing.B, data []byte, decode func(*decoder, []byte) error) {
	cache := newLabelCache(maxCachedLabels)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		d := getDecoder(cache)
		if err := decode(d, data); err != nil {
			b.Fatal(err)
		}
		if len(d.batch.Series) != benchSeries {
			b.Fatal(len(d.batch.Series))
		}
		d.put()
	}
	b.ReportMetric(float64(b.N)*benchSeries/b.Elapsed().Seconds(), "samples/s")
}
