package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"
)

// ringMember writes the configuration of a member that shares a bucket and rule files with others.
func ringMember(t *testing.T, bucket, rules, am, alerts, alertPeer, listen, join string) string {
	t.Helper()
	config := filepath.Join(t.TempDir(), "hune.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
storage: {provider: filesystem, filesystem: {directory: %q}}
cluster: {listen: %q, join: [%q], secret: the secret of this test, heartbeat_period: 1s, heartbeat_timeout: 8s}
rules: {files: [%q], defaults: false, evaluation_interval: 500ms, poll_interval: 500ms, resend_delay: 30s, for_grace_period: 0s}
alertmanager:
  config_file: %q
  cluster: {listen: %q, peers: [%q], name: %q, gossip_interval: 50ms, push_pull_interval: 500ms, reconnect_interval: 500ms, settle_timeout: 2s, peer_timeout: 1s}
compactor: {interval: 1s}
store: {poll_interval: 1s}
scrape_configs:
  # Nobody is there, and nobody is asked before the test is over.
  - {job_name: shared, scrape_interval: 24h, static_configs: [{targets: [%s]}]}
`, bucket, listen, join, rules, am, alerts, alertPeer, alerts, strings.Join(sharedTargets, ", ")), 0o600))
	return config
}

// sharedTargets are scraped by members of a ring.
var sharedTargets = []string{"t0.invalid:1", "t1.invalid:1", "t2.invalid:1", "t3.invalid:1", "t4.invalid:1", "t5.invalid:1", "t6.invalid:1", "t7.invalid:1", "t8.invalid:1", "t9.invalid:1"}

// targets returns how many of the shared targets a member shows, each once, and the warnings.
func (p *process) targets(header map[string]string) (int, []string) {
	p.t.Helper()
	status, body := p.get("/api/v1/targets?state=active", nil, header)
	require.Equal(p.t, http.StatusOK, status, body)
	var a struct {
		Warnings []string
		Data     struct {
			ActiveTargets []struct {
				ScrapePool string
				Labels     struct{ Instance string }
			}
		}
	}
	require.NoError(p.t, json.Unmarshal([]byte(body), &a), body)
	shown := map[string]bool{}
	for _, target := range a.Data.ActiveTargets {
		if target.ScrapePool == "shared" {
			require.False(p.t, shown[target.Labels.Instance], "%s is shown twice", target.Labels.Instance)
			shown[target.Labels.Instance] = true
		}
	}
	return len(shown), a.Warnings
}

// evaluated returns when the groups that a member shows were last evaluated, and the warnings.
func (p *process) evaluated(header map[string]string) (groups map[string]time.Time, pendingSince map[string]time.Time, warnings []string) {
	p.t.Helper()
	status, body := p.get("/api/v1/rules", nil, header)
	require.Equal(p.t, http.StatusOK, status, body)
	var a struct {
		Warnings []string
		Data     struct {
			Groups []struct {
				Name           string
				LastEvaluation time.Time
				Rules          []struct {
					Alerts []struct {
						State    string
						ActiveAt time.Time
					}
				}
			}
		}
	}
	require.NoError(p.t, json.Unmarshal([]byte(body), &a), body)
	groups, pendingSince = map[string]time.Time{}, map[string]time.Time{}
	for _, g := range a.Data.Groups {
		if g.LastEvaluation.IsZero() {
			continue
		}
		groups[g.Name] = g.LastEvaluation
		for _, alert := range g.Rules[0].Alerts {
			if alert.State == "pending" {
				pendingSince[g.Name] = alert.ActiveAt
			}
		}
	}
	return groups, pendingSince, a.Warnings
}

func (p *process) ringOf(role string) map[string]string {
	var s struct {
		Rings []struct {
			Role    string
			Members []struct{ ID, State string }
		}
	}
	p.getJSON("/ring", map[string][]string{"format": {"json"}}, &s)
	out := map[string]string{}
	for _, r := range s.Rings {
		for _, m := range r.Members {
			if r.Role == role {
				out[m.ID] = m.State
			}
		}
	}
	return out
}

// metric is the value of a series of a member's own, 0 if it has none.
func (p *process) metric(series string) float64 {
	p.t.Helper()
	_, text := p.get("/metrics", nil, nil)
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			require.NoError(p.t, err)
			return v
		}
	}
	return 0
}

// forState is what a ruler would have recorded of n alerts that are pending since a time.
func forState(n int, since time.Time) []byte {
	req := &prompb.WriteRequest{}
	for i := range n {
		req.Timeseries = append(req.Timeseries, prompb.TimeSeries{
			Labels:  []prompb.Label{{Name: "__name__", Value: "ALERTS_FOR_STATE"}, {Name: "alertname", Value: fmt.Sprintf("Pending%02d", i)}},
			Samples: []prompb.Sample{{Timestamp: time.Now().UnixMilli(), Value: float64(since.Unix())}},
		})
	}
	data, err := req.Marshal()
	if err != nil {
		panic(err)
	}
	return snappy.Encode(nil, data)
}

// Two processes over one bucket share the groups and the compaction. One is killed: the other goes on with its
// groups, knows what was pending, and nobody is told again.
func TestMembersShareTheWork(t *testing.T) {
	const n = 12
	dir := t.TempDir()
	rules, am := filepath.Join(dir, "rules.yml"), filepath.Join(dir, "alertmanager.yml")
	hook := newWebhook(t)
	text := "groups:\n"
	for i := range n {
		text += fmt.Sprintf("  - {name: g%02d, rules: [{alert: Pending%02d, expr: vector(1), for: 1h}, {alert: Firing%02d, expr: vector(1)}]}\n", i, i, i)
	}
	require.NoError(t, os.WriteFile(rules, nil, 0o600))
	require.NoError(t, os.WriteFile(am, fmt.Appendf(nil, `
route: {receiver: hook, group_by: [alertname], group_wait: 2s, group_interval: 1s, repeat_interval: 4h}
receivers: [{name: hook, webhook_configs: [{url: %q}]}]
`, hook.URL), 0o600))
	gossip := [2]string{freeAddr(t), freeAddr(t)}
	alerts := [2]string{freeAddr(t), freeAddr(t)}
	members := make([]*process, 2)
	for i := range members {
		config := ringMember(t, filepath.Join(dir, "bucket"), rules, am, alerts[i], alerts[1-i], gossip[i], gossip[0])
		members[i] = start(t, t.TempDir(), quiet, "--config", config)
	}
	for _, p := range members {
		require.Eventually(t, func() bool { return len(p.ringOf("ruler")) == 2 }, 90*time.Second, 50*time.Millisecond)
	}
	// As if it had been pending for long.
	since := time.Now().Add(-40 * time.Minute).Truncate(time.Second)
	for _, p := range members {
		status, body := p.post("/api/v1/write", "application/x-protobuf", forState(n, since), nil)
		require.Equal(t, http.StatusNoContent, status, body)
	}
	require.NoError(t, os.WriteFile(rules, []byte(text), 0o600))
	part := map[string]string{"Hune-Part": "1"}
	var own [2]map[string]time.Time
	await := func(what string, f func() bool) {
		t.Helper()
		require.Eventually(t, f, 90*time.Second, 50*time.Millisecond, what)
	}
	await("each group has one of the two", func() bool {
		own[0], _, _ = members[0].evaluated(part)
		own[1], _, _ = members[1].evaluated(part)
		for name := range own[0] {
			if _, twice := own[1][name]; twice {
				return false
			}
		}
		return len(own[0])+len(own[1]) == n && len(own[0]) > 0 && len(own[1]) > 0
	})
	for _, p := range members {
		await("all are shown by each", func() bool { groups, _, warnings := p.evaluated(nil); return len(groups) == n && len(warnings) == 0 })
	}
	for i := range n {
		told(t, hook, fmt.Sprintf("Firing%02d", i))
	}
	await("each target has one of the two", func() bool {
		one, _ := members[0].targets(part)
		two, _ := members[1].targets(part)
		return one > 0 && two > 0 && one+two == len(sharedTargets)
	})
	for _, p := range members {
		shown, warnings := p.targets(nil)
		require.Equal(t, len(sharedTargets), shown, "all targets are shown by each")
		require.Empty(t, warnings)
	}

	// Blocks of one tenant are compacted by one of the two.
	now := time.Now()
	for i := range 4 {
		p := members[i%2]
		status, body := p.post("/loki/api/v1/push", "application/json", lokiPush(map[string]string{"app": "a"}, [][2]string{{fmt.Sprint(now.Add(-5 * time.Hour).UnixNano()), fmt.Sprint("line ", i)}}), nil)
		require.Equal(t, http.StatusNoContent, status, body)
		p.flush()
	}
	compactions := func(p *process) bool { return strings.Contains(p.log.String(), `msg="blocks compacted"`) }
	await("one compacts", func() bool { return compactions(members[0]) || compactions(members[1]) })
	require.False(t, compactions(members[0]) && compactions(members[1]), "and the other doesn't")
	for _, p := range members {
		await("both find each line once", func() bool {
			lines := p.lokiLines(`{app="a"}`, now.Add(-6*time.Hour), now, nil)
			return len(lines) == 4 && lines["line 0"]+lines["line 1"]+lines["line 2"]+lines["line 3"] == 4
		})
	}

	// The state of the one is with the other when it dies.
	early := func(pending map[string]time.Time) bool {
		for _, at := range pending {
			if at.After(since.Add(20 * time.Minute)) {
				return false
			}
		}
		return len(pending) == n
	}
	await("what was pending is so again", func() bool { _, pending, _ := members[0].evaluated(nil); return early(pending) })
	// Each poll tells; one that begins after the state was restored has it.
	polled := func() float64 { return members[0].metric("hune_rules_last_load_success_timestamp_seconds") }
	from := float64(time.Now().Unix()) + 1
	await("a poll", func() bool { return polled() > from })
	killed := time.Now()
	dead := strings.TrimPrefix(members[1].url, "http://")
	members[1].kill()
	_, _, warnings := members[0].evaluated(nil)
	require.Contains(t, strings.Join(warnings, "\n"), dead, "who is missing is named")
	_, warnings = members[0].targets(nil)
	require.Contains(t, strings.Join(warnings, "\n"), dead, "who is missing is named")
	await("the other scrapes all", func() bool {
		shown, warnings := members[0].targets(nil)
		return shown == len(sharedTargets) && len(warnings) == 0
	})
	await("the other goes on with all", func() bool {
		groups, pending, warnings := members[0].evaluated(nil)
		for _, at := range groups {
			if at.Before(killed) {
				return false
			}
		}
		return len(groups) == n && len(pending) == n && len(warnings) == 0
	})
	require.Equal(t, "UNHEALTHY", members[0].ringOf("ruler")[dead])
	// The time that nobody looked is added, as after a restart.
	await("what was pending still is, since then", func() bool { _, pending, _ := members[0].evaluated(nil); return early(pending) })
	await("what fired fires", func() bool {
		var a struct {
			Data struct {
				Alerts []struct{ State string }
			}
		}
		members[0].getJSON("/api/v1/alerts", nil, &a)
		firing := 0
		for _, alert := range a.Data.Alerts {
			if alert.State == "firing" {
				firing++
			}
		}
		return firing == n
	})
	// What the dead one said of them holds for four resend_delays: longer than nobody evaluated.
	for i := range n {
		require.Zero(t, hook.count(fmt.Sprintf("resolved Firing%02d", i)))
	}

	// It comes back and has its share again.
	back := start(t, t.TempDir(), quiet, "--config", ringMember(t, filepath.Join(dir, "bucket"), rules, am, alerts[1], alerts[0], gossip[1], gossip[0]))
	await("two share again", func() bool {
		one, _, _ := members[0].evaluated(part)
		two, _, _ := back.evaluated(part)
		return len(one)+len(two) == n && len(two) > 0
	})
	back.stop()
	await("one that leaves is replaced", func() bool {
		groups, _, warnings := members[0].evaluated(nil)
		return len(groups) == n && len(warnings) == 0
	})
}
