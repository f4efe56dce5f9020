package ruler

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	promrules "github.com/prometheus/prometheus/rules"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/freeport"
	"github.com/hune-io/hune/internal/ring"
	"github.com/hune-io/hune/internal/signal"
)

// shared is a ruler with a ring and a port of its own, and a world that the others don't see.
type shared struct {
	*Ruler
	world   *world
	cluster *ring.Cluster
	ring    *ring.Ring
	web     *httptest.Server
}

func gossipAddr(t *testing.T) string {
	addr, err := freeport.Take()
	require.NoError(t, err)
	return addr
}

// share starts a ruler that shares the groups of a file with those that have joined.
func share(t *testing.T, file, listen string, join ...string) *shared {
	t.Helper()
	s := &shared{world: newWorld(t)}
	s.web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.ServeState(w, r) }))
	cfg := ring.DefaultConfig()
	cfg.Listen, cfg.Join, cfg.HTTPAddress = listen, join, strings.TrimPrefix(s.web.URL, "http://")
	cfg.HeartbeatPeriod, cfg.HeartbeatTimeout = model.Duration(time.Second), model.Duration(20*time.Second)
	var err error
	s.cluster, err = ring.NewCluster(ring.Options{Config: cfg, HTTP: cfg.HTTPAddress, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	require.NoError(t, err)
	s.ring = s.cluster.Ring("ruler", 1)
	require.NoError(t, services.StartAndAwaitRunning(context.Background(), s.cluster))
	require.NoError(t, services.StartAndAwaitRunning(context.Background(), s.ring))
	s.Ruler, _ = s.world.ruler("", func(o *Options) {
		o.Ring, o.Config.Files = s.ring, []string{file}
		o.Config.EvaluationInterval, o.Config.PollInterval = model.Duration(100*time.Millisecond), model.Duration(100*time.Millisecond)
		o.Config.ForGracePeriod = 0
	})
	require.NoError(t, s.cluster.Activate(t.Context()))
	t.Cleanup(s.leave)
	return s
}

// leave stops in order; it may be called again.
func (s *shared) leave() {
	_ = services.StopAndAwaitTerminated(context.Background(), s.Ruler)
	s.web.Close()
	_ = services.StopAndAwaitTerminated(context.Background(), s.ring)
	_ = services.StopAndAwaitTerminated(context.Background(), s.cluster)
}

func (s *shared) names() (out []string) {
	for _, g := range s.Groups("anonymous", signal.Metrics) {
		if !g.GetLastEvaluation().IsZero() {
			out = append(out, g.Name())
		}
	}
	return out
}

// pending returns since when the alert of a group is active, if it is and its state was restored.
func (s *shared) pending(group string) (at time.Time, ok bool) {
	for _, g := range s.Groups("anonymous", signal.Metrics) {
		if g.Name() != group {
			continue
		}
		rule := g.AlertingRules()[0]
		rule.ForEachActiveAlert(func(a *promrules.Alert) { at, ok = a.ActiveAt, rule.Restored() && a.State == promrules.StatePending })
	}
	return at, ok
}

// Each group is evaluated by one of two rulers, and by the other when that one is gone, with what was pending.
func TestRulersShareGroups(t *testing.T) {
	const n = 20
	text := "groups:\n"
	for i := range n {
		text += fmt.Sprintf("  - {name: g%02d, rules: [{alert: Up%02d, expr: vector(1), for: 1h, labels: {team: x}}]}\n", i, i)
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	first, second := gossipAddr(t), gossipAddr(t)
	a := share(t, file, first, first)
	soon(t, func() bool { return len(a.names()) == n }, "alone it has all")
	b := share(t, file, second, first)
	soon(t, func() bool { return len(a.names())+len(b.names()) == n && len(b.names()) > 0 }, "both have a part")
	require.NotEmpty(t, a.names())
	had := map[string]bool{}
	for _, name := range append(a.names(), b.names()...) {
		had[name] = true
	}
	require.Len(t, had, n, "none is evaluated twice")

	// What a takes over from b is pending since b saw it first. Each world knows only its own series.
	moved := b.names()
	soon(t, func() bool {
		for _, name := range moved {
			if _, ok := b.pending(name); !ok {
				return false
			}
		}
		return true
	}, "b has restored")
	since := time.Now().Add(-40 * time.Minute).Truncate(time.Second)
	for _, g := range b.Groups("anonymous", signal.Metrics) {
		g.AlertingRules()[0].ForEachActiveAlert(func(a *promrules.Alert) { a.ActiveAt = since })
	}
	soon(t, func() bool {
		n := 0
		for _, s := range a.heard.all() {
			for _, alert := range s.Alerts {
				if alert.ActiveAt == since.Unix() {
					n++
				}
			}
		}
		return n == len(moved)
	}, "a has heard of it")
	b.leave()
	soon(t, func() bool { return len(a.names()) == n }, "a has all")
	soon(t, func() bool {
		for _, name := range moved {
			if _, ok := a.pending(name); !ok {
				return false
			}
		}
		return true
	}, "a has restored")
	for _, name := range moved {
		at, _ := a.pending(name)
		// The time that nobody evaluated is added, as after a restart.
		require.WithinRange(t, at, since, since.Add(20*time.Minute), name)
	}
}

func TestHeardReplacesOlder(t *testing.T) {
	state := func(group string, at int64, alerts ...activeAlert) *groupState {
		return &groupState{Tenant: "a", Signal: signal.Logs, File: "f", Group: group, Evaluated: at, Alerts: alerts}
	}
	alert := func(name string, at int64) activeAlert {
		return activeAlert{map[string]string{"alertname": name, "team": "x"}, at}
	}
	h := heard{states: map[groupKey]*groupState{}}
	h.note([]*groupState{state("g", 2000, alert("A", 1)), state("h", 2000, alert("B", 2))})
	h.note([]*groupState{state("g", 1000, alert("A", 0), alert("C", 1)), state("h", 3000)})
	ask := func(start, end int64, ms ...*labels.Matcher) promql.Matrix { return h.forState("a", start, end, ms) }
	name := labels.MustNewMatcher(labels.MatchEqual, "__name__", forStateMetric)
	want := promql.Matrix{{Metric: labels.FromStrings("__name__", forStateMetric, "alertname", "A", "team", "x"), Floats: []promql.FPoint{{T: 2000, F: 1}}}}
	require.Equal(t, want, ask(0, 9000, name, labels.MustNewMatcher(labels.MatchEqual, "alertname", "A")))
	require.Equal(t, want, ask(2000, 2000, name))
	require.Empty(t, ask(0, 9000, name, labels.MustNewMatcher(labels.MatchEqual, "alertname", "B")), "it has ended")
	require.Empty(t, ask(2001, 9000, name), "too old")
	require.Empty(t, h.forState("b", 0, 9000, nil), "of another tenant")
	h.forget(2500)
	require.Len(t, h.all(), 1)
}

func TestMergeTakesTheNewer(t *testing.T) {
	series := func(name string, points ...promql.FPoint) promql.Series {
		return promql.Series{Metric: labels.FromStrings("alertname", name), Floats: points}
	}
	stale := promql.FPoint{T: 9, F: math.Float64frombits(value.StaleNaN)}
	got := merge(promql.Matrix{series("older", promql.FPoint{T: 1, F: 1}), series("newer", promql.FPoint{T: 9, F: 2}), series("ended", promql.FPoint{T: 1, F: 1}, stale), series("only")},
		promql.Matrix{series("older", promql.FPoint{T: 5, F: 7}), series("newer", promql.FPoint{T: 5, F: 7}), series("ended", promql.FPoint{T: 5, F: 7}), series("new", promql.FPoint{T: 5, F: 7})})
	seven := []promql.FPoint{{T: 5, F: 7}}
	require.Equal(t, promql.Matrix{series("older", seven...), series("newer", promql.FPoint{T: 9, F: 2}), series("ended", seven...), series("only"), series("new", seven...)}, got)
}

func FuzzDecodeState(f *testing.F) {
	f.Add(`[{"tenant":"a","signal":"metrics","file":"f","group":"g","evaluated":1,"alerts":[{"labels":{"alertname":"A"},"active_at":1}]}]`)
	f.Add(`[null]`)
	f.Add(`{}`)
	f.Fuzz(func(t *testing.T, text string) {
		states, err := decodeState(strings.NewReader(text))
		if err != nil {
			return
		}
		h := heard{states: map[groupKey]*groupState{}}
		h.note(states)
		h.forState("a", 0, 1<<62, []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "alertname", "A")})
	})
}
