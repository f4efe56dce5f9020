package compactor

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/signal"
)

// A whole job: twelve blocks of a day, of 20 streams each, downloaded, merged, uploaded and read back.
// Their rows are of other times, so that pages can be copied, or six of the blocks are replicas of the
// others, and all rows are decoded. Throughput is in bytes of the lines that are read.
func BenchmarkJob(b *testing.B) {
	b.Run("apart", func(b *testing.B) { benchmarkJob(b, 1) })
	b.Run("replicas", func(b *testing.B) { benchmarkJob(b, 2) })
}

func benchmarkJob(b *testing.B, replicas int) {
	fs, err := bucket.OpenFilesystem(b.TempDir())
	require.NoError(b, err)
	defer func() { _ = fs.Close() }()
	size := int64(0)
	for n := range 12 {
		head := logs.NewHead(logs.HeadOptions{})
		for s := range 20 {
			stream := logs.Stream{Labels: labels.FromStrings("app", "api", "pod", fmt.Sprint(s))}
			for i := range 2000 {
				line := fmt.Sprintf(`level=info msg="request done" path=/api/v1/items/%d status=%d duration=%dms trace=%016x`, i%977, 200+i%5, i%311, i*7919+n/replicas)
				size += int64(len(line))
				at := yesterday.Add(time.Duration(n/replicas)*2*time.Hour + time.Duration(i)*time.Second)
				stream.Entries = append(stream.Entries, logs.Entry{Timestamp: at.UnixNano(), Line: line})
			}
			head.Append(&logs.Batch{Streams: []logs.Stream{stream}})
		}
		m := &block.Meta{ULID: ulid.MustNew(ulid.Timestamp(yesterday), rand.Reader), Tenant: team, Signal: signal.Logs, Producer: "test", Created: now}
		dir := b.TempDir()
		require.NoError(b, head.WriteBlock(b.Context(), dir, m))
		require.NoError(b, block.Upload(b.Context(), fs, dir, m))
	}
	c := New(Options{Config: DefaultConfig(), Dir: b.TempDir(), Bucket: fs, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Registerer: prometheus.NewRegistry(), Now: func() time.Time { return now }})
	t, err := c.list(b.Context(), shelf{team, signal.Logs})
	require.NoError(b, err)
	jobs := plan(now, t.current, nil)
	require.Len(b, jobs, 1)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, c.compact(context.Background(), t, jobs[0]))
		b.StopTimer()
		require.NoError(b, c.deleteBlock(context.Background(), shelf{team, signal.Logs}, outputID(jobs[0].inputs, nil), "compacted"))
		b.StartTimer()
	}
}
