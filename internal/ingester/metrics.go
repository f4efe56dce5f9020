package ingester

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// columnarMetrics counts what happens to the heads and blocks of one signal.
type columnarMetrics struct {
	cuts, cutFailures, uploads, uploadFailures, quarantined, refused, uploadedBytes prometheus.Counter
	walFloor, replayed                                                              prometheus.Gauge
}

// newColumnarMetrics registers the metrics; reg adds the signal as a label.
func newColumnarMetrics(reg prometheus.Registerer) *columnarMetrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return &columnarMetrics{
		cuts:           counter("hune_ingester_blocks_cut_total", "Blocks written from heads to the local disk."),
		cutFailures:    counter("hune_ingester_block_cut_failures_total", "Attempts to write a block that failed."),
		uploads:        counter("hune_ingester_blocks_uploaded_total", "Blocks uploaded to the bucket and verified."),
		uploadFailures: counter("hune_ingester_block_upload_failures_total", "Attempts to upload a block that failed."),
		quarantined:    counter("hune_ingester_blocks_quarantined_total", "Damaged local blocks moved aside."),
		refused:        counter("hune_ingester_writes_refused_total", "Writes refused because blocks are written slower than data arrives."),
		uploadedBytes:  counter("hune_ingester_uploaded_bytes_total", "Bytes of uploaded blocks."),
		walFloor:       f.NewGauge(prometheus.GaugeOpts{Name: "hune_ingester_wal_first_segment", Help: "First segment of the log that is still needed."}),
		replayed:       f.NewGauge(prometheus.GaugeOpts{Name: "hune_ingester_wal_replayed_records", Help: "Records replayed from the log at start."}),
	}
}
