package traces

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// Extract is what a source says of a trace of which it answers only the spans that a question shows: those are
// the Spans of the trace then, in order of start and, of one start, of arrival, without their Order and the IDs of
// their parents.
type Extract struct {
	Start, End            uint64         // earliest start and latest end of all spans
	RootName, RootService string         // of the root that arrived last, empty without one
	Services              []ServiceStats // by name
	Spans                 int            // how many the trace has
	Matched               int            // how many of them matched; the first of these are shown
}

// Chosen is what a GroupFilter wants of a row group.
type Chosen struct {
	Traces []int // ascending
	// Matched, where set, says which spans of the Traces match: the source may then answer with an Extract that
	// shows the Show earliest of them. Every one of the Traces has one. The row group must have no Twins.
	Matched *block.Bitmap
	Show    int
	// ServiceOnly says that of the resources of spans only the service matters.
	ServiceOnly bool
}

// build builds the traces wanted, ascending, or extracts of them.
func (c *groupCursor) build(ctx context.Context, wanted []int, needs *Needs) error {
	add := func(t *Trace) bool {
		c.built = append(c.built, t)
		return true
	}
	if c.chosen.Matched == nil {
		return c.g.build(ctx, wanted, needs, add)
	}
	if c.whole == nil {
		return c.g.extract(ctx, wanted, &c.chosen, needs, add)
	}
	var parts [2][]int // extracts, whole traces
	for _, t := range wanted {
		if c.whole[t] {
			parts[1] = append(parts[1], t)
		} else {
			parts[0] = append(parts[0], t)
		}
	}
	if err := c.g.extract(ctx, parts[0], &c.chosen, needs, add); err != nil {
		return err
	}
	extracts := c.built
	c.built = nil
	if err := c.g.build(ctx, parts[1], needs, add); err != nil {
		return err
	}
	whole := c.built
	c.built = make([]*Trace, 0, len(wanted))
	for _, t := range wanted {
		from := &extracts
		if c.whole[t] {
			from = &whole
		}
		c.built = append(c.built, (*from)[0])
		*from = (*from)[1:]
	}
	return nil
}

// extractor builds the extracts of some traces of a row group, which come in ascending order.
type extractor struct {
	*spanReader
	chosen *Chosen

	up          []upSpan       // the spans on the way from the root
	shown       []shownSpan    // of the trace at hand
	ordered     bool           // the order of arrival has been read
	services    []ServiceStats // of the trace at hand, by name
	seen        []int          // those that have spans
	last        []ServiceStats // of the trace before: traces of one kind have the same
	lastClasses []uint8        // of its spans, if they are bytes; not empty
	classes     []extractClass
	byClass     bool // attributes follow from the class
	slab        slab[Attribute]
	// Of traces to come, cut from the front: the extracts of a batch are made, used and dropped together.
	counts   []ServiceStats
	made     []extracted
	spans    []Span
	pointers []*Span
}

// extractClass is what an extractor knows of the spans of a class.
type extractClass struct {
	service    int // its place among all by name
	errors     uint32
	attributes []Attribute // once they were read, where they follow from the class
}

// extracted is a trace with its extract.
type extracted struct {
	trace   Trace
	extract Extract
}

// shownSpan is a span that matched.
type shownSpan struct {
	row   int
	start uint64
	order int64
	place int // among those that are shown
}

// extract yields extracts of the traces wanted, ascending ordinals. It stops when yield returns false.
func (g *group) extract(ctx context.Context, wanted []int, chosen *Chosen, needs *Needs, yield func(*Trace) bool) error {
	if len(wanted) == 0 {
		return nil
	}
	r := &spanReader{group: g, needs: needs, chunk: -1, extract: true, serviceOnly: chosen.ServiceOnly}
	if err := r.load(ctx, wanted); err != nil {
		return err
	}
	n := min(chosen.Show*len(wanted), chosen.Matched.Count())
	x := extractor{spanReader: r, chosen: chosen, made: make([]extracted, len(wanted)), spans: make([]Span, n), pointers: make([]*Span, n)}
	x.open()
	for _, t := range wanted {
		tr, err := x.trace(ctx, t)
		if err != nil {
			return err
		}
		if !yield(tr) {
			return nil
		}
	}
	return nil
}

// open learns what there is to know of services and classes.
func (x *extractor) open() {
	x.services = make([]ServiceStats, len(x.dir.services))
	places := placesByName(x.dir.services)
	for i, place := range places {
		x.services[place].Service = x.dir.services[i]
	}
	x.classes = make([]extractClass, len(x.dir.classes))
	for i := range x.classes {
		class := &x.dir.classes[i]
		x.classes[i].service = places[class.service]
		if class.status == StatusError {
			x.classes[i].errors = 1
		}
	}
	x.byClass = !x.ranked
	for c := range x.columns {
		def := &x.dir.columns[c]
		x.byClass = x.byClass && (x.columns[c] == nil || def.place != onSpan || def.kind == kindClass)
	}
}

func (x *extractor) trace(ctx context.Context, t int) (*Trace, error) {
	lo, hi := x.first[t], x.first[t+1]
	made := &x.made[0]
	x.made = x.made[1:]
	out, e := &made.trace, &made.extract
	e.Start, e.End, e.Spans = x.starts[t], x.ends[t], hi-lo
	e.RootName, e.RootService = x.root(t)
	e.Services = x.count(lo, hi)
	if err := x.choose(t); err != nil {
		return nil, err
	}
	if err := x.sort(ctx, t); err != nil {
		return nil, err
	}
	e.Matched = len(x.shown)
	x.shown = x.shown[:min(len(x.shown), x.chosen.Show)]
	n := len(x.shown)
	spans := x.spans[:n:n]
	out.ID, out.Extract, out.Spans = x.traceID(t), e, x.pointers[:n:n]
	x.spans, x.pointers = x.spans[n:], x.pointers[n:]
	for i := range x.shown {
		x.shown[i].place = i
		out.Spans[i] = &spans[i]
	}
	slices.SortFunc(x.shown, func(a, b shownSpan) int { return a.row - b.row })
	for _, s := range x.shown {
		if err := x.show(&spans[s.place], t, s); err != nil {
			return nil, err
		}
	}
	return out, x.failure()
}

// sort sorts what matched by start and, of one start, by arrival: only then is the order of arrival read.
func (x *extractor) sort(ctx context.Context, t int) error {
	slices.SortFunc(x.shown, compareShown)
	tie := false
	for i := 1; i < len(x.shown); i++ {
		tie = tie || x.shown[i].start == x.shown[i-1].start
	}
	if !tie {
		return nil
	}
	if !x.ordered {
		if err := x.group.load(ctx, x.fixed(fixOrder)); err != nil {
			return err
		}
		x.order, x.ordered = x.numbers(fixOrder), true
	}
	for i := range x.shown {
		s := &x.shown[i]
		s.order = x.order.at(s.row) + int64(s.row-x.first[t])
	}
	slices.SortFunc(x.shown, compareShown)
	return x.failure()
}

func compareShown(a, b shownSpan) int {
	return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.order, b.order))
}

// root returns name and service of the root that arrived last: roots stand in the order in which they arrived.
func (x *extractor) root(t int) (name, service string) {
	for row := x.first[t] + x.placed(t) - 1; row >= x.first[t]; row-- {
		if x.depths.At(row) == 0 {
			return x.nameOf(row), x.dir.services[x.dir.classes[x.class.At(row)].service]
		}
	}
	return "", ""
}

// count counts the spans of each service. Traces may share what it returns.
func (x *extractor) count(lo, hi int) []ServiceStats {
	classes := x.class.Bytes()
	if classes != nil && bytes.Equal(classes[lo:hi], x.lastClasses) {
		return x.last
	}
	if classes != nil {
		x.lastClasses = classes[lo:hi]
	}
	for row := lo; row < hi; row++ {
		class := &x.classes[x.class.At(row)]
		stats := &x.services[class.service]
		if stats.Spans == 0 {
			x.seen = append(x.seen, class.service)
		}
		stats.Spans++
		stats.Errors += class.errors
	}
	slices.Sort(x.seen)
	out := x.last
	if !x.countedAs(out) {
		n := len(x.seen)
		if n > len(x.counts) {
			x.counts = make([]ServiceStats, max(n, countsAtOnce))
		}
		out = x.counts[:n:n]
		x.counts = x.counts[n:]
		for i, s := range x.seen {
			out[i] = x.services[s]
		}
		x.last = out
	}
	for _, s := range x.seen {
		x.services[s].Spans, x.services[s].Errors = 0, 0
	}
	x.seen = x.seen[:0]
	return out
}

// countedAs reports whether what was counted is list.
func (x *extractor) countedAs(list []ServiceStats) bool {
	if len(list) != len(x.seen) {
		return false
	}
	for i, s := range x.seen {
		if list[i] != x.services[s] {
			return false
		}
	}
	return true
}

// countsAtOnce is for how many services of traces an extractor gets memory at once.
const countsAtOnce = 256

// placesByName returns the place of each text among all of them in order.
func placesByName(list []string) []int {
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(list[a], list[b]) })
	places := make([]int, len(list))
	for place, i := range order {
		places[i] = place
	}
	return places
}

// choose sets shown to the spans of a trace that matched.
func (x *extractor) choose(t int) error {
	x.shown = x.shown[:0]
	x.up = x.up[:0]
	timed := 0 // of how many of up the start is known
	for row := x.first[t]; row < x.first[t+1]; row++ {
		depth := int(x.depths.At(row))
		x.up = append(x.up[:depth], upSpan{row: row})
		timed = min(timed, depth)
		if !x.chosen.Matched.Get(row) {
			continue
		}
		for ; timed <= depth; timed++ {
			at := &x.up[timed]
			if err := x.turn(at.row); err != nil {
				return err
			}
			if at.start = x.starts[t]; timed > 0 {
				at.start = x.up[timed-1].start
			}
			at.start += uint64(x.start.At(at.row % chunkSpans))
		}
		x.shown = append(x.shown, shownSpan{row: row, start: x.up[depth].start})
	}
	return nil
}

// upSpan is a span on the way from the root, and when it starts.
type upSpan struct {
	row   int
	start uint64
}

// show builds a span, of rows that ascend.
func (x *extractor) show(s *Span, trace int, at shownSpan) error {
	if err := x.turn(at.row); err != nil {
		return err
	}
	copy(s.ID[:], x.spanID(at.row))
	s.Start, s.End = at.start, at.start+uint64(x.duration.At(at.row%chunkSpans))
	if err := x.describe(at.row, s); err != nil {
		return err
	}
	class := &x.classes[x.class.At(at.row)]
	if s.Attributes = class.attributes; s.Attributes == nil {
		x.advance(onSpan, at.row)
		s.Attributes = x.take(onSpan, trace, x.slab.alloc)
		if x.byClass {
			class.attributes = s.Attributes
		}
	}
	x.eventsAndLinks(at.row, s, x.slab.alloc)
	return nil
}
