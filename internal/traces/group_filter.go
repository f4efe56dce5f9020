package traces

import (
	"context"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// filter clears the traces in wanted that can't pass the conditions and returns how many are left. Only the
// columns that conditions name are read.
func (g *group) filter(ctx context.Context, cs *conditions, wanted []bool) (int, error) {
	left := append([]bool(nil), wanted...)
	if !cs.all {
		clear(left)
	}
	for i := range cs.tests {
		hits, err := g.condition(ctx, &cs.tests[i])
		if err != nil {
			return 0, err
		}
		some := false
		for t := range left {
			if cs.all {
				left[t] = left[t] && hits[t]
			} else {
				left[t] = left[t] || wanted[t] && hits[t]
			}
			some = some || left[t]
		}
		if cs.all && !some {
			break
		}
	}
	n := 0
	for t := range wanted {
		if wanted[t] = left[t]; wanted[t] {
			n++
		}
	}
	return n, nil
}

// condition returns which traces have something that passes.
func (g *group) condition(ctx context.Context, c *condition) ([]bool, error) {
	rows, err := g.matchCondition(ctx, c)
	if err != nil || rows.IsNone() {
		return make([]bool, g.entry.traces), err
	}
	if rows.classes != nil {
		if err := g.classes(ctx); err != nil {
			return nil, err
		}
	}
	return g.tracesOf(rows), nil
}

func (g *group) matchCondition(ctx context.Context, c *condition) (RowSet, error) {
	if c.pass {
		return AllRows, nil
	}
	if c.Scope == string(ScopeIntrinsic) {
		return g.intrinsicCondition(ctx, c)
	}
	test := c.valueTest()
	out := RowSet{}
	for _, scope := range attributeScopes {
		if !c.on(scope) {
			continue
		}
		set, err := g.matchAttribute(ctx, scope, c.Key, test)
		if err == nil {
			out, err = g.union(ctx, out, set)
		}
		if err != nil {
			return RowSet{}, err
		}
	}
	return out, nil
}

// valueTest returns the condition as a test on values.
func (c *condition) valueTest() *ValueTest {
	if c.Op == "exists" {
		return &ValueTest{Exists: true, Opaque: true}
	}
	v := &ValueTest{
		Text:   c.text,
		Int:    func(n int64) bool { return c.number(&Attribute{Type: TypeInt, Int: n}) },
		Float:  func(f float64) bool { return c.number(&Attribute{Type: TypeFloat, Float: f}) },
		Bool:   func(n int64) bool { return c.number(&Attribute{Type: TypeBool, Int: n}) },
		Opaque: c.negative(),
	}
	if c.Operand.Type == TypeString && c.Op == "=" {
		v.Equal = &c.Operand.Str
	}
	return v
}

func (g *group) intrinsicCondition(ctx context.Context, c *condition) (RowSet, error) {
	switch c.Key {
	case "name":
		return g.matchNames(ctx, c.text)
	case "status":
		return g.matchClasses(func(k *class) bool { return c.enum(int64(k.status), statusNames[:]) }), nil
	case "kind":
		return g.matchClasses(func(k *class) bool { return c.enum(int64(k.kind), kindNames[:]) }), nil
	}
	return g.matchDurations(ctx, AllRows, monotonic[c.Op], func(n int64) bool { return c.number(&Attribute{Type: TypeInt, Int: n}) })
}

// monotonic are the comparisons that all values beyond some pass, or all up to some.
var monotonic = map[string]bool{"<": true, "<=": true, ">": true, ">=": true}

// matchClasses returns the spans of the classes that pass.
func (g *group) matchClasses(test func(*class) bool) RowSet {
	out := make([]bool, len(g.dir.classes))
	for i := range out {
		out[i] = test(&g.dir.classes[i])
	}
	return classSet(out)
}

// matchNames returns the spans whose names pass.
func (g *group) matchNames(ctx context.Context, test func(string) bool) (RowSet, error) {
	if g.dir.classNames {
		passes := make([]bool, len(g.dir.names))
		for i, name := range g.dir.names {
			passes[i] = test(name)
		}
		return g.matchClasses(func(k *class) bool { return passes[k.name] }), nil
	}
	return g.matchTexts(ctx, fixName, g.entry.spans, test)
}

// matchTexts returns which of n texts of a fixed column pass.
func (g *group) matchTexts(ctx context.Context, fix, n int, test func(string) bool) (RowSet, error) {
	at := g.dir.fixed[fix]
	if at < 0 { // all are empty
		if test("") {
			return AllRows, nil
		}
		return RowSet{}, nil
	}
	var set column.Set
	err := g.ask(ctx, func() {
		set = g.r.MatchFunc(g.dir.page.Columns[at], column.All, func(b []byte) bool { return test(view(b)) })
		if g.dir.fixedTable[fix] && !set.IsNone() {
			set = g.throughTable(g.dir.page.Columns[at+1], set)
		}
	})
	switch {
	case err != nil || set.IsNone():
		return RowSet{}, err
	case set.IsAll():
		return AllRows, nil
	}
	return bitSet(set.Bits()), nil
}

// matchDurations returns those of the spans whose durations pass. One that ends before it starts has none. monotonic says
// that all durations beyond some pass, or all up to some.
func (g *group) matchDurations(ctx context.Context, among RowSet, monotonic bool, test func(int64) bool) (RowSet, error) {
	if among.classes != nil {
		if err := g.classes(ctx); err != nil {
			return RowSet{}, err
		}
	}
	rows, out := g.rows(among), block.NewBitmap(g.entry.spans)
	if monotonic {
		lengths, err := g.lengthsAtHand(ctx)
		if err != nil {
			return RowSet{}, err
		}
		if lengths != nil {
			verdicts, unknown := lengthVerdicts(test), block.NewBitmap(g.entry.spans)
			for row := rows.Next(0); row >= 0; row = rows.Next(row + 1) {
				switch verdicts[lengths[row]] {
				case lengthPasses:
					out.Set(row)
				case lengthUnknown:
					unknown.Set(row)
				}
			}
			rows, among = unknown, RowSet{bits: unknown}
		}
	}
	err := g.addDurations(ctx, out, rows, test)
	return bitSet(out), err
}

// addValues adds the values of an attribute in one scope, or of an intrinsic.
func (g *group) addValues(ctx context.Context, v *values, scope TagScope, key string) error {
	switch scope {
	case ScopeIntrinsic:
		return g.addIntrinsic(ctx, v, key)
	case ScopeResource:
		for _, r := range g.dir.resources {
			v.addResource(r, key)
		}
		return nil
	case ScopeInstrumentation:
		for _, s := range g.dir.scopes {
			v.addAll(s.Attributes, key)
		}
		return nil
	}
	place := 0
	for p, s := range placeScopes {
		if s == scope {
			place = p
		}
	}
	for c := range g.dir.columns {
		def := &g.dir.columns[c]
		if def.place != place || def.key != key || def.typ == TypeOpaque {
			continue
		}
		if err := g.addColumn(ctx, v, c); err != nil {
			return err
		}
	}
	return g.eachRest(ctx, place, func(_ int, a *Attribute) {
		if a.Key == key {
			v.add(a)
		}
	})
}

// addColumn adds what an attribute column has stored: each distinct value is among it.
func (g *group) addColumn(ctx context.Context, v *values, c int) error {
	def := &g.dir.columns[c]
	at := g.dir.pageOf[c]
	if def.typ.isArray() {
		at++
	}
	list := g.dir.page.Columns[at : at+1 : at+1]
	if def.except > 0 {
		list = append(list, g.dir.page.Columns[at+2])
	}
	a := Attribute{Type: def.typ}
	if def.typ.isArray() {
		a.Type = elementOf(def.typ)
	}
	for _, page := range list {
		if def.typ.isText() {
			if err := g.eachText(ctx, page, func(s string) bool {
				a.Str = s
				v.add(&a)
				return !v.full()
			}); err != nil {
				return err
			}
			continue
		}
		if err := g.load(ctx, []*column.Column{page}); err != nil {
			return err
		}
		s := stored{def: def, nums: g.r.Int64s(page)}
		if err := g.readerErr(); err != nil {
			return err
		}
		for i := range page.Rows {
			s.scalar(i, &a)
			v.add(&a)
		}
	}
	return nil
}

// eachText visits values of a text column until visit returns false; each distinct one at least once.
func (g *group) eachText(ctx context.Context, c *column.Column, visit func(string) bool) error {
	for c.Kind == column.Dict {
		c = c.Values
	}
	if err := g.load(ctx, []*column.Column{c}); err != nil {
		return err
	}
	var v block.Values
	g.r.Values(&v, c, column.All)
	if err := g.readerErr(); err != nil {
		return err
	}
	for i := range v.Len() {
		if !visit(view(v.At(i))) {
			return nil
		}
	}
	return nil
}

// addIntrinsic adds the values of an intrinsic.
func (g *group) addIntrinsic(ctx context.Context, v *values, key string) error {
	switch key {
	case intrinsicName:
		if !g.dir.classNames {
			return g.addTexts(ctx, v, fixName, true)
		}
		for _, name := range g.dir.names {
			v.addText(name)
		}
	case intrinsicStatusMessage:
		return g.addTexts(ctx, v, fixMessage, false)
	case intrinsicEventName:
		if g.entry.events > 0 {
			return g.addTexts(ctx, v, fixEventName, true)
		}
	case intrinsicStatus:
		for i := range g.dir.classes {
			v.addText(statusNames[g.dir.classes[i].status])
		}
	case intrinsicKind:
		for i := range g.dir.classes {
			v.addText(kindNames[g.dir.classes[i].kind])
		}
	case intrinsicScopeName, intrinsicScopeVersion:
		for _, s := range g.dir.scopes {
			text := s.Name
			if key == intrinsicScopeVersion {
				text = s.Version
			}
			if text != "" {
				v.addText(text)
			}
		}
	case intrinsicRootName, intrinsicRootService:
		return g.addRoots(ctx, v, key)
	}
	return nil
}

// addTexts adds the texts of a fixed column. Of a column that isn't stored all are empty.
func (g *group) addTexts(ctx context.Context, v *values, fix int, empty bool) error {
	at := g.dir.fixed[fix]
	if at < 0 {
		if empty {
			v.addText("")
		}
		return nil
	}
	return g.eachText(ctx, g.dir.page.Columns[at], func(s string) bool {
		if s != "" || empty {
			v.addText(s)
		}
		return !v.full()
	})
}

// addRoots adds the names or services of the spans that name their traces.
func (g *group) addRoots(ctx context.Context, v *values, key string) error {
	wanted := make([]int, g.entry.traces)
	for t := range wanted {
		wanted[t] = t
	}
	return g.build(ctx, wanted, &Needs{}, func(t *Trace) bool {
		v.addIntrinsics(t, key)
		return !v.full()
	})
}
