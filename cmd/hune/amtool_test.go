package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const amtoolConfig = `
route:
  receiver: everyone
  group_by: [alertname]
  routes:
    - matchers: [severity="page"]
      receiver: pager
    - matchers: [team="db"]
      receiver: db
receivers:
  - name: everyone
  - name: pager
  - name: db
`

// am runs amtool against a process.
func (p *process) am(args ...string) string {
	p.t.Helper()
	return mustTool(p.t, "amtool", append([]string{"--alertmanager.url", p.url}, args...)...)
}

// lines returns the lines of text that aren't empty.
func lines(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
}

func amtoolProcess(t *testing.T) (*process, string) {
	t.Helper()
	tool(t, "amtool") // before anything is started
	file := filepath.Join(t.TempDir(), "alertmanager.yml")
	require.NoError(t, os.WriteFile(file, []byte(amtoolConfig), 0o600))
	return start(t, t.TempDir(), append([]string{"HUNE_ALERTMANAGER_CONFIG_FILE=" + file}, quiet...)), file
}

// Alertmanager's own tool adds and finds alerts.
func TestAmtoolAlerts(t *testing.T) {
	p, _ := amtoolProcess(t)
	p.am("alert", "add", "DiskFull", "severity=page", "host=a", "--annotation=summary=nearly full", "--generator-url=http://hune/x")
	p.am("alert", "add", "alertname=Slow", "team=db")
	p.am("alert", "add", "Over", "host=a", "--start=2020-01-01T00:00:00Z", "--end=2020-01-02T00:00:00Z")
	names := func(args ...string) (out []string) {
		t.Helper()
		var alerts []struct{ Labels, Annotations map[string]string }
		text := p.am(append([]string{"-o", "json", "alert", "query"}, args...)...)
		require.NoError(t, json.Unmarshal([]byte(text), &alerts), text)
		for _, a := range alerts {
			out = append(out, a.Labels["alertname"])
		}
		return out
	}
	require.ElementsMatch(t, []string{"DiskFull", "Slow"}, names())
	require.Equal(t, []string{"DiskFull"}, names("host=a"))
	require.Equal(t, []string{"Slow"}, names("--receiver=db"))
	require.Equal(t, []string{"DiskFull"}, names(`severity=~"p.*"`, "alertname!=Slow"))
	require.Contains(t, p.am("alert", "query", "DiskFull"), "nearly full")
	require.Contains(t, p.am("-o", "extended", "alert"), "http://hune/x")

	id := strings.TrimSpace(p.am("silence", "add", "-c", "known", "alertname=DiskFull"))
	require.Equal(t, []string{"Slow"}, names("--active"))
	require.Equal(t, []string{"DiskFull"}, names("--silenced"))
	p.am("silence", "expire", id)
	require.ElementsMatch(t, []string{"DiskFull", "Slow"}, names("--active"))
}

// It sets, changes, exports, imports and ends silences.
func TestAmtoolSilences(t *testing.T) {
	p, _ := amtoolProcess(t)
	code, out := runTool(t, "amtool", "--alertmanager.url", p.url, "silence", "add", "alertname=A")
	require.NotZero(t, code, "a comment is wanted: %s", out)
	a := strings.TrimSpace(p.am("silence", "add", "-a", "ann", "-c", "first", "-d", "2h", "alertname=A", `host=~"web.*"`))
	b := strings.TrimSpace(p.am("silence", "add", "-a", "bob", "-c", "second", "-d", "1h", "alertname=B"))
	require.ElementsMatch(t, []string{a, b}, lines(p.am("silence", "query", "-q")))
	require.Equal(t, []string{a}, lines(p.am("silence", "query", "-q", "alertname=A")))
	require.Equal(t, []string{b}, lines(p.am("silence", "query", "-q", "--created-by", "bob")))
	require.Equal(t, []string{b}, lines(p.am("silence", "query", "-q", "--within", "90m")))
	require.Contains(t, p.am("silence", "query", "--id", a), "first")

	// A change of the comment keeps the silence.
	p.am("silence", "update", "-c", "changed", "-d", "3h", a)
	require.Equal(t, []string{a}, lines(p.am("silence", "query", "-q", "alertname=A")))
	require.Contains(t, p.am("-o", "extended", "silence", "query", "alertname=A"), "changed")

	exported := filepath.Join(t.TempDir(), "silences.json")
	require.NoError(t, os.WriteFile(exported, []byte(p.am("-o", "json", "silence", "query")), 0o600))
	p.am("silence", "expire", a, b)
	require.Empty(t, lines(p.am("silence", "query", "-q")))
	require.ElementsMatch(t, []string{a, b}, lines(p.am("silence", "query", "-q", "--expired")))
	p.am("silence", "import", "--force", exported)
	require.Len(t, lines(p.am("silence", "query", "-q")), 2)

	code, out = runTool(t, "amtool", "--alertmanager.url", p.url, "silence", "expire", "00000000-0000-0000-0000-000000000000")
	require.NotZero(t, code, out)
	code, out = runTool(t, "amtool", "--alertmanager.url", p.url, "silence", "add", "-c", "over", "--start", time.Now().Add(-2*time.Hour).Format(time.RFC3339),
		"--end", time.Now().Add(-time.Hour).Format(time.RFC3339), "alertname=C")
	require.NotZero(t, code, out)
}

// It shows and tests the configuration in force, and says of a file what Hune says of it.
func TestAmtoolConfiguration(t *testing.T) {
	p, file := amtoolProcess(t)
	require.Contains(t, p.am("config", "show"), "receiver: pager")
	tree := p.am("config", "routes", "show")
	for _, want := range []string{"receiver: everyone", `{severity="page"}`, "receiver: db"} {
		require.Contains(t, tree, want)
	}
	require.Equal(t, "pager", strings.TrimSpace(p.am("config", "routes", "test", "severity=page", "team=db")))
	require.Equal(t, "everyone", strings.TrimSpace(p.am("config", "routes", "test", "--verify.receivers=everyone", "team=web")))
	code, out := runTool(t, "amtool", "--alertmanager.url", p.url, "config", "routes", "test", "--verify.receivers=pager", "team=web")
	require.NotZero(t, code, out)
	require.Contains(t, p.am("cluster", "show"), "disabled", "one process has no cluster")

	bad := filepath.Join(t.TempDir(), "bad.yml")
	require.NoError(t, os.WriteFile(bad, []byte("route: {receiver: nobody}\nreceivers: [{name: somebody}]\n"), 0o600))
	require.Contains(t, mustTool(t, "amtool", "check-config", file), "SUCCESS")
	code, out = runTool(t, "amtool", "check-config", bad)
	require.NotZero(t, code, out)
	code, stdout, stderr := runCLI(t, append([]string{"HUNE_ALERTMANAGER_CONFIG_FILE=" + bad}, quiet...), "serve", "--data", t.TempDir(), "--http", freeAddr(t))
	require.NotZero(t, code, stdout)
	require.Contains(t, stderr+stdout, `undefined receiver "nobody"`)

	templates := filepath.Join(t.TempDir(), "own.tmpl")
	require.NoError(t, os.WriteFile(templates, []byte(`{{ define "own" }}{{ .Status | toUpper }} {{ len .Alerts }}{{ end }}`), 0o600))
	require.Equal(t, "ALERTSTATUS 2", mustTool(t, "amtool", "template", "render", "--template.glob", templates, "--template.text", `{{ template "own" . }}`), "of amtool's own sample")
}
