package demo

import (
	"math"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// instanceMetrics are the counters of one instance, cumulative since start.
type instanceMetrics struct {
	start    time.Time
	http     histograms // classic buckets
	rpc      histograms // exponential buckets
	messages counters
	orders   counters
	revenue  counters
	memory   float64
	cpu      float64 // seconds
	requests float64 // seen at the last export, for gauges that follow load
}

// seriesKey is the two attributes that tell series of a metric apart.
type seriesKey struct{ operation, status string }

// exemplar is one measured request.
type exemplar struct {
	value float64
	at    pcommon.Timestamp
	trace pcommon.TraceID
	span  pcommon.SpanID
}

// bounds are the classic buckets of the HTTP conventions, in seconds.
var bounds = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

// Exponential buckets: scale 3 makes eight to a power of two; values outside of the range of the
// array count in its first and last bucket.
const (
	expScale  = 3
	expOffset = -8 << expScale // 2^-8 s, about 4 ms
	expLen    = 14 << expScale // to 64 s
)

type histogram struct {
	key     seriesKey
	count   uint64
	sum     float64
	low     float64
	high    float64
	classic [15]uint64
	exp     [expLen]uint64
	last    []exemplar // since the last export, a few
}

// histograms are series in the order in which they appeared: a map's order would differ each time.
type histograms struct{ series []*histogram }

func (h *histograms) observe(k seriesKey, e exemplar) {
	i := slices.IndexFunc(h.series, func(s *histogram) bool { return s.key == k })
	if i < 0 {
		i = len(h.series)
		h.series = append(h.series, &histogram{key: k, low: math.Inf(1)})
	}
	s := h.series[i]
	s.count++
	s.sum += e.value
	s.low, s.high = min(s.low, e.value), max(s.high, e.value)
	b, _ := slices.BinarySearch(bounds, e.value)
	s.classic[b]++
	index := int(math.Ceil(math.Log2(e.value)*(1<<expScale))) - 1
	s.exp[min(max(index-expOffset, 0), expLen-1)]++
	if len(s.last) < 4 {
		s.last = append(s.last, e)
	} else if e.value > s.last[3].value {
		s.last[3] = e // the slow ones are what one wants to look at
	}
}

type counter struct {
	key   seriesKey
	value float64
}

type counters struct{ series []counter }

func (c *counters) add(k seriesKey, v float64) {
	i := slices.IndexFunc(c.series, func(s counter) bool { return s.key == k })
	if i < 0 {
		i = len(c.series)
		c.series = append(c.series, counter{key: k})
	}
	c.series[i].value += v
}

// exportMetrics writes the state of all instances at the generator's time.
func (g *Generator) exportMetrics(md pmetric.Metrics) {
	for _, in := range g.all {
		rm := md.ResourceMetrics().AppendEmpty()
		in.resource.CopyTo(rm.Resource())
		sm := rm.ScopeMetrics().AppendEmpty()
		sm.Scope().SetName("example.shop/metrics")
		e := exporter{g: g, in: in, metrics: sm.Metrics(), now: pcommon.NewTimestampFromTime(g.now), start: pcommon.NewTimestampFromTime(in.metrics.start)}
		e.export()
	}
}

type exporter struct {
	g          *Generator
	in         *instance
	metrics    pmetric.MetricSlice
	now, start pcommon.Timestamp
}

func (e *exporter) export() {
	m := &e.in.metrics
	e.classic("http.server.request.duration", "Duration of HTTP server requests.", &m.http)
	e.exponential("rpc.server.call.duration", "Duration of RPC server calls.", &m.rpc)
	e.counter("messaging.client.consumed.messages", "Messages processed.", "{message}", "messaging.destination.name", "outcome", &m.messages)
	e.counter("shop.orders", "Orders by currency and outcome.", "{order}", "currency", "outcome", &m.orders)
	e.counter("shop.revenue", "Revenue of placed orders.", "EUR", "kind", "", &m.revenue)

	var requests float64
	for _, h := range slices.Concat(m.http.series, m.rpc.series) {
		requests += float64(h.count)
	}
	load := (requests - m.requests) / e.g.opts.Interval.Seconds()
	m.requests = requests
	m.memory = min(max(m.memory+(e.g.rand.Float64()-0.48)*4e6, 60e6), 900e6)
	busy := min(0.02+load*0.004+0.02*e.g.rand.Float64(), 1)
	m.cpu += busy * e.g.opts.Interval.Seconds()
	e.gauge("process.memory.usage", "Memory in use.", "By", math.Round(m.memory))
	e.gauge("process.cpu.utilization", "Share of one processor in use.", "1", busy)
	e.gauge("shop.queue.depth", "Work that waits.", "{item}", math.Floor(load*e.g.rand.Float64()))
	e.sum("process.cpu.time", "Processor time used.", "s", true, m.cpu)
	e.sum("http.server.active_requests", "Requests in progress.", "{request}", false, math.Floor(load*0.1*e.g.rand.Float64()))
}

func (e *exporter) metric(name, description, unit string) pmetric.Metric {
	m := e.metrics.AppendEmpty()
	m.SetName(name)
	m.SetDescription(description)
	m.SetUnit(unit)
	return m
}

func (e *exporter) gauge(name, description, unit string, v float64) {
	p := e.metric(name, description, unit).SetEmptyGauge().DataPoints().AppendEmpty()
	p.SetTimestamp(e.now)
	p.SetDoubleValue(v)
}

func (e *exporter) sum(name, description, unit string, monotonic bool, v float64) {
	s := e.metric(name, description, unit).SetEmptySum()
	s.SetIsMonotonic(monotonic)
	s.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	p := s.DataPoints().AppendEmpty()
	p.SetStartTimestamp(e.start)
	p.SetTimestamp(e.now)
	p.SetDoubleValue(v)
}

func (e *exporter) counter(name, description, unit, first, second string, c *counters) {
	if len(c.series) == 0 {
		return
	}
	s := e.metric(name, description, unit).SetEmptySum()
	s.SetIsMonotonic(true)
	s.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	for _, series := range c.series {
		p := s.DataPoints().AppendEmpty()
		p.SetStartTimestamp(e.start)
		p.SetTimestamp(e.now)
		p.Attributes().PutStr(first, series.key.operation)
		if second != "" {
			p.Attributes().PutStr(second, series.key.status)
		}
		if series.value == math.Trunc(series.value) && unit != "EUR" {
			p.SetIntValue(int64(series.value))
		} else {
			p.SetDoubleValue(series.value)
		}
	}
}

func (e *exporter) classic(name, description string, h *histograms) {
	if len(h.series) == 0 {
		return
	}
	m := e.metric(name, description, "s").SetEmptyHistogram()
	m.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	for _, s := range h.series {
		p := m.DataPoints().AppendEmpty()
		p.SetStartTimestamp(e.start)
		p.SetTimestamp(e.now)
		method, route, _ := strings.Cut(s.key.operation, " ")
		p.Attributes().PutStr("http.request.method", method)
		p.Attributes().PutStr("http.route", route)
		p.Attributes().PutStr("http.response.status_code", s.key.status)
		p.SetCount(s.count)
		p.SetSum(s.sum)
		p.SetMin(s.low)
		p.SetMax(s.high)
		p.ExplicitBounds().FromRaw(bounds)
		p.BucketCounts().FromRaw(s.classic[:])
		s.exemplars(p.Exemplars())
	}
}

func (e *exporter) exponential(name, description string, h *histograms) {
	if len(h.series) == 0 {
		return
	}
	m := e.metric(name, description, "s").SetEmptyExponentialHistogram()
	m.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	for _, s := range h.series {
		p := m.DataPoints().AppendEmpty()
		p.SetStartTimestamp(e.start)
		p.SetTimestamp(e.now)
		service, method, _ := strings.Cut(s.key.operation, "/")
		p.Attributes().PutStr("rpc.system", "grpc")
		p.Attributes().PutStr("rpc.service", service)
		p.Attributes().PutStr("rpc.method", method)
		p.Attributes().PutStr("rpc.response.status_code", s.key.status)
		p.SetCount(s.count)
		p.SetSum(s.sum)
		p.SetMin(s.low)
		p.SetMax(s.high)
		p.SetScale(expScale)
		first, end := 0, expLen
		for first < end && s.exp[first] == 0 {
			first++
		}
		for end > first && s.exp[end-1] == 0 {
			end--
		}
		p.Positive().SetOffset(int32(expOffset + first))
		p.Positive().BucketCounts().FromRaw(s.exp[first:end])
		s.exemplars(p.Exemplars())
	}
}

// exemplars moves the exemplars since the last export to the point.
func (h *histogram) exemplars(dst pmetric.ExemplarSlice) {
	for _, ex := range h.last {
		e := dst.AppendEmpty()
		e.SetTimestamp(ex.at)
		e.SetDoubleValue(ex.value)
		e.SetTraceID(ex.trace)
		e.SetSpanID(ex.span)
	}
	h.last = h.last[:0]
}
