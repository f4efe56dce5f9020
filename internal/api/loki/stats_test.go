package loki

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/logs"
)

// What a query cost is where Grafana and logcli look for it.
func TestStats(t *testing.T) {
	e := &encoder{}
	e.stats(&logs.QueryStats{Pages: 7, BytesRead: 4096, RangeReads: 3, LinesProcessed: 100, BytesProcessed: 5000, EntriesReturned: 9, PostFilterLines: 40, Jobs: 12, Pieces: 4, Shards: 3, Blocks: 2, MemoryBytes: 999,
		ExecNanoseconds: int64(2 * time.Second), QueueNanoseconds: int64(time.Second / 2)})
	var got struct {
		Summary struct {
			BytesProcessedPerSecond, LinesProcessedPerSecond, TotalBytesProcessed, TotalLinesProcessed, TotalEntriesReturned int64
			Subqueries, Splits, Shards, TotalPostFilterLines                                                                 int64
			ExecTime, QueueTime                                                                                              float64
		}
		Querier struct {
			Store struct {
				TotalChunksRef, TotalChunksDownloaded int64
				Chunk                                 struct{ CompressedBytes, DecompressedBytes, DecompressedLines int64 }
			}
		}
		Hune struct{ Blocks, Jobs, MemoryBytes int64 }
	}
	require.NoError(t, json.Unmarshal(e.buf, &got))
	s, st := got.Summary, got.Querier.Store
	require.Equal(t, []int64{2500, 50, 5000, 100, 9}, []int64{s.BytesProcessedPerSecond, s.LinesProcessedPerSecond, s.TotalBytesProcessed, s.TotalLinesProcessed, s.TotalEntriesReturned})
	require.Equal(t, []float64{2, 0.5}, []float64{s.ExecTime, s.QueueTime})
	require.Equal(t, []int64{7, 3}, []int64{st.TotalChunksRef, st.TotalChunksDownloaded})
	require.Equal(t, []int64{4096, 5000, 100}, []int64{st.Chunk.CompressedBytes, st.Chunk.DecompressedBytes, st.Chunk.DecompressedLines})

	require.Equal(t, []int64{12, 4, 3, 40}, []int64{s.Subqueries, s.Splits, s.Shards, s.TotalPostFilterLines})
	require.Equal(t, []int64{2, 12, 999}, []int64{got.Hune.Blocks, got.Hune.Jobs, got.Hune.MemoryBytes})

	e.buf = e.buf[:0]
	e.stats(&logs.QueryStats{})
	require.NoError(t, json.Unmarshal(e.buf, &got))
	require.Zero(t, got.Summary.BytesProcessedPerSecond, "of no time at all")
}
