package traces

import (
	"context"
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// RowGroup is spans in columns on their way to a question: traces in order of their start, the spans of a
// trace in pre-order, those with a place in the tree first. It lets a question be answered without building
// spans. It is used by one goroutine; what it returns must not be changed.
//
// Only columns that are asked about are read.
type RowGroup struct {
	g     *group
	apart []bool // traces that have pieces elsewhere, nil: none
}

// Rows and Traces return how many spans and traces there are.
func (r *RowGroup) Rows() int   { return r.g.entry.spans }
func (r *RowGroup) Traces() int { return r.g.entry.traces }

// Apart reports whether a trace has pieces elsewhere, or is answered whole for another reason.
func (r *RowGroup) Apart(trace int) bool { return r.apart != nil && r.apart[trace] }

// Twins reports whether some span has the ID of another span of its trace: the tree then says less than
// there is. Repeats reports whether some span, event or link has several attributes of one key.
func (r *RowGroup) Twins() bool   { return r.g.entry.twins }
func (r *RowGroup) Repeats() bool { return r.g.entry.repeats }

// First returns the first row of each trace, and the number of rows.
func (r *RowGroup) First(ctx context.Context) ([]int, error) {
	err := r.g.spine(ctx)
	return r.g.first, err
}

// TraceTimes returns when each trace starts and ends.
func (r *RowGroup) TraceTimes(ctx context.Context) (starts, ends []uint64, err error) {
	err = r.g.spine(ctx)
	return r.g.starts, r.g.ends, err
}

// Depths returns the depth of each span: its parent is the last span before it of one less. placed says of a
// trace how many of its spans have a place in the tree.
func (r *RowGroup) Depths(ctx context.Context) (depths *Codes, placed func(trace int) int, err error) {
	err = r.g.tree(ctx)
	return r.g.depths, r.g.placed, err
}

// Class is what the spans of one class have in common. Name is meaningful where Named is.
type Class struct {
	Service string
	Name    string
	Named   bool
	Kind    Kind
	Status  Status
}

// ClassCount returns how many classes there are.
func (r *RowGroup) ClassCount() int { return len(r.g.dir.classes) }

// Class returns a class.
func (r *RowGroup) Class(i int) Class {
	c := &r.g.dir.classes[i]
	out := Class{Service: r.g.dir.services[c.service], Named: r.g.dir.classNames, Kind: c.kind, Status: c.status}
	if out.Named {
		out.Name = r.g.dir.names[c.name]
	}
	return out
}

// Classes returns the class of each span.
func (r *RowGroup) Classes(ctx context.Context) (*Codes, error) {
	err := r.g.classes(ctx)
	return r.g.class, err
}

// Resources returns the resources that spans of a class may have, and Ranks of each span which of them it has.
func (r *RowGroup) Resources(class int) []*Resource {
	ranks := r.g.dir.ofService[r.g.dir.classes[class].service]
	out := make([]*Resource, len(ranks))
	for i, n := range ranks {
		out[i] = r.g.dir.resources[n]
	}
	return out
}

// Ranks returns of each span which of the resources of its class it has.
func (r *RowGroup) Ranks(ctx context.Context) ([]int64, error) {
	g := r.g
	ranks, err := g.resourceRanks(ctx)
	if err == nil {
		err = g.classes(ctx)
	}
	if err != nil {
		return nil, err
	}
	most := make([]uint64, len(g.dir.classes))
	for i := range most {
		most[i] = uint64(len(g.dir.ofService[g.dir.classes[i].service]))
	}
	class := g.classList()
	for row, rank := range ranks {
		if uint64(rank) >= most[class[row]] {
			return nil, g.corrupt("resources", errStamp)
		}
	}
	return ranks, nil
}

// ClassValues returns the value that the spans of each class have of an attribute of spans, nil for none. ok is
// false where classes don't tell.
func (r *RowGroup) ClassValues(ctx context.Context, key string) (values []*Attribute, ok bool, err error) {
	g := r.g
	values = make([]*Attribute, len(g.dir.classes))
	if g.entry.repeats {
		return nil, false, nil
	}
	for c := range g.dir.columns {
		def := &g.dir.columns[c]
		if def.place != onSpan || def.key != key {
			continue
		}
		if def.kind != kindClass || def.except > 0 {
			return nil, false, nil
		}
		if err := g.load(ctx, g.pages(c)); err != nil {
			return nil, false, err
		}
		v, err := g.openColumn(c, true)
		if err != nil {
			return nil, false, err
		}
		for class := range values {
			if v.byRow[class] >= 0 {
				values[class] = &Attribute{}
				v.get(0, uint32(class), 0, values[class], nil)
			}
		}
	}
	if g.dir.fixed[fixRestSpan] >= 0 { // some span may have the key there
		found := false
		err := g.eachRest(ctx, onSpan, func(_ int, a *Attribute) { found = found || a.Key == key })
		return values, !found, err
	}
	return values, true, nil
}

// HasKey reports whether some span may have an attribute of that key.
func (r *RowGroup) HasKey(key string) bool {
	g := r.g
	return g.dir.fixed[fixRestSpan] >= 0 || slices.ContainsFunc(g.dir.columns, func(c columnDef) bool { return c.place == onSpan && c.key == key })
}

// Match returns the spans with an attribute of that scope and key that passes; of several any may. Of events
// and links, any of the span may have it.
func (r *RowGroup) Match(ctx context.Context, scope TagScope, key string, v *ValueTest) (RowSet, error) {
	return r.g.matchAttribute(ctx, scope, key, v)
}

// MatchClasses returns the spans of the classes that pass.
func (r *RowGroup) MatchClasses(test func(Class) bool) RowSet {
	out := make([]bool, r.ClassCount())
	for i := range out {
		out[i] = test(r.Class(i))
	}
	return classSet(out)
}

// MatchNames returns the spans whose names pass.
func (r *RowGroup) MatchNames(ctx context.Context, test func(string) bool) (RowSet, error) {
	return r.g.matchNames(ctx, test)
}

// MatchMessages returns the spans whose status messages pass.
func (r *RowGroup) MatchMessages(ctx context.Context, test func(string) bool) (RowSet, error) {
	return r.g.matchTexts(ctx, fixMessage, r.g.entry.spans, test)
}

// MatchResources returns the spans whose resource passes.
func (r *RowGroup) MatchResources(ctx context.Context, test func(*Resource) bool) (RowSet, error) {
	return r.g.matchResources(ctx, test)
}

// MatchScopes returns the spans whose instrumentation scope passes.
func (r *RowGroup) MatchScopes(ctx context.Context, test func(*Scope) bool) (RowSet, error) {
	return r.g.matchScopes(ctx, test)
}

// MatchDurations returns those of the spans in among whose duration passes, zero for one that ends before it starts.
// monotonic says that all durations beyond some pass, or all up to some: then most needn't be looked at.
func (r *RowGroup) MatchDurations(ctx context.Context, among RowSet, monotonic bool, test func(int64) bool) (RowSet, error) {
	return r.g.matchDurations(ctx, among, monotonic, test)
}

// Lengths returns codes of the durations of all spans, see LengthBucket.
func (r *RowGroup) Lengths(ctx context.Context) ([]uint8, error) { return r.g.readLengths(ctx) }

// LengthsAtHand is Lengths where the codes are kept, or where reading all of them is worth it for the questions to come; else
// nil.
func (r *RowGroup) LengthsAtHand(ctx context.Context) ([]uint8, error) { return r.g.lengthsAtHand(ctx) }

// MatchEventNames returns the spans with an event whose name passes.
func (r *RowGroup) MatchEventNames(ctx context.Context, test func(string) bool) (RowSet, error) {
	g := r.g
	if g.entry.events == 0 {
		return RowSet{}, nil
	}
	set, err := g.matchTexts(ctx, fixEventName, g.entry.events, test)
	if err != nil || set.IsNone() {
		return RowSet{}, err
	}
	kids, err := g.childTable(ctx, onEvent)
	if err != nil {
		return RowSet{}, err
	}
	out := block.NewBitmap(g.entry.spans)
	for i, row := range kids.owner {
		if set.all || set.bits.Get(i) {
			out.Set(int(row))
		}
	}
	return bitSet(out), nil
}

// MatchTraces returns the spans of the traces that pass.
func (r *RowGroup) MatchTraces(ctx context.Context, test func(start, end uint64) bool) (RowSet, error) {
	if err := r.g.spine(ctx); err != nil {
		return RowSet{}, err
	}
	return r.ofTraces(func(t int) bool { return test(r.g.starts[t], r.g.ends[t]) }), nil
}

func (r *RowGroup) ofTraces(test func(trace int) bool) RowSet {
	out := block.NewBitmap(r.g.entry.spans)
	all := true
	for t := range r.g.entry.traces {
		if test(t) {
			out.SetRange(r.g.first[t], r.g.first[t+1])
		} else {
			all = false
		}
	}
	if all {
		return AllRows
	}
	return bitSet(out)
}

// MatchRoots returns the spans of the traces whose root passes: of several roots the last one that arrived
// counts. A trace without a root has none. ok is false where the columns don't tell.
func (r *RowGroup) MatchRoots(ctx context.Context, test func(name, service string, found bool) bool) (set RowSet, ok bool, err error) {
	g := r.g
	if !g.dir.classNames || g.entry.twins {
		return AllRows, false, nil
	}
	if err := g.tree(ctx); err != nil {
		return RowSet{}, false, err
	}
	if err := g.classes(ctx); err != nil {
		return RowSet{}, false, err
	}
	return r.ofTraces(func(t int) bool {
		for row := g.first[t] + g.placed(t) - 1; row >= g.first[t]; row-- {
			if g.depths.At(row) == 0 {
				c := &g.dir.classes[g.class.At(row)]
				return test(g.dir.names[c.name], g.dir.services[c.service], true)
			}
		}
		return test("", "", false)
	}), true, nil
}

// And, Or and AndNot combine sets.
func (r *RowGroup) And(ctx context.Context, a, b RowSet) (RowSet, error) {
	if err := r.mixed(ctx, a, b); err != nil {
		return RowSet{}, err
	}
	return r.g.and(a, b), nil
}

// Or returns the spans of either set.
func (r *RowGroup) Or(ctx context.Context, a, b RowSet) (RowSet, error) {
	if err := r.mixed(ctx, a, b); err != nil {
		return RowSet{}, err
	}
	return r.g.or(a, b), nil
}

// AndNot returns the spans that are in a and not in b.
func (r *RowGroup) AndNot(ctx context.Context, a, b RowSet) (RowSet, error) {
	switch {
	case b.all:
		return RowSet{}, nil
	case b.IsNone() || a.IsNone():
		return a, nil
	case b.classes != nil:
		out := make([]bool, len(b.classes))
		for i, in := range b.classes {
			out[i] = !in
		}
		return r.And(ctx, a, classSet(out))
	}
	not := b.bits.Clone()
	not.Not()
	return r.And(ctx, a, bitSet(not))
}

// mixed reads the classes if one set is told by them and the other isn't.
func (r *RowGroup) mixed(ctx context.Context, a, b RowSet) error {
	if a.bits != nil && b.classes != nil || a.classes != nil && b.bits != nil {
		return r.g.classes(ctx)
	}
	return nil
}

// Bits returns a set as a bitmap.
func (r *RowGroup) Bits(ctx context.Context, s RowSet) (*block.Bitmap, error) {
	if s.classes != nil {
		if err := r.g.classes(ctx); err != nil {
			return nil, err
		}
	}
	return r.g.rows(s), nil
}

// BitSet returns the set of a bitmap, which must not be changed afterwards.
func BitSet(b *block.Bitmap) RowSet { return bitSet(b) }

// TracesOf returns the traces that have a span of the set, ascending.
func (r *RowGroup) TracesOf(ctx context.Context, s RowSet) ([]int, error) {
	marked, err := r.markTraces(ctx, s)
	return listed(marked), err
}

// markTraces marks the traces that have a span of the set, nil for none.
func (r *RowGroup) markTraces(ctx context.Context, s RowSet) ([]bool, error) {
	if s.IsNone() {
		return nil, nil
	}
	if err := r.g.spine(ctx); err != nil {
		return nil, err
	}
	if s.classes != nil {
		if err := r.g.classes(ctx); err != nil {
			return nil, err
		}
	}
	return r.g.tracesOf(s), nil
}

// listed returns which are marked, ascending.
func listed(marked []bool) []int {
	n := 0
	for _, in := range marked {
		if in {
			n++
		}
	}
	out := make([]int, 0, n)
	for t, in := range marked {
		if in {
			out = append(out, t)
		}
	}
	return out
}

// TracesOfBoth returns the traces that have spans of each of two sets, ascending.
func (r *RowGroup) TracesOfBoth(ctx context.Context, a, b RowSet) ([]int, error) {
	if r.g.about(b) < r.g.about(a) {
		a, b = b, a
	}
	marked, err := r.markTraces(ctx, a)
	if err != nil || b.all {
		return listed(marked), err
	}
	has, err := r.Members(ctx, b)
	if err != nil {
		return nil, err
	}
	for t, in := range marked {
		marked[t] = in && has.any(r.g.first[t], r.g.first[t+1])
	}
	return listed(marked), nil
}

// Members returns who tells which rows are in a set.
func (r *RowGroup) Members(ctx context.Context, s RowSet) (Members, error) {
	if s.classes != nil {
		if err := r.g.classes(ctx); err != nil {
			return Members{}, err
		}
	}
	return Members{s, r.g.class}, nil
}

// ClassMask returns which classes a set is told by, nil if it isn't told by classes.
func (s RowSet) ClassMask() []bool { return s.classes }

// SpanID returns the trace and span ID of a span.
func (r *RowGroup) SpanID(ctx context.Context, row int) (trace ID, span SpanID, err error) {
	g := r.g
	if err := g.spine(ctx); err != nil {
		return trace, span, err
	}
	chunk := row / chunkSpans
	if err := g.load(ctx, nil, g.dir.idBlob(), g.dir.chunkBlob(chunk)+2); err != nil {
		return trace, span, err
	}
	ids, err := g.spanIDs(chunk)
	if err != nil {
		return trace, span, err
	}
	copy(span[:], ids[8*(row%chunkSpans):])
	return g.id(g.traceOf(row)), span, nil
}
