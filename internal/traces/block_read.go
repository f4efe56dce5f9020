package traces

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// group reads one row group. Columns are fetched when they are needed and kept for the life of the
// group, which is one question. Not safe for concurrent use.
type group struct {
	b     *Block
	dir   *groupDir
	index int
	raw   map[int][]byte // payloads by slot: fixed columns, then attribute columns

	// The spine: traces of the group.
	traceIDs             []byte
	traceRows            []int // first row of each trace, and the end
	traceStart, traceEnd []uint64

	shapes [][]uint32           // columns of each shape
	shape  [tagPlaces][]int64   // shape of each span, event, link
	counts [2][]int64           // events and links of each span
	owners [tagPlaces][]uint32  // trace of each span, event, link
	values map[int]*valueColumn // by attribute column
}

func (b *Block) group(i int) *group {
	return &group{b: b, dir: &b.dir.groups[i], index: i, raw: make(map[int][]byte), values: make(map[int]*valueColumn)}
}

func (g *group) extent(slot int) extent {
	if slot < fixedColumns {
		return g.dir.fixed[slot]
	}
	return g.dir.data[slot-fixedColumns]
}

// fetch reads the payloads of slots that are not there yet, together.
func (g *group) fetch(ctx context.Context, slots ...int) error {
	var refs []block.Ref
	var want []int
	for _, slot := range slots {
		if _, ok := g.raw[slot]; !ok {
			refs = append(refs, g.extent(slot)...)
			want = append(want, slot)
		}
	}
	if len(want) == 0 {
		return nil
	}
	blobs, err := g.b.r.Blobs(ctx, refs)
	if err != nil {
		return fmt.Errorf("read row group %d: %w", g.index, err)
	}
	for _, slot := range want {
		n := len(g.extent(slot))
		if n == 1 {
			g.raw[slot] = blobs[0]
		} else {
			g.raw[slot] = bytes.Join(blobs[:n], nil)
		}
		blobs = blobs[n:]
	}
	return nil
}

func (g *group) corrupt(slot int, err error) error {
	return g.b.corrupt(fmt.Sprintf("row group %d, column %d", g.index, slot), err)
}

// ints decodes a fixed column of n numbers; one that isn't stored is zeros. It must have been fetched.
func (g *group) ints(slot, n int) ([]int64, error) {
	if len(g.extent(slot)) == 0 {
		return make([]int64, n), nil
	}
	d := block.NewDecoder(g.raw[slot])
	v := decodeInts(d, n)
	if err := d.Finish(); err != nil {
		return nil, g.corrupt(slot, err)
	}
	return v, nil
}

// limited is ints whose values must be in [0, limit).
func (g *group) limited(slot, n, limit int) ([]int64, error) {
	v, err := g.ints(slot, n)
	if err == nil && slices.ContainsFunc(v, func(x int64) bool { return uint64(x) >= uint64(limit) }) {
		err = g.corrupt(slot, fmt.Errorf("a value is not below %d", limit))
	}
	return v, err
}

func (g *group) texts(slot, n int) (*texts, error) {
	if len(g.extent(slot)) == 0 {
		return nil, nil
	}
	d := block.NewDecoder(g.raw[slot])
	t := decodeTexts(d, n)
	if err := d.Finish(); err != nil {
		return nil, g.corrupt(slot, err)
	}
	return t, nil
}

// bytes returns a column of n fixed-size values.
func (g *group) bytes(slot, n, size int) ([]byte, error) {
	if b := g.raw[slot]; len(b) == n*size {
		return b, nil
	}
	return nil, g.corrupt(slot, fmt.Errorf("%d bytes for %d values of %d", len(g.raw[slot]), n, size))
}

// spine reads the table of traces.
func (g *group) spine(ctx context.Context) error {
	if g.traceRows != nil {
		return nil
	}
	if err := g.fetch(ctx, colTraceID, colTraceRows, colTraceStart, colTraceEnd); err != nil {
		return err
	}
	var err error
	if g.traceIDs, err = g.bytes(colTraceID, g.dir.traces, 16); err != nil {
		return err
	}
	lens, err := g.limited(colTraceRows, g.dir.traces, g.dir.spans+1)
	if err != nil {
		return err
	}
	starts, err := g.ints(colTraceStart, g.dir.traces)
	if err != nil {
		return err
	}
	lengths, err := g.ints(colTraceEnd, g.dir.traces)
	if err != nil {
		return err
	}
	rows := make([]int, 1, len(lens)+1)
	for i, n := range lens {
		rows = append(rows, rows[i]+int(n))
		g.traceStart = append(g.traceStart, uint64(starts[i]))
		g.traceEnd = append(g.traceEnd, uint64(starts[i])+uint64(lengths[i]))
	}
	if rows[len(rows)-1] != g.dir.spans {
		return g.corrupt(colTraceRows, fmt.Errorf("traces have %d spans, the row group has %d", rows[len(rows)-1], g.dir.spans))
	}
	g.traceRows = rows
	return nil
}

// layout reads which attributes every span, event and link has.
func (g *group) layout(ctx context.Context) error {
	if g.shapes != nil {
		return nil
	}
	if err := g.fetch(ctx, colShapes, colShape, colEvents, colEventShape, colLinks, colLinkShape); err != nil {
		return err
	}
	list, err := g.messages(colShapes, maxReadChildren)
	if err != nil {
		return err
	}
	shapes := make([][]uint32, len(list))
	for i, m := range list {
		d := block.NewDecoder([]byte(m))
		for d.Len() > 0 {
			c := d.Uvarint()
			if c > uint64(len(g.dir.columns)) {
				d.Failf("column %d of %d", c, len(g.dir.columns))
			}
			shapes[i] = append(shapes[i], uint32(c))
		}
		if d.Err() != nil {
			return g.corrupt(colShapes, d.Err())
		}
	}
	n := [tagPlaces]int{g.dir.spans, g.dir.events, g.dir.links}
	for place, slot := range [tagPlaces]int{colShape, colEventShape, colLinkShape} {
		if g.shape[place], err = g.limited(slot, n[place], max(1, len(shapes))); err != nil {
			return err
		}
	}
	for i, slot := range [2]int{colEvents, colLinks} {
		if g.counts[i], err = g.limited(slot, g.dir.spans, n[i+1]+1); err != nil {
			return err
		}
		sum := int64(0)
		for _, c := range g.counts[i] {
			sum += c
		}
		if sum != int64(n[i+1]) {
			return g.corrupt(slot, fmt.Errorf("spans have %d children, the row group has %d", sum, n[i+1]))
		}
	}
	if len(shapes) == 0 {
		shapes = [][]uint32{nil}
	}
	g.shapes = shapes
	return nil
}

// messages reads a table of byte strings.
func (g *group) messages(slot, limit int) ([]string, error) {
	if len(g.extent(slot)) == 0 {
		return nil, nil
	}
	d := block.NewDecoder(g.raw[slot])
	list := make([]string, d.Count(limit, 1))
	for i := range list {
		list[i] = view(d.Prefixed())
	}
	if err := d.Finish(); err != nil {
		return nil, g.corrupt(slot, err)
	}
	return list, nil
}

// shared reads the tables of resources and scopes.
func (g *group) shared(ctx context.Context) ([]*Resource, []*Scope, error) {
	if err := g.fetch(ctx, colResources, colScopes); err != nil {
		return nil, nil, err
	}
	list, err := g.messages(colResources, maxReadSpans)
	if err != nil {
		return nil, nil, err
	}
	resources := make([]*Resource, len(list))
	for i, m := range list {
		w := walker{limits: unlimited, v: nothing{}}
		if err := w.resourceSpans(m); err != nil {
			return nil, nil, g.corrupt(colResources, err)
		}
		resources[i] = w.resource
	}
	if list, err = g.messages(colScopes, maxReadSpans); err != nil {
		return nil, nil, err
	}
	scopes := make([]*Scope, len(list))
	for i, m := range list {
		w := walker{limits: unlimited, v: nothing{}}
		if err := w.scopeSpans(m); err != nil {
			return nil, nil, g.corrupt(colScopes, err)
		}
		scopes[i] = w.scope
	}
	return resources, scopes, nil
}

// nothing visits the spans that a table of resources or scopes should not have.
type nothing struct{}

func (nothing) span(ID, *Span) error  { return nil }
func (nothing) reject(string, string) {}

// column returns a decoded attribute column, which must have been fetched.
func (g *group) column(i int) (*valueColumn, error) {
	if c := g.values[i]; c != nil {
		return c, nil
	}
	c, err := decodeColumn(g.dir.columns[i], g.raw[fixedColumns+i])
	if err != nil {
		return nil, g.corrupt(fixedColumns+i, err)
	}
	g.values[i] = c
	return c, nil
}

// restValues reads the attributes of a place that have no column. It must have been fetched.
func (g *group) restValues(place int) ([]Attribute, error) {
	slot := colRestSpan + place
	n := 0
	for _, s := range g.shape[place] {
		for _, c := range g.shapes[s] {
			if c == 0 {
				n++
			}
		}
	}
	if n == 0 {
		return nil, nil
	}
	t, err := g.texts(slot, n)
	if err != nil {
		return nil, err
	}
	out := make([]Attribute, n)
	for i := range out {
		if !readRest(t.at(i), &out[i]) {
			return nil, g.corrupt(slot, fmt.Errorf("attribute %d can't be read", i))
		}
	}
	return out, nil
}

// everything is all columns of a group, decoded.
type everything struct {
	spanIDs, parentRaw, linkTraceIDs, linkSpanIDs []byte
	parent, kind, status, start, duration         []int64
	flags, order, resource, scope                 []int64
	droppedA, droppedE, droppedL                  []int64
	name, message, state                          *texts
	eventTime, eventDropped                       []int64
	eventName, linkState                          *texts
	linkDropped, linkFlags                        []int64
	resources                                     []*Resource
	scopes                                        []*Scope
	columns                                       []*valueColumn
	rest                                          [tagPlaces][]Attribute
}

// decode reads every column.
func (g *group) decode(ctx context.Context) (*everything, error) {
	slots := make([]int, fixedColumns+len(g.dir.columns))
	for i := range slots {
		slots[i] = i
	}
	if err := g.fetch(ctx, slots...); err != nil {
		return nil, err
	}
	if err := g.spine(ctx); err != nil {
		return nil, err
	}
	if err := g.layout(ctx); err != nil {
		return nil, err
	}
	e := &everything{}
	if err := g.decodeFixed(e); err != nil {
		return nil, err
	}
	var err error
	if e.resources, e.scopes, err = g.shared(ctx); err != nil {
		return nil, err
	}
	if len(e.resources) == 0 || len(e.scopes) == 0 {
		return nil, g.corrupt(colResources, fmt.Errorf("no resources or scopes"))
	}
	if e.resource, err = g.limited(colResource, g.dir.spans, len(e.resources)); err != nil {
		return nil, err
	}
	if e.scope, err = g.limited(colScope, g.dir.spans, len(e.scopes)); err != nil {
		return nil, err
	}
	for place := range tagPlaces {
		if e.rest[place], err = g.restValues(place); err != nil {
			return nil, err
		}
	}
	e.columns = make([]*valueColumn, len(g.dir.columns))
	for i := range e.columns {
		if e.columns[i], err = g.column(i); err != nil {
			return nil, err
		}
	}
	return e, g.checkValues()
}

// checkValues compares the numbers of values that shapes call for with those of the columns, so that
// building spans needn't look.
func (g *group) checkValues() error {
	need := make([]int, len(g.dir.columns)+1)
	for place := range tagPlaces {
		uses := make([]int, len(g.shapes))
		for _, s := range g.shape[place] {
			uses[s]++
		}
		for s, n := range uses {
			for _, c := range g.shapes[s] {
				if n > 0 && c > 0 && g.dir.columns[c-1].place != place {
					return g.corrupt(colShapes, fmt.Errorf("shape %d has columns of another place", s))
				}
				need[c] += n
			}
		}
	}
	for i, c := range g.dir.columns {
		if need[i+1] != c.values {
			return g.corrupt(fixedColumns+i, fmt.Errorf("%d values, shapes call for %d", c.values, need[i+1]))
		}
	}
	return nil
}

func (g *group) decodeFixed(e *everything) error {
	spans, events, links := g.dir.spans, g.dir.events, g.dir.links
	for _, c := range []struct {
		dst  *[]int64
		slot int
		n    int
	}{
		{&e.parent, colParent, spans}, {&e.start, colStart, spans}, {&e.duration, colDuration, spans},
		{&e.flags, colFlags, spans}, {&e.order, colOrder, spans},
		{&e.droppedA, colDroppedAttributes, spans}, {&e.droppedE, colDroppedEvents, spans}, {&e.droppedL, colDroppedLinks, spans},
		{&e.eventTime, colEventTime, events}, {&e.eventDropped, colEventDropped, events},
		{&e.linkDropped, colLinkDropped, links}, {&e.linkFlags, colLinkFlags, links},
	} {
		var err error
		if *c.dst, err = g.ints(c.slot, c.n); err != nil {
			return err
		}
	}
	for _, c := range []struct {
		dst  **texts
		slot int
		n    int
	}{
		{&e.name, colName, spans}, {&e.message, colMessage, spans}, {&e.state, colState, spans},
		{&e.eventName, colEventName, events}, {&e.linkState, colLinkState, links},
	} {
		var err error
		if *c.dst, err = g.texts(c.slot, c.n); err != nil {
			return err
		}
	}
	var err error
	if e.kind, err = g.limited(colKind, spans, int(KindConsumer)+1); err != nil {
		return err
	}
	if e.status, err = g.limited(colStatus, spans, int(StatusError)+1); err != nil {
		return err
	}
	orphans := 0
	for _, p := range e.parent {
		if p == -1 {
			orphans++
		}
	}
	for _, c := range []struct {
		dst     *[]byte
		slot    int
		n, size int
	}{
		{&e.spanIDs, colSpanID, spans, 8}, {&e.parentRaw, colParentRaw, orphans, 8},
		{&e.linkTraceIDs, colLinkTraceID, links, 16}, {&e.linkSpanIDs, colLinkSpanID, links, 8},
	} {
		if *c.dst, err = g.bytes(c.slot, c.n, c.size); err != nil {
			return err
		}
	}
	for t := range g.dir.traces {
		rows := int64(g.traceRows[t+1] - g.traceRows[t])
		for _, p := range e.parent[g.traceRows[t]:g.traceRows[t+1]] {
			if p < -1 || p > rows {
				return g.corrupt(colParent, fmt.Errorf("parent %d in a trace of %d spans", p, rows))
			}
		}
	}
	return nil
}
