package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// runHune runs a command in this process and returns what it prints.
func runHune(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := newCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(context.WithoutCancel(t.Context()))
	return out.String(), err
}

// Old metrics are imported, listed, verified, rewritten without a series, and found damaged when they are.
func TestBucketTools(t *testing.T) {
	data := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		out, err := runHune(t, append(args, "--data", data)...)
		require.NoError(t, err, out)
		return out
	}
	var text strings.Builder
	for _, job := range []string{"api", "secret"} {
		for m := range 60 {
			fmt.Fprintf(&text, "m{job=%q} %d %d\n", job, m, 1772359200+m*60)
		}
	}
	text.WriteString("# EOF\n")
	file := filepath.Join(t.TempDir(), "old.om")
	require.NoError(t, os.WriteFile(file, []byte(text.String()), 0o600))
	out := run("metrics", "import", file, "--label", "origin=old")
	require.Regexp(t, `^block [0-9A-Z]{26}: 2026-03-01T10:00:00Z to 2026-03-01T10:59:00Z, 2 series, 120 samples\n$`, out)
	first := regexp.MustCompile(`[0-9A-Z]{26}`).FindString(out)

	out = run("bucket", "ls")
	require.Regexp(t, `(?m)^anonymous +metrics +`+first+` +2026-03-01T10:00:00Z +59m0s +raw +1 +120 +\S+ \S+ +current$`, out)
	require.NotContains(t, run("bucket", "ls", "--signal", "logs"), first)
	out = run("bucket", "inspect", first)
	require.Contains(t, out, "block "+first+" of tenant anonymous: current\n")
	require.Contains(t, out, `"origin": "old"`)
	require.Equal(t, "anonymous/"+first+": whole\n1 blocks, 0 bad\n", run("bucket", "verify"))

	out = run("bucket", "rewrite", first, "--delete", `{job="secret"}`, "--from", "2026-03-01T10:30:00Z")
	second := regexp.MustCompile(`as ([0-9A-Z]{26})`).FindStringSubmatch(out)
	require.Len(t, second, 2, out)
	require.Regexp(t, second[1]+` .* raw +2 +90 +.*current`, run("bucket", "ls"))
	require.Contains(t, run("bucket", "ls"), "replaced by "+second[1]+", deleted after a delay, marked ")
	_, err := runHune(t, "bucket", "rewrite", first, "--data", data)
	require.ErrorContains(t, err, "is replaced by block "+second[1])

	require.Equal(t, "block "+second[1]+" is marked: no-compact\n", run("bucket", "mark", second[1], "--as", "no-compact", "--details", "to be\nlooked at"))
	run("bucket", "mark", second[1], "--as", "no-downsample")
	require.Regexp(t, second[1]+` .* not to be compacted, marked \S+ \(to be; looked at\), not to be downsampled, marked \S+\n`, run("bucket", "ls"))
	require.Contains(t, run("bucket", "inspect", second[1]), "(to be; looked at)")
	run("bucket", "mark", second[1], "--as", "no-downsample", "--remove")
	run("bucket", "mark", second[1], "--as", "no-compact", "--remove")
	require.Regexp(t, second[1]+` .*current`, run("bucket", "ls"))
	run("bucket", "mark", first, "--as", "deletion", "--remove")
	require.NotContains(t, run("bucket", "ls"), "deleted after a delay")

	// Damage is found, and named.
	index, err := filepath.Glob(filepath.Join(data, "*", "anonymous", "metrics", second[1], "index"))
	require.NoError(t, err)
	require.Len(t, index, 1)
	require.NoError(t, os.Truncate(index[0], 10))
	out, err = runHune(t, "bucket", "verify", second[1], "--data", data)
	require.ErrorIs(t, err, errBadBlocks)
	require.Contains(t, out, second[1]+": ")
	require.Contains(t, out, "index has 10 bytes")

	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"bucket", "inspect", "nonsense"}, `"nonsense" is not the name of a block`},
		{[]string{"bucket", "inspect", "01ARZ3NDEKTSV4RRFFQ69G5FAV"}, "has no block of metrics"},
		{[]string{"bucket", "verify", "01ARZ3NDEKTSV4RRFFQ69G5FAV"}, "1 of the blocks are not in the bucket"},
		{[]string{"bucket", "rewrite", second[1], "--delete", "{"}, `selector "{"`},
		{[]string{"bucket", "rewrite", second[1], "--from", "noon"}, `"noon" is not a time`},
		{[]string{"bucket", "mark", second[1], "--as", "old"}, `unknown mark "old": there are deletion, no-compact and no-downsample`},
		{[]string{"bucket", "mark", second[1]}, `required flag(s) "as" not set`},
		{[]string{"bucket", "mark", second[1], "--as", "deletion", "--remove"}, "hasn't the mark deletion"},
		{[]string{"bucket", "mark", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "--as", "deletion"}, "tenant anonymous has no block of metrics"},
		{[]string{"bucket", "ls", "--signal", "smoke"}, `unknown signal "smoke"`},
		{[]string{"bucket", "ls", "--tenant", "../x"}, "tenant"},
		{[]string{"metrics", "import", filepath.Join(data, "absent")}, "no such file"},
		{[]string{"metrics", "import", t.TempDir()}, "is no TSDB block"},
	} {
		_, err := runHune(t, append(c.args, "--data", data)...)
		require.ErrorContains(t, err, c.want, "%v", c.args)
	}
}
