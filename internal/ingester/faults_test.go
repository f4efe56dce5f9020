package ingester

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/units"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/signal"
)

// killed opens an ingester on a copy of the disk as a kill of f would leave it.
func (f *fixture) killed(t *testing.T, change func(*Options)) *fixture {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, os.CopyFS(copied, os.DirFS(f.dir)))
	require.NoError(t, os.RemoveAll(filepath.Join(copied, "metrics"))) // its lock is held
	again := openFixture(t, copied, change)
	t.Cleanup(func() { again.close(t) })
	return again
}

func (f *fixture) count(t *testing.T, tenant string) int {
	t.Helper()
	n := 0
	for rows, err := range f.SelectRows(t.Context(), tenant, everything) {
		require.NoError(t, err)
		n += len(rows.Lines)
	}
	return n
}

// The cut of one tenant must not truncate the log before the rows of another, whose head is the only
// other place that they are in. The first segment has the number 0.
func TestCutOfOneTenantKeepsTheLogOfAnother(t *testing.T) {
	for _, restart := range []bool{false, true} {
		f := openFixture(t, t.TempDir(), nil)
		_, err := f.PushLogs(t.Context(), "idle", batch("early"))
		require.NoError(t, err)
		if restart {
			f.close(t)
			f = openFixture(t, f.dir, nil)
		}
		f.push(t, "line")
		require.NoError(t, f.logs.cut(t.Context(), f.logs.tenant(team)))
		again := f.killed(t, nil)
		require.Equal(t, 1, again.count(t, "idle"), "restart %v", restart)
		require.Equal(t, 1, again.count(t, team), "restart %v", restart)
		f.close(t)
	}
}

// step is a place where writing a local block can go wrong.
type step int

const (
	nothing step = iota
	dataFile
	cutMarker
	openBlock
)

// fullDisk lets the writing of blocks of logs fail at a step.
type fullDisk struct{ at atomic.Int32 }

func (d *fullDisk) fail(at step) { d.at.Store(int32(at)) }
func (d *fullDisk) is(at step) bool {
	return step(d.at.Load()) == at
}

func (d *fullDisk) under(f *fixture) {
	k := &f.logs.kind
	newHead, open := k.newHead, k.openBlock
	k.newHead = func(tenant string) head[logs.Batch, logs.Part, logs.AppendResult] {
		return fullDiskHead{newHead(tenant), d}
	}
	k.openBlock = func(ctx context.Context, r *block.Reader) (logs.Part, error) {
		if d.is(openBlock) {
			return nil, syscall.EMFILE
		}
		return open(ctx, r)
	}
}

type fullDiskHead struct {
	head[logs.Batch, logs.Part, logs.AppendResult]
	disk *fullDisk
}

func (h fullDiskHead) WriteBlock(ctx context.Context, dir string, meta *block.Meta) error {
	if err := h.head.WriteBlock(ctx, dir, meta); err != nil {
		return err
	}
	switch {
	case h.disk.is(dataFile):
		return syscall.ENOSPC
	case h.disk.is(cutMarker): // a folder stands where the file should be written
		return os.Mkdir(filepath.Join(dir, cutFile), 0o750)
	}
	return nil
}

// Whatever fails while a block is written: the rows are answered once, by this process and by one that
// starts after a kill; nothing half written stays; and when the fault is gone, the block is written
// and the log is truncated although the tenant is quiet by then.
func TestBlockIsWrittenWhenTheFaultIsGone(t *testing.T) {
	for name, at := range map[string]step{"data file": dataFile, "cut file": cutMarker, "open": openBlock} {
		t.Run(name, func(t *testing.T) {
			f := openFixture(t, t.TempDir(), nil)
			disk := &fullDisk{}
			disk.under(f)
			disk.fail(at)
			f.push(t, "one")
			f.push(t, "fifteen")
			f.now.Add(int64(time.Hour))
			for range 3 {
				require.Error(t, f.cutDue(t.Context()))
				require.Equal(t, map[string]int{"one": 1, "fifteen": 1}, read(t, f.all()))
			}
			require.Equal(t, map[string]int{"one": 1, "fifteen": 1}, read(t, f.killed(t, nil).all()))
			halves, err := filepath.Glob(filepath.Join(f.dir, "logs", "pending", team, "*.tmp"))
			require.NoError(t, err)
			require.Empty(t, halves)

			disk.fail(nothing)
			require.NoError(t, f.cutDue(t.Context()))
			blocks, err := filepath.Glob(filepath.Join(f.dir, "logs", "pending", team, "*"))
			require.NoError(t, err)
			require.Len(t, blocks, 1)
			require.EqualValues(t, 1, f.logs.floor.Load(), "the log is truncated")
			require.NoError(t, f.logs.ship(t.Context()))
			require.Equal(t, map[string]int{"one": 1, "fifteen": 1}, read(t, f.killed(t, nil).all()))
			f.close(t)
		})
	}
}

// A cut waits for the disk, and for writes that wait for it. Queries don't.
func TestQueriesDontWaitForACut(t *testing.T) {
	f := openFixture(t, t.TempDir(), nil)
	defer f.close(t)
	f.push(t, "line")
	begun, release := make(chan struct{}), make(chan struct{})
	newHead := f.logs.kind.newHead
	f.logs.kind.newHead = func(tenant string) head[logs.Batch, logs.Part, logs.AppendResult] {
		close(begun)
		<-release
		return newHead(tenant)
	}
	cut := make(chan error, 1)
	go func() { cut <- f.logs.cut(t.Context(), f.logs.tenant(team)) }()
	<-begun
	require.Equal(t, 1, f.count(t, team))

	state := f.logs.tenant(team)
	require.False(t, state.writes.TryRLock(), "a write would be in neither head")
	close(release)
	require.NoError(t, <-cut)
	require.Equal(t, 1, f.count(t, team))
}

// A clock that is set back must not make a head young for ever.
func TestHeadIsCutAfterTheClockWentBack(t *testing.T) {
	f := openFixture(t, t.TempDir(), nil)
	f.push(t, "line")
	f.now.Add(int64(-1000 * time.Hour))
	require.NoError(t, f.cutDue(t.Context()))
	f.now.Add(int64(time.Hour))
	require.NoError(t, f.cutDue(t.Context()))
	require.Zero(t, f.logs.tenant(team).head.Rows())
	f.close(t)
}

func (f *fixture) pendingBlocks(t *testing.T) []string {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(f.dir, "logs", "pending", team, "*"))
	require.NoError(t, err)
	return blocks
}

// A replay that needs more memory than a head may have cuts blocks. A process that is killed
// during or right after it, time and again, must not cut the same rows again.
func TestRepeatedReplayCutsOnce(t *testing.T) {
	f := openFixture(t, t.TempDir(), nil)
	line := strings.Repeat("x", 100_000)
	want := map[string]int{}
	for i := range 35 {
		l := fmt.Sprintf("%s%d", line, i)
		f.push(t, l)
		want[l] = 1
	}
	small := func(o *Options) { o.Config.Logs.MaxHeadBytes = units.MiB }
	first := f.killed(t, small)
	blocks := first.pendingBlocks(t)
	require.NotEmpty(t, blocks)
	require.Equal(t, want, read(t, first.all()))
	f.close(t)

	again := first.killed(t, small)
	require.Equal(t, blocksOf(blocks), blocksOf(again.pendingBlocks(t)))
	require.Equal(t, want, read(t, again.all()))

	// Nor may a block be forgotten while the log holds some of its rows.
	require.NoError(t, again.shipAll(t.Context()))
	again.now.Add(int64(time.Hour))
	require.NoError(t, again.shipAll(t.Context()))
	third := again.killed(t, small)
	require.Equal(t, want, read(t, third.all()))
	rows := 0
	listing, err := block.List(t.Context(), third.bucket, team, signal.Logs)
	require.NoError(t, err)
	for _, m := range listing.Blocks {
		rows += int(m.Rows)
	}
	require.Equal(t, 35, rows+third.logs.tenant(team).head.Rows(), "each row is in one place")
}

func blocksOf(paths []string) []string {
	var out []string
	for _, p := range paths {
		out = append(out, filepath.Base(p))
	}
	return out
}

// A restart after a long time without the bucket: once the blocks are uploaded, writes are taken again
// although nothing was left to cut.
func TestRestartWithMuchPendingRecovers(t *testing.T) {
	f := openFixture(t, t.TempDir(), nil)
	f.bucket.broken.Store(true)
	f.push(t, "line")
	require.Error(t, f.Flush(t.Context()))
	f.close(t)
	f = openFixture(t, f.dir, func(o *Options) { o.Config.MaxPendingBytes = 1 })
	_, err := f.PushLogs(t.Context(), team, batch("refused"))
	require.Equal(t, fault.Unavailable, fault.ClassOf(err))
	for range 2 {
		require.NoError(t, f.cutDue(t.Context()))
		require.NoError(t, f.shipAll(t.Context()))
		f.now.Add(int64(time.Hour))
	}
	f.push(t, "taken")
	require.Equal(t, map[string]int{"line": 1, "taken": 1}, read(t, f.all()))
	f.close(t)
}

// Restarts must not keep a head from growing old: the log would never be truncated.
func TestHeadKeepsItsAgeOverARestart(t *testing.T) {
	f := openFixture(t, t.TempDir(), nil)
	f.push(t, "line")
	f.close(t)
	segments, err := filepath.Glob(filepath.Join(f.dir, "logs", "wal", "0*"))
	require.NoError(t, err)
	hourAgo := time.Now().Add(-time.Hour)
	for _, s := range segments {
		require.NoError(t, os.Chtimes(s, hourAgo, hourAgo))
	}
	f = openFixture(t, f.dir, nil)
	require.Equal(t, 1, f.logs.tenant(team).head.Rows())
	require.NoError(t, f.cutDue(t.Context()))
	require.Zero(t, f.logs.tenant(team).head.Rows())
	f.close(t)
}

// Only damage moves a block aside: a start that is stopped, or lacks file handles, ends with an error.
func TestStartThatFailsMovesNothingAside(t *testing.T) {
	f := openFixture(t, t.TempDir(), nil)
	f.bucket.broken.Store(true)
	f.push(t, "line")
	require.Error(t, f.Flush(t.Context()))
	open := f.logs.kind.openBlock

	f.logs.kind.openBlock = func(context.Context, *block.Reader) (logs.Part, error) { return nil, syscall.EMFILE }
	_, err := f.logs.recoverPending(t.Context())
	require.ErrorIs(t, err, syscall.EMFILE)
	ctx, cancel := context.WithCancel(t.Context())
	f.logs.kind.openBlock = func(context.Context, *block.Reader) (logs.Part, error) {
		cancel()
		return nil, errors.New("interrupted")
	}
	_, err = f.logs.recoverPending(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, f.pendingBlocks(t), 1)
	require.NoDirExists(t, filepath.Join(f.dir, "logs", "quarantine"))

	// Damage does, even of a block that was moved aside before and put back.
	f.logs.kind.openBlock = open
	path := f.pendingBlocks(t)[0]
	require.NoError(t, os.Truncate(filepath.Join(path, block.DataFile), 10))
	_, err = f.logs.recoverPending(t.Context())
	require.NoError(t, err)
	aside := filepath.Join(f.dir, "logs", "quarantine", team, filepath.Base(path))
	require.DirExists(t, aside)
	require.NoError(t, os.CopyFS(path, os.DirFS(aside)))
	_, err = f.logs.recoverPending(t.Context())
	require.NoError(t, err)
	require.DirExists(t, aside+".1")
	f.close(t)
}

// The rows of a damaged block are taken from the log if it still has them, although a newer block says
// that it stands for them: at this start and at the next.
func TestDamagedBlockIsReplayed(t *testing.T) {
	f := openFixture(t, t.TempDir(), nil)
	f.bucket.broken.Store(true)
	_, err := f.PushLogs(t.Context(), "idle", batch("keeps the log"))
	require.NoError(t, err)
	want := map[string]int{}
	for _, line := range []string{"a", "bb", "ccc"} {
		f.push(t, line)
		want[line] = 1
		require.NoError(t, f.logs.cut(t.Context(), f.logs.tenant(team)))
	}
	f.close(t)
	require.NoError(t, os.Truncate(filepath.Join(f.pendingBlocks(t)[1], block.DataFile), 10))
	for range 2 {
		f = openFixture(t, f.dir, nil)
		f.bucket.broken.Store(true)
		require.Equal(t, want, read(t, f.all()))
		f.close(t)
	}
}
