package traceql

import "github.com/hune-io/hune/internal/traces"

// structural joins two sets of spans by their places in the tree: one pass over the depths of the traces that
// have spans of both.
func (p *pusher) structural(s *structuralStage, in bound) (bound, error) {
	l, r, err := p.both(s.l, s.r, in)
	if err != nil || r.rows.IsNone() || l.rows.IsNone() && !s.not {
		return nothing, err
	}
	exact := l.exact && r.exact && !p.grouped
	if s.not && !exact || p.g.Twins() {
		return p.loosely(s, l, r)
	}
	var list []int
	if s.not {
		list, err = p.g.TracesOf(p.ctx, r.rows)
	} else {
		list, err = p.g.TracesOfBoth(p.ctx, l.rows, r.rows)
	}
	if err != nil || len(list) == 0 {
		return nothing, err
	}
	j, err := p.newJoin(s)
	if err != nil {
		return nothing, err
	}
	left, err := p.g.Members(p.ctx, l.rows)
	if err != nil {
		return nothing, err
	}
	right, err := p.g.Members(p.ctx, r.rows)
	if err != nil {
		return nothing, err
	}
	out := newRows(p.g)
	for _, t := range list {
		lo, hi := j.first[t], j.first[t+1]
		j.open(lo, hi, j.placed(t))
		left.Mark(j.left, lo)
		right.Mark(j.right, lo)
		j.run()
		for i, kept := range j.kept {
			if kept {
				out.Set(lo + i)
			}
		}
	}
	return bound{traces.BitSet(out), exact}, nil
}

// loosely is structural where more can't be said: what a join keeps is of the right side, and of the left too
// where it is a union.
func (p *pusher) loosely(s *structuralStage, l, r bound) (bound, error) {
	if !s.union {
		return bound{rows: r.rows}, nil
	}
	rows, err := p.g.Or(p.ctx, l.rows, r.rows)
	return bound{rows: rows}, err
}

// join relates the spans of one trace after another. Spans are numbered from its first row on.
type join struct {
	relation   string
	not, union bool
	first      []int
	depths     *traces.Codes
	placed     func(int) int

	n           int     // spans that have a place
	parent      []int32 // of these, noParent for roots
	left, right []bool
	kept        []bool
	hit         []bool
	under       []int32
	stack       []int32 // by depth
}

func (p *pusher) newJoin(s *structuralStage) (*join, error) {
	j := &join{relation: s.relation, not: s.not, union: s.union}
	var err error
	if j.first, err = p.g.First(p.ctx); err != nil {
		return nil, err
	}
	j.depths, j.placed, err = p.g.Depths(p.ctx)
	return j, err
}

// open begins with the trace of rows lo to hi, of which placed have a place.
func (j *join) open(lo, hi, placed int) {
	n := hi - lo
	j.n = placed
	j.parent, j.under = grown(j.parent, n), grown(j.under, n+1)
	j.left, j.right, j.kept, j.hit = grown(j.left, n), grown(j.right, n), grown(j.kept, n), grown(j.hit, n)
	if depths := j.depths.Bytes(); depths != nil {
		for i, depth := range depths[lo : lo+placed] { // Fast path: most depths are below 256.
			j.place(i, uint32(depth))
		}
		return
	}
	for i := range placed {
		j.place(i, j.depths.At(lo+i))
	}
}

// place sets the parent of a span of that depth, of which those before it are known.
func (j *join) place(i int, depth uint32) {
	j.parent[i] = noParent
	if depth > 0 {
		j.parent[i] = j.stack[depth-1]
	}
	j.stack = append(j.stack[:depth], int32(i))
}

func grown[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, 2*n)
	}
	return s[:n]
}

// run sets kept.
func (j *join) run() {
	j.related(j.relation, j.left)
	for i, right := range j.right {
		j.kept[i] = right && (i < j.n && j.hit[i]) != j.not
	}
	if !j.union {
		return
	}
	kept := append([]bool(nil), j.kept...)
	j.related(inverse[j.relation], kept)
	for i, left := range j.left {
		j.kept[i] = kept[i] || left && i < j.n && j.hit[i]
	}
}

// related sets hit: which spans are in the relation to one of from.
func (j *join) related(relation string, from []bool) {
	clear(j.hit)
	switch relation {
	case ">":
		for i, p := range j.parent[:j.n] {
			j.hit[i] = p >= 0 && from[p]
		}
	case ">>":
		for i, p := range j.parent[:j.n] {
			j.hit[i] = p >= 0 && (from[p] || j.hit[p])
		}
	case "<":
		for i, p := range j.parent[:j.n] {
			if p >= 0 && from[i] {
				j.hit[p] = true
			}
		}
	case "<<":
		for i := j.n - 1; i >= 0; i-- {
			if p := j.parent[i]; p >= 0 && (from[i] || j.hit[i]) {
				j.hit[p] = true
			}
		}
	case "~":
		j.siblings(from)
	}
}

func (j *join) siblings(from []bool) {
	clear(j.under)
	slot := func(i int) int {
		if p := j.parent[i]; p >= 0 {
			return int(p)
		}
		return len(j.under) - 1 // roots
	}
	for i := range j.n {
		if from[i] {
			j.under[slot(i)]++
		}
	}
	for i := range j.n {
		n := j.under[slot(i)]
		if from[i] {
			n--
		}
		j.hit[i] = n > 0
	}
}

// nestedSet compares the numbers of nested sets, which follow from rows and depths: the i-th span of a trace has
// left 2i - depth + 1, and right left + 2·(spans below it) + 1.
func (p *pusher) nestedSet(n Intrinsic, v valueTest) (bound, error) {
	if p.g.Twins() {
		return anything, nil
	}
	first, err := p.g.First(p.ctx)
	if err != nil {
		return nothing, err
	}
	depths, placed, err := p.g.Depths(p.ctx)
	if err != nil {
		return nothing, err
	}
	out := newRows(p.g)
	var numbers []int64
	var stack []int
	for t := range p.g.Traces() {
		lo, hi := first[t], first[t+1]
		numbers = grown(numbers, hi-lo)
		clear(numbers)
		stack = stack[:0]
		end := placed(t)
		for i := range end {
			depth := depths.At(lo + i)
			left := 2*int64(i) - int64(depth) + 1
			switch n {
			case IntrinsicNestedSetLeft:
				numbers[i] = left
			case IntrinsicNestedSetParent:
				numbers[i] = -1
				if depth > 0 {
					numbers[i] = 2*int64(stack[depth-1]) - int64(depth) + 2
				}
			case IntrinsicNestedSetRight:
				for len(stack) > int(depth) {
					closeSet(numbers, &stack, i)
				}
			}
			stack = append(stack[:depth], i)
		}
		for n == IntrinsicNestedSetRight && len(stack) > 0 {
			closeSet(numbers, &stack, end)
		}
		for i, x := range numbers {
			if v.pass(intValue(x)) {
				out.Set(lo + i)
			}
		}
	}
	return bound{traces.BitSet(out), true}, nil
}

// closeSet gives the last span of the stack its right, given the number of the span after all below it.
func closeSet(numbers []int64, stack *[]int, next int) {
	depth := len(*stack) - 1
	i := (*stack)[depth]
	*stack = (*stack)[:depth]
	left := 2*int64(i) - int64(depth) + 1
	numbers[i] = left + 2*int64(next-i) - 1
}
