package logs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

// rowsAt is a source of one stream with a row at each of the times, two to a batch, that reuses its
// memory as a source may.
func rowsAt(started *atomic.Int32, err error, times ...int64) iter.Seq2[*Rows, error] {
	return func(yield func(*Rows, error) bool) {
		started.Add(1)
		rows := &Rows{Streams: make([]labels.Labels, 2)}
		line := []byte("line 000")
		for i := 0; i < len(times); i += 2 {
			// The numbers of streams change their meaning with each batch.
			n := uint32(i / 2 % 2)
			rows.Streams[n], rows.Streams[1-n] = labels.FromStrings("app", "a"), labels.FromStrings("app", "z")
			rows.Stream, rows.Timestamps, rows.Lines = rows.Stream[:0], rows.Timestamps[:0], rows.Lines[:0]
			copy(line, fmt.Sprintf("line %03d", times[i]))
			for _, ts := range times[i:min(len(times), i+2)] {
				rows.Stream, rows.Timestamps, rows.Lines = append(rows.Stream, n), append(rows.Timestamps, ts), append(rows.Lines, line)
			}
			if !yield(rows, nil) {
				return
			}
			copy(line, "overwritten")
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

func TestMergeRowsIsLazy(t *testing.T) {
	var a, b, c atomic.Int32
	started := func() []int32 { return []int32{a.Swap(0), b.Swap(0), c.Swap(0)} }
	merged := MergeRows(Backward,
		RowSource{1, 4, rowsAt(&a, nil, 4, 3, 2, 1)},
		RowSource{5, 8, rowsAt(&b, nil, 8, 7, 6, 5)},
		RowSource{9, 12, rowsAt(&c, nil, 12, 11, 10, 9)},
	)
	n := 0
	for rows, err := range merged {
		require.NoError(t, err)
		if n += len(rows.Timestamps); n >= 3 {
			break
		}
	}
	require.Equal(t, []int32{0, 0, 1}, started())

	var got []int64
	for _, r := range collect(t, merged) {
		got = append(got, r.Timestamp)
		require.Equal(t, `{app="a"}`, r.stream.String())
	}
	require.Equal(t, []int64{12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}, got)
	require.Equal(t, []int32{1, 1, 1}, started())
}

// A source whose bounds are wider than its rows doesn't make the merge open all that lies between.
func TestMergeRowsOpensOneByOne(t *testing.T) {
	var started atomic.Int32
	sources := []RowSource{{0, 1000, rowsAt(&started, nil, 1)}}
	for i := range int64(20) {
		sources = append(sources, RowSource{10 * i, 10*i + 9, rowsAt(&started, nil, 10*i+5, 10*i+4)})
	}
	for rows, err := range MergeRows(Backward, sources...) {
		require.NoError(t, err)
		require.Equal(t, int64(195), rows.Timestamps[0])
		break
	}
	require.LessOrEqual(t, started.Load(), int32(3))
}

// A row at the instant at which another source ends is a duplicate still.
func TestMergeRowsDuplicatesAcrossBatches(t *testing.T) {
	var n atomic.Int32
	merged := MergeRows(Forward,
		RowSource{1, 3, rowsAt(&n, nil, 1, 2, 3, 3)},
		RowSource{3, 5, rowsAt(&n, nil, 3, 3, 5, 5)},
		RowSource{3, 3, rowsAt(&n, nil, 3)},
		RowSource{9, 8, rowsAt(&n, nil, 1)}, // empty
	)
	var got []string
	for _, r := range collect(t, merged) {
		got = append(got, fmt.Sprint(r.Timestamp, " ", r.Line))
	}
	// Rows that a source itself repeats are its own affair where no other source has them.
	require.Equal(t, []string{"1 line 001", "2 line 001", "3 line 003", "5 line 005", "5 line 005"}, got)
	require.Equal(t, int32(3), n.Load())
}

func TestMergeRowsManyAtOneInstant(t *testing.T) {
	b := oneStream()
	for i := range 500 {
		b.Streams[0].Entries = append(b.Streams[0].Entries, Entry{7, fmt.Sprint(i), []Label{{"i", fmt.Sprint(i % 3)}}})
	}
	half := oneStream(b.Streams[0].Entries[250:]...)
	src := sourceOf(headOf(b), headOf(half), headOf(b), headOf(oneStream(Entry{7, "0", nil})))
	for _, d := range []Direction{Forward, Backward} {
		rows := collect(t, src.SelectRows(context.Background(), "t", Select{End: 9, Direction: d}))
		require.Len(t, rows, 501)
		require.Equal(t, "499", rows[499].Line)
	}
}

func TestMergeRowsErrors(t *testing.T) {
	boom := errors.New("boom")
	var n atomic.Int32
	for name, sources := range map[string][]RowSource{
		"at once": {{1, 9, rowsAt(&n, boom)}, {1, 9, rowsAt(&n, nil, 1, 2)}},
		"later":   {{1, 9, rowsAt(&n, boom, 1, 2)}, {1, 9, rowsAt(&n, nil, 1, 2, 3)}},
		"alone":   {{1, 9, rowsAt(&n, boom, 1, 2)}},
		"waiting": {{1, 3, rowsAt(&n, nil, 1, 2, 3)}, {5, 9, rowsAt(&n, boom)}},
	} {
		t.Run(name, func(t *testing.T) {
			var errs []error
			for rows, err := range MergeRows(Forward, sources...) {
				require.True(t, (rows == nil) != (err == nil))
				if err != nil {
					errs = append(errs, err)
				}
			}
			require.Equal(t, []error{boom}, errs)
		})
	}
	src := NewSource(func(context.Context, string, int64, int64) ([]Part, error) { return nil, boom })
	for _, err := range src.SelectRows(context.Background(), "t", Select{End: 1}) {
		require.ErrorIs(t, err, boom)
	}
	_, err := src.Series(context.Background(), "t", 0, 1, nil)
	require.ErrorIs(t, err, boom)
	_, err = src.Volume(context.Background(), "t", VolumeQuery{End: 1})
	require.ErrorIs(t, err, boom)
}

func TestSourceSkipsPartsElsewhere(t *testing.T) {
	old, recent := headOf(oneStream(Entry{1, "x", nil})), headOf(oneStream(Entry{100, "x", nil}))
	ctx := context.Background()
	var asked [][2]int64
	src := NewSource(func(_ context.Context, tenant string, start, end int64) ([]Part, error) {
		require.Equal(t, "t", tenant)
		asked = append(asked, [2]int64{start, end})
		return []Part{old, recent}, nil
	})
	require.Len(t, collect(t, src.SelectRows(ctx, "t", Select{Start: 50, End: 200})), 1)
	volumes, err := src.Volume(ctx, "t", VolumeQuery{End: 200})
	require.NoError(t, err)
	require.Len(t, volumes, 1)
	require.Equal(t, int64(2), volumes[0].Entries)
	require.Equal(t, int64(2), volumes[0].Pages)
	require.Empty(t, collect(t, src.SelectRows(ctx, "t", Select{Start: 5, End: 5})))
	require.Equal(t, [][2]int64{{50, 200}, {0, 200}}, asked, "nobody is asked about no time")
}

func TestStats(t *testing.T) {
	var none *Stats
	none.Add(QueryStats{Pages: 1})
	require.Zero(t, none.Snapshot())
	require.Nil(t, StatsFrom(context.Background()))
	ctx, s := WithStats(context.Background())
	StatsFrom(ctx).Add(QueryStats{Blocks: 1, Pages: 2, BytesRead: 3, RangeReads: 4, LinesProcessed: 5, BytesProcessed: 6})
	require.Equal(t, QueryStats{Blocks: 1, Pages: 2, BytesRead: 3, RangeReads: 4, LinesProcessed: 5, BytesProcessed: 6}, s.Snapshot())
}
