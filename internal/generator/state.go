package generator

import (
	"strings"
	"sync"
	"time"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/traces"
)

// state is what is counted for one tenant. Two goroutines use it: one that counts and one that collects.
type state struct {
	tenant string
	meters *meters
	share  *Share // nil: there is no other generator
	outbox *outbox

	mu        sync.Mutex
	settings  *settings
	retired   bool // forgotten: who counts takes a new one
	last      int64
	collected time.Time
	registry  registry
	edges     edgeStore

	resources map[string]*resource // by message

	// Of the batch at hand.
	now      int64 // Unix milliseconds
	oldest   uint64
	newest   uint64
	resource *resource
	found    []traces.RawValue // of the span, by the settings' keys
	key      []byte
	seen     batchCounts
}

// batchCounts are added to the meters once a batch.
type batchCounts struct {
	spans, outside, filtered, overflowed         int
	paired, virtual, database, unpaired, dropped int
	sent                                         int // sides, to the generators that have their traces
}

// resource is what is known of a resource: what its spans share.
type resource struct {
	service       string
	job, instance string
	found         []traces.RawValue // by the settings' keys
	texts         []string          // of found
	prefix        []byte            // of its spans' keys
	target        *entry            // its traces_target_info; nil where it has none
	recent        *[recentSpans]recentSpan
}

// recentSpan is the entry of the last span of some name, kind and status. To build the key of each span and look it up
// costs more than to count it.
type recentSpan struct {
	name   string
	kind   traces.Kind
	status traces.Status
	entry  *entry
}

const (
	recentSpans = 32  // of a resource, a power of two
	recentName  = 128 // bytes of the longest name that is remembered
)

// recentOf returns where the entry of such a span is remembered, nil where it depends on more.
func (s *state) recentOf(v *traces.SpanView) *recentSpan {
	if !s.settings.spans.plain || len(v.Name) == 0 || len(v.Name) > recentName {
		return nil
	}
	r := s.resource
	if r.recent == nil {
		r.recent = new([recentSpans]recentSpan)
	}
	h := uint32(v.Name[len(v.Name)-1]) + uint32(len(v.Name))*7 + uint32(v.Name[len(v.Name)/2])*5 + uint32(v.Kind)*11 + uint32(v.Status)*13
	return &r.recent[h%recentSpans]
}

// maxResources bounds the resources that are remembered. Above it all are forgotten and read again.
const maxResources = 4096

func newState(tenant string, l *limits.Limits, now time.Time, m *meters, share *Share, out *outbox) *state {
	s := &state{tenant: tenant, meters: m, share: share, outbox: out, last: now.UnixMilli() - 1}
	s.configure(l)
	return s
}

// configure begins anew with other settings. s.mu must be held, or s be new.
func (s *state) configure(l *limits.Limits) {
	s.settings = compile(l)
	s.registry = newRegistry(l)
	if s.share != nil {
		s.registry.instance = s.share.Instance
	}
	s.edges = newEdgeStore(l.Traces.Generator.ServiceGraphs.MaxItems)
	s.resources = make(map[string]*resource)
	s.found = make([]traces.RawValue, s.settings.keys.Len())
}

// retire ends the state unless it holds something.
func (s *state) retire() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired = len(s.registry.entries) == 0 && s.edges.len() == 0
	return s.retired
}

// due reports whether the tenant's metrics are to be written at a tick.
func (s *state) due(now time.Time, tick time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	every := time.Duration(s.settings.limits.Traces.Generator.CollectionInterval)
	return every <= tick || now.Sub(s.collected) > every-tick/2
}

// size returns how many series are kept and how many sides of requests wait.
func (s *state) size() (active, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.registry.active, s.edges.len()
}

// consume counts a batch. ok is false, and nothing counted, when the state has ended.
func (s *state) consume(b *batch) (err error, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retired {
		return nil, false
	}
	at := b.received.UnixNano()
	s.now, s.oldest, s.newest = at/1e6, 0, 1<<63
	if slack := s.settings.slack; slack > 0 {
		s.oldest, s.newest = uint64(max(0, at-slack)), uint64(at+slack)
	}
	s.expireEdges(s.now)
	err = traces.ScanOTLP(b.otlp, s)
	clear(s.found) // they are views of the batch
	s.resource = nil
	s.report()
	return err, true
}

// report moves the counts of a batch to the meters.
func (s *state) report() {
	m, c := s.meters, &s.seen
	m.spans.Add(float64(c.spans))
	m.overflowed.Add(float64(c.overflowed))
	s.registry.overflowed += c.overflowed
	for _, n := range []struct {
		n      int
		reason string
	}{{c.outside, "outside_slack"}, {c.filtered, "filtered"}} {
		if n.n > 0 {
			m.dropped.WithLabelValues(n.reason).Add(float64(n.n))
		}
	}
	for _, n := range []struct {
		n       int
		outcome string
	}{{c.paired, "paired"}, {c.virtual, "virtual_node"}, {c.database, "database"}, {c.unpaired, "unpaired"}, {c.dropped, "dropped"}, {c.sent, "sent"}} {
		if n.n > 0 {
			m.edges.WithLabelValues(n.outcome).Add(float64(n.n))
		}
	}
	s.seen = batchCounts{}
}

// Resource implements traces.SpanVisitor.
func (s *state) Resource(raw string) {
	r := s.resources[raw]
	if r == nil || r.target != nil && r.target.ended {
		r = s.readResource(raw)
	}
	s.resource = r
	if r.target != nil {
		r.target.updated = s.now
	}
}

func (s *state) readResource(raw string) *resource {
	r := &resource{found: make([]traces.RawValue, s.settings.keys.Len())}
	var attributes []traces.Attribute
	if decoded, err := traces.DecodeResource(raw); err == nil {
		attributes, r.service = decoded.Attributes, decoded.ServiceName
	}
	namespace := ""
	for i := range attributes {
		a := &attributes[i]
		switch a.Key {
		case "service.namespace":
			namespace = textOf(a)
		case "service.instance.id":
			r.instance = textOf(a)
		}
		for k, name := range s.settings.names {
			if a.Key == name && r.found[k] == "" {
				r.found[k] = traces.RawOf(a)
			}
		}
	}
	if r.job = r.service; r.job != "" && namespace != "" {
		r.job = namespace + "/" + r.service
	}
	r.texts = make([]string, len(r.found))
	for i, v := range r.found {
		r.texts[i] = rawText(v)
	}
	if s.settings.spans.intrinsic.Service {
		r.prefix = appendPart(r.prefix, cut(r.service, s.registry.maxValue))
	}
	if s.settings.spans.jobLabels {
		r.prefix = appendPart(appendPart(r.prefix, cut(r.job, s.registry.maxValue)), cut(r.instance, s.registry.maxValue))
	}
	if s.settings.spans.target {
		r.target = s.target(r, attributes)
	}
	if len(s.resources) >= maxResources {
		clear(s.resources)
	}
	s.resources[strings.Clone(raw)] = r
	return r
}

// Span implements traces.SpanVisitor.
func (s *state) Span(v *traces.SpanView) {
	s.seen.spans++
	if v.End < s.oldest || v.End > s.newest {
		s.seen.outside++
		return
	}
	edge := s.settings.graphs.on && v.Kind >= traces.KindServer
	// A server's side that was called by somebody is told by its IDs.
	called := v.Kind != traces.KindClient && v.Kind != traces.KindProducer && v.ParentID != traces.SpanID{}
	if s.settings.allSpans || edge && (s.settings.graphs.allSides || !called) {
		v.Find(s.settings.keys, s.found)
	}
	seconds := 0.0
	if v.End > v.Start {
		seconds = float64(v.End-v.Start) / 1e9
	}
	if s.settings.spans.on {
		s.countSpan(v, seconds)
	}
	if edge {
		s.countSide(v, seconds)
	}
}

// attribute returns the value of a key of the settings: the resource's, else the span's, "" where there is none.
func (s *state) attribute(key int) traces.RawValue {
	if v := s.resource.found[key]; v != "" {
		return v
	}
	return s.found[key]
}

// text is the value of attribute as a label's, "" for lists and where there is none.
func (s *state) text(key int) string {
	if s.resource.found[key] != "" {
		return s.resource.texts[key]
	}
	return rawText(s.found[key])
}
