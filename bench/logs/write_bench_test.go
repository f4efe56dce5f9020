package main

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/loggen"
)

// BenchmarkWrite appends a set to a head and writes that as a block, to be profiled:
//
//	go test ./bench/logs -run '^$' -bench 'Write/json$' -cpuprofile cpu.out
func BenchmarkWrite(b *testing.B) {
	for _, set := range loggen.Sets() {
		b.Run(set.Name, func(b *testing.B) { benchmarkWrite(b, set) })
	}
}

func benchmarkWrite(b *testing.B, set loggen.Set) {
	ctx := context.Background()
	in := &bench{size: 16 << 20, seed: 1, dir: b.TempDir()}
	c := in.corpus(set)
	appends, writes := time.Hour, time.Hour
	b.ReportAllocs()
	b.SetBytes(int64(len(c.text)))
	stored := int64(0)
	for b.Loop() {
		s, err := in.store(ctx, c)
		require.NoError(b, err)
		require.NoError(b, s.close())
		appends, writes, stored = min(appends, s.appends), min(writes, s.writes), s.meta.StoredBytes
	}
	b.ReportMetric(speed(len(c.text), appends), "append-MB/cpu-s")
	b.ReportMetric(speed(len(c.text), writes), "write-MB/cpu-s")
	b.ReportMetric(float64(stored), "stored-B")
}

// BenchmarkIngest is the whole way of Loki pushes, to be profiled.
func BenchmarkIngest(b *testing.B) {
	in := &bench{size: 8 << 20, seed: 1, dir: b.TempDir(), sets: loggen.Sets()}
	for _, p := range protocols {
		b.Run(p.name, func(b *testing.B) {
			l := in.load(p.encode)
			least := cost{acknowledged: time.Hour, whole: time.Hour}
			b.ReportAllocs()
			b.SetBytes(int64(l.bytes))
			for b.Loop() {
				c, err := l.ingest(context.Background(), in.dir)
				require.NoError(b, err)
				least.acknowledged, least.whole, least.stored = min(least.acknowledged, c.acknowledged), min(least.whole, c.whole), c.stored
			}
			b.ReportMetric(speed(l.bytes, least.acknowledged), "acknowledged-MB/cpu-s")
			b.ReportMetric(speed(l.bytes, least.whole), "whole-MB/cpu-s")
			b.ReportMetric(float64(least.stored), "stored-B")
		})
	}
}
