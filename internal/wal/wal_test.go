package wal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/hune-io/hune/internal/fault"
)

func TestMain(m *testing.M) {
	// wlog leaves one goroutine behind when the last page can't be written at Close, which the
	// tests of a full disk provoke.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/prometheus/prometheus/tsdb/wlog.(*WL).run"))
}

var ctx = context.Background()

func open(t testing.TB, dir string, opts Options) *WAL {
	t.Helper()
	w, err := Open(dir, opts)
	require.NoError(t, err)
	t.Cleanup(func() { w.Close() })
	return w
}

// replayAll returns the records of dir.
func replayAll(t testing.TB, dir string) ([][]byte, ReplayStats) {
	t.Helper()
	w := open(t, dir, Options{})
	var recs [][]byte
	stats, err := w.Replay(ctx, func(_ int, rec []byte) error {
		recs = append(recs, bytes.Clone(rec))
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return recs, stats
}

// record returns record i: its number, then noise of a length between 0 and 100,000, mostly short.
func record(i int) []byte {
	rnd := rand.New(rand.NewPCG(uint64(i), 7))
	n := rnd.IntN(300)
	if rnd.IntN(20) == 0 {
		n = rnd.IntN(100_000)
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(i))
	for range n {
		b = append(b, byte(rnd.Uint32()))
	}
	return b
}

func TestAppendAndReplay(t *testing.T) {
	for _, sync := range []Sync{SyncAlways, SyncInterval} {
		t.Run(string(sync), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a", "wal")
			w := open(t, dir, Options{Sync: sync, SegmentSize: 200_000})
			var want [][]byte
			for i := range 300 {
				rec := record(i)
				want = append(want, bytes.Clone(rec))
				require.NoError(t, w.Append(ctx, rec))
				clear(rec) // the caller may reuse it
			}
			require.NoError(t, w.Append(ctx, nil)) // an empty record is a record
			want = append(want, []byte{})
			require.NoError(t, w.Close())
			got, stats := replayAll(t, dir)
			require.Equal(t, want, got)
			require.Zero(t, stats.Damaged)
			require.Greater(t, stats.Segments, 3)
			require.Equal(t, len(want), stats.Records)
			got, _ = replayAll(t, dir) // replaying changes nothing
			require.Equal(t, want, got)
		})
	}
}

func TestWlogReadsOurs(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{SegmentSize: 100_000})
	for i := range 200 {
		require.NoError(t, w.Append(ctx, record(i)))
	}
	require.NoError(t, w.Close())
	r, err := wlog.NewSegmentsReader(dir)
	require.NoError(t, err)
	defer r.Close()
	reader := wlog.NewReader(r)
	for i := range 200 {
		require.True(t, reader.Next())
		require.Equal(t, record(i), reader.Record())
	}
	require.False(t, reader.Next())
	require.NoError(t, reader.Err())
}

func TestNextSegmentAndTruncate(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	n, err := w.NextSegment()
	require.NoError(t, err)
	require.Equal(t, 0, n) // nothing was appended, so nothing is below 0
	require.NoError(t, w.Append(ctx, []byte("old")))
	n, err = w.NextSegment()
	require.NoError(t, err)
	require.Equal(t, 1, n)
	again, err := w.NextSegment()
	require.NoError(t, err)
	require.Equal(t, n, again)
	require.NoError(t, w.Append(ctx, []byte("new")))
	require.NoError(t, w.Truncate(n))
	segs, err := segments(dir)
	require.NoError(t, err)
	require.Equal(t, []int{1}, segs)
	require.EqualValues(t, 1, testutil.ToFloat64(w.metrics.segments))
	require.NoError(t, w.Truncate(100)) // never the current one
	require.NoError(t, w.Append(ctx, []byte("newer")))
	require.NoError(t, w.Close())
	got, _ := replayAll(t, dir)
	require.Equal(t, [][]byte{[]byte("new"), []byte("newer")}, got)
}

func TestReplayRules(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	for _, s := range []string{"a", "bad", "b", "fatal", "c"} {
		require.NoError(t, w.Append(ctx, []byte(s)))
	}
	_, err := w.Replay(ctx, nil)
	require.ErrorContains(t, err, "already appended")
	require.NoError(t, w.Close())

	w = open(t, dir, Options{})
	fatal := errors.New("fatal")
	var got []string
	stats, err := w.Replay(ctx, func(segment int, rec []byte) error {
		require.Equal(t, 0, segment)
		switch string(rec) {
		case "bad":
			return fmt.Errorf("decode: %w", ErrCorruptRecord)
		case "fatal":
			return fatal
		}
		got = append(got, string(rec))
		return nil
	})
	require.ErrorIs(t, err, fatal)
	require.Equal(t, []string{"a", "b"}, got)
	require.Equal(t, 1, stats.Undecoded)
	require.Len(t, stats.Corruptions, 1)

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = w.Replay(cancelled, nil)
	require.ErrorIs(t, err, context.Canceled)
}

func TestConcurrentWriters(t *testing.T) {
	dir := t.TempDir()
	reg := prometheus.NewPedanticRegistry()
	w := open(t, dir, Options{SegmentSize: 1 << 20, QueueBytes: 100_000, Registerer: reg})
	const writers, each = 16, 50
	var wg sync.WaitGroup
	for g := range writers {
		wg.Go(func() {
			for i := range each {
				if err := w.Append(ctx, record(g*each+i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, writers*each, testutil.ToFloat64(w.metrics.records))
	require.Zero(t, testutil.ToFloat64(w.metrics.queueBytes))
	require.NoError(t, w.Close())
	families, err := reg.Gather()
	require.NoError(t, err)
	require.Empty(t, families) // Close unregisters, so that the log can be opened again

	seen := map[uint64]bool{}
	recs, _ := replayAll(t, dir)
	for _, rec := range recs {
		i := binary.BigEndian.Uint64(rec)
		require.False(t, seen[i])
		require.Equal(t, record(int(i)), rec)
		seen[i] = true
	}
	require.Len(t, seen, writers*each)
}

func TestSameRegistryIsRefused(t *testing.T) {
	reg := prometheus.NewRegistry()
	open(t, t.TempDir(), Options{Registerer: reg})
	_, err := Open(t.TempDir(), Options{Registerer: reg})
	require.ErrorContains(t, err, "same metrics registry")
}

// TestFullDisk makes the next segment a link to /dev/full, where every write fails as on a full disk.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	require.NoError(t, w.Append(ctx, []byte("kept")))
	require.NoError(t, os.Symlink("/dev/full", wlog.SegmentName(dir, 1)))
	_, err := w.NextSegment()
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if err := w.Append(ctx, []byte("lost")); !errors.Is(err, ErrFailed) {
				t.Errorf("got %v, want ErrFailed", err)
			}
		})
	}
	wg.Wait()
	require.ErrorIs(t, w.Err(), ErrFailed)
	require.Equal(t, fault.Unavailable, fault.ClassOf(w.Err()), "senders must keep the data and try again")
	require.EqualValues(t, 1, testutil.ToFloat64(w.metrics.failed))
	_, err = w.NextSegment()
	require.ErrorIs(t, err, ErrFailed)
	require.ErrorIs(t, w.Close(), ErrFailed)

	require.NoError(t, os.Remove(wlog.SegmentName(dir, 1)))
	got, _ := replayAll(t, dir)
	require.Equal(t, [][]byte{[]byte("kept")}, got)
}

// TestFailedSync makes the next segment a link to /dev/null, which takes writes and refuses fsync.
func TestFailedSync(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	require.NoError(t, w.Append(ctx, []byte("kept")))
	require.NoError(t, os.Symlink("/dev/null", wlog.SegmentName(dir, 1)))
	_, err := w.NextSegment()
	require.NoError(t, err)
	require.ErrorIs(t, w.Append(ctx, []byte("lost")), ErrFailed)
	require.ErrorIs(t, w.Append(ctx, []byte("lost")), ErrFailed)
}

// stuck opens a log whose current segment is a pipe that nobody reads, so that its writer blocks
// until free is called.
func stuck(t *testing.T, opts Options) (w *WAL, free func()) {
	dir := t.TempDir()
	w = open(t, dir, opts)
	require.NoError(t, w.Append(ctx, []byte("x")))
	r := fifo(t, wlog.SegmentName(dir, 1))
	_, err := w.NextSegment()
	require.NoError(t, err)
	return w, func() { go io.Copy(io.Discard, r) }
}

func TestFullQueue(t *testing.T) {
	w, free := stuck(t, Options{QueueBytes: 1000})
	big := make([]byte, 1<<20) // more than a pipe holds
	first := make(chan error, 1)
	r := newRequest(big)
	require.NoError(t, w.enqueue(ctx, r))
	go func() { first <- w.wait(ctx, r) }()
	require.Eventually(t, func() bool { // taken by the committer, which now blocks
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.queued == 0
	}, 10*time.Second, time.Millisecond)

	// One record waits in the queue; its writer gives up before it is written.
	slow, cancelSlow := context.WithCancel(ctx)
	second := make(chan error, 1)
	go func() { second <- w.Append(slow, make([]byte, 900)) }()
	require.Eventually(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.queued == 900
	}, 10*time.Second, time.Millisecond)

	// There is no room for another one.
	full, cancelFull := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancelFull()
	err := w.Append(full, make([]byte, 200))
	require.Equal(t, fault.Unavailable, fault.ClassOf(err))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Positive(t, fault.RetryAfter(err))

	cancelSlow()
	require.Equal(t, fault.Unavailable, fault.ClassOf(<-second))
	require.EqualValues(t, 2, testutil.ToFloat64(w.metrics.rejected))
	free()
	require.ErrorIs(t, <-first, ErrFailed) // a pipe can't be synced
}

func TestClose(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{Sync: SyncInterval, Interval: time.Hour})
	var ok atomic.Int64
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			switch err := w.Append(ctx, record(i)); {
			case err == nil:
				ok.Add(1)
			case !errors.Is(err, ErrClosed) || fault.ClassOf(err) != fault.Unavailable:
				t.Error(err)
			}
		})
	}
	require.NoError(t, w.Close())
	wg.Wait()
	require.NoError(t, w.Close())
	_, err := w.NextSegment()
	require.ErrorIs(t, err, ErrClosed)
	recs, _ := replayAll(t, dir)
	require.Len(t, recs, int(ok.Load()))
}

func TestTooLargeRecord(t *testing.T) {
	w := open(t, t.TempDir(), Options{})
	huge, err := syscall.Mmap(-1, 0, MaxRecordLen+1, syscall.PROT_READ, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	require.NoError(t, err)
	defer func() { require.NoError(t, syscall.Munmap(huge)) }()
	require.Equal(t, fault.TooLarge, fault.ClassOf(w.Append(ctx, huge)))
	require.NoError(t, w.Append(ctx, make([]byte, 10<<20)))
}

func TestOpenUnwritable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o666))
	_, err := Open(filepath.Join(file, "wal"), Options{})
	require.ErrorContains(t, err, "open write-ahead log")
}

func TestConfig(t *testing.T) {
	require.NoError(t, DefaultConfig().Validate())
	err := Config{Sync: "sometimes"}.Validate()
	require.ErrorContains(t, err, "sync:")
	require.ErrorContains(t, err, "sync_interval:")
	require.ErrorContains(t, err, "segment_size:")
	require.EqualValues(t, 64<<20, DefaultConfig().Options().SegmentSize)
}

// Positions are where records begin, in ascending order, and are the same at every start.
func TestReplayAt(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{})
	for range 3 {
		require.NoError(t, w.Append(ctx, make([]byte, 40<<10)))
	}
	require.NoError(t, w.Close())
	positions := func() (at []Position) {
		w := open(t, dir, Options{})
		_, err := w.ReplayAt(ctx, func(p Position, rec []byte) error {
			at = append(at, p)
			return nil
		})
		require.NoError(t, err)
		written, err := w.SegmentTime(0)
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), written, time.Minute)
		require.NoError(t, w.Close())
		return at
	}
	first := positions()
	require.Len(t, first, 3)
	require.Zero(t, first[0])
	require.Less(t, first[0].Offset, first[1].Offset)
	require.Less(t, first[1].Offset, first[2].Offset)
	require.Equal(t, first, positions())
}
