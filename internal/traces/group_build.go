package traces

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// groupBuilder turns traces, which come in order of their start, into the columns of a row group. Spans
// are rows in the order of treeLayout. Of what it is given it keeps text, resources and scopes until encode.
type groupBuilder struct {
	enc  *column.Encoder
	cols columnEncoder // scratch
	tree treeLayout

	entry groupEntry
	bytes int // about, of what was added

	traceIDs                        []byte
	traceRows, traceStart, traceLen []int64
	traceOf                         []uint32 // of each span

	spanIDs         []byte
	class           []uint32
	start, duration []int64 // start: less that of the parent, or of the trace; end less start
	depth           []int64
	loose           []int64 // rows
	looseParents    block.Values
	looseWhich      []int64 // of loose: see fixLooseWhich
	resource        []int64 // rank among the resources of the service
	order           []int64 // less the place in the trace
	fixed           [fixedColumns]fixedColumn

	resources resourceTable
	scopes    scopeTable
	names     table[string]
	classes   table[classKey]
	columns   columnSet
	shapes    shapeTree
	starts    []uint64 // of the spans on the way from the root
	scratch   []byte
	known     resourceCache // of row groups that were encoded
}

// classKey is what spans of one class have in common.
type classKey struct {
	shape, service, name, scope uint32
	kind                        Kind
	status                      Status
}

// table numbers distinct values in order of appearance.
type table[T comparable] struct {
	ids  map[T]uint32
	list []T
}

func (t *table[T]) id(v T) uint32 {
	if id, ok := t.ids[v]; ok {
		return id
	}
	if t.ids == nil {
		t.ids = make(map[T]uint32)
	}
	id := uint32(len(t.list))
	t.ids[v] = id
	t.list = append(t.list, v)
	return id
}

func (t *table[T]) reset() {
	clear(t.ids)
	clear(t.list)
	t.list = t.list[:0]
}

// resourceTable numbers resources by what they say.
type resourceTable struct {
	messages table[string]
	byPlace  map[*Resource]resourceRank
	services table[string]
	ranks    []uint32 // how many resources each service has
	service  []uint32 // of each resource
}

type resourceRank struct{ service, rank uint32 }

func (t *resourceTable) rank(r *Resource, scratch *[]byte) resourceRank {
	if at, ok := t.byPlace[r]; ok {
		return at
	}
	*scratch = appendResource((*scratch)[:0], r)
	known := len(t.messages.list)
	id := t.messages.id(string(*scratch))
	if int(id) == known {
		name := ""
		if r != nil {
			name = r.ServiceName
		}
		service := t.services.id(name)
		if int(service) == len(t.ranks) {
			t.ranks = append(t.ranks, 0)
		}
		t.service = append(t.service, service)
		t.ranks[service]++
	}
	at := resourceRank{service: t.service[id]}
	for _, s := range t.service[:id] {
		if s == at.service {
			at.rank++
		}
	}
	if t.byPlace == nil {
		t.byPlace = make(map[*Resource]resourceRank)
	}
	t.byPlace[r] = at
	return at
}

func (t *resourceTable) reset() {
	t.messages.reset()
	t.services.reset()
	clear(t.byPlace)
	t.ranks, t.service = t.ranks[:0], t.service[:0]
}

// scopeTable numbers instrumentation scopes by what they say.
type scopeTable struct {
	messages table[string]
	byPlace  map[*Scope]uint32
}

func (t *scopeTable) id(s *Scope, scratch *[]byte) uint32 {
	if id, ok := t.byPlace[s]; ok {
		return id
	}
	*scratch = appendScope((*scratch)[:0], s)
	id := t.messages.id(string(*scratch))
	if t.byPlace == nil {
		t.byPlace = make(map[*Scope]uint32)
	}
	t.byPlace[s] = id
	return id
}

func (t *scopeTable) reset() {
	t.messages.reset()
	clear(t.byPlace)
}

// groupBuilders keep builders between row groups, by level: they and their encoders have megabytes of tables and
// buffers.
var groupBuilders = [...]sync.Pool{
	block.Fast:   {New: func() any { return newGroupBuilder(block.Fast) }},
	block.Better: {New: func() any { return newGroupBuilder(block.Better) }},
}

// spareBuilder is the builder that a head sealed spans with last. Between two seals the collector often runs more
// than once, which empties a pool: to make the builder anew was a quarter of what ingest allocated. It goes when a
// head has become a block, so that a process without traffic doesn't keep it.
var spareBuilder atomic.Pointer[groupBuilder]

// takeBuilder returns an empty builder.
func takeBuilder(level block.Level) *groupBuilder {
	if level == block.Fast {
		if g := spareBuilder.Swap(nil); g != nil {
			return g
		}
	}
	return groupBuilders[level].Get().(*groupBuilder)
}

// giveBuilder takes back an empty builder.
func giveBuilder(g *groupBuilder, level block.Level) {
	if level == block.Fast && g.trim() && spareBuilder.CompareAndSwap(nil, g) {
		return
	}
	groupBuilders[level].Put(g)
}

func newGroupBuilder(level block.Level) *groupBuilder {
	g := &groupBuilder{enc: column.NewEncoder(level)}
	g.reset()
	return g
}

// spareColumns is how much memory of attribute columns a spare builder keeps.
const spareColumns = 16 << 20

// trim makes a builder that is kept of the usual size. It reports false for one that a huge trace has made large.
func (g *groupBuilder) trim() bool {
	if cap(g.class) > 2*maxGroupSpans || cap(g.cols.values.Data) > tableBytes/4 {
		return false
	}
	left := spareColumns
	for i, c := range g.columns.free {
		if left -= 16*cap(c.texts) + 4*cap(c.codes) + 8*cap(c.nums) + 8*cap(c.lens) + 4*cap(c.rows); left < 0 {
			clear(g.columns.free[i:])
			g.columns.free = g.columns.free[:i]
			break
		}
	}
	return true
}

// reset empties the builder and keeps its memory.
func (g *groupBuilder) reset() {
	g.entry, g.bytes = groupEntry{minStart: math.MaxUint64}, 0
	g.traceIDs, g.traceRows, g.traceStart, g.traceLen = g.traceIDs[:0], g.traceRows[:0], g.traceStart[:0], g.traceLen[:0]
	g.traceOf, g.spanIDs, g.class = g.traceOf[:0], g.spanIDs[:0], g.class[:0]
	g.start, g.duration, g.depth, g.loose = g.start[:0], g.duration[:0], g.depth[:0], g.loose[:0]
	g.resource, g.order = g.resource[:0], g.order[:0]
	g.looseParents.Reset()
	g.looseWhich = g.looseWhich[:0]
	for i := range g.fixed {
		g.fixed[i].reset()
	}
	g.resources.reset()
	g.scopes.reset()
	g.names.reset()
	g.classes.reset()
	g.columns.reset()
	g.shapes.reset()
}

// fits reports whether a trace of so many spans, events and links, and bytes has room beside what is there.
func (g *groupBuilder) fits(size traceSize) bool {
	e := &g.entry
	return e.spans == 0 || e.spans+size.spans <= maxGroupSpans && g.bytes+size.bytes <= maxGroupBytes &&
		e.events+size.events <= maxGroupChildren && e.links+size.links <= maxGroupChildren
}

// traceSize is what a trace needs of a row group.
type traceSize struct{ spans, events, links, bytes int }

func sizeOf(t *Trace) traceSize {
	size := traceSize{spans: len(t.Spans)}
	for _, s := range t.Spans {
		size.events += len(s.Events)
		size.links += len(s.Links)
		size.bytes += 48 + len(s.Name) + 24*len(s.Attributes)
		for i := range s.Attributes {
			size.bytes += len(s.Attributes[i].Str) + len(s.Attributes[i].Raw)
		}
	}
	size.bytes += 48 * (size.events + size.links)
	return size
}

// add adds a trace, which must not start before the one before.
func (g *groupBuilder) add(t *Trace, size traceSize) {
	start, end := t.Bounds()
	e := &g.entry
	e.minStart, e.maxStart, e.maxEnd = min(e.minStart, start), max(e.maxStart, start), max(e.maxEnd, end)
	g.traceIDs = append(g.traceIDs, t.ID[:]...)
	g.traceRows = append(g.traceRows, int64(len(t.Spans)))
	g.traceStart = append(g.traceStart, int64(start))
	g.traceLen = append(g.traceLen, int64(end-start))
	g.tree.layout(t.Spans)
	e.twins = e.twins || g.tree.twins
	base := len(g.depth)
	known := g.looseParents.Len()
	for _, i := range g.tree.loose {
		g.loose = append(g.loose, int64(base+i))
		g.looseWhich = append(g.looseWhich, g.looseParent(g.tree.spans[i].ParentID, known))
	}
	g.depth = append(g.depth, g.tree.depth...)
	g.starts = append(g.starts[:0], start)
	for i, s := range g.tree.spans {
		depth := int(g.tree.depth[i])
		g.starts = append(g.starts[:depth+1], s.Start)
		g.start = append(g.start, int64(s.Start-g.starts[depth]))
		g.order = append(g.order, int64(s.Order)-int64(i))
		g.traceOf = append(g.traceOf, uint32(e.traces))
		g.span(s, uint32(base+i))
	}
	e.traces++
	e.spans += len(t.Spans)
	g.bytes += size.bytes
}

// maxLookBack is among how many parents one is looked for: orphans of one parent mostly stand close together.
const maxLookBack = 64

// looseParent returns how many entries before the next one the parent stands among those from first on, 0 where it has
// become the next one.
func (g *groupBuilder) looseParent(id SpanID, first int) int64 {
	n := g.looseParents.Len()
	for i := n - 1; i >= max(first, n-maxLookBack); i-- {
		if string(id[:]) == string(g.looseParents.At(i)) {
			return int64(n - i)
		}
	}
	g.looseParents.Append(id[:])
	return 0
}

func (g *groupBuilder) span(s *Span, row uint32) {
	g.spanIDs = append(g.spanIDs, s.ID[:]...)
	g.duration = append(g.duration, int64(s.End-s.Start))
	at := g.resources.rank(s.Resource, &g.scratch)
	g.resource = append(g.resource, int64(at.rank))
	key := classKey{service: at.service, name: g.names.id(s.Name), scope: g.scopes.id(s.Scope, &g.scratch), kind: s.Kind, status: s.Status}
	key.shape = g.attributes(s.Attributes, onSpan, row)
	g.class = append(g.class, g.classes.id(key))
	f := &g.fixed
	f[fixMessage].text(s.StatusMessage)
	f[fixState].text(s.TraceState)
	f[fixFlags].int(int64(s.Flags))
	f[fixDroppedAttributes].int(int64(s.DroppedAttributes))
	f[fixDroppedEvents].int(int64(s.DroppedEvents))
	f[fixDroppedLinks].int(int64(s.DroppedLinks))
	f[fixEvents].int(int64(len(s.Events)))
	f[fixLinks].int(int64(len(s.Links)))
	for i := range s.Events {
		e := &s.Events[i]
		f[fixEventTime].int(int64(e.Time - s.Start))
		f[fixEventName].text(e.Name)
		f[fixEventDropped].int(int64(e.DroppedAttributesCount))
		f[fixEventShape].int(int64(g.attributes(e.Attributes, onEvent, 0)))
	}
	for i := range s.Links {
		l := &s.Links[i]
		f[fixLinkTraceID].text(string(l.TraceID[:]))
		f[fixLinkSpanID].text(string(l.SpanID[:]))
		f[fixLinkState].text(l.TraceState)
		f[fixLinkDropped].int(int64(l.DroppedAttributesCount))
		f[fixLinkFlags].int(int64(l.Flags))
		f[fixLinkShape].int(int64(g.attributes(l.Attributes, onLink, 0)))
	}
	g.entry.events += len(s.Events)
	g.entry.links += len(s.Links)
}

// attributes puts values into their columns and returns the number of their shape.
func (g *groupBuilder) attributes(attrs []Attribute, place int, row uint32) uint32 {
	n := &g.shapes.roots[place]
	for i := range attrs {
		a := &attrs[i]
		// Fast path: the attribute that came last time after the one before.
		next := n.recent
		if next == nil || next.column.typ != a.Type || next.column.key != a.Key {
			next = g.shapes.child(n, g.columns.find(place, a))
			n.recent = next
		}
		next.column.add(a, row)
		n = next
	}
	return g.shapes.number(n)
}

// columnSet are the attribute columns of a row group that is built.
type columnSet struct {
	found map[columnKey]*attributeColumn
	table []string // see attributeColumn
	all   []*attributeColumn
	free  []*attributeColumn // to be used again
}

type columnKey struct {
	place int
	typ   ValueType
	key   string
}

func (s *columnSet) find(place int, a *Attribute) *attributeColumn {
	k := columnKey{place, a.Type, a.Key}
	if c := s.found[k]; c != nil {
		return c
	}
	c := &attributeColumn{}
	if n := len(s.free); n > 0 {
		c, s.free = s.free[n-1], s.free[:n-1]
	}
	c.columnDef = columnDef{place: place, key: a.Key, typ: a.Type}
	if a.Type != TypeOpaque {
		c.table = s.table
	}
	if s.found == nil {
		s.found = make(map[columnKey]*attributeColumn)
	}
	s.found[k] = c
	s.all = append(s.all, c)
	return c
}

// maxFreeColumns bounds what a builder keeps for the next row group.
const maxFreeColumns = 256

func (s *columnSet) reset() {
	for _, c := range s.all {
		if c.reset(); len(s.free) < maxFreeColumns {
			s.free = append(s.free, c)
		}
	}
	clear(s.all)
	s.all = s.all[:0]
	s.found, s.table = nil, nil
}

// shapeTree holds the shapes, which are lists of columns, as paths from its roots.
type shapeTree struct {
	roots [tagPlaces]shapeNode
	used  []*shapeNode // those that end a shape, by number
	slab  []shapeNode
	// repeats says that some span, event or link has two attributes of one key.
	repeats bool
}

// shapeNode is one step further in a shape.
type shapeNode struct {
	column   *attributeColumn // the last of the shape
	before   *shapeNode
	recent   *shapeNode
	children []*shapeNode
	byColumn map[*attributeColumn]*shapeNode // from manyChildren on
	twice    bool                            // the shape has one of its columns twice
	number   int                             // 1 + number of the shape, 0: none yet
}

const manyChildren = 16

func (t *shapeTree) child(n *shapeNode, c *attributeColumn) *shapeNode {
	if n.byColumn != nil {
		if next := n.byColumn[c]; next != nil {
			return next
		}
	} else {
		for _, next := range n.children {
			if next.column == c {
				return next
			}
		}
	}
	if len(t.slab) == cap(t.slab) {
		t.slab = make([]shapeNode, 0, 256)
	}
	t.slab = append(t.slab, shapeNode{column: c, before: n, twice: n.twice})
	next := &t.slab[len(t.slab)-1]
	for at := n; at.column != nil; at = at.before {
		t.repeats = t.repeats || at.column.key == c.key
		next.twice = next.twice || at.column == c
	}
	n.children = append(n.children, next)
	switch {
	case n.byColumn != nil:
		n.byColumn[c] = next
	case len(n.children) == manyChildren:
		n.byColumn = make(map[*attributeColumn]*shapeNode)
		for _, child := range n.children {
			n.byColumn[child.column] = child
		}
	}
	return next
}

func (t *shapeTree) number(n *shapeNode) uint32 {
	if n.number == 0 {
		t.used = append(t.used, n)
		n.number = len(t.used)
	}
	return uint32(n.number - 1)
}

func (t *shapeTree) reset() {
	t.roots = [tagPlaces]shapeNode{}
	clear(t.used)
	t.used = t.used[:0]
	t.slab = nil
	t.repeats = false
}

// list returns the columns of the shape that n ends, by their index.
func (n *shapeNode) list() []uint32 {
	var out []uint32
	for ; n.column != nil; n = n.before {
		out = append(out, uint32(n.column.index))
	}
	slices.Reverse(out)
	return out
}
