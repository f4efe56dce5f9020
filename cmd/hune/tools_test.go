package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// toolPaths are the programs that tests have asked for, by name.
var toolPaths sync.Map // string → func() (string, error)

// tool returns the path of a program that go.mod names as a tool: amtool and promtool, of the versions of the
// libraries inside. It is built once, and kept in Go's build cache. Where that isn't possible, as without a
// network and with an empty module cache, the test is skipped; with CI=true it fails.
func tool(t *testing.T, name string) string {
	t.Helper()
	build, _ := toolPaths.LoadOrStore(name, sync.OnceValues(func() (string, error) {
		cmd := exec.Command("go", "tool", "-n", name) // builds it, and prints where it is
		var errs strings.Builder
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			return "", errors.New(strings.TrimSpace(errs.String()))
		}
		path := strings.TrimSpace(string(out))
		_, err = os.Stat(path)
		return path, err
	}))
	path, err := build.(func() (string, error))()
	if err != nil {
		require.NotEqual(t, "true", os.Getenv("CI"), "nothing may be left out: %s can't be built: %v", name, err)
		t.Skipf("%s can't be built here: %v", name, err)
	}
	return path
}

// runTool runs a tool and returns its exit code and what it wrote, both streams in one.
func runTool(t *testing.T, name string, args ...string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool(t, name), args...)
	// No configuration of whoever runs the test.
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// mustTool is runTool for what must succeed.
func mustTool(t *testing.T, name string, args ...string) string {
	t.Helper()
	code, out := runTool(t, name, args...)
	require.Zero(t, code, "%s %s: %s", name, strings.Join(args, " "), out)
	return out
}
