package logql

import (
	"strconv"
	"strings"
)

func (p *parser) rangeAgg() Expr {
	e := &RangeAgg{Op: p.advance().str}
	p.expect("(")
	e.Range.Query = &LogQuery{}
	p.attempt(func() { p.rangeArgs(e) }, aGroupFollows)
	p.expect(")")
	p.attempt(func() { e.Grouping = p.grouping() }, aGroupFollows)
	return e
}

func (p *parser) rangeArgs(e *RangeAgg) {
	t := p.peek()
	if e.Op == OpQuantile {
		p.hope(Want{Kind: WantNumber})
	}
	if t.kind == tokNumber {
		p.pos++
		v := p.float(t.str)
		e.Param = &v
		p.expect(",")
	} else if !p.is("{") && !p.is("(") {
		p.unexpected("NUMBER", "{", "(")
	}
	p.logRange(&e.Range)
}

func anArgumentFollows(t token) bool { return t.kind == tokKey && (t.str == "(" || t.str == ")") }

// aGroupFollows reports whether t ends the arguments of a function.
func aGroupFollows(t token) bool { return t.kind == tokKey && t.str == ")" }

func (p *parser) vectorAgg() Expr {
	e := &VectorAgg{Op: p.advance().str}
	p.attempt(func() { e.Grouping = p.grouping() }, anArgumentFollows)
	p.expect("(")
	param := ""
	if p.peek().kind == tokNumber && p.peekAt(1).str == "," && p.peekAt(1).kind == tokKey {
		param = p.advance().str
		p.pos++
	}
	e.Expr = &LogQuery{}
	p.attempt(func() {
		e.Expr = p.expr(0)
		if _, isLog := e.Expr.(*LogQuery); isLog {
			p.unexpected()
		}
	}, aGroupFollows)
	p.expect(")", []string{}...)
	p.attempt(func() {
		if e.Grouping == nil {
			e.Grouping = p.grouping()
		}
		p.vectorParam(e, param)
	}, anArgumentFollows)
	return e
}

func (p *parser) vectorParam(e *VectorAgg, param string) {
	switch {
	case takesParam(e.Op) && param == "":
		p.failf("parameter required for operation %s", e.Op)
	case takesParam(e.Op):
		n, err := strconv.Atoi(param)
		if err != nil {
			p.failf("invalid parameter %s(%s,", e.Op, param)
		}
		if n <= 0 {
			p.failf("invalid parameter (must be greater than 0) %s(%s", e.Op, param)
		}
		e.Param = n
	case param != "":
		p.failf("unsupported parameter for operation %s(%s,", e.Op, param)
	}
}

func (p *parser) labelReplace() Expr {
	p.pos++
	p.expect("(")
	e := &LabelReplace{Expr: p.expr(0)}
	if _, isLog := e.Expr.(*LogQuery); isLog {
		p.unexpected()
	}
	for i, dst := range [...]*string{&e.Dst, &e.Replacement, &e.Src, &e.Regex} {
		if i == 0 {
			p.expect(",", []string{}...)
		} else {
			p.expect(",")
		}
		p.hope(Want{Kind: WantText, Text: replaceArgs[i]})
		*dst = p.take(tokString, "STRING").str
	}
	p.expect(")")
	return e
}

func (p *parser) variants() Expr {
	p.pos++
	p.expect("(")
	e := &Variants{}
	for {
		v := p.expr(0)
		if _, isLog := v.(*LogQuery); isLog {
			p.unexpected()
		}
		e.Variants = append(e.Variants, v)
		if p.accept(")") {
			break
		}
		p.expect(",", []string{}...)
	}
	p.hopeWords(WantWord, "of")
	if t := p.peek(); t.kind != tokIdent || !strings.EqualFold(t.str, "of") {
		p.unexpected("of")
	}
	p.pos++
	p.expect("(")
	e.Of.Query = &LogQuery{}
	p.attempt(func() { p.logRange(&e.Of) }, aGroupFollows)
	p.expect(")")
	return e
}

func (p *parser) grouping() *Grouping {
	without := p.accept("without")
	if !without && !p.accept("by") {
		return nil
	}
	return &Grouping{Without: without, Labels: p.labelList()}
}

func takesParam(op string) bool { return op == AggTopK || op == AggBottomK || op == AggApproxTopK }

var replaceArgs = [...]string{"label", "replacement", "label", "regexp"}

// logRange reads a log query with its window, in any order and parentheses that the grammar allows.
func (p *parser) logRange(r *LogRange) {
	p.logRangePart(r)
	if r.Interval == 0 {
		if err := p.unexpectedError(nil); !p.missing(err) {
			panic(bail{err})
		}
	}
}

// logRangePart reads a selector and what follows it. The window may be missing when the whole
// stands in parentheses.
func (p *parser) logRangePart(r *LogRange) {
	if p.accept("(") {
		p.enter()
		defer p.leave()
		p.logRangePart(r)
		p.expect(")", []string{}...)
		if r.Interval == 0 {
			p.window(r)
		}
		return
	}
	if !p.is("{") {
		p.unexpected("{", "(")
	}
	r.Query = &LogQuery{Matchers: p.matchers()}
	p.window(r)
	p.rangeStages(r)
	if r.Interval == 0 {
		p.window(r)
	}
}

// window reads [5m] offset 1h, if it is there.
func (p *parser) window(r *LogRange) {
	p.hope(Want{Kind: WantWindow})
	if p.peek().kind != tokRange {
		return
	}
	r.Interval = p.advance().dur
	if p.accept("offset") {
		p.hope(Want{Kind: WantDuration})
		r.Offset = p.take(tokDuration, "DURATION").dur
	}
}

// rangeStages reads stages that may end in an unwrap.
func (p *parser) rangeStages(r *LogRange) {
	for {
		if p.is("|") && p.peekAt(1).kind == tokKey && p.peekAt(1).str == "unwrap" {
			p.pos += 2
			p.attempt(func() { r.Unwrap = p.unwrap() }, aStageFollows)
			return
		}
		if !p.nextStage(r.Query) {
			return
		}
	}
}

func (p *parser) unwrap() *Unwrap {
	u := &Unwrap{}
	t := p.peek()
	p.hope(Want{Kind: WantField})
	p.hopeWords(WantFunction, "bytes", "duration", "duration_seconds")
	switch {
	case t.kind == tokIdent:
		u.Label = p.advance().str
	case t.kind == tokKey && (t.str == "bytes" || t.str == "duration" || t.str == "duration_seconds"):
		u.Conversion = p.advance().str
		p.expect("(")
		p.hope(Want{Kind: WantField})
		u.Label = p.take(tokIdent, "IDENTIFIER").str
		p.expect(")")
	default:
		p.unexpected()
	}
	for p.is("|") {
		p.pos++
		p.hope(Want{Kind: WantField})
		if p.peek().kind != tokIdent && !p.is("(") {
			p.unexpected("IDENTIFIER", "(")
		}
		u.Filters = append(u.Filters, p.labelFilter(0))
	}
	return u
}
