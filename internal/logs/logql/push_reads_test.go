package logql

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/loggen"
	"github.com/hune-io/hune/internal/logs"
)

// TestReadShares bounds what queries read of a block, directories included, as shares of the block. The
// numbers depend on data and format alone. A needle's share falls with the size of the block: the page
// that has it is read, of the others a piece of the filter.
func TestReadShares(t *testing.T) {
	const bytes = 24 << 20
	for _, c := range []struct {
		set, query string
		share      float64
	}{
		{"json", `sum(count_over_time({app="a"}[1h]))`, 0.01},
		{"json", `sum(count_over_time({app="a"} |= "zzqx_absent" [1h]))`, 0.10},
		{"json", `sum(count_over_time({app="a"} | json | status >= 500 [1h]))`, 0.12},
		{"json", `sum(count_over_time({app="a"} |= "f00dfeed00c0ffee00c0ffee00c0ffee" [1h]))`, 0.10},
		{"logfmt", `sum(count_over_time({app="a"}[1h]))`, 0.01},
		{"logfmt", `sum(count_over_time({app="a"} | logfmt | status >= 500 [1h]))`, 0.12},
		{"logfmt", `sum(count_over_time({app="a"} |= "zzqx_absent" [1h]))`, 0.01},
		{"logfmt", `sum(count_over_time({app="a"} |= "f00dfeed00c0ffee00c0ffee00c0ffee" [1h]))`, 0.03},
		{"hdfs", `sum(count_over_time({app="a"} |= "zzqx_absent" [1h]))`, 0.01},
		{"hdfs", `sum(count_over_time({app="a"} |= "PacketResponder" [1h]))`, 0.15},
		{"hdfs", `sum(count_over_time({app="a"} |= "1234567890123456789" [1h]))`, 0.03},
	} {
		t.Run(c.set+" "+c.query, func(t *testing.T) {
			src, size, end := shareSource(t, c.set, bytes)
			q := &logs.Query{Kind: logs.Instant, Expr: c.query, Start: end, End: end}
			res, err := NewEngine(Options{}).Run(t.Context(), "t", q, src)
			require.NoError(t, err)
			share := float64(res.Stats.BytesRead) / float64(size)
			t.Logf("%.2f %% in %d requests", 100*share, res.Stats.RangeReads)
			require.Less(t, share, c.share)
		})
	}
}

// shareSource makes a source over a block of a set's lines, and returns the size of the block and the time
// behind its last row.
func shareSource(t *testing.T, name string, bytes int) (src logs.Source, size, end int64) {
	set, ok := loggen.Find(name)
	require.True(t, ok)
	lines := set.Lines(1, bytes)
	ts := loggen.Timestamps(1, lines.Len())
	h := logs.NewHead(logs.HeadOptions{})
	entries := make([]logs.Entry, lines.Len())
	for i := range entries {
		entries[i] = logs.Entry{Timestamp: ts[i], Line: string(lines.At(i))}
	}
	h.Append(&logs.Batch{Streams: []logs.Stream{{Labels: labels.FromStrings("app", "a"), Entries: entries}}})
	dir := t.TempDir()
	src = sourceOf(blockOf(t, dir, h))
	info, err := os.Stat(filepath.Join(dir, block.DataFile))
	require.NoError(t, err)
	return src, info.Size(), ts[len(ts)-1] + 1
}
