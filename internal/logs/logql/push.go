package logql

import (
	"slices"
	"strings"

	"github.com/hune-io/hune/internal/column"
)

// The pushdown: questions answered from the columns of a page.
//
// A page keeps JSON and logfmt lines as templates whose slots are the values of fields. What a parser
// would find in a line is the same for all lines of a template but for the values, so a label filter, an
// unwrap or a grouping is answered from the columns of the slots, and no line is rebuilt or parsed.
//
// The pipeline of steps stays the only word on what a query means. A pushPlan sorts the rows of a page
// into those of which it is certain, and those that it is unsure of: rows of which a value doesn't convert,
// because an error changes what later filters say; rows of templates in which two fields may compete for
// one label; rows in which a label's name depends on what else is there. Unsure rows go through the
// pipeline. So it is enough that what is called certain is, and a rule that is rare is left to the
// pipeline.

// pushPlan is what of a pipeline can be answered from columns. It is immutable.
type pushPlan struct {
	parser  *pushParser // nil: no parser of fields comes before the filters
	filters []pushFilter
	lines   []pushLine
	// exact says that the plan holds all that the pipeline does to decide whether a row passes, and that
	// the line and the labels are what the row and the parser say.
	exact bool
}

// pushParser is a json or logfmt stage.
type pushParser struct {
	mode      column.Mode
	auto      bool // lines that begin with { are read as JSON, others as logfmt, whatever mode is
	keepEmpty bool
	exprs     []pushExpr // none: every field is a label
	needless  bool       // no label is needed: the parser does nothing
}

// pushExpr is a label and the path of its field.
type pushExpr struct {
	label string
	path  []string
}

// pushFilter is a label filter. early: it comes before the parser, which yet asks it for labels that it
// finds.
type pushFilter struct {
	*pushNode
	early bool
}

// pushNode is a leaf, or two nodes joined.
type pushNode struct {
	leaf        *pushLeaf
	or          bool
	left, right *pushNode
}

// pushLeaf is a filter on one label.
type pushLeaf struct {
	name string
	test labelPredicate
	// converts says that the filter compares a converted value. Such a filter marks rows whose value
	// doesn't convert and passes rows that were marked before.
	converts bool
	number   *NumberFilter // of a filter that compares a number
	text     *StringFilter // of a filter that compares text
}

// pushScope is where a plan is made for: a log query, or a range aggregation and its hints.
type pushScope struct {
	hints *hints
	// after are filters that come after an unwrap: no parser asks them.
	after []LabelFilter
}

// newPushPlan returns the plan for stages that compile.
func newPushPlan(stages []Stage, scope pushScope) *pushPlan {
	p := &pushPlan{exact: true}
	b := planner{plan: p, scope: scope}
	all := filtersFirst(stages)
	n := 0
	for n < len(all) && b.follow(all[n]) {
		n++
	}
	if n < len(all) {
		p.exact = false
		b.rest(all[n:])
	}
	b.after()
	b.finish()
	return p
}

// narrows reports whether the plan can tell rows that don't pass, beyond what the source's filters do.
func (p *pushPlan) narrows() bool { return len(p.filters) > 0 || len(p.lines) > 0 }

// planner makes a plan stage by stage.
type planner struct {
	plan   *pushPlan
	scope  pushScope
	parsed bool // a parser was seen
	texts  *pushText
	// unpacked says that the line is no longer the one in the columns.
	unpacked bool
	gone     []string // labels that a stage removed or renamed
	kept     []string // the only labels left; nil: all
	// marks says that a filter which isn't in the plan may mark rows with an error before those of the plan
	// see them. Filters on numbers and the like let such rows pass, and those on the error look at it.
	marks   bool
	marking int // filters behind texts that may mark
}

// follow takes the next stage into the plan. It returns false where the plan must end before it.
func (b *planner) follow(st Stage) bool {
	switch st := st.(type) {
	case *LineFilter:
		return b.lineFilter(st)
	case LabelFilter:
		return b.labelFilter(st)
	case *Parser:
		return b.parse(st)
	case *DropKeep:
		return b.dropKeep(st)
	case *LabelFormat:
		return b.rename(st)
	}
	return false
}

func (b *planner) lineFilter(f *LineFilter) bool {
	if b.unpacked {
		b.plan.exact = false // it is about the line that was packed
		return true
	}
	if slices.ContainsFunc(f.Terms, func(t LineTerm) bool { return t.IP }) {
		b.plan.exact = false // the pipeline's; later stages don't depend on it
		b.plan.lines = append(b.plan.lines, addressDemands(f)...)
		return true
	}
	if f.Match <= LineNotRegexp {
		return true // the source's
	}
	c, err := compileLineFilter(f)
	if err != nil {
		return false
	}
	b.plan.lines = append(b.plan.lines, newPatternLine(c.(*lineStep)))
	return true
}

func (b *planner) labelFilter(f LabelFilter) bool {
	node, ok := newPushNode(f)
	if !ok {
		return false
	}
	if !node.all(b.untouched) {
		b.plan.exact = false
		b.marks = b.marks || node.any(func(l *pushLeaf) bool { return l.converts })
		return true
	}
	if b.texts != nil {
		// Behind a parser of text there are no columns for its labels, but what they demand of the line.
		b.plan.exact = false
		b.plan.lines = append(b.plan.lines, b.texts.demands(node)...)
		b.marking += node.converting()
		return true
	}
	b.plan.filters = append(b.plan.filters, pushFilter{pushNode: node, early: !b.parsed})
	return true
}

// untouched reports whether the label of l is what the parser made it.
func (b *planner) untouched(l *pushLeaf) bool {
	if l.name == errorLabel {
		return true
	}
	return !slices.Contains(b.gone, l.name) && (b.kept == nil || slices.Contains(b.kept, l.name))
}

func (b *planner) parse(st *Parser) bool {
	if b.parsed || len(b.gone) > 0 || b.kept != nil {
		return false
	}
	b.parsed = true
	switch st.Kind {
	case ParseJSON, ParseLogfmt, parseAuto:
		p, ok := newPushParser(st, b.scope.hints)
		if !ok {
			return false
		}
		b.plan.parser = p
		return true
	case ParsePattern, ParseRegexp:
		t, ok := newPushText(st)
		if !ok {
			return false
		}
		b.texts = t
		b.plan.exact = b.plan.exact && b.scope.hints.none
		return true
	case ParseUnpack:
		b.texts, b.unpacked, b.plan.exact = &pushText{packed: true}, true, false
		return true
	}
	return false
}

// dropKeep follows the names that are removed. Removing an error is removing nothing: rows with errors
// are left to the pipeline.
func (b *planner) dropKeep(st *DropKeep) bool {
	if st.Keep {
		b.plan.exact = false
		kept := []string{}
		for _, n := range st.Names {
			if !n.HasValue && (b.kept == nil || slices.Contains(b.kept, n.Name)) {
				kept = append(kept, n.Name)
			}
		}
		b.kept = kept
		return true
	}
	for _, n := range st.Names {
		if n.Name != errorLabel && n.Name != errorDetailsLabel {
			b.plan.exact = false
			b.gone = append(b.gone, n.Name)
		}
	}
	return true
}

// rename follows label_format as far as it renames. A template may fail and mark the row.
func (b *planner) rename(st *LabelFormat) bool {
	for _, f := range st.Formats {
		if !f.Rename {
			return false
		}
	}
	b.plan.exact = false
	for _, f := range st.Formats {
		b.gone = append(b.gone, f.Dst, f.Value)
	}
	return true
}

// rest looks at the stages that the plan doesn't follow: parsers ask the filters on one label wherever
// these come.
func (b *planner) rest(stages []Stage) {
	for _, st := range stages {
		if f, ok := st.(LabelFilter); ok {
			node, ok := newPushNode(f)
			b.marks = b.marks || !ok || node.leaf != nil && node.leaf.converts
		}
	}
}

// after takes the filters behind an unwrap. Rows of which the value doesn't convert reach them marked, so
// only those that say the same of such rows as of others can be taken.
func (b *planner) after() {
	for _, f := range b.scope.after {
		node, ok := newPushNode(f)
		if !ok || node.any(func(l *pushLeaf) bool {
			return l.lenient() || l.name == errorLabel && !l.test.keep(newLabelSetOf(b.scope.hints))
		}) {
			b.plan.exact = false
			continue
		}
		if b.plan.exact {
			b.plan.filters = append(b.plan.filters, pushFilter{pushNode: node})
		}
	}
}

func (b *planner) finish() {
	p := b.plan
	if b.texts != nil {
		// Where one filter marks a row, the line need not have what the other lenient ones demand.
		for _, f := range p.filters {
			b.marking += f.converting()
		}
		b.marks = b.marks || b.marking > 1
		if b.marking == 1 {
			p.lines = slices.DeleteFunc(p.lines, func(l pushLine) bool { return l.lenient && !l.converts })
		}
	}
	if b.marks {
		p.exact = false
		p.filters = slices.DeleteFunc(p.filters, func(f pushFilter) bool { return f.any((*pushLeaf).seesMarks) })
		p.lines = slices.DeleteFunc(p.lines, func(l pushLine) bool { return l.lenient })
	}
}

// seesMarks reports whether the filter says another thing of rows that are marked with an error.
func (l *pushLeaf) seesMarks() bool { return l.lenient() || l.name == errorLabel }

// lenient reports whether rows that are marked with an error pass the filter whatever their label is.
func (l *pushLeaf) lenient() bool { return l.text == nil }

func newPushNode(f LabelFilter) (*pushNode, bool) {
	if f, ok := f.(*BinaryFilter); ok {
		left, ok := newPushNode(f.Left)
		if !ok {
			return nil, false
		}
		right, ok := newPushNode(f.Right)
		return &pushNode{or: f.Or, left: left, right: right}, ok
	}
	test, err := newLabelPredicate(f)
	if err != nil {
		return nil, false
	}
	l := &pushLeaf{name: filterNames(f, nil)[0], test: test}
	switch f := f.(type) {
	case *StringFilter:
		l.text = f
	case *NumberFilter:
		l.number, l.converts = f, true
	case *DurationFilter, *BytesFilter:
		l.converts = true
	}
	return &pushNode{leaf: l}, true
}

func (n *pushNode) any(is func(*pushLeaf) bool) bool {
	if n.leaf != nil {
		return is(n.leaf)
	}
	return n.left.any(is) || n.right.any(is)
}

// converting returns how many of the leaves convert.
func (n *pushNode) converting() int {
	if n.leaf == nil {
		return n.left.converting() + n.right.converting()
	}
	if n.leaf.converts {
		return 1
	}
	return 0
}

func (n *pushNode) all(is func(*pushLeaf) bool) bool {
	return !n.any(func(l *pushLeaf) bool { return !is(l) })
}

// newPushParser returns false for a parser whose labels can't be told from the fields of a template.
func newPushParser(st *Parser, h *hints) (*pushParser, bool) {
	p := &pushParser{mode: column.JSON, auto: st.Kind == parseAuto, keepEmpty: st.KeepEmpty, needless: h.none}
	if st.Kind == ParseLogfmt {
		p.mode = column.Logfmt
	}
	for _, e := range st.Exprs {
		path, err := parsePath(e.Path)
		if p.mode == column.Logfmt {
			var key string
			key, err = parseLogfmtPath(e.Path)
			path = []string{key}
		}
		if err != nil {
			return nil, false
		}
		p.exprs = append(p.exprs, pushExpr{e.Label, path})
	}
	return p, p.simple(h)
}

// simple reports whether the expressions are apart from each other, and all of them looked for: logfmt
// stops when it has found as many labels as are needed, whichever they are.
func (p *pushParser) simple(h *hints) bool {
	if p.mode == column.Logfmt && h.required != nil && len(p.exprs) > len(h.required) {
		return false
	}
	for i, a := range p.exprs {
		if p.mode == column.JSON && slices.ContainsFunc(a.path, func(key string) bool { return strings.HasPrefix(key, "[") }) {
			return false
		}
		for _, b := range p.exprs[:i] {
			n := min(len(a.path), len(b.path))
			if a.label == b.label || p.mode == column.JSON && slices.Equal(a.path[:n], b.path[:n]) {
				return false
			}
		}
	}
	return true
}
