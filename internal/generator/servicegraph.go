package generator

import (
	"strings"

	"github.com/hune-io/hune/internal/traces"
)

// The values of the label connection_type, which is absent for a plain request.
const (
	viaMessaging = "messaging_system"
	toDatabase   = "database"
	toVirtual    = "virtual_node"
)

// unknownClient is the node of requests that come from nobody who sends spans.
const unknownClient = "user"

// countSide takes one side of a request: a client or producer, or a server or consumer. The other has the same
// trace, and is found by the ID of the client's span.
func (s *state) countSide(v *traces.SpanView, seconds float64) {
	if s.resource.service == "" {
		return // A node without a name is none.
	}
	g := &s.settings.graphs
	client := v.Kind == traces.KindClient || v.Kind == traces.KindProducer
	key := edgeKey{v.TraceID, v.ParentID}
	if client {
		key.span = v.ID
	}
	counts := g.filter.passes(v, s.resource.found, s.found)
	var name string
	switch {
	case !counts:
	case v.Kind == traces.KindClient && s.firstOf(g.databases) != "":
		name = s.databaseName()
	case !client && v.ParentID == traces.SpanID{}:
		name = s.firstOf(g.peers)
		if name == "" {
			name = unknownClient
		}
	}
	if name != "" {
		s.countAlone(v, client, name, seconds)
		return
	}
	if s.share != nil {
		if owner := s.share.Owner(traceHash(&v.TraceID)); owner != "" {
			s.sendSide(owner, &key, v, client, seconds, !counts)
			return
		}
	}
	hash, at := s.edges.find(&key)
	if at >= 0 {
		if other := &s.edges.slots[at].side; client && other.client == "" || !client && other.server == "" {
			if counts && !other.filtered {
				s.fill(other, v, client, seconds)
				s.seen.paired++
				s.countEdge(other, connection(other.messaging), "", &v.TraceID)
			}
			s.edges.remove(at)
			return
		}
		// The same side again, as of a second consumer: each waits for itself, the older one ends here.
		s.expireSide(&s.edges.slots[at])
		s.edges.remove(at)
	}
	waiting := s.edges.put(&key, hash, s.now+s.settings.wait)
	if waiting == nil {
		s.dropSide(v, client)
		return
	}
	waiting.filtered = !counts
	s.fill(waiting, v, client, seconds)
}

// countAlone counts a request that has one side only: to a database, or from outside.
func (s *state) countAlone(v *traces.SpanView, client bool, name string, seconds float64) {
	var e side
	s.fill(&e, v, client, seconds)
	if client {
		// Nobody else saw it: the time of the client is that of the server too.
		e.server, e.serverTime = name, e.clientTime
		s.seen.database++
		s.countEdge(&e, toDatabase, "", &v.TraceID)
		return
	}
	e.client, e.clientTime = name, -1
	s.seen.virtual++
	s.countEdge(&e, toVirtual, "client", &v.TraceID)
}

func connection(messaging bool) string {
	if messaging {
		return viaMessaging
	}
	return ""
}

// fill sets what the span says of its side.
func (s *state) fill(e *side, v *traces.SpanView, client bool, seconds float64) {
	g := &s.settings.graphs
	e.times = max(e.times, g.multiplier.of(v, s))
	e.failed = e.failed || v.Status == traces.StatusError
	e.messaging = e.messaging || v.Kind == traces.KindProducer || v.Kind == traces.KindConsumer
	if len(g.dimensions) > 0 {
		s.fillDimensions(e, client)
	}
	if client {
		e.client, e.clientTime, e.clientAt = s.resource.service, seconds, v.End
		if e.server == "" {
			e.peer = strings.Clone(s.firstOf(g.peers))
		}
		return
	}
	e.server, e.serverTime, e.serverAt = s.resource.service, seconds, v.Start
}

func (s *state) fillDimensions(e *side, client bool) {
	values := make([]string, len(s.settings.graphs.dimensions))
	for i, d := range s.settings.graphs.dimensions {
		values[i] = strings.Clone(cut(s.text(d.key), s.registry.maxValue))
	}
	if e.dimensions == nil {
		e.dimensions = new([2][]string)
	}
	if client {
		e.dimensions[0] = values
	} else {
		e.dimensions[1] = values
	}
}

// firstOf returns the value of the first attribute that is there and not empty, else "".
func (s *state) firstOf(keys []int) string {
	for _, k := range keys {
		if text := s.text(k); text != "" {
			return text
		}
	}
	return ""
}

// databaseName names the node of a database.
func (s *state) databaseName() string {
	g := &s.settings.graphs
	if name := s.firstOf(g.databaseNames[:2]); name != "" {
		return name
	}
	if address := s.firstOf([]int{g.address}); address != "" {
		if port := s.firstOf([]int{g.port}); port != "" {
			return address + ":" + port
		}
		return address
	}
	if name := s.firstOf(g.databaseNames[2:]); name != "" {
		return name
	}
	return s.firstOf(g.databases)
}

// expireEdges ends the sides whose other side hasn't come in time.
func (s *state) expireEdges(now int64) {
	for {
		e := s.edges.expired(now)
		if e == nil {
			return
		}
		s.expireSide(e)
		s.edges.remove(s.edges.first)
	}
}

// expireSide counts a client's side as a request to a node that sends no spans, if it names one.
func (s *state) expireSide(e *slot) {
	switch {
	case e.filtered:
	case e.server == "" && e.peer != "":
		e.server, e.serverTime = e.peer, e.clientTime
		s.seen.virtual++
		s.countEdge(&e.side, toVirtual, "server", &e.key.trace)
	default:
		s.seen.unpaired++
		s.countLost(unpairedFamily, e.client, e.server, connection(e.messaging))
	}
}

func (s *state) dropSide(v *traces.SpanView, client bool) {
	s.seen.dropped++
	via := connection(v.Kind == traces.KindProducer || v.Kind == traces.KindConsumer)
	if client {
		s.countLost(droppedFamily, s.resource.service, "", via)
		return
	}
	s.countLost(droppedFamily, "", s.resource.service, via)
}

// countLost counts a side that came to nothing.
func (s *state) countLost(f *family, client, server, via string) {
	key := appendPart(appendPart(appendPart(s.key[:0], client), server), via)
	s.key = key
	e := s.registry.byKey[f][string(key)]
	if e == nil {
		var fits bool
		ls := s.registry.labelsOf(map[string]string{"client": client, "server": server, "connection_type": via})
		if e, fits = s.registry.add(f, string(key), ls, form{}, nil, s.last+1); !fits {
			s.seen.overflowed++
		}
	}
	e.updated = s.now
	e.counters[0]++
}

// countEdge counts a request between two nodes. A time below zero was not seen.
func (s *state) countEdge(e *side, via, virtual string, trace *traces.ID) {
	g := &s.settings.graphs
	key := appendPart(appendPart(appendPart(s.key[:0], cut(e.client, s.registry.maxValue)), cut(e.server, s.registry.maxValue)), via)
	key = appendPart(key, virtual)
	for i := range g.dimensions {
		client, server := e.dimension(i, g.prefix)
		key = appendPart(appendPart(key, client), server)
	}
	s.key = key
	entry := s.registry.byKey[edgeFamily][string(key)]
	if entry == nil {
		entry = s.addEdgeEntry(e, via, virtual, key)
	}
	entry.updated = s.now
	entry.counters[0] += e.times
	if e.failed {
		entry.counters[1] += e.times
	}
	if e.serverTime >= 0 {
		s.observe(&entry.histograms[serverSeconds], e.serverTime, e.times, trace)
	}
	if e.clientTime >= 0 {
		s.observe(&entry.histograms[clientSeconds], e.clientTime, e.times, trace)
	}
	if g.messaging && via == viaMessaging && e.serverAt > e.clientAt {
		s.observe(&entry.histograms[messagingSeconds], float64(e.serverAt-e.clientAt)/1e9, e.times, trace)
	}
}

func (s *state) addEdgeEntry(e *side, via, virtual string, key []byte) *entry {
	g := &s.settings.graphs
	if e := s.registry.overflow(edgeFamily, s.settings.form, g.bounds); e != nil {
		s.seen.overflowed++
		return e
	}
	pairs := map[string]string{}
	for i, d := range g.dimensions {
		client, server := e.dimension(i, g.prefix)
		pairs[d.client] = client
		if g.prefix || server != "" {
			pairs[d.server] = server
		}
	}
	pairs["client"], pairs["server"], pairs["connection_type"] = e.client, e.server, via
	if g.label {
		pairs["virtual_node"] = virtual
	}
	added, fits := s.registry.add(edgeFamily, string(key), s.registry.labelsOf(pairs), s.settings.form, g.bounds, s.last+1)
	if !fits {
		s.seen.overflowed++
	}
	return added
}

// dimension returns the values of a dimension of both sides. Where they share a label, the server's counts, if
// it has one.
func (e *side) dimension(i int, prefix bool) (client, server string) {
	if c := e.dimensions[0]; c != nil {
		client = c[i]
	}
	if s := e.dimensions[1]; s != nil {
		server = s[i]
	}
	if !prefix && server != "" {
		client = ""
	}
	return client, server
}
