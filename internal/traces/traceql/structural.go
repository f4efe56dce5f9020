package traceql

import "strings"

// structuralStage relates two sets of spans by their places in the tree and keeps spans of the
// right side, with & also those of the left that took part, with ! those of the right that are
// in no relation. Spans without a place are in no relation.
type structuralStage struct {
	relation   string // > >> < << ~, as seen from the left
	not, union bool
	l, r       execStage
}

func newStructuralStage(op string, l, r execStage) *structuralStage {
	return &structuralStage{strings.TrimLeft(op, "!&"), op[0] == '!', op[0] == '&', l, r}
}

func (s *structuralStage) run(env *spanEnv, in []spanSet) []spanSet {
	var out []spanSet
	for i := range in {
		right := flatten(s.r.run(env, in[i:i+1]))
		if len(right) == 0 {
			continue
		}
		left := flatten(s.l.run(env, in[i:i+1]))
		if len(left) == 0 && !s.not {
			continue
		}
		if spans := s.join(env.view.getTree(), left, right); len(spans) > 0 {
			out = append(out, spanSet{spans: spans})
		}
	}
	return out
}

func (s *structuralStage) join(t *tree, left, right []int) []int {
	var kept []int
	matches := related(t, s.relation, left)
	for _, i := range right {
		if matches(i) != s.not {
			kept = append(kept, i)
		}
	}
	if !s.union {
		return kept
	}
	var took []int
	matches = related(t, inverse[s.relation], kept)
	for _, i := range left {
		if matches(i) {
			took = append(took, i)
		}
	}
	return flatten([]spanSet{{spans: took}, {spans: kept}})
}

var inverse = map[string]string{">": "<", "<": ">", ">>": "<<", "<<": ">>", "~": "~"}

// related returns a test: is a span in the relation to some span of from? One pass over the tree
// at most, so a join is linear.
func related(t *tree, relation string, from []int) func(i int) bool {
	in := make([]bool, len(t.left))
	for _, i := range from {
		in[i] = t.parent[i] != noPlace
	}
	hit := make([]bool, len(t.left))
	switch relation {
	case ">": // i is a child of one
		for _, i := range t.order {
			p := t.parent[i]
			hit[i] = p >= 0 && in[p]
		}
	case ">>": // i is below one
		for _, i := range t.order {
			p := t.parent[i]
			hit[i] = p >= 0 && (in[p] || hit[p])
		}
	case "<": // i is the parent of one
		for _, i := range t.order {
			if p := t.parent[i]; p >= 0 && in[i] {
				hit[p] = true
			}
		}
	case "<<": // i is above one
		for k := len(t.order) - 1; k >= 0; k-- {
			i := t.order[k]
			if p := t.parent[i]; p >= 0 && (in[i] || hit[i]) {
				hit[p] = true
			}
		}
	case "~":
		return siblings(t, in)
	}
	return func(i int) bool { return hit[i] }
}

// siblings: another child of the same parent; roots are siblings of each other.
func siblings(t *tree, in []bool) func(i int) bool {
	under := make([]int, len(t.left)+1) // the last counts roots
	slot := func(i int32) int32 {
		if t.parent[i] == noParent {
			return int32(len(t.left))
		}
		return t.parent[i]
	}
	for _, i := range t.order {
		if in[i] {
			under[slot(i)]++
		}
	}
	return func(i int) bool {
		if t.parent[i] == noPlace {
			return false
		}
		n := under[slot(int32(i))]
		if in[i] {
			n--
		}
		return n > 0
	}
}
