package main

import (
	"os"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the environment says of the collector wins.
func TestTuneCollector(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	after := func(name, value string) int {
		for _, n := range []string{"GOGC", "GOMEMLIMIT"} {
			t.Setenv(n, "") // so that it is restored
			require.NoError(t, os.Unsetenv(n))
		}
		if name != "" {
			t.Setenv(name, value)
		}
		tuneCollector()
		return debug.SetGCPercent(100)
	}
	require.Equal(t, collectPercent, after("", ""))
	require.Equal(t, 100, after("GOGC", "100"))
	require.Equal(t, 100, after("GOMEMLIMIT", "2GiB"))
}
