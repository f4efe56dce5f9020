package logql

import (
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/column"
)

// pushLine is what a line must be like for its row to pass.
type pushLine struct {
	// label, where set, is a label that a parser of text finds in the line. Where a stream or its metadata
	// have the label, too, nothing is known.
	label string
	// lenient: rows that are marked with an error pass all the same; converts: it is the filter that demands
	// this which may mark them.
	lenient, converts bool

	literals []pushLiteral  // all of them are in the line
	any      []pushLiteral  // if there are some, one of them is in the line
	re       *column.Regexp // it matches the line
	step     *lineStep      // of a pattern filter
}

type pushLiteral struct {
	op   column.Op
	text []byte
	fold bool // in any case
}

func (l *pushLiteral) rows(r *column.Reader, lines *column.Column) column.Set {
	if l.fold {
		return r.MatchFold(lines, l.op, l.text)
	}
	return r.Match(lines, l.op, l.text)
}

// newPatternLine makes a pushLine of a filter |> or !>.
func newPatternLine(step *lineStep) pushLine { return pushLine{step: step} }

// rows returns those of the rows in among whose lines may pass. With exact, a pattern filter is applied in
// full, which rebuilds lines.
func (l *pushLine) rows(r *column.Reader, lines *column.Column, among column.Set, exact bool) column.Set {
	if l.step != nil {
		return l.matching(r, lines, among, exact)
	}
	among = withAny(r, lines, withLiterals(r, lines, among, l.literals), l.any)
	if l.re != nil && !among.IsNone() {
		among = among.And(r.MatchRegexp(lines, among, l.re))
	}
	return among
}

func withLiterals(r *column.Reader, lines *column.Column, among column.Set, literals []pushLiteral) column.Set {
	for _, lit := range literals {
		if among.IsNone() {
			break
		}
		among = among.And(lit.rows(r, lines))
	}
	return among
}

func withAny(r *column.Reader, lines *column.Column, among column.Set, literals []pushLiteral) column.Set {
	if len(literals) == 0 {
		return among
	}
	found := column.None
	for _, lit := range literals {
		if found = found.Or(lit.rows(r, lines)); found.IsAll() {
			break
		}
	}
	return among.And(found)
}

// matching applies a pattern filter: the literals of its terms leave few lines to be looked at.
func (l *pushLine) matching(r *column.Reader, lines *column.Column, among column.Set, exact bool) column.Set {
	if l.step.negate && !exact {
		return among
	}
	may := column.None
	for _, t := range l.step.terms {
		p, ok := t.(*pattern)
		if !ok {
			may = column.All
			break
		}
		may = may.Or(withLiterals(r, lines, among, literalsOf(p.nodes)))
	}
	if may = may.And(among); !exact {
		return may
	}
	hit := may
	if !may.IsNone() {
		hit = r.MatchFunc(lines, may, func(line []byte) bool { return l.step.match(line) != l.step.negate })
	}
	if l.step.negate {
		return among.And(hit.Not())
	}
	return hit
}

func literalsOf(nodes []patternNode) []pushLiteral {
	var out []pushLiteral
	for _, n := range nodes {
		if n.name == "" {
			out = append(out, pushLiteral{op: column.Contains, text: n.literal})
		}
	}
	return out
}

// pushText is a pattern, regexp or unpack stage: its labels are not in columns, but parts of the line.
type pushText struct {
	packed bool                     // unpack: any label may be there, and a fault of the line marks the row
	before map[string][]pushLiteral // pattern: what a line has where the label is found
	re     *column.Regexp           // regexp: it matches where any label is found
	names  []string
}

func newPushText(st *Parser) (*pushText, bool) {
	if st.Kind == ParseRegexp {
		stage, err := newRegexpStage(st.Text)
		if err != nil {
			return nil, false
		}
		re, err := column.CompileRegexp(st.Text)
		return &pushText{re: re, names: stage.names}, err == nil
	}
	p, err := compilePattern(st.Text, true)
	if err != nil {
		return nil, false
	}
	t := &pushText{before: map[string][]pushLiteral{}}
	for i, n := range p.nodes {
		if n.name == "" || n.name == "_" {
			continue
		}
		literals := literalsOf(p.nodes[:i])
		if len(literals) > 0 && p.nodes[0].name == "" {
			literals[0].op = column.Prefix
		}
		t.before[n.name], t.names = literals, append(t.names, n.name)
	}
	return t, true
}

// demands returns what a line must have for its row to pass n.
func (t *pushText) demands(n *pushNode) []pushLine {
	if n.leaf == nil {
		if n.or {
			return nil
		}
		return append(t.demands(n.left), t.demands(n.right)...)
	}
	l := n.leaf
	if t.packed {
		return packedDemands(l)
	}
	if l.name == "" || !slices.Contains(t.names, l.name) || strings.HasSuffix(l.name, extractedSuffix) {
		return nil
	}
	if l.test.keep(newLabelSetOf(&hints{})) {
		return nil // rows without the label pass
	}
	d := pushLine{label: l.name, lenient: l.lenient(), converts: l.converts, re: t.re, literals: slices.Clone(t.before[l.name])}
	if l.text != nil && l.text.Type == labels.MatchEqual {
		d.literals = append(d.literals, pushLiteral{op: column.Contains, text: []byte(l.text.Value)})
	}
	return []pushLine{d}
}

// newLabelSetOf returns a set without any label.
func newLabelSetOf(h *hints) *labelSet {
	s := newLabelSet(h)
	s.reset(&stream{}, nil)
	return s
}
