package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestQueryTraces: the forms in which hune query traces asks and prints.
func TestQueryTraces(t *testing.T) {
	p := start(t, t.TempDir(), quiet)
	p.sendShop(6, time.Now())
	ask := func(args ...string) string {
		t.Helper()
		code, out, errs := runCLI(t, nil, append([]string{"query", "--url", p.url, "traces"}, args...)...)
		require.Zero(t, code, errs)
		return out
	}
	raw := func(args ...string) []string {
		t.Helper()
		return strings.Split(strings.TrimSuffix(ask(append(args, "-o", "raw")...), "\n"), "\n")
	}
	errors := `{ status = error }`
	ids := raw(errors)
	require.Len(t, ids, 2)
	require.Equal(t, ids[:1], raw(errors, "--limit", "1"))
	require.Len(t, raw("{ }"), 6)
	require.Equal(t, []string{"0000000000000001", "0000000000000002", "0000000000000003"}, raw(ids[0]))

	table := strings.Split(ask(errors), "\n")
	require.Contains(t, table[0], "SERVICE")
	require.Regexp(t, ids[0]+` +web +GET /cart +100ms +1$`, table[1])
	require.Regexp(t, `78ms +db +SELECT +error`, ask(ids[0]))

	require.Equal(t, []string{"2"}, raw(errors+` | count_over_time()`, "--instant"))
	rate := raw(errors+` | rate()`, "--since", "10m", "--step", "1m")
	require.Greater(t, len(rate), 5)
	require.Contains(t, rate, "0")
	require.Regexp(t, `\d\d:\d\d:\d\d\.\d{3} +\{"?resource.service.name"?="db"\} +2\n`, ask(`{ kind = client && status = error } | count_over_time() by (resource.service.name)`, "--instant"))

	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{errors, "--limit", "7"}, "search limit=7 spans=3 build=shown show=[status]\n└ match { status = error }\n"},
		{[]string{errors + ` | rate()`, "--step", "30s"}, "rate() from=columns step=30s pieces=apart\n"},
		{[]string{errors + ` | rate()`, "--instant"}, "rate() from=columns pieces=apart\n"},
	} {
		plan := ask(append(c.args, "--explain")...)
		require.Contains(t, plan, c.want)
		require.Regexp(t, `\nspans +18\n`, plan)
	}
	var answer struct{ Traces []struct{ TraceID string } }
	require.NoError(t, json.Unmarshal([]byte(ask(errors, "-o", "json")), &answer))
	require.Len(t, answer.Traces, 2)

	f := func(want string, args ...string) {
		t.Helper()
		code, out, errs := runCLI(t, nil, append([]string{"query", "--url", p.url, "traces"}, args...)...)
		require.Equal(t, 1, code)
		require.Empty(t, out)
		require.Equal(t, "hune: "+want+"\n", errs)
	}
	f(`--output: "xml" is none of table, raw and json`, "-o", "xml", errors)
	f("--explain: only searches and metrics queries can be explained", "--explain", ids[0])
	f(fmt.Sprintf("trace %032x is not known", 77), fmt.Sprintf("%032x", 77))
	code, _, errs := runCLI(t, nil, "query", "--url", p.url, "traces", "{ status = eror }")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "\n  { status = eror }\n             ^^^^")
}
