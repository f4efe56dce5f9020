package main

import (
	"fmt"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// perRequest is what Prometheus puts into a request by default.
const perRequest = 2000

// generator makes the requests of a Prometheus with that many series: ten labels, of a thousand targets.
type generator struct {
	version     string
	contentType string
	series      []labels.Labels
	values      []float64
}

func newGenerator(n int, version string) *generator {
	g := &generator{version: version, contentType: "application/x-protobuf", series: make([]labels.Labels, n), values: make([]float64, n)}
	if version == "2.0" {
		g.contentType = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
	}
	for i := range g.series {
		target := i % 1000
		g.series[i] = labels.FromStrings("__name__", fmt.Sprintf("http_server_requests_%02d_total", i/1000%40), "cluster", "eu-west-1",
			"instance", fmt.Sprintf("10.0.%d.%d:9090", target/256, target%256), "job", fmt.Sprintf("job-%d", target%20), "method", "GET",
			"namespace", "checkout", "path", fmt.Sprintf("/api/v1/orders/%d", i/40_000), "pod", fmt.Sprintf("checkout-7d9f8b6c5-%05d", target),
			"region", "eu", "status", "200")
	}
	return g
}

// round returns the bodies of requests with one sample of each series.
func (g *generator) round(at time.Time) ([][]byte, error) {
	var out [][]byte
	for first := 0; first < len(g.series); first += perRequest {
		last := min(first+perRequest, len(g.series))
		for i := first; i < last; i++ {
			g.values[i] += float64(i % 17)
		}
		encode := g.v1
		if g.version == "2.0" {
			encode = g.v2
		}
		body, err := encode(first, last, at.UnixMilli())
		if err != nil {
			return nil, err
		}
		out = append(out, snappy.Encode(nil, body))
	}
	return out, nil
}

func (g *generator) v1(first, last int, t int64) ([]byte, error) {
	req := prompb.WriteRequest{}
	for i := first; i < last; i++ {
		req.Timeseries = append(req.Timeseries, prompb.TimeSeries{Labels: prompb.FromLabels(g.series[i], nil), Samples: []prompb.Sample{{Value: g.values[i], Timestamp: t}}})
	}
	return req.Marshal()
}

func (g *generator) v2(first, last int, t int64) ([]byte, error) {
	symbols := writev2.NewSymbolTable()
	req := writev2.Request{}
	for i := first; i < last; i++ {
		req.Timeseries = append(req.Timeseries, writev2.TimeSeries{LabelsRefs: symbols.SymbolizeLabels(g.series[i], nil),
			Samples: []writev2.Sample{{Value: g.values[i], Timestamp: t}}, Metadata: writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_COUNTER, HelpRef: symbols.Symbolize("Requests.")}})
	}
	req.Symbols = symbols.Symbols()
	return req.Marshal()
}
