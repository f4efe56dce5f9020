package traces

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// groupBuilder turns the traces of one row group into columns. Spans are rows in the order of their
// traces, in a trace in the order of Trace.Spans.
type groupBuilder struct {
	start, end uint64

	traceIDs                       []byte
	traceRows, traceStart, traceTo []int64

	spanIDs, parentRaw                   []byte
	parent, kind, status, from, duration []int64
	name, message, state                 textColumn
	flags, order                         []int64
	droppedAttributes, droppedEvents     []int64
	droppedLinks                         []int64
	resource, scope, shape               []int64

	events, eventTime, eventDropped, eventShape []int64
	eventName                                   textColumn

	links, linkDropped, linkFlags, linkShape []int64
	linkTraceIDs, linkSpanIDs                []byte
	linkState                                textColumn

	resources, scopes table[string]
	resourceOf        map[*Resource]int64
	scopeOf           map[*Scope]int64
	shapes            table[string] // lists of column indexes as uvarints
	rest              [tagPlaces]textColumn

	found   map[columnKey]*attributeColumn
	seq     []*attributeColumn // of every attribute, in the order in which count met them
	next    int                // the one that add comes to next
	columns []*attributeColumn
	buf     []byte
	parents map[SpanID]int64
}

type columnKey struct {
	place int
	typ   ValueType
	key   string
}

// table numbers distinct values in order of appearance.
type table[T comparable] struct {
	ids  map[T]int64
	list []T
}

func (t *table[T]) id(v T) int64 {
	if id, ok := t.ids[v]; ok {
		return id
	}
	id := int64(len(t.list))
	t.ids[v] = id
	t.list = append(t.list, v)
	return id
}

func newTable[T comparable]() table[T] { return table[T]{ids: make(map[T]int64)} }

func newGroupBuilder() *groupBuilder { return &groupBuilder{} }

// reset empties the builder. The arrays of numbers keep their memory.
func (g *groupBuilder) reset() {
	old := *g
	*g = groupBuilder{start: math.MaxUint64, buf: old.buf, seq: old.seq[:0],
		resources: newTable[string](), scopes: newTable[string](), shapes: newTable[string](),
		resourceOf: make(map[*Resource]int64), scopeOf: make(map[*Scope]int64),
		found: make(map[columnKey]*attributeColumn), parents: make(map[SpanID]int64),
		traceIDs: old.traceIDs[:0], traceRows: old.traceRows[:0], traceStart: old.traceStart[:0], traceTo: old.traceTo[:0],
		spanIDs: old.spanIDs[:0], parent: old.parent[:0], kind: old.kind[:0], status: old.status[:0], from: old.from[:0],
		duration: old.duration[:0], flags: old.flags[:0], order: old.order[:0], resource: old.resource[:0],
		scope: old.scope[:0], shape: old.shape[:0], events: old.events[:0], links: old.links[:0],
		droppedAttributes: old.droppedAttributes[:0], droppedEvents: old.droppedEvents[:0], droppedLinks: old.droppedLinks[:0]}
	g.shapes.id("") // shape 0 has no attributes
}

// count is the first pass: it finds the attribute columns and how many values each has.
func (g *groupBuilder) count(t *Trace) {
	for _, s := range t.Spans {
		g.countAll(s.Attributes, onSpan)
		for i := range s.Events {
			g.countAll(s.Events[i].Attributes, onEvent)
		}
		for i := range s.Links {
			g.countAll(s.Links[i].Attributes, onLink)
		}
	}
}

func (g *groupBuilder) countAll(attrs []Attribute, place int) {
	for i := range attrs {
		k := columnKey{place, attrs[i].Type, attrs[i].Key}
		c := g.found[k]
		if c == nil {
			c = &attributeColumn{columnDef: columnDef{place: place, key: k.key, typ: k.typ}}
			g.found[k] = c
		}
		c.values++
		g.seq = append(g.seq, c)
	}
}

// choose gives the frequent keys columns of their own, in a stable order. add fills them.
func (g *groupBuilder) choose() {
	for _, c := range g.found {
		if c.values >= minColumnValues {
			g.columns = append(g.columns, c)
		}
	}
	slices.SortFunc(g.columns, func(a, b *attributeColumn) int {
		return cmp.Or(cmp.Compare(b.values, a.values), cmp.Compare(a.place, b.place), cmp.Compare(a.key, b.key), cmp.Compare(a.typ, b.typ))
	})
	g.columns = g.columns[:min(len(g.columns), maxColumns)]
	for i, c := range g.columns {
		c.index = uint32(i + 1)
		switch {
		case c.typ == TypeFloat || c.typ == TypeFloatArray:
			c.floats = make([]float64, 0, c.values)
		case c.typ != TypeString && c.typ != TypeStringArray && c.typ != TypeOpaque:
			c.ints = make([]int64, 0, c.values)
		}
		c.values = 0
	}
}

// add is the second pass: it must see the same traces in the same order as count.
func (g *groupBuilder) add(t *Trace) {
	start, end := t.Bounds()
	g.start, g.end = min(g.start, start), max(g.end, end)
	g.traceIDs = append(g.traceIDs, t.ID[:]...)
	g.traceRows = append(g.traceRows, int64(len(t.Spans)))
	g.traceStart = append(g.traceStart, int64(start))
	g.traceTo = append(g.traceTo, int64(end-start))
	clear(g.parents)
	for i, s := range t.Spans {
		if _, ok := g.parents[s.ID]; !ok {
			g.parents[s.ID] = int64(i + 1)
		}
	}
	for i, s := range t.Spans {
		g.order = append(g.order, int64(s.Order)-int64(i))
		g.span(s, start)
	}
}

func (g *groupBuilder) span(s *Span, traceStart uint64) {
	g.spanIDs = append(g.spanIDs, s.ID[:]...)
	parent := g.parents[s.ParentID]
	switch {
	case s.ParentID == SpanID{}:
		parent = 0
	case parent == 0:
		parent = -1
		g.parentRaw = append(g.parentRaw, s.ParentID[:]...)
	}
	g.parent = append(g.parent, parent)
	g.name.add(s.Name)
	g.kind = append(g.kind, int64(s.Kind))
	g.status = append(g.status, int64(s.Status))
	g.from = append(g.from, int64(s.Start-traceStart))
	g.duration = append(g.duration, int64(s.End-s.Start))
	g.message.add(s.StatusMessage)
	g.state.add(s.TraceState)
	g.flags = append(g.flags, int64(s.Flags))
	g.droppedAttributes = append(g.droppedAttributes, int64(s.DroppedAttributes))
	g.droppedEvents = append(g.droppedEvents, int64(s.DroppedEvents))
	g.droppedLinks = append(g.droppedLinks, int64(s.DroppedLinks))
	g.resource = append(g.resource, g.resourceID(s.Resource))
	g.scope = append(g.scope, g.scopeID(s.Scope))
	g.shape = append(g.shape, g.attributes(s.Attributes, onSpan))
	g.events = append(g.events, int64(len(s.Events)))
	for i := range s.Events {
		e := &s.Events[i]
		g.eventTime = append(g.eventTime, int64(e.Time-s.Start))
		g.eventName.add(e.Name)
		g.eventDropped = append(g.eventDropped, int64(e.DroppedAttributesCount))
		g.eventShape = append(g.eventShape, g.attributes(e.Attributes, onEvent))
	}
	g.links = append(g.links, int64(len(s.Links)))
	for i := range s.Links {
		l := &s.Links[i]
		g.linkTraceIDs = append(g.linkTraceIDs, l.TraceID[:]...)
		g.linkSpanIDs = append(g.linkSpanIDs, l.SpanID[:]...)
		g.linkState.add(l.TraceState)
		g.linkDropped = append(g.linkDropped, int64(l.DroppedAttributesCount))
		g.linkFlags = append(g.linkFlags, int64(l.Flags))
		g.linkShape = append(g.linkShape, g.attributes(l.Attributes, onLink))
	}
}

func (g *groupBuilder) resourceID(r *Resource) int64 {
	id, ok := g.resourceOf[r]
	if !ok {
		g.buf = appendResource(g.buf[:0], r)
		id = g.resources.id(string(g.buf))
		g.resourceOf[r] = id
	}
	return id
}

func (g *groupBuilder) scopeID(s *Scope) int64 {
	id, ok := g.scopeOf[s]
	if !ok {
		g.buf = appendScope(g.buf[:0], s)
		id = g.scopes.id(string(g.buf))
		g.scopeOf[s] = id
	}
	return id
}

// attributes puts values into their columns and returns the shape: which columns, in which order.
func (g *groupBuilder) attributes(attrs []Attribute, place int) int64 {
	if len(attrs) == 0 {
		return 0
	}
	shape := g.buf[:0]
	for i := range attrs {
		c := g.seq[g.next]
		g.next++
		shape = binary.AppendUvarint(shape, uint64(c.index))
		if c.index != 0 {
			c.add(&attrs[i])
		}
	}
	g.buf = shape
	id, ok := g.shapes.ids[string(shape)] // no allocation
	if !ok {
		id = g.shapes.id(string(shape))
	}
	for i := range attrs {
		if g.seq[g.next-len(attrs)+i].index == 0 {
			g.buf = appendRest(g.buf[:0], &attrs[i])
			g.rest[place].add(string(g.buf))
		}
	}
	return id
}

// fixed returns how to encode each fixed column, nil for one that isn't stored.
func (g *groupBuilder) fixed() (out [fixedColumns]func([]byte) []byte) {
	ints := func(i int, v []int64) {
		if slices.ContainsFunc(v, func(x int64) bool { return x != 0 }) {
			out[i] = func(dst []byte) []byte { return appendInts(dst, v) }
		}
	}
	raw := func(i int, b []byte) {
		if len(b) > 0 {
			out[i] = func(dst []byte) []byte { return append(dst, b...) }
		}
	}
	texts := func(i int, v *textColumn) {
		if len(v.entries.Data) > 0 {
			out[i] = v.appendTo
		}
	}
	raw(colTraceID, g.traceIDs)
	ints(colTraceRows, g.traceRows)
	ints(colTraceStart, g.traceStart)
	ints(colTraceEnd, g.traceTo)
	raw(colSpanID, g.spanIDs)
	ints(colParent, g.parent)
	raw(colParentRaw, g.parentRaw)
	texts(colName, &g.name)
	ints(colKind, g.kind)
	ints(colStatus, g.status)
	ints(colStart, g.from)
	ints(colDuration, g.duration)
	texts(colMessage, &g.message)
	texts(colState, &g.state)
	ints(colFlags, g.flags)
	ints(colDroppedAttributes, g.droppedAttributes)
	ints(colDroppedEvents, g.droppedEvents)
	ints(colDroppedLinks, g.droppedLinks)
	ints(colOrder, g.order)
	ints(colResource, g.resource)
	ints(colScope, g.scope)
	ints(colShape, g.shape)
	ints(colEvents, g.events)
	ints(colEventTime, g.eventTime)
	texts(colEventName, &g.eventName)
	ints(colEventDropped, g.eventDropped)
	ints(colEventShape, g.eventShape)
	ints(colLinks, g.links)
	raw(colLinkTraceID, g.linkTraceIDs)
	raw(colLinkSpanID, g.linkSpanIDs)
	texts(colLinkState, &g.linkState)
	ints(colLinkDropped, g.linkDropped)
	ints(colLinkFlags, g.linkFlags)
	ints(colLinkShape, g.linkShape)
	out[colResources] = messages(g.resources.list)
	out[colScopes] = messages(g.scopes.list)
	out[colShapes] = messages(g.shapes.list)
	texts(colRestSpan, &g.rest[onSpan])
	texts(colRestEvent, &g.rest[onEvent])
	texts(colRestLink, &g.rest[onLink])
	return out
}

// messages encodes a table: the number of entries, then each with its length.
func messages(list []string) func([]byte) []byte {
	return func(dst []byte) []byte {
		dst = binary.AppendUvarint(dst, uint64(len(list)))
		for _, m := range list {
			dst = block.AppendPrefixed(dst, m)
		}
		return dst
	}
}
