package traces

import (
	"context"
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// This file matches what stands elsewhere than in the columns of spans: resources, scopes, events, links, and
// attributes without a column.

// matchResources returns the spans whose resource passes.
func (g *group) matchResources(ctx context.Context, test func(*Resource) bool) (RowSet, error) {
	passes := make([]bool, len(g.dir.resources))
	for i, r := range g.dir.resources {
		passes[i] = test(r)
	}
	service := make([]bool, len(g.dir.services))
	mixed := false
	for s, list := range g.dir.ofService {
		for i, r := range list {
			mixed = mixed || i > 0 && passes[r] != service[s]
			service[s] = passes[r]
		}
	}
	if !mixed {
		out := make([]bool, len(g.dir.classes))
		for i := range out {
			out[i] = service[g.dir.classes[i].service]
		}
		return classSet(out), nil
	}
	if err := g.classes(ctx); err != nil {
		return RowSet{}, err
	}
	ranks, err := g.resourceRanks(ctx)
	if err != nil {
		return RowSet{}, err
	}
	bits := block.NewBitmap(g.entry.spans)
	for row, class := range g.classList() {
		list := g.dir.ofService[g.dir.classes[class].service]
		if rank := ranks[row]; uint64(rank) >= uint64(len(list)) {
			return RowSet{}, g.corrupt("resources", errStamp)
		} else if passes[list[rank]] {
			bits.Set(row)
		}
	}
	return bitSet(bits), nil
}

func (g *group) resourceRanks(ctx context.Context) ([]int64, error) {
	if err := g.load(ctx, g.fixed(fixResource)); err != nil {
		return nil, err
	}
	ranks := g.ints(fixResource, g.entry.spans)
	return ranks, g.readerErr()
}

func (g *group) readerErr() error {
	if err := g.r.Err(); err != nil {
		return g.corrupt("columns", err)
	}
	return nil
}

// matchScopes returns the spans whose instrumentation scope passes.
func (g *group) matchScopes(ctx context.Context, test func(*Scope) bool) (RowSet, error) {
	passes := make([]bool, len(g.dir.scopes))
	for i, s := range g.dir.scopes {
		passes[i] = test(s)
	}
	if g.dir.classScopes {
		out := make([]bool, len(g.dir.classes))
		for i := range out {
			out[i] = passes[g.dir.classes[i].scope]
		}
		return classSet(out), nil
	}
	if err := g.load(ctx, g.fixed(fixScope)); err != nil {
		return RowSet{}, err
	}
	if !g.inRange(fixScope, len(passes)) {
		return RowSet{}, g.corrupt("scopes", errStamp)
	}
	bits := block.NewBitmap(g.entry.spans)
	for row, s := range g.ints(fixScope, g.entry.spans) {
		if passes[s] {
			bits.Set(row)
		}
	}
	return bitSet(bits), g.readerErr()
}

// matchChildren returns the spans with an event or link that has a value of attribute column c that passes.
func (g *group) matchChildren(ctx context.Context, c int, v *ValueTest) (RowSet, error) {
	def := &g.dir.columns[c]
	if !v.asks(def.typ) {
		return RowSet{}, nil
	}
	set, err := g.matchColumn(ctx, c, v)
	if err != nil || set.IsNone() {
		return RowSet{}, err
	}
	kids, err := g.childTable(ctx, def.place)
	if err != nil {
		return RowSet{}, err
	}
	uses, next := g.uses(c), 0
	bits := block.NewBitmap(g.entry.spans)
	for i, s := range kids.shape {
		for range uses[s] {
			if next < def.values && set.Has(next) {
				bits.Set(int(kids.owner[i]))
			}
			next++
		}
	}
	if next != def.values {
		return RowSet{}, g.corrupt("shapes", errValues)
	}
	return bitSet(bits), nil
}

// childTable says of each event or link which shape it has, and which span has it.
type childTable struct {
	shape []int64
	owner []uint32
}

func (g *group) childTable(ctx context.Context, place int) (t childTable, err error) {
	n, fixCount, fixShape := g.entry.events, fixEvents, fixEventShape
	if place == onLink {
		n, fixCount, fixShape = g.entry.links, fixLinks, fixLinkShape
	}
	if err := g.load(ctx, g.fixed(fixCount, fixShape)); err != nil {
		return t, err
	}
	counts, err := g.childCounts(fixCount, n)
	if err != nil {
		return t, err
	}
	if !g.inRange(fixShape, len(g.dir.shapes)) {
		return t, g.corrupt("shapes", errStamp)
	}
	t.shape, t.owner = g.ints(fixShape, n), make([]uint32, 0, n)
	for row, count := range counts {
		for range count {
			t.owner = append(t.owner, uint32(row))
		}
	}
	return t, g.readerErr()
}

// matchRest looks at the attributes that have no column.
func (g *group) matchRest(ctx context.Context, place int, key string, v *ValueTest) (RowSet, error) {
	fix := fixRestSpan + place
	if g.dir.fixed[fix] < 0 {
		return RowSet{}, nil
	}
	bits := block.NewBitmap(g.entry.spans)
	err := g.eachRest(ctx, place, func(row int, a *Attribute) {
		if a.Key == key && v.attribute(a) {
			bits.Set(row)
		}
	})
	return bitSet(bits), err
}

// eachRest visits the attributes of a place that have no column, each with the row of its span.
func (g *group) eachRest(ctx context.Context, place int, visit func(row int, a *Attribute)) error {
	fix := fixRestSpan + place
	if g.dir.fixed[fix] < 0 {
		return nil
	}
	if err := g.load(ctx, g.fixed(fix)); err != nil {
		return err
	}
	if err := g.classes(ctx); err != nil {
		return err
	}
	texts, err := g.fixedTexts(fix, true)
	if err != nil {
		return err
	}
	next := 0
	one := func(row int, shape []uint32) error {
		if !slices.Contains(shape, 0) {
			return nil
		}
		if next >= texts.len() {
			return g.corrupt("rest", errValues)
		}
		d := block.NewDecoder([]byte(texts.at(next)))
		next++
		for d.Len() > 0 {
			var a Attribute
			if readRest(d, &a); d.Err() != nil {
				return g.corrupt("rest", d.Err())
			}
			visit(row, &a)
		}
		return nil
	}
	if place == onSpan {
		for row, class := range g.classList() {
			if err := one(row, g.dir.shapes[g.dir.classes[class].shape]); err != nil {
				return err
			}
		}
		return nil
	}
	kids, err := g.childTable(ctx, place)
	if err != nil {
		return err
	}
	for i, s := range kids.shape {
		if err := one(int(kids.owner[i]), g.dir.shapes[s]); err != nil {
			return err
		}
	}
	return nil
}
