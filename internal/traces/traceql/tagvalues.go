package traceql

import (
	"context"
	"sort"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/traces"
)

// v1Intrinsics are the bare names that version 1 of the tag values API reads as intrinsics.
var v1Intrinsics = map[string]Intrinsic{
	"name": IntrinsicName, "rootName": IntrinsicRootName, "root.name": IntrinsicRootName,
	"rootServiceName": IntrinsicRootService, "root.service.name": IntrinsicRootService,
}

// tagValues lists distinct values of one attribute or intrinsic. Stored attributes and names are
// asked of the source, which has indices; the rest is read from the traces.
func (e *Engine) tagValues(ctx context.Context, tenant string, q *traces.Query, src traces.Source) (*traces.Result, error) {
	a, err := valuesAttribute(q)
	if err != nil {
		return nil, err
	}
	limit := e.valuesLimit(q)
	result := &traces.Result{}
	values := newValueSet(limit)
	if scope, name, ok := knownToSource(a); ok && q.Expr == "" {
		found, err := src.TagValues(ctx, tenant, scope, name, q.Start, q.End, limit)
		if err != nil {
			return nil, err
		}
		for i := range found {
			values.add(sourceValue(a, &found[i]))
		}
		result.Values = values.attributes()
		return result, nil
	}
	nodes, asked := []evalNode{compileAttribute(a)}, []*Attribute{a}
	if a.Intrinsic == IntrinsicNone && a.Scope == ScopeNone && !a.Parent { // every scope, not the first that has it
		nodes = nil
		for _, s := range tagScopes {
			asked = append(asked, &Attribute{Scope: s, Name: a.Name})
			nodes = append(nodes, compileAttribute(asked[len(asked)-1]))
		}
	}
	err = e.eachMatch(ctx, tenant, q, src, asked, &result.Inspected, func(env *spanEnv) bool {
		for _, n := range nodes {
			values.add(n.eval(env))
		}
		return len(values.list) < limit
	})
	if err != nil {
		return nil, err
	}
	result.Values = values.attributes()
	return result, nil
}

// valuesLimit returns how many values of a tag are answered.
func (e *Engine) valuesLimit(q *traces.Query) int {
	if q.Limit <= 0 || q.Limit > e.opts.MaxTagValues {
		return e.opts.MaxTagValues
	}
	return q.Limit
}

// knownToSource returns how to ask a source for the values of a: stored attributes, names, status
// and kind. (Of the other intrinsics a source doesn't list the empty ones.)
func knownToSource(a *Attribute) (scope traces.TagScope, name string, ok bool) {
	if a.Parent {
		return "", "", false
	}
	switch a.Intrinsic {
	case IntrinsicNone:
		return a.Scope.tagScope(), a.Name, true
	case IntrinsicName, IntrinsicStatus, IntrinsicKind:
		return "intrinsic", intrinsics[a.Intrinsic].name, true
	}
	return "", "", false
}

// sourceValue converts a value from a source, which has status and kind by their names.
func sourceValue(a *Attribute, v *traces.Attribute) Value {
	if a.Intrinsic == IntrinsicStatus || a.Intrinsic == IntrinsicKind {
		if lit, ok := wordLiterals[v.Str]; ok && lit.Kind == intrinsics[a.Intrinsic].kind {
			return lit
		}
	}
	return fromAttribute(v)
}

func valuesAttribute(q *traces.Query) (*Attribute, error) {
	if q.TagV1 {
		if i, ok := v1Intrinsics[q.Tag]; ok {
			return &Attribute{Intrinsic: i}, nil
		}
		return &Attribute{Name: q.Tag}, nil
	}
	a, err := ParseAttribute(q.Tag)
	if err != nil {
		return nil, fault.Errorf(fault.Invalid, "please provide a valid tagName: %w", err)
	}
	return a, nil
}

// valueSet gathers distinct values; elements of arrays one by one.
type valueSet struct {
	limit int
	seen  map[identity]bool
	list  []Value
}

func newValueSet(limit int) *valueSet { return &valueSet{limit: limit, seen: map[identity]bool{}} }

func (c *valueSet) add(v Value) {
	switch {
	case v.Kind == KindNil:
	case v.Kind == KindArray:
		for _, x := range v.arr {
			c.add(x)
		}
	case len(c.list) < c.limit && !c.seen[v.identity()]:
		c.seen[v.identity()] = true
		c.list = append(c.list, v)
	}
}

// attributes returns the values in order of type, then value. Keywords and durations are strings
// whose Key says so ("keyword", "duration"), since the model has no types for them.
func (c *valueSet) attributes() []traces.Attribute {
	sort.Slice(c.list, func(i, j int) bool {
		a, b := c.list[i], c.list[j]
		if a.Kind != b.Kind {
			return a.Kind < b.Kind
		}
		return compare("<", a, b)
	})
	out := make([]traces.Attribute, len(c.list))
	for i, v := range c.list {
		key := ""
		switch v.Kind {
		case KindStatus, KindSpanKind:
			key = "keyword"
		case KindDuration:
			key = "duration"
		}
		out[i] = v.attribute(key)
	}
	return out
}
