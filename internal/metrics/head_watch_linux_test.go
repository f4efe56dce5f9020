package metrics

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/fault"
)

// fillDisk makes every write to the open files in dir fail with "no space left on device", until
// the returned function makes room.
func fillDisk(t *testing.T, dir string) (room func()) {
	t.Helper()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer full.Close()
	fds, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, e := range fds {
		fd, err := strconv.Atoi(e.Name())
		require.NoError(t, err)
		target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err != nil || filepath.Dir(target) != dir {
			continue
		}
		flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFL, 0)
		require.Zero(t, errno)
		if flags&syscall.O_ACCMODE == syscall.O_RDONLY {
			continue
		}
		saved, err := syscall.Dup(fd)
		require.NoError(t, err)
		require.NoError(t, syscall.Dup3(int(full.Fd()), fd, syscall.O_CLOEXEC))
		return func() {
			require.NoError(t, syscall.Dup3(saved, fd, syscall.O_CLOEXEC))
			require.NoError(t, syscall.Close(saved))
		}
	}
	t.Fatalf("no file in %s is open for writing", dir)
	return nil
}

// After a write to a log has failed, in order or out of order, nothing is acknowledged until a
// restart has cut off what was written in part. What was acknowledged before is all there.
func TestFailedWritesAreFinal(t *testing.T) {
	for log, bad := range map[string]Sample{"wal": {T: at(time.Second), V: 2}, "wbl": {T: at(-time.Minute), V: 2}} {
		t.Run(log, func(t *testing.T) {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			require.NoError(t, err)
			h := openTestHeads(t, testHeadOptions(t, dir, nil))
			push(t, h, "a", floats("m", Sample{T: at(0), V: 1}))
			push(t, h, "a", floats("m", Sample{T: at(-2 * time.Minute), V: 1}))
			room := fillDisk(t, filepath.Join(dir, "a", log))
			for range 2 {
				_, err = h.Append(t.Context(), "a", &Batch{Series: []Series{floats("m", bad)}})
				require.ErrorContains(t, err, "tenant a")
				require.Equal(t, fault.Unavailable, fault.ClassOf(err), "senders must keep the data and try again")
				if room != nil {
					room()
					room = nil
				}
			}
			push(t, h, "b", floats("m", Sample{T: at(0), V: 1}))
			require.NoError(t, h.Close())

			h = openTestHeads(t, testHeadOptions(t, dir, nil))
			got := stored(t, h, "a")["m"]
			require.Equal(t, 1.0, got[at(0)])
			require.Equal(t, 1.0, got[at(-2*time.Minute)])
			push(t, h, "a", floats("m", Sample{T: at(time.Minute), V: 1}))
		})
	}
}
