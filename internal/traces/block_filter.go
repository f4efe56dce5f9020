package traces

import (
	"context"
	"slices"
)

// filter clears the traces in wanted that can't pass the conditions and returns how many are left.
// Only the columns that conditions name are read, and a value that isn't in a column's dictionary
// costs no look at the rows.
func (g *group) filter(ctx context.Context, cs *conditions, wanted []bool) (int, error) {
	left := slices.Clone(wanted)
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
	hits := make([]bool, g.dir.traces)
	if c.pass {
		for t := range hits {
			hits[t] = true
		}
		return hits, nil
	}
	if c.Scope == string(ScopeIntrinsic) {
		return hits, g.intrinsicHits(ctx, c, hits)
	}
	if c.on(ScopeResource) || c.on(ScopeInstrumentation) {
		if err := g.sharedHits(ctx, c, hits); err != nil {
			return nil, err
		}
	}
	for place, scope := range placeScopes {
		if !c.on(scope) {
			continue
		}
		for i, def := range g.dir.columns {
			if def.place != place || def.key != c.Key {
				continue
			}
			if err := g.columnHits(ctx, c, i, hits); err != nil {
				return nil, err
			}
		}
		if len(g.extent(colRestSpan+place)) > 0 {
			if err := g.restHits(ctx, c, place, hits); err != nil {
				return nil, err
			}
		}
	}
	return hits, nil
}

// intrinsicHits marks the traces with a span whose intrinsic passes.
func (g *group) intrinsicHits(ctx context.Context, c *condition, hits []bool) error {
	n := g.dir.spans
	pass := make([]bool, n)
	switch c.Key {
	case "name":
		if err := g.fetch(ctx, colName); err != nil {
			return err
		}
		names, err := g.texts(colName, n)
		if err != nil {
			return err
		}
		if names == nil {
			for i := range pass {
				pass[i] = c.text("")
			}
		} else if pass = names.matches(n, c.text); pass == nil {
			return nil
		}
	default:
		slot := map[string]int{"status": colStatus, "kind": colKind, "duration": colDuration}[c.Key]
		if err := g.fetch(ctx, slot); err != nil {
			return err
		}
		v, err := g.ints(slot, n)
		if err != nil {
			return err
		}
		for i := range pass {
			pass[i] = c.number64(v[i])
		}
	}
	g.mark(onSpan, pass, hits)
	return nil
}

// number64 tests a stored status, kind or duration.
func (c *condition) number64(v int64) bool {
	switch c.Key {
	case "status":
		return c.enum(v, statusNames[:])
	case "kind":
		return c.enum(v, kindNames[:])
	}
	return c.number(&Attribute{Type: TypeInt, Int: max(v, 0)})
}

// mark marks the traces of the rows that pass.
func (g *group) mark(place int, pass, hits []bool) {
	owner := g.owner(place)
	for i, ok := range pass {
		if ok {
			hits[owner[i]] = true
		}
	}
}

// owner returns the trace of every span, event or link. The spine, and for children the layout, must
// have been read.
func (g *group) owner(place int) []uint32 {
	if g.owners[place] != nil {
		return g.owners[place]
	}
	var out []uint32
	for t := range g.dir.traces {
		for row := g.traceRows[t]; row < g.traceRows[t+1]; row++ {
			n := int64(1)
			if place != onSpan {
				n = g.counts[place-1][row]
			}
			for range n {
				out = append(out, uint32(t))
			}
		}
	}
	g.owners[place] = out
	return out
}

func (g *group) sharedHits(ctx context.Context, c *condition, hits []bool) error {
	resources, scopes, err := g.shared(ctx)
	if err != nil {
		return err
	}
	pass := make([]bool, len(resources))
	for i, r := range resources {
		pass[i] = c.resource(r)
	}
	if err := g.tableHits(ctx, colResource, pass, hits); err != nil {
		return err
	}
	pass = make([]bool, len(scopes))
	for i, s := range scopes {
		pass[i] = c.on(ScopeInstrumentation) && c.any(s.Attributes)
	}
	return g.tableHits(ctx, colScope, pass, hits)
}

// tableHits marks the traces of the spans that point to an entry that passes.
func (g *group) tableHits(ctx context.Context, slot int, pass, hits []bool) error {
	if !slices.Contains(pass, true) {
		return nil
	}
	if err := g.fetch(ctx, slot); err != nil {
		return err
	}
	rows, err := g.limited(slot, g.dir.spans, len(pass))
	if err != nil {
		return err
	}
	owner := g.owner(onSpan)
	for row, i := range rows {
		if pass[i] {
			hits[owner[row]] = true
		}
	}
	return nil
}

func (g *group) columnHits(ctx context.Context, c *condition, i int, hits []bool) error {
	if err := g.fetch(ctx, fixedColumns+i); err != nil {
		return err
	}
	column, err := g.column(i)
	if err != nil {
		return err
	}
	// Fast path: no value passes, the rows don't matter.
	pass := column.matches(c)
	if pass == nil {
		return nil
	}
	if err := g.layout(ctx); err != nil {
		return err
	}
	uses := make([]int, len(g.shapes)) // of the column, by shape
	for s, columns := range g.shapes {
		for _, c := range columns {
			if c == uint32(i+1) {
				uses[s]++
			}
		}
	}
	owner, next := g.owner(column.place), 0
	for row, s := range g.shape[column.place] {
		for range uses[s] {
			if next < len(pass) && pass[next] {
				hits[owner[row]] = true
			}
			next++
		}
	}
	return nil
}

// restHits looks at the attributes that have no column.
func (g *group) restHits(ctx context.Context, c *condition, place int, hits []bool) error {
	if err := g.fetch(ctx, colRestSpan+place); err != nil {
		return err
	}
	if err := g.layout(ctx); err != nil {
		return err
	}
	rest, err := g.restValues(place)
	if err != nil {
		return err
	}
	owner, next := g.owner(place), 0
	for row, s := range g.shape[place] {
		for _, column := range g.shapes[s] {
			if column != 0 {
				continue
			}
			if a := &rest[next]; a.Key == c.Key && c.value(a) {
				hits[owner[row]] = true
			}
			next++
		}
	}
	return nil
}

// addValues adds the values of an attribute in one scope, or of an intrinsic.
func (g *group) addValues(ctx context.Context, v *values, scope TagScope, key string) error {
	switch scope {
	case ScopeIntrinsic:
		return g.addIntrinsic(ctx, v, key)
	case ScopeResource, ScopeInstrumentation:
		resources, scopes, err := g.shared(ctx)
		if err != nil {
			return err
		}
		if scope == ScopeResource {
			for _, r := range resources {
				v.addAll(r.Attributes, key)
			}
			return nil
		}
		for _, s := range scopes {
			v.addAll(s.Attributes, key)
		}
		return nil
	}
	place := slices.Index(placeScopes[:], scope)
	for i, def := range g.dir.columns {
		if def.place != place || def.key != key {
			continue
		}
		if err := g.fetch(ctx, fixedColumns+i); err != nil {
			return err
		}
		column, err := g.column(i)
		if err != nil {
			return err
		}
		column.addTo(v)
	}
	if len(g.extent(colRestSpan+place)) == 0 {
		return nil
	}
	if err := g.fetch(ctx, colRestSpan+place); err != nil {
		return err
	}
	if err := g.layout(ctx); err != nil {
		return err
	}
	rest, err := g.restValues(place)
	v.addAll(rest, key)
	return err
}

// addIntrinsic adds the values of an intrinsic.
func (g *group) addIntrinsic(ctx context.Context, v *values, key string) error {
	switch key {
	case intrinsicName:
		return g.addTexts(ctx, v, colName, g.dir.spans, true)
	case intrinsicStatusMessage:
		return g.addTexts(ctx, v, colMessage, g.dir.spans, false)
	case intrinsicEventName:
		return g.addTexts(ctx, v, colEventName, g.dir.events, true)
	case intrinsicStatus:
		return g.addEnum(ctx, v, colStatus, statusNames[:])
	case intrinsicKind:
		return g.addEnum(ctx, v, colKind, kindNames[:])
	case intrinsicScopeName, intrinsicScopeVersion:
		_, scopes, err := g.shared(ctx)
		for _, s := range scopes {
			text := s.Name
			if key == intrinsicScopeVersion {
				text = s.Version
			}
			if text != "" {
				v.addText(text)
			}
		}
		return err
	case intrinsicRootName, intrinsicRootService:
		return g.build(ctx, func(int) bool { return true }, func(t *Trace) bool {
			v.addIntrinsics(t, key)
			return !v.full()
		})
	}
	return nil
}

func (g *group) addTexts(ctx context.Context, v *values, slot, n int, empty bool) error {
	if err := g.fetch(ctx, slot); err != nil {
		return err
	}
	t, err := g.texts(slot, n)
	if err != nil {
		return err
	}
	if t == nil {
		if empty && n > 0 {
			v.addText("")
		}
		return nil
	}
	t.each(func(s string) bool {
		if s != "" || empty {
			v.addText(s)
		}
		return !v.full()
	})
	return nil
}

func (g *group) addEnum(ctx context.Context, v *values, slot int, names []string) error {
	if err := g.fetch(ctx, slot); err != nil {
		return err
	}
	column, err := g.limited(slot, g.dir.spans, len(names))
	if err != nil {
		return err
	}
	seen := make([]bool, len(names))
	for _, x := range column {
		if !seen[x] {
			seen[x] = true
			v.addText(names[x])
		}
	}
	return nil
}
