package ring

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	dskit "github.com/grafana/dskit/ring"
	"github.com/grafana/dskit/services"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/freeport"
)

// node is a member of a cluster in this process, with sockets of its own.
type node struct {
	*Cluster
	ring *Ring
}

// freePorts returns addresses that differ from each other.
func freePorts(t *testing.T, n int) []string {
	var out []string
	for range n {
		addr, err := freeport.Take()
		require.NoError(t, err)
		out = append(out, addr)
	}
	return out
}

func testConfig(listen string, join ...string) Config {
	cfg := DefaultConfig()
	cfg.Listen, cfg.Join = listen, join
	cfg.HeartbeatPeriod, cfg.HeartbeatTimeout = model.Duration(time.Second), model.Duration(6*time.Second)
	return cfg
}

func startNode(t *testing.T, cfg Config, dir string) *node {
	t.Helper()
	c, err := NewCluster(Options{Config: cfg, HTTP: cfg.Listen, Dir: dir, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	require.NoError(t, err)
	n := &node{c, c.Ring("ruler", 1)}
	require.NoError(t, services.StartAndAwaitRunning(context.Background(), n.Cluster))
	require.NoError(t, services.StartAndAwaitRunning(context.Background(), n.ring))
	t.Cleanup(n.leave)
	return n
}

// leave stops in order; it may be called again.
func (n *node) leave() {
	_ = services.StopAndAwaitTerminated(context.Background(), n.ring)
	_ = services.StopAndAwaitTerminated(context.Background(), n.Cluster)
}

// crash ends the gossip without a word to anybody.
func (n *node) crash(t *testing.T) {
	n.ring.lifecycler.SetKeepInstanceInTheRingOnShutdown(true)
	require.NoError(t, services.StopAndAwaitTerminated(context.Background(), n.ring))
	require.NoError(t, services.StopAndAwaitTerminated(context.Background(), n.Cluster))
}

// agree waits until all see the same members.
func agree(t *testing.T, members ...*node) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, n := range members {
			if len(n.ring.table.Load().members) != len(members) || !n.ring.table.Load().equal(members[0].ring.table.Load()) {
				return false
			}
		}
		return true
	}, time.Minute, 20*time.Millisecond, "members agree on who they are")
}

const places = 3000

// owner wants exactly one owner of each place.
func owners(t *testing.T, members ...*node) (out []string) {
	t.Helper()
	for i := range places {
		h := Hash("tenant", fmt.Sprint(i))
		var found []string
		for _, n := range members {
			if n.ring.Owns(h) {
				found = append(found, n.self)
			}
		}
		require.Len(t, found, 1, "owners of %d", i)
		require.Equal(t, found, members[0].ring.Owners(h))
		out = append(out, found[0])
	}
	return out
}

func TestWorkMovesWithMembers(t *testing.T) {
	t.Parallel()
	ports := freePorts(t, 3)
	dir := t.TempDir()
	a := startNode(t, testConfig(ports[0], ports...), "")
	b := startNode(t, testConfig(ports[1], ports...), "")
	require.Empty(t, a.ring.Owners(1), "nobody is ready")
	require.False(t, a.ring.Owns(1))

	changes := make(chan struct{}, 100)
	a.ring.OnChange(func() { changes <- struct{}{} })
	require.NoError(t, a.Activate(t.Context()))
	<-changes
	agree(t, a)
	owners(t, a)
	require.NoError(t, b.Activate(t.Context()))
	agree(t, a, b)
	two := owners(t, a, b)
	require.Equal(t, []string{b.self}, a.ring.Others())

	c := startNode(t, testConfig(ports[2], ports[0]), dir)
	require.Equal(t, two, owners(t, a, b), "one that isn't ready owns nothing")
	require.Eventually(t, func() bool {
		return slices.Equal(slices.Sorted(slices.Values([]string{b.self, c.self})), a.ring.Known())
	}, time.Minute, 20*time.Millisecond, "it is known, though")
	require.NoError(t, c.Activate(t.Context()))
	agree(t, a, b, c)
	three := owners(t, a, b, c)
	count := map[string]int{}
	for i, who := range three {
		count[who]++
		if who != c.self {
			require.Equal(t, two[i], who, "only what the new one owns has moved")
		}
	}
	for who, n := range count {
		require.Greater(t, n, places/8, "share of %s", who)
	}

	// One that leaves is gone at once, and its work is with the others as it was before.
	c.leave()
	agree(t, a, b)
	require.Equal(t, two, owners(t, a, b))

	// One that comes back owns what it owned.
	c = startNode(t, testConfig(ports[2], ports[0]), dir)
	require.NoError(t, c.Activate(t.Context()))
	agree(t, a, b, c)
	require.Equal(t, three, owners(t, a, b, c))

	// One that says that it will leave owns nothing from then on.
	require.NoError(t, c.change(t.Context(), dskit.LEAVING)) // Leave, for as long as it takes
	agree(t, a, b)
	require.Equal(t, two, owners(t, a, b))

	// One that says nothing any more is passed over, too.
	b.crash(t)
	agree(t, a)
	owners(t, a)
	require.ElementsMatch(t, []string{b.self, c.self}, a.ring.Known(), "those that are silent or leave are known")
	require.Empty(t, a.ring.Others())
	var s Status
	get(t, a.Cluster, "/ring", &s)
	require.Equal(t, a.self, s.Self)
	states := map[string]string{}
	for _, m := range s.Rings[0].Members {
		states[m.ID] = m.State
		require.Len(t, m.Tokens, tokensEach)
	}
	require.Equal(t, map[string]string{a.self: "ACTIVE", b.self: "UNHEALTHY", c.self: "LEAVING"}, states)
}

func get(t *testing.T, h http.Handler, path string, v any) {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, path, nil)
	req.Header.Set("Accept", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	require.Equal(t, http.StatusOK, w.Code)
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), v), w.Body.String())
}

// Members of another cluster, or with another secret, are strangers whichever of the two joins.
func TestStrangersAreRefused(t *testing.T) {
	t.Parallel()
	ports := freePorts(t, 5)
	secret := func(cfg Config, s string) Config { cfg.Secret = s; return cfg }
	a := startNode(t, secret(testConfig(ports[0], ports...), "the secret of this test"), "")
	b := startNode(t, secret(testConfig(ports[1], ports...), "the secret of this test"), "")
	strangers := []*node{
		startNode(t, secret(testConfig(ports[2], ports...), "quite another secret"), ""),
		startNode(t, testConfig(ports[3], ports...), ""),
	}
	other := secret(testConfig(ports[4], ports...), "the secret of this test")
	other.Name = "other"
	strangers = append(strangers, startNode(t, other, ""))
	all := append([]*node{a, b}, strangers...)
	for _, n := range all {
		require.NoError(t, n.Activate(t.Context()))
	}
	agree(t, a, b)
	owners(t, a, b)
	for _, n := range strangers {
		agree(t, n)
		require.True(t, n.ring.Owns(1), "a stranger is alone")
	}
	require.Equal(t, []string{b.self}, a.ring.Others())
}

// Alone nothing is opened, and everything is owned.
func TestAlone(t *testing.T) {
	c, err := NewCluster(Options{Config: DefaultConfig()})
	require.NoError(t, err)
	require.Nil(t, c)
	r := c.Ring("ruler", 1)
	require.Nil(t, r)
	require.True(t, r.Owns(7))
	require.Equal(t, []string{""}, r.Owners(7))
	require.Empty(t, r.Others())
	r.OnChange(func() { t.Error("nothing changes") })
	require.NoError(t, c.Activate(t.Context()))
	require.NoError(t, c.Leave(t.Context()))
	require.Empty(t, c.Self())
	var s Status
	get(t, c, "/ring", &s)
	require.Empty(t, s.Rings)
	var shards struct{ Shards []any }
	get(t, c.ServeRing("ruler"), "/ruler/ring", &shards)
	require.NotNil(t, shards.Shards)
	w := httptest.NewRecorder()
	c.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/ring", nil))
	require.Contains(t, w.Body.String(), "alone")
	w = httptest.NewRecorder()
	c.ServeGossip(w, httptest.NewRequest(http.MethodGet, "/memberlist", nil))
	require.Contains(t, w.Body.String(), "cluster.join")
}

func TestPages(t *testing.T) {
	t.Parallel()
	ports := freePorts(t, 1)
	a := startNode(t, testConfig(ports[0], ports[0]), "")
	require.NoError(t, a.Activate(t.Context()))
	agree(t, a)
	for _, h := range []http.Handler{a.Cluster, a.ServeRing("ruler"), http.HandlerFunc(a.ServeGossip)} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		require.Equal(t, http.StatusOK, w.Code)
		require.Contains(t, w.Body.String(), a.self)
		require.Contains(t, w.Header().Get("Content-Type"), "text/html")
	}
	var shards struct {
		Shards []struct{ ID, State string }
	}
	get(t, a.ServeRing("ruler"), "/ruler/ring", &shards)
	require.Equal(t, a.self, shards.Shards[0].ID)
	require.Equal(t, "ACTIVE", shards.Shards[0].State)
}

func TestPortTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	c, err := NewCluster(Options{Config: testConfig(l.Addr().String(), l.Addr().String()), HTTP: "127.0.0.1:1", Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	require.NoError(t, err)
	err = services.StartAndAwaitRunning(t.Context(), c)
	require.ErrorContains(t, err, l.Addr().String())
	require.ErrorContains(t, err, "address already in use")
}

func TestConfigFaults(t *testing.T) {
	f := func(want string, change func(*Config)) {
		t.Helper()
		cfg := DefaultConfig()
		change(&cfg)
		err := cfg.Validate()
		if want == "" {
			require.NoError(t, err)
			return
		}
		require.ErrorContains(t, err, want)
	}
	f("", func(*Config) {})
	f("", func(c *Config) {
		c.Advertise, c.HTTPAddress, c.Join = "gossip.example:7946", "host:80", []string{"a:1"}
	})
	f("listen: ", func(c *Config) { c.Listen = "nowhere" })
	f("must be an IP address", func(c *Config) { c.Listen = "host:7946" })
	f("must be a number", func(c *Config) { c.Listen = "127.0.0.1:gossip" })
	f("advertise: ", func(c *Config) { c.Advertise = ":7946" })
	f("http_address: ", func(c *Config) { c.HTTPAddress = "host:0" })
	f("join: ", func(c *Config) { c.Join = []string{"a:1", ""} })
	f("name: ", func(c *Config) { c.Name = strings.Repeat("x", 101) })
	f("secret: ", func(c *Config) { c.Secret = "short" })
	f("heartbeat_period: ", func(c *Config) { c.HeartbeatPeriod = model.Duration(time.Millisecond) })
	f("heartbeat_timeout: ", func(c *Config) { c.HeartbeatTimeout = c.HeartbeatPeriod })
}

func TestHTTPAddress(t *testing.T) {
	f := func(want, httpListen string, cfg Config) {
		t.Helper()
		cfg.Join = []string{"x:1"}
		c, err := NewCluster(Options{Config: cfg, HTTP: httpListen, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
		require.NoError(t, err)
		require.Equal(t, want, c.Self())
	}
	f("10.0.0.7:80", "10.0.0.7:80", Config{Listen: "10.0.0.8:7946"})
	f("10.0.0.8:80", ":80", Config{Listen: "10.0.0.8:7946"})
	f("10.0.0.8:80", "[::]:80", Config{Listen: "10.0.0.8:7946"})
	f("10.0.0.9:80", "0.0.0.0:80", Config{Listen: "0.0.0.0:7946", Advertise: "10.0.0.9:7000"})
	f("localhost:80", "0.0.0.0:80", Config{Listen: "0.0.0.0:7946", Advertise: "localhost:7000"})
	f("web.example:8080", "10.0.0.7:80", Config{Listen: "10.0.0.8:7946", HTTPAddress: "web.example:8080"})
}
