package generator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/traces"
)

// network is several generators that share the traces, without a network.
type network struct {
	members []*Generator
	pushed  []*recorder
	regs    []*prometheus.Registry
	away    map[string]bool
}

// RoundTrip implements http.RoundTripper.
func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	if n.away[r.URL.Host] {
		return nil, errors.New("no route")
	}
	for i, g := range n.members {
		if r.URL.Host == addrOf(i) {
			w := httptest.NewRecorder()
			g.ServeSides(w, r)
			return w.Result(), nil
		}
	}
	return nil, fmt.Errorf("nobody is called %s", r.URL.Host)
}

func addrOf(i int) string { return fmt.Sprintf("member-%d:4320", i) }

// newNetwork starts n generators in a synctest bubble; one alone doesn't share.
func newNetwork(t *testing.T, n int, change func(*limits.Limits)) *network {
	net := &network{away: map[string]bool{}}
	l := limits.DefaultConfig()
	if change != nil {
		change(&l)
	}
	o, err := limits.New(l, nil)
	require.NoError(t, err)
	for i := range n {
		opts := Options{Config: DefaultConfig(), Limits: o, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewPedanticRegistry(), Now: time.Now}
		r := newRecorder()
		opts.Pusher = r
		if n > 1 {
			opts.Share = &Share{Instance: addrOf(i), Client: &http.Client{Transport: net}, Owner: func(hash uint32) string {
				if owner := int(hash % uint32(n)); owner != i {
					return addrOf(owner)
				}
				return ""
			}}
		}
		g := New(opts)
		net.members, net.pushed, net.regs = append(net.members, g), append(net.pushed, r), append(net.regs, opts.Registerer.(*prometheus.Registry))
	}
	for _, g := range net.members {
		require.NoError(t, g.StartAsync(context.Background()))
		require.NoError(t, g.AwaitRunning(context.Background()))
		t.Cleanup(func() { stop(t, g) })
	}
	return net
}

// sums are the last values of all series, added over the generators.
func (n *network) sums() map[string]float64 {
	out := map[string]float64{}
	for _, r := range n.pushed {
		r.mu.Lock()
		for _, s := range r.series {
			if len(s.Samples) > 0 {
				ls := labels.NewBuilder(s.Labels).Del(instanceLabel).Labels()
				out[ls.String()] += newest(s)
			}
		}
		r.mu.Unlock()
	}
	for key, v := range out {
		if out[key] = math.Round(v*1e6) / 1e6; strings.Contains(key, "traces_target_info") {
			delete(out, key) // 1 of each that has seen the resource
		}
	}
	return out
}

// Whichever generators see the spans of a trace, what they count adds up to what one alone counts that sees all.
func TestGeneratorsAddUp(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		type sent struct {
			to   int
			span span
		}
		n := rapid.IntRange(2, 4).Draw(rt, "generators")
		var all []sent
		for id := range rapid.IntRange(1, 12).Draw(rt, "requests") {
			trace, caller := rapid.Uint64Min(1).Draw(rt, "trace"), uint64(100+id)
			client := span{service: rapid.SampledFrom([]string{"shop", "cart"}).Draw(rt, "client"), trace: trace, id: caller, name: "call", kind: traces.KindClient, took: 300 * time.Millisecond}
			server := span{service: "stock", trace: trace, id: uint64(1000 + id), parent: caller, name: "serve", kind: traces.KindServer, took: 200 * time.Millisecond}
			if rapid.Bool().Draw(rt, "message") {
				client.kind, server.kind = traces.KindProducer, traces.KindConsumer
			}
			if rapid.Bool().Draw(rt, "failed") {
				server.status = traces.StatusError
			}
			client.attributes = append(client.attributes, text("zone", rapid.SampledFrom([]string{"", "eu", "us"}).Draw(rt, "zone")), text("peer.service", rapid.SampledFrom([]string{"", "api"}).Draw(rt, "peer")))
			server.attributes = append(server.attributes, text("zone", rapid.SampledFrom([]string{"", "eu"}).Draw(rt, "zone")))
			sides := []span{client, server}
			switch rapid.IntRange(0, 5).Draw(rt, "sides") {
			case 0:
				sides = sides[:1]
			case 1:
				sides = sides[1:]
			case 2:
				sides[0], sides[1] = sides[1], sides[0]
			}
			for _, s := range sides {
				all = append(all, sent{rapid.IntRange(0, n-1).Draw(rt, "to"), s})
			}
		}
		count := func(n int) (out map[string]float64) {
			synctest.Test(t, func(t *testing.T) {
				net := newNetwork(t, n, func(l *limits.Limits) {
					l.Traces.Generator.ServiceGraphs.Dimensions = []string{"zone"}
					l.Traces.Generator.ServiceGraphs.EnableClientServerPrefix = true
				})
				for _, s := range all {
					net.members[s.to%n].Observe("a", encode(t, time.Now(), s.span))
				}
				sleep(time.Minute)
				out = net.sums()
			})
			return out
		}
		require.Equal(rt, count(1), count(n))
	})
}

// Series of several generators differ, those of overflow too, and have no label too many.
func TestGeneratorsWriteTheirOwnSeries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork(t, 2, func(l *limits.Limits) {
			l.Traces.Generator.MaxActiveSeries, l.Metrics.MaxLabelNamesPerSeries = 60, 6
		})
		for i, g := range net.members {
			for k := range 9 {
				g.Observe("a", encode(t, time.Now(), span{service: "s", trace: 1, id: uint64(9*i + k + 1), name: fmt.Sprint("op", k)}))
			}
		}
		sleep(time.Minute)
		for i, r := range net.pushed {
			require.NotEmpty(t, r.series)
			overflow := false
			for _, s := range r.series {
				require.Equal(t, addrOf(i), s.Labels.Get(instanceLabel), s.Labels)
				require.LessOrEqual(t, s.Labels.Len(), 6, s.Labels)
				overflow = overflow || s.Labels.Has(overflowLabel)
			}
			require.True(t, overflow)
		}
	})
}

// Sides for a member that is away wait where they are, and pair with others that come to the same end.
func TestGeneratorIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork(t, 2, nil)
		net.away[addrOf(1)] = true
		for i := range uint64(20) {
			net.members[0].Observe("a", encode(t, time.Now(),
				span{service: "shop", trace: i + 1, id: 1, kind: traces.KindClient, took: time.Second},
				span{service: "cart", trace: i + 1, id: 2, parent: 1, kind: traces.KindServer, took: time.Second}))
		}
		sleep(time.Minute)
		require.Equal(t, 20.0, newest(net.pushed[0].get(t, "traces_service_graph_request_total", "client", "shop", "server", "cart")))
		require.Positive(t, gathered(t, net.regs[0], "hune_generator_send_failures_total"))
	})
}

// Traces are spread, whatever counts up in their IDs.
func TestTracesAreSpread(t *testing.T) {
	for at := range 16 {
		count := map[uint32]int{}
		for i := range 256 {
			id := traces.ID{3: 7, 12: 9}
			id[at] = byte(i)
			count[traceHash(&id)>>29]++ // eighths of the ring
		}
		require.Len(t, count, 8)
		for eighth, n := range count {
			require.InDelta(t, 32, n, 31, "byte %d: eighth %d", at, eighth)
		}
	}
}

// What waits for its turn is bounded.
func TestOutboxIsBounded(t *testing.T) {
	o := newOutbox()
	m := &sideMessage{tenant: "a", client: true, side: side{client: strings.Repeat("s", 1000)}}
	n := 0
	for o.put("there", m) {
		n++
	}
	require.Greater(t, n, 900)
	require.Len(t, o.wake, 1)
	require.True(t, o.put("elsewhere", m), "each has room of its own")
	require.Less(t, len(o.take()["there"]), maxOutbox+2000)
	require.True(t, o.put("there", m))
}

func TestSidesAreTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newNetwork(t, 2, nil).members[0]
		good := (&sideMessage{tenant: "a", side: side{server: "cart", serverTime: 1, times: 1}}).appendTo(nil)
		for _, c := range []struct {
			name string
			body []byte
			want int
		}{
			{"nothing", nil, http.StatusNoContent},
			{"a side", good, http.StatusNoContent},
			{"half a side", good[:len(good)-3], http.StatusBadRequest},
			{"no service", (&sideMessage{tenant: "a", side: side{times: 1}}).appendTo(nil), http.StatusBadRequest},
			{"no tenant", (&sideMessage{tenant: "a/b", side: side{server: "cart", times: 1}}).appendTo(nil), http.StatusBadRequest},
			{"a time that is none", (&sideMessage{tenant: "a", side: side{server: "cart", serverTime: math.NaN(), times: 1}}).appendTo(nil), http.StatusBadRequest},
			{"too much", make([]byte, maxSides+1), http.StatusRequestEntityTooLarge},
		} {
			w := httptest.NewRecorder()
			g.ServeSides(w, httptest.NewRequest(http.MethodPost, SidesPath, bytes.NewReader(c.body)))
			require.Equal(t, c.want, w.Code, "%s: %s", c.name, w.Body)
		}
		sleep(time.Second)
		require.Equal(t, 1, g.state("a", time.Now()).edges.len())
	})
}

func drawSide(t *rapid.T) *sideMessage {
	m := &sideMessage{tenant: rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "tenant"), client: rapid.Bool().Draw(t, "client")}
	copy(m.key.trace[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "trace"))
	copy(m.key.span[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "span"))
	s := &m.side
	s.failed, s.messaging, s.filtered = rapid.Bool().Draw(t, "failed"), rapid.Bool().Draw(t, "messaging"), rapid.Bool().Draw(t, "filtered")
	s.peer, s.times = rapid.String().Draw(t, "peer"), float64(rapid.IntRange(1, 9).Draw(t, "times"))
	service, seconds, at := rapid.StringN(1, 5, 20).Draw(t, "service"), float64(rapid.IntRange(0, 9).Draw(t, "seconds")), rapid.Uint64().Draw(t, "at")
	if m.client {
		s.client, s.clientTime, s.clientAt = service, seconds, at
	} else {
		s.server, s.serverTime, s.serverAt = service, seconds, at
	}
	if rapid.Bool().Draw(t, "dimensions") {
		s.dimensions = new([2][]string)
		s.dimensions[m.place()] = append([]string{}, rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "values")...)
	}
	return m
}

func TestSidesAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var data []byte
		var want []*sideMessage
		for range rapid.IntRange(0, 4).Draw(t, "sides") {
			want = append(want, drawSide(t))
			data = want[len(want)-1].appendTo(data)
		}
		n, err := countSides(data)
		require.NoError(t, err)
		require.Equal(t, len(want), n)
		d := sideDecoder{rest: data}
		for _, w := range want {
			var m sideMessage
			require.True(t, d.next(&m))
			require.Equal(t, *w, m)
		}
		require.Empty(t, d.rest)
	})
	require.Equal(t, "\x33\x03aaaaaaaaaaaaaaaassssssss\x01t\x03web\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xe0\x3f\x00\x00\x00\x00\x00\x00\xf0\x3f"[1:],
		string((&sideMessage{tenant: "t", client: true, key: edgeKey{traces.ID([]byte("aaaaaaaaaaaaaaaa")), traces.SpanID([]byte("ssssssss"))},
			side: side{client: "web", clientAt: 7, clientTime: .5, times: 1, failed: true}}).appendTo(nil)[1:]), "what other versions read")
}

func FuzzSides(f *testing.F) {
	f.Add([]byte{})
	f.Add((&sideMessage{tenant: "a", side: side{server: "cart", dimensions: &[2][]string{nil, {"x"}}}}).appendTo(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := sideDecoder{rest: data}
		for len(d.rest) > 0 {
			var m sideMessage
			if !d.next(&m) {
				return
			}
			var again sideMessage
			back := sideDecoder{rest: m.appendTo(nil)}
			require.True(t, back.next(&again))
			require.Equal(t, m, again)
		}
	})
}
