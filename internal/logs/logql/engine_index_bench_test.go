package logql

import (
	"fmt"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/logs"
)

// manyStreams is a head of n streams with two lines each, ten seconds apart, such as pods have them.
func manyStreams(n int) *logs.Head {
	h := logs.NewHead(logs.HeadOptions{})
	for i := range n {
		h.Append(&logs.Batch{Streams: []logs.Stream{{
			Labels:  labels.FromStrings("cluster", "eu-1", "namespace", fmt.Sprint("ns-", i%40), "app", fmt.Sprint("app-", i%800), "pod", fmt.Sprintf("app-%d-%06d", i%800, i)),
			Entries: []logs.Entry{{Timestamp: 1e9, Line: "level=info msg=started"}, {Timestamp: 11e9, Line: "level=info msg=ready"}},
		}}})
	}
	return h
}

// BenchmarkLabels asks what a label picker and Logs Drilldown ask of 100,000 streams.
func BenchmarkLabels(b *testing.B) {
	sealed := manyStreams(100_000)
	for name, src := range map[string]logs.Source{
		"fresh": sourceOf(manyStreams(100_000)), "block": sourceOf(blockOf(b, b.TempDir(), sealed)), "sealed": sourceOf(sealed),
	} {
		e := NewEngine(Options{})
		for _, c := range []struct {
			name string
			q    logs.Query
		}{
			{"names", logs.Query{Kind: logs.LabelNames, End: 20e9}},
			{"names-part", logs.Query{Kind: logs.LabelNames, Start: 5e9, End: 20e9}},
			{"values", logs.Query{Kind: logs.LabelValues, Label: "app", End: 20e9}},
			{"values-of-namespace", logs.Query{Kind: logs.LabelValues, Label: "app", Expr: `{namespace="ns-7"}`, End: 20e9}},
			{"pods", logs.Query{Kind: logs.LabelValues, Label: "pod", End: 20e9}},
			{"series", logs.Query{Kind: logs.SeriesKind, Match: []string{`{app="app-7"}`}, End: 20e9}},
			{"detected-labels", logs.Query{Kind: logs.DetectedLabels, End: 20e9}},
			{"stats", logs.Query{Kind: logs.StatsKind, Expr: `{namespace="ns-7"}`, End: 20e9}},
			{"volume", logs.Query{Kind: logs.VolumeKind, Expr: `{namespace=~".+"}`, TargetLabels: []string{"namespace"}, End: 20e9}},
			{"volume-range", logs.Query{Kind: logs.VolumeRange, Expr: `{namespace=~".+"}`, TargetLabels: []string{"namespace"}, Step: 1e9, End: 20e9}},
		} {
			b.Run(name+"/"+c.name, func(b *testing.B) {
				for b.Loop() {
					if _, err := e.Run(b.Context(), "t", &c.q, src); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
