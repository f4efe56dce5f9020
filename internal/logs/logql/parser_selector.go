package logql

import (
	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/logs"
)

// matchers reads {a="b", …}.
func (p *parser) matchers() []logs.Matcher {
	p.expect("{")
	if p.accept("}") {
		return nil
	}
	var out []logs.Matcher
	for expecting := []string{"IDENTIFIER", "}"}; ; expecting = []string{"IDENTIFIER"} {
		p.attempt(func() { out = append(out, p.matcher(expecting)) }, aMatcherFollows)
		if p.draft != nil {
			p.draft.selected, p.draft.selector = true, out
		}
		if p.accept("}") {
			return out
		}
		if p.draft != nil && p.peek().kind == tokEOF {
			p.hopeWords(WantWord, ",")
			p.missing(p.unexpectedError([]string{"}", ","}))
			return out
		}
		p.expect(",", "}", ",")
	}
}

func (p *parser) matcher(expecting []string) logs.Matcher {
	p.hope(Want{Kind: WantStreamLabel})
	name := p.take(tokIdent, expecting...).str
	p.hopeWords(WantWord, "=", "!=", "=~", "!~")
	mt, ok := matchTypes[p.peek().str]
	if !ok || p.peek().kind != tokKey {
		p.unexpected("=", "=~", "!~", "!=")
	}
	p.pos++
	p.hope(Want{Kind: WantStreamValue, Label: name})
	m := logs.Matcher{Type: mt, Name: name, Value: p.take(tokString, "STRING").str}
	p.checkMatcher(m)
	return m
}

var matchTypes = map[string]labels.MatchType{
	"=": labels.MatchEqual, "!=": labels.MatchNotEqual, "=~": labels.MatchRegexp, "!~": labels.MatchNotRegexp,
}

func (p *parser) checkMatcher(m logs.Matcher) {
	if _, err := labels.NewMatcher(m.Type, m.Name, m.Value); err != nil {
		p.failf("%s", err)
	}
}
