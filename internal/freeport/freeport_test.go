package freeport

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTake(t *testing.T) {
	seen := map[string]bool{}
	for range 500 {
		addr, err := Take()
		require.NoError(t, err)
		require.False(t, seen[addr], addr)
		seen[addr] = true
	}
	for addr := range seen {
		l, err := net.Listen("tcp", addr)
		require.NoError(t, err)
		require.False(t, free(addr))
		require.NoError(t, l.Close())
		break
	}
}

// Another process gets none of the ports that this one holds.
func TestTakeInProcesses(t *testing.T) {
	const n = 2000
	if os.Getenv("FREEPORT_CHILD") != "" {
		for range n {
			addr, err := Take()
			require.NoError(t, err)
			_, _ = os.Stdout.WriteString(addr + "\n")
		}
		return
	}
	mine := map[string]bool{}
	for range n {
		addr, err := Take()
		require.NoError(t, err)
		mine[addr] = true
	}
	child := exec.Command(os.Args[0], "-test.run", "^TestTakeInProcesses$")
	child.Env = append(os.Environ(), "FREEPORT_CHILD=1")
	out, err := child.Output()
	require.NoError(t, err)
	theirs := 0
	for line := range strings.Lines(string(out)) {
		if addr := strings.TrimSpace(line); strings.HasPrefix(addr, "127.") {
			theirs++
			require.False(t, mine[addr], addr)
		}
	}
	require.Equal(t, n, theirs)
}
