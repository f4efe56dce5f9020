package logql

import "github.com/hune-io/hune/internal/logs"

// draft is what a parser gathers that reads an unfinished query.
type draft struct {
	faults   []Fault
	wants    []Want
	settled  bool // the end was met where something had to come: what is looked for afterwards can't
	selected bool // a selector was begun
	selector []logs.Matcher
}

// whole reads a query to its end, passing over faults.
func (p *parser) whole() (e Expr) {
	p.attempt(func() {
		e = p.expr(0)
		if p.peek().kind != tokEOF {
			p.unexpected()
		}
	}, func(token) bool { return false })
	return e
}

// attempt runs do. A fault in it ends the parser, but that of a draft: there it is noted, and what follows is passed
// over until a token that do may be followed by.
func (p *parser) attempt(do func(), follows func(token) bool) {
	if p.draft == nil {
		do()
		return
	}
	depth := p.depth
	defer func() {
		switch b := recover().(type) {
		case nil:
		case bail:
			p.depth = depth
			p.note(b.err)
			p.skipTo(follows)
		default:
			panic(b)
		}
	}()
	do()
}

// note keeps a fault.
func (p *parser) note(err error) {
	d := p.draft
	at := p.tokens[p.pos]
	d.settled = d.settled || at.kind == tokEOF
	// What is missing at the end is missed by each level that the end is in: once is enough.
	n := len(d.faults)
	if n == maxFaults || n > 0 && d.faults[n-1].From >= faultOffset(err, at.offset) {
		return
	}
	d.faults = append(d.faults, faultOf(err, p.text, at.offset))
}

// skipTo moves to the next token that follows wants outside of parentheses, or to the end.
func (p *parser) skipTo(follows func(token) bool) {
	depth := 0
	for ; p.pos < len(p.tokens)-1; p.pos++ {
		t := p.tokens[p.pos]
		switch {
		case depth == 0 && follows(t):
			return
		case t.kind != tokKey:
		case t.str == "(":
			depth++
		case t.str == ")":
			depth--
		}
	}
	// A lexical fault ends the text as its end does.
	p.tokens[len(p.tokens)-1].kind = tokEOF
}

// missing reports whether a draft ends here, and notes what it lacks. The parser goes on as if it were there.
func (p *parser) missing(err error) bool {
	if p.draft == nil || p.tokens[p.pos].kind != tokEOF {
		return false
	}
	p.note(err)
	return true
}

// hope says what may come next, for a draft that ends here.
func (p *parser) hope(w ...Want) {
	if p.draft == nil || p.draft.settled || p.tokens[p.pos].kind != tokEOF {
		return
	}
	for _, one := range w {
		if !p.hoped(one) {
			p.draft.wants = append(p.draft.wants, one)
		}
	}
}

func (p *parser) hoped(w Want) bool {
	for _, one := range p.draft.wants {
		if one == w {
			return true
		}
	}
	return false
}

// hopeWords is hope for words of one class.
func (p *parser) hopeWords(kind WantKind, words ...string) {
	if p.draft == nil {
		return
	}
	for _, w := range words {
		p.hope(Want{Kind: kind, Text: w})
	}
}

// aStageFollows reports whether t begins the next stage, or ends the query that stages belong to.
func aStageFollows(t token) bool {
	if t.kind == tokRange {
		return true
	}
	if t.kind != tokKey {
		return false
	}
	switch t.str {
	case "|", ")", "|=", "|~", "|>", "!~", "!>":
		return true
	}
	return false
}

func aMatcherFollows(t token) bool { return t.kind == tokKey && (t.str == "," || t.str == "}") }
