package logs

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
)

// benchBatches makes batches of about the shape that a distributor sends: entries streams of JSON,
// logfmt and access-log lines in order of time, a level on each, a trace ID on a third.
func benchBatches(batches, streams, entries int) []*Batch {
	r := rand.New(rand.NewPCG(1, 2))
	words := []string{"reserve", "release", "seal", "weigh", "inspect", "reroute", "barometer", "lantern", "anvil", "teapot", "compass"}
	level := []string{LevelInfo, LevelInfo, LevelInfo, LevelInfo, LevelDebug, LevelWarn, LevelError}
	sets := make([]labels.Labels, streams)
	for i := range sets {
		sets[i] = labels.FromStrings("app", fmt.Sprintf("app-%d", i%20), "env", "prod", "pod", fmt.Sprintf("pod-%d", i), "service_name", fmt.Sprintf("app-%d", i%20))
	}
	ts := int64(1768435200_000_000_000)
	out := make([]*Batch, batches)
	for i := range out {
		b := &Batch{}
		for j := range min(streams, 10) {
			s := Stream{Labels: sets[(i*10+j)%streams]}
			for range entries {
				ts += r.Int64N(1_000_000)
				w1, w2, l := words[r.IntN(len(words))], words[r.IntN(len(words))], level[r.IntN(len(level))]
				e := Entry{Timestamp: ts, Metadata: []Label{{DetectedLevel, l}}}
				switch j % 3 {
				case 0:
					e.Line = fmt.Sprintf(`{"level":%q,"msg":"%s %s for basket %d","status":%d,"latency_ms":%.3f,"bytes":%d,"user":{"id":%d},"path":"/api/v1/%s"}`,
						l, w1, w2, r.IntN(1000), 200+r.IntN(4)*100, r.Float64()*100, r.IntN(200000), 1000+r.IntN(500), w2)
				case 1:
					e.Line = fmt.Sprintf(`level=%s msg="%s %s" method=GET path=/v1/%s/%d status=%d duration=%dms upstream=10.0.%d.%d:8080`,
						l, w1, w2, w1, r.IntN(99), 200+r.IntN(4)*100, r.IntN(900), r.IntN(4), r.IntN(250))
				default:
					e.Line = fmt.Sprintf(`10.0.%d.%d - - [15/Jan/2026:00:00:02 +0000] "GET /%s/%s?id=%d HTTP/1.1" 200 %d "-" "curl/8.5.0"`,
						r.IntN(9), r.IntN(250), w1, w2, r.IntN(99), r.IntN(60000))
				}
				if r.IntN(3) == 0 {
					e.Metadata = append(e.Metadata, Label{"trace_id", fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64())})
				}
				s.Entries = append(s.Entries, e)
			}
			b.Streams = append(b.Streams, s)
		}
		out[i] = b
	}
	return out
}

func batchBytesOf(batches []*Batch) (lines, rows int64) {
	for _, b := range batches {
		for _, s := range b.Streams {
			rows += int64(len(s.Entries))
			for _, e := range s.Entries {
				lines += int64(len(e.Line))
			}
		}
	}
	return lines, rows
}

func BenchmarkHeadAppend(b *testing.B) {
	batches := benchBatches(200, 100, 50)
	size, rows := batchBytesOf(batches)
	b.SetBytes(size)
	b.ReportAllocs()
	var h *Head
	for b.Loop() {
		h = headOf(batches...)
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(h.Size())/float64(size), "memory/raw")
}

// Every second batch comes late: the lookup of duplicates has to search.
func BenchmarkHeadAppendOutOfOrder(b *testing.B) {
	batches := benchBatches(200, 20, 50)
	for i := 0; i+3 < len(batches); i += 4 {
		batches[i], batches[i+2] = batches[i+2], batches[i]
	}
	size, _ := batchBytesOf(batches)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		headOf(batches...)
	}
}

// Everything at one instant, as from a sender without clock.
func BenchmarkHeadAppendOneInstant(b *testing.B) {
	batches := benchBatches(100, 10, 50)
	for _, batch := range batches {
		for i := range batch.Streams {
			for j := range batch.Streams[i].Entries {
				batch.Streams[i].Entries[j].Timestamp = 7
			}
		}
	}
	size, _ := batchBytesOf(batches)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		headOf(batches...)
	}
}

// From a decoded batch to a block: append, seal, write.
func BenchmarkBlockWrite(b *testing.B) {
	batches := benchBatches(400, 100, 50)
	size, rows := batchBytesOf(batches)
	b.SetBytes(size)
	b.ReportAllocs()
	meta := testMeta()
	for b.Loop() {
		if err := headOf(batches...).writeData(context.Background(), io.Discard, meta); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(meta.Data.Size)/float64(size), "stored/raw")
}

func benchSelects() map[string]Select {
	one := []Matcher{{labels.MatchEqual, "app", "app-3"}}
	all := []Matcher{{labels.MatchEqual, "env", "prod"}}
	const end = 1 << 62
	return map[string]Select{
		"all":         {Matchers: all, End: end, Direction: Forward},
		"newest100":   {Matchers: all, End: end, Limit: 100},
		"app":         {Matchers: one, End: end},
		"contains":    {Matchers: all, End: end, Filters: []LineFilter{{Match: []string{"teapot"}}}},
		"absent":      {Matchers: all, End: end, Filters: []LineFilter{{Match: []string{"nowhere"}}}},
		"regexp":      {Matchers: all, End: end, Filters: []LineFilter{{Regexp: true, Match: []string{`status=50\d .*ms`}}}},
		"notContains": {Matchers: all, End: end, Filters: []LineFilter{{Negate: true, Match: []string{"teapot"}}}},
	}
}

func benchSelect(b *testing.B, p Part, rows, size int64) {
	for name, s := range benchSelects() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			if s.Limit == 0 && name != "app" {
				b.SetBytes(size)
			}
			n := 0
			for b.Loop() {
				for r, err := range p.SelectRows(context.Background(), s) {
					if err != nil {
						b.Fatal(err)
					}
					n += len(r.Timestamps)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func BenchmarkHeadSelect(b *testing.B) {
	batches := benchBatches(400, 100, 50)
	size, rows := batchBytesOf(batches)
	benchSelect(b, headOf(batches...), rows, size)
}

func BenchmarkBlockSelect(b *testing.B) {
	batches := benchBatches(400, 100, 50)
	size, rows := batchBytesOf(batches)
	blk, _ := blockOf(b, headOf(batches...), BlockOptions{})
	benchSelect(b, blk, rows, size)
}

func BenchmarkMergeRows(b *testing.B) {
	batches := benchBatches(400, 100, 50)
	size, _ := batchBytesOf(batches)
	for name, parts := range map[string][]Part{
		"successive": {headOf(batches[:200]...), headOf(batches[200:]...)},
		"replicas":   {headOf(batches...), headOf(batches...)},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				for r, err := range sourceOf(parts...).SelectRows(context.Background(), "t", Select{End: 1 << 62}) {
					if err != nil {
						b.Fatal(err)
					}
					n += len(r.Timestamps)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func BenchmarkRecord(b *testing.B) {
	batch := benchBatches(1, 10, 100)[0]
	size, _ := batchBytesOf([]*Batch{batch})
	rec := AppendRecord(nil, "tenant", batch)
	b.Run("append", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		buf := make([]byte, 0, 2*len(rec))
		for b.Loop() {
			buf = AppendRecord(buf[:0], "tenant", batch)
		}
		b.ReportMetric(float64(len(rec))/float64(size), "stored/raw")
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := DecodeRecord(rec); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkEnrichStream(b *testing.B) {
	e := NewEnricher(DefaultEnrichOptions())
	batch := benchBatches(1, 10, 100)[0]
	size, _ := batchBytesOf([]*Batch{batch})
	scratch := make([]Entry, 0, 100)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		for _, s := range batch.Streams {
			s.Entries = append(scratch[:0], s.Entries...)
			for i := range s.Entries {
				s.Entries[i].Metadata = s.Entries[i].Metadata[1:] // without the level
			}
			e.Stream(&s)
		}
	}
}
