package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/bench/internal/process"
	"github.com/hune-io/hune/internal/traces"
)

const (
	services      = 12
	pods          = 4 // of a service
	spansPerTrace = 14
	tracesAtOnce  = 100 // of a request, half of each
	length        = 30 * time.Minute
	lateSpans     = 80_000 // how late the late halves are
)

// generator invents the traces of a web shop: 14 spans a trace, 15 attributes a span, 17 a resource, random request
// IDs, users of a Zipf distribution, events on errors. Each trace is sent in two requests.
type generator struct {
	r         *rand.Rand
	zipf      *rand.Zipf
	spans     int
	late      float64
	from      time.Time
	resources [services][pods]*traces.Resource
	scopes    [3]*traces.Scope

	sent, traces int
	raw          int64
	ids          []traces.ID // a sample
	requests     []string    // of the same traces
	waiting      [][]*traces.Trace
}

func newGenerator(seed uint64, spans int, late float64) *generator {
	r := rand.New(rand.NewPCG(seed, 1))
	g := &generator{r: r, zipf: rand.NewZipf(r, 1.3, 8, 20_000), spans: spans, late: late, from: time.Now().Add(-length - time.Minute)}
	for s := range services {
		for p := range pods {
			g.resources[s][p] = resource(s, p)
		}
	}
	for i, name := range []string{"io.opentelemetry.http", "io.opentelemetry.jdbc", "io.opentelemetry.grpc"} {
		g.scopes[i] = &traces.Scope{Name: name, Version: "2.1.0"}
	}
	return g
}

var serviceNames = [services]string{"frontend", "gateway", "cart", "checkout", "payment", "shipping", "catalog", "recommendation", "email", "fraud", "postgresql", "redis"}

func text(key, value string) traces.Attribute { return traces.Attribute{Key: key, Str: value} }

func number(key string, n int) traces.Attribute {
	return traces.Attribute{Key: key, Type: traces.TypeInt, Int: int64(n)}
}

func resource(s, p int) *traces.Resource {
	name := serviceNames[s]
	pod := fmt.Sprintf("%s-7d9f8c6b5-%05x", name, (s*pods+p)*7919)
	return &traces.Resource{ServiceName: name, Attributes: []traces.Attribute{
		text("service.name", name), text("service.namespace", "shop"), text("service.version", fmt.Sprintf("1.%d.%d", s, s*3%7)), text("service.instance.id", pod),
		text("deployment.environment.name", "production"), text("cloud.provider", "aws"), text("cloud.region", "eu-central-1"),
		text("k8s.cluster.name", "prod-1"), text("k8s.namespace.name", "shop"), text("k8s.deployment.name", name), text("k8s.pod.name", pod),
		text("k8s.node.name", fmt.Sprintf("node-%d", (s+p)%9)), text("host.name", fmt.Sprintf("node-%d", (s+p)%9)), text("os.type", "linux"),
		text("telemetry.sdk.language", []string{"go", "java", "nodejs"}[s%3]), text("telemetry.sdk.name", "opentelemetry"), number("process.pid", 1000+s*pods+p)}}
}

// trace invents a trace that starts at a time.
func (g *generator) trace(start time.Time) *traces.Trace {
	t := &traces.Trace{}
	binary.BigEndian.PutUint64(t.ID[:], g.r.Uint64())
	binary.BigEndian.PutUint64(t.ID[8:], g.r.Uint64()|1)
	user, request := fmt.Sprintf("user-%d", g.zipf.Uint64()), fmt.Sprintf("%016x", g.r.Uint64())
	client := fmt.Sprintf("10.%d.%d.%d", g.r.IntN(4), g.r.IntN(256), g.r.IntN(256))
	var pod [services]int
	for s := range pod {
		pod[s] = g.r.IntN(pods)
	}
	failed := g.r.IntN(40) == 0
	for i := range spansPerTrace {
		service := i % services
		if i >= services {
			service = 10 // queries to the database
		}
		s := &traces.Span{Name: fmt.Sprintf("%s /%s/%d", [3]string{"GET", "POST", "SELECT"}[i%3], serviceNames[service], i%5), Kind: traces.Kind(1 + i%5),
			Resource: g.resources[service][pod[service]], Scope: g.scopes[i%3], Order: uint32(i)}
		binary.BigEndian.PutUint64(s.ID[:], g.r.Uint64()|1)
		s.Start = uint64(start.UnixNano())
		length := 2e8 * (0.05 + g.r.ExpFloat64())
		if i > 0 {
			up := t.Spans[(i-1)/2]
			s.ParentID, s.Start = up.ID, up.Start+uint64(g.r.IntN(3e6))
			length = float64(up.End-up.Start) * g.r.Float64()
		}
		s.End = s.Start + uint64(length) + 1000
		s.Attributes = g.attributes(i, service, user, request, client)
		if failed && i > 9 {
			s.Status, s.StatusMessage = traces.StatusError, "deadline exceeded"
			s.Events = []traces.Event{{Time: s.End, Name: "exception", Attributes: []traces.Attribute{text("exception.type", "TimeoutError"),
				text("exception.message", fmt.Sprintf("no answer after %d ms", 100+g.r.IntN(900)))}}}
		}
		t.Spans = append(t.Spans, s)
	}
	return t
}

func (g *generator) attributes(i, service int, user, request, client string) []traces.Attribute {
	status := 200
	if g.r.IntN(200) == 0 {
		status = 500
	}
	list := []traces.Attribute{
		text("app.user.id", user), text("app.request.id", request), text("client.address", client), number("thread.id", g.r.IntN(64)),
		text("thread.name", fmt.Sprintf("worker-%d", g.r.IntN(64))), text("server.address", serviceNames[service]), number("server.port", 8000+service),
		text("network.protocol.version", "1.1")}
	if service >= 10 {
		return append(list, text("db.system", serviceNames[service]), text("db.namespace", "shop"), text("db.operation.name", "SELECT"), text("db.collection.name", "orders"),
			text("db.query.text", "SELECT * FROM orders WHERE id = "+strconv.Itoa(g.r.IntN(100_000))), number("db.response.returned_rows", g.r.IntN(50)),
			text("network.peer.address", fmt.Sprintf("10.1.2.%d", g.r.IntN(8))))
	}
	return append(list, text("http.request.method", "GET"), text("http.route", fmt.Sprintf("/%s/{id}", serviceNames[service])), number("http.response.status_code", status),
		number("http.response.body.size", g.r.IntN(65_536)), text("url.path", fmt.Sprintf("/%s/%d", serviceNames[service], g.r.IntN(5000))), text("url.scheme", "http"),
		text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0"))
}

// batches calls put with the bodies of requests until all is sent: in one the first halves of some traces, in the
// next the second halves.
func (g *generator) batches(put func([]byte) error) error {
	total := g.spans / spansPerTrace
	for g.traces < total {
		var first, second, late []*traces.Trace
		for range min(tracesAtOnce, total-g.traces) {
			t := g.trace(g.from.Add(time.Duration(float64(length) * float64(g.traces) / float64(total))))
			if g.traces%max(1, total/200) == 0 {
				g.ids, g.requests = append(g.ids, t.ID), append(g.requests, t.Spans[0].Attributes[1].Str)
			}
			g.traces++
			first = append(first, &traces.Trace{ID: t.ID, Spans: t.Spans[:spansPerTrace/2]})
			rest := &traces.Trace{ID: t.ID, Spans: t.Spans[spansPerTrace/2:]}
			if g.r.Float64() < g.late {
				late = append(late, rest)
			} else {
				second = append(second, rest)
			}
		}
		g.waiting = append(g.waiting, late)
		if n := lateSpans / spansPerTrace / tracesAtOnce; len(g.waiting) > n {
			second = append(second, g.waiting[0]...)
			g.waiting = g.waiting[1:]
		}
		for _, half := range [][]*traces.Trace{first, second} {
			if err := put(g.body(half)); err != nil {
				return err
			}
		}
	}
	for _, late := range g.waiting {
		if len(late) > 0 {
			if err := put(g.body(late)); err != nil {
				return err
			}
		}
	}
	return nil
}

// body encodes traces as a collector sends them: the spans of one resource together.
func (g *generator) body(list []*traces.Trace) []byte {
	type key struct {
		r *traces.Resource
		s *traces.Scope
	}
	var order []key
	groups := map[key][]*traces.Trace{}
	for _, t := range list {
		for _, s := range t.Spans {
			k := key{s.Resource, s.Scope}
			if groups[k] == nil {
				order = append(order, k)
			}
			groups[k] = append(groups[k], &traces.Trace{ID: t.ID, Spans: []*traces.Span{s}})
			g.sent++
		}
	}
	var out []byte
	for _, k := range order {
		out = traces.AppendResourceSpans(out, k.r, k.s, groups[k])
	}
	g.raw += int64(len(out))
	return out
}

// send sends everything over a few connections.
func (b *bench) send(s *process.Server, g *generator) error {
	bodies := make(chan []byte, 8)
	var group errgroup.Group
	for range 4 {
		group.Go(func() error {
			for body := range bodies {
				if err := s.Post("/v1/traces", "application/x-protobuf", body); err != nil {
					for range bodies { // let the generator end
					}
					return err
				}
			}
			return nil
		})
	}
	err := g.batches(func(body []byte) error {
		bodies <- body
		return nil
	})
	close(bodies)
	if e := group.Wait(); e != nil {
		return e
	}
	return err
}
