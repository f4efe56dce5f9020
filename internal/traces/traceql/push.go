package traceql

import (
	"context"

	"github.com/hune-io/hune/internal/traces"
)

// This file and its family answer queries from row groups without building spans. What they can't say, they
// leave to the evaluator of spans: a bound always has every span that a stage keeps, and where it is not exact,
// the traces that have one are built and evaluated. So an expression or a stage that is new to the language is
// right from the start, and fast once it is added here.

// bound says which spans of a row group a stage keeps: no others, and all of them if it is exact.
type bound struct {
	rows  traces.RowSet
	exact bool
}

var (
	everything = bound{traces.AllRows, true}
	anything   = bound{rows: traces.AllRows}
	nothing    = bound{exact: true}
)

// pusher evaluates stages over one row group.
type pusher struct {
	ctx context.Context
	g   *traces.RowGroup
	// grouped: the spans of a trace are in several sets. Then what relates spans relates fewer.
	grouped bool
}

func (p *pusher) stages(list []execStage, in bound) (bound, error) {
	for _, s := range list {
		if in.rows.IsNone() {
			return nothing, nil
		}
		var err error
		if in, err = p.stage(s, in); err != nil {
			return nothing, err
		}
	}
	return in, nil
}

func (p *pusher) stage(s execStage, in bound) (bound, error) {
	switch s := s.(type) {
	case allStage, coalesceStage:
		if _, ok := s.(coalesceStage); ok {
			p.grouped = false
		}
		return in, nil
	case filterStage:
		out, err := p.expr(s.cond, in.rows)
		return bound{out.rows, in.exact && out.exact || out.rows.IsNone()}, err
	case subStage:
		return p.stages(s, in)
	case *unionStage:
		return p.union(s, in)
	case *structuralStage:
		return p.structural(s, in)
	case *groupStage:
		p.grouped = true
		return in, nil
	}
	return bound{rows: in.rows}, nil // a stage drops spans or whole sets, it never adds any
}

// both evaluates two stages on the same input.
func (p *pusher) both(l, r execStage, in bound) (left, right bound, err error) {
	grouped := p.grouped
	if left, err = p.stage(l, in); err != nil {
		return left, right, err
	}
	grouped, p.grouped = p.grouped, grouped
	right, err = p.stage(r, in)
	p.grouped = grouped || p.grouped
	return left, right, err
}

func (p *pusher) union(s *unionStage, in bound) (bound, error) {
	l, r, err := p.both(s.l, s.r, in)
	if err != nil {
		return nothing, err
	}
	if s.both && (l.rows.IsNone() || r.rows.IsNone()) {
		return nothing, nil
	}
	rows, err := p.g.Or(p.ctx, l.rows, r.rows)
	out := bound{rows, l.exact && r.exact && !p.grouped}
	if err != nil || !s.both || l.rows.IsAll() && r.rows.IsAll() {
		return out, err
	}
	out.rows, err = p.inBoth(rows, l.rows, r.rows)
	return out, err
}

// inBoth keeps of rows those of traces that have spans of both sets.
func (p *pusher) inBoth(rows, a, b traces.RowSet) (traces.RowSet, error) {
	first, err := p.g.First(p.ctx)
	if err != nil {
		return traces.RowSet{}, err
	}
	keep, err := p.g.TracesOfBoth(p.ctx, a, b)
	if err != nil {
		return traces.RowSet{}, err
	}
	bits, err := p.g.Bits(p.ctx, rows)
	if err != nil {
		return traces.RowSet{}, err
	}
	out := newRows(p.g)
	for _, t := range keep {
		for row := bits.Next(first[t]); row >= 0 && row < first[t+1]; row = bits.Next(row + 1) {
			out.Set(row)
		}
	}
	return traces.BitSet(out), nil
}

// filterGroups is the traces.GroupFilter of searches and of all that wants whole traces: those that have a span
// that the stages may keep.
type filterGroups struct{ stages []execStage }

func (f *filterGroups) Group(ctx context.Context, g *traces.RowGroup) (traces.Chosen, error) {
	p := pusher{ctx: ctx, g: g}
	b, err := p.stages(f.stages, everything)
	if err != nil {
		return traces.Chosen{}, err
	}
	return chooseTraces(ctx, g, b)
}

// chooseTraces asks for the whole of all traces that have a span of b.
func chooseTraces(ctx context.Context, g *traces.RowGroup, b bound) (c traces.Chosen, err error) {
	c.Traces, err = g.TracesOf(ctx, b.rows)
	return c, err
}
