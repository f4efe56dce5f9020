package demo

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// GeneratorOptions say what to make. Equal options give equal telemetry, byte for byte.
type GeneratorOptions struct {
	Seed     uint64
	Start    time.Time     // of the first step
	Step     time.Duration // what one call of Next covers; default 1 s
	Rate     float64       // traces a second; default 10
	Interval time.Duration // between exports of metrics; default 10 s
}

// Generator makes the telemetry of the shop step by step. Not safe for concurrent use.
type Generator struct {
	opts      GeneratorOptions
	rand      *rand.Rand
	now       time.Time // start of the next step
	due       float64   // traces owed, as a fraction
	instances map[string][]*instance
	all       []*instance
	total     int // weights of the endpoints
	exported  time.Time
	made      int // traces so far
	orders    uint64

	step stepData
}

// instance is one running copy of a service.
type instance struct {
	*service
	id       string
	resource pcommon.Resource
	host     string
	metrics  instanceMetrics
}

// stepData is what the step has made so far, by instance.
type stepData struct {
	spans map[*instance]ptrace.SpanSlice
	logs  map[*instance]plog.LogRecordSlice
	td    ptrace.Traces
	ld    plog.Logs
}

// NewGenerator returns a generator at its first step.
func NewGenerator(o GeneratorOptions) *Generator {
	if o.Step <= 0 {
		o.Step = time.Second
	}
	if o.Rate <= 0 {
		o.Rate = 10
	}
	if o.Interval <= 0 {
		o.Interval = 10 * time.Second
	}
	g := &Generator{opts: o, rand: rand.New(rand.NewPCG(o.Seed, 0x68756e65)), now: o.Start, instances: make(map[string][]*instance)}
	for i := range services {
		s := &services[i]
		for n := range s.instances {
			in := g.newInstance(s, n)
			g.instances[s.name] = append(g.instances[s.name], in)
			g.all = append(g.all, in)
		}
	}
	for _, e := range endpoints {
		g.total += e.weight
	}
	return g
}

func (g *Generator) newInstance(s *service, n int) *instance {
	in := &instance{service: s, resource: pcommon.NewResource(), host: fmt.Sprintf("node-%d", g.rand.IntN(4)+1)}
	pod := fmt.Sprintf("%s-%08x-%s", s.name, g.rand.Uint32(), letters(g.rand, 5))
	in.id = pod
	a := in.resource.Attributes()
	a.PutStr("service.name", s.name)
	a.PutStr("service.namespace", "shop")
	a.PutStr("service.instance.id", pod)
	a.PutStr("service.version", s.version)
	a.PutStr("deployment.environment", "production")
	a.PutStr("deployment.environment.name", "production")
	a.PutStr("k8s.cluster.name", "harbour")
	a.PutStr("k8s.namespace.name", "shop")
	a.PutStr("k8s.deployment.name", s.name)
	a.PutStr("k8s.pod.name", pod)
	a.PutStr("k8s.container.name", s.name)
	a.PutStr("host.name", in.host)
	a.PutStr("telemetry.sdk.language", s.language)
	a.PutStr("telemetry.sdk.name", "opentelemetry")
	in.metrics.start = g.opts.Start
	in.metrics.memory = 80e6 + 40e6*float64(n) + 100e6*g.rand.Float64()
	return in
}

func letters(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "bcdfghjklmnpqrstvwxz2456789"[r.IntN(27)]
	}
	return string(b)
}

// Next makes the telemetry of the next step. Metrics are empty except at every Interval.
func (g *Generator) Next() (ptrace.Traces, plog.Logs, pmetric.Metrics) {
	g.step = stepData{spans: make(map[*instance]ptrace.SpanSlice), logs: make(map[*instance]plog.LogRecordSlice),
		td: ptrace.NewTraces(), ld: plog.NewLogs()}
	g.due += g.opts.Rate * g.opts.Step.Seconds()
	n := int(g.due)
	g.due -= float64(n)
	at := make([]time.Duration, n)
	for i := range at {
		at[i] = time.Duration(g.rand.Int64N(int64(g.opts.Step)))
	}
	slices.Sort(at)
	g.made += n
	for _, offset := range at {
		g.trace(g.now.Add(offset))
	}
	g.now = g.now.Add(g.opts.Step)
	md := pmetric.NewMetrics()
	if g.exported.IsZero() || g.now.Sub(g.exported) >= g.opts.Interval {
		g.exportMetrics(md)
		g.exported = g.now
	}
	return g.step.td, g.step.ld, md
}

// Now returns the start of the next step.
func (g *Generator) Now() time.Time { return g.now }

// request is one trace in the making.
type request struct {
	id      pcommon.TraceID
	user    string
	session string
	product string
	query   string
	order   string
	slow    float64 // factor on recommendation
	fails   float64
	sampled bool // some requests are logged more verbosely
}

func (g *Generator) trace(start time.Time) {
	e := g.endpoint()
	r := &request{user: fmt.Sprintf("u-%d", g.zipf(5000)), product: fmt.Sprintf("SKU-%04d", g.zipf(800)), query: terms[g.zipf(len(terms))]}
	binary.BigEndian.PutUint64(r.id[:], g.rand.Uint64())
	binary.BigEndian.PutUint64(r.id[8:], g.rand.Uint64()|1)
	r.session = fmt.Sprintf("%016x", g.rand.Uint64())
	r.sampled = g.rand.IntN(4) == 0
	r.slow, r.fails = incident(start)
	g.orders++
	r.order = fmt.Sprintf("ord-%08d", g.orders)
	g.serve(r, e.method, &e.call, pcommon.SpanID{}, nil, start)
}

var terms = []string{"lantern", "rope", "compass", "wool jumper", "sea chart", "boots", "telescope", "oilskin", "biscuits", "anchor print", "kettle", "hammock"}

// zipf draws from [0, n), small numbers far more often.
func (g *Generator) zipf(n int) int {
	return min(int(float64(n)*math.Pow(g.rand.Float64(), 3)), n-1)
}

func (g *Generator) endpoint() *endpoint {
	w := g.rand.IntN(g.total)
	for i := range endpoints {
		if w -= endpoints[i].weight; w < 0 {
			return &endpoints[i]
		}
	}
	panic("demo: weights of the endpoints don't add up")
}

// pick returns the instance that answers.
func (g *Generator) pick(name string) *instance {
	list := g.instances[name]
	if len(list) == 0 {
		return nil
	}
	return list[g.rand.IntN(len(list))]
}

func (g *Generator) spanID() (id pcommon.SpanID) {
	binary.BigEndian.PutUint64(id[:], g.rand.Uint64()|1)
	return id
}

// around draws a time around a median: log-normal, as latencies are.
func (g *Generator) around(median time.Duration) time.Duration {
	return time.Duration(float64(median) * math.Exp(0.45*g.rand.NormFloat64()))
}

func (g *Generator) newSpan(in *instance, r *request, parent pcommon.SpanID, name string, kind ptrace.SpanKind, start time.Time) ptrace.Span {
	spans, ok := g.step.spans[in]
	if !ok {
		rs := g.step.td.ResourceSpans().AppendEmpty()
		in.resource.CopyTo(rs.Resource())
		rs.SetSchemaUrl("https://opentelemetry.io/schemas/1.26.0")
		ss := rs.ScopeSpans().AppendEmpty()
		ss.Scope().SetName("example.shop/instrumentation/" + in.language)
		ss.Scope().SetVersion("0.52.0")
		spans = ss.Spans()
		g.step.spans[in] = spans
	}
	s := spans.AppendEmpty()
	s.SetTraceID(r.id)
	s.SetSpanID(g.spanID())
	s.SetParentSpanID(parent)
	s.SetName(name)
	s.SetKind(kind)
	s.SetFlags(1)
	s.SetStartTimestamp(pcommon.NewTimestampFromTime(start))
	return s
}

// serve makes the server (or consumer) span of a call and everything below. It returns when it ended
// and why it failed, if it did. link is the producer's span where the call came through a queue.
func (g *Generator) serve(r *request, method string, c *call, parent pcommon.SpanID, link *pcommon.SpanID, start time.Time) (end time.Time, failure string) {
	in := g.pick(c.service)
	name, kind := method+" "+c.name, ptrace.SpanKindServer
	switch c.via {
	case viaGRPC:
		name = c.name
	case viaQueue:
		name, kind = c.name+" process", ptrace.SpanKindConsumer
	}
	s := g.newSpan(in, r, parent, name, kind, start)
	g.describeServer(s.Attributes(), r, c, method)
	if link != nil {
		l := s.Links().AppendEmpty()
		l.SetTraceID(r.id)
		l.SetSpanID(*link)
		l.Attributes().PutStr("messaging.operation.type", "receive")
	}
	work, fails := c.work, c.fails
	if c.service == "recommendation" {
		work, fails = time.Duration(float64(work)*r.slow), fails+r.fails
	}
	if g.rand.IntN(400) == 0 {
		work += 300 * ms // a pause of the garbage collector, a lost packet
		ev := s.Events().AppendEmpty()
		ev.SetName("gc.pause")
		ev.SetTimestamp(pcommon.NewTimestampFromTime(start.Add(ms)))
		ev.Attributes().PutInt("pause.ms", 300)
	}
	own := g.around(work)
	now := start.Add(own / 2)
	latest := now
	for i := range c.children {
		child := &c.children[i]
		if child.skip > 0 && g.rand.Float64() < child.skip {
			continue
		}
		childEnd, err := g.call(r, in, child, s.SpanID(), now)
		latest = later(latest, childEnd)
		if !c.parallel {
			now = childEnd
		}
		if err != "" && !c.absorb && !child.absorb && failure == "" {
			failure = err
			if !c.parallel {
				break
			}
		}
	}
	end = latest.Add(own - own/2)
	own = end.Sub(start)
	if failure == "" && g.rand.Float64() < fails {
		failure = c.error
		g.exception(s, in, failure, end)
	}
	s.SetEndTimestamp(pcommon.NewTimestampFromTime(end))
	g.finishServer(s, in, r, c, method, failure, own)
	g.logServer(s, in, r, c, method, failure, end, own)
	return end, failure
}

// call makes the client side of a call, and the server side if the callee is one of ours.
func (g *Generator) call(r *request, in *instance, c *call, parent pcommon.SpanID, start time.Time) (end time.Time, failure string) {
	name, kind := "POST", ptrace.SpanKindClient
	switch c.via {
	case viaGRPC:
		name = c.name
	case viaSQL, viaCache:
		name = statementName(c)
	case viaQueue:
		name, kind = c.name+" publish", ptrace.SpanKindProducer
	}
	s := g.newSpan(in, r, parent, name, kind, start)
	g.describeClient(s.Attributes(), r, c)
	network := g.around(300 * time.Microsecond)
	switch {
	case c.via == viaQueue:
		end = start.Add(g.around(2 * ms))
		producer := s.SpanID()
		g.serve(r, "", c, producer, &producer, end.Add(g.around(40*ms)))
	case g.instances[c.service] != nil:
		end, failure = g.serve(r, "POST", c, s.SpanID(), nil, start.Add(network))
		end = end.Add(network)
	default:
		end = start.Add(network + g.around(c.work))
		if g.rand.Float64() < c.fails {
			failure = c.error
			end = end.Add(2 * time.Second)
			g.exception(s, in, failure, end)
		}
	}
	s.SetEndTimestamp(pcommon.NewTimestampFromTime(end))
	if failure != "" {
		s.Status().SetCode(ptrace.StatusCodeError)
		s.Status().SetMessage(failure)
	}
	return end, failure
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (g *Generator) exception(s ptrace.Span, in *instance, message string, at time.Time) {
	ev := s.Events().AppendEmpty()
	ev.SetName("exception")
	ev.SetTimestamp(pcommon.NewTimestampFromTime(at))
	ev.Attributes().PutStr("exception.type", exceptionType(in.language))
	ev.Attributes().PutStr("exception.message", message)
	ev.Attributes().PutStr("exception.stacktrace", stackTrace(in, message))
}
