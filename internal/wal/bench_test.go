package wal

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkAppend writes records of 1 KiB with 1, 16 and 256 writers: what group commit is for.
func BenchmarkAppend(b *testing.B) {
	for _, sync := range []Sync{SyncAlways, SyncInterval} {
		for _, writers := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("sync=%s/writers=%d", sync, writers), func(b *testing.B) {
				w := open(b, b.TempDir(), Options{Sync: sync})
				benchmarkAppend(b, w, writers)
			})
		}
	}
}

func benchmarkAppend(b *testing.B, w *WAL, writers int) {
	var left atomic.Int64
	left.Store(int64(b.N))
	b.SetBytes(1024)
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			rec := make([]byte, 1024)
			for left.Add(-1) >= 0 {
				if err := w.Append(ctx, rec); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkReplay(b *testing.B) {
	dir := b.TempDir()
	w := open(b, dir, Options{Sync: SyncInterval})
	rec := make([]byte, 64<<10)
	const n = 1024
	for range n {
		if err := w.Append(ctx, rec); err != nil {
			b.Fatal(err)
		}
	}
	w.Close()
	b.SetBytes(n * int64(len(rec)))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		r := replay{w: &WAL{dir: dir, old: []int{0}, metrics: w.metrics}, fn: func(Position, []byte) error { return nil }}
		if err := r.run(ctx); err != nil {
			b.Fatal(err)
		}
		if r.stats.Records == 0 {
			b.Fatal("no records")
		}
	}
}
