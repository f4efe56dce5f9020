package logql

import (
	"github.com/hune-io/hune/internal/logs"
)

func (p *parser) logQuery() *LogQuery {
	q := &LogQuery{Matchers: p.matchers()}
	for {
		if p.is("|") && p.peekAt(1).kind == tokKey && p.peekAt(1).str == "unwrap" {
			p.pos++
			p.unexpected()
		}
		if !p.nextStage(q) {
			return q
		}
	}
}

// nextStage reads a stage of q and reports whether there was one.
func (p *parser) nextStage(q *LogQuery) (found bool) {
	found = p.draft != nil // past a fault
	p.attempt(func() {
		var s Stage
		if s = p.stage(); s != nil {
			q.Stages = append(q.Stages, s)
		}
		found = s != nil
	}, aStageFollows)
	return found
}

// stage reads one stage, or returns nil where none starts.
func (p *parser) stage() Stage {
	for m, op := range lineOperators {
		if p.accept(op) {
			return p.lineFilter(LineMatch(m))
		}
	}
	if !p.accept("|") {
		return nil
	}
	t := p.peek()
	p.hopeWords(WantStage, stageWords...)
	p.hope(Want{Kind: WantField}, Want{Kind: WantWord, Text: "("})
	switch t.kind {
	case tokIdent:
		if t.str == "distinct" && (p.peekAt(1).kind == tokIdent || p.draft != nil && p.peekAt(1).kind == tokEOF) {
			p.pos++
			return &Distinct{Labels: p.names()}
		}
		return p.labelFilter(0)
	case tokKey:
		if s := p.keywordStage(t.str); s != nil {
			return s
		}
	}
	p.unexpected()
	return nil
}

func (p *parser) keywordStage(word string) Stage {
	if word == "(" {
		return p.labelFilter(0)
	}
	p.pos++
	switch word {
	case "json":
		return &Parser{Kind: ParseJSON, Exprs: p.extractions()}
	case "logfmt":
		s := &Parser{Kind: ParseLogfmt}
		p.hopeWords(WantWord, "--strict", "--keep-empty")
		for p.peek().kind == tokFlag {
			if p.advance().str == "--strict" {
				s.Strict = true
			} else {
				s.KeepEmpty = true
			}
		}
		s.Exprs = p.extractions()
		return s
	case "regexp", "pattern":
		p.hope(Want{Kind: WantText, Text: word})
		s := &Parser{Kind: ParserKind(word), Text: p.take(tokString, "STRING").str}
		var err error
		if s.Kind == ParseRegexp {
			_, err = newRegexpStage(s.Text)
		} else {
			_, err = compilePattern(s.Text, true)
		}
		if err != nil {
			p.failf("invalid %s parser: %s", word, err)
		}
		return s
	case "unpack":
		return &Parser{Kind: ParseUnpack}
	case "line_format":
		p.hope(Want{Kind: WantText, Text: "template"})
		return &LineFormat{Template: p.take(tokString, "STRING").str}
	case "label_format":
		return p.labelFormat()
	case "decolorize":
		return &Decolorize{}
	case "drop", "keep":
		return p.dropKeep(word == "keep")
	}
	p.pos--
	return nil
}

// lineTexts is what the texts of line filters are, by half their LineMatch.
var lineTexts = [...]string{"line", "regexp", "line pattern"}

func (p *parser) lineFilter(m LineMatch) Stage {
	s := &LineFilter{Match: m}
	for {
		p.hope(Want{Kind: WantText, Text: lineTexts[m/2]})
		switch t := p.peek(); {
		case t.kind == tokString:
			p.pos++
			s.Terms = append(s.Terms, LineTerm{Text: t.str})
		case p.is("ip"):
			s.Terms = append(s.Terms, LineTerm{Text: p.ip(), IP: true})
		default:
			p.unexpected("STRING", "ip")
		}
		if !p.accept("or") {
			return s
		}
	}
}

// ip reads ip("…").
func (p *parser) ip() string {
	p.pos++
	p.expect("(")
	p.hope(Want{Kind: WantText, Text: "ip"})
	s := p.take(tokString, "STRING").str
	p.expect(")")
	return s
}

func (p *parser) names() []string {
	var out []string
	for {
		p.hope(Want{Kind: WantField})
		out = append(out, p.take(tokIdent, "IDENTIFIER").str)
		if !p.accept(",") {
			return out
		}
	}
}

// extractions reads a, b="path", if any are there.
func (p *parser) extractions() []Extraction {
	p.hope(Want{Kind: WantField})
	if p.peek().kind != tokIdent {
		return nil
	}
	var out []Extraction
	for {
		p.hope(Want{Kind: WantField})
		x := Extraction{Label: p.take(tokIdent, "IDENTIFIER").str}
		x.Path = x.Label
		if p.accept("=") {
			p.hope(Want{Kind: WantText, Text: "path"})
			x.Path = p.take(tokString, "STRING").str
		}
		out = append(out, x)
		if !p.accept(",") {
			return out
		}
	}
}

func (p *parser) labelFormat() Stage {
	s := &LabelFormat{}
	for {
		p.hope(Want{Kind: WantField})
		f := Format{Dst: p.take(tokIdent, "IDENTIFIER").str}
		p.expect("=")
		p.hope(Want{Kind: WantField}, Want{Kind: WantText, Text: "template"})
		switch t := p.peek(); t.kind {
		case tokIdent:
			f.Value, f.Rename = t.str, true
		case tokString:
			f.Value = t.str
		default:
			p.unexpected("IDENTIFIER", "STRING")
		}
		p.pos++
		s.Formats = append(s.Formats, f)
		if !p.accept(",") {
			return s
		}
	}
}

func (p *parser) dropKeep(keep bool) Stage {
	s := &DropKeep{Keep: keep}
	for {
		p.hope(Want{Kind: WantField})
		n := NamedMatcher{Matcher: logs.Matcher{Name: p.take(tokIdent, "IDENTIFIER").str}}
		p.hopeWords(WantWord, "=", "!=", "=~", "!~")
		if t := p.peek(); t.kind == tokKey {
			if mt, ok := matchTypes[t.str]; ok && p.peekAt(1).kind != tokNumber {
				p.pos++
				p.hope(Want{Kind: WantFieldValue, Label: n.Name})
				n.Type, n.Value, n.HasValue = mt, p.take(tokString, "STRING").str, true
				p.checkMatcher(n.Matcher)
			}
		}
		s.Names = append(s.Names, n)
		if !p.accept(",") {
			return s
		}
	}
}

// labelFilter reads label filters joined by or (which binds least), and, a comma or nothing. What stands behind a
// comma, or behind nothing, belongs together whatever joins it: a=1, b=2 or c=3 is a=1 and (b=2 or c=3).
func (p *parser) labelFilter(minPrecedence int) LabelFilter {
	p.enter()
	defer p.leave()
	left := p.oneLabelFilter()
	for {
		switch t := p.peek(); {
		case p.is("or") && minPrecedence < 1:
			p.pos++
			left = &BinaryFilter{Or: true, Left: left, Right: p.labelFilter(1)}
		case p.is("and") && minPrecedence < 2:
			p.pos++
			left = &BinaryFilter{Left: left, Right: p.labelFilter(2)}
		case p.accept(","), t.kind == tokIdent, p.is("("):
			left = &BinaryFilter{Left: left, Right: p.labelFilter(0)}
		default:
			return left
		}
	}
}

func (p *parser) oneLabelFilter() LabelFilter {
	if p.accept("(") {
		f := p.labelFilter(0)
		p.expect(")", []string{}...)
		return f
	}
	p.hope(Want{Kind: WantField})
	label := p.take(tokIdent, "IDENTIFIER", "(").str
	p.hopeWords(WantWord, comparisonWords...)
	op := p.peek()
	if op.kind != tokKey {
		p.unexpected()
	}
	switch op.str {
	case "=", "!=", "=~", "!~":
		p.pos++
		return p.equality(label, op.str)
	case "==", ">", ">=", "<", "<=":
		p.pos++
		if f := p.comparison(label, op.str); f != nil {
			return f
		}
	}
	p.unexpected()
	return nil
}

// equality reads what may stand after = != =~ and !~.
func (p *parser) equality(label, op string) LabelFilter {
	t := p.peek()
	isRegexp := op == "=~" || op == "!~"
	p.hope(Want{Kind: WantFieldValue, Label: label})
	switch {
	case t.kind == tokString:
		p.pos++
		m := logs.Matcher{Type: matchTypes[op], Name: label, Value: t.str}
		p.checkMatcher(m)
		return &StringFilter{m}
	case isRegexp:
		p.unexpected("STRING")
	case p.is("ip"):
		return &IPFilter{Label: label, Negate: op == "!=", Pattern: p.ip()}
	}
	if op == "=" {
		op = "=="
	}
	f := p.comparison(label, op)
	if f == nil {
		p.unexpected()
	}
	return f
}

func (p *parser) comparison(label, op string) LabelFilter {
	p.hope(Want{Kind: WantNumber}, Want{Kind: WantDuration}, Want{Kind: WantBytes})
	switch t := p.peek(); {
	case t.kind == tokDuration:
		p.pos++
		return &DurationFilter{label, op, t.dur}
	case t.kind == tokBytes:
		p.pos++
		return &BytesFilter{label, op, t.bytes}
	case t.kind == tokNumber, p.is("-"), p.is("+"):
		return &NumberFilter{label, op, p.signedNumber()}
	}
	return nil
}
