package generator

import (
	"strings"
	"time"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/traces"
)

// settings are a tenant's limits, compiled: attributes are looked for by their place among keys.
type settings struct {
	limits *limits.Limits // what they were compiled from
	slack  int64          // nanoseconds, 0 for none
	wait   int64          // milliseconds
	form   form

	keys *traces.AttributeKeys
	// allSpans says that attributes of every span are asked for, not only of those that make requests.
	allSpans bool
	names    []string // of keys

	spans  spanSettings
	graphs graphSettings
}

type spanSettings struct {
	on                bool
	skip              [2]bool // counters of spanFamily that are not made
	form              form    // of the latency
	intrinsic         limits.IntrinsicDimensions
	bounds            []float64
	dimensions        []dimension
	jobLabels, target bool
	excluded          map[string]bool
	multiplier        multiplier
	filter            filter
	plain             bool // resource, name, kind and status tell the series
}

type graphSettings struct {
	on                       bool
	bounds                   []float64
	dimensions               []graphDimension
	prefix, messaging, label bool
	peers, databases         []int
	databaseNames            []int
	address, port            int // network.peer.*
	multiplier               multiplier
	filter                   filter
	// allSides says that attributes of every side are asked for, not only of those that name a node.
	allSides bool
}

// dimension is a label made of attributes.
type dimension struct {
	label string
	keys  []int
	join  string
}

type graphDimension struct {
	client, server string // the same label unless they have prefixes
	key            int
}

// multiplier says how many spans one stands for.
type multiplier struct {
	key        int // of the sampling ratio, -1 for none
	traceState bool
}

// reserved are labels that the metrics have already.
var reserved = map[string]bool{"service": true, "span_name": true, "span_kind": true, "status_code": true, "status_message": true,
	"job": true, "instance": true, "le": true, "client": true, "server": true, "connection_type": true, "virtual_node": true,
	overflowLabel: true, instanceLabel: true}

// labelName makes a label of an attribute's name. One that is taken gets underscores in front.
func labelName(attribute string) string {
	b := []byte(attribute)
	for i, c := range b {
		if c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') {
			b[i] = '_'
		}
	}
	name := string(b)
	switch {
	case name == "":
		return "_"
	case name[0] >= '0' && name[0] <= '9':
		name = "_" + name
	}
	if reserved[name] {
		name = "__" + name
	}
	return name
}

func compile(l *limits.Limits) *settings {
	g := &l.Traces.Generator
	s := &settings{limits: l, slack: time.Duration(g.IngestionTimeRangeSlack).Nanoseconds(), wait: time.Duration(g.ServiceGraphs.Wait).Milliseconds(),
		form: form{classic: g.Histograms != "native", native: g.Histograms != "classic"}}
	s.compileSpans(&g.SpanMetrics, g.Enabled)
	s.allSpans = s.spans.on && len(s.names) > 0
	s.compileGraphs(&g.ServiceGraphs, g.Enabled)
	s.keys = traces.NewAttributeKeys(s.names)
	return s
}

// key returns the place of an attribute among the keys.
func (s *settings) key(name string) int {
	for i, n := range s.names {
		if n == name {
			return i
		}
	}
	s.names = append(s.names, name)
	return len(s.names) - 1
}

func (s *settings) keysOf(names []string) []int {
	keys := make([]int, len(names))
	for i, n := range names {
		keys[i] = s.key(n)
	}
	return keys
}

func (s *settings) multiplier(key string, traceState bool) multiplier {
	if key == "" {
		return multiplier{-1, traceState}
	}
	return multiplier{s.key(key), traceState}
}

func (s *settings) compileSpans(c *limits.SpanMetricsLimits, on bool) {
	p := &s.spans
	p.on, p.intrinsic, p.bounds = on && c.Enabled, c.IntrinsicDimensions, c.HistogramBuckets
	if !p.on {
		return
	}
	p.skip = [2]bool{!c.Calls, !c.Size}
	if c.Latency {
		p.form = s.form
	}
	p.jobLabels, p.target = c.JobAndInstanceLabels, c.EnableTargetInfo
	p.excluded = make(map[string]bool, len(c.TargetInfoExcludedDimensions))
	for _, name := range c.TargetInfoExcludedDimensions {
		p.excluded[name] = true
	}
	taken := map[string]bool{}
	add := func(d dimension) {
		// Two attributes may make one label: the first counts, a label can't be there twice.
		if !taken[d.label] {
			taken[d.label] = true
			p.dimensions = append(p.dimensions, d)
		}
	}
	for _, name := range c.Dimensions {
		add(dimension{label: labelName(name), keys: []int{s.key(name)}})
	}
	for _, m := range c.DimensionMappings {
		add(dimension{label: labelName(m.Name), keys: s.keysOf(m.SourceLabels), join: m.Join})
	}
	p.multiplier = s.multiplier(c.SpanMultiplierKey, c.EnableTracestateSpanMultiplier)
	p.filter = s.filter(c.FilterPolicies)
	p.plain = len(p.dimensions) == 0 && !p.intrinsic.StatusMessage
}

func (s *settings) compileGraphs(c *limits.ServiceGraphLimits, on bool) {
	p := &s.graphs
	p.on, p.bounds = on && c.Enabled, c.HistogramBuckets
	if !p.on {
		return
	}
	p.prefix, p.messaging, p.label = c.EnableClientServerPrefix, c.EnableMessagingSystemLatencyHistogram, c.EnableVirtualNodeLabel
	taken := map[string]bool{}
	for _, name := range c.Dimensions {
		d := graphDimension{client: labelName(name), server: labelName(name), key: s.key(name)}
		if taken[d.client] {
			continue
		}
		taken[d.client] = true
		if p.prefix {
			d.client, d.server = "client_"+strings.TrimLeft(d.client, "_"), "server_"+strings.TrimLeft(d.server, "_")
		}
		p.dimensions = append(p.dimensions, d)
	}
	p.peers, p.databases = s.keysOf(c.PeerAttributes), s.keysOf(c.DatabaseNameAttributes)
	// What names the node of a database, best first; the address stands between the second and the third.
	p.databaseNames = s.keysOf([]string{"peer.service", "server.address", "db.namespace", "db.name"})
	p.address, p.port = s.key("network.peer.address"), s.key("network.peer.port")
	p.multiplier = s.multiplier(c.SpanMultiplierKey, c.EnableTracestateSpanMultiplier)
	p.filter = s.filter(c.FilterPolicies)
	p.allSides = len(p.dimensions) > 0 || p.multiplier.key >= 0 || !p.filter.empty()
}
