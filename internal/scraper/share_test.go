package scraper

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/freeport"
	"github.com/hune-io/hune/internal/ring"
)

func member(t *testing.T, listen string, join ...string) (*Scraper, *ring.Cluster) {
	t.Helper()
	cfg := ring.DefaultConfig()
	cfg.Listen, cfg.Join = listen, join
	c, err := ring.NewCluster(ring.Options{Config: cfg, HTTP: listen, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	require.NoError(t, err)
	s := &Scraper{ring: c.Ring("scraper", 1), moved: make(chan struct{}, 1)}
	s.ring.OnChange(func() {
		select {
		case s.moved <- struct{}{}:
		default:
		}
	})
	for _, service := range []services.Service{c, s.ring} {
		require.NoError(t, services.StartAndAwaitRunning(context.Background(), service))
	}
	t.Cleanup(func() {
		_ = services.StopAndAwaitTerminated(context.Background(), s.ring)
		_ = services.StopAndAwaitTerminated(context.Background(), c)
	})
	return s, c
}

func addresses(ts targets) map[string]bool {
	out := map[string]bool{}
	for job, groups := range ts {
		for _, g := range groups {
			for _, t := range g.Targets {
				addr, ok := t[model.AddressLabel]
				if !ok {
					addr = g.Labels[model.AddressLabel]
				}
				out[job+"/"+string(addr)] = true
			}
		}
	}
	return out
}

// Each target is scraped by one of the members, wherever its address stands; the members' own by each.
func TestScrapersShareTargets(t *testing.T) {
	const n = 100
	all := targets{"node": {{Source: "0"}, {Source: "gone"}}, selfJob: {{Source: "0", Targets: []model.LabelSet{{model.AddressLabel: "self"}}}}}
	for i := range n {
		all["node"][0].Targets = append(all["node"][0].Targets, model.LabelSet{model.AddressLabel: model.LabelValue(fmt.Sprintf("host%d:9100", i))})
		all["probe"] = append(all["probe"], &targetgroup.Group{Source: fmt.Sprint(i), Labels: model.LabelSet{model.AddressLabel: model.LabelValue(fmt.Sprintf("host%d:80", i))},
			Targets: []model.LabelSet{{"path": "/"}}})
	}
	first, err := freeport.Take()
	require.NoError(t, err)
	second, err := freeport.Take()
	require.NoError(t, err)

	a, clusterA := member(t, first, first)
	a.addsSelf.Store(true)
	require.Equal(t, map[string]bool{selfJob + "/self": true}, addresses(a.own(all)), "it isn't ready")

	// What was passed on changes with the members, though discovery has found nothing new.
	ctx, cancel := context.WithCancel(t.Context())
	from, to, done := make(chan targets), make(chan targets), make(chan struct{})
	go func() { defer close(done); a.shared(ctx, from, to) }()
	from <- all
	require.Len(t, addresses(<-to), 1)
	require.NoError(t, clusterA.Activate(t.Context()))
	require.Equal(t, addresses(all), addresses(<-to))

	b, clusterB := member(t, second, first)
	b.addsSelf.Store(true)
	require.NoError(t, clusterB.Activate(t.Context()))
	part := <-to
	for len(addresses(part)) == len(addresses(all)) {
		part = <-to
	}
	require.Len(t, part["node"], 2, "a group without targets is passed on")
	require.Len(t, part["probe"], n)
	require.Eventually(t, func() bool { return len(b.ring.Others()) == 1 && len(b.ring.Owners(1)) == 1 }, time.Minute, 10*time.Millisecond)
	one, two := addresses(part), addresses(b.own(all))
	require.Len(t, one, 1+len(addresses(all))-len(two), "each is in one part, and self in both")
	for name := range two {
		require.True(t, !one[name] || name == selfJob+"/self", name)
	}
	require.Greater(t, len(two), n/4)

	cancel()
	<-done
}
