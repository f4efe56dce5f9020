package ingester

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
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
