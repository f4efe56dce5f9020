package logql

import (
	"slices"
	"strings"
)

// WithAutoFields returns e with a parser where one is needed and none is written, so that the fields of JSON and logfmt
// lines can be filtered, formatted, unwrapped and grouped by: {app="a"} | status >= 500. The parser takes a line that
// begins with { as JSON and others as logfmt, and marks no line with an error. It comes right before the first stage
// that reads a label; a query that has a parser before that one is left as it is.
func WithAutoFields(e Expr) Expr { return autoFields(e, false) }

// autoFields is WithAutoFields inside an expression that reads labels of e, if read.
func autoFields(e Expr, read bool) Expr {
	switch e := e.(type) {
	case *LogQuery:
		return &LogQuery{Matchers: e.Matchers, Stages: autoParsed(e.Stages, read)}
	case *RangeAgg:
		c := *e
		c.Range = autoRange(e.Range, read || groupsBy(e.Grouping))
		return &c
	case *VectorAgg:
		c := *e
		c.Expr = autoFields(e.Expr, read || groupsBy(e.Grouping))
		return &c
	case *BinOp:
		c := *e
		read = read || e.Matching != nil && (e.Matching.On && len(e.Matching.Labels) > 0 || len(e.Matching.Include) > 0)
		c.Left, c.Right = autoFields(e.Left, read), autoFields(e.Right, read)
		return &c
	case *LabelReplace:
		c := *e
		c.Expr = autoFields(e.Expr, true)
		return &c
	case *Variants:
		c := *e
		c.Variants = make([]Expr, len(e.Variants))
		for i, v := range e.Variants {
			c.Variants[i] = autoFields(v, read)
		}
		return &c
	}
	return e
}

func groupsBy(g *Grouping) bool { return g != nil && !g.Without && len(g.Labels) > 0 }

func autoRange(r LogRange, read bool) LogRange {
	r.Query = &LogQuery{Matchers: r.Query.Matchers, Stages: autoParsed(r.Query.Stages, read || r.Unwrap != nil)}
	return r
}

// autoParsed returns stages with the parser; read says that their labels are read at the end.
func autoParsed(stages []Stage, read bool) []Stage {
	at := len(stages)
	for i, st := range stages {
		if _, ok := st.(*Parser); ok {
			return stages
		}
		if readsLabels(st) {
			at, read = i, true
			break
		}
	}
	if !read {
		return stages
	}
	return slices.Insert(slices.Clone(stages), at, Stage(&Parser{Kind: parseAuto}))
}

func readsLabels(st Stage) bool {
	switch st := st.(type) {
	case LabelFilter:
		return slices.ContainsFunc(filterNames(st, nil), isFieldName)
	case *LineFormat:
		return readsFields(st.Template)
	case *LabelFormat:
		return slices.ContainsFunc(st.Formats, func(f Format) bool { return f.Rename || readsFields(f.Value) })
	case *DropKeep:
		return st.Keep
	case *Distinct:
		return true
	}
	return false
}

func isFieldName(name string) bool { return !strings.HasPrefix(name, "__") }

// readsFields reports whether a template reads labels. One that doesn't compile is reported later.
func readsFields(text string) bool {
	t, err := compileTemplate("fields", text)
	return err == nil && len(t.fields) > 0
}

// autoStep is the parser that WithAutoFields puts in.
type autoStep struct {
	json   *jsonStep
	logfmt *logfmtStep
}

func newAutoStep() *autoStep { return &autoStep{json: newJSONStep(), logfmt: &logfmtStep{}} }

func (st *autoStep) process(ts int64, line []byte, s *labelSet) ([]byte, bool) {
	if !isObject(line) {
		return st.logfmt.process(ts, line, s)
	}
	err, details := s.err, s.details
	line, ok := st.json.process(ts, line, s)
	s.err, s.details = err, details
	return line, ok
}

// isObject reports whether a line begins with {, after blanks.
func isObject[T []byte | string](line T) bool {
	for i := range len(line) {
		switch line[i] {
		case ' ', '\t', '\r', '\n':
		default:
			return line[i] == '{'
		}
	}
	return false
}
