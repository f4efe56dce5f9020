package traces

import (
	"context"
	"errors"
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// spanReader rebuilds the spans of some traces of a row group, which come in ascending order.
type spanReader struct {
	*group
	needs *Needs
	bulk  bool

	resource, order                     numbers
	flags, droppedA, droppedE, droppedL numbers
	scope                               numbers
	name, message, state, looseParent   *storedTexts
	counts                              [tagPlaces][]int64 // events and links of each span
	shape                               [tagPlaces][]int64 // of events and links
	eventTime, eventDropped             numbers
	eventName                           *storedTexts
	linkTraceID, linkSpanID, linkState  *storedTexts
	linkDropped, linkFlags              numbers
	columns                             []*valueColumn // nil: not needed
	rest                                [tagPlaces]*storedTexts
	cursors                             [tagPlaces]rankCursor
	ranked                              bool // values of spans are found by their ranks
	extract                             bool // the order of arrival is read when it matters
	serviceOnly                         bool // any resource of the service will do
	chunk                               int  // that is decoded, -1
	start, duration                     block.IntsView
	ids                                 []byte       // nil: in pieces
	views                               []*chunkView // chunks that are read in pieces, nil: none
	pieces                              [3]block.PieceReader
	traceIDs                            *block.PieceReader // nil: they were read whole
	nextLoose                           int
	parentOf                            []uint32 // of each of loose: which of looseParent
	childAt                             [tagPlaces]struct{ span, child int }
	parents                             []parent
	err                                 error
}

// parent is a span on the way from the root.
type parent struct {
	id    SpanID
	start uint64
}

// build yields the traces wanted, ascending ordinals. It stops when yield returns false.
func (g *group) build(ctx context.Context, wanted []int, needs *Needs, yield func(*Trace) bool) error {
	if len(wanted) == 0 {
		return nil
	}
	r, err := g.spanReader(ctx, wanted, needs)
	if err != nil {
		return err
	}
	for _, t := range wanted {
		tr, err := r.trace(t)
		if err != nil {
			return err
		}
		if !yield(tr) {
			return nil
		}
	}
	return nil
}

// spanReader returns a reader of whole spans of some traces.
func (g *group) spanReader(ctx context.Context, wanted []int, needs *Needs) (*spanReader, error) {
	r := &spanReader{group: g, needs: needs, chunk: -1}
	return r, r.load(ctx, wanted)
}

// load reads the columns that the spans of traces are made of.
func (r *spanReader) load(ctx context.Context, wanted []int) error {
	g, needs := r.group, r.needs
	if g.first == nil && g.known().first == nil { // the whole spine, which stands together, in one request
		if err := g.load(ctx, g.fixed(fixTraceRows, fixTraceStart, fixTraceLength, fixClass, fixDepth, fixLoose), g.dir.idBlob()); err != nil {
			return err
		}
	}
	if err := g.spine(ctx); err != nil {
		return err
	}
	rows, perChunk := 0, g.spansPerChunk(wanted)
	for _, n := range perChunk {
		rows += n
	}
	if r.extract {
		var err error
		if r.views, err = g.viewChunks(ctx, perChunk); err != nil {
			return err
		}
		if err := r.viewIDs(ctx, len(wanted)); err != nil {
			return err
		}
	}
	var own []int
	if r.traceIDs == nil {
		own = append(own, g.dir.idBlob())
	}
	for c, n := range perChunk {
		if n > 0 && (r.views == nil || r.views[c] == nil) {
			own = append(own, g.dir.chunkBlob(c), g.dir.chunkBlob(c)+1, g.dir.chunkBlob(c)+2)
		}
	}
	r.bulk = rows > g.entry.spans/8
	fixed := []int{fixLooseParent, fixLooseWhich, fixName, fixScope}
	if g.class == nil && g.known().class == nil {
		fixed = append(fixed, fixClass)
	}
	if g.depths == nil && g.known().depths == nil {
		fixed = append(fixed, fixDepth, fixLoose)
	}
	if !r.serviceOnly {
		fixed = append(fixed, fixResource)
	}
	if !r.extract {
		fixed = append(fixed, fixOrder)
	}
	if needs == nil {
		fixed = append(fixed, fixFlags, fixDroppedAttributes, fixDroppedEvents, fixDroppedLinks)
	}
	if needs == nil || needs.Texts {
		fixed = append(fixed, fixMessage, fixState)
	}
	if needs.place(onEvent) {
		fixed = append(fixed, fixEvents, fixEventTime, fixEventName, fixEventDropped, fixEventShape)
	}
	if needs.place(onLink) {
		fixed = append(fixed, fixLinks, fixLinkTraceID, fixLinkSpanID, fixLinkState, fixLinkDropped, fixLinkFlags, fixLinkShape)
	}
	for place, fix := range [tagPlaces]int{fixRestSpan, fixRestEvent, fixRestLink} {
		if needs.rest(place) {
			fixed = append(fixed, fix)
		}
	}
	pages := g.fixed(fixed...)
	r.columns = make([]*valueColumn, len(g.dir.columns))
	for c := range g.dir.columns {
		def := &g.dir.columns[c]
		if !needs.column(def) {
			continue
		}
		if r.extract && def.kind == kindClass && def.except == 0 {
			values, err := g.attributesByClass(ctx, c)
			if err != nil {
				return err
			}
			if values != nil {
				r.columns[c] = &valueColumn{columnDef: def, kept: values}
				continue
			}
		}
		pages = append(pages, g.pages(c)...)
	}
	if err := g.load(ctx, pages, own...); err != nil {
		return err
	}
	if r.extract {
		g.learnPieces()
	}
	if err := errors.Join(g.classes(ctx), g.tree(ctx)); err != nil {
		return err
	}
	return r.open()
}

// open opens what has been loaded and checks what building spans relies on.
func (r *spanReader) open() error {
	g := r.group
	r.scope = g.numbers(fixScope)
	if !r.serviceOnly {
		r.resource = g.numbers(fixResource)
	}
	if !r.extract {
		r.order = g.numbers(fixOrder)
	}
	r.name, r.looseParent = r.texts(fixName), r.texts(fixLooseParent)
	if r.needs == nil {
		r.flags, r.droppedA = g.numbers(fixFlags), g.numbers(fixDroppedAttributes)
		r.droppedE, r.droppedL = g.numbers(fixDroppedEvents), g.numbers(fixDroppedLinks)
	}
	if r.needs == nil || r.needs.Texts {
		r.message, r.state = r.texts(fixMessage), r.texts(fixState)
	}
	if !g.inRange(fixScope, len(g.dir.scopes)) || len(g.dir.scopes) == 0 {
		return g.corrupt("scopes", errStamp)
	}
	if err := r.openParents(); err != nil {
		return err
	}
	r.openEvents()
	r.openLinks()
	for place, fix := range [tagPlaces]int{fixRestSpan, fixRestEvent, fixRestLink} {
		if r.needs.rest(place) {
			r.rest[place] = r.texts(fix)
		}
		r.cursors[place] = rankCursor{ranks: make([]int, len(g.dir.columns)+1), hist: make([]int, len(g.dir.shapes))}
	}
	r.ranked = r.needs == nil || r.rest[onSpan] != nil
	for c := range r.columns {
		if !r.needs.column(&g.dir.columns[c]) || r.err != nil {
			continue
		}
		if r.columns[c] == nil {
			r.columns[c], r.err = g.openColumn(c, r.bulk)
		}
		def := &g.dir.columns[c]
		r.ranked = r.ranked || def.place == onSpan && (def.kind == kindPlain || def.kind == kindTable || def.except > 0)
	}
	if err := g.r.Err(); err != nil && r.err == nil {
		r.err = g.corrupt("columns", err)
	}
	if r.err == nil {
		r.err = r.checkValues()
	}
	return r.err
}

// openParents finds the parent ID of each of the loose spans.
func (r *spanReader) openParents() error {
	if len(r.loose) == 0 {
		return nil
	}
	stored := 0
	if at := r.dir.fixed[fixLooseParent]; at >= 0 {
		if r.dir.fixedTable[fixLooseParent] {
			at++
		}
		stored = r.dir.page.Columns[at].Rows
	}
	which := r.ints(fixLooseWhich, len(r.loose))
	if len(which) != len(r.loose) {
		return r.corrupt("parents", errValues)
	}
	r.parentOf = make([]uint32, len(which))
	next := 0
	for i, back := range which {
		if back < 0 || back > int64(next) || back == 0 && next >= stored {
			return r.corrupt("parents", errValues)
		}
		r.parentOf[i] = uint32(next - int(back))
		if back == 0 {
			next++
		}
	}
	return nil
}

func (r *spanReader) texts(fix int) *storedTexts {
	t, err := r.fixedTexts(fix, r.bulk)
	if err != nil && r.err == nil {
		r.err = err
	}
	return t
}

// trace builds a trace. It is fast for traces that ascend.
func (r *spanReader) trace(t int) (*Trace, error) {
	lo, hi := r.first[t], r.first[t+1]
	if lo < r.cursors[onSpan].row {
		r.rewind()
	}
	var slab slab[Attribute]
	spans := make([]Span, hi-lo)
	out := &Trace{ID: r.id(t), Spans: make([]*Span, hi-lo)}
	r.parents = append(r.parents[:0], parent{start: r.starts[t]})
	for ; r.nextLoose < len(r.loose) && r.loose[r.nextLoose] < int64(lo); r.nextLoose++ {
	}
	for i := range spans {
		s := &spans[i]
		out.Spans[i] = s
		if err := r.span(lo+i, t, s); err != nil {
			return nil, err
		}
		s.Order = uint32(r.order.at(lo+i) + int64(i))
		r.lists(lo+i, t, s, slab.alloc)
	}
	if !slices.IsSortedFunc(out.Spans, compareSpans) {
		slices.SortFunc(out.Spans, compareSpans)
	}
	return out, r.failure()
}

// failure returns what went wrong while columns were read.
func (r *spanReader) failure() error {
	if err := r.r.Err(); err != nil && r.err == nil {
		r.err = r.corrupt("columns", err)
	}
	for i := range r.pieces {
		if err := r.pieces[i].Err(); err != nil && r.err == nil {
			r.err = r.corrupt("times", err)
		}
	}
	if r.traceIDs != nil && r.traceIDs.Err() != nil && r.err == nil {
		r.err = r.corrupt("trace IDs", r.traceIDs.Err())
	}
	return r.err
}

// lists sets the attributes, events and links of a span, of rows that ascend.
func (r *spanReader) lists(row, trace int, s *Span, alloc func(int) []Attribute) {
	r.advance(onSpan, row)
	s.Attributes = r.take(onSpan, trace, alloc)
	r.eventsAndLinks(row, s, alloc)
}

// eventsAndLinks sets the events and links of a span, of rows that ascend.
func (r *spanReader) eventsAndLinks(row int, s *Span, alloc func(int) []Attribute) {
	r.events(row, s, alloc)
	r.links(row, s, alloc)
}

// rewind goes back to the first trace.
func (r *spanReader) rewind() {
	for place := range r.cursors {
		c := &r.cursors[place]
		c.row = 0
		clear(c.ranks)
		r.childAt[place].span, r.childAt[place].child = 0, 0
	}
	r.nextLoose = 0
}

// turn decodes the chunk of a row.
func (r *spanReader) turn(row int) (err error) {
	chunk := row / chunkSpans
	if chunk == r.chunk {
		return nil
	}
	if r.views != nil && r.views[chunk] != nil {
		r.chunk = chunk
		r.turnView(r.views[chunk])
		return nil
	}
	if r.start, err = r.viewChunk(&r.start, chunk, 0); err != nil {
		return err
	}
	if r.duration, err = r.viewChunk(&r.duration, chunk, 1); err != nil {
		return err
	}
	if r.ids, err = r.spanIDs(chunk); err != nil {
		return err
	}
	r.chunk = chunk
	return nil
}

// span sets all of a span but its lists.
func (r *spanReader) span(row, trace int, s *Span) error {
	if err := r.turn(row); err != nil {
		return err
	}
	at := row % chunkSpans
	copy(s.ID[:], r.spanID(row))
	depth := int(r.depths.At(row))
	up := &r.parents[depth]
	s.Start = up.start + uint64(r.start.At(at))
	s.End = s.Start + uint64(r.duration.At(at))
	s.ParentID = up.id
	if depth == 0 && r.nextLoose < len(r.loose) && r.loose[r.nextLoose] == int64(row) {
		if copy(s.ParentID[:], r.looseParent.at(int(r.parentOf[r.nextLoose]))) != len(s.ParentID) {
			return r.corrupt("parents", errValues)
		}
		r.nextLoose++
	}
	r.parents = append(r.parents[:depth+1], parent{s.ID, s.Start})
	return r.describe(row, s)
}

// nameOf returns the name of a span.
func (r *spanReader) nameOf(row int) string {
	if r.dir.classNames {
		return r.dir.names[r.dir.classes[r.class.At(row)].name]
	}
	return r.name.at(row)
}

// describe sets what doesn't depend on other spans.
func (r *spanReader) describe(row int, s *Span) error {
	c := &r.dir.classes[r.class.At(row)]
	s.Kind, s.Status, s.Name = c.kind, c.status, r.nameOf(row)
	scope := c.scope
	if !r.dir.classScopes {
		scope = int(r.scope.at(row))
	}
	s.Scope = r.dir.scopes[scope]
	ranks := r.dir.ofService[c.service]
	if rank := r.resource.at(row); uint64(rank) < uint64(len(ranks)) {
		s.Resource = r.dir.resources[ranks[rank]]
	} else {
		return r.corrupt("resources", errStamp)
	}
	s.Flags, s.DroppedAttributes = uint32(r.flags.at(row)), uint32(r.droppedA.at(row))
	s.DroppedEvents, s.DroppedLinks = uint32(r.droppedE.at(row)), uint32(r.droppedL.at(row))
	s.StatusMessage, s.TraceState = r.message.at(row), r.state.at(row)
	return nil
}
