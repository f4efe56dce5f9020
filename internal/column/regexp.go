package column

import (
	"fmt"
	"regexp/syntax"
	"slices"

	"github.com/grafana/regexp"
)

// Regexp is an RE2 expression compiled for columns. It is immutable: the states of its automaton are kept
// by the Readers that use it.
type Regexp struct {
	plain *regexp.Regexp
	prog  *program

	// pure: a value matches if and only if it has one of the literals in the way of op.
	pure []literal
	op   Op

	// need is what a value that matches has for sure: of each list at least one literal, somewhere.
	need    [][]literal
	needles [][]needle // of need
}

// literal is a text to look for. Where fold, it is of ASCII and in lower case.
type literal struct {
	text string
	fold bool
}

// CompileRegexp compiles expr, whose syntax and meaning are those of github.com/grafana/regexp, which are
// Go's. Like MatchString of those, a Regexp searches: it need not match a whole value.
func CompileRegexp(expr string) (*Regexp, error) {
	plain, err := regexp.Compile(expr)
	if err != nil {
		return nil, fmt.Errorf("regular expression: %w", err)
	}
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("regular expression: %w", err)
	}
	re := &Regexp{plain: plain}
	if re.prog, err = newProgram(tree); err != nil {
		return nil, fmt.Errorf("regular expression: %w", err)
	}
	re.op, re.pure = pureLiterals(tree)
	if re.pure == nil {
		re.need = neededLiterals(tree)
	}
	for _, any := range re.need {
		var needles []needle
		for _, l := range any {
			needles = append(needles, newNeedle(Contains, []byte(l.text), l.fold))
		}
		re.needles = append(re.needles, needles)
	}
	return re, nil
}

// Match reports whether value matches. It is safe for concurrent use.
func (re *Regexp) Match(value []byte) bool { return re.plain.Match(value) }

// automaton returns the states of re that r has so far.
func (r *Reader) automaton(re *Regexp) *dfa {
	d := r.search.automata[re]
	if d == nil {
		d = newDFA(re.prog)
		if r.search.automata == nil {
			r.search.automata = map[*Regexp]*dfa{}
		}
		r.search.automata[re] = d
	}
	return d
}

// MatchRegexp returns those of the rows in among whose value matches re. Exact.
func (r *Reader) MatchRegexp(c *Column, among Set, re *Regexp) Set {
	return r.findRegexp(c, among, re).set
}

func (r *Reader) findRegexp(c *Column, among Set, re *Regexp) found {
	if among.IsNone() || c.Rows == 0 {
		return found{}
	}
	if re.pure != nil {
		return r.findAny(c, re.op, re.pure).and(found{set: among})
	}
	if c.Kind != Text {
		// A Text column asks each template for itself: most templates have none of the rows.
		f := findNeeded(re, among, c.Rows, func(i, j int) found { return r.find(c, re.needles[i][j]) })
		if f.missing || f.isNone() {
			return f
		}
		among = f.set
	}
	return r.runRegexp(c, among, re)
}

// findNeeded returns those of the rows in among that have what re needs, by asking find for needle j of list
// i. Once there are few of rows, it leaves the rest to the automaton: another search costs more than it
// saves.
func findNeeded(re *Regexp, among Set, rows int, find func(i, j int) found) found {
	f := found{set: among}
	for i, any := range re.needles {
		var g found
		for j := range any {
			if g = g.or(find(i, j)); g.isAll() {
				break
			}
		}
		if f = f.and(g); f.missing || f.isNone() || f.set.Count(rows) < rows/64 {
			break
		}
	}
	return f
}

// findAny returns the rows whose value has one of the literals.
func (r *Reader) findAny(c *Column, op Op, any []literal) found {
	var f found
	for _, l := range any {
		f = f.or(r.find(c, newNeedle(op, []byte(l.text), l.fold)))
		if f.set.IsAll() && !f.missing {
			break
		}
	}
	return f
}

// The limits of what is derived from an expression.
const (
	maxExactStrings = 32 // that a part of it can be
	maxExactClass   = 4  // runes of a class that are told apart: 5 and a digit is one search for 5, not ten
	maxNeedAny      = 16 // texts of which one is needed, for each of which there is a search
	maxNeed         = 3  // such searches before the automaton
)

// neededLiterals returns what every match of re contains: the lists that select most first.
func neededLiterals(re *syntax.Regexp) [][]literal {
	need := analyze(re).needs()
	slices.SortStableFunc(need, func(a, b []literal) int { return shortest(b) - shortest(a) })
	need = need[:min(len(need), maxNeed)]
	for i, any := range need {
		// A text of one or two bytes is in most lines: it is worth a search only for want of another.
		if shortest(any) < 2 || i > 0 && shortest(any) < 3 {
			return need[:i]
		}
	}
	return need
}

func shortest(any []literal) int {
	n := len(any[0].text)
	for _, l := range any[1:] {
		n = min(n, len(l.text))
	}
	return n
}

// pureLiterals returns literals and an op that are all that re asks, or nil.
func pureLiterals(re *syntax.Regexp) (Op, []literal) {
	parts := []*syntax.Regexp{re}
	for len(parts) == 1 && (parts[0].Op == syntax.OpConcat || parts[0].Op == syntax.OpCapture) {
		parts = parts[0].Sub
	}
	begin, end := false, false
	if len(parts) > 0 && parts[0].Op == syntax.OpBeginText {
		begin, parts = true, parts[1:]
	}
	if n := len(parts); n > 0 && parts[n-1].Op == syntax.OpEndText {
		end, parts = true, parts[:n-1]
	}
	// What may be empty says nothing at an open end; what may be anything opens the end.
	for len(parts) > 0 && (!begin && mayBeEmpty(parts[0]) || isAnything(parts[0])) {
		begin, parts = false, parts[1:]
	}
	for n := len(parts); n > 0 && (!end && mayBeEmpty(parts[n-1]) || isAnything(parts[n-1])); n-- {
		end, parts = false, parts[:n-1]
	}
	p := exactly("")
	for _, sub := range parts {
		if hasAssertion(sub) {
			return 0, nil
		}
		q := analyze(sub)
		if !p.joinable(q) {
			return 0, nil
		}
		p = p.join(q)
	}
	op := Contains
	switch {
	case begin && end:
		op = Equal
	case begin:
		op = Prefix
	case end:
		op = Suffix
	}
	return op, p.literals()
}

func mayBeEmpty(re *syntax.Regexp) bool {
	return re.Op == syntax.OpStar || re.Op == syntax.OpQuest || re.Op == syntax.OpRepeat && re.Min == 0
}

func isAnything(re *syntax.Regexp) bool {
	return re.Op == syntax.OpStar && re.Sub[0].Op == syntax.OpAnyChar
}

func hasAssertion(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return true
	}
	return slices.ContainsFunc(re.Sub, hasAssertion)
}
