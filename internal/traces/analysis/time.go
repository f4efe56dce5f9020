package analysis

import (
	"cmp"
	"slices"

	"github.com/hune-io/hune/internal/traces"
)

// Segment is a stretch of time in which a trace waited for one span itself, not for its children.
type Segment struct {
	Span       *traces.Span
	Start, End uint64 // Unix nanoseconds
}

// CriticalPath returns the segments that a trace's length is made of, from the first to the last:
// they don't overlap and together fill the main root. A span is waited for until it ends; before
// that, for the child that ended last; before the start of that child, for the child that had
// ended by then, and so on. Children that go on after their parent count until its end.
func CriticalPath(t *traces.Trace) []Segment {
	tr := newTree(t)
	root := tr.main()
	if root < 0 {
		return nil
	}
	// Backwards in time, deepest first, without recursion: a trace may be one long chain.
	type visit struct {
		span, next int    // next child to look at, of those by end
		cursor     uint64 // what lies after it is told
		byEnd      []int
	}
	var out []Segment
	enter := func(i int, until uint64) visit {
		kids := slices.Clone(tr.children[i])
		slices.SortStableFunc(kids, func(a, b int) int { return cmp.Compare(end(tr.spans[b]), end(tr.spans[a])) })
		return visit{i, 0, min(until, end(tr.spans[i])), kids}
	}
	add := func(s *traces.Span, from, to uint64) {
		if from < to {
			out = append(out, Segment{s, from, to})
		}
	}
	stack := []visit{enter(root, end(tr.spans[root]))}
	for len(stack) > 0 {
		v := &stack[len(stack)-1]
		s := tr.spans[v.span]
		if v.next == len(v.byEnd) || v.cursor <= s.Start {
			add(s, s.Start, v.cursor)
			stack = stack[:len(stack)-1]
			continue
		}
		child := v.byEnd[v.next]
		v.next++
		c := tr.spans[child]
		till := end(c)
		if till > end(s) {
			till = end(s)
		}
		if till > v.cursor || c.Start >= till || c.Start < s.Start {
			continue // it ran beside what was waited for, took no time, or its clock is another
		}
		add(s, till, v.cursor)
		v.cursor = c.Start
		stack = append(stack, enter(child, till))
	}
	slices.SortStableFunc(out, func(a, b Segment) int { return cmp.Compare(a.Start, b.Start) })
	return out
}

// ServiceTime is where one service's part of a trace went.
type ServiceTime struct {
	Service       string
	Spans, Errors int
	Self          uint64 // nanoseconds in which its spans ran and no child of theirs did
	Critical      uint64 // nanoseconds of the critical path
}

// ServiceTimes returns the services of a trace, that with the most time of its own first.
func ServiceTimes(t *traces.Trace) []ServiceTime {
	tr := newTree(t)
	by := map[string]*ServiceTime{}
	of := func(s *traces.Span) *ServiceTime {
		st := by[Service(s)]
		if st == nil {
			st = &ServiceTime{Service: Service(s)}
			by[Service(s)] = st
		}
		return st
	}
	for i, s := range tr.spans {
		st := of(s)
		st.Spans++
		if s.Status == traces.StatusError {
			st.Errors++
		}
		st.Self += tr.self(i)
	}
	for _, seg := range CriticalPath(t) {
		of(seg.Span).Critical += seg.End - seg.Start
	}
	out := make([]ServiceTime, 0, len(by))
	for _, st := range by {
		out = append(out, *st)
	}
	slices.SortFunc(out, func(a, b ServiceTime) int {
		if c := cmp.Compare(b.Self, a.Self); c != 0 {
			return c
		}
		return cmp.Compare(a.Service, b.Service)
	})
	return out
}

// self is how long span i ran without any child running. Children are in order of start.
func (t *tree) self(i int) uint64 {
	s := t.spans[i]
	from, to := s.Start, end(s)
	var covered uint64
	at := from
	for _, k := range t.children[i] {
		start, stop := max(t.spans[k].Start, at), min(end(t.spans[k]), to)
		if stop > start {
			covered += stop - start
			at = stop
		}
	}
	return to - from - covered
}
