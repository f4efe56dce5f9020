package traceql

import (
	"errors"
	"slices"

	"github.com/hune-io/hune/internal/traces"
)

// spanSet is spans of one trace that belong together: indices into traceView.spans, ascending.
type spanSet struct {
	spans []int
	attrs []traces.Attribute // what stages said about the set: by(…), count(), …
}

// program is a compiled query. It is read-only and may run for several traces at once, each with
// its own spanEnv.
type program struct {
	query  *Query
	opened openedKeys
	stages []execStage
	need   need
}

func compile(q *Query) (*program, error) {
	p := &program{query: q, opened: openedBy(q)}
	var err error
	if p.stages, err = compilePipeline(q.Pipeline, p.opened); err != nil {
		return nil, err
	}
	p.need = needOfPipeline(q.Pipeline, p.opened)
	p.need.needs, p.need.groups = needsOf(q), &filterGroups{p.stages}
	return p, nil
}

// run returns the span sets of one trace that are left at the end, none if it doesn't match.
func (p *program) run(env *spanEnv, v *traceView) ([]spanSet, error) {
	env.view, env.err = v, nil
	sets := runStages(p.stages, env, []spanSet{{spans: v.ordinal}})
	return sets, env.err
}

func runStages(stages []execStage, env *spanEnv, sets []spanSet) []spanSet {
	for _, s := range stages {
		if len(sets) == 0 || env.err != nil {
			return nil
		}
		sets = s.run(env, sets)
	}
	return sets
}

// execStage maps span sets to span sets. It must not change the spans of its input.
type execStage interface {
	run(env *spanEnv, in []spanSet) []spanSet
}

func compilePipeline(p Pipeline, opened openedKeys) ([]execStage, error) {
	var out []execStage
	for _, s := range p {
		x, err := compileStage(s, opened)
		if err != nil {
			return nil, err
		}
		if x != nil {
			out = append(out, x)
		}
	}
	return out, nil
}

func compileStage(s Stage, opened openedKeys) (execStage, error) {
	switch s := s.(type) {
	case *Filter:
		if s.Expr == nil {
			return allStage{}, nil
		}
		n, err := compileExpr(s.Expr, opened)
		return filterStage{n}, err
	case *SetOp:
		l, err := compileStage(s.L, opened)
		if err != nil {
			return nil, err
		}
		r, err := compileStage(s.R, opened)
		if err != nil {
			return nil, err
		}
		if !structural(s.Op) {
			return &unionStage{s.Op == "&&", l, r}, nil
		}
		return newStructuralStage(s.Op, l, r), nil
	case *Wrapped:
		stages, err := compilePipeline(s.Pipeline, opened)
		return subStage(stages), err
	case *GroupBy:
		n, err := compileExpr(s.Expr, opened)
		return &groupStage{n, s.String()}, err
	case *Coalesce:
		return coalesceStage{}, nil
	case *Select:
		return allStage{}, nil // only the answer changes, see shown
	case *ScalarFilter:
		return compileScalarFilter(s, opened)
	}
	return nil, errors.New("unknown stage")
}

// allStage is { }.
type allStage struct{}

func (allStage) run(_ *spanEnv, in []spanSet) []spanSet { return in }

type subStage []execStage

func (s subStage) run(env *spanEnv, in []spanSet) []spanSet { return runStages(s, env, in) }

type filterStage struct{ cond evalNode }

func (f filterStage) run(env *spanEnv, in []spanSet) []spanSet {
	var out []spanSet
	for _, set := range in {
		var kept []int
		for _, i := range set.spans {
			env.set(env.view, i)
			if f.cond.eval(env).isTrue() {
				kept = append(kept, i)
			}
		}
		if len(kept) > 0 {
			out = append(out, spanSet{kept, set.attrs})
		}
	}
	return out
}

// flatten returns the distinct spans of all sets, ascending.
func flatten(sets []spanSet) []int {
	switch len(sets) {
	case 0:
		return nil
	case 1:
		return sets[0].spans
	}
	var all []int
	for _, s := range sets {
		all = append(all, s.spans...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// unionStage is && and ||: the spans of both sides in one set.
type unionStage struct {
	both bool
	l, r execStage
}

func (u *unionStage) run(env *spanEnv, in []spanSet) []spanSet {
	var out []spanSet
	for i := range in {
		l := flatten(u.l.run(env, in[i:i+1]))
		if u.both && len(l) == 0 {
			continue
		}
		r := flatten(u.r.run(env, in[i:i+1]))
		if u.both && len(r) == 0 || len(l)+len(r) == 0 {
			continue
		}
		out = append(out, spanSet{spans: flatten([]spanSet{{spans: l}, {spans: r}})})
	}
	return out
}

type coalesceStage struct{}

func (coalesceStage) run(_ *spanEnv, in []spanSet) []spanSet {
	return []spanSet{{spans: flatten(in)}}
}

// groupStage is by(…): a set for each value, in the order in which the values occur.
type groupStage struct {
	expr evalNode
	name string
}

func (g *groupStage) run(env *spanEnv, in []spanSet) []spanSet {
	var out []spanSet
	for _, set := range in {
		groups := map[identity]int{}
		for _, i := range set.spans {
			env.set(env.view, i)
			v := g.expr.eval(env).single()
			at, ok := groups[v.identity()]
			if !ok {
				at = len(out)
				groups[v.identity()] = at
				attrs := append(set.attrs[:len(set.attrs):len(set.attrs)], v.attribute(g.name))
				out = append(out, spanSet{attrs: attrs})
			}
			out[at].spans = append(out[at].spans, i)
		}
	}
	return out
}
