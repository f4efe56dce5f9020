package block

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/cache"
	"github.com/hune-io/hune/internal/signal"
)

// TestThroughCacheAndBucket reads a block as a querier does: reader, page cache, bucket. What the
// cache has costs no request.
func TestThroughCacheAndBucket(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	bkt, err := bucket.Open(bucket.DefaultConfig(), t.TempDir(), slog.New(slog.DiscardHandler), reg)
	require.NoError(t, err)
	defer bkt.Close()
	memory, err := cache.NewMemory(64<<20, reg)
	require.NoError(t, err)
	pages, err := cache.NewPages(bucket.Ranger{Bucket: bkt}, memory, reg)
	require.NoError(t, err)

	dir, m := localBlock(t, 1)
	require.NoError(t, Upload(context.Background(), bkt, dir, m))
	read := func() int64 {
		var c bucket.Counter
		ctx := bucket.NewContext(context.Background(), &c)
		r, err := Open(ctx, pages, m.DataPath(), m.Data.Size, ReaderOptions{SuffixLen: 100})
		require.NoError(t, err)
		got, err := r.Blob(ctx, Ref{Offset: headerLen, StoredLen: 10_004, RawLen: 10_000})
		require.NoError(t, err)
		require.True(t, bytes.Equal(sample(1, 10_000), got))
		return c.Requests()
	}
	require.EqualValues(t, 1, read()) // one page holds it all
	require.EqualValues(t, 0, read())

	// Asking whether something is there is no failure of the bucket.
	_, err = ReadMeta(context.Background(), bkt, "acme", signal.Logs, id(7))
	require.ErrorIs(t, err, ErrPartial)
	require.NoError(t, Delete(context.Background(), bkt, "acme", signal.Logs, m.ULID))
	require.NoError(t, Delete(context.Background(), bkt, "acme", signal.Logs, m.ULID))
	families, err := reg.Gather()
	require.NoError(t, err)
	seen := false
	for _, f := range families {
		if f.GetName() != "objstore_bucket_operation_failures_total" {
			continue
		}
		for _, metric := range f.GetMetric() {
			seen = true
			require.Zero(t, metric.GetCounter().GetValue(), metric.String())
		}
	}
	require.True(t, seen)
}

// BenchmarkWriter writes row groups of 40 blobs of 100 KB of text.
func BenchmarkWriter(b *testing.B) {
	data := sample(0, 100_000)
	for i := range data {
		if i%17 == 0 {
			data[i] = byte('a' + i*7919%26)
		}
	}
	for name, level := range map[string]Level{"fast": Fast, "better": Better} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(40 * int64(len(data)))
			b.ReportAllocs()
			for range b.N {
				w := NewWriter(io.Discard, WriterOptions{Level: level})
				for range 40 {
					if _, err := w.Blob(data, CodecZstd); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReader(b *testing.B) {
	var blobs [][]byte
	for i := range 40 {
		blobs = append(blobs, sample(i, 100_000))
	}
	m, refs := write(b, blobs, map[Kind][]byte{1: sample(0, 50_000)})
	ctx := context.Background()
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			m.asks = m.asks[:0]
			if _, err := Open(ctx, m, "b", int64(len(m.data)), ReaderOptions{SuffixLen: 10_000}); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, n := range []int{1, 40} {
		b.Run(fmt.Sprintf("blobs=%d", n), func(b *testing.B) {
			r := m.open(b, ReaderOptions{SuffixLen: 10_000})
			b.SetBytes(int64(n) * 100_000)
			b.ReportAllocs()
			for range b.N {
				m.asks = m.asks[:0]
				if _, err := r.Blobs(ctx, refs[:n]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
