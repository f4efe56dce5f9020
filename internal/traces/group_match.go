package traces

import (
	"context"
	"slices"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// ValueTest is what is asked of the values of an attribute, by type: a value of a type whose test is nil
// doesn't pass. Of an array any element may pass. Tests are pure.
type ValueTest struct {
	Text  func(string) bool
	Int   func(int64) bool
	Float func(float64) bool
	Bool  func(int64) bool
	// Equal, where set, is the only text that Text accepts: filters and dictionaries answer for it.
	Equal *string
	// Opaque is whether values that can't be searched pass.
	Opaque bool
	// Exists is whether all values that can be searched pass.
	Exists bool
}

// attribute tests one value.
func (v *ValueTest) attribute(a *Attribute) bool {
	if v.Exists && a.Type != TypeOpaque {
		return true
	}
	switch a.Type {
	case TypeString:
		return v.Text != nil && v.Text(a.Str)
	case TypeInt:
		return v.Int != nil && v.Int(a.Int)
	case TypeFloat:
		return v.Float != nil && v.Float(a.Float)
	case TypeBool:
		return v.Bool != nil && v.Bool(a.Int)
	case TypeOpaque:
		return v.Opaque
	}
	for i := range a.Array {
		if v.attribute(&a.Array[i]) {
			return true
		}
	}
	return false
}

// any reports whether an attribute of that key passes.
func (v *ValueTest) any(attrs []Attribute, key string) bool {
	for i := range attrs {
		if attrs[i].Key == key && v.attribute(&attrs[i]) {
			return true
		}
	}
	return false
}

// asks reports whether a value of the type can pass at all.
func (v *ValueTest) asks(typ ValueType) bool {
	if typ == TypeOpaque || v.Exists {
		return typ != TypeOpaque || v.Opaque
	}
	if typ.isArray() {
		typ = elementOf(typ)
	}
	switch typ {
	case TypeString:
		return v.Text != nil
	case TypeInt:
		return v.Int != nil
	case TypeFloat:
		return v.Float != nil
	}
	return v.Bool != nil
}

// number returns the test of numbers as they are stored in a column.
func (v *ValueTest) number(def *columnDef) func(int64) bool {
	switch {
	case v.Exists:
		return func(int64) bool { return true }
	case def.typ.isFloat():
		return func(n int64) bool { return v.Float(def.float(n)) }
	case def.typ == TypeInt || def.typ == TypeIntArray:
		return v.Int
	}
	return v.Bool
}

// matchStored returns which of the values of a page column pass. Within ask.
func (g *group) matchStored(at int, def *columnDef, v *ValueTest) column.Set {
	c := g.dir.page.Columns[at]
	switch {
	case v.Exists || def.typ == TypeOpaque:
		return column.All
	case !def.typ.isText():
		test := v.number(def)
		bits := block.NewBitmap(c.Rows)
		for i, n := range g.r.Int64s(c) {
			if test(n) {
				bits.Set(i)
			}
		}
		return column.SetOf(bits)
	case v.Equal != nil:
		return g.r.Match(c, column.Equal, []byte(*v.Equal))
	}
	return g.r.MatchFunc(c, column.All, func(b []byte) bool { return v.Text(view(b)) })
}

// matchColumn returns the values of attribute column c that pass: all of its values in order, or for kindClass
// without exceptions those of the classes, or for kindTrace those of the traces.
func (g *group) matchColumn(ctx context.Context, c int, v *ValueTest) (column.Set, error) {
	def := &g.dir.columns[c]
	if v.Exists {
		return column.All, nil
	}
	at := g.dir.pageOf[c]
	if def.typ.isArray() {
		at++
	}
	var set column.Set
	err := g.ask(ctx, func() {
		set = g.matchStored(at, def, v)
		if def.kind == kindTable && !set.IsNone() {
			set = g.throughTable(g.dir.page.Columns[at+1], set)
		}
	})
	if err != nil || !def.typ.isArray() || set.IsNone() {
		return set, err
	}
	return g.ofArrays(ctx, c, set)
}

// throughTable returns the rows whose numbers are in the set.
func (g *group) throughTable(codes *column.Column, set column.Set) column.Set {
	bits := block.NewBitmap(codes.Rows)
	for i, code := range g.r.Int64s(codes) {
		if code >= 0 && (set.IsAll() || set.Bits() != nil && code < int64(set.Bits().Len()) && set.Has(int(code))) {
			bits.Set(i)
		}
	}
	return column.SetOf(bits)
}

// ofArrays returns the arrays that have an element in the set.
func (g *group) ofArrays(ctx context.Context, c int, elements column.Set) (column.Set, error) {
	if err := g.load(ctx, g.pages(c)[:1]); err != nil {
		return column.None, err
	}
	ends, err := g.arrayEnds(c)
	if err != nil {
		return column.None, err
	}
	if elements.IsAll() {
		return column.All, nil
	}
	bits, from := block.NewBitmap(len(ends)), 0
	for i, to := range ends {
		if next := elements.Bits().Next(from); next >= 0 && next < to {
			bits.Set(i)
		}
		from = to
	}
	return column.SetOf(bits), nil
}

// matchSpans returns the spans with a value of attribute column c that passes.
func (g *group) matchSpans(ctx context.Context, c int, v *ValueTest) (RowSet, error) {
	def := &g.dir.columns[c]
	if !v.asks(def.typ) {
		return RowSet{}, nil
	}
	if def.kind == kindClass && def.except == 0 && !v.Exists {
		values, err := g.attributesByClass(ctx, c)
		if values != nil || err != nil {
			return values.match(v, g.has(c)), err
		}
	}
	set, err := g.matchColumn(ctx, c, v)
	if err != nil {
		return RowSet{}, err
	}
	if def.kind == kindClass && def.except > 0 && !v.Exists {
		return g.withExceptions(ctx, c, v, set)
	}
	if set.IsNone() {
		return RowSet{}, nil
	}
	if set.IsAll() {
		return classSet(g.has(c)), nil
	}
	switch def.kind {
	case kindClass:
		return g.classesOf(c, set)
	case kindTrace:
		return g.spansOfTraces(ctx, c, set)
	}
	return g.spansOfValues(ctx, c, set)
}

func (g *group) classesOf(c int, set column.Set) (RowSet, error) {
	values, err := g.classValues(c)
	if err != nil {
		return RowSet{}, err
	}
	out := make([]bool, len(values))
	for i, v := range values {
		out[i] = v >= 0 && set.Has(int(v))
	}
	return classSet(out), nil
}

func (g *group) spansOfTraces(ctx context.Context, c int, set column.Set) (RowSet, error) {
	if err := g.spineAndClasses(ctx); err != nil {
		return RowSet{}, err
	}
	values, err := g.traceValues(c)
	if err != nil {
		return RowSet{}, err
	}
	has, bits, class := g.has(c), block.NewBitmap(g.entry.spans), g.classList()
	for t, v := range values {
		if v < 0 || !set.Has(int(v)) {
			continue
		}
		for row := g.first[t]; row < g.first[t+1]; row++ {
			if has[class[row]] {
				bits.Set(row)
			}
		}
	}
	return bitSet(bits), nil
}

// uses returns how often the shapes have the column.
func (g *group) uses(c int) []int {
	out := make([]int, len(g.dir.shapes))
	for s, shape := range g.dir.shapes {
		for _, col := range shape {
			if col == uint32(c+1) {
				out[s]++
			}
		}
	}
	return out
}

// spansOfValues maps values of a plain column to spans.
func (g *group) spansOfValues(ctx context.Context, c int, set column.Set) (RowSet, error) {
	if err := g.classes(ctx); err != nil {
		return RowSet{}, err
	}
	uses := g.uses(c)
	perClass := make([]int, len(g.dir.classes))
	for i := range perClass {
		perClass[i] = uses[g.dir.classes[i].shape]
	}
	bits, values, next, n := block.NewBitmap(g.entry.spans), set.Bits(), 0, g.dir.columns[c].values
	for row, class := range g.classList() {
		for range perClass[class] {
			if next < n && values.Get(next) {
				bits.Set(row)
			}
			next++
		}
	}
	if next != n {
		return RowSet{}, g.corrupt("shapes", errValues)
	}
	return bitSet(bits), nil
}

// withExceptions is matchSpans for a class column some of whose values are not those of their classes.
func (g *group) withExceptions(ctx context.Context, c int, v *ValueTest, set column.Set) (RowSet, error) {
	def := &g.dir.columns[c]
	var passed column.Set
	if err := g.ask(ctx, func() { passed = g.matchStored(g.dir.pageOf[c]+2, def, v) }); err != nil {
		return RowSet{}, err
	}
	if passed.IsNone() && set.IsNone() {
		return RowSet{}, nil
	}
	if passed.IsAll() && set.IsAll() {
		return classSet(g.has(c)), nil
	}
	if err := g.load(ctx, g.pages(c)[1:2]); err != nil {
		return RowSet{}, err
	}
	places, err := g.exceptions(c)
	if err == nil {
		err = g.classes(ctx)
	}
	if err != nil {
		return RowSet{}, err
	}
	values, err := g.classValues(c)
	if err != nil {
		return RowSet{}, err
	}
	passes := make([]bool, len(values))
	for i, v := range values {
		passes[i] = v >= 0 && set.Has(int(v))
	}
	bits, next, k := block.NewBitmap(g.entry.spans), 0, 0
	for row, class := range g.classList() {
		if values[class] < 0 {
			continue
		}
		ok := passes[class]
		if k < len(places) && places[k] == next {
			ok = passed.Has(k)
			k++
		}
		if next++; ok {
			bits.Set(row)
		}
	}
	return bitSet(bits), nil
}

func (g *group) spineAndClasses(ctx context.Context) error {
	if err := g.spine(ctx); err != nil {
		return err
	}
	return g.classes(ctx)
}

// matchAttribute returns the spans with an attribute of that scope and key that passes. Of events and links,
// any of the span may have it.
func (g *group) matchAttribute(ctx context.Context, scope TagScope, key string, v *ValueTest) (RowSet, error) {
	switch scope {
	case ScopeResource:
		return g.matchResources(ctx, func(r *Resource) bool { return v.any(r.Attributes, key) })
	case ScopeInstrumentation:
		return g.matchScopes(ctx, func(s *Scope) bool { return v.any(s.Attributes, key) })
	}
	place := slices.Index(placeScopes[:], scope)
	out := RowSet{}
	for c := range g.dir.columns {
		def := &g.dir.columns[c]
		if def.place != place || def.key != key {
			continue
		}
		match := g.matchSpans
		if place != onSpan {
			match = g.matchChildren
		}
		set, err := match(ctx, c, v)
		if err != nil {
			return RowSet{}, err
		}
		if out, err = g.union(ctx, out, set); err != nil {
			return RowSet{}, err
		}
	}
	rest, err := g.matchRest(ctx, place, key, v)
	if err != nil {
		return RowSet{}, err
	}
	return g.union(ctx, out, rest)
}

// union is or, having read the classes if they matter.
func (g *group) union(ctx context.Context, a, b RowSet) (RowSet, error) {
	if a.bits != nil && b.classes != nil || a.classes != nil && b.bits != nil {
		if err := g.classes(ctx); err != nil {
			return RowSet{}, err
		}
	}
	return g.or(a, b), nil
}
