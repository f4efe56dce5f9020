package ingester

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/logs"
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
