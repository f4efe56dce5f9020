package column

import (
	"regexp/syntax"
	"slices"
	"unicode/utf8"
)

// language is what is known of the strings that a part of an expression matches.
type language struct {
	// isExact: the strings are those of exact, none of which has U+FFFD, which any invalid byte matches.
	// fold: or differ from them in the case of ASCII letters, in Go's sense; they are of ASCII.
	isExact bool
	exact   []string
	fold    bool
	// need, where not isExact: of each list at least one literal is in every string.
	need [][]literal
}

func exactly(s ...string) language { return language{isExact: true, exact: s} }

// literals returns the strings of an exact part, else nil.
func (p language) literals() []literal {
	var any []literal
	for _, s := range p.exact {
		any = append(any, literal{s, p.fold})
	}
	return any
}

// needs returns what is in every string of p.
func (p language) needs() [][]literal {
	if !p.isExact {
		return p.need
	}
	if len(p.exact) == 0 || len(p.exact) > maxNeedAny || slices.Contains(p.exact, "") {
		return nil
	}
	return [][]literal{p.literals()}
}

// caseless reports whether folding makes no difference to the strings, and they are of ASCII.
func (p language) caseless() bool {
	for _, s := range p.exact {
		for i := range len(s) {
			if s[i] >= utf8.RuneSelf || isLetter(s[i]) {
				return false
			}
		}
	}
	return true
}

// agree reports whether the strings of both are known and can be of one part.
func (p language) agree(q language) bool {
	return p.isExact && q.isExact && (p.fold == q.fold || p.caseless() || q.caseless())
}

// joinable reports whether the strings of p followed by one of q are few enough to be listed.
func (p language) joinable(q language) bool {
	return p.agree(q) && len(p.exact)*len(q.exact) <= maxExactStrings
}

// join returns the strings of p, each followed by each of q.
func (p language) join(q language) language {
	out := language{isExact: true, fold: p.fold || q.fold}
	for _, s := range p.exact {
		for _, t := range q.exact {
			out.exact = append(out.exact, s+t)
		}
	}
	return out
}

// analyze returns what is known of the strings that re matches. Assertions are taken for the empty string.
func analyze(re *syntax.Regexp) language {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return exactly("")
	case syntax.OpLiteral:
		return analyzeLiteral(re)
	case syntax.OpCharClass:
		return analyzeClass(re)
	case syntax.OpCapture:
		return analyze(re.Sub[0])
	case syntax.OpConcat:
		return analyzeConcat(re.Sub)
	case syntax.OpAlternate:
		return analyzeAlternate(re.Sub)
	case syntax.OpQuest:
		if p := analyze(re.Sub[0]); p.isExact && len(p.exact) < maxExactStrings {
			return language{isExact: true, exact: append(slices.Clip(p.exact), ""), fold: p.fold}
		}
	case syntax.OpPlus:
		return language{need: analyze(re.Sub[0]).needs()}
	case syntax.OpRepeat:
		return analyzeRepeat(re)
	}
	return language{}
}

func analyzeLiteral(re *syntax.Regexp) language {
	fold := re.Flags&syntax.FoldCase != 0
	var text []byte
	for _, r := range re.Rune {
		if r == utf8.RuneError || fold && r >= utf8.RuneSelf {
			return language{}
		}
		text = utf8.AppendRune(text, r)
	}
	p := exactly(string(text))
	if fold && !p.caseless() {
		lower(text, text)
		p = language{isExact: true, exact: []string{string(text)}, fold: true}
	}
	return p
}

func analyzeClass(re *syntax.Regexp) language {
	p := language{isExact: true}
	for i := 0; i+1 < len(re.Rune); i += 2 {
		lo, hi := re.Rune[i], re.Rune[i+1]
		if int(hi-lo) >= maxExactClass-len(p.exact) || lo <= utf8.RuneError && utf8.RuneError <= hi {
			return language{}
		}
		for r := lo; r <= hi; r++ {
			if utf8.ValidRune(r) { // a surrogate is in no string
				p.exact = append(p.exact, string(r))
			}
		}
	}
	return p
}

func analyzeConcat(subs []*syntax.Regexp) language {
	run, whole := exactly(""), true
	var need [][]literal
	for _, sub := range subs {
		p := analyze(sub)
		if run.joinable(p) {
			run = run.join(p)
			continue
		}
		need = append(need, run.needs()...)
		whole, run = false, p
		if !p.isExact {
			need = append(need, p.need...)
			run = exactly("")
		}
	}
	if whole {
		return run
	}
	return language{need: append(need, run.needs()...)}
}

func analyzeAlternate(subs []*syntax.Regexp) language {
	all := language{isExact: true}
	var any []literal
	possible := true // that any ends up as a need
	for _, sub := range subs {
		p := analyze(sub)
		if all.isExact && all.agree(p) && len(all.exact)+len(p.exact) <= maxExactStrings {
			all.exact = append(all.exact, p.exact...)
			all.fold = all.fold || p.fold
		} else {
			all.isExact = false
		}
		needs := p.needs()
		if len(needs) == 0 {
			possible = false
			continue
		}
		any = append(any, slices.MaxFunc(needs, func(a, b []literal) int { return shortest(a) - shortest(b) })...)
	}
	switch {
	case all.isExact:
		return all
	case possible && len(any) <= maxNeedAny:
		return language{need: [][]literal{any}}
	}
	return language{}
}

func analyzeRepeat(re *syntax.Regexp) language {
	if re.Min == 0 {
		return language{}
	}
	p := analyze(re.Sub[0])
	if !p.isExact || re.Min > maxExactStrings {
		return language{need: p.needs()}
	}
	run := exactly("")
	for range re.Min {
		if !run.joinable(p) {
			return language{need: p.needs()}
		}
		run = run.join(p)
	}
	if re.Min == re.Max {
		return run
	}
	return language{need: run.needs()}
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
