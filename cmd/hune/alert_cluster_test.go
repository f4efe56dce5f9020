package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// peerTimeout is how long the second member of a cluster waits for the first.
const peerTimeout = 4 * time.Second

// member writes the configuration of a member of a cluster and returns its name. Members stand in the
// order of their names, which gossip makes.
func member(t *testing.T, hook *webhook, groupWait, listen, peer string) string {
	t.Helper()
	dir := t.TempDir()
	am, config := filepath.Join(dir, "alertmanager.yml"), filepath.Join(dir, "hune.yaml")
	require.NoError(t, os.WriteFile(am, fmt.Appendf(nil, `
route: {receiver: hook, group_by: [alertname], group_wait: %s, group_interval: 1s, repeat_interval: 4h}
receivers:
  - name: hook
    webhook_configs: [{url: %q}]
`, groupWait, hook.URL), 0o600))
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
alertmanager:
  config_file: %q
  cluster:
    listen: %s
    peers: [%s]
    name: %s
    gossip_interval: 50ms
    push_pull_interval: 500ms
    reconnect_interval: 500ms
    peer_timeout: %s
`, am, listen, peer, listen, peerTimeout), 0o600))
	return config
}

// clusterSize is how many members this one sees.
func (p *process) clusterSize() int {
	var s struct {
		Cluster struct {
			Status string
			Peers  []struct{}
		}
		VersionInfo struct{ Version string }
	}
	p.getJSON("/api/v2/status", nil, &s)
	require.NotEmpty(p.t, s.VersionInfo.Version)
	if s.Cluster.Status != "ready" {
		return 0
	}
	return len(s.Cluster.Peers)
}

func awaitCluster(t *testing.T, size int, members ...*process) {
	t.Helper()
	for _, p := range members {
		require.Eventually(t, func() bool { return p.clusterSize() == size }, 90*time.Second, 50*time.Millisecond, "%s sees %d members", p.url, size)
	}
}

// alert sends an alert that lasts an hour.
func (p *process) alert(name string) {
	p.t.Helper()
	body := fmt.Appendf(nil, `[{"labels":{"alertname":%q},"startsAt":%q,"endsAt":%q}]`, name,
		time.Now().Format(time.RFC3339Nano), time.Now().Add(time.Hour).Format(time.RFC3339Nano))
	status, answer := p.post("/api/v2/alerts", "application/json", body, nil)
	require.Equal(p.t, http.StatusOK, status, answer)
}

// silence sets a silence that fits no alert.
func (p *process) silence(comment string) {
	p.t.Helper()
	body := fmt.Appendf(nil, `{"matchers":[{"name":"alertname","value":"None","isRegex":false}],"startsAt":%q,"endsAt":%q,"createdBy":"test","comment":%q}`,
		time.Now().Format(time.RFC3339Nano), time.Now().Add(time.Hour).Format(time.RFC3339Nano), comment)
	status, answer := p.post("/api/v2/silences", "application/json", body, nil)
	require.Equal(p.t, http.StatusOK, status, answer)
}

// told waits until the receiver was told of the alert, whoever told it.
func told(t *testing.T, hook *webhook, name string) {
	t.Helper()
	require.Eventually(t, func() bool { return hook.count("firing "+name) > 0 }, 90*time.Second, 20*time.Millisecond, "%s is never told", name)
}

// first returns the member that tells first, and the other: the one whose notification of a probe is in its
// own history.
func first(t *testing.T, hook *webhook, members ...*process) (*process, *process) {
	t.Helper()
	for _, p := range members {
		p.alert("Probe")
	}
	told(t, hook, "Probe")
	var teller int
	require.Eventually(t, func() bool {
		for i, p := range members {
			if len(p.lokiLines(`{hune="alerts"} | json | event="notification" | alertname="Probe"`, time.Now().Add(-time.Minute), time.Now().Add(time.Minute), nil)) > 0 {
				teller = i
				return true
			}
		}
		return false
	}, 30*time.Second, 20*time.Millisecond)
	// What the teller noted reaches the other a moment later: until then its death would mean a second telling.
	other := members[1-teller]
	require.Eventually(t, func() bool {
		_, text := other.get("/metrics", nil, nil)
		return gossiped.MatchString(text)
	}, 30*time.Second, 20*time.Millisecond)
	return members[teller], other
}

// gossiped is in the metrics of a member that learned from another that a receiver was told.
var gossiped = regexp.MustCompile(`(?m)^alertmanager_nflog_gossip_messages_propagated_total\{.*\} [1-9]`)

// Of two members in two processes the one that would tell is killed or cut off with an alert in hand: the
// other tells, and neither tells again once they are together, except what a member that was cut off sends
// before it hears of the other.
func TestClusterLosesNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		away   func(t *testing.T, p *process)
		back   func(t *testing.T, p *process, start func() *process) *process
		atMost int // times that the alert is told
	}{
		"killed": {
			away: func(_ *testing.T, p *process) { p.kill() },
			back: func(_ *testing.T, _ *process, start func() *process) *process { return start() },
			// It waits for the others after its start, and hears from them.
			atMost: 1,
		},
		"partitioned": {
			away: func(t *testing.T, p *process) { require.NoError(t, p.cmd.Process.Signal(syscall.SIGSTOP)) },
			back: func(t *testing.T, p *process, _ func() *process) *process {
				require.NoError(t, p.cmd.Process.Signal(syscall.SIGCONT))
				return p
			},
			atMost: 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hook := newWebhook(t)
			listen := []string{freeAddr(t), freeAddr(t)}
			members := map[*process]func() *process{}
			var all []*process
			for i := range listen {
				dir, config := t.TempDir(), member(t, hook, "3s", listen[i], listen[1-i])
				begin := func() *process { return start(t, dir, quiet, "--config", config) }
				p := begin()
				members[p] = begin
				all = append(all, p)
			}
			awaitCluster(t, 2, all...)
			teller, other := first(t, hook, all...)

			for _, p := range all {
				p.alert("Shared")
			}
			tc.away(t, teller)
			early := hook.count("firing Shared") // on a slow machine; else the group still waits
			told(t, hook, "Shared")
			other.alert("Meanwhile") // which the one that is away never gets
			told(t, hook, "Meanwhile")
			other.silence("after Meanwhile")

			teller = tc.back(t, teller, members[teller])
			awaitCluster(t, 2, teller, other)
			require.Eventually(t, func() bool {
				_, body := teller.get("/api/v2/silences", nil, nil)
				return strings.Contains(body, "after Meanwhile")
			}, 90*time.Second, 20*time.Millisecond, "it hears from the other")
			teller.alert("Meanwhile") // its sender is heard again
			for _, p := range []*process{teller, other} {
				p.alert("Later")
			}
			told(t, hook, "Later")
			require.LessOrEqual(t, hook.count("firing Shared"), tc.atMost+early)
			require.Equal(t, 1, hook.count("firing Meanwhile"), "the other's notification is known before the alert is")
			require.Equal(t, 1, hook.count("firing Later"))
			require.Equal(t, 1, hook.count("firing Probe"))
		})
	}
}

// Bad files end the start, with their place.
func TestBadAlertingFiles(t *testing.T) {
	hook := newWebhook(t)
	for name, tc := range map[string]struct {
		rules, am string
		want      []string
	}{
		"rules": {rules: "groups:\n- name: g\n  rules:\n  - alert: B\n    expr: vector(\n", want: []string{"rules.yml: 5:11: group \"g\", rule 0, \"B\": could not parse expression"}},
		"alertmanager": {rules: "groups: []\n", am: "route:\n  receiver: a\nreceivers:\n  - name: a\n    webhok_configs: []\n",
			want: []string{"alertmanager.yml", "line 5", "field webhok_configs not found"}},
	} {
		t.Run(name, func(t *testing.T) {
			config := alerting(t, hook, "1s", tc.rules, "")
			if tc.am != "" {
				require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(config), "alertmanager.yml"), []byte(tc.am), 0o600))
			}
			code, out, errs := runCLI(t, quiet, "serve", "--data", t.TempDir(), "--http", freeAddr(t), "--otlp-grpc", freeAddr(t), "--otlp-http", freeAddr(t), "--config", config)
			require.Equal(t, 1, code, out)
			for _, want := range tc.want {
				require.Contains(t, strings.TrimSpace(errs), want)
			}
		})
	}
}
