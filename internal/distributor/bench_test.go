package distributor

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/traces"
)

// sink is the cheapest ingester: what is measured is the distributor.
type sink struct{}

func (sink) PushMetrics(context.Context, string, *metrics.Batch) (metrics.PushResult, error) {
	return metrics.PushResult{}, nil
}
func (sink) PushLogs(context.Context, string, *logs.Batch) (logs.PushResult, error) {
	return logs.PushResult{}, nil
}
func (sink) PushTraces(context.Context, string, *traces.Batch) (traces.PushResult, error) {
	return traces.PushResult{}, nil
}

func BenchmarkPushMetrics(b *testing.B) {
	f := newFixture(b, nil)
	f.Distributor.ingester = sink{}
	all := make([]metrics.Series, 1000)
	for i := range all {
		all[i] = series(labels.FromStrings("__name__", "http_requests_total", "job", "api", "instance", fmt.Sprint("10.0.0.", i),
			"method", "GET", "code", "200", "path", "/api/v1/things"), sample(now, 1))
	}
	batch := metrics.Batch{Series: make([]metrics.Series, len(all))}
	b.ReportAllocs()
	for b.Loop() {
		batch.Series = batch.Series[:len(all)]
		copy(batch.Series, all)
		if _, err := f.PushMetrics(as("t1"), &batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*float64(len(all))/b.Elapsed().Seconds(), "samples/s")
}

func BenchmarkPushLogs(b *testing.B) {
	f := newFixture(b, nil)
	f.Distributor.ingester = sink{}
	all := make([]logs.Entry, 1000)
	size := 0
	for i := range all {
		all[i] = line(now.Add(time.Duration(i)*time.Millisecond),
			fmt.Sprintf(`level=info ts=2026-05-01T12:00:00Z caller=http.go:%d msg="request served" method=GET path=/api/v1/things status=200 duration=%dms`, i, i),
			logs.Label{Name: "trace_id", Value: "0af7651916cd43dd8448eb211c80319c"})
		size += len(all[i].Line)
	}
	lbls := labels.FromStrings("app", "api", "namespace", "shop", "pod", "api-5d9f", "service_name", "api")
	entries := make([]logs.Entry, len(all))
	streams := make([]logs.Stream, 1)
	b.ReportAllocs()
	b.SetBytes(int64(size))
	for b.Loop() {
		copy(entries, all)
		streams[0] = logs.Stream{Labels: lbls, Entries: entries}
		batch := logs.Batch{Streams: streams}
		if _, err := f.PushLogs(as("t1"), &batch); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPushTraces(b *testing.B) {
	f := newFixture(b, nil)
	f.Distributor.ingester = sink{}
	ids := make([]byte, 200)
	for i := range ids {
		ids[i] = byte(i%250 + 1)
	}
	data := spans(b, ids, now)
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := f.PushTraces(as("t1"), &traces.Batch{OTLP: data}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*float64(len(ids))/b.Elapsed().Seconds(), "spans/s")
}
