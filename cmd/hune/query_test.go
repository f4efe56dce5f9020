package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// logsServer is a server with three entries a second apart, the last of them at the time returned.
func logsServer(t *testing.T) (*process, time.Time) {
	p := start(t, t.TempDir(), quiet)
	last := time.Now().Add(-time.Minute).Truncate(time.Second)
	var entries [][2]string
	for i, line := range []string{`{"level":"error","n":1}`, "level=info n=2", "esc \x1b[31mred"} {
		entries = append(entries, [2]string{strconv.FormatInt(last.Add(time.Duration(i-2)*time.Second).UnixNano(), 10), line})
	}
	code, body := p.post("/loki/api/v1/push", jsonType, lokiPush(map[string]string{"app": "cli"}, entries), nil)
	require.Equal(t, http.StatusNoContent, code, body)
	return p, last
}

// TestQueryLogs: the forms in which hune query logs asks and prints.
func TestQueryLogs(t *testing.T) {
	p, last := logsServer(t)
	ask := func(args ...string) string {
		t.Helper()
		code, out, errs := runCLI(t, nil, append([]string{"query", "--url", p.url, "logs"}, args...)...)
		require.Zero(t, code, errs)
		return out
	}
	raw := func(args ...string) []string {
		t.Helper()
		return strings.Split(strings.TrimSuffix(ask(append(args, "-o", "raw")...), "\n"), "\n")
	}
	q := `{app="cli"}`
	all := []string{`{"level":"error","n":1}`, "level=info n=2", "esc \x1b[31mred"}
	require.Equal(t, all, raw(q))
	require.Equal(t, all[2:], raw(q, "--limit", "1"))
	require.Equal(t, all[:1], raw(q, "--limit", "1", "--forward"))
	at := func(d time.Duration) string { return last.Add(d).UTC().Format(time.RFC3339Nano) }
	require.Equal(t, all[1:2], raw(q, "--from", at(-time.Second), "--to", at(0)))
	require.Equal(t, all[1:2], raw(q, "--start", at(-time.Second), "--end", at(0)))
	require.Equal(t, all[1:], raw(q, "--since", "2s", "--to", at(time.Second)))
	require.Equal(t, all[1:2], raw(q+` | n > 1`, "--auto-fields"))
	require.Equal(t, []string{"3"}, raw(`sum(count_over_time({app="cli"}[1h]))`, "--instant"))

	table := ask(q)
	require.Contains(t, table, `app="cli"`)
	require.Contains(t, table, "esc \x1b[31mred\n", "a pipe gets the line as it is")
	colored := ask(q, "--color", "always")
	require.Contains(t, colored, colorError+all[0]+colorOff)
	require.Contains(t, colored, colorLabels+"{app=")
	require.Equal(t, table, ask(q, "--color", "always", "--no-color"))

	var answer struct{ Status string }
	require.NoError(t, json.Unmarshal([]byte(ask(q, "-o", "json")), &answer))
	require.Equal(t, "success", answer.Status)
}

// TestQueryLogsFaults: errors of a query point to the place, those of flags name the flag.
func TestQueryLogsFaults(t *testing.T) {
	p, _ := logsServer(t)
	f := func(want string, args ...string) {
		t.Helper()
		code, out, errs := runCLI(t, nil, append([]string{"query", "--url", p.url, "logs"}, args...)...)
		require.Equal(t, 1, code)
		require.Empty(t, out)
		require.Equal(t, "hune: "+want+"\n", errs)
	}
	f(`400 Bad Request: parse error at line 1, col 19: syntax error: unexpected |
  {app="cli"} | jsn | x="y"
                    ^ did you mean json?`, `{app="cli"} | jsn | x="y"`)
	f(`400 Bad Request: parse error at line 2, col 6: syntax error: unexpected IDENTIFIER, expecting STRING or ip
  {app="cli"}
    |= error |= "x"
       ^^^^^ put error in quotes`, "{app=\"cli\"}\n  |= error |= \"x\"")
	f(`400 Bad Request: parse error at line 1, col 19: syntax error: unexpected |
  {app="cli"} | jsn | x="y"
                    ^ did you mean json?`, "--tail", `{app="cli"} | jsn | x="y"`)
	f(`--output: "xml" is none of table, raw and json`, "-o", "xml", `{app="cli"}`)
	f(`--color: "red" is none of auto, always and never`, "--color", "red", `{app="cli"}`)
	f("if any flags in the group [tail explain] are set none of the others can be; [explain tail] were all set", "--tail", "--explain", `{app="cli"}`)
}

// TestQueryLogsTail: a tail begins with the last entries, goes on with new ones, and ends with the signal.
func TestQueryLogsTail(t *testing.T) {
	p, _ := logsServer(t)
	path, err := binary()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), path, "query", "--url", p.url, "logs", "--tail", "-o", "raw", `{app="cli"} |= "n"`)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	next := func() string {
		t.Helper()
		require.True(t, lines.Scan(), "the tail ended: %v", lines.Err())
		return lines.Text()
	}
	require.Equal(t, `{"level":"error","n":1}`, next())
	require.Equal(t, "level=info n=2", next())
	code, body := p.post("/loki/api/v1/push", jsonType, lokiPush(map[string]string{"app": "cli"},
		[][2]string{{fmt.Sprint(time.Now().UnixNano()), "n=3 live"}}), nil)
	require.Equal(t, http.StatusNoContent, code, body)
	require.Equal(t, "n=3 live", next())
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.NoError(t, cmd.Wait())
}

// TestQueryLogsExplain prints what a server says of a query that it doesn't run.
func TestQueryLogsExplain(t *testing.T) {
	explains := true
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("explain") != "true" || !explains {
			fmt.Fprint(w, `{"status":"success","data":{"resultType":"streams","result":[]}}`)
			return
		}
		fmt.Fprint(w, `{"status":"success","data":{"plan":"limit 100\n  scan {app=\"cli\"}\n","tree":{},"estimate":{"bytes":1024,"blocks":2,"duration":"1.5ms"}}}`)
	}))
	defer srv.Close()
	code, out, errs := runCLI(t, nil, "query", "--url", srv.URL, "logs", "--explain", `{app="cli"}`)
	require.Zero(t, code, errs)
	require.Equal(t, "limit 100\n  scan {app=\"cli\"}\nblocks    2\nbytes     1024\nduration  1.5ms\n", out)
	explains = false
	code, _, errs = runCLI(t, nil, "query", "--url", srv.URL, "logs", "--explain", `{app="cli"}`)
	require.Equal(t, 1, code)
	require.Contains(t, errs, "doesn't explain queries")
}

// TestVisible: what is shown on a terminal can't steer it.
func TestVisible(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		require.Equal(t, want, visible(in))
	}
	f("plain é\ttab", "plain é\ttab")
	f("\x1b[2Jgone", `\x1b[2Jgone`)
	f("a\r\nb\x00", `a\r\nb\x00`)
	f("\u009b31m", `\u009b31m`)
}
