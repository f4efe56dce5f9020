package demo

import (
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

func (g *Generator) describeServer(a pcommon.Map, r *request, c *call, method string) {
	switch c.via {
	case viaGRPC:
		service, name, _ := strings.Cut(c.name, "/")
		a.PutStr("rpc.system", "grpc")
		a.PutStr("rpc.service", service)
		a.PutStr("rpc.method", name)
	case viaQueue:
		a.PutStr("messaging.system", "kafka")
		a.PutStr("messaging.destination.name", c.name)
		a.PutInt("messaging.kafka.message.offset", int64(g.orders))
		a.PutStr("app.order.id", r.order)
	default:
		a.PutStr("http.request.method", method)
		a.PutStr("http.route", c.name)
		a.PutStr("url.scheme", "https")
		a.PutStr("url.path", fillPath(c.name, r))
		a.PutStr("network.protocol.version", "1.1")
	}
	a.PutStr("app.user.id", r.user)
	if c.service != "storefront" {
		return
	}
	a.PutStr("client.address", fmt.Sprintf("203.0.113.%d", g.rand.IntN(250)+1))
	a.PutStr("user_agent.original", agents[g.zipf(len(agents))])
	a.PutStr("session.id", r.session)
	a.PutInt("http.response.body.size", int64(g.around(20_000)))
	if c.name == "/search" {
		a.PutStr("app.search.term", r.query)
	}
	tags := a.PutEmptySlice("app.experiments")
	tags.AppendEmpty().SetStr("new-banner")
	if g.rand.IntN(2) == 0 {
		tags.AppendEmpty().SetStr("fast-checkout")
	}
}

var agents = []string{
	"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
	"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
	"shop-ios/8.3.1", "shop-android/8.2.0", "curl/8.6.0",
}

func fillPath(route string, r *request) string {
	id := r.product
	if strings.HasPrefix(route, "/users") {
		id = r.user
	}
	return strings.ReplaceAll(route, "{id}", id)
}

func (g *Generator) describeClient(a pcommon.Map, r *request, c *call) {
	a.PutStr("server.address", c.service)
	switch c.via {
	case viaGRPC:
		service, name, _ := strings.Cut(c.name, "/")
		a.PutStr("rpc.system", "grpc")
		a.PutStr("rpc.service", service)
		a.PutStr("rpc.method", name)
		a.PutInt("server.port", 8443)
	case viaSQL, viaCache:
		a.PutStr("db.system", c.service)
		a.PutStr("db.system.name", c.service)
		a.PutStr("db.query.text", c.name)
		a.PutStr("db.operation.name", strings.Fields(c.name)[0])
		if c.via == viaSQL {
			a.PutStr("db.namespace", "shop")
			a.PutInt("db.response.returned_rows", int64(g.zipf(60)))
		}
	case viaQueue:
		a.PutStr("messaging.system", "kafka")
		a.PutStr("messaging.destination.name", c.name)
		a.PutStr("app.order.id", r.order)
	default:
		a.PutStr("http.request.method", "POST")
		a.PutStr("url.full", "https://"+c.service+fillPath(strings.TrimPrefix(c.name, "POST "), r))
		a.PutInt("server.port", 443)
	}
	if net, ok := networkOf[c.via]; ok {
		a.PutStr("network.transport", net)
	}
}

var networkOf = map[protocol]string{viaHTTP: "tcp", viaGRPC: "tcp", viaSQL: "tcp", viaCache: "tcp"}

// statementName is short, as the conventions want: the statement itself is an attribute.
func statementName(c *call) string {
	f := strings.Fields(c.name)
	for i := range len(f) - 1 {
		switch f[i] {
		case "FROM", "INTO", "UPDATE":
			return f[0] + " shop." + f[i+1]
		}
	}
	return f[0]
}

// finishServer sets the outcome of a server span and counts it in the instance's metrics.
func (g *Generator) finishServer(s ptrace.Span, in *instance, r *request, c *call, method, failure string, took time.Duration) {
	if failure != "" {
		s.Status().SetCode(ptrace.StatusCodeError)
		s.Status().SetMessage(failure)
	}
	ex := exemplar{value: took.Seconds(), at: s.EndTimestamp(), trace: r.id, span: s.SpanID()}
	switch c.via {
	case viaGRPC:
		status := "OK"
		code := int64(0)
		if failure != "" {
			status, code = "INTERNAL", 13
		}
		s.Attributes().PutInt("rpc.grpc.status_code", code)
		in.metrics.rpc.observe(seriesKey{c.name, status}, ex)
	case viaQueue:
		in.metrics.messages.add(seriesKey{c.name, outcome(failure)}, 1)
	default:
		code := int64(200)
		if failure != "" {
			code = 500
			s.Attributes().PutStr("error.type", "500")
		} else if method == "POST" {
			code = 201
		}
		s.Attributes().PutInt("http.response.status_code", code)
		in.metrics.http.observe(seriesKey{method + " " + c.name, fmt.Sprint(code)}, ex)
	}
	if c.service == "checkout" {
		in.metrics.orders.add(seriesKey{currencies[g.zipf(len(currencies))], outcome(failure)}, 1)
		if failure == "" {
			in.metrics.revenue.add(seriesKey{"total", ""}, 20+120*g.rand.ExpFloat64())
		}
	}
}

var currencies = []string{"EUR", "USD", "GBP", "SEK", "JPY"}

func outcome(failure string) string {
	if failure != "" {
		return "failed"
	}
	return "ok"
}
