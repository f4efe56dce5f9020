package logql

import (
	"fmt"
	"slices"

	"github.com/hune-io/hune/internal/logs"
)

// step is a compiled stage. process returns the line to hand on, valid until the step's next call,
// and whether the row stays. It may change s.
type step interface {
	process(ts int64, line []byte, s *labelSet) ([]byte, bool)
}

// labelPredicate is a step that reads labels only.
type labelPredicate interface {
	step
	keep(s *labelSet) bool
}

// pipeline runs rows through steps. It is used by one goroutine.
type pipeline struct {
	steps  []step
	needed []string // labels that steps read
	// filters are the label filters on one label, for the parsers' hints.
	filters []hintFilter
}

// filtersFirst moves line filters to the front of the parsers and labels before them: lines that will be dropped
// need not be parsed, and the source may drop them. It makes no difference to the answer, but for one stage: a
// line filter right behind decolorize, without a label filter between them, sees the line with its colours, as in
// Loki.
func filtersFirst(stages []Stage) []Stage {
	out := make([]Stage, 0, len(stages))
	front := 0 // where the next line filter goes
	colors := false
	for _, st := range stages {
		switch st := st.(type) {
		case *LineFilter:
			out = slices.Insert(out, front, Stage(st))
			front++
			continue
		case *Decolorize:
			colors = true
		case LabelFilter:
			if colors {
				front, colors = len(out), false
			}
		case *LineFormat, *Distinct:
			front, colors = len(out)+1, false
		case *Parser:
			if st.Kind == ParseUnpack {
				front, colors = len(out)+1, false
			}
		}
		out = append(out, st)
	}
	return out
}

// compile makes steps of stages. A stage that can't be is named in the error.
func compile(stages []Stage) (*pipeline, error) {
	p := &pipeline{}
	for _, st := range filtersFirst(stages) {
		c, err := p.compileStage(st)
		if err != nil {
			return nil, invalidf("stage '%s' : %s", st, err)
		}
		p.steps = append(p.steps, c)
	}
	return p, nil
}

func (p *pipeline) compileStage(st Stage) (step, error) {
	switch st := st.(type) {
	case *LineFilter:
		return compileLineFilter(st)
	case *Parser:
		return compileParser(st)
	case LabelFilter:
		return p.compileLabelFilter(st)
	case *LineFormat:
		t, err := compileTemplate("line", st.Template)
		if err != nil {
			return nil, fmt.Errorf("invalid line template: %w", err)
		}
		p.needed = append(p.needed, t.fields...)
		return &lineFormatStep{t: t}, nil
	case *LabelFormat:
		return p.compileLabelFormat(st)
	case *DropKeep:
		return compileDropKeep(st)
	case *Decolorize:
		return decolorizeStep{}, nil
	case *Distinct:
		p.needed = append(p.needed, st.Labels...)
		return &distinctStep{names: st.Labels, seen: map[string]struct{}{}}, nil
	}
	return nil, fmt.Errorf("%T is not supported yet", st)
}

func (p *pipeline) compileLabelFilter(f LabelFilter) (step, error) {
	c, err := newLabelPredicate(f)
	if err != nil {
		return nil, err
	}
	names := filterNames(f, nil)
	p.needed = append(p.needed, names...)
	if _, binary := f.(*BinaryFilter); !binary {
		p.filters = append(p.filters, hintFilter{names[0], c})
	}
	return c, nil
}

func compileParser(st *Parser) (step, error) {
	switch st.Kind {
	case ParseJSON:
		if len(st.Exprs) > 0 {
			return newJSONExprStep(st.Exprs)
		}
		return newJSONStep(), nil
	case ParseLogfmt:
		if len(st.Exprs) > 0 {
			return newLogfmtExprStep(st.Exprs, st.Strict, st.KeepEmpty)
		}
		return &logfmtStep{strict: st.Strict, keepEmpty: st.KeepEmpty}, nil
	case ParseRegexp:
		return newRegexpStage(st.Text)
	case ParsePattern:
		c, err := compilePattern(st.Text, true)
		return &patternStep{p: c}, err
	case ParseUnpack:
		return newUnpackStep(), nil
	case parseAuto:
		return newAutoStep(), nil
	}
	return nil, fmt.Errorf("parser %s is not supported yet", st.Kind)
}

// run takes a row through all steps.
func (p *pipeline) run(ts int64, line []byte, s *labelSet) ([]byte, bool) {
	for _, st := range p.steps {
		var ok bool
		if line, ok = st.process(ts, line, s); !ok {
			return nil, false
		}
	}
	return line, true
}

// pushdown returns the line filters that come before anything that changes lines, as far as a
// source can apply them.
func pushdown(stages []Stage) []logs.LineFilter {
	var out []logs.LineFilter
	for _, st := range filtersFirst(stages) {
		f, ok := st.(*LineFilter)
		if !ok {
			break
		}
		if f.Match > LineNotRegexp {
			continue
		}
		lf := logs.LineFilter{Negate: f.Match.Negative(), Regexp: f.Match == LineRegexp || f.Match == LineNotRegexp}
		ip := false
		for _, t := range f.Terms {
			ip = ip || t.IP
			lf.Match = append(lf.Match, t.Text)
		}
		if !ip {
			out = append(out, lf)
		}
	}
	return out
}

// keepsAll reports whether rows that pass pushdown pass all stages, so that a limit may be pushed down, too.
func keepsAll(stages []Stage) bool {
	filters := 0
	for _, st := range stages {
		switch st.(type) {
		case LabelFilter, *Distinct:
			return false
		case *LineFilter:
			filters++
		}
	}
	return len(pushdown(stages)) == filters
}
