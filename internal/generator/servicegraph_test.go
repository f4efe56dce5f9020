package generator

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/traces"
)

// Each case sends spans and wants the service graph's counters and sums after the wait time.
func TestServiceGraph(t *testing.T) {
	client := span{service: "shop", trace: 1, id: 1, kind: traces.KindClient, took: 300 * time.Millisecond}
	server := span{service: "cart", trace: 1, id: 2, parent: 1, kind: traces.KindServer, took: 200 * time.Millisecond}
	with := func(s span, change func(*span)) span { change(&s); return s }
	named := func(s span, pairs ...string) span {
		for i := 0; i < len(pairs); i += 2 {
			s.attributes = append(s.attributes, text(pairs[i], pairs[i+1]))
		}
		return s
	}
	for _, c := range []struct {
		name   string
		limits func(*limits.ServiceGraphLimits)
		spans  []span
		want   []string // lines without the prefix of the names; +… stands for the labels before
	}{
		{"client and server", nil, []span{client, server}, []string{
			`request_client_seconds_count{client="shop", server="cart"} 1`, `request_client_seconds_sum{client="shop", server="cart"} 0.3`,
			`request_failed_total{client="shop", server="cart"} 0`,
			`request_server_seconds_count{client="shop", server="cart"} 1`, `request_server_seconds_sum{client="shop", server="cart"} 0.2`,
			`request_total{client="shop", server="cart"} 1`}},
		{"server first, and failed", nil, []span{with(server, func(s *span) { s.status = traces.StatusError }), client}, []string{
			`request_client_seconds_count{client="shop", server="cart"} 1`, `request_client_seconds_sum{client="shop", server="cart"} 0.3`,
			`request_failed_total{client="shop", server="cart"} 1`,
			`request_server_seconds_count{client="shop", server="cart"} 1`, `request_server_seconds_sum{client="shop", server="cart"} 0.2`,
			`request_total{client="shop", server="cart"} 1`}},
		{"messages", func(l *limits.ServiceGraphLimits) { l.EnableMessagingSystemLatencyHistogram = true }, []span{
			with(client, func(s *span) { s.kind, s.ended = traces.KindProducer, time.Now().Add(-time.Second) }),
			with(server, func(s *span) { s.kind = traces.KindConsumer })}, []string{
			`request_client_seconds_count{client="shop", connection_type="messaging_system", server="cart"} 1`,
			`request_client_seconds_sum{client="shop", connection_type="messaging_system", server="cart"} 0.3`,
			`request_failed_total{client="shop", connection_type="messaging_system", server="cart"} 0`,
			`request_messaging_system_seconds_count{client="shop", connection_type="messaging_system", server="cart"} 1`,
			`request_messaging_system_seconds_sum{client="shop", connection_type="messaging_system", server="cart"} 0.8`,
			`request_server_seconds_count{client="shop", connection_type="messaging_system", server="cart"} 1`,
			`request_server_seconds_sum{client="shop", connection_type="messaging_system", server="cart"} 0.2`,
			`request_total{client="shop", connection_type="messaging_system", server="cart"} 1`}},
		{"a database", nil, []span{named(client, "db.system", "postgresql", "db.name", "orders")}, []string{
			`request_client_seconds_count{client="shop", connection_type="database", server="orders"} 1`,
			`request_client_seconds_sum{client="shop", connection_type="database", server="orders"} 0.3`,
			`request_failed_total{client="shop", connection_type="database", server="orders"} 0`,
			`request_server_seconds_count{client="shop", connection_type="database", server="orders"} 1`,
			`request_server_seconds_sum{client="shop", connection_type="database", server="orders"} 0.3`,
			`request_total{client="shop", connection_type="database", server="orders"} 1`}},
		{"a database that is named by its address", nil, []span{
			named(client, "db.system.name", "redis", "network.peer.address", "10.0.0.1", "network.peer.port", "6379"),
			named(client, "db.system.name", "redis", "server.address", "redis.svc", "network.peer.address", "10.0.0.1"),
			named(client, "db.system.name", "redis")}, []string{
			`request_total{client="shop", connection_type="database", server="10.0.0.1:6379"} 1`,
			`request_total{client="shop", connection_type="database", server="redis"} 1`,
			`request_total{client="shop", connection_type="database", server="redis.svc"} 1`}},
		{"a server that sends no spans", func(l *limits.ServiceGraphLimits) { l.EnableVirtualNodeLabel = true }, []span{named(client, "peer.service", "stripe")}, []string{
			`request_client_seconds_count{client="shop", connection_type="virtual_node", server="stripe", virtual_node="server"} 1`,
			`request_client_seconds_sum{client="shop", connection_type="virtual_node", server="stripe", virtual_node="server"} 0.3`,
			`request_failed_total{client="shop", connection_type="virtual_node", server="stripe", virtual_node="server"} 0`,
			`request_server_seconds_count{client="shop", connection_type="virtual_node", server="stripe", virtual_node="server"} 1`,
			`request_server_seconds_sum{client="shop", connection_type="virtual_node", server="stripe", virtual_node="server"} 0.3`,
			`request_total{client="shop", connection_type="virtual_node", server="stripe", virtual_node="server"} 1`}},
		{"clients that send no spans", nil, []span{
			with(server, func(s *span) { s.parent = 0 }),
			with(named(server, "peer.service", "app"), func(s *span) { s.parent = 0 })}, []string{
			`request_failed_total{client="app", connection_type="virtual_node", server="cart"} 0`,
			`request_failed_total{client="user", connection_type="virtual_node", server="cart"} 0`,
			`request_server_seconds_count{client="app", connection_type="virtual_node", server="cart"} 1`,
			`request_server_seconds_count{client="user", connection_type="virtual_node", server="cart"} 1`,
			`request_server_seconds_sum{client="app", connection_type="virtual_node", server="cart"} 0.2`,
			`request_server_seconds_sum{client="user", connection_type="virtual_node", server="cart"} 0.2`,
			`request_total{client="app", connection_type="virtual_node", server="cart"} 1`,
			`request_total{client="user", connection_type="virtual_node", server="cart"} 1`}},
		{"sides that stay alone", nil, []span{client, with(server, func(s *span) { s.parent = 9 })}, []string{
			`unpaired_spans_total{client="shop"} 1`, `unpaired_spans_total{server="cart"} 1`}},
		{"a message with two consumers", nil, []span{
			with(client, func(s *span) { s.kind = traces.KindProducer }), with(server, func(s *span) { s.kind = traces.KindConsumer }),
			with(server, func(s *span) { s.kind, s.id = traces.KindConsumer, 3 })}, []string{
			`request_total{client="shop", connection_type="messaging_system", server="cart"} 1`,
			`unpaired_spans_total{connection_type="messaging_system", server="cart"} 1`}},
		{"no room", func(l *limits.ServiceGraphLimits) { l.MaxItems = 1 }, []span{
			client, with(client, func(s *span) { s.id = 5 }), with(server, func(s *span) { s.parent = 7 })}, []string{
			`dropped_spans_total{client="shop"} 1`, `dropped_spans_total{server="cart"} 1`, `unpaired_spans_total{client="shop"} 1`}},
		{"dimensions", func(l *limits.ServiceGraphLimits) { l.Dimensions = []string{"env", "zone"} }, []span{
			named(client, "env", "a", "zone", "z"), named(server, "env", "b")}, []string{
			`request_total{client="shop", env="b", server="cart", zone="z"} 1`}},
		{"dimensions of both sides", func(l *limits.ServiceGraphLimits) {
			l.Dimensions, l.EnableClientServerPrefix = []string{"env"}, true
		}, []span{named(client, "env", "a"), named(server, "env", "b")}, []string{
			`request_total{client="shop", client_env="a", server="cart", server_env="b"} 1`}},
		{"a policy that drops one side drops the other", func(l *limits.ServiceGraphLimits) {
			l.FilterPolicies = []limits.FilterPolicy{{Exclude: limits.PolicyMatch{MatchType: "strict", Attributes: []limits.PolicyAttribute{{Key: "resource.service.name", Value: "cart"}}}}}
		}, []span{named(client, "peer.service", "x"), server}, nil},
		{"sampled spans", func(l *limits.ServiceGraphLimits) { l.EnableTracestateSpanMultiplier = true }, []span{
			with(client, func(s *span) { s.state = "x=y,ot=rv:1;th:c" }), with(server, func(s *span) { s.state = "ot=th:c" })}, []string{
			`request_total{client="shop", server="cart"} 4`}},
		{"names of services are needed, other kinds are none", nil, []span{
			with(client, func(s *span) { s.service = "" }), with(server, func(s *span) { s.kind = traces.KindInternal })}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, r, _ := start(t, func(l *limits.Limits) {
					l.Traces.Generator.SpanMetrics.Enabled = false
					if c.limits != nil {
						c.limits(&l.Traces.Generator.ServiceGraphs)
					}
				}, nil)
				for _, s := range c.spans {
					if !s.ended.IsZero() {
						s.ended = time.Now().Add(-time.Second) // of the bubble's clock
					}
					g.Observe("a", encode(t, time.Now(), s))
				}
				sleep(2 * tick)
				var got []string
				for line := range strings.Lines(r.dump("traces_service_graph_")) {
					line = strings.ReplaceAll(strings.TrimSpace(line), `{__name__="traces_service_graph_`, "")
					line = strings.Replace(line, `", `, "{", 1)
					got = append(got, line)
				}
				if len(c.want) > 0 && !strings.Contains(strings.Join(c.want, "\n"), "_seconds_") {
					got = only(got, "_total{")
					got = without(got, "request_failed_total")
				}
				require.Equal(t, c.want, got)
			})
		})
	}
}

func only(lines []string, part string) (out []string) {
	for _, l := range lines {
		if strings.Contains(l, part) {
			out = append(out, l)
		}
	}
	return out
}

func without(lines []string, part string) (out []string) {
	for _, l := range lines {
		if !strings.Contains(l, part) {
			out = append(out, l)
		}
	}
	return out
}

// A request whose sides come in different batches, within the wait time and after it.
func TestWaitTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, r, reg := start(t, nil, nil)
		client := span{service: "shop", trace: 1, id: 1, kind: traces.KindClient}
		server := span{service: "cart", trace: 1, id: 2, parent: 1, kind: traces.KindServer}
		g.Observe("a", encode(t, time.Now(), client))
		sleep(9 * time.Second)
		g.Observe("a", encode(t, time.Now(), server))
		sleep(tick)
		total := func() float64 { return newest(r.get(t, "traces_service_graph_request_total")) }
		require.Equal(t, 1.0, total())
		g.Observe("a", encode(t, time.Now(), client))
		sleep(11 * time.Second)
		g.Observe("a", encode(t, time.Now(), server))
		sleep(2 * tick)
		require.Equal(t, 1.0, total())
		require.Len(t, r.all("traces_service_graph_unpaired_spans_total"), 2)
		require.Zero(t, gathered(t, reg, "hune_generator_waiting_edges"))
	})
}

// The store is a bounded map whose entries leave in the order in which they came.
func TestEdgeStore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		max := rapid.SampledFrom([]int{0, 1, 8, 100}).Draw(t, "max") // with the greatest the table grows
		keys := uint64(max + max/4 + 2)
		store := newEdgeStore(max)
		type kept struct {
			key     edgeKey
			client  string
			expires int64
		}
		var model []kept
		now := int64(0)
		for i := range rapid.IntRange(1, 400).Draw(t, "steps") {
			now += rapid.Int64Range(0, 3).Draw(t, "pass") / 2
			var key edgeKey
			binary.BigEndian.PutUint64(key.span[:], rapid.Uint64Range(0, keys).Draw(t, "key"))
			at := -1
			for j, k := range model {
				if k.key == key {
					at = j
				}
			}
			if rapid.IntRange(0, 4).Draw(t, "expire") == 0 {
				s := store.expired(now)
				require.Equal(t, len(model) > 0 && model[0].expires <= now, s != nil)
				if s != nil {
					require.Equal(t, model[0].key, s.key)
					require.Equal(t, model[0].client, s.client)
					store.remove(store.first)
					model = model[1:]
				}
				continue
			}
			hash, place := store.find(&key)
			require.Equal(t, at >= 0, place != none)
			if place != none {
				require.Equal(t, model[at].client, store.slots[place].client)
				store.remove(place)
				model = append(model[:at:at], model[at+1:]...)
			} else if p := store.put(&key, hash, now+20); len(model) < max {
				p.client = fmt.Sprint(i)
				model = append(model, kept{key, p.client, now + 20})
			} else {
				require.Nil(t, p)
			}
			require.Equal(t, len(model), store.len())
			require.LessOrEqual(t, len(store.slots), max)
		}
	})
}
