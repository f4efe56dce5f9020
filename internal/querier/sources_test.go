package querier

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/cache"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/signal"
)

// pushApp pushes a line of an app and cuts a block of it.
func (f *fixture) pushApp(t *testing.T, app, line string) {
	t.Helper()
	_, err := f.ing.PushLogs(t.Context(), team, &logs.Batch{Streams: []logs.Stream{{
		Labels: labels.FromStrings("app", app), Entries: []logs.Entry{{Timestamp: t0.UnixNano(), Line: line}}}}})
	require.NoError(t, err)
	require.NoError(t, f.ing.Flush(t.Context()))
}

func (f *fixture) selected(t *testing.T, s logs.Select) (lines []string) {
	t.Helper()
	s.Start, s.End = math.MinInt64, math.MaxInt64
	for rows, err := range f.Querier.logs.SelectRows(t.Context(), team, s) {
		require.NoError(t, err)
		for _, l := range rows.Lines {
			lines = append(lines, string(l))
		}
	}
	return lines
}

// Blocks that can't have an answer are not opened: their summaries come with the list of blocks, and a
// trace is looked up by one small read.
func TestBlocksThatCannotMatchAreNotOpened(t *testing.T) {
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	f := newFixture(t, nil)
	for i := range 10 {
		f.pushApp(t, fmt.Sprintf("app-%d", i), "line")
	}
	f.pushApp(t, "test", "trace_id="+trace)
	f.forget(t)
	lines, _ := f.lines(t, team)
	require.Len(t, lines, 1)
	require.Equal(t, []int{1}, f.blocks.counts())

	clear(f.blocks.opens)
	f.forget(t)
	require.Equal(t, []string{"trace_id=" + trace}, f.selected(t, logs.Select{TraceID: trace}))
	require.Equal(t, []int{1}, f.blocks.counts())
	clear(f.blocks.opens)
	require.Empty(t, f.selected(t, logs.Select{TraceID: trace[1:] + "0"}))
	require.Empty(t, f.blocks.counts())
}

// A block that was deleted since it was listed has no trace, and a summary that can't be read rules
// nothing out.
func TestSummariesOfOddBlocks(t *testing.T) {
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	f := newFixture(t, nil)
	f.pushApp(t, "test", "trace_id="+trace)
	f.forget(t)
	m := f.blocksOf(t, signal.Logs)[0]
	parts := newParts(1, f.blocks, logs.OpenBlock)
	for _, summary := range [][]byte{m.Summary, nil, []byte("rubbish")} {
		changed := m
		changed.Summary = summary
		src := logs.NewSource(partsOf(lazyLogs(parts, &changed)))
		n := 0
		for rows, err := range src.SelectRows(t.Context(), team, logs.Select{Start: 0, End: math.MaxInt64, TraceID: trace}) {
			require.NoError(t, err)
			n += len(rows.Lines)
		}
		require.Equal(t, 1, n)
	}
	require.NoError(t, block.Delete(t.Context(), f.bkt, m.Tenant, m.Signal, m.ULID))
	f.forget(t)
	require.NoError(t, f.newPages(t))
	require.Empty(t, f.selected(t, logs.Select{TraceID: trace}))
}

func partsOf(parts ...logs.Part) logs.PartsFunc {
	return func(context.Context, string, int64, int64) ([]logs.Part, error) { return parts, nil }
}

// newPages forgets what the page cache has.
func (f *fixture) newPages(t *testing.T) error {
	memory, err := cache.NewMemory(16<<20, prometheus.NewRegistry())
	require.NoError(t, err)
	f.blocks.pages, err = cache.NewPages(bucket.Ranger{Bucket: f.bkt}, memory, prometheus.NewRegistry())
	return err
}
